/* SPDX-License-Identifier: MIT */
/*
 * A coroutine on a stack of the test's, and objects that a stack alone leads to.
 */
#ifndef GCHEAP_LIBRARY_TEST_COROUTINE_H
#define GCHEAP_LIBRARY_TEST_COROUTINE_H

#include <ucontext.h>

#include "library_test.h"

#define STACK_BYTES	(128u << 10)
#define KEPT		16

/* Addresses that no scan takes for pointers. */
#define HIDE(p)		(~(uintptr_t)(p))
#define SHOW(hidden)	((void *)~(hidden))

/* A coroutine, and the main program that it switches to and fro with. */
extern struct coroutine {
	struct fixture f;
	ucontext_t main, other;
	void (*body)(void);
	uintptr_t hidden[KEPT];		/* what the main program's stack leads to */
	uintptr_t hidden_other[KEPT];	/* what the coroutine's leads to */
	int result, error;
	char *stack;
	size_t allocated;
} co;

void switch_to_main(void);
void switch_to_other(void);
/* The first switch to it runs @body. */
void coroutine_make(char *stack, size_t bytes, void (*body)(void));
/* A body: a cycle, and back. */
void collect_in_coroutine(void);

/* A heap that has the threads' stacks for roots; and all of @co anew. */
int coroutine_setup(void **state);
int coroutine_teardown(void **state);

bool is_alive(uintptr_t hidden);
size_t count_alive(const uintptr_t *hidden);
/* Allocates KEPT objects. */
void fill(void *volatile *kept, uintptr_t *hidden);
/* Switches to the coroutine from a frame that alone leads to some objects. */
size_t switch_with_objects(void);

#endif /* GCHEAP_LIBRARY_TEST_COROUTINE_H */
