/* SPDX-License-Identifier: MIT */
/*
 * The marker's stack: objects that are marked and still to be scanned. It grows by
 * segments, each a mapping of its own. The stacks of a heap's markers have a budget together, but
 * each has one segment at least. What finds neither room nor memory is kept elsewhere
 * (mark_overflow.h).
 */
#ifndef GCHEAP_LIB_MARK_STACK_H
#define GCHEAP_LIB_MARK_STACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MARK_SEGMENT_BYTES	(256u << 10)

/**
 * struct mark_segment - a piece of the stack
 * @below: the segment under this one, or the next spare one
 * @first: where its entries begin: those before it were given away
 * @top: of a full segment: where its entries end
 * @entries: its entries
 */
struct mark_segment {
	struct mark_segment *below;
	uint64_t *first;
	uint64_t *top;
	uint64_t entries[MARK_SEGMENT_BYTES / sizeof(uint64_t) - 3];
};

/**
 * struct mark_budget - memory of several stacks
 * @bytes: what they have
 * @max_bytes: what they may have together, beside the one segment that each has always
 */
struct mark_budget {
	uint64_t bytes;
	uint64_t max_bytes;
};

/**
 * struct mark_stack - a stack of entries
 * @top: where the next entry goes, in @segment
 * @limit: end of @segment's entries
 * @segment: the topmost
 * @spare: empty segments
 * @bytes: memory of all segments
 * @budget: shared with others
 */
struct mark_stack {
	uint64_t *top;
	uint64_t *limit;
	struct mark_segment *segment;
	struct mark_segment *spare;
	uint64_t bytes;
	struct mark_budget *budget;
};

/* Make an empty stack with one segment: 0 or -ENOMEM. */
int mark_stack_init(struct mark_stack *stack, struct mark_budget *budget);
void mark_stack_destroy(struct mark_stack *stack);

/* Give spare segments back until at most @bytes are kept; one is kept always. */
void mark_stack_trim(struct mark_stack *stack, uint64_t bytes);

size_t mark_stack_reserve_slow(struct mark_stack *stack, size_t entries);

/**
 * mark_stack_reserve() - make room in one piece
 * @stack: the stack
 * @entries: how many; less than a segment's
 *
 * Return: how many entries there is room for at @stack->top: fewer than asked
 * for when there is no memory, maybe none.
 */
static inline size_t mark_stack_reserve(struct mark_stack *stack, size_t entries)
{
	size_t room = (size_t)(stack->limit - stack->top);

	return __builtin_expect(room >= entries, 1) ? room :
		mark_stack_reserve_slow(stack, entries);
}

/* Whether entries of more than @bytes are on the stack, whatever memory it keeps. */
static inline bool mark_stack_exceeds(const struct mark_stack *stack, size_t bytes)
{
	size_t used = (size_t)(stack->top - stack->segment->first) * sizeof(uint64_t);
	const struct mark_segment *below;

	for (below = stack->segment->below; below && used <= bytes; below = below->below)
		used += (size_t)(below->top - below->first) * sizeof(uint64_t);
	return used > bytes;
}

/* Put one entry on the stack; false: there is no room. */
static inline bool mark_stack_push(struct mark_stack *stack, uint64_t entry)
{
	if (!mark_stack_reserve(stack, 1))
		return false;
	*stack->top++ = entry;
	return true;
}

/* Make the segment below the topmost one; false: the stack is empty. */
bool mark_stack_below(struct mark_stack *stack);

/* Take up to @max entries, the last pushed first; 0: the stack is empty. */
static inline size_t mark_stack_take(struct mark_stack *stack, uint64_t *entries, size_t max)
{
	size_t count = (size_t)(stack->top - stack->segment->first);
	size_t i;

	if (!count) {
		if (!mark_stack_below(stack))
			return 0;
		count = (size_t)(stack->top - stack->segment->first);
	}
	if (count > max)
		count = max;
	for (i = 0; i < count; i++)
		entries[i] = *--stack->top;
	return count;
}

/*
 * Take up to @max entries from the bottom, those pushed first, but no more than half of what
 * there is, rounded up. What is there for long leads to most.
 */
size_t mark_stack_give(struct mark_stack *stack, uint64_t *entries, size_t max);

/* The entry that is taken next, as far as the topmost segment tells; 0: it is empty. */
static inline uint64_t mark_stack_next(const struct mark_stack *stack)
{
	return stack->top == stack->segment->first ? 0 : stack->top[-1];
}

static inline bool mark_stack_empty(const struct mark_stack *stack)
{
	return stack->top == stack->segment->first && !stack->segment->below;
}

#endif /* GCHEAP_LIB_MARK_STACK_H */
