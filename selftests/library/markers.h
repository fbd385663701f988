/* SPDX-License-Identifier: MIT */
/*
 * Heaps with several markers, and trees in them.
 */
#ifndef GCHEAP_LIBRARY_TEST_MARKERS_H
#define GCHEAP_LIBRARY_TEST_MARKERS_H

#include "library_test.h"

/* What should end at once hangs when a wake-up is lost: then the test fails, not the runner. */
int markers_hang_begins(void **state);
int markers_hang_ends(void **state);
#define markers_test(test) \
	cmocka_unit_test_setup_teardown(test, markers_hang_begins, markers_hang_ends)

/* A heap that collects on request alone. */
void markers_open(struct fixture *f, enum gcheap_layout layout, uint32_t markers);

/* An array, and a leaf, which are there. */
void *markers_new(struct fixture *f, gcheap_type type, size_t n);
void *markers_leaf(struct fixture *f, size_t bytes);

/* A binary tree of a type whose first two words are pointers. */
void **markers_tree(struct fixture *f, gcheap_type type, unsigned int depth);
/* A list of @length objects of @bytes, whose first words point to the next. */
void **markers_list(struct fixture *f, size_t bytes, size_t length);

#endif /* GCHEAP_LIBRARY_TEST_MARKERS_H */
