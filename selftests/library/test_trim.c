// SPDX-License-Identifier: MIT
/*
 * gcheap_trim(): free memory goes back to the system, and nothing else does.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "library_test.h"

#define MIB	((size_t)1 << 20)

static int setup(void **state)
{
	variable_set("GCHEAP_GC", "off");
	variable_set("GCHEAP_MEMLIMIT", NULL);
	return fixture_setup(state);
}

static int teardown(void **state)
{
	fixture_teardown(state);
	return variables_restore(state);
}

/* What the system says that this process has in memory. */
static size_t rss_bytes(void)
{
	FILE *file = fopen("/proc/self/smaps_rollup", "r");
	size_t kib = 0;
	char line[256];

	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "Rss: %zu kB", &kib) == 1)
			break;
	}
	fclose(file);
	assert_int_not_equal(kib, 0);
	return kib * 1024;
}

static uint64_t resident_bytes(struct fixture *f)
{
	return stats_of(f->heap).resident_bytes;
}

/* Dead objects of @bytes each, written to their last byte. */
static void drop(struct fixture *f, size_t count, size_t bytes)
{
	while (count--) {
		char *object = gcheap_new_leaf(f->thread, bytes);

		assert_non_null(object);
		memset(object, 0xa5, bytes);
	}
}

static void test_err_trim_without_a_heap(void **state)
{
	(void)state;
	assert_refused(gcheap_trim(NULL), EINVAL, "heap is NULL");
}

static void test_an_empty_heap_can_be_trimmed(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(gcheap_trim(f->heap), 0);
	assert_int_equal(gcheap_trim(f->heap), 0);
}

static void test_memory_of_dead_objects_goes_back(void **state)
{
	static const size_t sizes[] = { 64, 2048, 100000, MIB };
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		uint64_t resident;
		size_t rss;

		drop(f, 32 * MIB / sizes[i], sizes[i]);
		resident = resident_bytes(f);
		assert_in_range(resident, 32 * MIB, 64 * MIB);
		assert_int_equal(live_after_collect(f), 0);
		rss = rss_bytes();
		assert_int_equal(gcheap_trim(f->heap), 0);
		assert_in_range(resident_bytes(f), 0, MIB);
		assert_in_range(rss_bytes() + 30 * MIB, 0, rss);
		assert_int_equal(gcheap_verify(f->heap), 0);
	}
}

static void test_living_objects_keep_what_is_in_them(void **state)
{
	enum { OBJECTS = 2000 };
	struct fixture *f = *state;
	static char *objects[OBJECTS];

	assert_int_equal(gcheap_root_add(f->heap, objects, OBJECTS), 0);
	for (size_t i = 0; i < OBJECTS; i++) {
		size_t bytes = 16 + i * i % 20000;

		drop(f, 3, bytes);
		objects[i] = gcheap_new_leaf(f->thread, bytes);
		assert_non_null(objects[i]);
		memset(objects[i], (int)i, bytes);
	}
	assert_int_equal(live_after_collect(f), OBJECTS);
	assert_int_equal(gcheap_trim(f->heap), 0);
	for (size_t i = 0; i < OBJECTS; i++) {
		size_t bytes = 16 + i * i % 20000;

		for (size_t at = 0; at < bytes; at++)
			assert_int_equal(objects[i][at], (char)i);
	}
	assert_int_equal(gcheap_root_remove(f->heap, objects), 0);
}

static void test_new_objects_after_a_trim_are_zero(void **state)
{
	static const size_t sizes[] = { 48, 8192, 300000 };
	struct fixture *f = *state;

	for (size_t round = 0; round < 3; round++) {
		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
			drop(f, 4 * MIB / sizes[i], sizes[i]);
			assert_int_equal(live_after_collect(f), 0);
			assert_int_equal(gcheap_trim(f->heap), 0);
			for (size_t n = 0; n < 4 * MIB / sizes[i]; n++) {
				const char *object = gcheap_new_leaf(f->thread, sizes[i]);

				assert_non_null(object);
				for (size_t at = 0; at < sizes[i]; at++)
					assert_int_equal(object[at], 0);
			}
		}
	}
	assert_int_equal(gcheap_verify(f->heap), 0);
}

/* A spike of two arenas leaves no more tables than descriptors; and the next one works. */
static void test_tables_of_a_spike_go_back(void **state)
{
	const size_t objects = 160 * MIB / 2048;
	struct fixture *f = *state;
	uint64_t before, most = 0;

	drop(f, 1, 64);
	before = stats_of(f->heap).metadata_bytes;
	for (int round = 0; round < 2; round++) {
		uint64_t top;

		drop(f, objects, 2048);
		assert_int_equal(live_after_collect(f), 0);
		top = stats_of(f->heap).metadata_bytes;
		/* What is made again is what there was. */
		if (round)
			assert_in_range(top, most - 64 * 1024, most + 64 * 1024);
		most = top;
		assert_in_range(most - before, 160 * MIB / 64, 160 * MIB / 10);
		assert_int_equal(gcheap_trim(f->heap), 0);
		/* Two words of PAGES and SPANS for a page of 8 KiB: 40 bytes. */
		assert_in_range(stats_of(f->heap).metadata_bytes, before,
				before + 192 * MIB / 8192 * 40 + MIB / 4);
		assert_int_equal(gcheap_verify(f->heap), 0);
	}
}

static const struct CMUnitTest tests[] = {
#define TEST(name)	cmocka_unit_test_setup_teardown(name, setup, teardown)
	TEST(test_err_trim_without_a_heap),
	TEST(test_an_empty_heap_can_be_trimmed),
	TEST(test_memory_of_dead_objects_goes_back),
	TEST(test_living_objects_keep_what_is_in_them),
	TEST(test_new_objects_after_a_trim_are_zero),
	TEST(test_tables_of_a_spike_go_back),
};

int main(void)
{
	return run_in_all_layouts("trim", tests);
}
