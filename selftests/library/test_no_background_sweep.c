// SPDX-License-Identifier: MIT
/* link: -Wl,--no-as-needed -luring */
/*
 * Where sweeps in the background cannot be, or are refused: the process itself sweeps,
 * and a heap is the same after that.
 *
 * liburing is among its libraries so that a virtual machine has it.
 */
#define _GNU_SOURCE
#include "background_sweep.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB	((uint64_t)1 << 20)

/* ---- without it ------------------------------------------------------------------- */

/* From now on this process and its children get @error from the system call. */
static void refuse_call(uint32_t call, int error)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = ARRAY_SIZE(code), .filter = code };

	assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	assert_int_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static void on_one_cpu(void)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	assert_int_equal(sched_setaffinity(0, sizeof(cpus), &cpus), 0);
}

/* What takes io_uring away from a process. */
enum without {
	NO_SETUP,
	NO_MEMORY,
	NO_CALL,
	NO_SUBMISSION,
	NO_OTHER_CPU,
	WITHOUT_COUNT,
};

static void take_away(enum without what)
{
	switch (what) {
	case NO_SETUP:
		return refuse_call(__NR_io_uring_setup, EPERM);
	case NO_MEMORY:
		return refuse_call(__NR_io_uring_setup, ENOMEM);
	case NO_CALL:
		return refuse_call(__NR_io_uring_setup, ENOSYS);
	case NO_SUBMISSION:
		return refuse_call(__NR_io_uring_enter, EAGAIN);
	default:
		return on_one_cpu();
	}
}

static void same_without(enum without what, const struct gcheap_counters *direct)
{
	struct gcheap_counters counters;
	struct sweep_test test;
	uint64_t freed;

	take_away(what);
	sweep_open(&test, 0);
	sweep_fill(&test);
	sweep_collect(&test);
	assert_null(sweep_backend(&test)->ring);
	assert_true(sweep_backend(&test)->sweeps_here);
	/* What is dead is gone, as it is where nobody ever had a ring. */
	freed = stats_of(test.f.heap).freed_spans;
	assert_true(freed >= LARGE);
	counters = sweep_finish(&test);
	sweep_same_figures(&counters, direct);
	sweep_check_list(&test);
	fixture_close(&test.f);
}

static void test_same_without_io_uring(void **state)
{
	struct gcheap_counters direct = sweep_direct_figures();
	int what, status;
	pid_t child;

	(void)state;
	for (what = 0; what < WITHOUT_COUNT; what++) {
		fflush(NULL);
		child = fork();
		assert_true(child >= 0);
		if (!child) {
			sweep_die_of_failures();
			same_without((enum without)what, &direct);
			_exit(0);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		if (status)
			fail_msg("without io_uring, way %d: status %#x", what, status);
	}
}

/* ---- nobody sweeps -------------------------------------------------------------- */

/*
 * The command goes to a file that knows no commands, as if something in the kernel
 * refused it: the library is told when it looks next, and until then nothing sweeps.
 */
static const struct backend_ops *real_ops;
static int heap_fd, other_fd;

static int request_elsewhere(struct backend *backend, enum gcheap_op op, void *arg)
{
	int error;

	backend->fd = heap_fd;
	error = real_ops->request(backend, op, arg);
	if (op == GCHEAP_OP_SWEEP_START)
		backend->fd = other_fd;
	return error;
}

static void collect_with_refused_command(struct sweep_test *test)
{
	struct backend *backend = sweep_backend(test);
	struct backend_ops ops = *backend->ops;

	real_ops = backend->ops;
	ops.request = request_elsewhere;
	heap_fd = backend->fd;
	other_fd = open("/proc/self/maps", O_RDONLY);
	assert_true(other_fd >= 0);
	backend->ops = &ops;
	sweep_collect(test);
	backend->ops = real_ops;
	backend->fd = heap_fd;
	close(other_fd);
	assert_true(sweep_is_background(test));
}

/* A heap after a cycle that nobody has swept. */
static void test_open_unswept(struct sweep_test *test)
{
	sweep_open(test, 0);
	sweep_fill(test);
	collect_with_refused_command(test);
}

static void test_a_refused_command_is_the_last(void **state)
{
	struct gcheap_counters direct = sweep_direct_figures(), counters;
	uint64_t freed;
	struct sweep_test test;

	(void)state;
	test_open_unswept(&test);
	assert_true(sweep_unswept_spans(&test) >= NODES / 17);
	assert_in_range(stats_of(test.f.heap).freed_spans, 0, LARGE - 1);
	/* gcheap_verify() finishes what nobody did. */
	counters = sweep_finish(&test);
	sweep_same_figures(&counters, &direct);
	freed = counters.freed_spans;

	sweep_fill(&test);
	sweep_collect(&test);
	assert_false(sweep_is_background(&test));
	assert_true(sweep_backend(&test)->sweeps_here);
	assert_true(stats_of(test.f.heap).freed_spans >= freed + LARGE);
	sweep_check_list(&test);
	sweep_finish(&test);
	fixture_close(&test.f);
}

static void test_allocation_and_the_next_cycle_sweep_what_nobody_did(void **state)
{
	struct sweep_test test;

	(void)state;
	test_open_unswept(&test);
	sweep_fill(&test);
	sweep_check_list(&test);
	sweep_collect(&test);
	sweep_check_list(&test);
	sweep_finish(&test);
	fixture_close(&test.f);
}

static void test_trim_gives_back_what_is_not_swept_yet(void **state)
{
	struct sweep_test test;

	(void)state;
	sweep_open(&test, 0);
	sweep_fill(&test);
	test.list = NULL;
	test.count = 0;
	collect_with_refused_command(&test);
	assert_true(stats_of(test.f.heap).resident_bytes >= NODES / 16 * (uint64_t)8192);
	assert_int_equal(gcheap_trim(test.f.heap), 0);
	assert_in_range(stats_of(test.f.heap).resident_bytes, 0, MIB);
	assert_in_range(sweep_finish(&test).in_use_pages, 1, SWEEP_LEAF_PAGES);
	fixture_close(&test.f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_without_io_uring),
		cmocka_unit_test(test_a_refused_command_is_the_last),
		cmocka_unit_test(test_allocation_and_the_next_cycle_sweep_what_nobody_did),
		cmocka_unit_test(test_trim_gives_back_what_is_not_swept_yet),
	};

	if (!sweep_tests_begin())
		return 0;
	return cmocka_run_group_tests_name("no background sweep", tests, NULL, NULL);
}
