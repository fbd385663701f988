// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Pages for one request.
 *
 * A request gets pages of the heap's pool (page_pool.c) first. It gets the rest from the
 * system (frames.c), in the largest blocks that it can use, or that are a sixteenth of
 * the heap at most: a small heap takes no more than it needs, and a large one is spared
 * most of the work of the page allocator. Where memory is fragmented it gets smaller
 * blocks. Pages of a block that it does not need go into the pool.
 *
 * A request that fails gives all pages back: as many as came from the pool go there
 * again, and the others to the system.
 */
#include <linux/list.h>

#include "frames.h"
#include "module.h"
#include "page_batch.h"
#include "page_pool.h"
#include "zero_ahead.h"

#define HEAP_SHARE	16u	/* a block is this part of the heap at most */

/* The largest block that suits a need of @count pages. */
static unsigned int block_order(const struct gcheap_heap *heap, unsigned long count)
{
	unsigned long most = max_t(unsigned long, count,
				   atomic_long_read(&heap->resident_pages) / HEAP_SHARE);

	if (most >= BIT(FRAMES_LARGE_ORDER))
		return FRAMES_LARGE_ORDER;
	return most >= BIT(FRAMES_SMALL_ORDER) ? FRAMES_SMALL_ORDER : 0;
}

/* A block for a request. */
static int batch_more(struct page_batch *batch, unsigned int order)
{
	struct mutex *slack;	/* near the limit of a cgroup */
	gfp_t gfp = 0;
	int error;

	/* A large one is not worth much trouble. */
	if (order == FRAMES_SMALL_ORDER)
		gfp = __GFP_RECLAIM | __GFP_NORETRY;
	else if (!order)
		gfp = __GFP_RECLAIM | __GFP_RETRY_MAYFAIL;
	error = frames_slack_begin(1u << order, &slack);
	if (error)
		return error;
	error = frames_alloc(batch->heap, order, gfp, &batch->at_hand.zeroed);
	frames_slack_end(slack);
	if (!error)
		batch->at_hand.zeroed_pages += 1u << order;
	return error;
}

/**
 * batch_begin() - begin to take pages
 * @batch: state of one request
 * @heap: the heap
 * @count: how many pages it will take in all
 *
 * Context: may sleep.
 */
void batch_begin(struct page_batch *batch, struct gcheap_heap *heap, unsigned long count)
{
	*batch = (struct page_batch){ .heap = heap, .order = FRAMES_LARGE_ORDER, .wanted = count };
	INIT_LIST_HEAD(&batch->at_hand.zeroed);
	INIT_LIST_HEAD(&batch->at_hand.dirty);
	batch->recycled = pool_take(heap, &batch->at_hand, count);
}

/**
 * batch_ensure() - have pages at hand
 * @batch: see batch_begin()
 * @count: so many, of those that the request has still to take
 *
 * Context: may sleep; nothing is locked but gcheap_heap.lock.
 * Return: 0 or -ENOMEM.
 */
int batch_ensure(struct page_batch *batch, unsigned long count)
{
	const struct page_lists *hand = &batch->at_hand;

	while (hand->zeroed_pages + hand->dirty_pages < count) {
		unsigned long need = batch->wanted - hand->zeroed_pages - hand->dirty_pages;
		unsigned int order = min(batch->order, block_order(batch->heap, need));

		if (!batch_more(batch, order))
			continue;
		if (!order)
			return -ENOMEM;
		/* Smaller blocks from now on. */
		batch->order = order == FRAMES_LARGE_ORDER ? FRAMES_SMALL_ORDER : 0;
	}
	return 0;
}

/**
 * batch_next() - take one of the pages that are at hand
 * @batch: see batch_begin()
 *
 * Context: any.
 * Return: the page.
 */
struct page *batch_next(struct page_batch *batch)
{
	struct page_lists *hand = &batch->at_hand;
	struct list_head *list = hand->dirty_pages ? &hand->dirty : &hand->zeroed;
	struct page *page = list_first_entry(list, struct page, lru);

	list_del(&page->lru);
	if (hand->dirty_pages) {
		hand->dirty_pages--;
		batch->old_data = true;
	} else {
		hand->zeroed_pages--;
	}
	batch->wanted--;
	return page;
}

/**
 * batch_end() - the request has all that it wanted
 * @batch: see batch_begin()
 *
 * The rest of the last block goes into the pool.
 *
 * Context: may sleep.
 */
void batch_end(struct page_batch *batch)
{
	struct page_lists *hand = &batch->at_hand;

	pool_put(batch->heap, &hand->zeroed, hand->zeroed_pages, true);
	pool_put(batch->heap, &hand->dirty, hand->dirty_pages, false);
	zero_ahead_demand(batch->heap);
}

/**
 * batch_undo() - the request has failed
 * @batch: see batch_begin()
 * @taken: list of the pages that batch_next() has given it, which nobody has
 *	mapped any more; it is emptied
 *
 * The pool gets back as many pages as it had; others go to the system.
 *
 * Context: may sleep.
 */
void batch_undo(struct page_batch *batch, struct list_head *taken)
{
	struct page_lists *hand = &batch->at_hand;
	unsigned long recycled = batch->recycled;
	unsigned long zeroed;
	LIST_HEAD(pages);

	pool_put(batch->heap, &hand->dirty, hand->dirty_pages, false);
	recycled -= hand->dirty_pages;
	zeroed = min(hand->zeroed_pages, recycled);
	pool_move(&hand->zeroed, &pages, zeroed);
	pool_put(batch->heap, &pages, zeroed, true);
	recycled -= zeroed;
	frames_put(batch->heap, &hand->zeroed);
	if (pool_keep(batch->heap, taken, recycled))
		zero_ahead_kick(batch->heap);
}
