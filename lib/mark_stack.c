// SPDX-License-Identifier: MIT
/*
 * The marker's stack.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "mark_stack.h"

_Static_assert(sizeof(struct mark_segment) == MARK_SEGMENT_BYTES, "a segment is its mapping");

/* The budget is taken first, so that two markers do not take the last of it. */
static bool budget_take(struct mark_stack *stack)
{
	struct mark_budget *budget = stack->budget;

	if (__atomic_add_fetch(&budget->bytes, MARK_SEGMENT_BYTES, __ATOMIC_RELAXED) <=
	    budget->max_bytes || !stack->bytes)
		return true;
	__atomic_fetch_sub(&budget->bytes, MARK_SEGMENT_BYTES, __ATOMIC_RELAXED);
	return false;
}

static struct mark_segment *segment_map(struct mark_stack *stack)
{
	struct mark_segment *segment;

	if (!budget_take(stack))
		return NULL;
	/* Populated at once: 64 faults would cost several times as much. */
	segment = mmap(NULL, MARK_SEGMENT_BYTES, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (segment == MAP_FAILED) {
		__atomic_fetch_sub(&stack->budget->bytes, MARK_SEGMENT_BYTES, __ATOMIC_RELAXED);
		return NULL;
	}
	stack->bytes += MARK_SEGMENT_BYTES;
	return segment;
}

static void segment_unmap(struct mark_stack *stack, struct mark_segment *segment)
{
	stack->bytes -= MARK_SEGMENT_BYTES;
	__atomic_fetch_sub(&stack->budget->bytes, MARK_SEGMENT_BYTES, __ATOMIC_RELAXED);
	munmap(segment, MARK_SEGMENT_BYTES);
}

static void segment_enter(struct mark_stack *stack, struct mark_segment *segment, uint64_t *top)
{
	stack->segment = segment;
	stack->top = top;
	stack->limit = segment->entries + sizeof(segment->entries) / sizeof(segment->entries[0]);
}

int mark_stack_init(struct mark_stack *stack, struct mark_budget *budget)
{
	struct mark_segment *segment;

	*stack = (struct mark_stack){ .budget = budget };
	segment = segment_map(stack);
	if (!segment)
		return -ENOMEM;
	segment->below = NULL;
	segment->first = segment->entries;
	segment_enter(stack, segment, segment->entries);
	return 0;
}

void mark_stack_destroy(struct mark_stack *stack)
{
	while (mark_stack_below(stack))
		;
	mark_stack_trim(stack, 0);
	segment_unmap(stack, stack->segment);
}

void mark_stack_trim(struct mark_stack *stack, uint64_t bytes)
{
	while (stack->spare && stack->bytes > bytes) {
		struct mark_segment *segment = stack->spare;

		stack->spare = segment->below;
		segment_unmap(stack, segment);
	}
}

size_t mark_stack_reserve_slow(struct mark_stack *stack, size_t entries)
{
	size_t room = (size_t)(stack->limit - stack->top);
	struct mark_segment *segment = stack->spare;

	if (room >= entries)
		return room;
	if (segment)
		stack->spare = segment->below;
	else
		segment = segment_map(stack);
	if (!segment)
		return room;
	stack->segment->top = stack->top;
	segment->below = stack->segment;
	segment->first = segment->entries;
	segment_enter(stack, segment, segment->entries);
	return (size_t)(stack->limit - stack->top);
}

bool mark_stack_below(struct mark_stack *stack)
{
	struct mark_segment *empty = stack->segment;

	/* A segment may be left with nothing in it when a reserve did not fit. */
	while (empty->below) {
		segment_enter(stack, empty->below, empty->below->top);
		empty->below = stack->spare;
		stack->spare = empty;
		empty = stack->segment;
		if (stack->top != empty->first)
			return true;
	}
	/* What was given away has left room. */
	empty->first = empty->entries;
	stack->top = empty->entries;
	return false;
}

size_t mark_stack_give(struct mark_stack *stack, uint64_t *entries, size_t max)
{
	struct mark_segment *bottom = stack->segment;
	size_t count;

	while (bottom->below && bottom->below->top != bottom->below->first)
		bottom = bottom->below;
	if (bottom == stack->segment)
		count = (size_t)(stack->top - bottom->first + 1) / 2;
	else
		count = (size_t)(bottom->top - bottom->first);
	if (count > max)
		count = max;
	memcpy(entries, bottom->first, count * sizeof(*entries));
	bottom->first += count;
	return count;
}
