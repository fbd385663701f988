/* SPDX-License-Identifier: MIT */
/*
 * What the benchmarks of /dev/gcheap share: a heap by its bare interface, the
 * clock, medians, and a line for each comparison with plain Linux.
 *
 * They run in virtual machines (scripts/bench-device), where only figures of one
 * boot are good against each other: each program measures both sides in turns,
 * several rounds, and prints medians and their ratio.
 */
#ifndef GCHEAP_DEVICE_BENCH_H
#define GCHEAP_DEVICE_BENCH_H

#include <stddef.h>
#include <stdint.h>

#include <linux/gcheap.h>

#define BENCH_ROUNDS_MAX	64u

/**
 * struct bench_heap - one open of the device with all regions mapped
 * @fd: the file
 * @features: GCHEAP_FEATURE_* of the module
 * @region_bytes: length of each region
 * @region: where each is mapped
 */
struct bench_heap {
	int fd;
	uint64_t features;
	uint64_t region_bytes[GCHEAP_REGIONS];
	char *region[GCHEAP_REGIONS];
};

/* A heap of the SPAN layout; ends the program with a message when there is none. */
void bench_heap_open(struct bench_heap *heap, uint64_t reserve_bytes, uint32_t setup_flags);
void bench_heap_close(struct bench_heap *heap);

/* One request, its size filled in from @bytes; ends the program when it fails. */
void bench_request(const struct bench_heap *heap, unsigned int op, void *request, size_t bytes);

/* Nanoseconds of a clock that only goes forward. */
double bench_ns(void);
/* The median of @count figures, which it sorts. */
double bench_median(double *figures, size_t count);
/* Rounds from the environment (BENCH_ROUNDS), or 7; at most BENCH_ROUNDS_MAX. */
size_t bench_rounds(void);

/**
 * bench_compare() - print a comparison
 * @what: for people
 * @ours: figures of gcheap, @rounds of them
 * @theirs: of plain Linux
 * @rounds: how many of each
 * @unit: of the figures
 * @goal: the highest ratio of the medians to be content with; 0: none
 */
void bench_compare(const char *what, double *ours, double *theirs, size_t rounds,
		   const char *unit, double goal);

/* Print a message with the errno, and end the program. */
void bench_die(const char *what) __attribute__((noreturn));

#endif /* GCHEAP_DEVICE_BENCH_H */
