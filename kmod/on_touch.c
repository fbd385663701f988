// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Which parts of object memory get pages as they are touched: objects of
 * GCHEAP_ALLOC_LAZY.
 *
 * Page faults have to know them and may not wait for gcheap_heap.lock. So the
 * parts, which do not overlap, are in a tree by their first page, under
 * gcheap_heap.fault_lock. To end one needs no memory and cannot fail.
 */
#include <linux/rbtree.h>
#include <linux/slab.h>

#include "module.h"
#include "on_touch.h"

/**
 * struct touch_part - pages of one object
 * @node: in gcheap_heap.on_touch
 * @first: number of the first page in the HEAP region
 * @end: the page after the last
 */
struct touch_part {
	struct rb_node node;
	unsigned long first;
	unsigned long end;
};

static struct touch_part *part_find(struct gcheap_heap *heap, unsigned long index)
{
	struct rb_node *node = heap->on_touch.rb_node;

	lockdep_assert_held(&heap->fault_lock);
	while (node) {
		struct touch_part *part = rb_entry(node, struct touch_part, node);

		if (index < part->first)
			node = node->rb_left;
		else if (index >= part->end)
			node = node->rb_right;
		else
			return part;
	}
	return NULL;
}

static void part_insert(struct gcheap_heap *heap, struct touch_part *new)
{
	struct rb_node **link = &heap->on_touch.rb_node;
	struct rb_node *parent = NULL;

	while (*link) {
		parent = *link;
		if (new->first < rb_entry(parent, struct touch_part, node)->first)
			link = &parent->rb_left;
		else
			link = &parent->rb_right;
	}
	rb_link_node(&new->node, parent, link);
	rb_insert_color(&new->node, &heap->on_touch);
}

/**
 * on_touch_begin() - from now on, make pages as they are touched
 * @heap: the heap
 * @first: number of the first page in the HEAP region
 * @count: how many; none of them is there, or in another such part
 *
 * Context: may sleep; @heap->lock is held.
 * Return: 0 or -ENOMEM.
 */
int on_touch_begin(struct gcheap_heap *heap, unsigned long first, unsigned long count)
{
	struct touch_part *part = kmalloc(sizeof(*part), GCHEAP_GFP);
	unsigned int flags;

	lockdep_assert_held(&heap->lock);
	if (!part)
		return -ENOMEM;
	part->first = first;
	part->end = first + count;
	flags = fault_lock(heap);
	part_insert(heap, part);
	fault_unlock(heap, flags);
	return 0;
}

/**
 * on_touch_end() - make no more pages of a part
 * @heap: the heap
 * @first: its first page
 *
 * Context: may sleep; @heap->lock is held.
 */
void on_touch_end(struct gcheap_heap *heap, unsigned long first)
{
	struct touch_part *part;
	unsigned int flags;

	lockdep_assert_held(&heap->lock);
	flags = fault_lock(heap);
	part = part_find(heap, first);
	if (part)
		rb_erase(&part->node, &heap->on_touch);
	fault_unlock(heap, flags);
	kfree(part);
}

/**
 * on_touch_find() - find out whether a page is made when it is touched
 * @heap: the heap
 * @index: number of the page in the HEAP region
 * @first: set to the first page of the part that it is in
 * @end: set to the page after its last
 *
 * Context: @heap->fault_lock is held.
 */
bool on_touch_find(struct gcheap_heap *heap, unsigned long index, unsigned long *first,
		   unsigned long *end)
{
	struct touch_part *part = part_find(heap, index);

	if (!part)
		return false;
	*first = part->first;
	*end = part->end;
	return true;
}

/**
 * on_touch_overlaps() - find out whether pages that are touched may be made in a range
 * @heap: the heap
 * @first: number of the first page in the HEAP region
 * @end: the page after the last
 *
 * Context: @heap->lock is held; @heap->fault_lock is not.
 */
bool on_touch_overlaps(struct gcheap_heap *heap, unsigned long first, unsigned long end)
{
	unsigned int flags = fault_lock(heap);
	struct rb_node *node = heap->on_touch.rb_node;
	bool found = false;

	while (node && !found) {
		struct touch_part *part = rb_entry(node, struct touch_part, node);

		if (end <= part->first)
			node = node->rb_left;
		else if (first >= part->end)
			node = node->rb_right;
		else
			found = true;
	}
	fault_unlock(heap, flags);
	return found;
}

/**
 * on_touch_destroy() - forget all parts
 * @heap: the heap; nobody can touch it any more
 */
void on_touch_destroy(struct gcheap_heap *heap)
{
	struct touch_part *part, *next;

	rbtree_postorder_for_each_entry_safe(part, next, &heap->on_touch, node)
		kfree(part);
	heap->on_touch = RB_ROOT;
}
