// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Which page of object memory is where.
 *
 * Pages are found in leaves: arrays of 512 pages, which is what one page table
 * maps, in an xarray by leaf number. A page is there when kmod/core has asked for
 * it or, in a lazy object, when it was touched; no other page is, and an access to
 * it fails.
 *
 * In a heap of GCHEAP_SETUP_HUGE_PAGES the pages of a leaf may be the parts of one
 * 2 MiB page: see huge.c.
 *
 * Locking. Pages and leaves come and go under gcheap_heap.fault_lock, so that page
 * faults see each page either before it is taken away, and then the page is
 * unmapped after the fault has mapped it, or not at all. Only a request, under
 * gcheap_heap.lock, takes pages away or frees leaves: a request may look at both
 * without fault_lock, and sees at worst not what a fault adds.
 */
#include <linux/mm.h>
#include <linux/slab.h>

#include "leaves.h"
#include "module.h"
#include "totals.h"

/**
 * leaf_free() - free a leaf
 * @leaf: the leaf, which nobody finds any more, and has no pages
 */
void leaf_free(struct pages_leaf *leaf)
{
	kfree(leaf->pages);
	kfree(leaf);
}

/**
 * leaf_make() - make a leaf, if it is not there
 * @heap: the heap
 * @index: number of one of its pages in the HEAP region
 *
 * Context: may sleep; needs no lock.
 * Return: the leaf, or NULL when out of memory.
 */
struct pages_leaf *leaf_make(struct gcheap_heap *heap, unsigned long index)
{
	struct pages_leaf *leaf = leaf_find(heap, index);
	struct pages_leaf *other;

	if (leaf)
		return leaf;
	leaf = kzalloc(sizeof(*leaf), GCHEAP_GFP);
	if (!leaf)
		return NULL;
	leaf->pages = kcalloc(LEAF_PAGES, sizeof(*leaf->pages), GCHEAP_GFP);
	if (!leaf->pages)
		goto free_leaf;
	leaf->number = index >> LEAF_SHIFT;
	other = xa_cmpxchg(&heap->leaves, index >> LEAF_SHIFT, NULL, leaf, GCHEAP_GFP);
	if (!other)
		return leaf;
	/* Either it failed, or somebody else was faster. */
	leaf_free(leaf);
	return xa_is_err(other) ? NULL : other;

free_leaf:
	leaf_free(leaf);
	return NULL;
}

/**
 * leaf_drop() - have no page fault find a leaf any more
 * @heap: the heap
 * @leaf: the leaf, which has no page that anybody has asked for
 * @removal: is to free it
 *
 * Context: @heap->lock and @heap->fault_lock are held.
 */
void leaf_drop(struct gcheap_heap *heap, struct pages_leaf *leaf, struct removal *removal)
{
	xa_erase(&heap->leaves, leaf->number);
	leaf->next_empty = removal->empty;
	removal->empty = leaf;
}

/**
 * pages_account() - count pages that leaves have got, or have no more
 * @heap: the heap
 * @count: how many; negative: they have them no more
 *
 * Context: any.
 */
void pages_account(struct gcheap_heap *heap, long count)
{
	atomic_long_add(count, &heap->resident_pages);
	atomic64_add(count * (long)PAGE_SIZE, &gcheap_object_bytes);
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
	struct pages_leaf *leaf = leaf_find(heap, index);

	/* Pairs with WRITE_ONCE() in leaf_fill() and fault_make(). */
	return leaf ? READ_ONCE(leaf->pages[index % LEAF_PAGES]) : NULL;
}

/**
 * pages_row() - find pages of object memory that follow each other
 * @heap: the heap
 * @index: number of the first in the HEAP region
 * @end: number of one up to which to look, in the same 2 MiB; receives that of the
 *	first from @index on that is not there
 *
 * Context: as pages_find().
 * Return: the pages @index ... @end - 1.
 */
struct page *const *pages_row(struct gcheap_heap *heap, unsigned long index,
			      unsigned long *end)
{
	struct pages_leaf *leaf = leaf_find(heap, index);
	struct page *const *pages;
	unsigned long count = *end - index, i;

	if (!leaf) {
		*end = index;
		return NULL;
	}
	pages = leaf->pages + index % LEAF_PAGES;
	if (leaf->present == LEAF_PAGES)
		return pages;
	for (i = 0; i < count && pages[i]; i++)
		;
	*end = index + i;
	return pages;
}
