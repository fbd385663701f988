// SPDX-License-Identifier: MIT
/*
 * Making weak references, which are objects themselves.
 */
#include "library.h"
#include "weak.h"

#include <errno.h>

#include "entry.h"
#include "error.h"
#include "rest.h"
#include "thread.h"

static struct gcheap_weak *take(struct gcheap *heap, struct special *special)
{
	if (!special->count++)
		special_list_add(&heap->specials.arguments, special);
	return weak_of(special);
}

/* An entry for @weak, or the one that another thread has made meanwhile. */
static int add(struct gcheap *heap, void *obj, enum special_kind kind, struct gcheap_weak **weak)
{
	struct special *special;
	uint64_t key;
	int error = special_begin(heap, obj, &key);

	if (error)
		return error;
	key |= kind;
	special = special_find(heap, key);
	if (!special) {
		special = special_add(heap, key, obj);
		if (special) {
			special->argument = *weak;
			(*weak)->object = obj;
			(*weak)->special = special;
		}
	}
	if (special)
		*weak = take(heap, special);
	specials_unlock(heap);
	if (!special)
		return error_set(-ENOMEM, "out of memory for the entry of a weak reference to %p",
				 obj);
	return 0;
}

static int weak_new(struct gcheap *heap, void *obj, enum special_kind kind,
		    struct gcheap_weak **out)
{
	struct gcheap_weak *weak = NULL;
	struct thread *thread;
	struct special *special;
	uint64_t key;
	int error;

	if (!out)
		return error_set(-EINVAL, "the weak reference to fill in is NULL");
	error = special_begin(heap, obj, &key);
	if (error)
		return error;
	special = special_find(heap, key | kind);
	if (special)
		weak = take(heap, special);
	specials_unlock(heap);
	if (!weak) {
		thread = rest_self(heap);
		if (!thread)
			return error_set(-EINVAL, "this thread is not attached to the heap, where "
					 "weak references are objects: gcheap_thread_attach() it");
		/* It may collect, so that the lock is not held. */
		weak = gcheap_new_leaf_slow_(&thread->fast, sizeof(*weak));
		if (!weak)
			return -errno;
		error = add(heap, obj, kind, &weak);
	}
	if (!error)
		*out = weak;
	return error;
}

int gcheap_weak_new(struct gcheap *heap, void *obj, struct gcheap_weak **weak)
{
	LIBRARY_ENTRY;
	return weak_new(heap, obj, SPECIAL_WEAK, weak);
}

int gcheap_weak_new_long(struct gcheap *heap, void *obj, struct gcheap_weak **weak)
{
	LIBRARY_ENTRY;
	return weak_new(heap, obj, SPECIAL_WEAK_LONG, weak);
}
