// SPDX-License-Identifier: MIT
/*
 * Specials of all kinds together, when their objects go.
 *
 * A cycle walks through the table in order: once to find the objects that are not marked, and when
 * there are any, again, after finalizers have kept theirs, to end the entries of those that are
 * dead for good, and to bring the page specials up to date, span by span.
 */
#include "specials.h"

#include <errno.h>

#include "address.h"
#include "ephemeron.h"
#include "error.h"
#include "finalizer.h"
#include "library.h"
#include "mark.h"
#include "owned.h"
#include "stop_kernel.h"
#include "weak.h"
#include "weak_map.h"

/* ---- cycles ---------------------------------------------------------------------- */

bool specials_may_die(const struct gcheap *heap)
{
	return heap->specials.mortal || heap->specials.cyclic;
}

static bool is_weak(uint64_t key)
{
	return SPECIAL_KIND(key) == SPECIAL_WEAK || SPECIAL_KIND(key) == SPECIAL_WEAK_LONG;
}

/*
 * The finalizers of objects that are not marked, and in @others whether there are other entries
 * that may have to go. Weak references of the short kind to such objects are cleared.
 */
static struct dead find_dead(const struct gcheap *heap, bool *others)
{
	const uint64_t *marks = view_mark_bits(&heap->view);
	struct dead dead = { .first = NULL };
	struct special **last = &dead.first;
	const struct tree_node *leaf;
	uint64_t i;

	*others = false;
	for (leaf = heap->specials.tree.first; leaf; leaf = leaf->next) {
		for (i = 0; i < leaf->count; i++) {
			uint64_t key = leaf->keys[i];

			if (view_bit(marks, special_granule(key))) {
				*others |= is_weak(key) && weak_is_dead(heap, leaf->values[i]);
				continue;
			}
			if (SPECIAL_KIND(key) == SPECIAL_WEAK)
				weak_set(leaf->values[i], NULL);
			if (SPECIAL_KIND(key) != SPECIAL_FINALIZER) {
				*others = true;
				continue;
			}
			*last = leaf->values[i];
			dead.count++;
			dead.waited += (*last)->has_waited;
			last = &(*last)->next;
		}
	}
	*last = NULL;
	return dead;
}

/**
 * struct span_walk - the span that a walk through the table is in
 * @page: its first page
 * @end: the key behind those of its objects; 0: there is none
 * @has_any: it has entries that stay
 */
struct span_walk {
	uint64_t page;
	uint64_t end;
	bool has_any;
};

static void span_leave(struct gcheap *heap, const struct span_walk *walk)
{
	if (walk->end && !walk->has_any)
		heap->view.page_specials[walk->page / 64] &= ~(1ull << walk->page % 64);
}

static void span_enter(const struct gcheap *heap, struct span_walk *walk, uint64_t key)
{
	struct slot slot;

	*walk = (struct span_walk) { .end = key + 1 };
	if (!address_slot(&heap->view, SPECIAL_OFFSET(key), &slot))
		return;
	walk->page = slot.page;
	walk->end = (walk->page + heap->view.spans[slot.page].npages) <<
		    (GCHEAP_PAGE_SHIFT + SPECIAL_OFFSET_SHIFT);
}

/*
 * Whether an entry is to go: what was to be done with it has been. Owners of maps go on a list, as
 * the entries of their maps are elsewhere in the table.
 */
static bool entry_ends(struct gcheap *heap, struct special *special, struct special_link *owners)
{
	bool is_marked = mark_is_set(heap->marker, special_granule(special->key));

	switch (SPECIAL_KIND(special->key)) {
	case SPECIAL_FINALIZER:
		return special->is_queued;
	case SPECIAL_CLEANUP:
		if (!is_marked)
			cleanups_queue(heap, special);
		return !is_marked;
	case SPECIAL_WEAK:
	case SPECIAL_WEAK_LONG:
		if (is_marked && weak_of(special)->object && !weak_is_dead(heap, special))
			return false;
		weak_end(heap, special);
		return true;
	case SPECIAL_EPHEMERON:
		if (!is_marked)
			ephemerons_free(heap, special);
		return !is_marked;
	case SPECIAL_MAP:
		if (!is_marked) {
			special_list_remove(special);
			special_list_add(owners, special);
		}
		return !is_marked;
	default:
		return false;
	}
}

static void end_dead(struct gcheap *heap)
{
	struct specials *specials = &heap->specials;
	struct span_walk walk = { .end = 0 };
	struct special_link owners;
	struct tree_node *leaf;
	uint64_t i;

	special_list_init(&owners);
	for (leaf = specials->tree.first; leaf; leaf = leaf->next) {
		for (i = 0; i < leaf->count; i++) {
			if (leaf->keys[i] >= walk.end) {
				span_leave(heap, &walk);
				span_enter(heap, &walk, leaf->keys[i]);
			}
			if (entry_ends(heap, leaf->values[i], &owners)) {
				leaf->values[i] = NULL;
				specials->mortal--;
			} else {
				walk.has_any = true;
			}
		}
	}
	span_leave(heap, &walk);
	tree_compact(&specials->tree);
	while (!special_list_is_empty(&owners))
		weak_maps_free(heap, special_list_first(&owners));
}

/* What the last cycle found to lead to itself may be reachable again. */
static void forget_cyclic(struct specials *specials)
{
	const struct tree_node *leaf;
	uint64_t i;

	for (leaf = specials->tree.first; leaf && specials->cyclic; leaf = leaf->next) {
		for (i = 0; i < leaf->count; i++) {
			struct special *special = leaf->values[i];

			if (SPECIAL_KIND(leaf->keys[i]) == SPECIAL_FINALIZER)
				special->is_cyclic = false;
		}
	}
	specials->cyclic = 0;
}

/* Weak references lead to their objects again: it is not known which of these are dead. */
static void weak_restore(struct gcheap *heap)
{
	const struct tree_node *leaf;
	uint64_t i;

	for (leaf = heap->specials.tree.first; leaf; leaf = leaf->next) {
		for (i = 0; i < leaf->count; i++) {
			struct special *special = leaf->values[i];

			if (SPECIAL_KIND(leaf->keys[i]) == SPECIAL_WEAK)
				weak_set(special, special->object);
		}
	}
}

int specials_settle(struct gcheap *heap)
{
	struct dead dead;
	bool others;
	int error;

	forget_cyclic(&heap->specials);
	dead = find_dead(heap, &others);
	if (dead.first)
		finalizers_settle(heap, &dead);
	ephemerons_settled(heap);
	/*
	 * A thread that has gone on could have had an object by a weak reference that was not
	 * cleared yet. Of what is dead now nobody has anything any more.
	 */
	error = stop_kernel_check(heap);
	if (error) {
		weak_restore(heap);
		return error;
	}
	finalizers_queue(heap, &dead);
	if (dead.outermost || others)
		end_dead(heap);
	return 0;
}

/* ---- giving back ------------------------------------------------------------------ */

static int free_locked(struct gcheap *heap, uint64_t first, const void *obj)
{
	struct special *special = special_find(heap, first | SPECIAL_PIN);

	if (special)
		return error_set(-EBUSY, "%p is pinned: gcheap_unpin() it before it is freed", obj);
	while ((special = special_next(heap, first, SPECIAL_END(first)))) {
		if (SPECIAL_KIND(special->key) == SPECIAL_CLEANUP) {
			special_take(heap, special);
			cleanups_queue(heap, special);
		} else if (is_weak(special->key)) {
			special_take(heap, special);
			weak_end(heap, special);
		} else if (SPECIAL_KIND(special->key) == SPECIAL_EPHEMERON) {
			special_take(heap, special);
			ephemerons_free(heap, special);
		} else if (SPECIAL_KIND(special->key) == SPECIAL_MAP) {
			special_take(heap, special);
			weak_maps_free(heap, special);
		} else {
			special_remove(heap, special);
		}
	}
	return 0;
}

int specials_free(struct gcheap *heap, const struct owned *owned, const void *obj)
{
	int error;

	if (!special_span_has_any(heap, owned->slot.page))
		return 0;
	specials_lock(heap);
	error = free_locked(heap, special_key(owned, obj, heap), obj);
	specials_unlock(heap);
	return error;
}
