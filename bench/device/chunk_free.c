// SPDX-License-Identifier: MIT
/*
 * What it costs to end 8 MiB of populated memory so that each access faults after
 * that: CHUNK_FREE beside mprotect(PROT_NONE) and madvise(MADV_DONTNEED) of anonymous
 * memory; and what the whole life of a chunk costs beside that of a mapping.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "device_bench.h"

#define CHUNKS	16u	/* a round */

static void touch(char *memory)
{
	size_t at;

	for (at = 0; at < GCHEAP_CHUNK_BYTES; at += 4096)
		((volatile char *)memory)[at] = 1;
}

/* Microseconds of one CHUNK_FREE; with its CHUNK_NEW, touch and CHUNK_READY in @circle. */
static double chunk_us(const struct bench_heap *heap, double *circle)
{
	double ns = 0, start = bench_ns();
	unsigned int i;

	for (i = 0; i < CHUNKS; i++) {
		struct gcheap_chunk_new new = { 0 };
		struct gcheap_chunk_free end = { 0 };
		struct gcheap_chunk_ready ready = { 0 };
		double before;

		bench_request(heap, GCHEAP_OP_CHUNK_NEW, &new, sizeof(new));
		touch(heap->region[GCHEAP_REGION_HEAP] +
		      ((size_t)new.out_page << GCHEAP_PAGE_SHIFT));
		end.page = new.out_page;
		ready.page = new.out_page;
		before = bench_ns();
		bench_request(heap, GCHEAP_OP_CHUNK_FREE, &end, sizeof(end));
		ns += bench_ns() - before;
		bench_request(heap, GCHEAP_OP_CHUNK_READY, &ready, sizeof(ready));
	}
	*circle = (bench_ns() - start) / 1000 / CHUNKS;
	return ns / 1000 / CHUNKS;
}

static double plain_us(char *memory, double *circle)
{
	double ns = 0, start = bench_ns();
	unsigned int i;

	for (i = 0; i < CHUNKS; i++) {
		double before;

		if (mprotect(memory, GCHEAP_CHUNK_BYTES, PROT_READ | PROT_WRITE))
			bench_die("mprotect");
		touch(memory);
		before = bench_ns();
		if (mprotect(memory, GCHEAP_CHUNK_BYTES, PROT_NONE) ||
		    madvise(memory, GCHEAP_CHUNK_BYTES, MADV_DONTNEED))
			bench_die("mprotect or madvise");
		ns += bench_ns() - before;
	}
	*circle = (bench_ns() - start) / 1000 / CHUNKS;
	return ns / 1000 / CHUNKS;
}

int main(void)
{
	double ours[BENCH_ROUNDS_MAX], theirs[BENCH_ROUNDS_MAX];
	double our_circle[BENCH_ROUNDS_MAX], their_circle[BENCH_ROUNDS_MAX];
	size_t rounds = bench_rounds();
	struct bench_heap heap;
	char *memory;
	size_t i;

	bench_heap_open(&heap, GCHEAP_RESERVE_DEFAULT, 0);
	memory = mmap(NULL, GCHEAP_CHUNK_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		bench_die("mmap");
	/* The same pages on both sides. */
	madvise(memory, GCHEAP_CHUNK_BYTES, MADV_NOHUGEPAGE);
	chunk_us(&heap, our_circle);
	plain_us(memory, their_circle);
	for (i = 0; i < rounds; i++) {
		ours[i] = chunk_us(&heap, &our_circle[i]);
		theirs[i] = plain_us(memory, &their_circle[i]);
	}
	bench_compare("CHUNK_FREE of 8 MiB : mprotect + MADV_DONTNEED", ours, theirs, rounds,
		      "us", 0);
	bench_compare("new, touched, freed, ready : mprotect, touched, freed", our_circle,
		      their_circle, rounds, "us", 0);
	munmap(memory, GCHEAP_CHUNK_BYTES);
	bench_heap_close(&heap);
	return 0;
}
