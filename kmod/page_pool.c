// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * A heap's pool: pages that belong to it and are mapped nowhere. Figures for people and
 * programs call it the stock.
 *
 * Pages of 4 KiB are in two lists. Those in the first are zero: the rest of a block
 * (page_batch.c), or zeroed ahead of demand (zero_ahead.c). Those in the second have old
 * data: this heap has stopped using them, and gets them again without zeroing. A page
 * leaves the heap only for the system, which zeroes it for its next user. A page to which
 * others hold a reference, as for direct I/O that is under way, never enters the pool.
 *
 * 2 MiB pages (huge.c) are in a third list, with old data.
 *
 * The pool keeps up to POOL_PAGES and a share of the heap, and takes none near the limit
 * of a memory cgroup.
 */
#include <linux/highmem.h>
#include <linux/list.h>

#include "compat.h"
#include "frames.h"
#include "module.h"
#include "page_pool.h"
#include "totals.h"

#define POOL_PAGES	2048u		/* 8 MiB: a chunk of a user arena */
#define POOL_SHARE	8u		/* of the heap */

#define BLOCK_PAGES	BIT(FRAMES_LARGE_ORDER)

/* With the pool's lock: pool_pages() looks without. */
static void pool_count(unsigned long *count, long change)
{
	WRITE_ONCE(*count, *count + change);
}

static void pool_account(struct gcheap_heap *heap, long count)
{
	atomic64_add(count * (long)PAGE_SIZE, &gcheap_stock_bytes);
}

/* How many pages the pool may have. */
static unsigned long pool_limit(const struct gcheap_heap *heap)
{
	if (READ_ONCE(heap->forsaken) || compat_memcg_margin(NULL, NULL) < 4 * FRAMES_SLACK)
		return 0;
	return POOL_PAGES + atomic_long_read(&heap->resident_pages) / POOL_SHARE;
}

/**
 * pool_move() - move pages from one list to the end of another
 * @from: the list; it is long enough
 * @to: the other
 * @count: how many
 */
void pool_move(struct list_head *from, struct list_head *to, unsigned long count)
{
	while (count--)
		list_move_tail(from->next, to);
}

/**
 * pool_take() - take pages for a request
 * @heap: the heap
 * @lists: get them
 * @count: how many at most
 *
 * Context: any.
 * Return: how many were taken.
 */
unsigned long pool_take(struct gcheap_heap *heap, struct page_lists *lists,
			unsigned long count)
{
	struct gcheap_pool *pool = &heap->pool;
	unsigned long zeroed = 0, dirty = 0;

	spin_lock(&pool->lock);
	if (pool->zeroed_pages >= count) {
		zeroed = count;
	} else {
		/* Zeroed pages would be wasted beside others. */
		dirty = min(pool->dirty_pages, count);
		zeroed = min(pool->zeroed_pages, count - dirty);
	}
	pool_move(&pool->zeroed, &lists->zeroed, zeroed);
	pool_move(&pool->dirty, &lists->dirty, dirty);
	pool_count(&pool->zeroed_pages, -(long)zeroed);
	pool_count(&pool->dirty_pages, -(long)dirty);
	/* What the pool could not give without old data. */
	pool->demand += count - dirty;
	spin_unlock(&pool->lock);
	lists->zeroed_pages += zeroed;
	lists->dirty_pages += dirty;
	pool_account(heap, -(long)(zeroed + dirty));
	return zeroed + dirty;
}

/**
 * pool_take_zeroed() - take a zeroed page
 * @heap: the heap
 *
 * Zeroes one when there are only others.
 *
 * Context: may sleep, but allocates nothing.
 * Return: the page, or NULL when there is none.
 */
struct page *pool_take_zeroed(struct gcheap_heap *heap)
{
	struct gcheap_pool *pool = &heap->pool;
	struct page *page;
	bool zeroed;

again:
	page = NULL;
	zeroed = false;
	spin_lock(&pool->lock);
	if (pool->zeroed_pages) {
		page = list_first_entry(&pool->zeroed, struct page, lru);
		pool->zeroed_pages--;
		zeroed = true;
	} else if (pool->dirty_pages) {
		page = list_first_entry(&pool->dirty, struct page, lru);
		pool->dirty_pages--;
	}
	if (page)
		list_del(&page->lru);
	spin_unlock(&pool->lock);
	if (!page)
		return NULL;
	pool_account(heap, -1);
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
 * pool_put() - put pages into the pool
 * @heap: the heap
 * @pages: list of pages, which nobody else knows; it is emptied
 * @count: how many they are
 * @zeroed: whether they are zero
 *
 * Context: any.
 */
void pool_put(struct gcheap_heap *heap, struct list_head *pages, unsigned long count,
	      bool zeroed)
{
	struct gcheap_pool *pool = &heap->pool;

	if (!count)
		return;
	spin_lock(&pool->lock);
	if (zeroed) {
		list_splice_tail_init(pages, &pool->zeroed);
		pool_count(&pool->zeroed_pages, count);
	} else {
		/* What was used last is the likeliest to be in a cache. */
		list_splice_init(pages, &pool->dirty);
		pool_count(&pool->dirty_pages, count);
	}
	spin_unlock(&pool->lock);
	pool_account(heap, (long)count);
}

/**
 * pool_keep() - take pages out of use, but keep them for the heap
 * @heap: the heap
 * @pages: list of pages, which nobody has mapped any more; it is emptied
 * @most: keep no more than this
 *
 * Context: may sleep.
 * Return: how many were kept; the system has got the others.
 */
unsigned long pool_keep(struct gcheap_heap *heap, struct list_head *pages, unsigned long most)
{
	unsigned long limit = pool_limit(heap);
	struct page *page, *next;
	unsigned long kept = 0;
	LIST_HEAD(dirty);

	most = min(most, limit - min(limit, pool_pages(heap)));
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
	pool_put(heap, &dirty, kept, false);
	frames_release(heap, pages);
	return kept;
}

/**
 * pool_take_block() - take a 2 MiB page
 * @heap: the heap
 *
 * Context: any.
 * Return: the first of its pages, which have old data, or NULL when there is none.
 */
struct page *pool_take_block(struct gcheap_heap *heap)
{
	struct gcheap_pool *pool = &heap->pool;
	struct page *head;

	spin_lock(&pool->lock);
	head = list_first_entry_or_null(&pool->blocks, struct page, lru);
	if (head) {
		list_del(&head->lru);
		pool_count(&pool->block_count, -1);
	}
	spin_unlock(&pool->lock);
	if (head)
		pool_account(heap, -(long)BLOCK_PAGES);
	return head;
}

/**
 * pool_keep_blocks() - take 2 MiB pages out of use, but keep them for the heap
 * @heap: the heap
 * @blocks: list of them, which nobody has mapped any more; it is emptied
 * @most: keep no more than this; the system gets the others
 *
 * Context: may sleep.
 */
void pool_keep_blocks(struct gcheap_heap *heap, struct list_head *blocks, unsigned long most)
{
	struct gcheap_pool *pool = &heap->pool;
	unsigned long limit = pool_limit(heap);
	struct page *head, *next;
	LIST_HEAD(released);

	list_for_each_entry_safe(head, next, blocks, lru) {
		/* As in pool_keep(). */
		if (!most || pool_pages(heap) + BLOCK_PAGES > limit ||
		    page_ref_count(head) != 1 || frames_huge_failed(head)) {
			list_move(&head->lru, &released);
			continue;
		}
		ClearPageDirty(head);
		spin_lock(&pool->lock);
		list_move(&head->lru, &pool->blocks);
		pool_count(&pool->block_count, 1);
		spin_unlock(&pool->lock);
		pool_account(heap, BLOCK_PAGES);
		most--;
	}
	frames_release_blocks(heap, &released);
}

/* Gives 2 MiB pages to the system until @most pages were given; how many pages. */
static unsigned long pool_trim_blocks(struct gcheap_heap *heap, unsigned long most)
{
	unsigned long count = 0;
	struct page *head;
	LIST_HEAD(blocks);

	while (count < most && (head = pool_take_block(heap))) {
		list_add(&head->lru, &blocks);
		count += BLOCK_PAGES;
	}
	return frames_release_blocks(heap, &blocks);
}

/**
 * pool_trim() - give pages of the pool to the system
 * @heap: the heap
 * @most: how many at most; with 2 MiB pages, it may be some more
 *
 * Context: may sleep; works also while memory is being reclaimed.
 * Return: how many were given.
 */
unsigned long pool_trim(struct gcheap_heap *heap, unsigned long most)
{
	struct gcheap_pool *pool = &heap->pool;
	unsigned long zeroed, dirty;
	LIST_HEAD(pages);

	spin_lock(&pool->lock);
	dirty = min(pool->dirty_pages, most);
	zeroed = min(pool->zeroed_pages, most - dirty);
	pool_move(&pool->dirty, &pages, dirty);
	pool_move(&pool->zeroed, &pages, zeroed);
	pool_count(&pool->dirty_pages, -(long)dirty);
	pool_count(&pool->zeroed_pages, -(long)zeroed);
	pool->demand = 0;
	pool->trims++;
	spin_unlock(&pool->lock);
	pool_account(heap, -(long)(dirty + zeroed));
	return frames_release(heap, &pages) + pool_trim_blocks(heap, most - dirty - zeroed);
}

/**
 * pool_drop_failed() - give the pool's pages whose memory has failed away
 * @heap: the heap
 *
 * It may have many pages: they are taken out of it to be looked at, and whoever needs some
 * meanwhile gets them elsewhere.
 *
 * Context: may sleep; @heap->lock is held.
 * Return: how many pages left the pool.
 */
unsigned long pool_drop_failed(struct gcheap_heap *heap)
{
	struct gcheap_pool *pool = &heap->pool;
	unsigned long zeroed_pages, dirty_pages, block_count;
	unsigned long bad_pages, bad_zeroed, bad_blocks = 0;
	struct page *head, *next;
	LIST_HEAD(broken_blocks);
	LIST_HEAD(broken);
	LIST_HEAD(zeroed);
	LIST_HEAD(dirty);
	LIST_HEAD(blocks);

	lockdep_assert_held(&heap->lock);
	spin_lock(&pool->lock);
	list_splice_init(&pool->zeroed, &zeroed);
	list_splice_init(&pool->dirty, &dirty);
	list_splice_init(&pool->blocks, &blocks);
	zeroed_pages = pool->zeroed_pages;
	dirty_pages = pool->dirty_pages;
	block_count = pool->block_count;
	WRITE_ONCE(pool->zeroed_pages, 0);
	WRITE_ONCE(pool->dirty_pages, 0);
	WRITE_ONCE(pool->block_count, 0);
	spin_unlock(&pool->lock);

	bad_zeroed = frames_drop_failed(&zeroed, &broken);
	bad_pages = bad_zeroed + frames_drop_failed(&dirty, &broken);
	list_for_each_entry_safe(head, next, &blocks, lru) {
		cond_resched();
		if (!frames_huge_failed(head))
			continue;
		list_move(&head->lru, &broken_blocks);
		bad_blocks++;
	}

	spin_lock(&pool->lock);
	list_splice(&zeroed, &pool->zeroed);
	list_splice_tail(&dirty, &pool->dirty);
	list_splice(&blocks, &pool->blocks);
	pool_count(&pool->zeroed_pages, zeroed_pages - bad_zeroed);
	pool_count(&pool->dirty_pages, dirty_pages - (bad_pages - bad_zeroed));
	pool_count(&pool->block_count, block_count - bad_blocks);
	spin_unlock(&pool->lock);
	bad_pages += bad_blocks * BLOCK_PAGES;
	pool_account(heap, -(long)bad_pages);
	frames_release(heap, &broken);
	frames_release_blocks(heap, &broken_blocks);
	return bad_pages;
}

/**
 * pool_pages() - how many pages are in a heap's pool
 * @heap: the heap
 *
 * Context: any; the number may change at any time.
 */
unsigned long pool_pages(const struct gcheap_heap *heap)
{
	return READ_ONCE(heap->pool.zeroed_pages) + READ_ONCE(heap->pool.dirty_pages) +
	       READ_ONCE(heap->pool.block_count) * BLOCK_PAGES;
}

/* ---- for the worker ----------------------------------------------------------- */

/**
 * pool_take_oldest() - take pages with old data for the worker to zero
 * @heap: the heap
 * @pages: list that gets them
 * @most: how many at most
 * @trims: set to what pool_put_ahead() wants
 *
 * Those that would be used last.
 *
 * Context: any.
 * Return: how many were taken.
 */
unsigned long pool_take_oldest(struct gcheap_heap *heap, struct list_head *pages,
			       unsigned long most, unsigned long *trims)
{
	struct gcheap_pool *pool = &heap->pool;
	unsigned long count, i;

	spin_lock(&pool->lock);
	count = min(pool->dirty_pages, most);
	pool_count(&pool->dirty_pages, -(long)count);
	for (i = 0; i < count; i++)
		list_move(pool->dirty.prev, pages);
	*trims = pool->trims;
	spin_unlock(&pool->lock);
	if (count)
		pool_account(heap, -(long)count);
	return count;
}

/**
 * pool_put_ahead() - put zeroed pages into the pool, unless it was trimmed meanwhile
 * @heap: the heap
 * @pages: list of pages, which nobody else knows; it is emptied
 * @count: how many they are
 * @trims: gcheap_pool.trims when they were taken, or made
 *
 * Context: may sleep.
 */
void pool_put_ahead(struct gcheap_heap *heap, struct list_head *pages,
		    unsigned long count, unsigned long trims)
{
	struct gcheap_pool *pool = &heap->pool;

	atomic_long_add(count, &heap->zeroed_pages);
	spin_lock(&pool->lock);
	if (pool->trims == trims) {
		list_splice_tail_init(pages, &pool->zeroed);
		pool_count(&pool->zeroed_pages, count);
	}
	spin_unlock(&pool->lock);
	if (list_empty(pages))
		pool_account(heap, (long)count);
	else
		frames_release(heap, pages);
}

/* ---- life ------------------------------------------------------------------- */

/**
 * pool_init() - prepare a heap to have a pool
 * @heap: the heap, new
 */
void pool_init(struct gcheap_heap *heap)
{
	spin_lock_init(&heap->pool.lock);
	INIT_LIST_HEAD(&heap->pool.zeroed);
	INIT_LIST_HEAD(&heap->pool.dirty);
	INIT_LIST_HEAD(&heap->pool.blocks);
}

/**
 * pool_destroy() - free the pool
 * @heap: the heap; it will not be used any more
 *
 * Context: may sleep.
 */
void pool_destroy(struct gcheap_heap *heap)
{
	pool_trim(heap, ULONG_MAX);
}
