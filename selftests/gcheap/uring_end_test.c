// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * A task ends while a ring of its own has commands in flight: it exits, is killed or
 * runs another program, is not held up by them, and leaves nothing behind.
 */
#include "../kselftest_harness.h"
#include "gcheap_ring.h"
#include "gcheap_selftest.h"
#include "long_requests.h"

enum ending { EXIT, KILL, EXEC };

FIXTURE(ending) {
	struct machine before;
};

FIXTURE_VARIANT(ending) {
	enum ending how;
	__u32 ring_flags;
};

FIXTURE_VARIANT_ADD(ending, exit) {
	.how = EXIT,
};

FIXTURE_VARIANT_ADD(ending, kill) {
	.how = KILL,
};

FIXTURE_VARIANT_ADD(ending, exec) {
	.how = EXEC,
};

FIXTURE_VARIANT_ADD(ending, exit_with_polled_queue) {
	.how = EXIT,
	.ring_flags = IORING_SETUP_SQPOLL,
};

FIXTURE_VARIANT_ADD(ending, kill_with_polled_queue) {
	.how = KILL,
	.ring_flags = IORING_SETUP_SQPOLL,
};

FIXTURE_VARIANT_ADD(ending, exec_with_polled_queue) {
	.how = EXEC,
	.ring_flags = IORING_SETUP_SQPOLL,
};

FIXTURE_SETUP(ending)
{
	ASSERT_OK(machine_take(&self->before));
}

FIXTURE_TEARDOWN(ending)
{
	EXPECT_TRUE(machine_back_to(&self->before));
}

/* Ends the calling process so, with status 0, unless its parent is faster. */
static void end(enum ending how)
{
	char *argv[] = { "uring_end_test", "--after-exec", NULL };

	switch (how) {
	case EXIT:
		_exit(0);
	case KILL:
		for (;;)
			pause();
	case EXEC:
		execv("/proc/self/exe", argv);
		_exit(9);
	}
}

/* How a child ended as it was to: 0. */
static int end_wait(pid_t child, enum ending how)
{
	int status;

	if (how == KILL)
		kill(child, SIGKILL);
	status = child_wait(child);
	return how == KILL && status == -SIGKILL ? 0 : status;
}

/* Ends a child in the middle of an allocation; whether that was done. 0 or not. */
static int end_in_allocation(enum ending how, unsigned int ring_flags, bool *done)
{
	struct test_heap heap;
	struct test_ring ring;
	int pipes[2], ret;
	pid_t child;
	char byte;

	if (pipe(pipes))
		return -errno;
	child = fork();
	if (!child) {
		if (heap_open(&heap, GCHEAP_LAYOUT_SPAN, LONG_RESERVE) ||
		    ring_open(&ring, 8, ring_flags))
			_exit(1);
		if (large_begin(&ring, heap.fd))
			_exit(2);
		if (write(pipes[1], "x", 1) != 1)
			_exit(3);
		end(how);
	}
	close(pipes[1]);
	ret = child < 0 || read(pipes[0], &byte, 1) != 1;
	if (child >= 0)
		ret |= end_wait(child, how);
	*done = large_done();
	close(pipes[0]);
	return ret;
}

/*
 * No clock tells, which a busy machine would stretch: who ends, and waits for the request,
 * leaves one that is done. That may also be done before its task begins to end.
 */
#define ENDING_ROUNDS	10

TEST_F(ending, is_not_held_up_by_a_long_request)
{
	bool done = true;

	ASSERT_OK(large_init());
	for (int round = 0; round < ENDING_ROUNDS && done; round++) {
		ASSERT_OK(end_in_allocation(variant->how, variant->ring_flags, &done));
		ASSERT_TRUE(machine_back_to(&self->before));
	}
	EXPECT_FALSE(done);
}

/* Whatever the commands are at. */
TEST_F(ending, may_come_at_any_time)
{
	for (__u32 round = 0; round < 16 / kernel_slowness() + 2; round++) {
		int pipes[2];
		pid_t child;
		char byte;

		ASSERT_EQ(0, pipe(pipes));
		child = fork();
		ASSERT_LE(0, child);
		if (!child) {
			struct test_heap heap;
			struct test_ring ring;

			if (heap_open(&heap, GCHEAP_LAYOUT_SPAN, LONG_RESERVE) ||
			    ring_open(&ring, MANY, variant->ring_flags))
				_exit(1);
			if (write(pipes[1], "x", 1) != 1)
				_exit(2);
			if (submit_many(&ring, heap.fd))
				_exit(3);
			if (variant->how != KILL)
				usleep(1000 * round);
			end(variant->how);
		}
		ASSERT_EQ(1, read(pipes[0], &byte, 1));
		if (variant->how == KILL)
			usleep(3000 * round);
		EXPECT_EQ(0, end_wait(child, variant->how));
		close(pipes[0]);
		close(pipes[1]);
	}
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "--after-exec"))
		return 0;
	return test_harness_run(argc, argv);
}
