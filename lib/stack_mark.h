/* SPDX-License-Identifier: MIT */
/*
 * What a cycle reads of stacks (stack_mark.c).
 */
#ifndef GCHEAP_LIB_STACK_MARK_H
#define GCHEAP_LIB_STACK_MARK_H

#include <stdint.h>

struct stack;
struct thread;

/**
 * stack_mark() - mark what all stacks lead to
 * @thread: the calling thread
 * @sp: its stack pointer
 * @running: of stack_running()
 *
 * Return: how many bytes it went through.
 */
uint64_t stack_mark(struct thread *thread, const char *sp, const struct stack *running);

#endif /* GCHEAP_LIB_STACK_MARK_H */
