/* SPDX-License-Identifier: MIT */
/*
 * What a cycle reads of stacks (stack_mark.c).
 */
#ifndef GCHEAP_LIB_STACK_MARK_H
#define GCHEAP_LIB_STACK_MARK_H

#include <stdint.h>

struct gcheap;
struct thread;

/**
 * struct stack_part - memory that may lead to objects, as it is part of a stack
 * @kind: how to read it
 *	@STACK_REGISTERS: what a thread had in registers: the library's or the kernel's copy
 *	@STACK_RUNNING: of a stack that a thread runs on, all from its stack pointer up. Whoever
 *	reads it finds whether @thread->rest.has_contexts (stack_part_has_context())
 *	@STACK_SUSPENDED: a stack that no thread runs on, or nobody can tell: there may be guard
 *	pages in it, which cannot be read (stack_each_readable())
 *	@STACK_FAKE: a frame of AddressSanitizer's that a stack leads to
 * @thread: whose; NULL: a declared stack that no thread is on
 * @low: its first byte
 * @top: one past its last
 */
struct stack_part {
	enum stack_part_kind {
		STACK_REGISTERS,
		STACK_RUNNING,
		STACK_SUSPENDED,
		STACK_FAKE,
	} kind;
	struct thread *thread;
	const char *low;
	const char *top;
};

/**
 * struct stack_reader - who reads all stacks
 * @part: called with each part
 * @finish: nothing may be left to read of the parts so far, when it returns; or NULL
 */
struct stack_reader {
	void (*part)(struct stack_reader *reader, const struct stack_part *part);
	void (*finish)(struct stack_reader *reader);
};

/**
 * stack_read() - have all stacks read that a cycle reads
 * @heap: whose threads all rest, but for the calling one, which rest_note() knows
 * @reader: who
 */
void stack_read(struct gcheap *heap, struct stack_reader *reader);

/* Calls @fn for what can be read of a stack. */
void stack_each_readable(const char *low, const char *top,
			 void (*fn)(void *arg, uint64_t low, uint64_t top), void *arg);

/* Mark what all stacks lead to, in the same state. Return: how many bytes it went through. */
uint64_t stack_mark(struct gcheap *heap);

#endif /* GCHEAP_LIB_STACK_MARK_H */
