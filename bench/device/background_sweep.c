// SPDX-License-Identifier: MIT
/* link: -luring */
/*
 * A sweep in the background, submitted as one io_uring command, beside the sweep that
 * requests do by themselves.
 *
 * Cycles of a heap of 64 MiB in spans of 8 KiB, all with free slots, and of 16 MiB in
 * objects of a span each that are dead in the next one. Between two cycles the program
 * computes for a while, takes and returns an eighth of the spans, and makes such objects.
 * Foreground: SWEEP_START frees what is dead, REFILL sweeps as it goes, and the next
 * MARK_START what is left. Background: a lazy SWEEP_START, and behind it a SWEEP that a
 * worker does on the other CPU.
 *
 * The pause is what SWEEP_START, with submitting the command, and MARK_START take; REFILL
 * is a batch of spans after the sweep has begun; all is a cycle from end to end.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <liburing.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "device_bench.h"

#define RESERVE		(1ull << 30)
#define SPANS		8192u
#define BATCH		32u
#define BATCHES		(SPANS / 8 / BATCH)	/* taken and returned in a cycle */
#define GARBAGE		2048u			/* large objects made in a cycle */
#define CLASS_64	6u
#define CYCLES		15u			/* of one figure */
#define WORDS		(GCHEAP_PAGE_BYTES / 16 / 64)

static struct bench_heap heap;
static struct io_uring ring;
static struct gcheap_sweep sweep;
static bool sweeping;
static uint32_t held[BATCH];
static uint32_t holds;

static const struct gcheap_ctrl *ctrl(void)
{
	return (const void *)heap.region[GCHEAP_REGION_CTRL];
}

static uint64_t *bit_table(uint32_t table)
{
	return (void *)(heap.region[GCHEAP_REGION_MARKS] + GCHEAP_MARKS_TABLE(RESERVE, table));
}

static void page_mark(uint32_t page)
{
	uint64_t *marks = (void *)(heap.region[GCHEAP_REGION_MARKS] +
				   GCHEAP_MARKS_PAGE_MARKS(RESERVE));

	marks[page / 64] |= 1ull << page % 64;
}

/* Takes spans, and returns those taken before, with an object in each. */
static double refill(uint32_t want, struct gcheap_grant *grants, uint32_t *granted)
{
	struct gcheap_refill request = {
		.size_class = CLASS_64,
		.want_bytes = want * GCHEAP_PAGE_BYTES,
		.grant_count = want,
		.return_count = holds,
		.returns = (uintptr_t)held,
		.grants = (uintptr_t)grants,
	};
	double start = bench_ns();

	bench_request(&heap, GCHEAP_OP_REFILL, &request, sizeof(request));
	holds = 0;
	*granted = request.out_granted;
	return bench_ns() - start;
}

/* @bits: which of the first slots are objects now. */
static void hold(const struct gcheap_grant *grants, uint32_t count, uint64_t bits)
{
	uint64_t *table = bit_table(ctrl()->mark_table ^ 1);
	uint32_t i, word;

	for (i = 0; i < count; i++) {
		for (word = 0; word < WORDS; word++)
			table[(uint64_t)grants[i].page * WORDS + word] |= bits;
		held[holds++] = grants[i].page;
	}
}

static void give_all(void)
{
	uint32_t granted;

	refill(0, NULL, &granted);
}

/* Spans without a free slot, so that each REFILL makes new ones. */
static void populate(void)
{
	struct gcheap_grant grants[BATCH];
	uint32_t granted;

	while (ctrl()->counters.spans < SPANS) {
		refill(BATCH, grants, &granted);
		hold(grants, granted, 0x1111111111111111);
	}
	give_all();
}

/* Objects of a span each that will be dead by the next cycle. */
static void make_garbage(void)
{
	uint32_t i;

	for (i = 0; i < GARBAGE / BATCHES; i++) {
		struct gcheap_alloc_large large = { .count = GCHEAP_PAGE_BYTES };

		bench_request(&heap, GCHEAP_OP_ALLOC_LARGE, &large, sizeof(large));
	}
}

/* Marks an object of each span of small ones. */
static void mark(void)
{
	const struct gcheap_span *table = (const void *)heap.region[GCHEAP_REGION_SPANS];
	uint64_t *bits = bit_table(ctrl()->mark_table);
	uint32_t page;

	for (page = 1; page < ctrl()->heap_pages; page++) {
		if ((table[page].state & GCHEAP_SPAN_STATE_MASK) != GCHEAP_SPAN_CENTRAL)
			continue;
		bits[(uint64_t)page * WORDS] |= 1;
		page_mark(page);
	}
}

static void background_start(void)
{
	struct gcheap_uring_cmd payload = { .request = (uintptr_t)&sweep };
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

	sweep = (struct gcheap_sweep){ .size = sizeof(sweep), .max_spans = UINT64_MAX };
	io_uring_prep_nop(sqe);
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = heap.fd;
	sqe->flags = IOSQE_ASYNC;
	sqe->off = GCHEAP_OP_SWEEP;
	memcpy((char *)sqe + 48, &payload, sizeof(payload));
	if (io_uring_submit(&ring) != 1)
		bench_die("io_uring_submit");
	sweeping = true;
}

static void background_end(void)
{
	struct io_uring_cqe *cqe;

	if (!sweeping)
		return;
	if (io_uring_wait_cqe(&ring, &cqe) || cqe->res)
		bench_die("SWEEP");
	io_uring_cqe_seen(&ring, cqe);
	sweeping = false;
}

/* What a program does that is not about the heap; the same each time. */
static void compute(void)
{
	volatile uint64_t sum = 0;
	uint32_t i;

	for (i = 0; i < 3000000; i++)
		sum += i;
}

struct figures {
	double pause_us;
	double refill_us;
	double all_us;
};

static struct figures cycle(bool background)
{
	struct gcheap_mark_start mark_start = { 0 };
	struct gcheap_sweep_start start = { .flags = background ? GCHEAP_SWEEP_START_LAZY : 0 };
	struct gcheap_grant grants[BATCH];
	struct figures figures = { 0 };
	double from, begin = bench_ns();
	uint32_t granted, i;

	bench_request(&heap, GCHEAP_OP_MARK_START, &mark_start, sizeof(mark_start));
	background_end();
	figures.pause_us = bench_ns() - begin;
	mark();
	from = bench_ns();
	bench_request(&heap, GCHEAP_OP_SWEEP_START, &start, sizeof(start));
	if (background)
		background_start();
	figures.pause_us += bench_ns() - from;

	for (i = 0; i < BATCHES; i++) {
		compute();
		figures.refill_us += refill(BATCH, grants, &granted) / BATCHES;
		hold(grants, granted, 1);
		make_garbage();
	}
	give_all();
	figures.all_us = bench_ns() - begin;
	figures.pause_us /= 1000;
	figures.refill_us /= 1000;
	figures.all_us /= 1000;
	return figures;
}

int main(void)
{
	double ours[3][BENCH_ROUNDS_MAX], theirs[3][BENCH_ROUNDS_MAX];
	static const char *const names[] = {
		"pauses of a cycle; in the foreground", "32 spans by REFILL; in the foreground",
		"cycle and the time to the next; in the foreground",
	};
	size_t rounds = bench_rounds(), r;
	unsigned int i;

	bench_heap_open(&heap, RESERVE, 0);
	errno = -io_uring_queue_init(4, &ring, 0);
	if (errno)
		bench_die("io_uring_queue_init");
	populate();
	for (r = 0; r < rounds; r++) {
		double got[2][3][CYCLES];
		int background;

		for (i = 0; i < 2 * CYCLES; i++) {
			struct figures figures;

			background = i % 2;
			figures = cycle(background);
			got[background][0][i / 2] = figures.pause_us;
			got[background][1][i / 2] = figures.refill_us;
			got[background][2][i / 2] = figures.all_us;
		}
		for (i = 0; i < 3; i++) {
			ours[i][r] = bench_median(got[1][i], CYCLES);
			theirs[i][r] = bench_median(got[0][i], CYCLES);
		}
	}
	for (i = 0; i < 3; i++)
		bench_compare(names[i], ours[i], theirs[i], rounds, "us", 0);
	bench_heap_close(&heap);
	return 0;
}
