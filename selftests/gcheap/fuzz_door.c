// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * By which door the ABI fuzzer's requests go in, see fuzz_abi.h: most by ioctl(), some
 * by io_uring, of which some are done by a worker, and some come several at a time.
 */
#include "../kselftest.h"
#include "gcheap_ring.h"
#include "gcheap_selftest.h"
#include "fuzz_abi.h"

#define ENTRIES	8u

/* Each thread has a ring of its own, and numbers that say which door comes next. */
static __thread struct test_ring ring;
static __thread bool ring_is_open;
static __thread struct rng doors;

void fuzz_door_init(__u64 seed)
{
	rng_init(&doors, seed ^ 0x646f6f7273ull);
	ring_is_open = false;
}

void fuzz_door_exit(void)
{
	if (ring_is_open)
		ring_close(&ring);
	ring_is_open = false;
}

static bool ring_ready(void)
{
	static const __u32 kinds[] = {
		0, 0, IORING_SETUP_SQE128, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
	};

	if (!ring_is_open)
		ring_is_open = !ring_open(&ring, ENTRIES, kinds[rng_below(&doors, 4)]);
	return ring_is_open;
}

int fuzz_send(int fd, unsigned int op, void *request)
{
	struct io_uring_sqe *sqe;
	struct io_uring_cqe cqe;
	bool bad;
	int ret;

	if (!(fuzz_features & GCHEAP_FEATURE_URING) || !one_in(&doors, 3) || !ring_ready())
		return cmd_send(fd, op, request);
	sqe = ring_cmd(&ring, fd, op, request, 0);
	sqe->flags = one_in(&doors, 2) ? IOSQE_ASYNC : 0;
	/* Another first, that the command has to have no part in: a payload by no rule. */
	bad = one_in(&doors, 16);
	if (bad) {
		__u64 reserved = 1ull << rng_below(&doors, 64);

		sqe = ring_cmd(&ring, fd, op, request, 1);
		memcpy((char *)sqe + 48 + offsetof(struct gcheap_uring_cmd, reserved), &reserved,
		       sizeof(reserved));
	}
	ret = ring_submit(&ring, 0);
	if (ret)
		fuzz_fail("io_uring_enter: errno %d", -ret);
	for (int left = 1 + bad; left; left--) {
		if (ring_wait(&ring, &cqe))
			fuzz_fail("no completion");
		if (!cqe.user_data)
			ret = cqe.res;
		else if (cqe.res != -EINVAL)
			fuzz_fail("an entry with a reserved bit: result %d", cqe.res);
	}
	if (ret > 0)
		fuzz_fail("a completion with %d", ret);
	return ret;
}

__u32 fuzz_send_many(int fd, const unsigned int *ops, union any_request *requests, __u32 count,
		     int *results)
{
	bool linked = one_in(&doors, 2);
	struct io_uring_cqe cqe;
	int ret;

	if (!(fuzz_features & GCHEAP_FEATURE_URING) || count > ENTRIES || !ring_ready())
		return 0;
	for (__u32 i = 0; i < count; i++) {
		struct io_uring_sqe *sqe = ring_cmd(&ring, fd, ops[i], &requests[i], i);

		sqe->flags = one_in(&doors, 2) ? IOSQE_ASYNC : 0;
		if (linked && i + 1 < count)
			sqe->flags |= one_in(&doors, 2) ? IOSQE_IO_LINK : IOSQE_IO_HARDLINK;
	}
	ret = ring_submit(&ring, 0);
	if (ret)
		fuzz_fail("io_uring_enter: errno %d", -ret);
	for (__u32 i = 0; i < count; i++) {
		if (ring_wait(&ring, &cqe) || cqe.user_data >= count)
			fuzz_fail("completion %u of %u is missing", i, count);
		results[cqe.user_data] = cqe.res;
	}
	return count;
}
