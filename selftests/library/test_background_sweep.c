// SPDX-License-Identifier: MIT
/* link: -Wl,--no-as-needed -luring */
/*
 * Sweeps in the background: they run where they should, a heap is the same after them
 * as after a sweep by requests, and nothing of them is left when the heap, a thread or
 * a process ends. What a worker does at what moment is not in these tests' hands: they
 * do what may go wrong right behind the start of a sweep.
 *
 * It reaches behind the public interface, but calls nothing there. liburing is among its
 * libraries so that a virtual machine has it. Only on the device.
 */
#define _GNU_SOURCE
#include "library_test.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/gcheap.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backend/backend.h"
#include "heap.h"

/* 512 bytes: 16 in a span. */
struct node {
	struct node *next;
	uint64_t number;
	char rest[496];
};

#define NODES		280000u		/* 17,500 spans */
#define ALIVE		4000u		/* of the first half: in every other span */
#define TOO_FEW		256000u		/* 16,000 spans */
#define LARGE		64u		/* dead ones */
#define LARGE_BYTES	100000u
#define LEAF_BYTES	1024u		/* of a class that nothing else here is of */
#define LEAF_PAGES	64u		/* no more at a time */
#define LEAVES		(LEAF_PAGES * 8)	/* in them */
#define MIB		((uint64_t)1 << 20)

struct test {
	struct fixture f;
	gcheap_type type;
	struct node *list;
	uint64_t count;
};

static void test_open(struct test *test, uint32_t flags)
{
	struct gcheap_config config = fixture_config();

	memset(test, 0, sizeof(*test));
	config.gc_percent = -1;
	config.flags = flags;
	fixture_open_with(&test->f, &config);
	test->type = GCHEAP_TYPE(test->f.heap, struct node, next);
	assert_int_equal(gcheap_root_add(test->f.heap, &test->list, 1), 0);
}

/* Objects that die, and among those of the first half some that do not. */
static void fill(struct test *test)
{
	uint32_t i;

	for (i = 0; i < NODES; i++) {
		struct node *node = gcheap_new(test->f.thread, test->type);

		assert_non_null(node);
		assert_null(node->next);
		assert_int_equal(node->number, 0);
		node->number = UINT64_MAX;
		if (i >= NODES / 2 || i % (NODES / 2 / ALIVE))
			continue;
		node->next = test->list;
		node->number = test->count++;
		test->list = node;
	}
	for (i = 0; i < LARGE; i++)
		assert_non_null(gcheap_new_leaf(test->f.thread, LARGE_BYTES));
}

static void check_list(const struct test *test)
{
	const struct node *node;
	uint64_t number = test->count;

	for (node = test->list; node; node = node->next)
		assert_int_equal(node->number, --number);
	assert_int_equal(number, 0);
}

/*
 * A cycle that an allocation starts because the heap has grown: others leave nothing to
 * a worker. Whether one is due is looked when the slots of the leaf's class are used up.
 * False: there was none.
 */
static bool grow_into_cycle(struct test *test)
{
	struct gcheap *heap = test->f.heap;
	uint64_t cycles = heap->stats.cycles;
	unsigned int leaves;

	heap->pacer.trigger_bytes = 0;
	heap->pacer.taken_bytes++;
	for (leaves = 0; leaves < LEAVES && heap->stats.cycles == cycles; leaves++) {
		if (!gcheap_new_leaf(test->f.thread, LEAF_BYTES))
			return false;
	}
	return heap->stats.cycles == cycles + 1;
}

static void collect(struct test *test)
{
	assert_true(grow_into_cycle(test));
	assert_int_equal(stats_of(test->f.heap).live_objects, test->count);
}

static struct backend *backend_of(const struct test *test)
{
	return test->f.heap->backend;
}

/* Whether the last cycle's sweep was started in the background. */
static bool is_background(const struct test *test)
{
	return backend_of(test)->ring && backend_of(test)->is_sweep_lazy;
}

static uint64_t unswept_spans(const struct test *test)
{
	return test->f.heap->view.ctrl->counters.unswept_spans;
}

/* Figures of a heap of which all is swept. */
static struct gcheap_counters swept_figures(struct test *test)
{
	struct gcheap_sweep sweep = { .size = sizeof(sweep), .max_spans = UINT64_MAX };
	struct gcheap_counters counters;
	struct gcheap_stats stats;

	assert_int_equal(gcheap_verify(test->f.heap), 0);
	/* It finishes no other sweeps than those in the background. */
	if (is_background(test))
		assert_int_equal(unswept_spans(test), 0);
	assert_int_equal(ioctl(gcheap_fd(test->f.heap), GCHEAP_IOC(GCHEAP_OP_SWEEP), &sweep), 0);
	counters = test->f.heap->view.ctrl->counters;
	stats = stats_of(test->f.heap);
	assert_int_equal(counters.unswept_spans, 0);
	assert_int_equal(stats.freed_spans, counters.freed_spans);
	assert_int_equal(stats.swept_spans, counters.swept_spans);
	assert_int_equal(stats.free_bytes, (counters.heap_pages - 1 - counters.in_use_pages) <<
			 GCHEAP_PAGE_SHIFT);
	return counters;
}

static void same_figures(const struct gcheap_counters *one, const struct gcheap_counters *other)
{
	assert_int_equal(one->spans, other->spans);
	assert_int_equal(one->in_use_pages, other->in_use_pages);
	assert_int_equal(one->heap_pages, other->heap_pages);
	assert_int_equal(one->freed_spans, other->freed_spans);
	assert_int_equal(one->large_objects, other->large_objects);
}

/* The first cycle of a heap, swept by requests; the same each time. */
static struct gcheap_counters direct_figures(void)
{
	static struct gcheap_counters counters;
	struct test test;

	if (counters.spans)
		return counters;
	setenv("GCHEAP_URING", "0", 1);
	test_open(&test, 0);
	setenv("GCHEAP_URING", "1", 1);
	fill(&test);
	collect(&test);
	assert_false(is_background(&test));
	counters = swept_figures(&test);
	fixture_close(&test.f);
	return counters;
}

/* ---- where it runs ---------------------------------------------------------------- */

static void test_sweep_of_a_large_heap_runs_in_the_background(void **state)
{
	struct gcheap_counters direct = direct_figures(), counters;
	struct test test;

	(void)state;
	test_open(&test, 0);
	fill(&test);
	collect(&test);
	assert_true(is_background(&test));
	counters = swept_figures(&test);
	same_figures(&counters, &direct);
	check_list(&test);
	fixture_close(&test.f);
}

static void test_cycles_with_work_between_them(void **state)
{
	unsigned int background = 0, i;
	struct test test;

	(void)state;
	test_open(&test, 0);
	/* One that has not ended by the next cycle is not started again. */
	for (i = 0; i < 4 || (background < 2 && i < 12); i++) {
		fill(&test);
		collect(&test);
		background += is_background(&test);
		check_list(&test);
		if (i % 2)
			swept_figures(&test);
	}
	assert_true(background >= 2);
	/* Two cycles, one right behind the other: the second finishes the first's sweep. */
	collect(&test);
	collect(&test);
	swept_figures(&test);
	/* All the rest is dead. */
	test.list = NULL;
	test.count = 0;
	collect(&test);
	assert_in_range(swept_figures(&test).in_use_pages, 1, LEAF_PAGES);
	fixture_close(&test.f);
}

static void test_a_cycle_that_is_asked_for_is_swept_on_return(void **state)
{
	struct gcheap_counters direct = direct_figures();
	struct test test;

	(void)state;
	test_open(&test, 0);
	fill(&test);
	assert_int_equal(live_after_collect(&test.f), test.count);
	assert_null(backend_of(&test)->ring);
	assert_false(is_background(&test));
	assert_true(stats_of(test.f.heap).freed_spans >= direct.freed_spans);
	fixture_close(&test.f);
}

static void test_sweep_of_a_small_heap_does_not(void **state)
{
	struct test test;
	uint32_t i;

	(void)state;
	test_open(&test, 0);
	for (i = 0; i < TOO_FEW; i++)
		assert_non_null(gcheap_new(test.f.thread, test.type));
	assert_in_range(test.f.heap->view.ctrl->counters.spans, TOO_FEW / 16, NODES / 16 - 1);
	collect(&test);
	assert_null(backend_of(&test)->ring);
	assert_false(is_background(&test));
	fixture_close(&test.f);
}

static void test_heaps_that_are_to_be_exact_do_not(void **state)
{
	static const uint32_t flags[] = { GCHEAP_VERIFY, GCHEAP_FAULT_FREED };
	struct test test;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		test_open(&test, flags[i]);
		fill(&test);
		collect(&test);
		assert_null(backend_of(&test)->ring);
		fixture_close(&test.f);
	}
}

/* ---- ends ------------------------------------------------------------------------- */

static unsigned int open_files(void)
{
	DIR *folder = opendir("/proc/self/fd");
	unsigned int count = 0;

	assert_non_null(folder);
	while (readdir(folder))
		count++;
	closedir(folder);
	return count;
}

static void test_close_while_it_runs(void **state)
{
	unsigned int files = open_files();
	struct test test;

	(void)state;
	test_open(&test, 0);
	fill(&test);
	collect(&test);
	assert_true(is_background(&test));
	assert_true(open_files() > files + 1);
	fixture_close(&test.f);
	assert_int_equal(open_files(), files);
}

/* Runs in a child: assert_*() would go on with the parent's tests there. */
static int child_has_a_heap_of_its_own(struct test *test)
{
	struct gcheap_config config = fixture_config();
	struct gcheap_object found;
	struct gcheap *heap;

	if (gcheap_find(test->f.heap, test->list, &found) != -EPERM)
		return 1;
	if (gcheap_trim(test->f.heap) != -EPERM || gcheap_verify(test->f.heap) != -EPERM)
		return 2;
	gcheap_close(test->f.heap);
	if (gcheap_open(&config, &heap) || gcheap_verify(heap))
		return 3;
	gcheap_close(heap);
	return 0;
}

static void test_fork_while_it_runs(void **state)
{
	struct gcheap_counters direct = direct_figures(), counters;
	struct test test;
	int status;
	pid_t child;

	(void)state;
	test_open(&test, 0);
	fill(&test);
	collect(&test);
	assert_true(is_background(&test));
	child = fork();
	assert_true(child >= 0);
	if (!child)
		_exit(child_has_a_heap_of_its_own(&test));
	counters = swept_figures(&test);
	same_figures(&counters, &direct);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	fill(&test);
	collect(&test);
	check_list(&test);
	swept_figures(&test);
	fixture_close(&test.f);
}

/* In a child: assertions that fail end it. */
static void die_of_failures(void)
{
	signal(SIGABRT, SIG_DFL);
	setenv("CMOCKA_TEST_ABORT", "1", 1);
}

/* How a process ends. */
enum end {
	BY_EXIT,
	BY_SIGNAL,
	BY_EXEC,
	ENDS,
};

static int child_ends(enum end how)
{
	struct test test;

	die_of_failures();
	test_open(&test, 0);
	fill(&test);
	collect(&test);
	assert_true(is_background(&test));
	switch (how) {
	case BY_SIGNAL:
		raise(SIGKILL);
		break;
	case BY_EXEC:
		execl("/bin/sh", "sh", "-c", "exit 7", (char *)NULL);
		break;
	default:
		break;
	}
	return 3;
}

/* The virtual machine then sees whether the module has forgotten something. */
static void test_the_process_ends_while_it_runs(void **state)
{
	int how, status;
	pid_t child;

	(void)state;
	for (how = 0; how < ENDS; how++) {
		fflush(NULL);
		child = fork();
		assert_true(child >= 0);
		if (!child)
			_exit(child_ends((enum end)how));
		assert_int_equal(waitpid(child, &status, 0), child);
		if (how == BY_SIGNAL) {
			assert_true(WIFSIGNALED(status));
			assert_int_equal(WTERMSIG(status), SIGKILL);
		} else {
			assert_true(WIFEXITED(status));
			assert_int_equal(WEXITSTATUS(status), how == BY_EXEC ? 7 : 3);
		}
	}
}

static void *collect_in_thread(void *arg)
{
	struct test *test = arg;

	if (gcheap_thread_attach(test->f.heap, &test->f.thread))
		return "attach";
	if (!grow_into_cycle(test))
		return "collect";
	gcheap_thread_detach(test->f.thread);
	return NULL;
}

static void test_the_thread_that_started_it_ends(void **state)
{
	struct gcheap_counters direct = direct_figures(), counters;
	struct test test;
	pthread_t thread;
	void *failed;

	(void)state;
	test_open(&test, 0);
	fill(&test);
	gcheap_thread_detach(test.f.thread);
	assert_int_equal(pthread_create(&thread, NULL, collect_in_thread, &test), 0);
	assert_int_equal(pthread_join(thread, &failed), 0);
	assert_null(failed);
	assert_true(is_background(&test));
	assert_int_equal(gcheap_thread_attach(test.f.heap, &test.f.thread), 0);
	counters = swept_figures(&test);
	same_figures(&counters, &direct);
	fill(&test);
	collect(&test);
	assert_true(is_background(&test));
	check_list(&test);
	fixture_close(&test.f);
}

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
	struct test test;
	uint64_t freed;

	take_away(what);
	test_open(&test, 0);
	fill(&test);
	collect(&test);
	assert_null(backend_of(&test)->ring);
	assert_true(backend_of(&test)->sweeps_here);
	/* What is dead is gone, as it is where nobody ever had a ring. */
	freed = stats_of(test.f.heap).freed_spans;
	assert_true(freed >= LARGE);
	counters = swept_figures(&test);
	same_figures(&counters, direct);
	check_list(&test);
	fixture_close(&test.f);
}

static void test_same_without_io_uring(void **state)
{
	struct gcheap_counters direct = direct_figures();
	int what, status;
	pid_t child;

	(void)state;
	for (what = 0; what < WITHOUT_COUNT; what++) {
		fflush(NULL);
		child = fork();
		assert_true(child >= 0);
		if (!child) {
			die_of_failures();
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

static void collect_with_refused_command(struct test *test)
{
	struct backend *backend = backend_of(test);
	struct backend_ops ops = *backend->ops;

	real_ops = backend->ops;
	ops.request = request_elsewhere;
	heap_fd = backend->fd;
	other_fd = open("/proc/self/maps", O_RDONLY);
	assert_true(other_fd >= 0);
	backend->ops = &ops;
	collect(test);
	backend->ops = real_ops;
	backend->fd = heap_fd;
	close(other_fd);
	assert_true(is_background(test));
}

static void test_a_refused_command_is_the_last(void **state)
{
	struct gcheap_counters direct = direct_figures(), counters;
	uint64_t freed;
	struct test test;

	(void)state;
	test_open(&test, 0);
	fill(&test);
	collect_with_refused_command(&test);
	assert_true(unswept_spans(&test) >= NODES / 17);
	assert_in_range(stats_of(test.f.heap).freed_spans, 0, LARGE - 1);
	/* gcheap_verify() finishes what nobody did. */
	counters = swept_figures(&test);
	same_figures(&counters, &direct);
	freed = counters.freed_spans;

	fill(&test);
	collect(&test);
	assert_false(is_background(&test));
	assert_true(backend_of(&test)->sweeps_here);
	assert_true(stats_of(test.f.heap).freed_spans >= freed + LARGE);
	check_list(&test);
	swept_figures(&test);
	fixture_close(&test.f);
}

static void test_allocation_and_the_next_cycle_sweep_what_nobody_did(void **state)
{
	struct test test;

	(void)state;
	test_open(&test, 0);
	fill(&test);
	collect_with_refused_command(&test);
	fill(&test);
	check_list(&test);
	collect(&test);
	check_list(&test);
	swept_figures(&test);
	fixture_close(&test.f);
}

static void test_trim_gives_back_what_is_not_swept_yet(void **state)
{
	struct test test;

	(void)state;
	test_open(&test, 0);
	fill(&test);
	test.list = NULL;
	test.count = 0;
	collect_with_refused_command(&test);
	assert_true(stats_of(test.f.heap).resident_bytes >= NODES / 16 * (uint64_t)8192);
	assert_int_equal(gcheap_trim(test.f.heap), 0);
	assert_in_range(stats_of(test.f.heap).resident_bytes, 0, MIB);
	assert_in_range(swept_figures(&test).in_use_pages, 1, LEAF_PAGES);
	fixture_close(&test.f);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_sweep_of_a_large_heap_runs_in_the_background),
	cmocka_unit_test(test_cycles_with_work_between_them),
	cmocka_unit_test(test_a_cycle_that_is_asked_for_is_swept_on_return),
	cmocka_unit_test(test_sweep_of_a_small_heap_does_not),
	cmocka_unit_test(test_heaps_that_are_to_be_exact_do_not),
	cmocka_unit_test(test_close_while_it_runs),
	cmocka_unit_test(test_fork_while_it_runs),
	cmocka_unit_test(test_the_process_ends_while_it_runs),
	cmocka_unit_test(test_the_thread_that_started_it_ends),
	cmocka_unit_test(test_same_without_io_uring),
	cmocka_unit_test(test_a_refused_command_is_the_last),
	cmocka_unit_test(test_allocation_and_the_next_cycle_sweep_what_nobody_did),
	cmocka_unit_test(test_trim_gives_back_what_is_not_swept_yet),
};

static bool there_is_a_device(void)
{
	struct test test;
	bool device;

	test_open(&test, 0);
	device = gcheap_backend(test.f.heap) == GCHEAP_BACKEND_DEVICE;
	fixture_close(&test.f);
	return device;
}

int main(void)
{
	cmocka_set_message_output(CM_OUTPUT_TAP);
	setenv("GCHEAP_URING", "1", 1);
	unsetenv("GCHEAP_VERIFY");
	if (!there_is_a_device()) {
		puts("1..0 # SKIP only /dev/gcheap sweeps in the background");
		return 0;
	}
	return cmocka_run_group_tests_name("background sweep", tests, NULL, NULL);
}
