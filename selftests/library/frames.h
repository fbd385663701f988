/* SPDX-License-Identifier: MIT */
/*
 * What the tests of frames share.
 */
#ifndef GCHEAP_LIBRARY_TEST_FRAMES_H
#define GCHEAP_LIBRARY_TEST_FRAMES_H

#include "library_test.h"

void *new_leaf(struct fixture *f);

/* Begins a frame of one variable at a place of the test's. */
void begin_at(struct fixture *f, struct gcheap_frame_ *place, void **variable);

/* Calls so deep that what calls afterwards leave on the stack does not reach there. */
void deeper(void (*function)(struct fixture *f), struct fixture *f);

/* Returns from a frame without its end. */
void skip_one(struct fixture *f);

/* Jump there from frames without their ends: from @depth more than one, and from 101. */
extern jmp_buf jump;
void jump_out(struct fixture *f, int depth) __attribute__((noreturn));
void jump_out_of_many(struct fixture *f);

#endif /* GCHEAP_LIBRARY_TEST_FRAMES_H */
