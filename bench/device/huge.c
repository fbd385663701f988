// SPDX-License-Identifier: MIT
/*
 * What 2 MiB pages are worth: a heap of GCHEAP_SETUP_HUGE_PAGES beside anonymous memory
 * with huge pages (MADV_HUGEPAGE), and beside a heap without them.
 *
 * It measures fresh memory, where zeroing takes most of the time on both sides; memory
 * that is touched at random, as marking does, where the walk of the page tables is
 * what can be saved; a chunk of a user arena that is freed and taken again; and a
 * request for what was written.
 */
#define _GNU_SOURCE
#include "device_bench.h"

#include <stdio.h>
#include <sys/mman.h>

#define PAGE		4096u
#define TOTAL		(64u << 20)	/* bytes in one measurement */
#define RESERVE		(256u << 20)
#define TOUCHES		2000000u
#define HUGE		(2u << 20)

static void touch(char *memory, size_t bytes)
{
	size_t at;

	for (at = 0; at < bytes; at += PAGE)
		*(volatile char *)(memory + at) = 1;
}

/* Aligned, as a heap's is. */
static char *anonymous(void)
{
	char *memory = mmap(NULL, TOTAL + HUGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		bench_die("mmap");
	madvise(memory, TOTAL + HUGE, MADV_HUGEPAGE);
	return memory;
}

static char *anonymous_aligned(char *memory)
{
	return memory + (-(uintptr_t)memory & (HUGE - 1));
}

/* An object of TOTAL bytes, which begins where a 2 MiB page does. */
static char *heap_object(const struct bench_heap *heap, uint32_t type)
{
	struct gcheap_alloc_large first = { .count = HUGE - GCHEAP_PAGE_BYTES };
	struct gcheap_alloc_large alloc = { .type = type, .count = type ? TOTAL / 8 : TOTAL };

	bench_request(heap, GCHEAP_OP_ALLOC_LARGE, &first, sizeof(first));
	bench_request(heap, GCHEAP_OP_ALLOC_LARGE, &alloc, sizeof(alloc));
	return heap->region[GCHEAP_REGION_HEAP] + ((size_t)alloc.out_page << GCHEAP_PAGE_SHIFT);
}

/* ---- fresh memory -------------------------------------------------------------- */

static double heap_fresh(uint32_t flags)
{
	struct bench_heap heap;
	double start;

	bench_heap_open(&heap, RESERVE, flags);
	start = bench_ns();
	touch(heap_object(&heap, 0), TOTAL);
	start = bench_ns() - start;
	bench_heap_close(&heap);
	return start / (TOTAL / PAGE);
}

static double anonymous_fresh(void)
{
	char *memory = anonymous();
	double start = bench_ns();

	touch(anonymous_aligned(memory), TOTAL);
	start = bench_ns() - start;
	munmap(memory, TOTAL + HUGE);
	return start / (TOTAL / PAGE);
}

/* ---- touching at random -------------------------------------------------------- */

static double touch_random(char *memory)
{
	uint64_t state = 88172645463325252ull;
	double start = bench_ns();
	uint32_t i;

	for (i = 0; i < TOUCHES; i++) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		*(volatile uint64_t *)(memory + state % (TOTAL / 64) * 64) += 1;
	}
	return (bench_ns() - start) / TOUCHES;
}

static double heap_random(uint32_t flags)
{
	struct bench_heap heap;
	char *memory;
	double ns;

	bench_heap_open(&heap, RESERVE, flags);
	memory = heap_object(&heap, 0);
	touch(memory, TOTAL);
	ns = touch_random(memory);
	bench_heap_close(&heap);
	return ns;
}

static double anonymous_random(void)
{
	char *memory = anonymous();
	double ns;

	touch(anonymous_aligned(memory), TOTAL);
	ns = touch_random(anonymous_aligned(memory));
	munmap(memory, TOTAL + HUGE);
	return ns;
}

/* ---- taken away and taken again ------------------------------------------------ */

#define CHUNK_ROUNDS	16u

/* A chunk is freed, and another one taken and touched, which has its memory. */
static double heap_chunk(uint32_t flags)
{
	struct gcheap_chunk_new chunk = { 0 };
	struct gcheap_chunk_free gone;
	struct bench_heap heap;
	double start = 0;
	uint32_t i;

	bench_heap_open(&heap, RESERVE, flags);
	for (i = 0; i <= CHUNK_ROUNDS; i++) {
		bench_request(&heap, GCHEAP_OP_CHUNK_NEW, &chunk, sizeof(chunk));
		touch(heap.region[GCHEAP_REGION_HEAP] +
		      ((size_t)chunk.out_page << GCHEAP_PAGE_SHIFT), GCHEAP_CHUNK_BYTES);
		if (!i)
			start = bench_ns();
		gone = (struct gcheap_chunk_free) { .page = chunk.out_page };
		bench_request(&heap, GCHEAP_OP_CHUNK_FREE, &gone, sizeof(gone));
	}
	start = bench_ns() - start;
	bench_heap_close(&heap);
	return start / 1000 / CHUNK_ROUNDS;
}

static double anonymous_chunk(void)
{
	char *memory = anonymous(), *chunk = anonymous_aligned(memory);
	double start = 0;
	uint32_t i;

	for (i = 0; i <= CHUNK_ROUNDS; i++) {
		touch(chunk, GCHEAP_CHUNK_BYTES);
		if (!i)
			start = bench_ns();
		madvise(chunk, GCHEAP_CHUNK_BYTES, MADV_DONTNEED);
	}
	start = bench_ns() - start;
	munmap(memory, TOTAL + HUGE);
	return start / 1000 / CHUNK_ROUNDS;
}

/* ---- what was written ---------------------------------------------------------- */

/* A quarter of it was, all in one place. */
static double heap_track(uint32_t flags)
{
	uint64_t mask = 1;
	struct gcheap_type_add type = {
		.bytes = 8, .align = 8, .ptr_bytes = 8, .ptr_mask = (uintptr_t)&mask,
	};
	struct gcheap_track track = { .flags = GCHEAP_TRACK_BITMAP };
	struct bench_heap heap;
	double start;
	char *memory;

	bench_heap_open(&heap, RESERVE, flags);
	bench_request(&heap, GCHEAP_OP_TYPE_ADD, &type, sizeof(type));
	memory = heap_object(&heap, type.out_type);
	touch(memory, TOTAL);
	bench_request(&heap, GCHEAP_OP_TRACK, &track, sizeof(track));
	touch(memory, TOTAL / 4);
	start = bench_ns();
	track = (struct gcheap_track) { .flags = GCHEAP_TRACK_BITMAP };
	bench_request(&heap, GCHEAP_OP_TRACK, &track, sizeof(track));
	start = bench_ns() - start;
	if (track.out_dirty_pages != TOTAL / 4 / GCHEAP_PAGE_BYTES)
		bench_die("TRACK has found something else");
	bench_heap_close(&heap);
	return start / 1000;
}

/* -------------------------------------------------------------------------------- */

int main(void)
{
	const uint32_t huge = GCHEAP_SETUP_HUGE_PAGES;
	double ours[BENCH_ROUNDS_MAX], theirs[BENCH_ROUNDS_MAX];
	size_t rounds = bench_rounds(), r;

	for (r = 0; r < rounds; r++) {
		ours[r] = heap_fresh(huge);
		theirs[r] = anonymous_fresh();
	}
	bench_compare("fresh page, huge heap beside THP", ours, theirs, rounds, "ns", 0);
	for (r = 0; r < rounds; r++) {
		ours[r] = heap_fresh(huge);
		theirs[r] = heap_fresh(0);
	}
	bench_compare("fresh page, huge heap beside plain heap", ours, theirs, rounds, "ns", 0);
	for (r = 0; r < rounds; r++) {
		ours[r] = heap_random(huge);
		theirs[r] = anonymous_random();
	}
	bench_compare("random touch, huge heap beside THP", ours, theirs, rounds, "ns", 0);
	for (r = 0; r < rounds; r++) {
		ours[r] = heap_random(huge);
		theirs[r] = heap_random(0);
	}
	bench_compare("random touch, huge heap beside plain heap", ours, theirs, rounds, "ns", 0);
	for (r = 0; r < rounds; r++) {
		ours[r] = heap_chunk(huge);
		theirs[r] = anonymous_chunk();
	}
	bench_compare("8 MiB freed and taken, huge heap beside THP", ours, theirs, rounds, "us", 0);
	for (r = 0; r < rounds; r++) {
		ours[r] = heap_chunk(huge);
		theirs[r] = heap_chunk(0);
	}
	bench_compare("8 MiB freed and taken, huge heap beside plain heap", ours, theirs, rounds,
		      "us", 0);
	for (r = 0; r < rounds; r++) {
		ours[r] = heap_track(huge);
		theirs[r] = heap_track(0);
	}
	bench_compare("TRACK, a quarter dirty, huge heap beside plain heap", ours, theirs, rounds,
		      "us", 0);
	return 0;
}
