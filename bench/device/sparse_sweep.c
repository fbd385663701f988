// SPDX-License-Identifier: MIT
/*
 * The sweep of a heap whose spans are far apart: MARK_START and SWEEP_START of a heap
 * that reaches over 32 GiB of addresses, beside one with the same spans in 64 MiB.
 *
 * Between the spans are chunks in quarantine: addresses without memory. One run of 8
 * MiB in 32 has spans: dead ones and living ones in turns, one page each, and a large
 * living one that fills it.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "device_bench.h"

#define RESERVE		(64ull << 30)
#define EXTENT		(32ull << 30)
#define LEAF_PAGES	(GCHEAP_CHUNK_BYTES / GCHEAP_PAGE_BYTES)
#define LEAVES		(EXTENT / GCHEAP_CHUNK_BYTES)
#define LEAF_STEP	32
#define GROUPS		(LEAVES / LEAF_STEP)

struct side {
	struct bench_heap heap;
	size_t dead;		/* spans that each cycle frees, and that are made again */
	size_t kept_count;
	uint32_t *kept;		/* first pages of the others */
};

static uint32_t object_make(struct side *side, uint64_t pages)
{
	struct gcheap_alloc_large object = { .count = pages * GCHEAP_PAGE_BYTES };

	bench_request(&side->heap, GCHEAP_OP_ALLOC_LARGE, &object, sizeof(object));
	return object.out_page;
}

static void keep(struct side *side, uint32_t page)
{
	side->kept[side->kept_count++] = page;
}

/* Dead and living objects in turns; then a living one of @fill pages. */
static void group_make(struct side *side, size_t pairs, uint64_t fill)
{
	while (pairs--) {
		object_make(side, 1);
		keep(side, object_make(side, 1));
	}
	keep(side, object_make(side, fill));
}

/* 8 MiB of addresses that nobody can use. */
static void leaf_close(struct side *side)
{
	struct gcheap_chunk_new chunk = { 0 };
	struct gcheap_chunk_free request = { 0 };

	bench_request(&side->heap, GCHEAP_OP_CHUNK_NEW, &chunk, sizeof(chunk));
	request.page = chunk.out_page;
	bench_request(&side->heap, GCHEAP_OP_CHUNK_FREE, &request, sizeof(request));
}

static void side_open(struct side *side, size_t dead, int sparse)
{
	size_t pairs = dead / GROUPS;
	size_t leaf;

	bench_heap_open(&side->heap, RESERVE, 0);
	side->dead = dead;
	side->kept_count = 0;
	side->kept = calloc(dead + GROUPS, sizeof(*side->kept));
	if (!side->kept)
		bench_die("calloc");
	for (leaf = 0; leaf < LEAVES; leaf++) {
		/* Page 0 is nobody's. */
		uint64_t fill = LEAF_PAGES - 2 * pairs - (leaf == 0);

		if (leaf % LEAF_STEP == 0)
			group_make(side, pairs, sparse ? fill : 1);
		else if (sparse)
			leaf_close(side);
	}
}

static void side_close(struct side *side)
{
	bench_heap_close(&side->heap);
	free(side->kept);
}

static void bit_set(struct side *side, uint64_t table, uint64_t bit)
{
	uint64_t *words = (void *)(side->heap.region[GCHEAP_REGION_MARKS] + table);

	words[bit / 64] |= 1ull << bit % 64;
}

static void mark(struct side *side, uint32_t table)
{
	size_t i;

	for (i = 0; i < side->kept_count; i++) {
		uint64_t page = side->kept[i];

		bit_set(side, GCHEAP_MARKS_TABLE(RESERVE, table),
			page << (GCHEAP_PAGE_SHIFT - GCHEAP_GRANULE_SHIFT));
		bit_set(side, GCHEAP_MARKS_PAGE_MARKS(RESERVE), page);
	}
}

/* One cycle: microseconds of its two requests. Leaves the heap as it was. */
static double cycle(struct side *side)
{
	struct gcheap_mark_start start = { 0 };
	struct gcheap_sweep_start sweep = { 0 };
	double begin, ns;
	size_t i;

	begin = bench_ns();
	bench_request(&side->heap, GCHEAP_OP_MARK_START, &start, sizeof(start));
	ns = bench_ns() - begin;
	mark(side, start.out_mark_table);
	begin = bench_ns();
	bench_request(&side->heap, GCHEAP_OP_SWEEP_START, &sweep, sizeof(sweep));
	ns += bench_ns() - begin;
	if (sweep.out_freed_spans != side->dead) {
		fprintf(stderr, "%llu spans were freed, not %zu\n",
			(unsigned long long)sweep.out_freed_spans, side->dead);
		exit(1);
	}
	/* The lowest free pages: those that were freed. */
	for (i = 0; i < side->dead; i++)
		object_make(side, 1);
	return ns / 1000;
}

/* Both heaps in turns, their spans the same. */
static void compare(size_t dead)
{
	double sparse[BENCH_ROUNDS_MAX], dense[BENCH_ROUNDS_MAX];
	size_t rounds = bench_rounds();
	const struct gcheap_ctrl *ctrl;
	struct side far, near;
	char what[80];
	size_t i;

	side_open(&far, dead, 1);
	side_open(&near, dead, 0);
	cycle(&far);
	cycle(&near);
	for (i = 0; i < rounds; i++) {
		sparse[i] = cycle(&far);
		dense[i] = cycle(&near);
	}
	ctrl = (const void *)far.heap.region[GCHEAP_REGION_CTRL];
	snprintf(what, sizeof(what), "%zu dead of %zu spans over %u MiB, over %u MiB", dead,
		 dead + far.kept_count, ctrl->heap_pages >> 7,
		 ((const struct gcheap_ctrl *)(const void *)near.heap.region[GCHEAP_REGION_CTRL])
			 ->heap_pages >> 7);
	bench_compare(what, sparse, dense, rounds, "us", 0);
	printf("tables of the sparse heap: %llu MiB\n",
	       (unsigned long long)ctrl->counters.table_bytes >> 20);
	side_close(&near);
	side_close(&far);
}

int main(void)
{
	cpu_set_t cpu;

	/* Short runs come from a cache of the CPU: always the same. */
	CPU_ZERO(&cpu);
	CPU_SET(0, &cpu);
	sched_setaffinity(0, sizeof(cpu), &cpu);
	compare(GROUPS * 7);
	compare(GROUPS * 28);
	return 0;
}
