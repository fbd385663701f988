/* SPDX-License-Identifier: MIT */
/*
 * What a cycle reads of stacks (stack_mark.c).
 */
#ifndef GCHEAP_LIB_STACK_MARK_H
#define GCHEAP_LIB_STACK_MARK_H

#include <stdint.h>

struct gcheap;

/**
 * stack_mark() - mark what all stacks lead to
 * @heap: whose threads all rest, but for the calling one, which rest_note() knows
 *
 * Return: how many bytes it went through.
 */
uint64_t stack_mark(struct gcheap *heap);

#endif /* GCHEAP_LIB_STACK_MARK_H */
