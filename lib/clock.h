/* SPDX-License-Identifier: MIT */
/*
 * The clock that the library measures with.
 */
#ifndef GCHEAP_LIB_CLOCK_H
#define GCHEAP_LIB_CLOCK_H

#include <stdint.h>

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t clock_ns(void);

#endif /* GCHEAP_LIB_CLOCK_H */
