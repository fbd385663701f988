// SPDX-License-Identifier: MIT
/* link: -Wl,--no-as-needed -lgcc_s */
/*
 * Collections: what they free and keep, when they start, what they report.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "library_test.h"

#define MIB	((size_t)1 << 20)

struct node {
	struct node *next;
	uint64_t number;
};

static int setup(void **state)
{
	/* Tests of when a cycle starts must not depend on who runs them. */
	variable_set("GCHEAP_GC", NULL);
	variable_set("GCHEAP_MEMLIMIT", NULL);
	return fixture_setup(state);
}

static int teardown(void **state)
{
	fixture_teardown(state);
	return variables_restore(state);
}

/* ---- what a cycle does -------------------------------------------------------- */

static void test_err_collect_without_a_thread(void **state)
{
	(void)state;
	assert_refused(gcheap_collect(NULL), EINVAL, "thread is NULL");
}

static void test_an_empty_heap_can_be_collected(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(live_after_collect(f), 0);
	assert_int_equal(live_after_collect(f), 0);
	assert_int_equal(cycles_of(f), 2);
}

static void test_garbage_is_recycled(void **state)
{
	struct fixture *f = *state;

	drop_bytes(f, 256 * MIB);
	assert_in_range(stats_of(f->heap).mapped_bytes, MIB, 8 * MIB);
	assert_in_range(cycles_of(f), 32, 512);
	assert_int_equal(gcheap_verify(f->heap), 0);
}

static void test_large_garbage_is_recycled(void **state)
{
	struct fixture *f = *state;
	size_t i;

	for (i = 1; i < 300; i++) {
		size_t bytes = 40000 * (i % 20 + 1);
		unsigned char *object = gcheap_new_leaf(f->thread, bytes);

		assert_non_null(object);
		assert_int_equal(object[0] | object[bytes / 2] | object[bytes - 1], 0);
		memset(object, 0xff, bytes);
	}
	assert_in_range(stats_of(f->heap).mapped_bytes, MIB, 16 * MIB);
}

static void test_what_is_reachable_survives_with_its_content(void **state)
{
	enum { LENGTH = 100000 };
	struct fixture *f = *state;
	gcheap_type type = GCHEAP_TYPE(f->heap, struct node, next);
	struct node *list = NULL;
	const struct node *node;
	uint64_t number;
	int round;

	assert_int_equal(gcheap_root_add(f->heap, &list, 1), 0);
	for (number = 0; number < LENGTH; number++) {
		struct node *new = gcheap_new(f->thread, type);

		assert_non_null(new);
		new->next = list;
		new->number = number;
		list = new;
		/* As much garbage of the same class beside it. */
		assert_non_null(gcheap_new(f->thread, type));
	}
	for (round = 0; round < 3; round++) {
		assert_int_equal(live_after_collect(f), LENGTH);
		drop_bytes(f, MIB);
	}
	for (node = list; node; node = node->next)
		assert_int_equal(node->number, --number);
	assert_int_equal(number, 0);
	assert_int_equal(gcheap_verify(f->heap), 0);
}

/* Old objects that die leave holes, which later objects fill. */
static void test_holes_are_filled_again(void **state)
{
	enum { COUNT = 65536 };
	struct fixture *f = *state;
	void **table = calloc(COUNT, sizeof(*table));
	uint64_t mapped;
	int round, i;

	assert_int_equal(gcheap_root_add(f->heap, table, COUNT), 0);
	for (i = 0; i < COUNT; i++)
		table[i] = gcheap_new_leaf(f->thread, 64);
	assert_int_equal(live_after_collect(f), COUNT);
	mapped = stats_of(f->heap).mapped_bytes;
	for (round = 0; round < 8; round++) {
		for (i = round & 1; i < COUNT; i += 2)
			table[i] = NULL;
		assert_int_equal(live_after_collect(f), COUNT / 2);
		for (i = round & 1; i < COUNT; i += 2)
			table[i] = gcheap_new_leaf(f->thread, 64);
		assert_int_equal(live_after_collect(f), COUNT);
	}
	/* 4 MiB are live; empty spans come first, so that some more are used. */
	assert_in_range(stats_of(f->heap).mapped_bytes, mapped, mapped + 8 * MIB);
	assert_int_equal(gcheap_root_remove(f->heap, table), 0);
	free(table);
}

static void test_stats_tell_of_cycles(void **state)
{
	struct fixture *f = *state;
	void *root = gcheap_new_leaf(f->thread, 64);
	struct gcheap_stats stats;

	assert_int_equal(gcheap_root_add(f->heap, &root, 1), 0);
	assert_int_equal(live_after_collect(f), 1);
	stats = stats_of(f->heap);
	assert_int_equal(stats.cycles, 1);
	assert_int_equal(stats.live_bytes, 64);
	assert_int_equal(stats.mark_bytes_total, 64);
	assert_true(stats.pause_ns_max > 0);
	assert_true(stats.pause_ns_total >= stats.mark_ns_total + stats.sweep_ns_total);
	assert_int_equal(live_after_collect(f), 1);
	stats = stats_of(f->heap);
	assert_int_equal(stats.mark_bytes_total, 128);
	assert_true(stats.pause_ns_total >= stats.pause_ns_max);
}

/* ---- when a cycle starts ------------------------------------------------------ */

static void test_a_cycle_starts_by_growth(void **state)
{
	struct fixture *f = *state;
	void *live;

	/* 32 MiB live: the next cycle after as much again, not before. */
	live = gcheap_new_leaf(f->thread, 32 * MIB);
	assert_int_equal(gcheap_root_add(f->heap, &live, 1), 0);
	assert_int_equal(live_after_collect(f), 1);
	assert_int_equal(cycles_of(f), 1);
	drop_bytes(f, 31 * MIB);
	assert_int_equal(cycles_of(f), 1);
	drop_bytes(f, 2 * MIB);
	assert_int_equal(cycles_of(f), 2);
}

static void test_gc_off_collects_on_request_alone(void **state)
{
	struct gcheap_config config = fixture_config();
	struct fixture f;

	(void)state;
	config.gc_percent = -1;
	fixture_open_with(&f, &config);
	drop_bytes(&f, 64 * MIB);
	assert_int_equal(cycles_of(&f), 0);
	assert_int_equal(live_after_collect(&f), 0);
	fixture_close(&f);
}

static void test_the_environment_turns_gc_off(void **state)
{
	struct fixture f;

	(void)state;
	variable_set("GCHEAP_GC", "off");
	fixture_open(&f);
	drop_bytes(&f, 16 * MIB);
	assert_int_equal(cycles_of(&f), 0);
	fixture_close(&f);
}

static void test_the_memory_limit_starts_cycles(void **state)
{
	struct gcheap_config config = fixture_config();
	struct fixture f;
	void *live;

	(void)state;
	config.gc_percent = -1;
	config.memory_limit = 24 * MIB;
	fixture_open_with(&f, &config);
	live = gcheap_new_leaf(f.thread, 16 * MIB);
	assert_int_equal(gcheap_root_add(f.heap, &live, 1), 0);
	assert_int_equal(live_after_collect(&f), 1);
	drop_bytes(&f, 64 * MIB);
	/* 8 MiB of room. */
	assert_in_range(cycles_of(&f), 8, 12);
	assert_in_range(stats_of(f.heap).mapped_bytes, 16 * MIB, 28 * MIB);

	/* Live over the limit: cycles do not follow each other without end. */
	live = gcheap_new_leaf(f.thread, 32 * MIB);
	assert_non_null(live);
	assert_int_equal(live_after_collect(&f), 1);
	config.memory_limit = cycles_of(&f);
	drop_bytes(&f, 16 * MIB);
	assert_in_range(cycles_of(&f) - config.memory_limit, 8, 20);
	fixture_close(&f);
}

static void test_a_cycle_makes_room_when_memory_runs_out(void **state)
{
	struct gcheap_config config = fixture_config();
	struct fixture f;

	(void)state;
	config.gc_percent = -1;
	config.reserve_bytes = 64 * MIB;
	fixture_open_with(&f, &config);
	drop_bytes(&f, 200 * MIB);
	assert_in_range(cycles_of(&f), 3, 6);
	assert_non_null(gcheap_new_leaf(f.thread, 50 * MIB));
	assert_non_null(gcheap_new_leaf(f.thread, 50 * MIB));
	fixture_close(&f);
}

/* ---- stacks ------------------------------------------------------------------- */

static struct {
	ucontext_t main, other;
	struct fixture f;
	int result;
	bool said_why;
	void *object;
} switched;

static void on_another_stack(void)
{
	switched.result = gcheap_collect(switched.f.thread);
	switched.said_why = strstr(gcheap_error(), "another stack") != NULL;
	switched.object = gcheap_new_leaf(switched.f.thread, 64);
}

static void collect_on_another_stack(uint32_t flags)
{
	struct gcheap_config config = fixture_config();
	char *stack = malloc(256 << 10);

	config.flags = flags;
	fixture_open_with(&switched.f, &config);
	assert_int_equal(getcontext(&switched.other), 0);
	switched.other.uc_stack.ss_sp = stack;
	switched.other.uc_stack.ss_size = 256 << 10;
	switched.other.uc_link = &switched.main;
	makecontext(&switched.other, on_another_stack, 0);
	assert_int_equal(swapcontext(&switched.main, &switched.other), 0);
	assert_non_null(switched.object);
	assert_int_equal(gcheap_collect(switched.f.thread), 0);
	fixture_close(&switched.f);
	free(stack);
}

static void test_err_conservative_collect_on_another_stack(void **state)
{
	(void)state;
	collect_on_another_stack(GCHEAP_CONSERVATIVE_STACKS);
	assert_int_equal(switched.result, -EINVAL);
	assert_true(switched.said_why);
}

/* Where a main thread's stack is, a file tells; but it is not needed. */
static void test_a_thread_attaches_without_a_file_descriptor(void **state)
{
	struct gcheap_config config = fixture_config();
	struct rlimit files, none;
	struct gcheap_object found;
	void *volatile object;
	struct fixture f;
	uint32_t flags;
	int attached;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
	none = files;
	none.rlim_cur = 0;
	for (flags = 0; flags <= GCHEAP_CONSERVATIVE_STACKS; flags += GCHEAP_CONSERVATIVE_STACKS) {
		config.flags = flags;
		fixture_open_with(&f, &config);
		gcheap_thread_detach(f.thread);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
		attached = gcheap_thread_attach(f.heap, &f.thread);
		setrlimit(RLIMIT_NOFILE, &files);
		assert_int_equal(attached, 0);
		object = gcheap_new_leaf(f.thread, 64);
		assert_int_equal(gcheap_collect(f.thread), 0);
		assert_int_equal(gcheap_find(f.heap, object, &found), flags ? 0 : -ENOENT);
		fixture_close(&f);
	}
}

static void *collect_elsewhere(void *arg)
{
	struct fixture *f = arg;

	switched.result = gcheap_collect(f->thread);
	switched.said_why = strstr(gcheap_error(), "another stack") != NULL;
	return NULL;
}

static void test_err_conservative_collect_on_another_thread(void **state)
{
	struct gcheap_config config = fixture_config();
	struct gcheap_object found;
	struct fixture f;
	pthread_t other;
	void *volatile object;

	(void)state;
	config.flags = GCHEAP_CONSERVATIVE_STACKS;
	fixture_open_with(&f, &config);
	object = gcheap_new_leaf(f.thread, 64);
	assert_int_equal(pthread_create(&other, NULL, collect_elsewhere, &f), 0);
	assert_int_equal(pthread_join(other, NULL), 0);
	assert_int_equal(switched.result, -EINVAL);
	assert_true(switched.said_why);
	/* What this stack alone leads to is still there. */
	assert_int_equal(gcheap_find(f.heap, object, &found), 0);
	assert_int_equal(gcheap_collect(f.thread), 0);
	assert_int_equal(gcheap_find(f.heap, object, &found), 0);
	fixture_close(&f);
}

static void test_precise_heaps_collect_on_any_stack(void **state)
{
	(void)state;
	collect_on_another_stack(0);
	assert_int_equal(switched.result, 0);
}

/* ---- debugging ---------------------------------------------------------------- */

static void test_verify_checks_each_cycle_of_a_sound_heap(void **state)
{
	struct gcheap_config config = fixture_config();
	struct fixture f;

	(void)state;
	config.flags |= GCHEAP_VERIFY;
	fixture_open_with(&f, &config);
	drop_bytes(&f, 8 * MIB);
	assert_int_equal(live_after_collect(&f), 0);
	fixture_close(&f);
}

static void collect_twice_with_trace(void)
{
	struct fixture f;

	fixture_open(&f);
	drop_bytes(&f, MIB / 2);
	gcheap_collect(f.thread);
	gcheap_collect(f.thread);
	fixture_close(&f);
}

static void test_the_trace_is_a_line_a_cycle(void **state)
{
	char text[1024] = "";
	const char *line = text;
	unsigned int cycle;
	ssize_t length;
	int status, pipes[2];
	pid_t child;

	(void)state;
	variable_set("GCHEAP_TRACE", "gc");
	assert_int_equal(pipe(pipes), 0);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		dup2(pipes[1], STDERR_FILENO);
		collect_twice_with_trace();
		_exit(0);
	}
	close(pipes[1]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	length = read(pipes[0], text, sizeof(text) - 1);
	close(pipes[0]);
	assert_true(length > 0);

	for (cycle = 1; cycle <= 2; cycle++) {
		double at, stop, flush, roots, mark, sweep, before, after, goal;
		unsigned int number, percent;
		unsigned long long spans;
		char backend[16];

		assert_int_equal(sscanf(line, "gc %u request @%lfs %u%%: stop %lf flush %lf "
					"roots %lf mark %lf sweep %lf ms, %lf->%lf->%lf MiB, "
					"%llu spans freed, %15s\n", &number, &at, &percent, &stop,
					&flush, &roots, &mark, &sweep, &before, &after, &goal,
					&spans, backend), 13);
		assert_int_equal(number, cycle);
		assert_int_equal((spans != 0), cycle == 1);
		assert_true(!strcmp(backend, "local") || !strcmp(backend, "device"));
		line = strchr(line, '\n') + 1;
	}
	assert_int_equal(*line, 0);
}

/* What is said on stderr is a point where a thread can be cancelled, and it has the lock then. */
static void *cancelled_in_cycle(void *arg)
{
	struct fixture *f = arg;
	struct gcheap_thread *thread;

	if (gcheap_thread_attach(f->heap, &thread) || pthread_cancel(pthread_self()) ||
	    gcheap_collect(thread))
		_exit(1);
	/* The cycle is done: from here on it may end. */
	f->thread = NULL;
	pthread_testcancel();
	return NULL;
}

static void collect_after_cancelled(void)
{
	struct gcheap_config config = fixture_config();
	struct gcheap_thread *thread;
	struct fixture f;
	pthread_t cancelled;
	void *result = NULL;

	alarm(30);
	fixture_open_with(&f, &config);
	thread = f.thread;
	gcheap_park(thread);
	if (pthread_create(&cancelled, NULL, cancelled_in_cycle, &f) ||
	    pthread_join(cancelled, &result) || result != PTHREAD_CANCELED || f.thread)
		_exit(2);
	gcheap_unpark(thread);
	if (gcheap_collect(thread))
		_exit(3);
	gcheap_thread_detach(thread);
	gcheap_close(f.heap);
}

static void test_a_thread_that_is_cancelled_finishes_its_cycle(void **state)
{
	int status, null;
	pid_t child;

	(void)state;
	variable_set("GCHEAP_TRACE", "gc");
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		null = open("/dev/null", O_WRONLY);
		dup2(null, STDERR_FILENO);
		collect_after_cancelled();
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void test_no_trace_by_default(void **state)
{
	int status, pipes[2];
	pid_t child;
	char byte;

	(void)state;
	variable_set("GCHEAP_TRACE", NULL);
	assert_int_equal(pipe(pipes), 0);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		dup2(pipes[1], STDERR_FILENO);
		collect_twice_with_trace();
		_exit(0);
	}
	close(pipes[1]);
	assert_int_equal(read(pipes[0], &byte, 1), 0);
	close(pipes[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_err_collect_without_a_thread),
		cmocka_unit_test_setup_teardown(test_an_empty_heap_can_be_collected, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_garbage_is_recycled, setup, teardown),
		cmocka_unit_test_setup_teardown(test_large_garbage_is_recycled, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_reachable_survives_with_its_content,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_holes_are_filled_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stats_tell_of_cycles, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_cycle_starts_by_growth, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gc_off_collects_on_request_alone, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_the_environment_turns_gc_off, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_memory_limit_starts_cycles, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_a_cycle_makes_room_when_memory_runs_out,
						setup, teardown),
		cmocka_unit_test(test_err_conservative_collect_on_another_stack),
		cmocka_unit_test(test_err_conservative_collect_on_another_thread),
		cmocka_unit_test(test_a_thread_attaches_without_a_file_descriptor),
		cmocka_unit_test(test_precise_heaps_collect_on_any_stack),
		cmocka_unit_test_setup_teardown(test_verify_checks_each_cycle_of_a_sound_heap,
						setup, teardown),
		cmocka_unit_test_teardown(test_the_trace_is_a_line_a_cycle, variables_restore),
		cmocka_unit_test_teardown(test_a_thread_that_is_cancelled_finishes_its_cycle, variables_restore),
		cmocka_unit_test_teardown(test_no_trace_by_default, variables_restore),
	};

	return run_in_all_layouts("collect", tests);
}
