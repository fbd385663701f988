// SPDX-License-Identifier: MIT
/*
 * Allocation of objects that are roots themselves.
 */
#include <errno.h>

#include "entry.h"
#include "library.h"
#include "pin.h"
#include "thread.h"

void *gcheap_new_uncollectable(struct gcheap_thread *fast, gcheap_type type, size_t n)
{
	LIBRARY_ENTRY;
	struct thread *thread = (struct thread *)fast;
	void *obj = type ? gcheap_new_array_slow_(fast, type, n) : gcheap_new_leaf_slow_(fast, n);
	int error;

	if (!obj)
		return NULL;
	/* No cycle runs in between: for that this thread would have to come to rest. */
	error = pin_uncollectable(thread->heap, obj);
	if (!error)
		return obj;
	gcheap_free(fast, obj);
	errno = -error;
	return NULL;
}
