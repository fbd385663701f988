// SPDX-License-Identifier: MIT
/*
 * What a cycle reads of stacks: those that threads run on from the stack pointer up, suspended ones
 * whole (stack.h), and the fake frames that they lead to. It marks from there; others that want to
 * know what stacks lead to read the same.
 */
#include "stack_mark.h"

#include <unistd.h>

#include "mark.h"
#include "mark_piece.h"
#include "stack.h"
#include "thread.h"

/* ---- what there is to read --------------------------------------------------------- */

void stack_each_readable(const char *low, const char *top,
			 void (*fn)(void *arg, uint64_t low, uint64_t top), void *arg)
{
	const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

	while (low < top) {
		const char *end = stack_readable_end(low, top);

		fn(arg, (uintptr_t)low, (uintptr_t)end);
		low = (const char *)(((uintptr_t)end & ~(page - 1)) + page);
	}
}

static void part_read(struct stack_reader *reader, enum stack_part_kind kind,
		      struct thread *thread, const void *low, const void *top)
{
	struct stack_part part = { .kind = kind, .thread = thread, .low = low, .top = top };

	reader->part(reader, &part);
}

/**
 * struct fake - what leads to fake frames
 * @reader: who reads them
 * @thread: whose stack leads there, or NULL
 * @stack: AddressSanitizer's, of the thread which runs the cycle
 */
struct fake {
	struct stack_reader *reader;
	struct thread *thread;
	void *stack;
};

/* The fake frames that a part of a real stack leads to, which can be read. */
__attribute__((no_sanitize("address"), no_sanitize("thread")))
static void fake_frames_read(void *arg, uint64_t low, uint64_t top)
{
	const struct fake *fake = arg;
	uintptr_t at = (low + 7) & ~(uintptr_t)7;
	const void *last = NULL;

	for (; at + 8 <= top; at += 8) {
		void *start, *end;

		if (!__asan_addr_is_in_fake_stack(fake->stack, *(void *const *)at, &start, &end) ||
		    start == last)
			continue;
		last = start;
		part_read(fake->reader, STACK_FAKE, fake->thread, start, end);
	}
}

/* A stack that is suspended: nobody says that guard pages were armed that lie in it. */
static void suspended_read(struct stack_reader *reader, struct thread *thread, const char *low,
			   const char *top)
{
	struct fake fake = { .reader = reader, .thread = thread, .stack = stack_fake() };

	part_read(reader, STACK_SUSPENDED, thread, low, top);
	if (fake.stack)
		stack_each_readable(low, top, fake_frames_read, &fake);
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

static void reader_finish(struct stack_reader *reader)
{
	if (reader->finish)
		reader->finish(reader);
}

static void declared_read(struct gcheap *heap, struct stack_reader *reader)
{
	size_t i;

	pthread_mutex_lock(&heap->lock);
	for (i = 0; i < heap->stacks.count; i++) {
		const struct stack *stack = &heap->stacks.all[i];

		if (!stack_is_used(heap, stack))
			suspended_read(reader, NULL, stack->low, stack->top);
	}
	reader_finish(reader);
	pthread_mutex_unlock(&heap->lock);
}

static void registers_read(struct stack_reader *reader, struct thread *thread,
			   const void *registers, size_t bytes)
{
	if (bytes)
		part_read(reader, STACK_REGISTERS, thread, registers,
			  (const char *)registers + bytes);
}

static void thread_read(struct stack_reader *reader, struct thread *thread)
{
	struct fake fake = { .reader = reader, .thread = thread, .stack = stack_fake() };
	struct rest *rest = &thread->rest;
	uint64_t low = ((uintptr_t)rest->sp + 7) & ~(uintptr_t)7;

	registers_read(reader, thread, rest->registers, sizeof(rest->registers));
	registers_read(reader, thread, rest->vector, rest->vector_bytes);
	if (rest->held)
		registers_read(reader, thread, rest->held->vector, rest->held->vector_bytes);
	if (rest->stack.top != thread->native.top)
		suspended_read(reader, thread, native_stack_low(&thread->native),
			       thread->native.top);
	rest->has_contexts = false;
	part_read(reader, STACK_RUNNING, thread, (const char *)low, rest->stack.top);
	if (fake.stack)
		fake_frames_read(&fake, low, (uintptr_t)rest->stack.top);
}

void stack_read(struct gcheap *heap, struct stack_reader *reader)
{
	struct thread *thread;

	stack_context_find();
	for (thread = heap->world.threads; thread; thread = thread->next)
		thread_read(reader, thread);
	reader_finish(reader);
	/* On a stack that leads to others nobody has declared, what is below is suspended. */
	for (thread = heap->world.threads; thread; thread = thread->next) {
		if (thread->rest.has_contexts)
			suspended_read(reader, thread, thread->rest.stack.low, thread->rest.sp);
	}
	declared_read(heap, reader);
}

/* ---- marking ------------------------------------------------------------------------ */

/**
 * struct stack_marking - the reader that marks
 * @reader: what stack_read() calls; first
 * @marker: with what
 * @bytes: how many were gone through
 */
struct stack_marking {
	struct stack_reader reader;
	struct marker *marker;
	uint64_t bytes;
};

static void mark_readable(void *arg, uint64_t low, uint64_t top)
{
	mark_ambiguous_here(arg, low, top);
}

/* Whichever marker reads it finds out where guard pages are. */
static void suspended_piece(struct marker *marker, const struct mark_piece *piece)
{
	stack_each_readable((const char *)(uintptr_t)piece->start,
			    (const char *)(uintptr_t)piece->end, mark_readable, marker);
}

/* It is read for two things. */
static void running_piece(struct marker *marker, const struct mark_piece *piece)
{
	struct rest *rest = (struct rest *)piece->argument;

	if (!__atomic_load_n(&rest->has_contexts, __ATOMIC_RELAXED) &&
	    stack_part_has_context((const char *)(uintptr_t)piece->start,
				   (const char *)(uintptr_t)piece->end, rest->stack.top))
		__atomic_store_n(&rest->has_contexts, true, __ATOMIC_RELAXED);
	mark_ambiguous_here(marker, piece->start, piece->end);
}

static void mark_part(struct stack_reader *reader, const struct stack_part *part)
{
	struct stack_marking *marking = (struct stack_marking *)reader;
	uint64_t low = (uintptr_t)part->low, top = (uintptr_t)part->top;

	if (part->kind == STACK_RUNNING)
		mark_gather(marking->marker, running_piece, low, top, 1, &part->thread->rest);
	else if (part->kind == STACK_SUSPENDED)
		mark_gather(marking->marker, suspended_piece, low, top, 1, NULL);
	else
		mark_ambiguous(marking->marker, part->low, top - low);
	marking->bytes += top - low;
}

static void mark_finish_parts(struct stack_reader *reader)
{
	mark_gathered(((struct stack_marking *)reader)->marker);
}

uint64_t stack_mark(struct gcheap *heap)
{
	struct stack_marking marking = {
		.reader = { .part = mark_part, .finish = mark_finish_parts },
		.marker = heap->marker,
	};

	stack_read(heap, &marking.reader);
	return marking.bytes;
}
