/* SPDX-License-Identifier: MIT */
/*
 * What the benchmarks share: the clock, medians, a random generator, failure.
 */
#ifndef GCHEAP_BENCH_H
#define GCHEAP_BENCH_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static inline double bench_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static inline int bench_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Sorts @values. */
static inline double bench_median(double *values, size_t n)
{
	qsort(values, n, sizeof(*values), bench_compare);
	return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/* xorshift64*: the same sequence everywhere. */
static inline uint64_t bench_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dull;
}

static inline void bench_fail(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s\n", what, why);
	exit(1);
}

/* A number from the command line, or @otherwise. */
static inline unsigned long bench_argument(int argc, char **argv, int which,
					   unsigned long otherwise)
{
	return argc > which ? strtoul(argv[which], NULL, 0) : otherwise;
}

#endif /* GCHEAP_BENCH_H */
