// SPDX-License-Identifier: MIT
/*
 * Stacks that the program declares, and that end with the frames on them.
 */
#include <errno.h>
#include <stdint.h>

#include "entry.h"
#include "error.h"
#include "frame.h"
#include "rest.h"
#include "stack.h"
#include "thread.h"

static int stack_check(const struct gcheap *heap, const char *low, size_t bytes)
{
	int error = heap_check(heap);

	if (error)
		return error;
	if (!low)
		return error_set(-EINVAL, "a stack's address is NULL");
	if (!bytes)
		return error_set(-EINVAL, "the stack at %p has a length of 0", low);
	if (bytes > UINTPTR_MAX - (uintptr_t)low)
		return error_set(-EINVAL, "the stack at %p goes past the end of the address space",
				 low);
	if (!stack_byte_is_readable(low) || !stack_byte_is_readable(low + bytes - 1))
		return error_set(-EFAULT, "the stack at %p, of %zu bytes, cannot be read from end "
				 "to end: declare it without its guard page", low, bytes);
	return 0;
}

int gcheap_stack_add(struct gcheap *heap, void *low, size_t bytes)
{
	LIBRARY_ENTRY;
	struct stack stack = { low, (const char *)low + bytes };
	int error = stack_check(heap, low, bytes);

	if (error)
		return error;
	pthread_mutex_lock(&heap->lock);
	error = stacks_add(&heap->stacks, &stack);
	pthread_mutex_unlock(&heap->lock);
	return error;
}

__attribute__((noinline))
int gcheap_stack_remove(struct gcheap *heap, void *low)
{
	LIBRARY_ENTRY;
	const char *sp = __builtin_frame_address(0);
	struct stack stack = { NULL, NULL };
	struct thread *thread;
	int error = heap_check(heap);

	if (error)
		return error;
	pthread_mutex_lock(&heap->lock);
	error = stacks_remove(&heap->stacks, low, sp, &stack);
	pthread_mutex_unlock(&heap->lock);
	if (error == -ENOENT)
		return error_set(error, "no stack was declared at %p", low);
	if (error)
		return error_set(error, "this thread runs on the stack at %p: switch to another "
				 "one first", low);
	/* Nobody returns to the frames on it. */
	thread = rest_self(heap);
	if (thread)
		frames_drop(thread, 0, &stack);
	return 0;
}
