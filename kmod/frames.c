// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * This file takes pages from the system, gives them back, and limits how many heaps may
 * have.
 *
 * Pages come in blocks of 2 MiB or 64 KiB that are split at once, so that each page lives
 * on its own, or singly; huge.c gets a page of 2 MiB as one. The caller says which.
 *
 * They are charged to the memory cgroup of the caller. At its limit a request must fail
 * with -ENOMEM; but a cgroup that is full of heap pages to the last byte would have its
 * next ordinary page fault end in the OOM killer. So this file makes pages of objects and
 * tables only if the cgroup's counters say that it would have some slack left after them.
 * Near the limit the counters do not tell how much of the rest could be reclaimed: there
 * the file allocates the slack in one piece and frees it at once, and the counters then
 * show what that has reclaimed. All of a cgroup's heaps draw on the same slack; so near
 * the limit one task at a time looks at the counters and allocates by what it has seen.
 *
 * Beside that, two parameters of the module limit what one heap and all heaps
 * together hold: objects, the pool and mapped tables.
 */
#include <linux/hash.h>
#include <linux/list.h>
#include <linux/moduleparam.h>

#include "compat.h"
#include "frames.h"
#include "module.h"

#define FRAMES_GFP	(GFP_HIGHUSER | __GFP_ZERO | __GFP_ACCOUNT | __GFP_NOWARN)

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
 * frames_charge() - count pages that a heap is about to get
 * @heap: the heap
 * @count: how many
 *
 * Context: any.
 * Return: false when they would be over a limit; nothing is counted then.
 */
bool frames_charge(struct gcheap_heap *heap, unsigned int count)
{
	long own = atomic_long_add_return(count, &heap->held_pages);
	long all = atomic_long_add_return(count, &held_pages);

	if (!over_limit(own, READ_ONCE(heap_max_bytes)) && !over_limit(all, READ_ONCE(max_bytes)))
		return true;
	frames_uncharge(heap, count);
	return false;
}

/**
 * frames_uncharge() - count pages that a heap has no more
 * @heap: the heap
 * @count: how many
 *
 * Context: any.
 */
void frames_uncharge(struct gcheap_heap *heap, unsigned long count)
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

	for (order = FRAMES_LARGE_ORDER; order >= FRAMES_LARGE_ORDER - 1; order--) {
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
	const unsigned long least = FRAMES_SLACK / 2 + count;

	if (compat_memcg_margin(NULL, NULL) >= least)
		return true;
	/* A large block is not worth the work. */
	if (count > FRAMES_SLACK / 2)
		return false;
	slack_probe();
	return compat_memcg_margin(NULL, NULL) >= least;
}

/**
 * frames_slack_begin() - see that a memory cgroup near its limit has slack left
 * @count: how many pages the caller is about to allocate
 * @lock: what frames_slack_end() wants, after the caller has allocated them
 *
 * Context: may sleep, also to reclaim memory.
 * Return: 0, or -ENOMEM: the caller should not allocate so many, and @lock is NULL.
 */
int frames_slack_begin(unsigned int count, struct mutex **lock)
{
	const void *limit = NULL;
	struct mutex *own;	/* the one of this limit */

	*lock = NULL;
	/* Far from the limit, however many do the same at this moment. */
	if (compat_memcg_margin(NULL, &limit) >=
	    FRAMES_SLACK + count * (1ul + num_online_cpus()))
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
 * frames_slack_end() - what was to be allocated is charged
 * @lock: of frames_slack_begin()
 */
void frames_slack_end(struct mutex *lock)
{
	if (lock)
		mutex_unlock(lock);
}

/**
 * frames_init() - prepare for the first heap
 */
void frames_init(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(slack_locks); i++)
		mutex_init(&slack_locks[i]);
}

/* ---- from the system -------------------------------------------------------- */

/**
 * frames_alloc() - allocate a block and split it
 * @heap: the heap
 * @order: of the block
 * @gfp: how hard to try, beside what is done without reclaiming memory
 * @pages: list, at whose end the pages are put, zeroed
 *
 * Return: 0 or -ENOMEM.
 */
int frames_alloc(struct gcheap_heap *heap, unsigned int order, gfp_t gfp,
		 struct list_head *pages)
{
	const unsigned int count = 1u << order;
	struct page *page;
	unsigned int i;

	if (!frames_charge(heap, count))
		return -ENOMEM;
	page = alloc_pages((FRAMES_GFP & ~__GFP_RECLAIM) | gfp, order);
	if (!page) {
		frames_uncharge(heap, count);
		return -ENOMEM;
	}
	if (order)
		split_page(page, order);
	for (i = 0; i < count; i++)
		list_add_tail(&page[i].lru, pages);
	return 0;
}

/**
 * frames_alloc_huge() - allocate a 2 MiB page
 * @heap: the heap
 *
 * Where memory is fragmented it is tidied up for this, but not at all costs.
 *
 * Context: may sleep; nothing is locked but gcheap_heap.lock.
 * Return: the first of its pages, zeroed, or NULL.
 */
struct page *frames_alloc_huge(struct gcheap_heap *heap)
{
	const unsigned int count = 1u << FRAMES_LARGE_ORDER;
	gfp_t gfp = (FRAMES_GFP & ~__GFP_RECLAIM) | __GFP_DIRECT_RECLAIM | __GFP_NORETRY |
		    __GFP_COMP;
	struct page *head = NULL;
	struct mutex *slack;	/* near the limit of a cgroup */

	if (frames_slack_begin(count, &slack))
		return NULL;
	if (frames_charge(heap, count)) {
		head = alloc_pages(gfp, FRAMES_LARGE_ORDER);
		if (!head)
			frames_uncharge(heap, count);
	}
	frames_slack_end(slack);
	return head;
}

/* ---- memory that has failed --------------------------------------------------- */

/**
 * frames_huge_failed() - whether a part of a 2 MiB page has failed
 * @head: the first of its pages
 *
 * Context: any.
 */
bool frames_huge_failed(struct page *head)
{
	unsigned int i;

	if (!IS_ENABLED(CONFIG_MEMORY_FAILURE))
		return false;
	for (i = 0; i < BIT(FRAMES_LARGE_ORDER); i++) {
		if (PageHWPoison(head + i))
			return true;
	}
	return false;
}

/**
 * frames_drop_failed() - move pages whose memory has failed to another list
 * @pages: list of pages that nobody else knows
 * @bad: the other list
 *
 * Context: may sleep.
 * Return: how many were moved.
 */
unsigned long frames_drop_failed(struct list_head *pages, struct list_head *bad)
{
	unsigned long count = 0, looks = 0;
	struct page *page, *next;

	list_for_each_entry_safe(page, next, pages, lru) {
		if (++looks % BIT(FRAMES_LARGE_ORDER) == 0)
			cond_resched();
		if (!PageHWPoison(page))
			continue;
		list_move(&page->lru, bad);
		count++;
	}
	return count;
}

/* ---- to the system --------------------------------------------------------- */

/**
 * frames_put() - give pages back that no request has had
 * @heap: the heap
 * @pages: list of pages; it is emptied. Others may still hold references
 *
 * Context: may sleep.
 * Return: how many they were.
 */
unsigned long frames_put(struct gcheap_heap *heap, struct list_head *pages)
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
	frames_uncharge(heap, count);
	return count;
}

/**
 * frames_release() - give pages to the system
 * @heap: the heap
 * @pages: list of pages, which nobody has mapped any more; it is emptied
 *
 * Context: may sleep.
 * Return: how many they were.
 */
unsigned long frames_release(struct gcheap_heap *heap, struct list_head *pages)
{
	unsigned long count = frames_put(heap, pages);

	atomic_long_add(count, &heap->released_pages);
	return count;
}

/**
 * frames_release_blocks() - give 2 MiB pages to the system
 * @heap: the heap
 * @blocks: list of them, which nobody has mapped any more; it is emptied
 *
 * One whose memory has failed in part goes nowhere, and is lost.
 *
 * Context: may sleep.
 * Return: how many pages of 4 KiB were given.
 */
unsigned long frames_release_blocks(struct gcheap_heap *heap, struct list_head *blocks)
{
	unsigned long count = 0, lost = 0;
	struct page *head, *next;

	list_for_each_entry_safe(head, next, blocks, lru) {
		/* The page allocator would hand all parts of it out again. */
		if (frames_huge_failed(head)) {
			lost += BIT(FRAMES_LARGE_ORDER);
			continue;
		}
		put_page(head);
		count += BIT(FRAMES_LARGE_ORDER);
		cond_resched();
	}
	INIT_LIST_HEAD(blocks);
	frames_uncharge(heap, count + lost);
	atomic_long_add(lost, &heap->lost_pages);
	atomic_long_add(count, &heap->released_pages);
	return count;
}
