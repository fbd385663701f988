// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Requests by io_uring: in every kind of ring each does what it does by ioctl, and
 * fails as it does there. What ends while commands are in flight: uring_life_test
 * and uring_end_test.
 */
#include <sched.h>
#include <sys/syscall.h>

#include "../kselftest_harness.h"
#include "gcheap_ring.h"
#include "gcheap_selftest.h"

FIXTURE(uring) {
	struct test_heap heap;
	struct test_ring ring;
};

FIXTURE_VARIANT(uring) {
	__u32 ring_flags;
	__u8 sqe_flags;
};

FIXTURE_VARIANT_ADD(uring, plain) {
	.ring_flags = 0,
};

FIXTURE_VARIANT_ADD(uring, single_issuer) {
	.ring_flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
};

FIXTURE_VARIANT_ADD(uring, large_entries) {
	.ring_flags = IORING_SETUP_SQE128,
};

FIXTURE_VARIANT_ADD(uring, polled_queue) {
	.ring_flags = IORING_SETUP_SQPOLL,
};

FIXTURE_VARIANT_ADD(uring, worker) {
	.sqe_flags = IOSQE_ASYNC,
};

FIXTURE_VARIANT_ADD(uring, worker_of_single_issuer) {
	.ring_flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
	.sqe_flags = IOSQE_ASYNC,
};

FIXTURE_VARIANT_ADD(uring, worker_of_large_entries) {
	.ring_flags = IORING_SETUP_SQE128,
	.sqe_flags = IOSQE_ASYNC,
};

FIXTURE_SETUP(uring)
{
	ASSERT_OK(heap_open(&self->heap, GCHEAP_LAYOUT_SPAN, SMALL_RESERVE));
	ASSERT_OK(ring_open(&self->ring, 64, variant->ring_flags));
}

FIXTURE_TEARDOWN(uring)
{
	ring_close(&self->ring);
	heap_close(&self->heap);
}

#define send(op, request) \
	ring_send(&self->ring, self->heap.fd, op, request, variant->sqe_flags)

/* By the ring, and nothing may change. */
#define test_err_ring(err, op, request) test_err(err, send(op, request))

/* ---- what works ---------------------------------------------------------------- */

/* Ends a stop, and forgets its number. */
static int resume(int fd, struct gcheap_stop *stop)
{
	struct gcheap_resume request = { .size = sizeof(request), .stop = stop->out_stop };

	stop->out_stop = 0;
	return ioctl(fd, GCHEAP_IOC_RESUME, &request) ? -errno : 0;
}

/*
 * The same request by both doors, to two heaps in the same state. Which pages are handed
 * out depends on the CPU: the answers are the same where both doors are opened on one.
 */
TEST_F(uring, answers_every_request_as_ioctl_does)
{
	const bool one_cpu = !variant->sqe_flags && !(variant->ring_flags & IORING_SETUP_SQPOLL);
	struct test_heap other;
	cpu_set_t cpu;

	CPU_ZERO(&cpu);
	CPU_SET(sched_getcpu(), &cpu);
	ASSERT_OK(sched_setaffinity(0, sizeof(cpu), &cpu));
	ASSERT_OK(heap_open(&other, GCHEAP_LAYOUT_SPAN, SMALL_RESERVE));
	for (unsigned int op = 0; op < GCHEAP_OPS; op++) {
		union any_request ours, theirs;
		struct gcheap_grant our_grant, their_grant;
		int our_ret, their_ret;

		memset(&our_grant, 0, sizeof(our_grant));
		memset(&their_grant, 0, sizeof(their_grant));
		request_valid(op, &ours, &our_grant);
		request_valid(op, &theirs, &their_grant);
		our_ret = send(op, &ours);
		/* A process has one stop at a time, and numbers them. */
		if (op == GCHEAP_OP_STOP && !our_ret)
			EXPECT_OK(resume(self->heap.fd, &ours.stop));
		their_ret = ioctl(other.fd, GCHEAP_IOC(op), &theirs) ? -errno : 0;
		EXPECT_EQ(their_ret, our_ret) {
			TH_LOG("request %u", op);
		}
		if (op == GCHEAP_OP_STOP && !their_ret)
			EXPECT_OK(resume(other.fd, &theirs.stop));
		if (op == GCHEAP_OP_REFILL)
			theirs.refill.grants = ours.refill.grants;
		if (one_cpu) {
			EXPECT_EQ(0, memcmp(&ours, &theirs, sizeof(ours))) {
				TH_LOG("answer to request %u", op);
			}
			EXPECT_EQ(0, memcmp(&our_grant, &their_grant, sizeof(our_grant)));
		}
		EXPECT_EQ(our_grant.free_slots, their_grant.free_slots);
		if (op == GCHEAP_OP_REFILL && !our_ret)
			EXPECT_OK(cmd_give(self->heap.fd, &our_grant.page, 1));
		if (op == GCHEAP_OP_REFILL && !their_ret)
			EXPECT_OK(cmd_give(other.fd, &their_grant.page, 1));
	}
	ASSERT_RIGHT(heap_wrong(&self->heap));
	heap_close(&other);
}

TEST_F(uring, sets_up_a_heap)
{
	struct gcheap_setup setup = {
		.size = sizeof(setup),
		.reserve_bytes = SMALL_RESERVE,
	};
	struct gcheap_heap_stats stats = { .size = sizeof(stats) };
	struct gcheap_counters counters;
	int fd = device_open();

	ASSERT_LE(0, fd);
	EXPECT_ERR(ENXIO, ring_send(&self->ring, fd, GCHEAP_OP_STATS, &stats,
				    variant->sqe_flags));
	EXPECT_OK(ring_send(&self->ring, fd, GCHEAP_OP_SETUP, &setup, variant->sqe_flags));
	EXPECT_TRUE(setup.out_features & GCHEAP_FEATURE_URING);
	EXPECT_OK(cmd_stats(fd, &counters));
	close(fd);
}

/* Far more memory than is populated at once by whoever submits. */
TEST_F(uring, allocates_memory_that_the_process_can_use)
{
	struct gcheap_alloc_large large = { .size = sizeof(large), .count = 8 << 20 };
	struct gcheap_grant grants[64];
	struct gcheap_refill refill = {
		.size = sizeof(refill),
		.size_class = CLASS_8192,
		.want_bytes = 64 << GCHEAP_PAGE_SHIFT,
		.grant_count = 64,
		.grants = (uintptr_t)grants,
	};

	ASSERT_OK(send(GCHEAP_OP_ALLOC_LARGE, &large));
	ASSERT_RIGHT(large_wrong(&self->heap, &large, 8 << 20, true));
	memset(heap_mem(&self->heap, large.out_page), 0x77, 8 << 20);
	EXPECT_TRUE(memory_is(heap_mem(&self->heap, large.out_page), 0x77, 8 << 20));

	ASSERT_OK(send(GCHEAP_OP_REFILL, &refill));
	ASSERT_EQ(64, refill.out_granted);
	for (int i = 0; i < 64; i++) {
		ASSERT_RIGHT(span_wrong(&self->heap, &grants[i], CLASS_8192, true));
		memset(heap_mem(&self->heap, grants[i].page), 0x11, GCHEAP_PAGE_BYTES);
	}
	ASSERT_RIGHT(heap_wrong(&self->heap));
}

TEST_F(uring, does_all_of_a_batch)
{
	enum { BATCH = 64 };
	struct gcheap_refill refills[BATCH];
	struct gcheap_grant grants[BATCH];
	__u64 seen = 0;

	for (int i = 0; i < BATCH; i++) {
		refills[i] = (struct gcheap_refill){
			.size = sizeof(refills[i]),
			.size_class = CLASS_64,
			.want_bytes = 1,
			.grant_count = 1,
			.grants = (uintptr_t)&grants[i],
		};
		ring_cmd(&self->ring, self->heap.fd, GCHEAP_OP_REFILL, &refills[i],
			 i)->flags = variant->sqe_flags;
	}
	ASSERT_OK(ring_submit(&self->ring, BATCH));
	for (int i = 0; i < BATCH; i++) {
		struct io_uring_cqe cqe;

		ASSERT_OK(ring_wait(&self->ring, &cqe));
		EXPECT_OK(cqe.res);
		ASSERT_GT(BATCH, cqe.user_data);
		EXPECT_FALSE(seen >> cqe.user_data & 1);
		seen |= 1ull << cqe.user_data;
		ASSERT_RIGHT(span_wrong(&self->heap, &grants[cqe.user_data], CLASS_64, true));
	}
	ASSERT_RIGHT(heap_wrong(&self->heap));
}

TEST_F(uring, knows_registered_files)
{
	struct gcheap_heap_stats stats = { .size = sizeof(stats) };
	int files[2] = { -1, self->heap.fd };
	struct io_uring_cqe cqe;

	ASSERT_EQ(0, syscall(__NR_io_uring_register, self->ring.fd, IORING_REGISTER_FILES, files,
			     2));
	ring_cmd(&self->ring, 1, GCHEAP_OP_STATS, &stats, 7)->flags =
		IOSQE_FIXED_FILE | variant->sqe_flags;
	ASSERT_OK(ring_submit(&self->ring, 1));
	ASSERT_OK(ring_wait(&self->ring, &cqe));
	EXPECT_OK(cqe.res);
	EXPECT_EQ(7, cqe.user_data);
	EXPECT_NE(0, stats.out_counters.table_bytes);
}

/* ---- links ---------------------------------------------------------------------- */

/* Three commands of which the second fails; their results. */
static int chain(struct test_ring *ring, int fd, __u8 flags, __s32 results[3])
{
	struct gcheap_heap_stats stats[3] = {
		{ .size = sizeof(stats[0]) }, { .size = 1 }, { .size = sizeof(stats[0]) },
	};
	int ret;

	for (int i = 0; i < 3; i++)
		ring_cmd(ring, fd, GCHEAP_OP_STATS, &stats[i], i)->flags = i < 2 ? flags : 0;
	ret = ring_submit(ring, 3);
	for (int i = 0; !ret && i < 3; i++) {
		struct io_uring_cqe cqe;

		ret = ring_wait(ring, &cqe);
		if (!ret)
			results[cqe.user_data] = cqe.res;
	}
	return ret;
}

TEST_F(uring, cancels_what_is_linked_to_a_failed_request)
{
	__s32 results[3];

	ASSERT_OK(chain(&self->ring, self->heap.fd, IOSQE_IO_LINK | variant->sqe_flags, results));
	EXPECT_EQ(0, results[0]);
	EXPECT_EQ(-EINVAL, results[1]);
	EXPECT_EQ(-ECANCELED, results[2]);
}

TEST_F(uring, goes_on_after_a_failure_in_a_hard_link)
{
	__s32 results[3];

	ASSERT_OK(chain(&self->ring, self->heap.fd, IOSQE_IO_HARDLINK | variant->sqe_flags,
			results));
	EXPECT_EQ(0, results[0]);
	EXPECT_EQ(-EINVAL, results[1]);
	EXPECT_EQ(0, results[2]);
}

/* A whole cycle in one submission, in order though some of it is done by workers. */
TEST_F(uring, does_linked_requests_in_order)
{
	struct gcheap_mark_start mark = { .size = sizeof(mark) };
	struct gcheap_sweep_start start = { .size = sizeof(start) };
	struct gcheap_sweep sweep = { .size = sizeof(sweep), .max_spans = ~0ull };
	struct gcheap_heap_stats stats = { .size = sizeof(stats) };
	const struct {
		__u32 op;
		void *request;
	} steps[] = {
		{ GCHEAP_OP_MARK_START, &mark },
		{ GCHEAP_OP_SWEEP_START, &start },
		{ GCHEAP_OP_SWEEP, &sweep },
		{ GCHEAP_OP_STATS, &stats },
	};
	struct gcheap_grant grant;

	test_cmd_take(0, CLASS_64, &grant);
	slot_alloc(&self->heap, grant.page, 0);
	test_cmd_give(&grant.page, 1);
	for (int round = 1; round <= 20; round++) {
		for (int i = 0; i < 4; i++)
			ring_cmd(&self->ring, self->heap.fd, steps[i].op, steps[i].request,
				 i)->flags = (i < 3 ? IOSQE_IO_LINK : 0) | variant->sqe_flags;
		ASSERT_OK(ring_submit(&self->ring, 4));
		for (int i = 0; i < 4; i++) {
			struct io_uring_cqe cqe;

			ASSERT_OK(ring_wait(&self->ring, &cqe));
			EXPECT_EQ(i, cqe.user_data);
			EXPECT_OK(cqe.res);
		}
		EXPECT_EQ(2u * round, start.out_generation);
		EXPECT_EQ(0, sweep.out_unswept_spans);
		EXPECT_EQ(0, stats.out_counters.spans);
	}
}

/* ---- errors ---------------------------------------------------------------------- */

TEST_F(uring, does_not_know_other_requests)
{
	union any_request request = { .size = sizeof(request) };

	test_err_ring(ENOTTY, GCHEAP_OPS, &request);
	test_err_ring(ENOTTY, 1u << 31, &request);
	test_err_ring(ENOTTY, ~0u, &request);
	test_err_ring(ENOTTY, GCHEAP_IOC_STATS, &request);
}

TEST_F(uring, refuses_a_payload_that_is_not_zero)
{
	struct gcheap_heap_stats stats = { .size = sizeof(stats) };
	struct gcheap_uring_cmd payload = { .request = (uintptr_t)&stats };

	for (int bit = 0; bit < 64; bit += 7) {
		struct io_uring_sqe *sqe = ring_cmd(&self->ring, self->heap.fd, GCHEAP_OP_STATS,
						    &stats, 0);
		struct io_uring_cqe cqe;

		payload.reserved = 1ull << bit;
		memcpy((char *)sqe + 48, &payload, sizeof(payload));
		sqe->flags = variant->sqe_flags;
		ASSERT_OK(ring_submit(&self->ring, 1));
		ASSERT_OK(ring_wait(&self->ring, &cqe));
		EXPECT_EQ(-EINVAL, cqe.res);
	}
}

TEST_F(uring, has_no_flags)
{
	struct gcheap_heap_stats stats = { .size = sizeof(stats) };
	struct iovec buffer = { .iov_base = &stats, .iov_len = sizeof(stats) };
	struct io_uring_cqe cqe;
	struct io_uring_sqe *sqe;

	/* Without a registered buffer io_uring itself would refuse the flag. */
	ASSERT_EQ(0, syscall(__NR_io_uring_register, self->ring.fd, IORING_REGISTER_BUFFERS,
			     &buffer, 1));
	sqe = ring_cmd(&self->ring, self->heap.fd, GCHEAP_OP_STATS, &stats, 0);
	sqe->flags = variant->sqe_flags;
	sqe->rw_flags = 1;	/* IORING_URING_CMD_FIXED */
	ASSERT_OK(ring_submit(&self->ring, 1));
	ASSERT_OK(ring_wait(&self->ring, &cqe));
	EXPECT_EQ(-EOPNOTSUPP, cqe.res);
	EXPECT_EQ(0, stats.out_counters.table_bytes);
}

TEST_F(uring, refuses_addresses_that_it_cannot_write)
{
	struct gcheap_heap_stats stats = { .size = sizeof(stats) };
	const size_t bytes = sizeof(stats);
	char *edge = memory_before_hole(bytes);

	memcpy(edge + 8, &stats, sizeof(stats.size));
	test_err_ring(EFAULT, GCHEAP_OP_STATS, NULL);
	test_err_ring(EFAULT, GCHEAP_OP_STATS, (void *)8);
	test_err_ring(EFAULT, GCHEAP_OP_STATS, (void *)0xffffffff81000000);
	test_err_ring(EFAULT, GCHEAP_OP_STATS, edge + 8);
	test_err_ring(EFAULT, GCHEAP_OP_STATS, memory_readonly(&stats, bytes));
	test_err_ring(EFAULT, GCHEAP_OP_STATS, heap_mem(&self->heap, 8000));
}

TEST_F(uring, has_the_same_rules_of_size)
{
	for (unsigned int op = 0; op < GCHEAP_OPS; op++) {
		union any_request request;
		struct gcheap_grant grant;

		request_valid(op, &request, &grant);
		request.size = 4;
		test_err_ring(EINVAL, op, &request);
		request_valid(op, &request, &grant);
		request.size = sizeof(request);
		request.bytes[request.size - 1] = 1;
		test_err_ring(E2BIG, op, &request);
		request.size = 8192;
		test_err_ring(E2BIG, op, &request);
	}
}

TEST_F(uring, has_the_same_rules_of_values)
{
	union any_request request;
	struct gcheap_grant grant;

	for (unsigned int op = 0; op < GCHEAP_OPS; op++) {
		request_valid(op, &request, &grant);
		request.flags = 1u << 31;
		test_err_ring(op == GCHEAP_OP_SETUP ? EBUSY : EOPNOTSUPP, op, &request);
	}
	request_valid(GCHEAP_OP_SWEEP, &request, &grant);
	request.sweep.max_spans = 0;
	test_err_ring(EINVAL, GCHEAP_OP_SWEEP, &request);
	request_valid(GCHEAP_OP_REFILL, &request, &grant);
	request.refill.size_class = SIZE_CLASSES;
	test_err_ring(EINVAL, GCHEAP_OP_REFILL, &request);
	request_valid(GCHEAP_OP_ALLOC_LARGE, &request, &grant);
	request.alloc_large.count = SMALL_RESERVE + 1;
	test_err_ring(ENOMEM, GCHEAP_OP_ALLOC_LARGE, &request);
	request_valid(GCHEAP_OP_SWEEP_START, &request, &grant);
	test_err_ring(EINVAL, GCHEAP_OP_SWEEP_START, &request);
}

/* There is nothing to poll for: some kernels refuse them, for others they are done at once. */
TEST(a_ring_that_polls_for_completions_refuses_requests_or_does_them)
{
	struct gcheap_heap_stats stats = { .size = sizeof(stats) };
	struct test_heap heap;
	struct test_ring ring;
	int ret;

	ASSERT_OK(heap_open(&heap, GCHEAP_LAYOUT_SPAN, SMALL_RESERVE));
	ASSERT_OK(ring_open(&ring, 4, IORING_SETUP_IOPOLL));
	ret = ring_send(&ring, heap.fd, GCHEAP_OP_STATS, &stats, 0);
	if (ret)
		EXPECT_EQ(-EOPNOTSUPP, ret);
	EXPECT_EQ(!ret, stats.out_counters.table_bytes > 0);
	ring_close(&ring);
	heap_close(&heap);
}

/* ---- whose it is ------------------------------------------------------------------- */

/* Every request by this ring: 0, or the number of one that is not refused. */
static int all_refused(struct test_ring *ring, int fd, __u8 sqe_flags)
{
	for (unsigned int op = 0; op < GCHEAP_OPS; op++) {
		union any_request request;
		struct gcheap_grant grant;

		request_valid(op, &request, &grant);
		if (ring_send(ring, fd, op, &request, sqe_flags) != -EPERM)
			return 100 + (int)op;
	}
	return 0;
}

TEST_F(uring, refuses_a_ring_of_a_forked_child)
{
	struct test_state before, after;
	pid_t child;

	state_take(&self->heap, &before);
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		struct test_ring ring;

		if (ring_open(&ring, 8, variant->ring_flags))
			_exit(1);
		_exit(all_refused(&ring, self->heap.fd, variant->sqe_flags));
	}
	EXPECT_EQ(0, child_wait(child));
	state_take(&self->heap, &after);
	EXPECT_EQ(NULL, state_differs(&before, &after));
}

/*
 * The ring itself is inherited. A polled one works for whoever writes to it, as its
 * owner; one of a single issuer, for that one.
 */
TEST_F(uring, refuses_a_child_that_uses_its_parents_ring)
{
	pid_t child;

	if (variant->ring_flags & (IORING_SETUP_SQPOLL | IORING_SETUP_SINGLE_ISSUER))
		return;
	child = fork();
	ASSERT_LE(0, child);
	if (!child)
		_exit(all_refused(&self->ring, self->heap.fd, variant->sqe_flags));
	EXPECT_EQ(0, child_wait(child));
	ASSERT_RIGHT(heap_wrong(&self->heap));
}

/* The owner's ring may be given a request by another of its threads. */
TEST_F(uring, refuses_a_file_that_came_from_another_process)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	char byte = 0;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	int pair[2], fd;
	pid_t child;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		struct test_heap heap;

		if (heap_open(&heap, GCHEAP_LAYOUT_SPAN, SMALL_RESERVE))
			_exit(1);
		memset(&control, 0, sizeof(control));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &heap.fd, sizeof(int));
		if (sendmsg(pair[1], &message, 0) != 1)
			_exit(2);
		/* Until the parent has tried. */
		_exit(read(pair[1], &byte, 1) != 1);
	}
	ASSERT_EQ(1, recvmsg(pair[0], &message, 0));
	memcpy(&fd, CMSG_DATA(&control.header), sizeof(int));
	EXPECT_EQ(0, all_refused(&self->ring, fd, variant->sqe_flags));
	EXPECT_EQ(1, write(pair[0], &byte, 1));
	EXPECT_EQ(0, child_wait(child));
	EXPECT_EQ(0, all_refused(&self->ring, fd, variant->sqe_flags));
	close(fd);
	close(pair[0]);
	close(pair[1]);
}

TEST_HARNESS_MAIN
