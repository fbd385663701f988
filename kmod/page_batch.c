// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Pages for one request.
 *
 * What the heap has in stock (stock.c) comes first. The rest comes from the system
 * (frames.c), in the largest blocks that the request can use, or that are a sixteenth of
 * the heap at most. So a small heap takes no more than it needs, and a large one is
 * spared most of the work of the page allocator. Where memory is fragmented, smaller
 * blocks do. What a block has too much goes into the stock.
 *
 * A request that fails gives all back: as many pages as came from the stock go there
 * again, and the others to the system.
 */
#include <linux/list.h>

#include "frames.h"
#include "module.h"
#include "page_batch.h"
#include "stock.h"
#include "zero.h"

#define HEAP_SHARE	16u	/* a block is this part of the heap at most */

/* The largest block that suits a need of @count pages. */
static unsigned int block_order(const struct gcheap_heap *heap, unsigned long count)
{
	unsigned long most = max_t(unsigned long, count,
				   atomic_long_read(&heap->resident_pages) / HEAP_SHARE);

	if (most >= BIT(SUPPLY_LARGE_ORDER))
		return SUPPLY_LARGE_ORDER;
	return most >= BIT(SUPPLY_SMALL_ORDER) ? SUPPLY_SMALL_ORDER : 0;
}

/* A block for a request. */
static int supply_more(struct supply *supply, unsigned int order)
{
	struct mutex *slack;	/* near the limit of a cgroup */
	gfp_t gfp = 0;
	int error;

	/* A large one is not worth much trouble. */
	if (order == SUPPLY_SMALL_ORDER)
		gfp = __GFP_RECLAIM | __GFP_NORETRY;
	else if (!order)
		gfp = __GFP_RECLAIM | __GFP_RETRY_MAYFAIL;
	error = supply_slack_begin(1u << order, &slack);
	if (error)
		return error;
	error = supply_block(supply->heap, order, gfp, &supply->at_hand.zeroed);
	supply_slack_end(slack);
	if (!error)
		supply->at_hand.zeroed_pages += 1u << order;
	return error;
}

/**
 * supply_begin() - begin to take pages
 * @supply: state of one request
 * @heap: the heap
 * @count: how many pages it will take in all
 *
 * Context: may sleep.
 */
void supply_begin(struct supply *supply, struct gcheap_heap *heap, unsigned long count)
{
	*supply = (struct supply){ .heap = heap, .order = SUPPLY_LARGE_ORDER, .wanted = count };
	INIT_LIST_HEAD(&supply->at_hand.zeroed);
	INIT_LIST_HEAD(&supply->at_hand.dirty);
	supply->recycled = stock_take(heap, &supply->at_hand, count);
}

/**
 * supply_ensure() - have pages at hand
 * @supply: see supply_begin()
 * @count: so many, of those that the request has still to take
 *
 * Context: may sleep; nothing is locked but gcheap_heap.lock.
 * Return: 0 or -ENOMEM.
 */
int supply_ensure(struct supply *supply, unsigned long count)
{
	const struct page_lists *hand = &supply->at_hand;

	while (hand->zeroed_pages + hand->dirty_pages < count) {
		unsigned long need = supply->wanted - hand->zeroed_pages - hand->dirty_pages;
		unsigned int order = min(supply->order, block_order(supply->heap, need));

		if (!supply_more(supply, order))
			continue;
		if (!order)
			return -ENOMEM;
		/* Smaller blocks from now on. */
		supply->order = order == SUPPLY_LARGE_ORDER ? SUPPLY_SMALL_ORDER : 0;
	}
	return 0;
}

/**
 * supply_next() - take one of the pages that are at hand
 * @supply: see supply_begin()
 *
 * Context: any.
 * Return: the page.
 */
struct page *supply_next(struct supply *supply)
{
	struct page_lists *hand = &supply->at_hand;
	struct list_head *list = hand->dirty_pages ? &hand->dirty : &hand->zeroed;
	struct page *page = list_first_entry(list, struct page, lru);

	list_del(&page->lru);
	if (hand->dirty_pages) {
		hand->dirty_pages--;
		supply->old_data = true;
	} else {
		hand->zeroed_pages--;
	}
	supply->wanted--;
	return page;
}

/**
 * supply_end() - the request has all that it wanted
 * @supply: see supply_begin()
 *
 * The rest of the last block goes into the stock.
 *
 * Context: may sleep.
 */
void supply_end(struct supply *supply)
{
	struct page_lists *hand = &supply->at_hand;

	stock_put(supply->heap, &hand->zeroed, hand->zeroed_pages, true);
	stock_put(supply->heap, &hand->dirty, hand->dirty_pages, false);
	zero_demand(supply->heap);
}

/**
 * supply_undo() - the request has failed
 * @supply: see supply_begin()
 * @taken: list of the pages that supply_next() has given it, which nobody has
 *	mapped any more; it is emptied
 *
 * The stock gets back as many pages as it had; others go to the system.
 *
 * Context: may sleep.
 */
void supply_undo(struct supply *supply, struct list_head *taken)
{
	struct page_lists *hand = &supply->at_hand;
	unsigned long recycled = supply->recycled;
	unsigned long zeroed;
	LIST_HEAD(pages);

	stock_put(supply->heap, &hand->dirty, hand->dirty_pages, false);
	recycled -= hand->dirty_pages;
	zeroed = min(hand->zeroed_pages, recycled);
	pages_move(&hand->zeroed, &pages, zeroed);
	stock_put(supply->heap, &pages, zeroed, true);
	recycled -= zeroed;
	pages_put(supply->heap, &hand->zeroed);
	if (stock_keep(supply->heap, taken, recycled))
		zero_kick(supply->heap);
}
