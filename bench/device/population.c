// SPDX-License-Identifier: MIT
/*
 * What it costs to get memory: a page of a heap that a request has populated,
 * beside a page of anonymous memory that was touched first.
 *
 * Both sides write one word to each page, so that each has all its costs: ours the
 * request, theirs the page fault. Anonymous memory has no huge pages here, as heaps
 * have none unless they ask for them.
 *
 * Fresh memory is measured twice, with and without the worker that zeroes ahead of
 * demand on the other CPU. Recycled memory is what a heap has freed and hands out
 * again; it may have old data, so that a second figure has a memset() in it.
 */
#define _GNU_SOURCE
#include "device_bench.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE		4096u
#define TOTAL		(32u << 20)	/* bytes in one measurement */
#define RESERVE		(256u << 20)
#define AHEAD		"/sys/module/gcheap/parameters/zero_ahead_bytes"

static void touch(char *memory, size_t bytes)
{
	size_t at;

	for (at = 0; at < bytes; at += PAGE)
		*(volatile char *)(memory + at) = 1;
}

static char *anonymous(void)
{
	char *memory = mmap(NULL, TOTAL, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		bench_die("mmap");
	madvise(memory, TOTAL, MADV_NOHUGEPAGE);
	return memory;
}

/* The first fault of a page table is part of the cost, on both sides. */
static double anonymous_fresh(void)
{
	char *memory = anonymous();
	double start = bench_ns();

	touch(memory, TOTAL);
	start = bench_ns() - start;
	munmap(memory, TOTAL);
	return start / (TOTAL / PAGE);
}

static double anonymous_recycled(void)
{
	char *memory = anonymous();
	double start;

	touch(memory, TOTAL);
	start = bench_ns();
	madvise(memory, TOTAL, MADV_DONTNEED);
	touch(memory, TOTAL);
	start = bench_ns() - start;
	munmap(memory, TOTAL);
	return start / (TOTAL / PAGE);
}

static char *heap_alloc(const struct bench_heap *heap, uint64_t bytes, uint32_t *page)
{
	struct gcheap_alloc_large alloc = { .count = bytes };

	bench_request(heap, GCHEAP_OP_ALLOC_LARGE, &alloc, sizeof(alloc));
	if (page)
		*page = alloc.out_page;
	return heap->region[GCHEAP_REGION_HEAP] + ((size_t)alloc.out_page << GCHEAP_PAGE_SHIFT);
}

static double heap_fresh(size_t batch)
{
	struct bench_heap heap;
	double start;
	size_t done;

	bench_heap_open(&heap, RESERVE, 0);
	start = bench_ns();
	for (done = 0; done < TOTAL; done += batch)
		touch(heap_alloc(&heap, batch, NULL), batch);
	start = bench_ns() - start;
	bench_heap_close(&heap);
	return start / (TOTAL / PAGE);
}

static double heap_recycled(size_t batch, int zero)
{
	static uint32_t pages[TOTAL / GCHEAP_PAGE_BYTES];
	size_t count = TOTAL / batch, i;
	struct bench_heap heap;
	double start;

	bench_heap_open(&heap, RESERVE, 0);
	for (i = 0; i < count; i++)
		touch(heap_alloc(&heap, batch, &pages[i]), batch);
	start = bench_ns();
	for (i = 0; i < count; i++) {
		struct gcheap_free_large request = { .page = pages[i] };

		bench_request(&heap, GCHEAP_OP_FREE_LARGE, &request, sizeof(request));
	}
	for (i = 0; i < count; i++) {
		char *memory = heap_alloc(&heap, batch, NULL);

		if (zero)
			memset(memory, 0, batch);
		touch(memory, batch);
	}
	start = bench_ns() - start;
	bench_heap_close(&heap);
	return start / (TOTAL / PAGE);
}

/* Writes the parameter; whether there is one. */
static int ahead_set(const char *bytes)
{
	int fd = open(AHEAD, O_WRONLY | O_CLOEXEC);
	int ok = fd >= 0 && write(fd, bytes, strlen(bytes)) > 0;

	if (fd >= 0)
		close(fd);
	return ok;
}

static void ahead_get(char *bytes, size_t room)
{
	int fd = open(AHEAD, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? 0 : read(fd, bytes, room - 1);

	bytes[got > 0 ? got : 0] = 0;
	if (fd >= 0)
		close(fd);
}

int main(void)
{
	static const size_t batches[] = { 64 << 10, 256 << 10, 2 << 20 };
	double ours[BENCH_ROUNDS_MAX], theirs[BENCH_ROUNDS_MAX];
	size_t rounds = bench_rounds(), b, r;
	char what[80], ahead[32];
	int ahead_on;

	ahead_get(ahead, sizeof(ahead));
	for (ahead_on = 0; ahead_on < 2; ahead_on++) {
		if (!ahead_set(ahead_on ? ahead : "0") && ahead_on)
			break;
		for (b = 0; b < sizeof(batches) / sizeof(batches[0]); b++) {
			for (r = 0; r < rounds; r++) {
				ours[r] = heap_fresh(batches[b]);
				theirs[r] = anonymous_fresh();
			}
			snprintf(what, sizeof(what), "fresh page, batches of %zu KiB%s", batches[b] >> 10,
				 ahead_on ? ", zeroed ahead" : "");
			bench_compare(what, ours, theirs, rounds, "ns", 0.6);
		}
	}
	for (b = 0; b < sizeof(batches) / sizeof(batches[0]); b++) {
		int zero;

		for (zero = 0; zero < 2; zero++) {
			for (r = 0; r < rounds; r++) {
				ours[r] = heap_recycled(batches[b], zero);
				theirs[r] = anonymous_recycled();
			}
			snprintf(what, sizeof(what), "recycled page, batches of %zu KiB%s",
				 batches[b] >> 10, zero ? ", and memset()" : "");
			bench_compare(what, ours, theirs, rounds, "ns", zero ? 0 : 0.1);
		}
	}
	return 0;
}
