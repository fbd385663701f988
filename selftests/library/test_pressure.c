// SPDX-License-Identifier: MIT
/*
 * What the library does when the system is short of memory. With the device, the kernel
 * is made to ask for it; with the local backend, where CTRL is memory of this process,
 * the test writes what the kernel would.
 */
#include "library_test.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "backend/backend.h"
#include "library.h"

#define LEAF	1000
#define MIB	((uint64_t)1 << 20)

/* No cycle comes from the pacer. */
static void pressure_open(struct fixture *fixture)
{
	struct gcheap_config config = fixture_config();

	config.gc_percent = -1;
	fixture_open_with(fixture, &config);
}

static void allocate(struct fixture *fixture, uint64_t bytes)
{
	uint64_t taken;

	for (taken = 0; taken < bytes; taken += LEAF)
		assert_non_null(gcheap_new_leaf(fixture->thread, LEAF));
}

static bool is_device(const struct fixture *fixture)
{
	return gcheap_backend(fixture->heap) == GCHEAP_BACKEND_DEVICE;
}

/* A heap whose CTRL the test can write to. */
static void pressure_open_writable(struct fixture *fixture)
{
	pressure_open(fixture);
	if (is_device(fixture)) {
		fixture_close(fixture);
		skip_because("only the kernel writes to CTRL of the device");
	}
}

/* What the kernel does at an event, where the test can. */
static void kernel_wants(struct fixture *fixture, uint32_t level)
{
	struct gcheap_ctrl *ctrl = fixture->heap->backend->regions[GCHEAP_REGION_CTRL];

	ctrl->pressure = level;
	ctrl->pressure_sequence++;
}

static void a_heap_without_pressure_is_left_alone(void **state)
{
	struct fixture fixture;

	(void)state;
	pressure_open(&fixture);
	allocate(&fixture, 16 * MIB);
	assert_int_equal(stats_of(fixture.heap).cycles, 0);
	fixture_close(&fixture);
}

static void low_pressure_asks_for_nothing(void **state)
{
	struct fixture fixture;

	(void)state;
	pressure_open_writable(&fixture);
	allocate(&fixture, 4 * MIB);
	kernel_wants(&fixture, GCHEAP_PRESSURE_LOW);
	allocate(&fixture, 4 * MIB);
	assert_int_equal(stats_of(fixture.heap).cycles, 0);
	fixture_close(&fixture);
}

static void high_pressure_asks_for_one_cycle_an_event(void **state)
{
	struct fixture fixture;

	(void)state;
	pressure_open_writable(&fixture);
	for (uint64_t cycles = 1; cycles < 4; cycles++) {
		allocate(&fixture, 4 * MIB);
		kernel_wants(&fixture, GCHEAP_PRESSURE_HIGH);
		allocate(&fixture, 4 * MIB);
		assert_int_equal(stats_of(fixture.heap).cycles, cycles);
	}
	fixture_close(&fixture);
}

/* Events that come one after the other do not make cycles that find nothing. */
static void a_program_under_pressure_can_still_work(void **state)
{
	struct fixture fixture;
	uint64_t i;

	(void)state;
	pressure_open_writable(&fixture);
	for (i = 0; i < 1000; i++) {
		kernel_wants(&fixture, GCHEAP_PRESSURE_HIGH);
		allocate(&fixture, 16 << 10);
	}
	/* 16 MiB were taken, and a cycle needs 256 KiB at least. */
	assert_in_range(stats_of(fixture.heap).cycles, 10, 64);
	fixture_close(&fixture);
}

static int shrink_all(void)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);
	ssize_t n = fd < 0 ? -1 : write(fd, "2", 1);

	if (fd >= 0)
		close(fd);
	return n == 1 ? 0 : -1;
}

/* Garbage that only a cycle can find, and a kernel that wants memory. */
static void the_kernels_wish_is_answered_by_a_cycle_and_memory(void **state)
{
	struct pollfd pollfd = { .events = POLLPRI };
	struct fixture fixture;
	uint64_t resident;

	(void)state;
	pressure_open(&fixture);
	if (!is_device(&fixture)) {
		assert_int_equal(gcheap_fd(fixture.heap), -1);
		fixture_close(&fixture);
		return;
	}
	pollfd.fd = gcheap_fd(fixture.heap);
	allocate(&fixture, 64 * MIB);
	assert_int_equal(stats_of(fixture.heap).cycles, 0);
	resident = stats_of(fixture.heap).resident_bytes;
	assert_true(resident >= 60 * MIB);
	for (int i = 0; i < 50 && fixture.heap->view.ctrl->pressure < GCHEAP_PRESSURE_HIGH; i++) {
		if (shrink_all()) {
			fixture_close(&fixture);
			skip_because("/proc/sys/vm/drop_caches cannot be written to");
		}
	}
	assert_int_equal(fixture.heap->view.ctrl->pressure, GCHEAP_PRESSURE_HIGH);
	assert_int_equal(poll(&pollfd, 1, 0), 1);
	allocate(&fixture, 2 * MIB);
	assert_int_equal(stats_of(fixture.heap).cycles, 1);
	assert_true(stats_of(fixture.heap).resident_bytes < 8 * MIB);
	assert_int_equal(fixture.heap->view.ctrl->pressure, GCHEAP_PRESSURE_NONE);
	assert_int_equal(poll(&pollfd, 1, 0), 0);
	fixture_close(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_heap_without_pressure_is_left_alone),
		cmocka_unit_test(low_pressure_asks_for_nothing),
		cmocka_unit_test(high_pressure_asks_for_one_cycle_an_event),
		cmocka_unit_test(a_program_under_pressure_can_still_work),
		cmocka_unit_test(the_kernels_wish_is_answered_by_a_cycle_and_memory),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("pressure", tests, NULL, NULL);
}
