// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Write tracking of writes that are not the program's own: by system calls, and
 * through references to pages, which leave no trace in page tables.
 */
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "../kselftest_harness.h"
#include "gcheap_ring.h"
#include "gcheap_selftest.h"
#include "gcheap_track.h"

#define PAGE	4096
#define PAGES	64u	/* of the tracked object */

FIXTURE(pin) {
	struct test_heap heap;
	__u32 page;		/* first of a large object with pointers */
	int pipe[2];
	char text[PAGE];
};

FIXTURE_VARIANT(pin) {
	__u32 flags;
};

FIXTURE_VARIANT_ADD(pin, plain) {
	.flags = 0,
};

/* Tracked in the same way when nothing is protected, and when all is. */
FIXTURE_VARIANT_ADD(pin, snapshots) {
	.flags = GCHEAP_SETUP_SNAPSHOTS,
};

FIXTURE_SETUP(pin)
{
	struct gcheap_track track = { .flags = GCHEAP_TRACK_PROTECT };
	struct gcheap_alloc_large large;
	__u32 type;

	if (!tracking_works())
		SKIP(return, "no write tracking on this machine");
	ASSERT_OK(tracked_open(&self->heap, variant->flags));
	test_cmd_type_words(16, 1, &type);
	test_cmd_alloc_large(type, PAGES * 64, &large);
	self->page = large.out_page;
	ASSERT_EQ(0, pipe(self->pipe));
	memset(self->text, 'x', PAGE);
	if (variant->flags)
		ASSERT_OK(cmd_track(self->heap.fd, &track));
	ASSERT_OK(track_arm(&self->heap));
}

FIXTURE_TEARDOWN(pin)
{
	if (!self->heap.fd)
		return;
	close(self->pipe[0]);
	close(self->pipe[1]);
	heap_close(&self->heap);
}

#define MEM(n)	heap_mem(&self->heap, self->page + (n))

#define EXPECT_WRITTEN(n, bytes) do { \
	EXPECT_TRUE(memory_is(MEM(n), 'x', bytes)); \
	ASSERT_RIGHT(only_dirty(&self->heap, self->page + (n))); \
	ASSERT_RIGHT(none_dirty(&self->heap)); \
} while (0)

/* ---- system calls that write to the program's memory ----------------------------- */

TEST_F(pin, sees_what_read_writes)
{
	ASSERT_EQ(PAGE, write(self->pipe[1], self->text, PAGE));
	ASSERT_EQ(PAGE, read(self->pipe[0], MEM(1), PAGE));
	EXPECT_WRITTEN(1, PAGE);
	ASSERT_EQ(PAGE, write(self->pipe[1], self->text, PAGE));
	ASSERT_EQ(8, read(self->pipe[0], MEM(63) + 8184, 8));
	ASSERT_RIGHT(only_dirty(&self->heap, self->page + 63));
}

TEST_F(pin, sees_what_recv_writes)
{
	int pair[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	ASSERT_EQ(PAGE, send(pair[0], self->text, PAGE, 0));
	ASSERT_EQ(PAGE, recv(pair[1], MEM(2) + PAGE, PAGE, 0));
	EXPECT_TRUE(memory_is(MEM(2) + PAGE, 'x', PAGE));
	ASSERT_RIGHT(only_dirty(&self->heap, self->page + 2));
	ASSERT_RIGHT(none_dirty(&self->heap));
	close(pair[0]);
	close(pair[1]);
}

TEST_F(pin, sees_what_io_uring_reads)
{
	struct test_ring ring;
	struct io_uring_cqe cqe;
	struct io_uring_sqe *sqe;

	ASSERT_OK(ring_open(&ring, 4, 0));
	ASSERT_EQ(PAGE, write(self->pipe[1], self->text, PAGE));
	sqe = ring_sqe(&ring, IORING_OP_READ, 1);
	sqe->fd = self->pipe[0];
	sqe->addr = (uintptr_t)MEM(3);
	sqe->len = PAGE;
	sqe->off = ~0ull;
	ASSERT_OK(ring_submit(&ring, 1));
	ASSERT_OK(ring_wait(&ring, &cqe));
	ASSERT_EQ(PAGE, cqe.res);
	EXPECT_WRITTEN(3, PAGE);
	ring_close(&ring);
}

TEST_F(pin, takes_an_answer_in_the_heap_itself)
{
	struct gcheap_range *ranges = (struct gcheap_range *)MEM(5);
	struct gcheap_track track = {
		.ranges = (uintptr_t)ranges,
		.range_count = 8,
	};

	MEM(9)[0] = 1;
	ASSERT_OK(cmd_track(self->heap.fd, &track));
	/* The kernel has cleared the array before, to see whether it can. */
	ASSERT_EQ(2, track.out_range_count);
	EXPECT_EQ(self->page + 5, ranges[0].page);
	EXPECT_EQ(self->page + 9, ranges[1].page);
	ASSERT_RIGHT(only_dirty(&self->heap, self->page + 5));
}

/* ---- other processes ------------------------------------------------------------- */

TEST_F(pin, sees_what_another_process_writes)
{
	struct iovec there = { .iov_base = MEM(4), .iov_len = PAGE };
	struct iovec here = { .iov_base = self->text, .iov_len = PAGE };
	pid_t owner = getpid(), child;

	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
	child = fork();
	ASSERT_LE(0, child);
	if (!child)
		_exit(process_vm_writev(owner, &here, 1, &there, 1, 0) != PAGE);
	ASSERT_EQ(0, child_wait(child));
	EXPECT_WRITTEN(4, PAGE);
}

TEST_F(pin, sees_what_a_debugger_writes)
{
	int mem = open("/proc/self/mem", O_RDWR);

	ASSERT_LE(0, mem);
	ASSERT_EQ(8, pwrite(mem, self->text, 8, (off_t)(uintptr_t)(MEM(6) + 100)));
	close(mem);
	EXPECT_TRUE(memory_is(MEM(6) + 100, 'x', 8));
	ASSERT_RIGHT(only_dirty(&self->heap, self->page + 6));
	ASSERT_RIGHT(none_dirty(&self->heap));
}

/* ---- pinned pages ---------------------------------------------------------------- */

TEST_F(pin, reports_a_page_as_long_as_others_hold_it)
{
	struct iovec iov = { .iov_base = MEM(8), .iov_len = PAGE };

	ASSERT_EQ(PAGE, vmsplice(self->pipe[1], &iov, 1, 0));
	for (int i = 0; i < 3; i++)
		ASSERT_RIGHT(only_dirty(&self->heap, self->page + 8));
	ASSERT_EQ(PAGE, read(self->pipe[0], self->text, PAGE));
	/* The last write may have been right before. */
	ASSERT_RIGHT(only_dirty(&self->heap, self->page + 8));
	ASSERT_RIGHT(none_dirty(&self->heap));
}

TEST_F(pin, reports_a_held_page_that_is_not_mapped_any_more)
{
	struct iovec iov = { .iov_base = MEM(8), .iov_len = PAGE };

	ASSERT_EQ(PAGE, vmsplice(self->pipe[1], &iov, 1, 0));
	ASSERT_EQ(0, madvise(MEM(0), (size_t)PAGES << GCHEAP_PAGE_SHIFT, MADV_DONTNEED));
	for (int i = 0; i < 3; i++)
		ASSERT_RIGHT(only_dirty(&self->heap, self->page + 8));
	ASSERT_EQ(PAGE, read(self->pipe[0], self->text, PAGE));
	ASSERT_RIGHT(only_dirty(&self->heap, self->page + 8));
	ASSERT_RIGHT(none_dirty(&self->heap));
}

/*
 * Fixed buffers of io_uring are written through the kernel's own mapping, and never
 * marked as written by it: only that they are pinned tells.
 */
TEST_F(pin, sees_what_is_read_into_fixed_buffers)
{
	struct iovec iov = { .iov_base = MEM(10), .iov_len = PAGE };
	struct test_ring ring;
	struct io_uring_cqe cqe;
	struct io_uring_sqe *sqe;
	long ret;

	ASSERT_OK(ring_open(&ring, 4, 0));
	ret = syscall(SYS_io_uring_register, ring.fd, IORING_REGISTER_BUFFERS, &iov, 1);
	/* Where pages may be protected they are refused: nothing can be lost by them. */
	if (ret && variant->flags) {
		EXPECT_TRUE(errno == EFAULT || errno == EOPNOTSUPP);
		ring_close(&ring);
		return;
	}
	if (ret && errno == EOPNOTSUPP) {
		ring_close(&ring);
		SKIP(return, "this kernel has fixed buffers in anonymous memory only");
	}
	ASSERT_EQ(0, ret);
	for (int i = 0; i < 3; i++)
		ASSERT_RIGHT(only_dirty(&self->heap, self->page + 10));

	ASSERT_EQ(PAGE, write(self->pipe[1], self->text, PAGE));
	sqe = ring_sqe(&ring, IORING_OP_READ_FIXED, 1);
	sqe->fd = self->pipe[0];
	sqe->addr = (uintptr_t)MEM(10);
	sqe->len = PAGE;
	sqe->off = ~0ull;
	ASSERT_OK(ring_submit(&ring, 1));
	ASSERT_OK(ring_wait(&ring, &cqe));
	ASSERT_EQ(PAGE, cqe.res);
	ASSERT_EQ(0, syscall(SYS_io_uring_register, ring.fd, IORING_UNREGISTER_BUFFERS, NULL, 0));
	EXPECT_WRITTEN(10, PAGE);
	ring_close(&ring);
}

TEST_HARNESS_MAIN
