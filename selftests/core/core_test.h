/* SPDX-License-Identifier: MIT */
/*
 * What the core's unit tests share: cmocka, and random numbers from a seed that is
 * printed, so that GCHEAP_SEED=n repeats a run that failed.
 */
#ifndef SELFTESTS_CORE_CORE_TEST_H
#define SELFTESTS_CORE_CORE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "port_test.h"

/*
 * Of @n cases, or steps, at random, how many a test makes: in the kernel, where a debug
 * kernel in an emulated guest takes hundreds of times as long and KUnit gives a test five
 * minutes, one in forty.
 */
#ifdef __KERNEL__
#define RANDOM_CASES(n)	((n) / 40)
#else
#define RANDOM_CASES(n)	(n)
#endif

/* GCHEAP_SEED if it is set, else a new one; printed, and random_next() starts there. */
u64 random_seed(void);

u64 random_next(void);

/* A number below @end, which is not 0. */
static inline u64 random_below(u64 end)
{
	return random_next() % end;
}

/* A number from 1 to @last, small ones more often: each of its lengths in bits alike. */
u64 random_length(u64 last);

/* True once in @n times. */
static inline bool random_one_in(u32 n)
{
	return random_below(n) == 0;
}

#endif /* SELFTESTS_CORE_CORE_TEST_H */
