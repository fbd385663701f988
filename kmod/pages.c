// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Physical pages of object memory.
 *
 * Object memory comes in blocks of 64 KiB, found by block number in an xarray.
 * An entry is one of
 *
 *	whole		pointer to the first of 16 pages that were allocated
 *			together and split, so that each lives on its own
 *	scattered	tagged pointer to an array of 16 pages, NULL where there
 *			is none: memory was too fragmented for a whole block.
 *			Only those pages are there that were asked for
 *
 * Block 0 is always scattered, because its first heap page is never handed out:
 * it costs no memory, and an access to it fails.
 *
 * Pages are charged to the memory cgroup of whoever asks. At its limit a request
 * must fail with -ENOMEM; but a cgroup that is full of heap pages to the last
 * byte would have its next ordinary page fault end in the OOM killer. Thus pages
 * of objects and tables are made only if the cgroup would have some slack left
 * after them, which is found out at little cost: by its counters; near the limit,
 * where these cannot tell how much of the rest could be reclaimed, by allocating
 * the slack and freeing it again, once for PAGES_SLACK_CREDIT pages.
 *
 * A request that fails gives back all blocks that it made. These are told by a
 * mark in the xarray; another one tells those that have pages to be mapped. No
 * block has a mark between requests.
 */
#include <linux/list.h>
#include <linux/slab.h>

#include "compat.h"
#include "module.h"

#define PAGES_GFP	(GFP_HIGHUSER | __GFP_ZERO | __GFP_ACCOUNT | __GFP_NOWARN)

#define BLOCK_SCATTERED	1u		/* tag of an entry */
#define BLOCK_NEW	XA_MARK_0	/* made by the request that is running */
#define BLOCK_UNMAPPED	XA_MARK_1	/* has pages that it has still to map */

#define PAGES_SLACK		512u	/* pages, 2 MiB */
#define PAGES_SLACK_CREDIT	256u	/* half of the slack is left at worst */

/* Page @i of a block, or NULL. The pages of a scattered block come one by one. */
static struct page *block_page(void *entry, unsigned int i)
{
	struct page **pages;

	if (!entry)
		return NULL;
	if (xa_pointer_tag(entry) != BLOCK_SCATTERED)
		return (struct page *)entry + i;
	pages = xa_untag_pointer(entry);
	return READ_ONCE(pages[i]);	/* pairs with WRITE_ONCE in block_fill() */
}

/**
 * pages_check_slack() - see that a memory cgroup near its limit has slack left
 * @heap: the heap
 * @count: how many pages the caller is about to allocate
 *
 * Context: may sleep; @heap->lock is held.
 * Return: 0, or -ENOMEM and the caller should not allocate any.
 */
int pages_check_slack(struct gcheap_heap *heap, unsigned int count)
{
	struct page *page, *next;
	unsigned int probed;
	LIST_HEAD(slack);

	lockdep_assert_held(&heap->lock);
	if (compat_memcg_margin() >= PAGES_SLACK + count)
		return 0;
	if (heap->slack_credit >= count) {
		heap->slack_credit -= count;
		return 0;
	}
	for (probed = 0; probed < PAGES_SLACK; probed++) {
		page = alloc_page(GCHEAP_GFP);
		if (!page)
			break;
		list_add(&page->lru, &slack);
	}
	list_for_each_entry_safe(page, next, &slack, lru) {
		list_del(&page->lru);
		__free_page(page);
	}
	if (probed < PAGES_SLACK)
		return -ENOMEM;
	heap->slack_credit = PAGES_SLACK_CREDIT - count;
	return 0;
}

static void pages_account(struct gcheap_heap *heap, long count)
{
	heap->core.counters.resident_bytes += count * PAGE_SIZE;
	atomic64_add(count * PAGE_SIZE, &gcheap_object_bytes);
}

static void block_free(struct gcheap_heap *heap, void *entry)
{
	unsigned int i;
	long count = 0;

	for (i = 0; i < PAGES_BLOCK; i++) {
		struct page *page = block_page(entry, i);

		if (!page)
			continue;
		/* Others may hold references: direct I/O to it, for instance. */
		put_page(page);
		count++;
	}
	pages_account(heap, -count);
	if (xa_pointer_tag(entry) == BLOCK_SCATTERED)
		kfree(xa_untag_pointer(entry));
}

/* Stores a new block, or frees what it consists of. */
static int block_store(struct gcheap_heap *heap, unsigned long number, void *entry)
{
	int error = xa_err(xa_store(&heap->blocks, number, entry, GCHEAP_GFP));

	if (error) {
		block_free(heap, entry);
		return error;
	}
	xa_set_mark(&heap->blocks, number, BLOCK_NEW);
	xa_set_mark(&heap->blocks, number, BLOCK_UNMAPPED);
	return 0;
}

/* A new block at @number, or 0 with nothing made when only single pages are left. */
static int block_make_whole(struct gcheap_heap *heap, unsigned long number)
{
	struct page *page;

	page = alloc_pages(PAGES_GFP | __GFP_NORETRY, PAGES_BLOCK_ORDER);
	if (!page)
		return 0;
	split_page(page, PAGES_BLOCK_ORDER);
	pages_account(heap, PAGES_BLOCK);
	return block_store(heap, number, page);
}

static int block_make_scattered(struct gcheap_heap *heap, unsigned long number)
{
	struct page **pages = kcalloc(PAGES_BLOCK, sizeof(*pages), GCHEAP_GFP);

	if (!pages)
		return -ENOMEM;
	return block_store(heap, number, xa_tag_pointer(pages, BLOCK_SCATTERED));
}

/* Backs pages @first ... @end - 1, all of one block. */
static int block_fill(struct gcheap_heap *heap, unsigned long first, unsigned long end)
{
	unsigned long number = first / PAGES_BLOCK;
	void *entry = xa_load(&heap->blocks, number);
	struct page **pages;
	unsigned long i;
	int error;

	/* What is there already needs no memory. */
	for (i = first; i < end && block_page(entry, i % PAGES_BLOCK); i++)
		;
	if (i == end)
		return 0;
	error = pages_check_slack(heap, PAGES_BLOCK);
	if (error)
		return error;
	if (!entry) {
		if (number) {
			error = block_make_whole(heap, number);
			if (error || xa_load(&heap->blocks, number))
				return error;
		}
		error = block_make_scattered(heap, number);
		if (error)
			return error;
		entry = xa_load(&heap->blocks, number);
	}

	pages = xa_untag_pointer(entry);
	for (i = first % PAGES_BLOCK; i < first % PAGES_BLOCK + (end - first); i++) {
		struct page *page;

		if (pages[i])
			continue;
		page = alloc_page(PAGES_GFP | __GFP_RETRY_MAYFAIL);
		if (!page)
			return -ENOMEM;
		pages_account(heap, 1);
		WRITE_ONCE(pages[i], page);	/* page faults look here */
		xa_set_mark(&heap->blocks, number, BLOCK_UNMAPPED);
	}
	return 0;
}

/* Maps what the running request has made, in runs as long as they can be. */
static int blocks_map(struct gcheap_heap *heap)
{
	unsigned long start = 0, count = 0, number;
	unsigned int i;
	void *entry;
	int error;

	xa_for_each_marked(&heap->blocks, number, entry, BLOCK_UNMAPPED) {
		for (i = 0; i < PAGES_BLOCK; i++) {
			struct page *page = block_page(entry, i);
			unsigned long index = number * PAGES_BLOCK + i;

			if (count && (!page || index != start + count ||
				      count == GCHEAP_MAP_BATCH)) {
				error = mapping_map_pages(heap, start, heap->batch, count);
				if (error)
					return error;
				count = 0;
			}
			if (!page)
				continue;
			if (!count)
				start = index;
			heap->batch[count++] = page;
		}
		if (port_interrupted())
			return -EINTR;
	}
	return count ? mapping_map_pages(heap, start, heap->batch, count) : 0;
}

static void block_give_back(struct gcheap_heap *heap, unsigned long number, void *entry)
{
	mutex_lock(&heap->fault_lock);
	xa_erase(&heap->blocks, number);
	mutex_unlock(&heap->fault_lock);
	/* No fault finds the block any more; one may have before. */
	unmap_mapping_pages(heap->inode->i_mapping,
			    region_pgoff(GCHEAP_REGION_HEAP) + number * PAGES_BLOCK,
			    PAGES_BLOCK, false);
	block_free(heap, entry);
	cond_resched();
}

/* Undoes what the running request has done. */
static void blocks_give_back(struct gcheap_heap *heap)
{
	unsigned long number;
	void *entry;

	xa_for_each_marked(&heap->blocks, number, entry, BLOCK_NEW)
		block_give_back(heap, number, entry);
}

/**
 * pages_init() - prepare a heap to have object memory
 * @heap: the heap, new
 */
void pages_init(struct gcheap_heap *heap)
{
	xa_init_flags(&heap->blocks, XA_FLAGS_ACCOUNT);
}

/**
 * pages_find() - look a page of object memory up
 * @heap: the heap
 * @index: number of the page in the HEAP region
 *
 * Context: @heap->lock or @heap->fault_lock is held, so that the page stays.
 * Return: the page, or NULL when this part of the heap has no memory.
 */
struct page *pages_find(struct gcheap_heap *heap, unsigned long index)
{
	return block_page(xa_load(&heap->blocks, index / PAGES_BLOCK), index % PAGES_BLOCK);
}

/**
 * pages_populate() - back a part of the heap with memory, and map it
 * @heap: the heap
 * @first: number of the first page in the HEAP region
 * @count: how many
 *
 * Whole blocks are made, so that small spans are backed 64 KiB at a time. When
 * the owner has not mapped the region, page faults will map them later.
 *
 * Context: may sleep; @heap->lock is held.
 * Return: 0; -ENOMEM; -EINTR a fatal signal. After an error no block is there
 * that was not before.
 */
int pages_populate(struct gcheap_heap *heap, unsigned long first, unsigned long count)
{
	unsigned long end = first + count;
	unsigned long at, next, number;
	void *entry;
	int error;

	lockdep_assert_held(&heap->lock);
	/* Do not take all of the machine's memory to find that it is not enough. */
	if (count > totalram_pages())
		return -ENOMEM;
	for (at = first; at < end; at = next) {
		next = min(round_down(at, PAGES_BLOCK) + PAGES_BLOCK, end);
		error = block_fill(heap, at, next);
		if (!error && port_interrupted())
			error = -EINTR;
		if (error)
			goto give_back;
	}
	if (!xa_marked(&heap->blocks, BLOCK_UNMAPPED))
		return 0;
	error = blocks_map(heap);
	if (error)
		goto give_back;
	goto clear_marks;

give_back:
	blocks_give_back(heap);
clear_marks:
	xa_for_each_marked(&heap->blocks, number, entry, BLOCK_UNMAPPED) {
		xa_clear_mark(&heap->blocks, number, BLOCK_UNMAPPED);
		xa_clear_mark(&heap->blocks, number, BLOCK_NEW);
	}
	return error;
}

/**
 * pages_depopulate() - give the memory of a part of the heap back
 * @heap: the heap
 * @first: number of the first page in the HEAP region
 * @count: how many
 *
 * Blocks that are not wholly inside the part stay.
 *
 * Context: may sleep; @heap->lock is held.
 */
void pages_depopulate(struct gcheap_heap *heap, unsigned long first, unsigned long count)
{
	unsigned long end = (first + count) / PAGES_BLOCK;
	unsigned long number;
	void *entry;

	lockdep_assert_held(&heap->lock);
	if (!end)
		return;
	xa_for_each_range(&heap->blocks, number, entry, DIV_ROUND_UP(first, PAGES_BLOCK), end - 1)
		block_give_back(heap, number, entry);
}

/**
 * pages_destroy() - free all object memory
 * @heap: the heap; nobody can map its pages any more
 *
 * Context: may sleep.
 */
void pages_destroy(struct gcheap_heap *heap)
{
	unsigned long number;
	void *entry;

	xa_for_each(&heap->blocks, number, entry) {
		block_free(heap, entry);
		cond_resched();
	}
	xa_destroy(&heap->blocks);
}
