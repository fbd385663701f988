// SPDX-License-Identifier: MIT
/*
 * The table of specials: entries by key, and the page specials, which are exact: a span's bit is
 * set if and only if there is an entry of an object in it.
 */
#include "special.h"

#include <errno.h>

#include "address.h"
#include "bad_pointer.h"
#include "error.h"
#include "library.h"
#include "owned.h"
#include "rest.h"
#include "thread.h"

void specials_init(struct specials *specials)
{
	pthread_mutex_init(&specials->lock, NULL);
	tree_init(&specials->tree);
	specials->records = (struct pool) { .piece_bytes = 64 };
	special_list_init(&specials->roots);
	special_list_init(&specials->arguments);
	special_list_init(&specials->ephemerons);
	special_list_init(&specials->ready);
	special_list_init(&specials->settled);
	special_list_init(&specials->maps);
	special_list_init(&specials->queue);
	special_list_init(&specials->running);
}

_Static_assert(sizeof(struct special) <= 64, "an entry is a cache line");

void specials_trim(struct specials *specials)
{
	pool_trim(&specials->records);
	pool_trim(&specials->tree.nodes);
}

void specials_destroy(struct specials *specials)
{
	tree_destroy(&specials->tree);
	pool_destroy(&specials->records);
	pthread_mutex_destroy(&specials->lock);
}

void specials_lock(struct gcheap *heap)
{
	pthread_mutex_lock(&heap->specials.lock);
}

void specials_unlock(struct gcheap *heap)
{
	pthread_mutex_unlock(&heap->specials.lock);
}

int special_begin(struct gcheap *heap, const void *obj, uint64_t *key)
{
	char where[BAD_POINTER_TEXT];
	const struct thread *self;
	struct owned owned;
	const char *why;
	int error = heap_check(heap);

	if (error)
		return error;
	self = rest_self(heap);
	specials_lock(heap);
	if (owned_find(heap, self, obj, &owned, &why)) {
		*key = special_key(&owned, obj, heap);
		return 0;
	}
	specials_unlock(heap);
	if (why)
		return error_set(-EINVAL, "%p is not where an object begins: %s", obj, why);
	return error_set(-EINVAL, "%p is not where an object begins: it leads %s", obj,
			 bad_pointer_describe(heap, obj, where));
}

uint64_t special_key(const struct owned *owned, const void *obj, const struct gcheap *heap)
{
	if (owned->is_shared)
		return address_offset(&heap->view, obj) << SPECIAL_OFFSET_SHIFT | SPECIAL_SHARED;
	return owned->slot.offset << SPECIAL_OFFSET_SHIFT;
}

/* ---- page specials ------------------------------------------------------------ */

/* First page of the span that has a key's object. */
static uint32_t key_page(const struct gcheap *heap, uint64_t key)
{
	struct slot slot;

	/* There is one: of what is free no entry is left. */
	if (!address_slot(&heap->view, SPECIAL_OFFSET(key), &slot))
		return 0;
	return slot.page;
}

static bool place_is_in(const struct tree_place *place, uint64_t first, uint64_t end)
{
	uint64_t key;

	if (!place->leaf)
		return false;
	key = place->leaf->keys[place->index];
	return key >= first && key < end;
}

/* The entry with @key has gone: clears its span's bit if that was the last. */
static void page_update(struct gcheap *heap, uint64_t key)
{
	uint64_t page = key_page(heap, key);
	uint64_t end = page + heap->view.spans[page].npages;
	const uint64_t shift = GCHEAP_PAGE_SHIFT + SPECIAL_OFFSET_SHIFT;
	struct tree_place before, from;

	tree_around(&heap->specials.tree, key, &before, &from);
	if (place_is_in(&before, page << shift, end << shift) ||
	    place_is_in(&from, page << shift, end << shift))
		return;
	__atomic_fetch_and(&heap->view.page_specials[page / 64], ~(1ull << page % 64),
			   __ATOMIC_RELAXED);
}

bool special_span_has_any(const struct gcheap *heap, uint64_t first_page)
{
	return __atomic_load_n(&heap->view.page_specials[first_page / 64], __ATOMIC_RELAXED) >>
	       first_page % 64 & 1;
}

/* ---- entries -------------------------------------------------------------------- */

struct special *special_find(struct gcheap *heap, uint64_t key)
{
	struct tree_place place;

	if (!tree_find(&heap->specials.tree, key, &place))
		return NULL;
	return place.leaf->values[place.index];
}

struct special *special_add(struct gcheap *heap, uint64_t key, void *obj)
{
	struct specials *specials = &heap->specials;
	struct special *special = pool_alloc(&specials->records);
	uint64_t page;

	if (!special)
		return NULL;
	*special = (struct special) { .key = key, .object = obj };
	if (!tree_insert(&specials->tree, key, special)) {
		pool_free(&specials->records, special);
		return NULL;
	}
	specials->mortal += SPECIAL_IS_MORTAL(SPECIAL_KIND(key));
	page = key_page(heap, key);
	if (!special_span_has_any(heap, page))
		__atomic_fetch_or(&heap->view.page_specials[page / 64], 1ull << page % 64,
				  __ATOMIC_RELAXED);
	return special;
}

void special_take(struct gcheap *heap, struct special *special)
{
	special_list_remove(special);
	tree_remove(&heap->specials.tree, special->key);
	heap->specials.mortal -= SPECIAL_IS_MORTAL(SPECIAL_KIND(special->key));
	page_update(heap, special->key);
}

void special_remove(struct gcheap *heap, struct special *special)
{
	special_take(heap, special);
	pool_free(&heap->specials.records, special);
}

void special_replace(struct gcheap *heap, struct special *special, struct special *other)
{
	struct tree_place place;

	/* There is one. */
	if (tree_find(&heap->specials.tree, special->key, &place))
		place.leaf->values[place.index] = other;
	if (!special->link.next)
		return;
	other->link = special->link;
	other->link.next->prev = &other->link;
	other->link.prev->next = &other->link;
	special->link = (struct special_link) { NULL, NULL };
}

struct special *special_next(struct gcheap *heap, uint64_t key, uint64_t end)
{
	struct tree_place before, from;

	tree_around(&heap->specials.tree, key, &before, &from);
	if (!from.leaf || from.leaf->keys[from.index] >= end)
		return NULL;
	return from.leaf->values[from.index];
}
