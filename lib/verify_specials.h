/* SPDX-License-Identifier: MIT */
/*
 * The part of gcheap_verify() that is about specials (verify_specials.c).
 */
#ifndef GCHEAP_LIB_VERIFY_SPECIALS_H
#define GCHEAP_LIB_VERIFY_SPECIALS_H

#include <stdint.h>

struct gcheap;

/**
 * verify_specials() - check the table of specials, and the page specials
 * @heap: the heap, whose threads are stopped
 * @faults: how many were found and reported before
 *
 * Return: how many faults there are, of which so many are reported on stderr that all are
 * VERIFY_REPORTS_MAX at most.
 */
uint64_t verify_specials(struct gcheap *heap, uint64_t faults);

#endif /* GCHEAP_LIB_VERIFY_SPECIALS_H */
