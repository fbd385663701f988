// SPDX-License-Identifier: MIT
/*
 * What gcheap_open() takes from the environment, over its configuration, and what it says
 * of variables that it does not know.
 */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "library_test.h"

/* gcheap_open() must refuse a variable of the environment, and name it. */
static void refused_variable(const char *name, const char *value)
{
	char words[64];

	snprintf(words, sizeof(words), "%s=%s", name, value);
	variable_set(name, value);
	assert_open_refused(NULL, EINVAL, words);
	variable_set(name, NULL);
}

/* ---- values ------------------------------------------------------------------ */

static void test_err_environment_is_named_with_its_value(void **state)
{
	static const char *const bad[][2] = {
		{ "GCHEAP_BACKEND", "kernel" }, { "GCHEAP_BACKEND", "Local" },
		{ "GCHEAP_LAYOUT", "spam" },
		{ "GCHEAP_GC", "fast" }, { "GCHEAP_GC", "-1" }, { "GCHEAP_GC", "100%" },
		{ "GCHEAP_GC", "99999999999999999999" }, { "GCHEAP_GC", " 1" },
		{ "GCHEAP_MEMLIMIT", "K" }, { "GCHEAP_MEMLIMIT", "1T" },
		{ "GCHEAP_MEMLIMIT", "1KB" }, { "GCHEAP_MEMLIMIT", "-5" },
		{ "GCHEAP_MEMLIMIT", "18446744073709551615K" },
		{ "GCHEAP_MEMLIMIT", "18446744073709551616" },
		{ "GCHEAP_MARKERS", "two" }, { "GCHEAP_MARKERS", "5000" },
		{ "GCHEAP_TRACE", "gc," }, { "GCHEAP_TRACE", "all" }, { "GCHEAP_TRACE", "g" },
		{ "GCHEAP_VERIFY", "yes" },
		{ "GCHEAP_FAULT_FREED", "yes" },
		{ "GCHEAP_HUGE_PAGES", "2" }, { "GCHEAP_FINALIZER_THREAD", "yes" },
		{ "GCHEAP_ARENA_STRICT", "2" },
		{ "GCHEAP_URING", "yes" }, { "GCHEAP_URING", "2" }, { "GCHEAP_URING", "11" },
		{ "GCHEAP_GUARDS", "on" }, { "GCHEAP_GUARDS", "2" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		refused_variable(bad[i][0], bad[i][1]);
		variables_restore(NULL);
	}
}

static void test_environment_values_that_are_taken(void **state)
{
	static const char *const good[][2] = {
		{ "GCHEAP_LAYOUT", "span" }, { "GCHEAP_LAYOUT", "header" },
		{ "GCHEAP_LAYOUT", "footer" },
		{ "GCHEAP_LAYOUT", "bitmap" },
		{ "GCHEAP_GC", "0" }, { "GCHEAP_GC", "off" }, { "GCHEAP_GC", "250" },
		{ "GCHEAP_MEMLIMIT", "0" }, { "GCHEAP_MEMLIMIT", "123" },
		{ "GCHEAP_MEMLIMIT", "64K" }, { "GCHEAP_MEMLIMIT", "64M" },
		{ "GCHEAP_MEMLIMIT", "3G" }, { "GCHEAP_MEMLIMIT", "18446744073709551615" },
		{ "GCHEAP_MARKERS", "0" }, { "GCHEAP_MARKERS", "4" },
		{ "GCHEAP_TRACE", "gc" }, { "GCHEAP_TRACE", "gc,gc" },
		{ "GCHEAP_VERIFY", "0" }, { "GCHEAP_VERIFY", "1" },
		{ "GCHEAP_FAULT_FREED", "0" }, { "GCHEAP_FAULT_FREED", "1" },
		{ "GCHEAP_HUGE_PAGES", "0" }, { "GCHEAP_HUGE_PAGES", "1" },
		{ "GCHEAP_ARENA_STRICT", "0" }, { "GCHEAP_ARENA_STRICT", "1" },
		{ "GCHEAP_FINALIZER_THREAD", "0" }, { "GCHEAP_FINALIZER_THREAD", "1" },
		{ "GCHEAP_URING", "0" }, { "GCHEAP_URING", "1" },
		{ "GCHEAP_STOP", "auto" }, { "GCHEAP_STOP", "signal" },
		{ "GCHEAP_GUARDS", "0" }, { "GCHEAP_GUARDS", "1" },
		{ "GCHEAP_BACKEND", "" }, { "GCHEAP_LAYOUT", "" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(good); i++) {
		variable_set(good[i][0], good[i][1]);
		assert_opens(NULL);
		variables_restore(NULL);
	}
}

static void test_environment_overrides_the_configuration(void **state)
{
	struct gcheap_config config = GCHEAP_CONFIG_INIT;

	(void)state;
	config.layout = GCHEAP_LAYOUT_SPAN;
	variable_set("GCHEAP_LAYOUT", "bitmaps");
	assert_open_refused(&config, EINVAL, "bitmap");
	config.layout = (enum gcheap_layout)4;
	variable_set("GCHEAP_LAYOUT", "span");
	assert_opens(&config);
}

static void test_the_environment_sets_the_reserve(void **state)
{
	static const char *const wrong[] = { "x", "100", "1M", "100M", "65537M", "2048G", "64MB" };
	struct gcheap *heap;
	size_t i;

	(void)state;
	variable_set("GCHEAP_RESERVE", NULL);
	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		setenv("GCHEAP_RESERVE", wrong[i], 1);
		assert_open_refused(NULL, EINVAL, "GCHEAP_RESERVE=");
		assert_error_says("64M");
	}
	variable_set("GCHEAP_BACKEND", "local");
	variable_set("GCHEAP_RESERVE", "128M");
	assert_int_equal(gcheap_open(NULL, &heap), 0);
	/* So large an object has no place in it, and in the default one it has. */
	{
		struct gcheap_thread *thread;

		assert_int_equal(gcheap_thread_attach(heap, &thread), 0);
		assert_refused_null(gcheap_new_leaf(thread, 160 << 20), ENOMEM, "reserve");
	}
	gcheap_close(heap);
	variable_set("GCHEAP_RESERVE", "1G");
	assert_opens(NULL);
	variable_set("GCHEAP_RESERVE", "0");
	assert_opens(NULL);
}

static void test_an_error_is_one_line_whatever_the_environment_holds(void **state)
{
	struct gcheap *heap;
	const char *at;

	(void)state;
	variable_set("GCHEAP_LAYOUT", "span\n\033[31mred\r\ttext\x7f");
	assert_refused(gcheap_open(NULL, &heap), EINVAL, "span??[31mred??text?");
	for (at = gcheap_error(); *at; at++)
		assert_true((unsigned char)*at >= ' ' && *at != 0x7f);
}

/* ---- names ------------------------------------------------------------------- */

/* What a child that opens two heaps writes to stderr. */
static void stderr_of_a_child(char *text, size_t size)
{
	int ends[2], status;
	size_t length = 0;
	ssize_t got;
	pid_t child;

	assert_int_equal(pipe(ends), 0);
	fflush(stdout);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		/* Once a process: what this one has said, its child would not say again. */
		dup2(ends[1], STDERR_FILENO);
		execl("/proc/self/exe", "test_environment", "open-two", (char *)NULL);
		_exit(1);
	}
	close(ends[1]);
	while ((got = read(ends[0], text + length, size - 1 - length)) > 0)
		length += (size_t)got;
	text[length] = 0;
	close(ends[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void test_unknown_settings_are_named_once(void **state)
{
	char text[4096];
	const char *first;

	(void)state;
	variable_set("GCHEAP_MEMLIMT", "1G");
	variable_set("GCHEAP_ODD\nNAME", "1");
	variable_set("GCHEAP_EMPTY", "");
	variable_set("GCHEAP_CACHE", "/tmp");
	variable_set("GCHEAP_RESERVE", "256M");
	stderr_of_a_child(text, sizeof(text));
	first = strstr(text, "GCHEAP_MEMLIMT");
	assert_non_null(first);
	assert_null(strstr(first + 1, "GCHEAP_MEMLIMT"));
	/* With those that there are, each as one writes it. */
	assert_non_null(strstr(text, ", GCHEAP_MEMLIMIT, "));
	assert_non_null(strstr(text, ", GCHEAP_GUARDS\n"));
	assert_null(strstr(text, "is a flag"));
	assert_non_null(strstr(text, "GCHEAP_ODD?NAME"));
	assert_null(strstr(text, "EMPTY"));
	assert_null(strstr(text, "GCHEAP_CACHE"));
	assert_null(strstr(text, "called GCHEAP_RESERVE"));
}

static void test_a_flag_of_the_configuration_is_told_to_be_one(void **state)
{
	char text[4096];

	(void)state;
	variable_set("GCHEAP_RECORD_TYPES", "1");
	stderr_of_a_child(text, sizeof(text));
	assert_non_null(strstr(text, "GCHEAP_RECORD_TYPES, which is a flag of "));
}

static void test_known_settings_alone_print_nothing(void **state)
{
	char text[4096];

	(void)state;
	variable_set("GCHEAP_RESERVE", "256M");
	stderr_of_a_child(text, sizeof(text));
	assert_string_equal(text, "");
}

/* What the tests of stderr start. */
static int open_two(void)
{
	struct gcheap *a, *b;

	if (gcheap_open(NULL, &a) || gcheap_open(NULL, &b))
		return 1;
	gcheap_close(a);
	gcheap_close(b);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_err_environment_is_named_with_its_value,
					  variables_restore),
		cmocka_unit_test_teardown(test_environment_values_that_are_taken,
					  variables_restore),
		cmocka_unit_test_teardown(test_environment_overrides_the_configuration,
					  variables_restore),
		cmocka_unit_test_teardown(test_the_environment_sets_the_reserve, variables_restore),
		cmocka_unit_test_teardown(test_an_error_is_one_line_whatever_the_environment_holds,
					  variables_restore),
		cmocka_unit_test_teardown(test_unknown_settings_are_named_once, variables_restore),
		cmocka_unit_test_teardown(test_a_flag_of_the_configuration_is_told_to_be_one,
					  variables_restore),
		cmocka_unit_test_teardown(test_known_settings_alone_print_nothing,
					  variables_restore),
	};

	if (argc > 1 && !strcmp(argv[1], "open-two"))
		return open_two();
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("environment", tests, NULL, NULL);
}
