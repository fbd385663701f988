// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Commands of io_uring that are in flight for long; see long_requests.h. */
#include <sched.h>

#include "gcheap_ring.h"
#include "gcheap_selftest.h"
#include "long_requests.h"

/* The worker may write to it at any time. */
static struct gcheap_alloc_large *large_in_flight;

int large_init(void)
{
	void *mem = mmap(NULL, sizeof(*large_in_flight), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (mem == MAP_FAILED)
		return -errno;
	large_in_flight = mem;
	return 0;
}

bool large_done(void)
{
	return *(volatile __u32 *)&large_in_flight->out_page;
}

int large_begin(struct test_ring *ring, int fd)
{
	long long before = sysfs_number("object_bytes");
	__u64 give_up = now_us() + 100000000;
	int ret;

	*large_in_flight = (struct gcheap_alloc_large){
		.size = sizeof(*large_in_flight),
		.count = LARGE_BYTES,
	};
	ring_cmd(ring, fd, GCHEAP_OP_ALLOC_LARGE, large_in_flight, 1);
	ret = ring_submit(ring, 0);
	while (!ret && !large_done() &&
	       sysfs_number("object_bytes") - before < (long long)LARGE_BYTES / 8) {
		if (now_us() > give_up)
			ret = -ETIMEDOUT;
		usleep(200);
	}
	return ret;
}

int large_undo(int fd)
{
	int ret;

	/* The answer is written after all else. */
	while (!large_done())
		sched_yield();
	ret = cmd_free_large(fd, large_in_flight->out_page);
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
