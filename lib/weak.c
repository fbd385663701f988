// SPDX-License-Identifier: MIT
/*
 * Weak references.
 *
 * A reference is a leaf that all share who ask for one of an object. While somebody has it, it is a
 * root: its entry is in the list of arguments. Later it lives as long as something leads to it, as
 * any object does. The entry is in the table for as long as both the object and the reference live.
 */
#include "library.h"
#include "weak.h"

#include "address.h"
#include "entry.h"
#include "error.h"
#include "mark.h"
#include "thread.h"

bool weak_is_dead(const struct gcheap *heap, const struct special *special)
{
	/* A leaf begins where its slot does. */
	return !mark_is_set(heap->marker,
			    granule_of(address_offset(&heap->view, special->argument)));
}

void weak_end(struct gcheap *heap, struct special *special)
{
	struct gcheap_weak *weak = weak_of(special);

	weak_set(special, NULL);
	if (special->count) {
		special->is_queued = true;
		if (!special->link.next)
			special_list_add(&heap->specials.arguments, special);
		return;
	}
	weak->special = NULL;
	special_list_remove(special);
	pool_free(&heap->specials.records, special);
}

/* A thread that cycles stop can have the object by the time that it is in its roots. */
void *gcheap_weak_get(struct gcheap_thread *fast, struct gcheap_weak *weak)
{
	const struct thread *thread = (const struct thread *)fast;

	if (!thread || !weak || !heap_is_here(thread->heap))
		return NULL;
	return __atomic_load_n(&weak->object, __ATOMIC_RELAXED);
}

void gcheap_weak_free(struct gcheap *heap, struct gcheap_weak *weak)
{
	LIBRARY_ENTRY;
	struct special *special;
	uint64_t key;

	if (!weak || special_begin(heap, weak, &key))
		return;
	special = weak->special;
	if (special && special->count) {
		if (!--special->count) {
			special_list_remove(special);
			if (special->is_queued)
				weak_end(heap, special);
		}
	}
	specials_unlock(heap);
}
