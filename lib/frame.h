/* SPDX-License-Identifier: MIT */
/*
 * Frames: the thread's table of local variables that are roots (frame.c).
 *
 * An entry is of one GCHEAP_FRAME:
 *
 *	word	0	1 ..		words - 3	words - 2	words - 1
 *		+-------+---------------+---------------+---------------+-------+
 *		| words | variables'	| number	| place		| words |
 *		|	| addresses	|		|		|	|
 *		+-------+---------------+---------------+---------------+-------+
 *
 * @place is the address of the block's own struct gcheap_frame_: it tells the block, the
 * stack that it is on, and how deep. @number counts all frames that the thread has begun;
 * the struct has it too. If a block was left without its end, its entry is found by the
 * stack pointer when the block lies below it, without a look at what lies there now.
 * Above the stack pointer it is found by a struct with another number: another block's is
 * there now, or the same block's next time.
 *
 * Of the entries of one stack, those that were added later are inner ones. Stacks of
 * coroutines have their entries anywhere in the table.
 */
#ifndef GCHEAP_LIB_FRAME_H
#define GCHEAP_LIB_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include <gcheap.h>

struct stack;
struct thread;

/* Variables of the entry that begins at @entry. */
static inline size_t frame_count(const uintptr_t *entry)
{
	return entry[0] - GCHEAP_FRAME_WORDS_;
}

/* The address of one. */
static inline void *const *frame_variable(const uintptr_t *entry, size_t i)
{
	return (void *const *)entry[1 + i];
}

/* Which one of those that the thread has begun it is. */
static inline uintptr_t frame_number(const uintptr_t *entry)
{
	return entry[entry[0] - 3];
}

/* Where its block is. */
static inline uintptr_t frame_place(const uintptr_t *entry)
{
	return entry[entry[0] - 2];
}

/**
 * struct frames_lost - frames for which there was no memory
 * @count: how many there are; no cycle may run before it is 0
 * @first: the number of the oldest
 * @low: all of them lie from here ...
 * @high: ... to here, their structs' addresses, on the real stack
 */
struct frames_lost {
	size_t count;
	uintptr_t first;
	uintptr_t low;
	uintptr_t high;
};

/* A thread is attached: its table. 0 or -ENOMEM, with gcheap_error() set. */
int frames_init(struct thread *thread);

/**
 * frames_drop() - take frames out of the table
 * @thread: whose
 * @at: the first word of the entry from which on
 * @part: those that go are in this part of a stack, and on no stack inside of it
 *
 * Return: how many went.
 */
size_t frames_drop(struct thread *thread, size_t at, const struct stack *part);

/**
 * frames_drop_ended() - take out those whose blocks were left without their end
 * @thread: the calling thread
 * @sp: its stack pointer, as far up as it is known to be the library's own part
 * @running: the stack that it is on
 *
 * It knows them by two signs: they are below @sp, or something else lies now where their
 * struct was. Under GCHEAP_VERIFY it says so once a thread. Frames that were lost have
 * ended if all of them are below @sp.
 */
void frames_drop_ended(struct thread *thread, const char *sp, const struct stack *running);

/**
 * frames_leave() - let blocks with frames go on without their thread
 * @thread: which is about to be freed
 * @sp: the caller's stack pointer
 *
 * The ends of frames on stacks that are known do nothing from here on.
 */
void frames_leave(struct thread *thread, const char *sp);

#endif /* GCHEAP_LIB_FRAME_H */
