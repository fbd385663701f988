// SPDX-License-Identifier: MIT
/*
 * What every function of the interface asks first: whether this process may use the heap, and
 * what a type's number means there.
 */
#include "library.h"

#include <errno.h>

#include "error.h"

bool heap_is_here(const struct gcheap *heap)
{
	return __builtin_expect(*heap->owner_mark != 0, 1);
}

int heap_check(const struct gcheap *heap)
{
	if (!heap)
		return error_set(-EINVAL, "the heap is NULL: open one with gcheap_open()");
	if (!heap_is_here(heap))
		return error_set(-EPERM, "this heap is the parent process's: after fork the child "
				 "must open a heap of its own");
	return 0;
}

const struct gcheap_type_record *heap_type(const struct gcheap *heap, gcheap_type type)
{
	if (!view_type_exists(&heap->view, type))
		return NULL;
	return view_type(&heap->view, type);
}
