// SPDX-License-Identifier: MIT
/*
 * What every function of the interface asks first: whether this process may use the heap, and
 * what a type's number means there. The memory of struct gcheap, which may be read for longer
 * than the heap can be used.
 */
#include "library.h"

#include <errno.h>
#include <stdlib.h>

#include "entry.h"
#include "error.h"
#include "wipe_on_fork.h"

#define OWNER_MARK_BYTES	4096u

struct gcheap *heap_alloc(void)
{
	struct gcheap *heap = calloc(1, sizeof(*heap));
	uint32_t *mark;

	if (!heap)
		return NULL;
	mark = wipe_on_fork_alloc(OWNER_MARK_BYTES);
	if (!mark) {
		free(heap);
		return NULL;
	}
	*mark = 1;
	heap->owner_mark = mark;
	heap->references = 1;
	pthread_mutex_init(&heap->lock, NULL);
	pthread_mutex_init(&heap->world.lock, NULL);
	return heap;
}

void heap_put(struct gcheap *heap)
{
	if (__atomic_sub_fetch(&heap->references, 1, __ATOMIC_ACQ_REL))
		return;
	pthread_mutex_destroy(&heap->world.lock);
	pthread_mutex_destroy(&heap->lock);
	wipe_on_fork_free(heap->owner_mark, OWNER_MARK_BYTES);
	free(heap);
}

bool heap_is_here(const struct gcheap *heap)
{
	return __builtin_expect(__atomic_load_n(heap->owner_mark, __ATOMIC_RELAXED) != 0, 1);
}

bool heap_is_beginning(const struct gcheap *heap)
{
	return __atomic_load_n(&heap->hooks.beginning, __ATOMIC_RELAXED) == &entry_state;
}

int heap_check(const struct gcheap *heap)
{
	if (!heap)
		return error_set(-EINVAL, "the heap is NULL: open one with gcheap_open()");
	if (!heap_is_here(heap) && heap->is_closed)
		return error_set(-EINVAL, "this thread's handle is of a heap that another thread "
				 "has closed");
	if (!heap_is_here(heap))
		return error_set(-EPERM, "this heap is the parent process's: after fork the child "
				 "must open a heap of its own");
	if (heap_is_beginning(heap))
		return error_set(-EINVAL, "in a hook's cycle_begins() all threads are stopped, and "
				 "gcheap_hook_mark() alone may be called");
	return 0;
}

const struct gcheap_type_record *heap_type(const struct gcheap *heap, gcheap_type type)
{
	if (!view_type_exists(&heap->view, type))
		return NULL;
	return view_type(&heap->view, type);
}
