// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Shortage of memory: its level and sequence, poll() and epoll, the shrinker, the
 * background scavenger.
 */
#include <poll.h>
#include <sys/epoll.h>

#include "../kselftest_harness.h"
#include "gcheap_selftest.h"

#define MIB	((__u64)1 << 20)
/* Seconds, for what goes on at a slow pace; a debug kernel makes it slower. */
#define SLOW	300

static __u32 level(const struct test_heap *heap)
{
	return __atomic_load_n(&heap_ctrl(heap)->pressure, __ATOMIC_ACQUIRE);
}

static __u32 sequence(const struct test_heap *heap)
{
	return __atomic_load_n(&heap_ctrl(heap)->pressure_sequence, __ATOMIC_ACQUIRE);
}

/* What poll() says at once. */
static int poll_events(int fd)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLPRI };

	return poll(&pollfd, 1, 0) < 0 ? -errno : pollfd.revents;
}

FIXTURE(pressure) {
	struct machine before;
	struct test_heap heap;
};

FIXTURE_SETUP(pressure)
{
	ASSERT_OK(machine_take(&self->before));
	ASSERT_OK(heap_open(&self->heap, GCHEAP_LAYOUT_SPAN, 16 * SMALL_RESERVE));
}

FIXTURE_TEARDOWN(pressure)
{
	heap_close(&self->heap);
	EXPECT_TRUE(machine_back_to(&self->before));
}

/* More than the heap's reserve. */
#define EVENT() EXPECT_ERR(ENOMEM, cmd_alloc_large(self->heap.fd, 0, 17ull * SMALL_RESERVE, NULL))

#define EXPECT_PRESSURE(wanted, number) do { \
	EXPECT_EQ(wanted, level(&self->heap)); \
	EXPECT_EQ(number, sequence(&self->heap)); \
	EXPECT_EQ((wanted) ? POLLPRI : 0, poll_events(self->heap.fd)); \
} while (0)

/* ---- level and poll() ----------------------------------------------------------------- */

TEST_F(pressure, is_a_feature_of_the_module)
{
	struct gcheap_setup setup = { .size = sizeof(setup), .reserve_bytes = SMALL_RESERVE };
	int fd = device_open();

	ASSERT_LE(0, fd);
	ASSERT_OK(cmd_send(fd, GCHEAP_OP_SETUP, &setup));
	EXPECT_TRUE(setup.out_features & GCHEAP_FEATURE_PRESSURE);
	close(fd);
}

TEST_F(pressure, of_a_new_heap_is_none)
{
	int fd = device_open();

	EXPECT_PRESSURE(GCHEAP_PRESSURE_NONE, 0);
	/* Nor is there any of a file that is no heap. */
	EXPECT_EQ(0, poll_events(fd));
	close(fd);
}

TEST_F(pressure, rises_when_a_request_fails_for_want_of_memory)
{
	EVENT();
	EXPECT_PRESSURE(GCHEAP_PRESSURE_LIMIT, 1);
	EVENT();
	EXPECT_PRESSURE(GCHEAP_PRESSURE_LIMIT, 2);
	/* Other errors, and success, are none. */
	EXPECT_ERR(EINVAL, cmd_alloc_large(self->heap.fd, 0, 0, NULL));
	test_cmd_alloc_large(0, 1, NULL);
	EXPECT_PRESSURE(GCHEAP_PRESSURE_LIMIT, 2);
}

TEST_F(pressure, ends_with_a_sweep)
{
	EVENT();
	test_cmd_mark_start(NULL);
	EXPECT_PRESSURE(GCHEAP_PRESSURE_LIMIT, 1);
	test_cmd_sweep_start(NULL);
	EXPECT_PRESSURE(GCHEAP_PRESSURE_NONE, 1);
	/* One that fails ends nothing. */
	EVENT();
	EXPECT_ERR(EINVAL, cmd_sweep_start(self->heap.fd, NULL));
	EXPECT_PRESSURE(GCHEAP_PRESSURE_LIMIT, 2);
}

TEST_F(pressure, ends_with_scavenge)
{
	EVENT();
	EXPECT_ERR(EINVAL, cmd_scavenge(self->heap.fd, 0, NULL));
	EXPECT_PRESSURE(GCHEAP_PRESSURE_LIMIT, 1);
	test_cmd_scavenge(1, NULL);
	EXPECT_PRESSURE(GCHEAP_PRESSURE_NONE, 1);
}

/* A child that shares the file sleeps in poll() until there is an event. */
TEST_F(pressure, wakes_other_processes_that_poll)
{
	struct pollfd pollfd = { .fd = self->heap.fd, .events = POLLPRI };
	int ready[2];
	pid_t child;
	char byte;

	ASSERT_EQ(0, pipe(ready));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		if (write(ready[1], "", 1) != 1 || poll(&pollfd, 1, 30000) != 1)
			_exit(1);
		_exit(pollfd.revents == POLLPRI ? 0 : 2);
	}
	ASSERT_EQ(1, read(ready[0], &byte, 1));
	usleep(200000);
	EVENT();
	EXPECT_EQ(0, child_wait(child));
	close(ready[0]);
	close(ready[1]);
}

TEST_F(pressure, is_told_by_level_triggered_epoll_until_it_ends)
{
	struct epoll_event event = { .events = EPOLLPRI }, got;
	int epoll = epoll_create1(0);

	ASSERT_EQ(0, epoll_ctl(epoll, EPOLL_CTL_ADD, self->heap.fd, &event));
	EXPECT_EQ(0, epoll_wait(epoll, &got, 1, 0));
	EVENT();
	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(1, epoll_wait(epoll, &got, 1, 0));
		EXPECT_EQ(EPOLLPRI, got.events);
	}
	test_cmd_mark_start(NULL);
	test_cmd_sweep_start(NULL);
	EXPECT_EQ(0, epoll_wait(epoll, &got, 1, 0));
	close(epoll);
}

TEST_F(pressure, is_told_by_edge_triggered_epoll_once_an_event)
{
	struct epoll_event event = { .events = EPOLLPRI | EPOLLET }, got;
	int epoll = epoll_create1(0);

	ASSERT_EQ(0, epoll_ctl(epoll, EPOLL_CTL_ADD, self->heap.fd, &event));
	for (int i = 0; i < 3; i++) {
		EVENT();
		EXPECT_EQ(1, epoll_wait(epoll, &got, 1, 0));
		EXPECT_EQ(EPOLLPRI, got.events);
		EXPECT_EQ(0, epoll_wait(epoll, &got, 1, 0));
	}
	test_cmd_scavenge(1, NULL);
	EXPECT_EQ(0, epoll_wait(epoll, &got, 1, 0));
	EVENT();
	EXPECT_EQ(1, epoll_wait(epoll, &got, 1, 0));
	close(epoll);
}

/* Who was given the file learns that the owner has gone. */
TEST_F(pressure, poll_tells_when_the_owner_has_ended)
{
	struct test_heap heap = { .fd = device_open() };
	struct pollfd pollfd = { .fd = heap.fd, .events = POLLPRI };
	int end[2];
	pid_t owner;
	char byte;

	ASSERT_LE(0, heap.fd);
	ASSERT_EQ(0, pipe(end));
	owner = fork();
	ASSERT_LE(0, owner);
	if (!owner) {
		close(end[1]);
		_exit(heap_setup(&heap, GCHEAP_LAYOUT_SPAN, SMALL_RESERVE) ||
		      heap_map(&heap) || cmd_alloc_large(heap.fd, 0, 1ull << 40, NULL) != -ENOMEM ||
		      read(end[0], &byte, 1) < 0);
	}
	close(end[0]);
	EXPECT_EQ(1, poll(&pollfd, 1, 30000));
	EXPECT_EQ(POLLPRI, pollfd.revents);
	close(end[1]);
	EXPECT_EQ(0, child_wait(owner));
	EXPECT_EQ(1, poll(&pollfd, 1, 30000));
	EXPECT_EQ(POLLHUP, pollfd.revents);
	close(heap.fd);
}

/* ---- the shrinker ---------------------------------------------------------------------- */

/* Have the kernel ask all its shrinkers for all they have. */
static int shrink_all(void)
{
	return text_write("/proc/sys/vm/drop_caches", "2");
}

TEST_F(pressure, of_the_system_takes_free_memory)
{
	struct gcheap_counters counters;
	struct gcheap_alloc_large large;
	struct machine used, now;

	if (geteuid())
		SKIP(return, "needs root");
	test_cmd_alloc_large(0, 64 * MIB, &large);
	ASSERT_OK(machine_take(&used));
	test_cmd_free_large(large.out_page);
	test_cmd_stats(&counters);
	ASSERT_LE(64 * MIB, counters.free_bytes + counters.stock_bytes);
	for (int i = 0; i < 20 && counters.free_bytes + counters.stock_bytes; i++) {
		ASSERT_OK(shrink_all());
		test_cmd_stats(&counters);
	}
	EXPECT_EQ(0, counters.free_bytes + counters.stock_bytes);
	EXPECT_LE(64 * MIB, counters.released_bytes);
	ASSERT_OK(machine_take(&now));
	EXPECT_LE(now.object_bytes, used.object_bytes - (long long)(64 * MIB));
	EXPECT_LE(GCHEAP_PRESSURE_LOW, level(&self->heap));
	EXPECT_LT(0, sequence(&self->heap));
	EXPECT_EQ(POLLPRI, poll_events(self->heap.fd));
	ASSERT_RIGHT(heap_wrong(&self->heap));
	/* And the heap goes on. */
	test_cmd_alloc_large(0, 64 * MIB, &large);
	EXPECT_TRUE(memory_is(heap_mem(&self->heap, large.out_page), 0, 64 * MIB));
}

TEST_F(pressure, of_the_system_leaves_objects_alone)
{
	struct gcheap_alloc_large large;
	struct gcheap_grant grant;

	if (geteuid())
		SKIP(return, "needs root");
	test_cmd_alloc_large(0, 4 * MIB, &large);
	memset(heap_mem(&self->heap, large.out_page), 0x6b, 4 * MIB);
	test_cmd_take(0, CLASS_64, &grant);
	memset(heap_mem(&self->heap, grant.page), 0x6c, GCHEAP_PAGE_BYTES);
	for (int i = 0; i < 5; i++)
		ASSERT_OK(shrink_all());
	EXPECT_TRUE(memory_is(heap_mem(&self->heap, large.out_page), 0x6b, 4 * MIB));
	EXPECT_TRUE(memory_is(heap_mem(&self->heap, grant.page), 0x6c, GCHEAP_PAGE_BYTES));
	ASSERT_RIGHT(heap_wrong(&self->heap));
}

/* No free memory, but a lot in use: only a collection can help. */
TEST_F(pressure, of_the_system_asks_for_a_collection_when_nothing_is_free)
{
	if (geteuid())
		SKIP(return, "needs root");
	test_cmd_alloc_large(0, 64 * MIB, NULL);
	test_cmd_scavenge(~0ull, NULL);
	for (int i = 0; i < 20 && level(&self->heap) < GCHEAP_PRESSURE_HIGH; i++)
		ASSERT_OK(shrink_all());
	EXPECT_EQ(GCHEAP_PRESSURE_HIGH, level(&self->heap));
	EXPECT_EQ(POLLPRI, poll_events(self->heap.fd));
	test_cmd_mark_start(NULL);
	test_cmd_sweep_start(NULL);
	EXPECT_EQ(GCHEAP_PRESSURE_NONE, level(&self->heap));
}

/* Several heaps, threads that allocate and free in them, and a system that wants memory. */
TEST_F_TIMEOUT(pressure, of_the_system_does_not_disturb_heaps_at_work, SLOW)
{
	pid_t children[3];

	if (geteuid())
		SKIP(return, "needs root");
	for (size_t c = 0; c < ARRAY_SIZE(children); c++) {
		children[c] = fork();
		ASSERT_LE(0, children[c]);
		if (children[c])
			continue;
		struct test_heap heap;

		if (heap_open(&heap, GCHEAP_LAYOUT_SPAN, 16 * SMALL_RESERVE))
			_exit(1);
		for (int i = 0; i < 100; i++) {
			struct gcheap_alloc_large large;
			__u64 bytes = (1 + (__u64)i % 7) * MIB / 2;

			if (cmd_alloc_large(heap.fd, 0, bytes, &large))
				_exit(2);
			if (!(large.out_flags & GCHEAP_GRANT_NEEDZERO) &&
			    !memory_is(heap_mem(&heap, large.out_page), 0, bytes))
				_exit(3);
			memset(heap_mem(&heap, large.out_page), i, bytes);
			if (i % 10 == 0 && shrink_all())
				_exit(4);
			if (!memory_is(heap_mem(&heap, large.out_page), i, bytes) ||
			    cmd_free_large(heap.fd, large.out_page))
				_exit(5);
		}
		_exit(heap_wrong(&heap) ? 6 : 0);
	}
	for (size_t c = 0; c < ARRAY_SIZE(children); c++)
		EXPECT_EQ(0, child_wait(children[c]));
}

/* ---- the background scavenger ----------------------------------------------------------- */

static __u64 spare_bytes(const struct test_heap *heap)
{
	struct gcheap_counters counters;

	return cmd_stats(heap->fd, &counters) ? ~0ull :
	       counters.free_bytes + counters.stock_bytes;
}

/* 1 MiB in use, 12 MiB free, a goal of 4 MiB: what is above 4.4 MiB goes in time. */
TEST_F_TIMEOUT(pressure, is_prevented_by_giving_back_what_is_above_the_goal, SLOW)
{
	struct gcheap_alloc_large large, other;
	__u64 end = now_us() + (SLOW - 60) * 1000000ull;

	test_cmd_alloc_large(0, MIB, &large);
	test_cmd_alloc_large(0, 12 * MIB, &other);
	test_cmd_mark_start(NULL);
	bit_set(page_marks(&self->heap), large.out_page);
	slot_mark(&self->heap, large.out_page, 0);
	test_cmd_sweep_start_flags(0, 4 * MIB, NULL);
	EXPECT_LE(12 * MIB, spare_bytes(&self->heap));
	while (spare_bytes(&self->heap) > 34 * MIB / 10 && now_us() < end)
		usleep(20000);
	/* No less than it should keep, and no more than is worth a piece. */
	EXPECT_GE(34 * MIB / 10 + 65536, spare_bytes(&self->heap));
	EXPECT_LE(34 * MIB / 10 - 65536, spare_bytes(&self->heap));
	EXPECT_PRESSURE(GCHEAP_PRESSURE_NONE, 0);
	ASSERT_RIGHT(heap_wrong(&self->heap));
}

TEST_F_TIMEOUT(pressure, is_prevented_also_after_frees, SLOW)
{
	struct gcheap_alloc_large large;
	__u64 end = now_us() + (SLOW - 60) * 1000000ull;

	test_cmd_mark_start(NULL);
	test_cmd_sweep_start_flags(0, 4 * MIB, NULL);
	test_cmd_alloc_large(0, 12 * MIB, &large);
	test_cmd_free_large(large.out_page);
	while (spare_bytes(&self->heap) > 44 * MIB / 10 + 65536 && now_us() < end)
		usleep(20000);
	EXPECT_GE(44 * MIB / 10 + 65536, spare_bytes(&self->heap));
	EXPECT_LE(44 * MIB / 10 - 65536, spare_bytes(&self->heap));
}

TEST_F(pressure, without_a_goal_nothing_is_given_back)
{
	struct gcheap_alloc_large large;
	__u64 spare;

	test_cmd_alloc_large(0, 12 * MIB, &large);
	test_cmd_free_large(large.out_page);
	test_cmd_mark_start(NULL);
	test_cmd_sweep_start(NULL);
	spare = spare_bytes(&self->heap);
	EXPECT_LE(12 * MIB, spare);
	usleep(1000000);
	EXPECT_EQ(spare, spare_bytes(&self->heap));
}

/* Heaps that end while their memory is being given back; the fixture sees that all comes back. */
TEST_F(pressure, may_end_a_heap_while_it_is_being_relieved)
{
	for (int i = 0; i < 12; i++) {
		pid_t child = fork();

		ASSERT_LE(0, child);
		if (!child) {
			struct gcheap_alloc_large large;
			struct test_heap heap;

			if (heap_open(&heap, GCHEAP_LAYOUT_SPAN, SMALL_RESERVE) ||
			    cmd_mark_start(heap.fd, NULL) ||
			    cmd_sweep_start_flags(heap.fd, 0, MIB, NULL) ||
			    cmd_alloc_large(heap.fd, 0, 10 * MIB, &large) ||
			    cmd_free_large(heap.fd, large.out_page))
				_exit(1);
			usleep(90000 + 5000 * (unsigned int)i);
			if (i % 3 == 0)
				heap_close(&heap);
			if (i % 3 == 1)
				execl("/bin/true", "true", NULL);
			_exit(0);
		}
		ASSERT_EQ(0, child_wait(child));
	}
}

TEST_HARNESS_MAIN
