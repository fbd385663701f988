// SPDX-License-Identifier: MIT
/*
 * Fresh memory of the local backend: made in steps, and not for what may never be touched.
 */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <unistd.h>

#include "library_test.h"

/* Whether the page of an address has memory. */
static bool has_memory(const void *at)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	unsigned char is_there = 0;

	assert_int_equal(mincore((void *)((uintptr_t)at & ~(page - 1)), page, &is_there), 0);
	return is_there & 1;
}

static size_t resident(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	unsigned long pages = 0;

	if (!file || fscanf(file, "%*u %lu", &pages) != 1)
		fail_msg("no /proc/self/statm");
	fclose(file);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void open_local(struct fixture *f)
{
	struct gcheap_config config = fixture_config();

	config.backend = GCHEAP_BACKEND_LOCAL;
	config.gc_percent = -1;
	fixture_open_with(f, &config);
	if (gcheap_backend(f->heap) != GCHEAP_BACKEND_LOCAL) {
		fixture_close(f);
		skip_because("the environment wants the device");
	}
}

static void test_fresh_memory_is_made_in_steps(void **state)
{
	size_t bytes = (size_t)64 << 20, i;
	struct fixture f;
	size_t without = 0;

	(void)state;
	open_local(&f);
	for (i = 0; i < bytes / 4096; i++) {
		char *leaf = gcheap_new_leaf_uninit(f.thread, 4096);

		without += !has_memory(leaf);
		*leaf = 1;
	}
	if (without)
		fail_msg("%zu of %zu pages without memory", without, i);
	fixture_close(&f);
}

static void test_a_small_heap_has_little_memory(void **state)
{
	struct fixture f;
	size_t before, i;

	(void)state;
	open_local(&f);
	before = resident();
	for (i = 0; i < 1000; i++)
		memset(gcheap_new_leaf(f.thread, 1024), 1, 1024);
	/* A megabyte of objects, a request of 256 KiB at most in advance, and tables. */
	assert_true(resident() - before < (UNDER_ASAN ? 8 : 2) << 20);
	fixture_close(&f);
}

static void test_large_objects_that_are_not_touched_have_none(void **state)
{
	struct fixture f;
	size_t before;

	(void)state;
	open_local(&f);
	before = resident();
	assert_non_null(gcheap_new_leaf(f.thread, 256 << 20));
	assert_non_null(gcheap_new_leaf(f.thread, 2 << 20));
	assert_true(resident() - before < 16 << 20);
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fresh_memory_is_made_in_steps),
		cmocka_unit_test(test_a_small_heap_has_little_memory),
		cmocka_unit_test(test_large_objects_that_are_not_touched_have_none),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
