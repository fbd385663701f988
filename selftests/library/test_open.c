// SPDX-License-Identifier: MIT
/*
 * Opening and closing heaps: the configuration, the backends, what is refused and what
 * the message says. What the environment says is in test_environment.c.
 */
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "library_test.h"

static unsigned int files_open(void)
{
	DIR *folder = opendir("/proc/self/fd");
	unsigned int files = 0;

	assert_non_null(folder);
	while (readdir(folder))
		files++;
	closedir(folder);
	return files;
}

static bool device_is_there(void)
{
	return !access("/dev/gcheap", R_OK | W_OK);
}

/* ---- configuration ----------------------------------------------------------- */

static void test_a_heap_opens_without_a_configuration(void **state)
{
	(void)state;
	assert_opens(NULL);
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

/* ---- cancellation -------------------------------------------------------------- */

/* Opening and closing files are points where a thread can be cancelled. */
static void *lives_cancelled(void *arg)
{
	const struct gcheap_config config = fixture_config();
	struct gcheap_thread *thread;
	bool *lived = arg;
	struct gcheap *heap;

	if (pthread_cancel(pthread_self()) || gcheap_open(&config, &heap))
		return NULL;
	*lived = !gcheap_thread_attach(heap, &thread) && gcheap_new_leaf(thread, 64) &&
		 !gcheap_collect(thread);
	gcheap_close(heap);
	pthread_testcancel();
	return NULL;
}

static void test_a_thread_that_is_cancelled_opens_and_closes(void **state)
{
	unsigned int files = files_open();
	bool lived = false;
	pthread_t thread;
	void *result;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, lives_cancelled, &lived), 0);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_ptr_equal(result, PTHREAD_CANCELED);
	assert_true(lived);
	assert_int_equal(files_open(), files);
}

/* ---- what is refused ------------------------------------------------------------- */

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
	assert_open_refused(&config, EINVAL, "GCHEAP_CONFIG_INIT");
	config.size = SIZE_MAX;
	assert_open_refused(&config, EINVAL, "GCHEAP_CONFIG_INIT");
	config.size = 4097;
	assert_open_refused(&config, EINVAL, "GCHEAP_CONFIG_INIT");
	config.size = offsetof(struct gcheap_config, stop_signal) - 1;
	assert_open_refused(&config, EINVAL, "GCHEAP_CONFIG_INIT");
	/* A program of the first release has no more. */
	config.size++;
	assert_opens(&config);
}

static void test_a_longer_config_opens_when_its_tail_is_zero(void **state)
{
	struct {
		struct gcheap_config config;
		uint64_t tail;
	} longer = { .config = GCHEAP_CONFIG_INIT };

	(void)state;
	longer.config.size = sizeof(longer);
	assert_opens(&longer.config);
	longer.tail = 1;
	assert_open_refused(&longer.config, E2BIG, "newer");
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
		assert_open_refused(&config, EOPNOTSUPP, flags[i].name);
	}
}

static void test_err_layout(void **state)
{
	struct gcheap_config config = GCHEAP_CONFIG_INIT;

	(void)state;
	variable_set("GCHEAP_LAYOUT", NULL);
	config.layout = (enum gcheap_layout)4;
	assert_open_refused(&config, EINVAL, "no layout");
	config.layout = (enum gcheap_layout)-1;
	assert_open_refused(&config, EINVAL, "no layout");
}

static void test_err_backend(void **state)
{
	struct gcheap_config config = GCHEAP_CONFIG_INIT;

	(void)state;
	variable_set("GCHEAP_BACKEND", NULL);
	config.backend = (enum gcheap_backend)3;
	assert_open_refused(&config, EINVAL, "no backend");
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
		assert_open_refused(&config, EINVAL, "reserve_bytes");
	}
	config.reserve_bytes = 64ull << 20;
	assert_opens(&config);
}

static void test_err_markers_and_percent(void **state)
{
	struct gcheap_config config = GCHEAP_CONFIG_INIT;

	(void)state;
	variable_set("GCHEAP_GC", NULL);
	variable_set("GCHEAP_MARKERS", NULL);
	config.gc_percent = -2;
	assert_open_refused(&config, EINVAL, "gc_percent is -2");
	config.gc_percent = -1;
	assert_opens(&config);
	config.markers = 4097;
	assert_open_refused(&config, EINVAL, "markers is 4097");
	config.markers = 2;
	assert_opens(&config);
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

static void test_err_device_without_the_module(void **state)
{
	(void)state;
	if (!access("/dev/gcheap", F_OK))
		skip_because("there is a device");
	variable_set("GCHEAP_BACKEND", "device");
	assert_open_refused(NULL, ENOENT, "load the module");
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_heap_opens_without_a_configuration),
		cmocka_unit_test(test_heaps_are_independent),
		cmocka_unit_test(test_close_takes_null_and_an_attached_thread),
		cmocka_unit_test(test_a_thread_that_is_cancelled_opens_and_closes),
		cmocka_unit_test(test_err_open_without_a_place_for_the_heap),
		cmocka_unit_test(test_err_config_size),
		cmocka_unit_test(test_a_longer_config_opens_when_its_tail_is_zero),
		cmocka_unit_test(test_err_flags_not_supported_are_named),
		cmocka_unit_test_teardown(test_err_layout, variables_restore),
		cmocka_unit_test_teardown(test_err_backend, variables_restore),
		cmocka_unit_test(test_err_reserve),
		cmocka_unit_test_teardown(test_err_markers_and_percent, variables_restore),
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
		cmocka_unit_test_teardown(test_auto_leaves_no_error_where_there_is_no_device,
					  variables_restore),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("open", tests, NULL, NULL);
}
