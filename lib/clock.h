/* SPDX-License-Identifier: MIT */
/*
 * The clock that the library measures with.
 */
#ifndef GCHEAP_LIB_CLOCK_H
#define GCHEAP_LIB_CLOCK_H

#include <stdint.h>

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t clock_ns(void);
/* The same as of some milliseconds ago, for less. */
uint64_t clock_coarse_ns(void);
/* CLOCK_PROCESS_CPUTIME_ID: what all threads of the process have used. */
uint64_t clock_process_ns(void);

#endif /* GCHEAP_LIB_CLOCK_H */
