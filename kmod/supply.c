// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Where the pages of object memory come from, and what a heap keeps of them.
 *
 * Pages come in blocks of 2 MiB or 64 KiB that are split at once, so that each page
 * lives on its own, or singly: the largest block that a request can use, or that is
 * a sixteenth of the heap at most. So a small heap takes no more than it needs, and
 * a large one is spared most of the work of the page allocator. Where memory is
 * fragmented, smaller blocks do.
 *
 * What a block has too much, and what a heap has taken out of use (pages.c), is the
 * heap's stock: pages that belong to it and are mapped nowhere, in two lists. Those
 * of one list are zero; those of the other have old data of the same heap, and go
 * back to it without being zeroed. A page leaves the heap only for the system, which
 * zeroes it for whoever gets it next. A page that others hold a reference to (direct
 * I/O that is under way) never enters the stock.
 *
 * The stock is bounded, by STOCK_PAGES and a share of the heap, and there is none
 * near the limit of a memory cgroup.
 *
 * Pages are charged to the memory cgroup of whoever asks. At its limit a request
 * must fail with -ENOMEM; but a cgroup that is full of heap pages to the last
 * byte would have its next ordinary page fault end in the OOM killer. Thus pages
 * of objects and tables are made only if the cgroup would have some slack left
 * after them, which is found out at little cost: by its counters; near the limit,
 * where these cannot tell how much of the rest could be reclaimed, by allocating
 * the slack and freeing it again, once for SLACK_CREDIT pages.
 *
 * Beside that, two parameters of the module limit what one heap and all heaps
 * together hold: objects, stock and mapped tables.
 */
#include <linux/list.h>
#include <linux/moduleparam.h>

#include "compat.h"
#include "module.h"

#define SUPPLY_GFP	(GFP_HIGHUSER | __GFP_ZERO | __GFP_ACCOUNT | __GFP_NOWARN)

#define LARGE_ORDER	9u		/* 2 MiB */
#define SMALL_ORDER	4u		/* 64 KiB */
#define HEAP_SHARE	16u		/* a block is this part of the heap at most */

#define STOCK_PAGES	2048u		/* 8 MiB: a chunk of a user arena */
#define STOCK_SHARE	8u		/* and this part of the heap */

#define SLACK		512u		/* pages, 2 MiB */
#define SLACK_CREDIT	256u		/* half of the slack is left at worst */

static unsigned long max_bytes;
module_param(max_bytes, ulong, 0644);
MODULE_PARM_DESC(max_bytes, "Most memory of all heaps together, in bytes; 0: no limit");

static unsigned long heap_max_bytes;
module_param(heap_max_bytes, ulong, 0644);
MODULE_PARM_DESC(heap_max_bytes, "Most memory of one heap, in bytes; 0: no limit");

/* Pages that all heaps hold. */
static atomic_long_t held_pages;

/* ---- limits ----------------------------------------------------------------- */

static bool over_limit(long pages, unsigned long limit_bytes)
{
	return limit_bytes && pages > (long)(limit_bytes >> PAGE_SHIFT);
}

/**
 * supply_charge() - count pages that a heap is about to get
 * @heap: the heap
 * @count: how many
 *
 * Context: any.
 * Return: false when they would be over a limit; nothing is counted then.
 */
bool supply_charge(struct gcheap_heap *heap, unsigned int count)
{
	long own = atomic_long_add_return(count, &heap->held_pages);
	long all = atomic_long_add_return(count, &held_pages);

	if (!over_limit(own, READ_ONCE(heap_max_bytes)) && !over_limit(all, READ_ONCE(max_bytes)))
		return true;
	supply_uncharge(heap, count);
	return false;
}

/**
 * supply_uncharge() - count pages that a heap has no more
 * @heap: the heap
 * @count: how many
 *
 * Context: any.
 */
void supply_uncharge(struct gcheap_heap *heap, unsigned long count)
{
	atomic_long_sub(count, &heap->held_pages);
	atomic_long_sub(count, &held_pages);
}

/**
 * supply_check_slack() - see that a memory cgroup near its limit has slack left
 * @heap: the heap
 * @count: how many pages the caller is about to allocate
 *
 * Context: may sleep.
 * Return: 0, or -ENOMEM and the caller should not allocate so many.
 */
int supply_check_slack(struct gcheap_heap *heap, unsigned int count)
{
	struct page *page, *next;
	unsigned int probed;
	LIST_HEAD(slack);

	if (compat_memcg_margin() >= SLACK + count)
		return 0;
	if (count > SLACK_CREDIT)
		return -ENOMEM;
	if (atomic_sub_return(count, &heap->slack_credit) >= 0)
		return 0;
	for (probed = 0; probed < SLACK; probed++) {
		page = alloc_page(GCHEAP_GFP);
		if (!page)
			break;
		list_add(&page->lru, &slack);
	}
	list_for_each_entry_safe(page, next, &slack, lru) {
		list_del(&page->lru);
		__free_page(page);
	}
	atomic_set(&heap->slack_credit, 0);
	if (probed < SLACK)
		return -ENOMEM;
	atomic_set(&heap->slack_credit, SLACK_CREDIT - count);
	return 0;
}

/* ---- the stock -------------------------------------------------------------- */

static unsigned long stock_pages(const struct gcheap_stock *stock)
{
	return stock->zeroed_pages + stock->dirty_pages;
}

static void stock_account(struct gcheap_heap *heap, long count)
{
	atomic64_add(count * (long)PAGE_SIZE, &gcheap_stock_bytes);
}

/* How many pages the stock may have. */
static unsigned long stock_limit(const struct gcheap_heap *heap)
{
	if (compat_memcg_margin() < 4 * SLACK)
		return 0;
	return STOCK_PAGES + atomic_long_read(&heap->resident_pages) / STOCK_SHARE;
}

/* Moves the first @count pages of a list to the end of another. */
static void pages_move(struct list_head *from, struct list_head *to, unsigned long count)
{
	while (count--)
		list_move_tail(from->next, to);
}

/* Takes up to @count pages of each list of the stock. */
static void stock_take(struct supply *supply, unsigned long count)
{
	struct gcheap_stock *stock = &supply->heap->stock;
	unsigned long zeroed = 0, dirty = 0;

	spin_lock(&stock->lock);
	if (stock->zeroed_pages >= count) {
		zeroed = count;
	} else {
		/* Zeroed pages would be wasted beside others. */
		dirty = min(stock->dirty_pages, count);
		zeroed = min(stock->zeroed_pages, count - dirty);
	}
	pages_move(&stock->zeroed, &supply->zeroed, zeroed);
	pages_move(&stock->dirty, &supply->dirty, dirty);
	stock->zeroed_pages -= zeroed;
	stock->dirty_pages -= dirty;
	spin_unlock(&stock->lock);
	supply->zeroed_pages += zeroed;
	supply->dirty_pages += dirty;
	supply->recycled += zeroed + dirty;
	stock_account(supply->heap, -(long)(zeroed + dirty));
}

/* Puts all pages of a list, @count, into the stock, which has room for them. */
static void stock_put(struct gcheap_heap *heap, struct list_head *pages, unsigned long count,
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

/* Gives pages, all of a list, to the system. Others may still hold references. */
static unsigned long pages_put(struct gcheap_heap *heap, struct list_head *pages)
{
	struct page *page, *next, *batch[32];
	unsigned long count = 0;
	int filled = 0;

	list_for_each_entry_safe(page, next, pages, lru) {
		batch[filled++] = page;
		count++;
		if (filled < (int)ARRAY_SIZE(batch))
			continue;
		release_pages(batch, filled);
		filled = 0;
		cond_resched();
	}
	if (filled)
		release_pages(batch, filled);
	INIT_LIST_HEAD(pages);
	supply_uncharge(heap, count);
	return count;
}

/**
 * supply_keep() - take pages out of use, but keep them for the heap
 * @heap: the heap
 * @pages: list of pages, which nobody has mapped any more; it is emptied
 * @most: keep no more than this
 *
 * Context: may sleep.
 * Return: how many were kept; the system has got the others.
 */
unsigned long supply_keep(struct gcheap_heap *heap, struct list_head *pages, unsigned long most)
{
	unsigned long limit = stock_limit(heap);
	unsigned long have = stock_pages(&heap->stock);
	struct page *page, *next;
	unsigned long kept = 0;
	LIST_HEAD(dirty);

	most = min(most, limit - min(limit, have));
	list_for_each_entry_safe(page, next, pages, lru) {
		if (kept == most)
			break;
		/* Also one that is pinned. */
		if (page_ref_count(page) != 1)
			continue;
		list_move(&page->lru, &dirty);
		kept++;
	}
	stock_put(heap, &dirty, kept, false);
	pages_put(heap, pages);
	return kept;
}

/**
 * supply_release() - give pages to the system
 * @heap: the heap
 * @pages: list of pages, which nobody has mapped any more; it is emptied
 *
 * Context: may sleep.
 * Return: how many they were.
 */
unsigned long supply_release(struct gcheap_heap *heap, struct list_head *pages)
{
	unsigned long count = pages_put(heap, pages);

	atomic_long_add(count, &heap->released_pages);
	return count;
}

/**
 * supply_trim() - give pages of the stock to the system
 * @heap: the heap
 * @most: how many at most
 *
 * Context: may sleep; works also while memory is being reclaimed.
 * Return: how many were given.
 */
unsigned long supply_trim(struct gcheap_heap *heap, unsigned long most)
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
	spin_unlock(&stock->lock);
	stock_account(heap, -(long)(dirty + zeroed));
	return supply_release(heap, &pages);
}

/**
 * supply_stock_pages() - how many pages are in a heap's stock
 * @heap: the heap
 *
 * Context: any; the number may change at any time.
 */
unsigned long supply_stock_pages(const struct gcheap_heap *heap)
{
	return READ_ONCE(heap->stock.zeroed_pages) + READ_ONCE(heap->stock.dirty_pages);
}

/**
 * supply_one_zeroed() - take a zeroed page from the stock
 * @heap: the heap
 *
 * Zeroes one when there are only others.
 *
 * Context: may sleep, but allocates nothing.
 * Return: the page, or NULL when there is none.
 */
struct page *supply_one_zeroed(struct gcheap_heap *heap)
{
	struct gcheap_stock *stock = &heap->stock;
	struct page *page = NULL;
	bool zeroed = false;

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
	if (!zeroed)
		clear_highpage(page);
	return page;
}

/* ---- pages for one request -------------------------------------------------- */

/* The largest block that suits a need of @count pages. */
static unsigned int block_order(const struct gcheap_heap *heap, unsigned long count)
{
	unsigned long most = max_t(unsigned long, count,
				   atomic_long_read(&heap->resident_pages) / HEAP_SHARE);

	if (most >= BIT(LARGE_ORDER))
		return LARGE_ORDER;
	return most >= BIT(SMALL_ORDER) ? SMALL_ORDER : 0;
}

/* Allocates a block and splits it. */
static int block_alloc(struct supply *supply, unsigned int order)
{
	const unsigned int count = 1u << order;
	gfp_t gfp = SUPPLY_GFP;
	struct page *page;
	unsigned int i;

	if (!supply_charge(supply->heap, count))
		return -ENOMEM;
	if (supply_check_slack(supply->heap, count))
		goto uncharge;
	if (order == LARGE_ORDER)
		gfp &= ~__GFP_RECLAIM;	/* it is not worth much trouble */
	else
		gfp |= order ? __GFP_NORETRY : __GFP_RETRY_MAYFAIL;
	page = alloc_pages(gfp, order);
	if (!page)
		goto uncharge;
	if (order)
		split_page(page, order);
	for (i = 0; i < count; i++)
		list_add_tail(&page[i].lru, &supply->zeroed);
	supply->zeroed_pages += count;
	return 0;

uncharge:
	supply_uncharge(supply->heap, count);
	return -ENOMEM;
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
	*supply = (struct supply){ .heap = heap, .order = LARGE_ORDER, .wanted = count };
	INIT_LIST_HEAD(&supply->zeroed);
	INIT_LIST_HEAD(&supply->dirty);
	stock_take(supply, count);
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
	while (supply->zeroed_pages + supply->dirty_pages < count) {
		unsigned long need = supply->wanted - supply->zeroed_pages - supply->dirty_pages;
		unsigned int order = min(supply->order, block_order(supply->heap, need));

		if (!block_alloc(supply, order))
			continue;
		if (!order)
			return -ENOMEM;
		/* Smaller blocks from now on. */
		supply->order = order == LARGE_ORDER ? SMALL_ORDER : 0;
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
	struct list_head *list = supply->dirty_pages ? &supply->dirty : &supply->zeroed;
	struct page *page = list_first_entry(list, struct page, lru);

	list_del(&page->lru);
	if (supply->dirty_pages) {
		supply->dirty_pages--;
		supply->old_data = true;
	} else {
		supply->zeroed_pages--;
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
	stock_put(supply->heap, &supply->zeroed, supply->zeroed_pages, true);
	stock_put(supply->heap, &supply->dirty, supply->dirty_pages, false);
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
	unsigned long recycled = supply->recycled;
	unsigned long zeroed;
	LIST_HEAD(pages);

	stock_put(supply->heap, &supply->dirty, supply->dirty_pages, false);
	recycled -= supply->dirty_pages;
	zeroed = min(supply->zeroed_pages, recycled);
	pages_move(&supply->zeroed, &pages, zeroed);
	stock_put(supply->heap, &pages, zeroed, true);
	recycled -= zeroed;
	pages_put(supply->heap, &supply->zeroed);
	supply_keep(supply->heap, taken, recycled);
}

/* ---- life ------------------------------------------------------------------- */

/**
 * supply_init() - prepare a heap to have a stock
 * @heap: the heap, new
 */
void supply_init(struct gcheap_heap *heap)
{
	spin_lock_init(&heap->stock.lock);
	INIT_LIST_HEAD(&heap->stock.zeroed);
	INIT_LIST_HEAD(&heap->stock.dirty);
}

/**
 * supply_destroy() - free the stock
 * @heap: the heap
 *
 * Context: may sleep.
 */
void supply_destroy(struct gcheap_heap *heap)
{
	supply_trim(heap, ULONG_MAX);
}
