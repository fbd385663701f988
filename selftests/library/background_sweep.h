/* SPDX-License-Identifier: MIT */
/*
 * Heaps with so much to sweep that the library has it done in the background, and what
 * they look like when all is swept.
 *
 * It reaches behind the public interface, but calls nothing there. Only on the device.
 */
#ifndef GCHEAP_LIBRARY_TEST_BACKGROUND_SWEEP_H
#define GCHEAP_LIBRARY_TEST_BACKGROUND_SWEEP_H

#include "library_test.h"

#include <linux/gcheap.h>

#include "backend/backend.h"
#include "library.h"

#define NODES			280000u		/* 17,500 spans */
#define LARGE			64u		/* dead objects */
#define SWEEP_LEAF_PAGES	64u		/* most that a cycle's start takes */

/* 512 bytes: 16 in a span. */
struct node {
	struct node *next;
	uint64_t number;
	char rest[496];
};

/**
 * struct sweep_test - a heap
 * @f: it, and the thread that uses it
 * @type: of struct node
 * @list: those that live
 * @count: how many these are
 */
struct sweep_test {
	struct fixture f;
	gcheap_type type;
	struct node *list;
	uint64_t count;
};

/* For main(): whether there is anything to test; if not, it has said so. */
bool sweep_tests_begin(void);
/* In a child: assertions that fail end it. */
void sweep_die_of_failures(void);

void sweep_open(struct sweep_test *test, uint32_t flags);
/* A heap whose first sweep runs in the background. */
void sweep_open_running(struct sweep_test *test);

/* NODES objects that die, among those of the first half some that do not, and LARGE. */
void sweep_fill(struct sweep_test *test);
/* Whether those that live are as they were. */
void sweep_check_list(const struct sweep_test *test);

/*
 * A cycle that an allocation starts because the heap has grown: others leave nothing to
 * a worker. Whether one is due is looked when the slots of the leaf's class are used up.
 * False: there was none.
 */
bool sweep_grow_into_cycle(struct sweep_test *test);
/* The same, and the cycle must find what lives. */
void sweep_collect(struct sweep_test *test);

struct backend *sweep_backend(const struct sweep_test *test);
/* Whether the last cycle's sweep was started in the background. */
bool sweep_is_background(const struct sweep_test *test);
uint64_t sweep_unswept_spans(const struct sweep_test *test);

/* Sees that all is swept, and the heap as it must be then: its figures. */
struct gcheap_counters sweep_finish(struct sweep_test *test);
/* The first cycle of a heap, swept by requests; the same each time. */
struct gcheap_counters sweep_direct_figures(void);
void sweep_same_figures(const struct gcheap_counters *one, const struct gcheap_counters *other);

#endif /* GCHEAP_LIBRARY_TEST_BACKGROUND_SWEEP_H */
