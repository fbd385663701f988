// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Where the pages of object memory come from.
 *
 * Pages come in blocks of 2 MiB or 64 KiB that are split at once, so that each page
 * lives on its own, or singly: the largest block that a request can use, or that is
 * a sixteenth of the heap at most. So a small heap takes no more than it needs, and
 * a large one is spared most of the work of the page allocator. Where memory is
 * fragmented, smaller blocks do.
 *
 * What a heap has in stock (stock.c) comes before that, and what a block has too much
 * goes there.
 *
 * Pages are charged to the memory cgroup of whoever asks. At its limit a request
 * must fail with -ENOMEM; but a cgroup that is full of heap pages to the last
 * byte would have its next ordinary page fault end in the OOM killer. Thus pages
 * of objects and tables are made only if the cgroup would have some slack left
 * after them, by its counters. Near the limit these cannot tell how much of the rest
 * could be reclaimed: there the slack is allocated, in one piece, and freed again at
 * once, and what that has reclaimed is seen in the counters. All of a cgroup's heaps
 * draw on the same slack; so near the limit one task at a time looks at the counters
 * and allocates by what it has seen.
 *
 * Beside that, two parameters of the module limit what one heap and all heaps
 * together hold: objects, stock and mapped tables.
 */
#include <linux/hash.h>
#include <linux/list.h>
#include <linux/moduleparam.h>

#include "compat.h"
#include "module.h"

#define SUPPLY_GFP	(GFP_HIGHUSER | __GFP_ZERO | __GFP_ACCOUNT | __GFP_NOWARN)

#define HEAP_SHARE	16u	/* a block is this part of the heap at most */
#define SLACK_LOCKS_SHIFT	4u

static unsigned long max_bytes;
module_param(max_bytes, ulong, 0644);
MODULE_PARM_DESC(max_bytes, "Most memory of all heaps together, in bytes; 0: no limit");

static unsigned long heap_max_bytes;
module_param(heap_max_bytes, ulong, 0644);
MODULE_PARM_DESC(heap_max_bytes, "Most memory of one heap, in bytes; 0: no limit");

/* Pages that all heaps hold. */
static atomic_long_t held_pages;

/* Whoever allocates near a limit, by the limit; after level 2. */
static struct mutex slack_locks[1 << SLACK_LOCKS_SHIFT];

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

/*
 * Allocates a block as large as the slack, and frees it again; where memory is too
 * fragmented for that, one of half. It is charged in one piece or not at all: in many,
 * it would hold all that is left of the cgroup for a while, and the OOM killer would
 * come for the page fault of another task.
 */
static void slack_probe(void)
{
	const gfp_t gfp = GFP_KERNEL_ACCOUNT | __GFP_NORETRY | __GFP_NOWARN;
	unsigned int order;
	struct page *page;

	for (order = SUPPLY_LARGE_ORDER; order >= SUPPLY_LARGE_ORDER - 1; order--) {
		page = alloc_pages(gfp, order);
		if (page) {
			__free_pages(page, order);
			return;
		}
	}
}

/*
 * Whether a cgroup near its limit has the least slack left after @count pages more. A
 * probe is for all of the slack, so that not each block needs one.
 */
static bool slack_left(unsigned int count)
{
	const unsigned long least = SUPPLY_SLACK / 2 + count;

	if (compat_memcg_margin(NULL, NULL) >= least)
		return true;
	/* A large block is not worth the work. */
	if (count > SUPPLY_SLACK / 2)
		return false;
	slack_probe();
	return compat_memcg_margin(NULL, NULL) >= least;
}

/**
 * supply_slack_begin() - see that a memory cgroup near its limit has slack left
 * @count: how many pages the caller is about to allocate
 * @lock: what supply_slack_end() wants, after the caller has allocated them
 *
 * Context: may sleep, also to reclaim memory.
 * Return: 0, or -ENOMEM: the caller should not allocate so many, and @lock is NULL.
 */
int supply_slack_begin(unsigned int count, struct mutex **lock)
{
	const void *limit = NULL;
	struct mutex *own;	/* the one of this limit */

	*lock = NULL;
	/* Far from the limit, however many do the same at this moment. */
	if (compat_memcg_margin(NULL, &limit) >=
	    SUPPLY_SLACK + count * (1ul + num_online_cpus()))
		return 0;
	own = &slack_locks[hash_ptr(limit, SLACK_LOCKS_SHIFT)];
	mutex_lock(own);
	if (slack_left(count)) {
		*lock = own;
		return 0;
	}
	mutex_unlock(own);
	return -ENOMEM;
}

/**
 * supply_slack_end() - what was to be allocated is charged
 * @lock: of supply_slack_begin()
 */
void supply_slack_end(struct mutex *lock)
{
	if (lock)
		mutex_unlock(lock);
}

/**
 * supply_init() - prepare for the first heap
 */
void supply_init(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(slack_locks); i++)
		mutex_init(&slack_locks[i]);
}

/* ---- to the system --------------------------------------------------------- */

/* Gives pages, all of a list, to the system. Others may still hold references. */
static unsigned long pages_put(struct gcheap_heap *heap, struct list_head *pages)
{
	struct page *page, *next, *batch[32];
	unsigned long count = 0;
	int filled = 0;

	list_for_each_entry_safe(page, next, pages, lru) {
		if (PageHWPoison(page))
			atomic_long_inc(&heap->lost_pages);
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

/* ---- pages for one request -------------------------------------------------- */

/* The largest block that suits a need of @count pages. */
static unsigned int block_order(const struct gcheap_heap *heap, unsigned long count)
{
	unsigned long most = max_t(unsigned long, count,
				   atomic_long_read(&heap->resident_pages) / HEAP_SHARE);

	if (most >= BIT(SUPPLY_LARGE_ORDER))
		return SUPPLY_LARGE_ORDER;
	return most >= BIT(SUPPLY_SMALL_ORDER) ? SUPPLY_SMALL_ORDER : 0;
}

/**
 * supply_block() - allocate a block and split it
 * @heap: the heap
 * @order: of the block
 * @gfp: how hard to try, beside what is done without reclaiming memory
 * @pages: list, at whose end the pages are put, zeroed
 *
 * Return: 0 or -ENOMEM.
 */
int supply_block(struct gcheap_heap *heap, unsigned int order, gfp_t gfp,
		 struct list_head *pages)
{
	const unsigned int count = 1u << order;
	struct page *page;
	unsigned int i;

	if (!supply_charge(heap, count))
		return -ENOMEM;
	page = alloc_pages((SUPPLY_GFP & ~__GFP_RECLAIM) | gfp, order);
	if (!page) {
		supply_uncharge(heap, count);
		return -ENOMEM;
	}
	if (order)
		split_page(page, order);
	for (i = 0; i < count; i++)
		list_add_tail(&page[i].lru, pages);
	return 0;
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
	error = supply_block(supply->heap, order, gfp, &supply->zeroed);
	supply_slack_end(slack);
	if (!error)
		supply->zeroed_pages += 1u << order;
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
	stock_demand(supply->heap);
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
	stock_keep(supply->heap, taken, recycled);
}

/* ---- 2 MiB pages ------------------------------------------------------------ */

/**
 * supply_huge() - allocate a 2 MiB page
 * @heap: the heap
 *
 * Where memory is fragmented it is tidied up for this, but not at all costs.
 *
 * Context: may sleep; nothing is locked but gcheap_heap.lock.
 * Return: the first of its pages, zeroed, or NULL.
 */
struct page *supply_huge(struct gcheap_heap *heap)
{
	const unsigned int count = 1u << SUPPLY_LARGE_ORDER;
	gfp_t gfp = (SUPPLY_GFP & ~__GFP_RECLAIM) | __GFP_DIRECT_RECLAIM | __GFP_NORETRY |
		    __GFP_COMP;
	struct page *head = NULL;
	struct mutex *slack;	/* near the limit of a cgroup */

	if (supply_slack_begin(count, &slack))
		return NULL;
	if (supply_charge(heap, count)) {
		head = alloc_pages(gfp, SUPPLY_LARGE_ORDER);
		if (!head)
			supply_uncharge(heap, count);
	}
	supply_slack_end(slack);
	return head;
}

/**
 * supply_release_blocks() - give 2 MiB pages to the system
 * @heap: the heap
 * @blocks: list of them, which nobody has mapped any more; it is emptied
 *
 * One whose memory has failed in part goes nowhere, and is lost.
 *
 * Context: may sleep.
 * Return: how many pages of 4 KiB were given.
 */
unsigned long supply_release_blocks(struct gcheap_heap *heap, struct list_head *blocks)
{
	unsigned long count = 0, lost = 0;
	struct page *head, *next;

	list_for_each_entry_safe(head, next, blocks, lru) {
		/* The page allocator would hand all parts of it out again. */
		if (poison_in_block(head)) {
			lost += BIT(SUPPLY_LARGE_ORDER);
			continue;
		}
		put_page(head);
		count += BIT(SUPPLY_LARGE_ORDER);
		cond_resched();
	}
	INIT_LIST_HEAD(blocks);
	supply_uncharge(heap, count + lost);
	atomic_long_add(lost, &heap->lost_pages);
	atomic_long_add(count, &heap->released_pages);
	return count;
}
