// SPDX-License-Identifier: MIT
/*
 * What it costs to give 1,024 spans of 8 KiB back to the system: one SCAVENGE, beside
 * an madvise(MADV_DONTNEED) for each on anonymous memory.
 *
 * Scattered spans are 64 KiB apart, and what is between them stays; adjacent ones
 * follow each other. The other thread only runs: each page table entry that goes has
 * to be flushed from its CPU too.
 */
#define _GNU_SOURCE
#include "device_bench.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SPANS		1024u
#define SPAN		GCHEAP_PAGE_BYTES
#define AHEAD		"/sys/module/gcheap/parameters/zero_ahead_bytes"

static atomic_int stop;

static void *run(void *unused)
{
	while (!atomic_load_explicit(&stop, memory_order_relaxed))
		;
	return unused;
}

static double anonymous(unsigned int stride)
{
	size_t bytes = (size_t)SPANS * stride * SPAN, i;
	char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	double start;

	if (memory == MAP_FAILED)
		bench_die("mmap");
	madvise(memory, bytes, MADV_NOHUGEPAGE);
	memset(memory, 1, bytes);
	start = bench_ns();
	for (i = 0; i < SPANS; i++)
		madvise(memory + i * stride * SPAN, SPAN, MADV_DONTNEED);
	start = bench_ns() - start;
	munmap(memory, bytes);
	return start / SPANS;
}

static double heap(unsigned int stride)
{
	static uint32_t pages[SPANS * 8];
	struct gcheap_scavenge scavenge = { .max_bytes = UINT64_MAX };
	struct bench_heap heap;
	double start;
	unsigned int i;

	bench_heap_open(&heap, 256u << 20, 0);
	for (i = 0; i < SPANS * stride; i++) {
		struct gcheap_alloc_large alloc = { .count = SPAN };

		bench_request(&heap, GCHEAP_OP_ALLOC_LARGE, &alloc, sizeof(alloc));
		pages[i] = alloc.out_page;
		memset(heap.region[GCHEAP_REGION_HEAP] +
		       ((size_t)alloc.out_page << GCHEAP_PAGE_SHIFT), 1, SPAN);
	}
	/* What is free for other reasons goes first. */
	bench_request(&heap, GCHEAP_OP_SCAVENGE, &scavenge, sizeof(scavenge));
	for (i = 0; i < SPANS * stride; i += stride) {
		struct gcheap_free_large request = { .page = pages[i] };

		bench_request(&heap, GCHEAP_OP_FREE_LARGE, &request, sizeof(request));
	}
	start = bench_ns();
	bench_request(&heap, GCHEAP_OP_SCAVENGE, &scavenge, sizeof(scavenge));
	start = bench_ns() - start;
	if (scavenge.out_bytes != SPANS * SPAN) {
		fprintf(stderr, "release: SCAVENGE gave %llu bytes, not %lu\n",
			(unsigned long long)scavenge.out_bytes, SPANS * SPAN);
		exit(1);
	}
	bench_heap_close(&heap);
	return start / SPANS;
}

int main(void)
{
	double ours[BENCH_ROUNDS_MAX], theirs[BENCH_ROUNDS_MAX];
	size_t rounds = bench_rounds(), r;
	int threads, fd = open(AHEAD, O_WRONLY | O_CLOEXEC);
	char what[80];

	/* The stock, which SCAVENGE gives back too, shall be empty. */
	if (fd < 0 || write(fd, "0", 1) != 1)
		bench_die(AHEAD);
	close(fd);
	for (threads = 1; threads <= 2; threads++) {
		static const unsigned int strides[] = { 8, 1 };
		pthread_t thread;
		size_t s;

		if (threads == 2 && pthread_create(&thread, NULL, run, NULL))
			bench_die("pthread_create");
		for (s = 0; s < 2; s++) {
			for (r = 0; r < rounds; r++) {
				ours[r] = heap(strides[s]);
				theirs[r] = anonymous(strides[s]);
			}
			snprintf(what, sizeof(what), "release of %s 8 KiB, %s",
				 strides[s] > 1 ? "scattered" : "adjacent",
				 threads == 1 ? "one thread" : "another thread runs");
			bench_compare(what, ours, theirs, rounds, "ns", 0.6);
		}
		if (threads == 2) {
			atomic_store(&stop, 1);
			pthread_join(thread, NULL);
		}
	}
	return 0;
}
