// SPDX-License-Identifier: MIT
/*
 * Objects that are roots themselves.
 */
#include "pin.h"

#include <errno.h>

#include "entry.h"
#include "error.h"
#include "library.h"
#include "mark.h"

/* How many are marked together. */
#define PINS_BATCH	256u

static int pin_failed(const void *obj)
{
	return error_set(-ENOMEM, "out of memory for the entry that makes %p a root", obj);
}

int gcheap_pin(struct gcheap *heap, void *obj)
{
	LIBRARY_ENTRY;
	struct special *special;
	uint64_t key;
	int error = special_begin(heap, obj, &key);

	if (error)
		return error;
	key |= SPECIAL_PIN;
	special = special_find(heap, key);
	if (!special) {
		special = special_add(heap, key, obj);
		if (special)
			special_list_add(&heap->specials.roots, special);
		else
			error = pin_failed(obj);
	}
	if (special)
		special->count++;
	specials_unlock(heap);
	return error;
}

int gcheap_unpin(struct gcheap *heap, void *obj)
{
	LIBRARY_ENTRY;
	struct special *special;
	uint64_t key;
	int error = special_begin(heap, obj, &key);

	if (error)
		return error;
	key |= SPECIAL_PIN;
	special = special_find(heap, key);
	if (!special)
		error = error_set(-ENOENT, "%p is not pinned: gcheap_unpin() was called more often "
				  "for it than gcheap_pin()", obj);
	else if (!--special->count)
		special_remove(heap, special);
	specials_unlock(heap);
	return error;
}

int pin_uncollectable(struct gcheap *heap, void *obj)
{
	struct special *special;
	uint64_t key;
	int error = special_begin(heap, obj, &key);

	if (error)
		return error;
	special = special_add(heap, key | SPECIAL_UNCOLLECTABLE, obj);
	if (special)
		special_list_add(&heap->specials.roots, special);
	specials_unlock(heap);
	return special ? 0 : pin_failed(obj);
}

uint64_t pins_mark(struct gcheap *heap)
{
	const uint64_t *alloc_bits = view_alloc_bits(&heap->view);
	struct special_link *list = &heap->specials.roots;
	struct special_link *link, *next;
	void *objects[PINS_BATCH];
	uint64_t bytes = 0;
	size_t count = 0;

	for (link = list->next; link != list; link = next) {
		struct special *special = (struct special *)link;

		next = link->next;
		/* It was free, in another thread's cache, when the program named it. */
		if (!view_bit(alloc_bits, special_granule(special->key))) {
			special_remove(heap, special);
			continue;
		}
		objects[count++] = special->object;
		bytes += sizeof(*objects);
		if (count == PINS_BATCH) {
			mark_slots_here(heap->marker, objects, count);
			count = 0;
		}
	}
	mark_slots_here(heap->marker, objects, count);
	return bytes;
}
