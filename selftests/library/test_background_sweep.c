// SPDX-License-Identifier: MIT
/* link: -Wl,--no-as-needed -luring */
/*
 * Sweeps in the background: they run where they should, a heap is the same after them
 * as after a sweep by requests, and nothing of them is left when the heap, a thread or
 * a process ends. What a worker does at what moment is not in these tests' hands: they
 * do what may go wrong right behind the start of a sweep.
 *
 * liburing is among its libraries so that a virtual machine has it.
 */
#include "background_sweep.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define TOO_FEW	256000u		/* nodes: 16,000 spans */

/* ---- where it runs ---------------------------------------------------------------- */

static void test_sweep_of_a_large_heap_runs_in_the_background(void **state)
{
	struct gcheap_counters direct = sweep_direct_figures(), counters;
	struct sweep_test test;

	(void)state;
	sweep_open_running(&test);
	counters = sweep_finish(&test);
	sweep_same_figures(&counters, &direct);
	sweep_check_list(&test);
	fixture_close(&test.f);
}

static void test_cycles_with_work_between_them(void **state)
{
	unsigned int background = 0, i;
	struct sweep_test test;

	(void)state;
	sweep_open(&test, 0);
	/* One that has not ended by the next cycle is not started again. */
	for (i = 0; i < 4 || (background < 2 && i < 12); i++) {
		sweep_fill(&test);
		sweep_collect(&test);
		background += sweep_is_background(&test);
		sweep_check_list(&test);
		if (i % 2)
			sweep_finish(&test);
	}
	assert_true(background >= 2);
	/* Two cycles, one right behind the other: the second finishes the first's sweep. */
	sweep_collect(&test);
	sweep_collect(&test);
	sweep_finish(&test);
	/* All the rest is dead. */
	test.list = NULL;
	test.count = 0;
	sweep_collect(&test);
	assert_in_range(sweep_finish(&test).in_use_pages, 1, SWEEP_LEAF_PAGES);
	fixture_close(&test.f);
}

static void test_a_cycle_that_is_asked_for_is_swept_on_return(void **state)
{
	struct gcheap_counters direct = sweep_direct_figures();
	struct sweep_test test;

	(void)state;
	sweep_open(&test, 0);
	sweep_fill(&test);
	assert_int_equal(live_after_collect(&test.f), test.count);
	assert_null(sweep_backend(&test)->ring);
	assert_false(sweep_is_background(&test));
	assert_true(stats_of(test.f.heap).freed_spans >= direct.freed_spans);
	fixture_close(&test.f);
}

static void test_sweep_of_a_small_heap_does_not(void **state)
{
	struct sweep_test test;
	uint32_t i;

	(void)state;
	sweep_open(&test, 0);
	for (i = 0; i < TOO_FEW; i++)
		assert_non_null(gcheap_new(test.f.thread, test.type));
	assert_in_range(test.f.heap->view.ctrl->counters.spans, TOO_FEW / 16, NODES / 16 - 1);
	sweep_collect(&test);
	assert_null(sweep_backend(&test)->ring);
	assert_false(sweep_is_background(&test));
	fixture_close(&test.f);
}

static void test_heaps_that_are_to_be_exact_do_not(void **state)
{
	static const uint32_t flags[] = { GCHEAP_VERIFY, GCHEAP_FAULT_FREED };
	struct sweep_test test;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		sweep_open(&test, flags[i]);
		sweep_fill(&test);
		sweep_collect(&test);
		assert_null(sweep_backend(&test)->ring);
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
	struct sweep_test test;

	(void)state;
	sweep_open_running(&test);
	assert_true(open_files() > files + 1);
	fixture_close(&test.f);
	assert_int_equal(open_files(), files);
}

/* Runs in a child: assert_*() would go on with the parent's tests there. */
static int child_has_a_heap_of_its_own(struct sweep_test *test)
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
	struct gcheap_counters direct = sweep_direct_figures(), counters;
	struct sweep_test test;
	int status;
	pid_t child;

	(void)state;
	sweep_open_running(&test);
	child = fork();
	assert_true(child >= 0);
	if (!child)
		_exit(child_has_a_heap_of_its_own(&test));
	counters = sweep_finish(&test);
	sweep_same_figures(&counters, &direct);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	sweep_fill(&test);
	sweep_collect(&test);
	sweep_check_list(&test);
	sweep_finish(&test);
	fixture_close(&test.f);
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
	struct sweep_test test;

	sweep_die_of_failures();
	sweep_open_running(&test);
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
	struct sweep_test *test = arg;

	if (gcheap_thread_attach(test->f.heap, &test->f.thread))
		return "attach";
	if (!sweep_grow_into_cycle(test))
		return "collect";
	gcheap_thread_detach(test->f.thread);
	return NULL;
}

static void test_the_thread_that_started_it_ends(void **state)
{
	struct gcheap_counters direct = sweep_direct_figures(), counters;
	struct sweep_test test;
	pthread_t thread;
	void *failed;

	(void)state;
	sweep_open(&test, 0);
	sweep_fill(&test);
	gcheap_thread_detach(test.f.thread);
	assert_int_equal(pthread_create(&thread, NULL, collect_in_thread, &test), 0);
	assert_int_equal(pthread_join(thread, &failed), 0);
	assert_null(failed);
	assert_true(sweep_is_background(&test));
	assert_int_equal(gcheap_thread_attach(test.f.heap, &test.f.thread), 0);
	counters = sweep_finish(&test);
	sweep_same_figures(&counters, &direct);
	sweep_fill(&test);
	sweep_collect(&test);
	assert_true(sweep_is_background(&test));
	sweep_check_list(&test);
	fixture_close(&test.f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sweep_of_a_large_heap_runs_in_the_background),
		cmocka_unit_test(test_cycles_with_work_between_them),
		cmocka_unit_test(test_a_cycle_that_is_asked_for_is_swept_on_return),
		cmocka_unit_test(test_sweep_of_a_small_heap_does_not),
		cmocka_unit_test(test_heaps_that_are_to_be_exact_do_not),
		cmocka_unit_test(test_close_while_it_runs),
		cmocka_unit_test(test_fork_while_it_runs),
		cmocka_unit_test(test_the_process_ends_while_it_runs),
		cmocka_unit_test(test_the_thread_that_started_it_ends),
	};

	if (!sweep_tests_begin())
		return 0;
	return cmocka_run_group_tests_name("background sweep", tests, NULL, NULL);
}
