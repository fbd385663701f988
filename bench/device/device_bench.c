// SPDX-License-Identifier: MIT
/*
 * What the benchmarks of /dev/gcheap share.
 */
#define _GNU_SOURCE
#include "device_bench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

void bench_die(const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
	exit(1);
}

void bench_request(const struct bench_heap *heap, unsigned int op, void *request, size_t bytes)
{
	char what[32];

	*(uint32_t *)request = (uint32_t)bytes;
	if (!ioctl(heap->fd, GCHEAP_IOC(op), request))
		return;
	snprintf(what, sizeof(what), "request %u", op);
	bench_die(what);
}

void bench_heap_open(struct bench_heap *heap, uint64_t reserve_bytes, uint32_t setup_flags)
{
	struct gcheap_setup setup = {
		.flags = setup_flags,
		.layout = GCHEAP_LAYOUT_SPAN,
		.reserve_bytes = reserve_bytes,
	};
	unsigned int region;

	heap->fd = open("/dev/gcheap", O_RDWR | O_CLOEXEC);
	if (heap->fd < 0)
		bench_die("/dev/gcheap");
	bench_request(heap, GCHEAP_OP_SETUP, &setup, sizeof(setup));
	heap->features = setup.out_features;
	memcpy(heap->region_bytes, setup.out_region_bytes, sizeof(heap->region_bytes));
	for (region = 0; region < GCHEAP_REGIONS; region++) {
		int prot = PROT_READ;

		if (!heap->region_bytes[region])
			continue;
		if (region == GCHEAP_REGION_HEAP || region == GCHEAP_REGION_MARKS)
			prot |= PROT_WRITE;
		heap->region[region] = mmap(NULL, heap->region_bytes[region], prot, MAP_SHARED,
					    heap->fd, (off_t)GCHEAP_REGION_OFFSET(region));
		if (heap->region[region] == MAP_FAILED)
			bench_die("mmap");
	}
}

void bench_heap_close(struct bench_heap *heap)
{
	unsigned int region;

	for (region = 0; region < GCHEAP_REGIONS; region++)
		munmap(heap->region[region], heap->region_bytes[region]);
	close(heap->fd);
}

double bench_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int figures_order(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

double bench_median(double *figures, size_t count)
{
	qsort(figures, count, sizeof(*figures), figures_order);
	return (figures[(count - 1) / 2] + figures[count / 2]) / 2;
}

size_t bench_rounds(void)
{
	const char *text = getenv("BENCH_ROUNDS");
	long rounds = text ? atol(text) : 7;

	if (rounds < 1)
		rounds = 1;
	return (size_t)rounds < BENCH_ROUNDS_MAX ? (size_t)rounds : BENCH_ROUNDS_MAX;
}

void bench_compare(const char *what, double *ours, double *theirs, size_t rounds,
		   const char *unit, double goal)
{
	double our_median = bench_median(ours, rounds);
	double their_median = bench_median(theirs, rounds);

	printf("%-58s %10.1f %10.1f %-10s ratio %5.2f", what, our_median, their_median, unit,
	       our_median / their_median);
	if (goal > 0)
		printf(" (goal: %.2f at most)", goal);
	printf("\n");
	fflush(stdout);
}
