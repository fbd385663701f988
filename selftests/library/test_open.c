// SPDX-License-Identifier: MIT
/*
 * Opening and closing heaps: configuration, environment, what is refused and what
 * the message says; and what is left of a heap after fork().
 */
#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "library_test.h"

static bool device_is_there(void)
{
	return !access("/dev/gcheap", R_OK | W_OK);
}

/* gcheap_open() must refuse this configuration. */
static void refused(const struct gcheap_config *config, int error, const char *words)
{
	struct gcheap *heap = (struct gcheap *)1;

	assert_refused(gcheap_open(config, &heap), error, words);
	assert_ptr_equal(heap, (struct gcheap *)1);
}

/* gcheap_open() must refuse a variable of the environment, and name it. */
static void refused_variable(const char *name, const char *value)
{
	char words[64];

	snprintf(words, sizeof(words), "%s=%s", name, value);
	variable_set(name, value);
	refused(NULL, EINVAL, words);
	variable_set(name, NULL);
}

static void opens(const struct gcheap_config *config)
{
	struct gcheap *heap;

	if (gcheap_open(config, &heap))
		fail_msg("gcheap_open: %s", gcheap_error());
	gcheap_close(heap);
}

/* ---- configuration ----------------------------------------------------------- */

static void test_a_heap_opens_without_a_configuration(void **state)
{
	(void)state;
	opens(NULL);
}

static void test_heaps_are_independent(void **state)
{
	struct fixture a, b;

	(void)state;
	fixture_open(&a);
	fixture_open(&b);
	assert_non_null(gcheap_new_leaf(a.thread, 64));
	assert_non_null(gcheap_new_leaf(b.thread, 64));
	fixture_close(&a);
	assert_non_null(gcheap_new_leaf(b.thread, 64));
	fixture_close(&b);
}

static void test_close_takes_null_and_an_attached_thread(void **state)
{
	struct fixture f;

	(void)state;
	gcheap_close(NULL);
	fixture_open(&f);
	assert_non_null(gcheap_new_leaf(f.thread, 64));
	gcheap_close(f.heap);
}

static void test_err_open_without_a_place_for_the_heap(void **state)
{
	(void)state;
	assert_refused(gcheap_open(NULL, NULL), EINVAL, "heap is NULL");
}

static void test_err_config_size(void **state)
{
	struct gcheap_config config = GCHEAP_CONFIG_INIT;

	(void)state;
	config.size = 0;
	refused(&config, EINVAL, "GCHEAP_CONFIG_INIT");
	config.size = sizeof(config) - 1;
	refused(&config, EINVAL, "GCHEAP_CONFIG_INIT");
}

static void test_a_longer_config_opens_when_its_tail_is_zero(void **state)
{
	struct {
		struct gcheap_config config;
		uint64_t tail;
	} longer = { .config = GCHEAP_CONFIG_INIT };

	(void)state;
	longer.config.size = sizeof(longer);
	opens(&longer.config);
	longer.tail = 1;
	refused(&longer.config, E2BIG, "newer");
}

static void test_err_flags_not_supported_are_named(void **state)
{
	static const struct {
		uint32_t flag;
		const char *name;
	} flags[] = {
		{ GCHEAP_CONCURRENT, "GCHEAP_CONCURRENT" },
		{ GCHEAP_WRITE_TRACKING, "GCHEAP_WRITE_TRACKING" },
		{ GCHEAP_GENERATIONAL, "GCHEAP_GENERATIONAL" },
		{ 1u << 31, "0x80000000" },
	};
	struct gcheap_config config = GCHEAP_CONFIG_INIT;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		config.flags = GCHEAP_CONSERVATIVE_STACKS | flags[i].flag;
		refused(&config, EOPNOTSUPP, flags[i].name);
	}
}

static void test_err_layout(void **state)
{
	struct gcheap_config config = GCHEAP_CONFIG_INIT;

	(void)state;
	variable_set("GCHEAP_LAYOUT", NULL);
	config.layout = (enum gcheap_layout)4;
	refused(&config, EINVAL, "no layout");
	config.layout = (enum gcheap_layout)-1;
	refused(&config, EINVAL, "no layout");
}

static void test_err_backend(void **state)
{
	struct gcheap_config config = GCHEAP_CONFIG_INIT;

	(void)state;
	variable_set("GCHEAP_BACKEND", NULL);
	config.backend = (enum gcheap_backend)3;
	refused(&config, EINVAL, "no backend");
}

static void test_err_reserve(void **state)
{
	static const uint64_t bad[] = { 1, 4096, (64ull << 20) - 1, (64ull << 20) + 1,
					(1ull << 40) + (64ull << 20), UINT64_MAX };
	struct gcheap_config config = GCHEAP_CONFIG_INIT;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		config.reserve_bytes = bad[i];
		refused(&config, EINVAL, "reserve_bytes");
	}
	config.reserve_bytes = 64ull << 20;
	opens(&config);
}

static void test_err_markers_and_percent(void **state)
{
	struct gcheap_config config = GCHEAP_CONFIG_INIT;

	(void)state;
	variable_set("GCHEAP_GC", NULL);
	variable_set("GCHEAP_MARKERS", NULL);
	config.gc_percent = -2;
	refused(&config, EINVAL, "gc_percent is -2");
	config.gc_percent = -1;
	opens(&config);
	config.markers = 4097;
	refused(&config, EINVAL, "markers is 4097");
	config.markers = 2;
	opens(&config);
}

/* ---- environment ------------------------------------------------------------- */

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
		{ "GCHEAP_HUGE_PAGES", "2" },
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
		{ "GCHEAP_HUGE_PAGES", "0" }, { "GCHEAP_HUGE_PAGES", "1" },
		{ "GCHEAP_URING", "0" }, { "GCHEAP_URING", "1" },
		{ "GCHEAP_GUARDS", "0" }, { "GCHEAP_GUARDS", "1" },
		{ "GCHEAP_BACKEND", "" }, { "GCHEAP_LAYOUT", "" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(good); i++) {
		variable_set(good[i][0], good[i][1]);
		opens(NULL);
		variables_restore(NULL);
	}
}

static void test_environment_overrides_the_configuration(void **state)
{
	struct gcheap_config config = GCHEAP_CONFIG_INIT;

	(void)state;
	config.layout = GCHEAP_LAYOUT_SPAN;
	variable_set("GCHEAP_LAYOUT", "bitmaps");
	refused(&config, EINVAL, "bitmap");
	config.layout = (enum gcheap_layout)4;
	variable_set("GCHEAP_LAYOUT", "span");
	opens(&config);
}

/* ---- huge pages -------------------------------------------------------------- */

/* In the lines of a file about the mapping of @address, whether one has @name and @word. */
static bool smaps_has(const void *address, const char *name, const char *word)
{
	FILE *file = fopen("/proc/self/smaps", "r");
	unsigned long from = 0, to = 0, start, end;
	bool found = false;
	char line[512];

	assert_non_null(file);
	while (!found && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2) {
			from = start;
			to = end;
		} else if ((uintptr_t)address >= from && (uintptr_t)address < to) {
			found = !strncmp(line, name, strlen(name)) && strstr(line, word);
		}
	}
	fclose(file);
	return found;
}

static void test_a_heap_has_huge_pages_if_it_asks(void **state)
{
	const size_t bytes = 8 << 20;
	struct gcheap_config config = GCHEAP_CONFIG_INIT;
	struct gcheap_thread *thread;
	struct gcheap *heap;
	unsigned char *object;
	int error;

	(void)state;
	config.flags |= GCHEAP_HUGE_PAGES;
	error = gcheap_open(&config, &heap);
	if (error == -EOPNOTSUPP)
		skip_because("no huge pages on this machine");
	assert_int_equal(error, 0);
	assert_int_equal(gcheap_thread_attach(heap, &thread), 0);
	object = gcheap_new_leaf(thread, bytes);
	assert_non_null(object);
	memset(object, 1, bytes);
	/* What the local backend gets is for the system to say. */
	if (gcheap_backend(heap) == GCHEAP_BACKEND_LOCAL)
		assert_true(smaps_has(object, "VmFlags:", " hg"));
	else
		assert_false(smaps_has(object, "FilePmdMapped:", " 0 kB"));
	gcheap_collect(thread);
	gcheap_close(heap);
}

/* ---- backends ---------------------------------------------------------------- */

static void test_the_local_backend_is_there_on_any_machine(void **state)
{
	struct gcheap_config config = GCHEAP_CONFIG_INIT;
	struct gcheap *heap;

	(void)state;
	variable_set("GCHEAP_BACKEND", "local");
	config.backend = GCHEAP_BACKEND_DEVICE;
	assert_int_equal(gcheap_open(&config, &heap), 0);
	assert_int_equal(gcheap_backend(heap), GCHEAP_BACKEND_LOCAL);
	assert_int_equal(gcheap_fd(heap), -1);
	gcheap_close(heap);
}

static void test_auto_takes_the_device_where_it_is(void **state)
{
	struct gcheap *heap;

	(void)state;
	variable_set("GCHEAP_BACKEND", "auto");
	assert_int_equal(gcheap_open(NULL, &heap), 0);
	assert_int_equal(gcheap_backend(heap),
			 device_is_there() ? GCHEAP_BACKEND_DEVICE : GCHEAP_BACKEND_LOCAL);
	assert_int_equal(gcheap_fd(heap) >= 0, device_is_there());
	gcheap_close(heap);
}

static void test_err_device_without_the_module(void **state)
{
	(void)state;
	if (!access("/dev/gcheap", F_OK))
		skip_because("there is a device");
	variable_set("GCHEAP_BACKEND", "device");
	refused(NULL, ENOENT, "load the module");
}

static void test_err_device_without_permission(void **state)
{
	int status;
	pid_t child;

	(void)state;
	if (!device_is_there())
		skip_because("there is no device");
	if (geteuid())
		skip_because("needs root, to become somebody else");
	variable_set("GCHEAP_BACKEND", "device");
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		struct gcheap *heap;

		if (setgid(65534) || setuid(65534))
			_exit(2);
		_exit(gcheap_open(NULL, &heap) != -EACCES ||
		      !strstr(gcheap_error(), "join the group gcheap"));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void test_err_no_address_space(void **state)
{
	const struct rlimit limit = { 1ul << 30, 1ul << 30 };
	int status;
	pid_t child;

	(void)state;
	if (UNDER_ASAN)
		skip_because("the sanitizer's own address space is over any limit");
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		struct gcheap_config config = fixture_config();
		struct gcheap *heap;

		setrlimit(RLIMIT_AS, &limit);
		config.reserve_bytes = 64ull << 30;
		_exit(gcheap_open(&config, &heap) != -ENOMEM ||
		      !strstr(gcheap_error(), "ulimit -v"));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void test_open_and_close_leave_nothing_behind(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < 50; i++) {
		struct fixture f;

		fixture_open(&f);
		assert_non_null(gcheap_new_leaf(f.thread, 100));
		assert_non_null(gcheap_new_leaf(f.thread, 1000000));
		fixture_close(&f);
	}
}

/* ---- what a heap tells ------------------------------------------------------- */

static void test_err_calls_with_a_null_heap(void **state)
{
	struct gcheap_type_desc desc = { .name = "t", .size = 8, .align = 8 };
	struct gcheap_thread *thread;
	gcheap_type type;
	void *slot;

	(void)state;
	assert_refused(gcheap_thread_attach(NULL, &thread), EINVAL, "heap is NULL");
	assert_refused(gcheap_type_register(NULL, &desc, &type), EINVAL, "heap is NULL");
	assert_refused(gcheap_root_add(NULL, &slot, 1), EINVAL, "heap is NULL");
	assert_refused(gcheap_root_add_typed(NULL, &slot, 1, 1), EINVAL, "heap is NULL");
	assert_refused(gcheap_root_add_ambiguous(NULL, &slot, 8), EINVAL, "heap is NULL");
	assert_refused(gcheap_root_remove(NULL, &slot), EINVAL, "heap is NULL");
	assert_int_equal(gcheap_fd(NULL), -1);
}

static void test_the_version_has_three_numbers(void **state)
{
	unsigned int major, minor, patch;

	(void)state;
	assert_int_equal(sscanf(gcheap_version(), "%u.%u.%u", &major, &minor, &patch), 3);
}

static void *error_elsewhere(void *arg)
{
	(void)arg;
	return (void *)(intptr_t)!strstr(gcheap_error(), "heap is NULL");
}

static void test_errors_are_each_threads_own(void **state)
{
	pthread_t other;
	void *untouched;

	(void)state;
	assert_refused(gcheap_open(NULL, NULL), EINVAL, "heap is NULL");
	assert_int_equal(pthread_create(&other, NULL, error_elsewhere, NULL), 0);
	pthread_join(other, &untouched);
	assert_true(untouched);
	assert_error_says("heap is NULL");
}

/* ---- fork -------------------------------------------------------------------- */

#define CHILD_MUST(condition)							\
	do {									\
		if (!(condition)) {						\
			fprintf(stderr, "# in the child: %s: %s\n", #condition,	\
				gcheap_error());				\
			return 1;						\
		}								\
	} while (0)

static bool said_no(bool refused_call)
{
	return refused_call && strstr(gcheap_error(), "after fork the child must open a heap");
}

static bool new_said_no(const void *object)
{
	return said_no(!object && errno == EPERM);
}

/* Everything that a child may call with its parent's heap. */
static int child_uses_heap(struct fixture *f, gcheap_type type)
{
	struct gcheap_type_desc desc = { .name = "t", .size = 8, .align = 8 };
	struct gcheap_thread *thread;
	gcheap_type other;
	void *slot = NULL;

	CHILD_MUST(new_said_no(gcheap_new(f->thread, type)));
	CHILD_MUST(new_said_no(gcheap_new(f->thread, type + 1)));
	CHILD_MUST(new_said_no(gcheap_new_array(f->thread, type, 3)));
	CHILD_MUST(new_said_no(gcheap_new_leaf(f->thread, 64)));
	CHILD_MUST(new_said_no(gcheap_new_leaf(f->thread, 100000)));
	CHILD_MUST(said_no(gcheap_collect(f->thread) == -EPERM));
	CHILD_MUST(said_no(gcheap_type_register(f->heap, &desc, &other) == -EPERM));
	CHILD_MUST(said_no(gcheap_root_add(f->heap, &slot, 1) == -EPERM));
	CHILD_MUST(said_no(gcheap_root_remove(f->heap, &slot) == -EPERM));
	CHILD_MUST(said_no(gcheap_thread_attach(f->heap, &thread) == -EPERM));
	return 0;
}

static int child_opens_its_own(void)
{
	struct gcheap_thread *thread;
	struct gcheap *heap;

	CHILD_MUST(!gcheap_open(NULL, &heap));
	CHILD_MUST(!gcheap_thread_attach(heap, &thread));
	CHILD_MUST(gcheap_new_leaf(thread, 64));
	CHILD_MUST(!gcheap_collect(thread));
	gcheap_thread_detach(thread);
	gcheap_close(heap);
	return 0;
}

static int child_main(struct fixture *f, gcheap_type type)
{
	if (child_uses_heap(f, type))
		return 1;
	gcheap_thread_detach(f->thread);
	gcheap_close(f->heap);
	return child_opens_its_own();
}

static void test_a_child_of_fork_is_refused_and_the_parent_goes_on(void **state)
{
	struct fixture f;
	gcheap_type type;
	uint64_t *object;
	int status, i;
	pid_t child;

	(void)state;
	fixture_open(&f);
	type = type_with_mask(f.heap, 64, 8, 1);
	/* Both caches have free slots in their windows now. */
	object = gcheap_new(f.thread, type);
	assert_non_null(object);
	assert_non_null(gcheap_new_leaf(f.thread, 64));
	object[7] = 77;
	child = fork();
	assert_true(child >= 0);
	if (!child)
		_exit(child_main(&f, type));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(object[7], 77);
	for (i = 0; i < 1000; i++)
		assert_non_null(gcheap_new(f.thread, type));
	assert_int_equal(gcheap_collect(f.thread), 0);
	fixture_close(&f);
}

/* ---- the environment, again ----------------------------------------------------- */

static void test_the_environment_sets_the_reserve(void **state)
{
	static const char *const wrong[] = { "x", "100", "1M", "100M", "65537M", "2048G", "64MB" };
	struct gcheap *heap;
	size_t i;

	(void)state;
	variable_set("GCHEAP_RESERVE", NULL);
	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		setenv("GCHEAP_RESERVE", wrong[i], 1);
		refused(NULL, EINVAL, "GCHEAP_RESERVE=");
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
	opens(NULL);
	variable_set("GCHEAP_RESERVE", "0");
	opens(NULL);
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

static void test_auto_leaves_no_error_where_there_is_no_device(void **state)
{
	struct gcheap *heap;

	(void)state;
	assert_refused(gcheap_open(NULL, NULL), EINVAL, "heap is NULL");
	variable_set("GCHEAP_BACKEND", "auto");
	assert_int_equal(gcheap_open(NULL, &heap), 0);
	gcheap_close(heap);
	/* It is still the last call that failed. */
	assert_error_says("heap is NULL");
}

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
		execl("/proc/self/exe", "test_open", "open-two", (char *)NULL);
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
	/* With those that there are. */
	assert_non_null(strstr(text, "MEMLIMIT"));
	assert_non_null(strstr(text, "GCHEAP_ODD?NAME"));
	assert_null(strstr(text, "EMPTY"));
	assert_null(strstr(text, "GCHEAP_CACHE"));
	assert_null(strstr(text, "called GCHEAP_RESERVE"));
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
		cmocka_unit_test(test_a_heap_opens_without_a_configuration),
		cmocka_unit_test(test_heaps_are_independent),
		cmocka_unit_test(test_close_takes_null_and_an_attached_thread),
		cmocka_unit_test(test_err_open_without_a_place_for_the_heap),
		cmocka_unit_test(test_err_config_size),
		cmocka_unit_test(test_a_longer_config_opens_when_its_tail_is_zero),
		cmocka_unit_test(test_err_flags_not_supported_are_named),
		cmocka_unit_test_teardown(test_err_layout, variables_restore),
		cmocka_unit_test_teardown(test_err_backend, variables_restore),
		cmocka_unit_test(test_err_reserve),
		cmocka_unit_test_teardown(test_err_markers_and_percent, variables_restore),
		cmocka_unit_test_teardown(test_err_environment_is_named_with_its_value,
					  variables_restore),
		cmocka_unit_test_teardown(test_environment_values_that_are_taken,
					  variables_restore),
		cmocka_unit_test_teardown(test_environment_overrides_the_configuration,
					  variables_restore),
		cmocka_unit_test(test_a_heap_has_huge_pages_if_it_asks),
		cmocka_unit_test_teardown(test_the_local_backend_is_there_on_any_machine,
					  variables_restore),
		cmocka_unit_test_teardown(test_auto_takes_the_device_where_it_is,
					  variables_restore),
		cmocka_unit_test_teardown(test_err_device_without_the_module, variables_restore),
		cmocka_unit_test_teardown(test_err_device_without_permission, variables_restore),
		cmocka_unit_test(test_err_no_address_space),
		cmocka_unit_test(test_open_and_close_leave_nothing_behind),
		cmocka_unit_test(test_err_calls_with_a_null_heap),
		cmocka_unit_test(test_the_version_has_three_numbers),
		cmocka_unit_test(test_errors_are_each_threads_own),
		cmocka_unit_test(test_a_child_of_fork_is_refused_and_the_parent_goes_on),
		cmocka_unit_test_teardown(test_the_environment_sets_the_reserve, variables_restore),
		cmocka_unit_test_teardown(test_an_error_is_one_line_whatever_the_environment_holds,
					  variables_restore),
		cmocka_unit_test_teardown(test_auto_leaves_no_error_where_there_is_no_device,
					  variables_restore),
		cmocka_unit_test_teardown(test_unknown_settings_are_named_once, variables_restore),
		cmocka_unit_test_teardown(test_known_settings_alone_print_nothing,
					  variables_restore),
	};

	if (argc > 1 && !strcmp(argv[1], "open-two"))
		return open_two();
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("open", tests, NULL, NULL);
}
