/* SPDX-License-Identifier: MIT */
/*
 * The words for a pointer that leads to no object: where it leads instead, with the span,
 * its state and its class.
 */
#ifndef GCHEAP_LIB_BAD_POINTER_H
#define GCHEAP_LIB_BAD_POINTER_H

#include <stdint.h>

struct gcheap;

/* Room for any description. */
#define BAD_POINTER_TEXT	160u

/* The name of a span's state, for people. */
const char *bad_pointer_state_name(uint32_t state);

/**
 * bad_pointer_describe() - say where an address leads
 * @heap: the heap
 * @p: an address at which inspect_slot() finds no object
 * @text: receives the words that follow "the pointer leads", BAD_POINTER_TEXT bytes
 *
 * Return: @text.
 */
const char *bad_pointer_describe(const struct gcheap *heap, const void *p, char *text);

/**
 * bad_pointer_span() - name a span
 * @heap: the heap
 * @offset: of an address in one of its pages from the base
 * @text: receives "the span at page ..." with its state and class, BAD_POINTER_TEXT
 *	bytes
 *
 * Return: @text.
 */
const char *bad_pointer_span(const struct gcheap *heap, uint64_t offset, char *text);

#endif /* GCHEAP_LIB_BAD_POINTER_H */
