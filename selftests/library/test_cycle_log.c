// SPDX-License-Identifier: MIT
/*
 * The line of a cycle (lib/cycle_log.c): what it says of markers, and of who sweeps.
 * test_collect.c reads the rest of it.
 */
#include <unistd.h>

#include "library_test.h"
#if UNDER_ASAN
/* Only there are the library's own functions to be had. */
#include "cycle_log.h"
#endif

#define LINE_BYTES	4096

/* What a function writes to stderr; less than a pipe holds. */
static void captured(void (*function)(struct fixture *f, const void *arg), struct fixture *f,
		     const void *arg, char text[LINE_BYTES])
{
	int pipes[2], saved = dup(STDERR_FILENO);
	ssize_t length;

	assert_true(saved >= 0);
	assert_int_equal(pipe(pipes), 0);
	assert_true(dup2(pipes[1], STDERR_FILENO) >= 0);
	close(pipes[1]);
	function(f, arg);
	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	close(saved);
	length = read(pipes[0], text, LINE_BYTES - 1);
	close(pipes[0]);
	assert_true(length > 0);
	text[length] = 0;
}

#if UNDER_ASAN

static void log_cycle(struct fixture *f, const void *cycle)
{
	cycle_log(f->heap, cycle);
}

static void assert_logged(struct fixture *f, const struct cycle *cycle, const char *words)
{
	char text[LINE_BYTES];

	captured(log_cycle, f, cycle, text);
	if (!strstr(text, words))
		fail_msg("\"%s\" does not say \"%s\"", text, words);
	assert_int_equal(text[strlen(text) - 1], '\n');
}

static void each_marker_that_had_a_part_is_told(void **state)
{
	struct cycle cycle = { .reason = CYCLE_REQUEST, .mark_ns = 2500000, .roots_ns = 500000 };

	cycle.markers = 1;
	assert_logged(*state, &cycle, " mark 2.0 sweep ");
	cycle.markers = 4;
	assert_logged(*state, &cycle, " mark 2.0 sweep ");
	cycle.shares[0].ns = 1900000;
	assert_logged(*state, &cycle, " mark 2.0 sweep ");
	/* The third has slept. */
	cycle.shares[1].ns = 1230000;
	cycle.shares[3].ns = 45000;
	assert_logged(*state, &cycle, " mark 2.0 by 3 (1.9 1.2 0.045) sweep ");
}

static void a_line_has_room_for_all_markers_that_are_told(void **state)
{
	struct cycle cycle = { .reason = CYCLE_GROWTH, .markers = 1000, .mark_ns = 1 };
	char words[24 * CYCLE_MARKERS] = "by 16 (";
	size_t i;

	for (i = 0; i < CYCLE_MARKERS; i++) {
		cycle.shares[i].ns = 123456789000000;
		strcat(words, i ? " 123456789" : "123456789");
	}
	strcat(words, ") sweep ");
	assert_logged(*state, &cycle, words);
}

static void who_sweeps_is_told(void **state)
{
	struct cycle cycle = { .reason = CYCLE_GROWTH, .sweep_ns = 30000, .freed_spans = 12 };

	assert_logged(*state, &cycle, " sweep 0.030 ms, ");
	assert_logged(*state, &cycle, " MiB, 12 spans freed, ");
	cycle.is_sweep_background = true;
	assert_logged(*state, &cycle, " MiB, swept by a kernel worker, ");
}

#endif /* UNDER_ASAN */

/* ---- two markers that mark --------------------------------------------------------------- */

/* Cycles in which the second marker is expected to have a part once. */
#define CYCLES		1000u
#define LEAVES		50000u

static void collect(struct fixture *f, const void *unused)
{
	(void)unused;
	if (gcheap_collect(f->thread))
		abort();
}

static void two_markers_tell_how_long_each_has_marked(void **state)
{
	double roots, mark, shares[2], sweep;
	unsigned int markers = 0, cycle;
	char text[LINE_BYTES];
	struct fixture f;
	void **leaves;
	gcheap_type type;
	uint32_t i;

	(void)state;
	variable_set("GCHEAP_TRACE", "gc");
	variable_set("GCHEAP_MARKERS", "2");
	fixture_open(&f);
	type = type_with_mask(f.heap, 64, 8, 1);
	leaves = calloc(LEAVES, sizeof(*leaves));
	assert_non_null(leaves);
	assert_int_equal(gcheap_root_add(f.heap, leaves, LEAVES), 0);
	gcheap_disable(f.heap);
	for (i = 0; i < LEAVES; i++) {
		leaves[i] = gcheap_new(f.thread, type);
		assert_non_null(leaves[i]);
	}
	for (cycle = 0; cycle < CYCLES && markers != 2; cycle++) {
		captured(collect, &f, NULL, text);
		if (sscanf(strstr(text, " roots "),
			   " roots %lf mark %lf by %u (%lf %lf) sweep %lf ms, ", &roots, &mark,
			   &markers, &shares[0], &shares[1], &sweep) != 6)
			markers = 0;
	}
	assert_int_equal(markers, 2);
	/* Two digits of each are told; 0.1 ms are for these. */
	for (i = 0; i < 2; i++)
		assert_true(shares[i] >= 0 && shares[i] <= (roots + mark) * 1.1 + 0.1);
	assert_int_equal(gcheap_root_remove(f.heap, leaves), 0);
	free(leaves);
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#if UNDER_ASAN
		fixture_test(each_marker_that_had_a_part_is_told),
		fixture_test(a_line_has_room_for_all_markers_that_are_told),
		fixture_test(who_sweeps_is_told),
#endif
		cmocka_unit_test_teardown(two_markers_tell_how_long_each_has_marked,
					  variables_restore),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("cycle_log", tests, NULL, NULL);
}
