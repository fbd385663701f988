// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * A heap's stock: pages that belong to it and are mapped nowhere.
 *
 * Pages of 4 KiB are in two lists. Those of one are zero: what a block had too much
 * (page_batch.c), and what was zeroed ahead of demand (zero.c). Those of the other have
 * old data: they were taken out of use by this heap, and go back to it without being
 * zeroed. A page leaves the heap only for the system, which zeroes it for whoever gets
 * it next. A page that others hold a reference to (direct I/O that is under way) never
 * enters the stock.
 *
 * 2 MiB pages (huge.c) are in a third list, with old data.
 *
 * What is taken out of use is kept up to STOCK_PAGES and a share of the heap, and not
 * at all near the limit of a memory cgroup.
 */
#include <linux/highmem.h>
#include <linux/list.h>

#include "compat.h"
#include "frames.h"
#include "module.h"
#include "stock.h"
#include "totals.h"

#define STOCK_PAGES	2048u		/* 8 MiB: a chunk of a user arena */
#define STOCK_SHARE	8u		/* of the heap */

#define BLOCK_PAGES	BIT(FRAMES_LARGE_ORDER)

static void stock_account(struct gcheap_heap *heap, long count)
{
	atomic64_add(count * (long)PAGE_SIZE, &gcheap_stock_bytes);
}

/* How many pages the stock may have. */
static unsigned long stock_limit(const struct gcheap_heap *heap)
{
	if (READ_ONCE(heap->forsaken) || compat_memcg_margin(NULL, NULL) < 4 * FRAMES_SLACK)
		return 0;
	return STOCK_PAGES + atomic_long_read(&heap->resident_pages) / STOCK_SHARE;
}

/**
 * pages_move() - move pages from one list to the end of another
 * @from: the list; it is long enough
 * @to: the other
 * @count: how many
 */
void pages_move(struct list_head *from, struct list_head *to, unsigned long count)
{
	while (count--)
		list_move_tail(from->next, to);
}

/**
 * stock_take() - take pages for a request
 * @heap: the heap
 * @lists: get them
 * @count: how many at most
 *
 * Context: any.
 * Return: how many were taken.
 */
unsigned long stock_take(struct gcheap_heap *heap, struct page_lists *lists,
			 unsigned long count)
{
	struct gcheap_stock *stock = &heap->stock;
	unsigned long zeroed = 0, dirty = 0;

	spin_lock(&stock->lock);
	if (stock->zeroed_pages >= count) {
		zeroed = count;
	} else {
		/* Zeroed pages would be wasted beside others. */
		dirty = min(stock->dirty_pages, count);
		zeroed = min(stock->zeroed_pages, count - dirty);
	}
	pages_move(&stock->zeroed, &lists->zeroed, zeroed);
	pages_move(&stock->dirty, &lists->dirty, dirty);
	stock->zeroed_pages -= zeroed;
	stock->dirty_pages -= dirty;
	/* What the stock could not give without old data. */
	stock->demand += count - dirty;
	spin_unlock(&stock->lock);
	lists->zeroed_pages += zeroed;
	lists->dirty_pages += dirty;
	stock_account(heap, -(long)(zeroed + dirty));
	return zeroed + dirty;
}

/**
 * stock_one_zeroed() - take a zeroed page
 * @heap: the heap
 *
 * Zeroes one when there are only others.
 *
 * Context: may sleep, but allocates nothing.
 * Return: the page, or NULL when there is none.
 */
struct page *stock_one_zeroed(struct gcheap_heap *heap)
{
	struct gcheap_stock *stock = &heap->stock;
	struct page *page;
	bool zeroed;

again:
	page = NULL;
	zeroed = false;
	spin_lock(&stock->lock);
	if (stock->zeroed_pages) {
		page = list_first_entry(&stock->zeroed, struct page, lru);
		stock->zeroed_pages--;
		zeroed = true;
	} else if (stock->dirty_pages) {
		page = list_first_entry(&stock->dirty, struct page, lru);
		stock->dirty_pages--;
	}
	if (page)
		list_del(&page->lru);
	spin_unlock(&stock->lock);
	if (!page)
		return NULL;
	stock_account(heap, -1);
	if (PageHWPoison(page)) {
		LIST_HEAD(bad);

		list_add(&page->lru, &bad);
		frames_release(heap, &bad);
		goto again;
	}
	if (!zeroed)
		clear_highpage(page);
	return page;
}

/**
 * stock_put() - put pages into the stock
 * @heap: the heap
 * @pages: list of pages, which nobody else knows; it is emptied
 * @count: how many they are
 * @zeroed: whether they are zero
 *
 * Context: any.
 */
void stock_put(struct gcheap_heap *heap, struct list_head *pages, unsigned long count,
	       bool zeroed)
{
	struct gcheap_stock *stock = &heap->stock;

	if (!count)
		return;
	spin_lock(&stock->lock);
	if (zeroed) {
		list_splice_tail_init(pages, &stock->zeroed);
		stock->zeroed_pages += count;
	} else {
		/* What was used last is the likeliest to be in a cache. */
		list_splice_init(pages, &stock->dirty);
		stock->dirty_pages += count;
	}
	spin_unlock(&stock->lock);
	stock_account(heap, (long)count);
}

/**
 * stock_keep() - take pages out of use, but keep them for the heap
 * @heap: the heap
 * @pages: list of pages, which nobody has mapped any more; it is emptied
 * @most: keep no more than this
 *
 * Context: may sleep.
 * Return: how many were kept; the system has got the others.
 */
unsigned long stock_keep(struct gcheap_heap *heap, struct list_head *pages, unsigned long most)
{
	unsigned long limit = stock_limit(heap);
	struct page *page, *next;
	unsigned long kept = 0;
	LIST_HEAD(dirty);

	most = min(most, limit - min(limit, stock_pages(heap)));
	list_for_each_entry_safe(page, next, pages, lru) {
		if (kept == most)
			break;
		/* Also one that is pinned. The system keeps one that has failed to itself. */
		if (page_ref_count(page) != 1 || PageHWPoison(page))
			continue;
		/* What it was set for is over; write tracking shall not find it. */
		ClearPageDirty(page);
		list_move(&page->lru, &dirty);
		kept++;
	}
	stock_put(heap, &dirty, kept, false);
	frames_release(heap, pages);
	return kept;
}

/**
 * stock_take_block() - take a 2 MiB page
 * @heap: the heap
 *
 * Context: any.
 * Return: the first of its pages, which have old data, or NULL when there is none.
 */
struct page *stock_take_block(struct gcheap_heap *heap)
{
	struct gcheap_stock *stock = &heap->stock;
	struct page *head;

	spin_lock(&stock->lock);
	head = list_first_entry_or_null(&stock->blocks, struct page, lru);
	if (head) {
		list_del(&head->lru);
		stock->block_count--;
	}
	spin_unlock(&stock->lock);
	if (head)
		stock_account(heap, -(long)BLOCK_PAGES);
	return head;
}

/**
 * stock_keep_blocks() - take 2 MiB pages out of use, but keep them for the heap
 * @heap: the heap
 * @blocks: list of them, which nobody has mapped any more; it is emptied
 * @most: keep no more than this; the system gets the others
 *
 * Context: may sleep.
 */
void stock_keep_blocks(struct gcheap_heap *heap, struct list_head *blocks, unsigned long most)
{
	struct gcheap_stock *stock = &heap->stock;
	unsigned long limit = stock_limit(heap);
	struct page *head, *next;
	LIST_HEAD(released);

	list_for_each_entry_safe(head, next, blocks, lru) {
		/* As in stock_keep(). */
		if (!most || stock_pages(heap) + BLOCK_PAGES > limit ||
		    page_ref_count(head) != 1 || frames_huge_failed(head)) {
			list_move(&head->lru, &released);
			continue;
		}
		ClearPageDirty(head);
		spin_lock(&stock->lock);
		list_move(&head->lru, &stock->blocks);
		stock->block_count++;
		spin_unlock(&stock->lock);
		stock_account(heap, BLOCK_PAGES);
		most--;
	}
	frames_release_blocks(heap, &released);
}

/* Gives 2 MiB pages to the system until @most pages were given; how many pages. */
static unsigned long stock_trim_blocks(struct gcheap_heap *heap, unsigned long most)
{
	unsigned long count = 0;
	struct page *head;
	LIST_HEAD(blocks);

	while (count < most && (head = stock_take_block(heap))) {
		list_add(&head->lru, &blocks);
		count += BLOCK_PAGES;
	}
	return frames_release_blocks(heap, &blocks);
}

/**
 * stock_trim() - give pages of the stock to the system
 * @heap: the heap
 * @most: how many at most; with 2 MiB pages, it may be some more
 *
 * Context: may sleep; works also while memory is being reclaimed.
 * Return: how many were given.
 */
unsigned long stock_trim(struct gcheap_heap *heap, unsigned long most)
{
	struct gcheap_stock *stock = &heap->stock;
	unsigned long zeroed, dirty;
	LIST_HEAD(pages);

	spin_lock(&stock->lock);
	dirty = min(stock->dirty_pages, most);
	zeroed = min(stock->zeroed_pages, most - dirty);
	pages_move(&stock->dirty, &pages, dirty);
	pages_move(&stock->zeroed, &pages, zeroed);
	stock->dirty_pages -= dirty;
	stock->zeroed_pages -= zeroed;
	stock->demand = 0;
	stock->trims++;
	spin_unlock(&stock->lock);
	stock_account(heap, -(long)(dirty + zeroed));
	return frames_release(heap, &pages) + stock_trim_blocks(heap, most - dirty - zeroed);
}

/**
 * stock_drop_poisoned() - give the stock's pages whose memory has failed away
 * @heap: the heap
 *
 * It may have many pages: they are taken out of it to be looked at, and whoever needs some
 * meanwhile gets them elsewhere.
 *
 * Context: may sleep; @heap->lock is held.
 * Return: how many pages left the stock.
 */
unsigned long stock_drop_poisoned(struct gcheap_heap *heap)
{
	struct gcheap_stock *stock = &heap->stock;
	unsigned long zeroed_pages, dirty_pages, block_count;
	unsigned long bad_pages, bad_zeroed, bad_blocks = 0;
	struct page *head, *next;
	LIST_HEAD(broken_blocks);
	LIST_HEAD(broken);
	LIST_HEAD(zeroed);
	LIST_HEAD(dirty);
	LIST_HEAD(blocks);

	lockdep_assert_held(&heap->lock);
	spin_lock(&stock->lock);
	list_splice_init(&stock->zeroed, &zeroed);
	list_splice_init(&stock->dirty, &dirty);
	list_splice_init(&stock->blocks, &blocks);
	zeroed_pages = stock->zeroed_pages;
	dirty_pages = stock->dirty_pages;
	block_count = stock->block_count;
	stock->zeroed_pages = 0;
	stock->dirty_pages = 0;
	stock->block_count = 0;
	spin_unlock(&stock->lock);

	bad_zeroed = frames_drop_failed(&zeroed, &broken);
	bad_pages = bad_zeroed + frames_drop_failed(&dirty, &broken);
	list_for_each_entry_safe(head, next, &blocks, lru) {
		cond_resched();
		if (!frames_huge_failed(head))
			continue;
		list_move(&head->lru, &broken_blocks);
		bad_blocks++;
	}

	spin_lock(&stock->lock);
	list_splice(&zeroed, &stock->zeroed);
	list_splice_tail(&dirty, &stock->dirty);
	list_splice(&blocks, &stock->blocks);
	stock->zeroed_pages += zeroed_pages - bad_zeroed;
	stock->dirty_pages += dirty_pages - (bad_pages - bad_zeroed);
	stock->block_count += block_count - bad_blocks;
	spin_unlock(&stock->lock);
	bad_pages += bad_blocks * BLOCK_PAGES;
	stock_account(heap, -(long)bad_pages);
	frames_release(heap, &broken);
	frames_release_blocks(heap, &broken_blocks);
	return bad_pages;
}

/**
 * stock_pages() - how many pages are in a heap's stock
 * @heap: the heap
 *
 * Context: any; the number may change at any time.
 */
unsigned long stock_pages(const struct gcheap_heap *heap)
{
	return READ_ONCE(heap->stock.zeroed_pages) + READ_ONCE(heap->stock.dirty_pages) +
	       READ_ONCE(heap->stock.block_count) * BLOCK_PAGES;
}

/* ---- for the worker ----------------------------------------------------------- */

/**
 * stock_take_oldest() - take pages with old data for the worker to zero
 * @heap: the heap
 * @pages: list that gets them
 * @most: how many at most
 * @trims: set to what stock_put_ahead() wants
 *
 * Those that would be used last.
 *
 * Context: any.
 * Return: how many were taken.
 */
unsigned long stock_take_oldest(struct gcheap_heap *heap, struct list_head *pages,
				unsigned long most, unsigned long *trims)
{
	struct gcheap_stock *stock = &heap->stock;
	unsigned long count, i;

	spin_lock(&stock->lock);
	count = min(stock->dirty_pages, most);
	stock->dirty_pages -= count;
	for (i = 0; i < count; i++)
		list_move(stock->dirty.prev, pages);
	*trims = stock->trims;
	spin_unlock(&stock->lock);
	if (count)
		stock_account(heap, -(long)count);
	return count;
}

/**
 * stock_put_ahead() - put zeroed pages into the stock, unless it was trimmed meanwhile
 * @heap: the heap
 * @pages: list of pages, which nobody else knows; it is emptied
 * @count: how many they are
 * @trims: gcheap_stock.trims when they were taken, or made
 *
 * Context: may sleep.
 */
void stock_put_ahead(struct gcheap_heap *heap, struct list_head *pages,
		     unsigned long count, unsigned long trims)
{
	struct gcheap_stock *stock = &heap->stock;

	atomic_long_add(count, &heap->zeroed_pages);
	spin_lock(&stock->lock);
	if (stock->trims == trims) {
		list_splice_tail_init(pages, &stock->zeroed);
		stock->zeroed_pages += count;
	}
	spin_unlock(&stock->lock);
	if (list_empty(pages))
		stock_account(heap, (long)count);
	else
		frames_release(heap, pages);
}

/* ---- life ------------------------------------------------------------------- */

/**
 * stock_init() - prepare a heap to have a stock
 * @heap: the heap, new
 */
void stock_init(struct gcheap_heap *heap)
{
	spin_lock_init(&heap->stock.lock);
	INIT_LIST_HEAD(&heap->stock.zeroed);
	INIT_LIST_HEAD(&heap->stock.dirty);
	INIT_LIST_HEAD(&heap->stock.blocks);
}

/**
 * stock_destroy() - free the stock
 * @heap: the heap; it will not be used any more
 *
 * Context: may sleep.
 */
void stock_destroy(struct gcheap_heap *heap)
{
	stock_trim(heap, ULONG_MAX);
}
