// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Want of memory, and of access to user space, in requests that come by io_uring: the
 * walks of fail_nth_test.c, with requests done at once by who submits them, and by a
 * worker of the ring, in whose thread the n-th allocation fails then.
 *
 * Skipped where the kernel has no fault injection.
 */
#include <dirent.h>
#include <sys/syscall.h>

#include "../kselftest_harness.h"
#include "gcheap_selftest.h"
#include "gcheap_ring.h"
#include "heap_states.h"
#include "fault_injection.h"
#include "fail_walk.h"

#ifndef IORING_REGISTER_IOWQ_MAX_WORKERS
#define IORING_REGISTER_IOWQ_MAX_WORKERS	19
#endif

/* The thread of this process that is a worker of a ring; 0: there is none. */
static pid_t worker_find(void)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *entry;
	pid_t worker = 0;

	while (dir && (entry = readdir(dir))) {
		char path[300], name[32] = "";

		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
		if (text_read(path, name, sizeof(name)) < 0)
			continue;
		if (!strncmp(name, "iou-wrk", 7))
			worker = atoi(entry->d_name);
	}
	if (dir)
		closedir(dir);
	return worker;
}

/* Have a worker for all that the ring will do, and the file of its fail-nth; -errno. */
static int worker_start(struct test_ring *ring)
{
	__u32 most[2] = { 1, 1 };
	struct gcheap_heap_stats stats = { .size = sizeof(stats) };
	int fd = device_open();
	int ret;

	if (fd < 0)
		return fd;
	if (syscall(__NR_io_uring_register, ring->fd, IORING_REGISTER_IOWQ_MAX_WORKERS, most, 2)) {
		close(fd);
		return -errno;
	}
	/* It has no heap; what counts is who has found that out. */
	ret = ring_send(ring, fd, GCHEAP_OP_STATS, &stats, IOSQE_ASYNC);
	close(fd);
	if (ret != -ENXIO)
		return -EINVAL;
	return nth_open(worker_find());
}

FIXTURE(fail_uring) {
	struct machine before;
	struct test_ring ring;
	int worker;
};

FIXTURE_VARIANT(fail_uring) {
	enum heap_state_kind kind;
	bool worker;
};

FIXTURE_VARIANT_ADD(fail_uring, at_once_new_heap) {
	.kind = HEAP_STATE_NEW,
};

FIXTURE_VARIANT_ADD(fail_uring, at_once_used_heap) {
	.kind = HEAP_STATE_USED,
};

FIXTURE_VARIANT_ADD(fail_uring, worker_new_heap) {
	.kind = HEAP_STATE_NEW,
	.worker = true,
};

FIXTURE_VARIANT_ADD(fail_uring, worker_used_heap) {
	.kind = HEAP_STATE_USED,
	.worker = true,
};

FIXTURE_VARIANT_ADD(fail_uring, worker_unswept) {
	.kind = HEAP_STATE_UNSWEPT,
	.worker = true,
};

FIXTURE_SETUP(fail_uring)
{
	if (!injection_init())
		SKIP(return, "no fault injection in this kernel");
	ASSERT_OK(machine_take(&self->before));
	ASSERT_OK(ring_open(&self->ring, 8, 0));
	self->worker = 0;
	if (variant->worker) {
		self->worker = worker_start(&self->ring);
		ASSERT_LT(0, self->worker);
	}
}

FIXTURE_TEARDOWN(fail_uring)
{
	ring_close(&self->ring);
	EXPECT_TRUE(machine_back_to(&self->before));
}

#define WALK_ALL(failure_) do { \
	for (unsigned int op_ = 0; op_ < GCHEAP_OPS; op_++) { \
		struct walk walk_ = { .kind = variant->kind, .failure = failure_, .op = op_, \
				      .ring = &self->ring, .worker = self->worker }; \
		const char *wrong_ = walk_request(&walk_); \
\
		EXPECT_EQ(NULL, wrong_) { \
			TH_LOG("op %u: %s", op_, wrong_); \
		} \
		if (walk_.errors) \
			TH_LOG("op %u: %u ways to fail, %u errors", op_, walk_.ways, \
			       walk_.errors); \
	} \
} while (0)

TEST_F_TIMEOUT(fail_uring, allocation_of_a_request_undoes_it, 1200)
{
	WALK_ALL(FAIL_ALLOCATION);
}

TEST_F_TIMEOUT(fail_uring, copy_of_a_request_does_no_harm, 1200)
{
	WALK_ALL(FAIL_COPY);
}

TEST_HARNESS_MAIN
