/* SPDX-License-Identifier: MIT */
/*
 * Stacks: which ones there are, and on which one the thread runs (stack.c). What a cycle
 * has to read of them follows from that (stack_mark.c). Documentation/stacks.md is for users.
 *
 * A thread has a stack of its own, its native one, which is found when it attaches. The
 * program declares those that it makes and switches itself. The stack of signal handlers
 * (sigaltstack(2)) needs no declaration: the kernel tells whether the thread is on it.
 *
 *	running		read from the stack pointer up
 *	suspended	read whole, because nobody tells the stack pointer that it was left
 *			with: all declared stacks but the running one, and the native stack
 *			while the thread is on another
 *
 * A stack pointer that is on none of them is refused. What cannot be seen from a stack
 * pointer is a stack inside of another one that nobody has declared, such as a local
 * array. Those that makecontext(3) has made have the C library's mark at their top, and
 * the stack around them is read whole then.
 */
#ifndef GCHEAP_LIB_STACK_H
#define GCHEAP_LIB_STACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct thread;

/* A stack: [@low, @top). */
struct stack {
	const char *low;
	const char *top;
};

/**
 * struct stacks - the stacks that a program has declared
 * @all: array, by rising @low
 * @count: how many
 * @capacity: room in @all
 * @nested: there may be some inside of others; none overlaps another otherwise
 */
struct stacks {
	struct stack *all;
	size_t count, capacity;
	bool nested;
};

/**
 * struct native_stack - the stack that a thread was born with
 * @low: all from here to @top is the stack's
 * @top: one past its highest byte; NULL: it was not found
 * @grows: it is the main thread's, which the kernel extends below @low
 */
struct native_stack {
	const char *low;
	const char *top;
	bool grows;
};

/**
 * native_stack_find() - find the calling thread's native stack
 * @native: receives it
 *
 * The main thread's is found by the auxiliary vector, others' by the C library. Neither
 * needs /proc, a file descriptor, or RLIMIT_STACK.
 *
 * Return: 0 or a negative errno, with gcheap_error() set and @native->top NULL.
 */
int native_stack_find(struct native_stack *native);

/* The lowest address of the native stack that can be read. */
const char *native_stack_low(struct native_stack *native);

/* The stack of signal handlers, if the calling thread is on it and @sp too; else @found stays. */
void stack_of_signals(const char *sp, struct stack *found);

/**
 * stack_at() - the stack that a thread is on
 * @thread: the calling thread, or one that rests
 * @sp: its stack pointer
 * @signal: what stack_of_signals() told it; @top is NULL: it is on no such stack
 * @known: of another handle of the same thread, for which this was just asked: how far it has
 *	grown need not be found out again; NULL: there is none
 * @found: receives the innermost stack that holds @sp
 *
 * Return: whether there is one.
 */
bool stack_at(struct thread *thread, const char *sp, const struct stack *signal,
	      const struct native_stack *known, struct stack *found);

/**
 * stack_running() - the stack that the calling thread is on
 * @thread: the calling thread
 * @sp: its stack pointer
 * @running: receives the innermost stack that holds @sp
 *
 * Return: whether there is one.
 */
bool stack_running(struct thread *thread, const char *sp, struct stack *running);

/*
 * Whether an address is in a part of a stack, and on no declared stack inside of it. The
 * heap's lock is held.
 */
bool stack_part_holds(const struct stacks *stacks, const struct stack *part, const char *at);

/*
 * Whether there is a makecontext() context in [@sp, @top), so that @sp may be on a
 * stack that nobody has declared inside of the one that ends at @top.
 */
bool stack_has_context(const char *sp, const char *top);

/* The same of a part of it, [@low, @end), by any thread after stack_context_find(). */
bool stack_part_has_context(const char *low, const char *end, const char *top);

/* Finds out how such contexts are told, if it is not known yet. */
void stack_context_find(void);

/* gcheap_error() says that @sp is on no known stack; returns -EINVAL. */
int stack_unknown(const void *sp);

/* AddressSanitizer's fake stack of the calling thread; NULL: there is none. */
void *stack_fake(void);

/*
 * Where an address of AddressSanitizer's fake stack would be on the real one; any other
 * address as it is.
 */
uintptr_t stack_real(uintptr_t at);

/* Whether a byte is there: that must be found out before a cycle reads it. */
bool stack_byte_is_readable(const char *at);

/*
 * The first byte of [@low, @top) that cannot be read, page by page; @top: all can, or it
 * cannot be found out.
 */
const char *stack_readable_end(const char *low, const char *top);

/*
 * Declares a stack, which has to lie beside, inside of or around each of the others: 0 or a
 * negative errno, with gcheap_error() set. The heap's lock is held.
 */
int stacks_add(struct stacks *stacks, const struct stack *stack);

/**
 * stacks_remove() - forget a declared stack
 * @stacks: the table; the heap's lock is held
 * @low: the stack's low end
 * @sp: the calling thread's stack pointer
 * @removed: receives the stack
 *
 * Return: 0; -ENOENT there is none; -EBUSY the thread runs on it.
 */
int stacks_remove(struct stacks *stacks, const char *low, const char *sp, struct stack *removed);

/* Frees the table of declared stacks. */
void stacks_destroy(struct stacks *stacks);

/* AddressSanitizer's own functions: there where the program is instrumented, else NULL. */
void *__asan_get_current_fake_stack(void) __attribute__((weak));
void *__asan_addr_is_in_fake_stack(void *fake_stack, void *at, void **low, void **end)
	__attribute__((weak));

#endif /* GCHEAP_LIB_STACK_H */
