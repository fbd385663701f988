// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Commands of io_uring that are in flight for long; see long_requests.h. */
#include <sched.h>

#include "gcheap_ring.h"
#include "gcheap_selftest.h"
#include "long_requests.h"

/* The worker may write to it at any time. */
static struct gcheap_alloc_large large_in_flight;

__u64 large_us(const struct test_heap *heap)
{
	__u64 from = now_us();

	if (cmd_alloc_large(heap->fd, 0, LARGE_BYTES, NULL))
		return 0;
	return now_us() - from;
}

int large_begin(struct test_ring *ring, int fd, __u64 full)
{
	int ret;

	large_in_flight = (struct gcheap_alloc_large){
		.size = sizeof(large_in_flight),
		.count = LARGE_BYTES,
	};
	ring_cmd(ring, fd, GCHEAP_OP_ALLOC_LARGE, &large_in_flight, 1);
	ret = ring_submit(ring, 0);
	usleep(full / 8);
	return ret;
}

int large_undo(int fd)
{
	__u32 page;
	int ret;

	/* The answer is written after all else. */
	while (!(page = *(volatile __u32 *)&large_in_flight.out_page))
		sched_yield();
	ret = cmd_free_large(fd, page);
	return ret ?: cmd_scavenge(fd, ~0ull, NULL);
}

/* The answers of commands whose ring has gone may come at any time. */
static union any_request many[MANY_MOST];
static struct gcheap_grant many_grants[MANY_MOST];

int submit_many(struct test_ring *ring, int fd)
{
	for (__u32 i = 0; i < MANY; i++) {
		static const unsigned int ops[] = {
			GCHEAP_OP_REFILL, GCHEAP_OP_STATS, GCHEAP_OP_ALLOC_LARGE, GCHEAP_OP_SWEEP,
			GCHEAP_OP_TYPE_ADD, GCHEAP_OP_MARK_START, GCHEAP_OP_REFILL,
		};
		unsigned int op = ops[i % 7];

		request_valid(op, &many[i], &many_grants[i]);
		if (op == GCHEAP_OP_SWEEP)
			many[i].sweep.max_spans = ~0ull;
		ring_cmd(ring, fd, op, &many[i], i)->flags = i % 5 ? IOSQE_ASYNC : 0;
	}
	return ring_submit(ring, 0);
}
