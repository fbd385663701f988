/* SPDX-License-Identifier: MIT */
/*
 * The part of gcheap_verify() that is about roots (verify_roots.c).
 */
#ifndef GCHEAP_LIB_VERIFY_ROOTS_H
#define GCHEAP_LIB_VERIFY_ROOTS_H

#include <stdint.h>

struct gcheap;

/* Reports of one verification: what is broken is often broken everywhere. */
#define VERIFY_REPORTS_MAX	20u

/**
 * verify_roots() - check that precise roots, typed ones and frames lead to objects
 * @heap: the heap
 * @faults: how many were found and reported before
 *
 * Return: how many dangling pointers there are. Up to VERIFY_REPORTS_MAX faults are
 * reported on stderr, with the root that has the pointer.
 */
uint64_t verify_roots(struct gcheap *heap, uint64_t faults);

#endif /* GCHEAP_LIB_VERIFY_ROOTS_H */
