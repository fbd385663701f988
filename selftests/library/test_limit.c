// SPDX-License-Identifier: MIT
/*
 * The memory limit bounds resident memory: what is free goes back when the heap has more
 * than that.
 */
#include <stdio.h>
#include <unistd.h>

#include "library_test.h"

#define MIB		((uint64_t)1 << 20)
#define LIMIT		(16 * MIB)
#define LARGE		32768u
#define OBJECTS		(64 * MIB / LARGE)

static void *roots[OBJECTS];

static void fixture_open_limit(struct fixture *f, uint64_t limit, enum gcheap_layout layout)
{
	struct gcheap_config config = fixture_config();

	config.layout = layout;
	config.memory_limit = limit;
	fixture_open_with(f, &config);
	memset(roots, 0, sizeof(roots));
	assert_int_equal(gcheap_root_add(f->heap, roots, OBJECTS), 0);
}

static uint64_t resident(struct fixture *f)
{
	return stats_of(f->heap).resident_bytes;
}

/* What the system says that this process has, whatever the heap counts. */
static uint64_t process_resident(void)
{
	unsigned long all, pages;
	FILE *file = fopen("/proc/self/statm", "r");

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%lu %lu", &all, &pages), 2);
	fclose(file);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void fill(struct fixture *f, size_t bytes, uint64_t total)
{
	size_t i;

	for (i = 0; i < OBJECTS && i * bytes < total; i++) {
		roots[i] = gcheap_new_leaf(f->thread, bytes);
		assert_non_null(roots[i]);
		memset(roots[i], 1, bytes);
	}
}

static void garbage(struct fixture *f, size_t bytes, uint64_t total, uint64_t most)
{
	size_t i;

	for (i = 0; i * bytes < total; i++) {
		void *object = gcheap_new_leaf(f->thread, bytes);

		assert_non_null(object);
		memset(object, 1, bytes);
		if (i % 64 == 0 && resident(f) > most)
			fail_msg("%zu objects of %zu bytes: %llu KiB are resident", i, bytes,
				 (unsigned long long)resident(f) >> 10);
	}
}

static void test_a_cycle_gives_back_what_is_above_the_limit(void **state)
{
	uint64_t before;
	struct fixture f;
	size_t l;

	(void)state;
	in_each_layout(l) {
		fixture_open_limit(&f, LIMIT, test_layouts[l].layout);
		before = process_resident();
		/* More is alive than may be: the limit is soft, and the heap goes on. */
		fill(&f, LARGE, 64 * MIB);
		assert_true(resident(&f) >= 64 * MIB);
		memset(roots, 0, sizeof(roots));
		assert_int_equal(live_after_collect(&f), 0);
		assert_true(resident(&f) <= LIMIT);
		/* With room for tables, and for AddressSanitizer's. */
		if (process_resident() > before + LIMIT + 20 * MIB)
			fail_msg("%llu KiB are resident, %llu before",
				 (unsigned long long)process_resident() >> 10,
				 (unsigned long long)before >> 10);
		garbage(&f, 1000, 48 * MIB, LIMIT);
		garbage(&f, 40000, 48 * MIB, LIMIT);
		assert_int_equal(gcheap_verify(f.heap), 0);
		fixture_close(&f);
	}
}

static void test_what_is_given_back_comes_back_as_zeros(void **state)
{
	struct fixture f;
	size_t i, b;

	(void)state;
	fixture_open_limit(&f, LIMIT, GCHEAP_LAYOUT_SPAN);
	for (i = 0; i < 3; i++) {
		fill(&f, LARGE, 64 * MIB);
		memset(roots, 0, sizeof(roots));
		assert_int_equal(live_after_collect(&f), 0);
		for (b = 0; b < OBJECTS; b++) {
			uint64_t *words = gcheap_new_leaf(f.thread, LARGE);
			size_t w;

			assert_non_null(words);
			for (w = 0; w < LARGE / 8; w++)
				assert_int_equal(words[w], 0);
		}
	}
	fixture_close(&f);
}

/* As long as the heap is smaller than its limit, nothing goes to and fro. */
static void test_within_the_limit_memory_is_kept(void **state)
{
	struct fixture f;
	uint64_t before;

	(void)state;
	fixture_open_limit(&f, 4 * LIMIT, GCHEAP_LAYOUT_SPAN);
	fill(&f, LARGE, LIMIT);
	memset(roots, 0, sizeof(roots));
	assert_int_equal(live_after_collect(&f), 0);
	before = resident(&f);
	assert_true(before >= LIMIT);
	fill(&f, LARGE, LIMIT);
	assert_true(resident(&f) >= before);
	memset(roots, 0, sizeof(roots));
	assert_int_equal(live_after_collect(&f), 0);
	assert_true(resident(&f) >= before);
	fixture_close(&f);
}

/* Above its limit for good, a heap asks no more often than it grows or collects. */
static void test_over_the_limit_there_is_no_request_an_object(void **state)
{
	struct gcheap_stats before, after;
	struct fixture f;

	(void)state;
	fixture_open_limit(&f, LIMIT, GCHEAP_LAYOUT_SPAN);
	fill(&f, LARGE, 32 * MIB);
	before = stats_of(f.heap);
	garbage(&f, 64, 16 * MIB, 40 * MIB);
	after = stats_of(f.heap);
	/* A quarter of a million objects; a refill is 256 KiB, a cycle each MiB. */
	if (after.requests - before.requests > 4096)
		fail_msg("%llu requests", (unsigned long long)(after.requests - before.requests));
	fixture_close(&f);
}

static void test_without_a_limit_memory_is_kept(void **state)
{
	struct fixture f;

	(void)state;
	fixture_open_limit(&f, 0, GCHEAP_LAYOUT_SPAN);
	fill(&f, LARGE, 64 * MIB);
	memset(roots, 0, sizeof(roots));
	assert_int_equal(live_after_collect(&f), 0);
	if (gcheap_backend(f.heap) == GCHEAP_BACKEND_LOCAL)
		assert_true(resident(&f) >= 64 * MIB);
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_cycle_gives_back_what_is_above_the_limit),
		cmocka_unit_test(test_what_is_given_back_comes_back_as_zeros),
		cmocka_unit_test(test_within_the_limit_memory_is_kept),
		cmocka_unit_test(test_over_the_limit_there_is_no_request_an_object),
		cmocka_unit_test(test_without_a_limit_memory_is_kept),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("limit", tests, NULL, NULL);
}
