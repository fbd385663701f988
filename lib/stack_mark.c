// SPDX-License-Identifier: MIT
/*
 * What a cycle reads of stacks: those that threads run on from the stack pointer up, suspended ones
 * whole (stack.h), and the fake frames that they lead to.
 */
#include "stack_mark.h"

#include <unistd.h>

#include "mark.h"
#include "mark_piece.h"
#include "stack.h"
#include "thread.h"

/* Mark what the fake frames lead to that a real stack leads to. */
__attribute__((no_sanitize("address")))
static uint64_t mark_fake_frames(struct marker *marker, void *fake, const char *low,
				 const char *top)
{
	uintptr_t at = ((uintptr_t)low + 7) & ~(uintptr_t)7;
	const void *last = NULL;
	uint64_t bytes = 0;

	for (; at + 8 <= (uintptr_t)top; at += 8) {
		void *start, *end;

		if (!__asan_addr_is_in_fake_stack(fake, *(void *const *)at, &start, &end) ||
		    start == last)
			continue;
		last = start;
		mark_ambiguous(marker, start, (size_t)((char *)end - (char *)start));
		bytes += (uint64_t)((char *)end - (char *)start);
	}
	return bytes;
}

static uint64_t mark_range(struct marker *marker, const char *low, const char *top)
{
	uint64_t bytes = (uint64_t)(top - low);
	void *fake = stack_fake();

	mark_ambiguous(marker, low, bytes);
	if (fake)
		bytes += mark_fake_frames(marker, fake, low, top);
	return bytes;
}

/* Calls @mark for what can be read of a stack. */
static void each_readable(struct marker *marker, const char *low, const char *top,
			  void (*mark)(struct marker *marker, uint64_t low, uint64_t top))
{
	const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

	while (low < top) {
		const char *end = stack_readable_end(low, top);

		mark(marker, (uintptr_t)low, (uintptr_t)end);
		low = (const char *)(((uintptr_t)end & ~(page - 1)) + page);
	}
}

static void whole_piece(struct marker *marker, const struct mark_piece *piece)
{
	each_readable(marker, (const char *)(uintptr_t)piece->start,
		      (const char *)(uintptr_t)piece->end, mark_ambiguous_here);
}

static void range_with_fake(struct marker *marker, uint64_t low, uint64_t top)
{
	mark_range(marker, (const char *)(uintptr_t)low, (const char *)(uintptr_t)top);
}

/*
 * A stack that is suspended. Guard pages may lie in it: nobody says that they were armed, and
 * whichever marker reads it finds out. The fake stack is that of the thread which runs the cycle.
 */
static uint64_t mark_whole(struct marker *marker, const char *low, const char *top)
{
	if (stack_fake())
		each_readable(marker, low, top, range_with_fake);
	else
		mark_gather(marker, whole_piece, (uintptr_t)low, (uintptr_t)top, 1, NULL);
	return (uint64_t)(top - low);
}

/* Of a stack that a thread runs on, which is read for two things. */
static void running_piece(struct marker *marker, const struct mark_piece *piece)
{
	struct rest *rest = (struct rest *)piece->argument;

	if (!__atomic_load_n(&rest->has_contexts, __ATOMIC_RELAXED) &&
	    stack_part_has_context((const char *)(uintptr_t)piece->start,
				   (const char *)(uintptr_t)piece->end, rest->stack.top))
		__atomic_store_n(&rest->has_contexts, true, __ATOMIC_RELAXED);
	mark_ambiguous_here(marker, piece->start, piece->end);
}

/* Whether a thread runs on a stack, or would if it did not rest. */
static bool stack_is_used(const struct gcheap *heap, const struct stack *stack)
{
	const struct thread *thread;

	for (thread = heap->world.threads; thread; thread = thread->next) {
		if (stack->low == thread->rest.stack.low && stack->top == thread->rest.stack.top)
			return true;
	}
	return false;
}

static uint64_t mark_declared(struct gcheap *heap)
{
	uint64_t bytes = 0;
	size_t i;

	pthread_mutex_lock(&heap->lock);
	for (i = 0; i < heap->stacks.count; i++) {
		const struct stack *stack = &heap->stacks.all[i];

		if (!stack_is_used(heap, stack))
			bytes += mark_whole(heap->marker, stack->low, stack->top);
	}
	mark_gathered(heap->marker);
	pthread_mutex_unlock(&heap->lock);
	return bytes;
}

static uint64_t mark_thread(struct thread *thread)
{
	struct marker *marker = thread->heap->marker;
	struct rest *rest = &thread->rest;
	uint64_t low = ((uintptr_t)rest->sp + 7) & ~(uintptr_t)7;
	uint64_t top = (uintptr_t)rest->stack.top;
	uint64_t bytes = sizeof(rest->registers) + top - low;
	void *fake = stack_fake();

	mark_ambiguous(marker, rest->registers, sizeof(rest->registers));
	mark_ambiguous(marker, rest->vector, rest->vector_bytes);
	bytes += rest->vector_bytes;
	if (rest->held) {
		mark_ambiguous(marker, rest->held->vector, rest->held->vector_bytes);
		bytes += rest->held->vector_bytes;
	}
	if (rest->stack.top != thread->native.top)
		bytes += mark_whole(marker, native_stack_low(&thread->native),
				    thread->native.top);
	rest->has_contexts = false;
	mark_gather(marker, running_piece, low, top, 1, rest);
	if (fake)
		bytes += mark_fake_frames(marker, fake, rest->sp, rest->stack.top);
	return bytes;
}

uint64_t stack_mark(struct gcheap *heap)
{
	struct thread *thread;
	uint64_t bytes = 0;

	stack_context_find();
	for (thread = heap->world.threads; thread; thread = thread->next)
		bytes += mark_thread(thread);
	mark_gathered(heap->marker);
	/* On a stack that leads to others nobody has declared, what is below is suspended. */
	for (thread = heap->world.threads; thread; thread = thread->next) {
		if (thread->rest.has_contexts)
			bytes += mark_whole(heap->marker, thread->rest.stack.low, thread->rest.sp);
	}
	return bytes + mark_declared(heap);
}
