// SPDX-License-Identifier: MIT
/* link: -luring */
/*
 * 32 requests submitted together through io_uring beside 32 ioctls.
 *
 * REFILL of one span with one given back, so that the heap stays as it is: spans
 * with an object in them, which go from list to list, and empty ones, which are made
 * anew; and STATS, which does least. Three rings: a plain one; one for a single issuer
 * that runs its completions itself; and that with the file registered.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <liburing.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "device_bench.h"

#define BATCH	32u
#define BATCHES	101u		/* of one figure */
#define CLASS_64	6u

/* One request of a batch, and its arrays. */
struct slot {
	union {
		struct gcheap_refill refill;
		struct gcheap_heap_stats stats;
	};
	struct gcheap_grant grant;
	uint32_t page;
};

struct side {
	struct bench_heap heap;
	struct slot slots[BATCH];
	uint32_t op;
	bool keep;
};

static void slots_prepare(struct side *side)
{
	unsigned int i;

	for (i = 0; i < BATCH; i++) {
		struct slot *slot = &side->slots[i];

		if (side->op == GCHEAP_OP_STATS) {
			slot->stats = (struct gcheap_heap_stats){ .size = sizeof(slot->stats) };
			continue;
		}
		slot->refill = (struct gcheap_refill){
			.size = sizeof(slot->refill),
			.size_class = CLASS_64,
			.want_bytes = 1,
			.grant_count = 1,
			.return_count = slot->page ? 1 : 0,
			.returns = (uintptr_t)&slot->page,
			.grants = (uintptr_t)&slot->grant,
		};
	}
}

/* What was granted is returned by the next batch, with an object in it. */
static void slots_done(struct side *side)
{
	const struct gcheap_ctrl *ctrl = (const void *)side->heap.region[GCHEAP_REGION_CTRL];
	uint64_t *alloc_bits = (void *)(side->heap.region[GCHEAP_REGION_MARKS] +
					GCHEAP_MARKS_TABLE(GCHEAP_RESERVE_MIN,
							   ctrl->mark_table ^ 1));
	unsigned int i;

	for (i = 0; side->op == GCHEAP_OP_REFILL && i < BATCH; i++) {
		uint32_t page = side->slots[i].grant.page;

		side->slots[i].page = page;
		if (side->keep)
			alloc_bits[(uint64_t)page << (GCHEAP_PAGE_SHIFT - GCHEAP_GRANULE_SHIFT - 6)] |= 1;
	}
}

static void batch_ioctl(struct side *side)
{
	unsigned int i;

	for (i = 0; i < BATCH; i++) {
		if (ioctl(side->heap.fd, GCHEAP_IOC(side->op), &side->slots[i]))
			bench_die("ioctl");
	}
}

static void batch_ring(struct side *side, struct io_uring *ring, bool registered)
{
	struct io_uring_cqe *cqe;
	unsigned int i, head;

	for (i = 0; i < BATCH; i++) {
		struct gcheap_uring_cmd payload = { .request = (uintptr_t)&side->slots[i] };
		struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

		io_uring_prep_nop(sqe);
		sqe->opcode = IORING_OP_URING_CMD;
		sqe->fd = registered ? 0 : side->heap.fd;
		sqe->flags = registered ? IOSQE_FIXED_FILE : 0;
		sqe->off = side->op;
		/* sqe->cmd, which the library's header may not have. */
		memcpy((char *)sqe + 48, &payload, sizeof(payload));
	}
	if (io_uring_submit_and_wait(ring, BATCH) != BATCH)
		bench_die("io_uring_submit_and_wait");
	i = 0;
	io_uring_for_each_cqe(ring, head, cqe) {
		if (cqe->res) {
			errno = -cqe->res;
			bench_die("a command");
		}
		i++;
	}
	if (i != BATCH)
		bench_die("completions are missing");
	io_uring_cq_advance(ring, BATCH);
}

static double measure_one(struct side *side, struct io_uring *ring, bool registered)
{
	double from, ns;

	slots_prepare(side);
	from = bench_ns();
	if (ring)
		batch_ring(side, ring, registered);
	else
		batch_ioctl(side);
	ns = bench_ns() - from;
	slots_done(side);
	return ns / BATCH;
}

/*
 * Nanoseconds of one request by the ring and by ioctl: medians of batches in turns,
 * of which the host's scheduler, or the guest's, makes some much longer.
 */
static void measure(struct side *side, struct io_uring *ring, bool registered, double *ours,
		    double *theirs)
{
	double by_ring[BATCHES], by_ioctl[BATCHES];
	unsigned int i;

	for (i = 0; i < BATCHES; i++) {
		by_ring[i] = measure_one(side, ring, registered);
		by_ioctl[i] = measure_one(side, NULL, false);
	}
	*ours = bench_median(by_ring, BATCHES);
	*theirs = bench_median(by_ioctl, BATCHES);
}

static void compare(const char *name, uint32_t op, bool keep, unsigned int ring_flags, bool registered)
{
	double ours[BENCH_ROUNDS_MAX], theirs[BENCH_ROUNDS_MAX];
	size_t rounds = bench_rounds();
	struct side side = { .op = op, .keep = keep };
	struct io_uring ring;
	char what[80];
	size_t i;

	bench_heap_open(&side.heap, GCHEAP_RESERVE_MIN, 0);
	errno = -io_uring_queue_init(BATCH, &ring, ring_flags);
	if (errno)
		bench_die("io_uring_queue_init");
	if (registered) {
		errno = -io_uring_register_files(&ring, &side.heap.fd, 1);
		if (errno)
			bench_die("io_uring_register_files");
		if (io_uring_register_ring_fd(&ring) != 1)
			bench_die("io_uring_register_ring_fd");
	}
	measure(&side, &ring, registered, &ours[0], &theirs[0]);
	for (i = 0; i < rounds; i++)
		measure(&side, &ring, registered, &ours[i], &theirs[i]);
	snprintf(what, sizeof(what), "32 %s, %s", op == GCHEAP_OP_STATS ? "STATS" :
		 keep ? "REFILL of used spans" : "REFILL of empty spans", name);
	bench_compare(what, ours, theirs, rounds, "ns each", 0.8);
	io_uring_queue_exit(&ring);
	bench_heap_close(&side.heap);
}

int main(void)
{
	static const struct {
		uint32_t op;
		bool keep;
	} sorts[] = {
		{ GCHEAP_OP_REFILL, true }, { GCHEAP_OP_REFILL, false }, { GCHEAP_OP_STATS, false },
	};
	const unsigned int single = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
	unsigned int i;

	for (i = 0; i < 3; i++) {
		compare("plain ring", sorts[i].op, sorts[i].keep, 0, false);
		compare("single issuer", sorts[i].op, sorts[i].keep, single, false);
		compare("single issuer, registered file", sorts[i].op, sorts[i].keep, single, true);
	}
	return 0;
}
