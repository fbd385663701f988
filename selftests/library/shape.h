/* SPDX-License-Identifier: MIT */
/*
 * Shapes: types with a naive model of what they mean, a byte a word, and arrays of
 * them beside it.
 */
#ifndef GCHEAP_LIBRARY_TEST_SHAPE_H
#define GCHEAP_LIBRARY_TEST_SHAPE_H

#include "library_test.h"

/**
 * struct shape - a type, and what it should mean
 * @words: of an element
 * @ptr_words: up to the last that may be a pointer
 * @align: of the type
 * @pointer: a byte a word: 1 for a pointer
 * @type: its number, in all heaps that have it
 */
struct shape {
	size_t words;
	size_t ptr_words;
	size_t align;
	uint8_t *pointer;
	gcheap_type type;
};

/* How a type is told to the heap. */
enum shape_form {
	SHAPE_MASK,
	SHAPE_PROGRAM,
	SHAPE_FORMS
};

/**
 * shape_register() - register the type
 * @heap: where
 * @shape: the shape; @type is set
 * @form: with a mask or with a GC program
 *
 * A program is written with literals and repeats, as a compiler might.
 */
void shape_register(struct gcheap *heap, struct shape *shape, enum shape_form form);

/* A shape of up to @words_max words; its @pointer is the caller's to free. */
void shape_random(uint64_t *random, size_t words_max, struct shape *shape);

/* From 1 to @last, all lengths in bits alike. */
size_t random_length(uint64_t *random, size_t last);

/**
 * shape_check_range() - compare a range of an array with the model
 * @heap: where
 * @shape: of its elements
 * @object: the array
 * @n: its elements
 * @from: first word
 * @to: one past the last; may lie behind the last element
 *
 * Behind the last element the mask may go on, because the slot is zero there.
 */
void shape_check_range(struct gcheap *heap, const struct shape *shape, const uint64_t *object,
		       size_t n, size_t from, size_t to);

/* GCHEAP_SEED, or the time. */
uint64_t seed_for_this_run(void);
/* A number from the environment. */
unsigned long number_for_this_run(const char *name, unsigned long otherwise);

#endif /* GCHEAP_LIBRARY_TEST_SHAPE_H */
