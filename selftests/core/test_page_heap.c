// SPDX-License-Identifier: MIT
/*
 * The page-run allocator.
 */
#include "core_test.h"
#include "page_heap.h"
#include "page_tree.h"

#define ARENA		ARENA_PAGES
#define RESERVE_MAX	((u32)(GCHEAP_RESERVE_MAX >> GCHEAP_PAGE_SHIFT))

static struct page_heap ph;

static int setup(void **state)
{
	(void)state;
	port_test_reset();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	page_heap_destroy(&ph);
	return port_test.blocks ? -1 : 0;
}

/* An allocator with @npages pages, of which all but page 0 are free. */
static void make(u32 reserve_pages, u32 npages)
{
	assert_int_equal(page_heap_init(&ph, reserve_pages, 0), 0);
	assert_int_equal(page_heap_grow(&ph, npages), 0);
	assert_int_equal(ph.end, npages);
	assert_int_equal(ph.free_pages, npages - 1);
}

static u32 take(u32 npages)
{
	bool used_before;

	return page_heap_alloc(&ph, npages, &used_before);
}

static void take_all(void)
{
	while (ph.free_pages)
		assert_int_not_equal(take(1), 0);
}

/* ---- cases ------------------------------------------------------------------ */

static void test_an_allocator_without_pages_gives_none(void **state)
{
	(void)state;
	assert_int_equal(page_heap_init(&ph, ARENA, 0), 0);
	assert_int_equal(take(1), 0);
	assert_int_equal(page_tree_tail(&ph), 0);
	assert_false(page_heap_is_free(&ph, 0));
	assert_false(page_heap_is_free(&ph, ARENA - 1));
	assert_false(page_heap_is_free(&ph, U32_MAX));
}

static void test_page_0_is_never_handed_out(void **state)
{
	(void)state;
	make(ARENA, 1);
	assert_int_equal(take(1), 0);
	assert_false(page_heap_is_free(&ph, 0));

	assert_int_equal(page_heap_grow(&ph, ARENA - 1), 0);
	assert_int_equal(take(ARENA), 0);
	assert_int_equal(take(ARENA - 1), 1);
	assert_int_equal(take(1), 0);
	assert_int_equal(ph.free_pages, 0);
}

static void test_the_lowest_run_that_fits_is_taken(void **state)
{
	(void)state;
	make(ARENA, ARENA);
	take_all();
	page_heap_free(&ph, 7000, 40);
	page_heap_free(&ph, 3000, 20);
	page_heap_free(&ph, 1000, 10);

	assert_int_equal(take(11), 3000);
	assert_int_equal(take(10), 1000);
	assert_int_equal(take(10), 7000);
	assert_int_equal(take(10), 7010);
	assert_int_equal(take(9), 3011);
	assert_int_equal(take(21), 0);
	assert_int_equal(take(20), 7020);
	assert_int_equal(ph.free_pages, 0);
}

static void test_a_run_that_ends_in_a_range_comes_before_one_inside_it(void **state)
{
	u32 word, at = 0;

	(void)state;
	make(ARENA, ARENA);
	take_all();
	/* The same in every word, leaf and between: 5 across the bound, 5 after it. */
	for (word = 64; word < ARENA; word += 64) {
		page_heap_free(&ph, word - 2, 5);
		page_heap_free(&ph, word + 10, 5);
	}
	while ((word = take(5))) {
		assert_in_range(word, at + 1, ARENA);
		at = word;
	}
	assert_int_equal(ph.free_pages, 0);
}

static void test_a_hole_is_found_wherever_it_is_and_only_when_it_fits(void **state)
{
	static const u32 lengths[] = {
		1, 2, 3, 31, 32, 33, 63, 64, 65, 127, 128, 129, 1023, 1024, 1025, 2047, 2048, 8191,
		8192, 8193,
	};
	static const u32 bounds[] = { 64, 1024, 2048, ARENA, 2 * ARENA };

	(void)state;
	make(4 * ARENA, 4 * ARENA);
	take_all();
	for (u32 b = 0; b < ARRAY_SIZE(bounds); b++) {
		for (u32 i = 0; i < ARRAY_SIZE(lengths); i++) {
			u32 length = lengths[i];

			for (u32 before = 0; before <= 66 && before < bounds[b]; before++) {
				u32 page = bounds[b] - before;

				page_heap_free(&ph, page, length);
				assert_int_equal(take(length + 1), 0);
				assert_int_equal(take(length), page);
				assert_int_equal(take(1), 0);
			}
		}
	}
}

static void test_pages_come_back_in_other_pieces_than_they_went(void **state)
{
	u32 page;

	(void)state;
	make(2 * ARENA, 2 * ARENA);
	for (page = 1; page < 2 * ARENA; page++)
		assert_int_equal(take(1), page);
	page_heap_free(&ph, 1, 2 * ARENA - 1);
	assert_int_equal(take(2 * ARENA - 1), 1);
	for (page = 2; page < 2 * ARENA; page += 2)
		page_heap_free(&ph, page, 1);
	assert_int_equal(take(2), 0);
	for (page = 1; page < 2 * ARENA; page += 2)
		page_heap_free(&ph, page, 1);
	assert_int_equal(take(2 * ARENA - 1), 1);
}

static void test_runs_that_follow_each_other_are_taken_at_once(void **state)
{
	bool used_before;
	u32 count;

	(void)state;
	make(2 * ARENA, 2 * ARENA);
	take_all();
	page_heap_free(&ph, 100, 2);
	page_heap_free(&ph, 200, 11);
	page_heap_free(&ph, 1000, 3000);
	page_heap_free(&ph, 2 * ARENA - 4, 4);

	/* From the lowest run that fits one, and no further. */
	assert_int_equal(page_heap_alloc_some(&ph, 3, 100, &count, &used_before), 200);
	assert_int_equal(count, 3);
	assert_true(used_before);
	assert_int_equal(page_heap_alloc_some(&ph, 2, 100, &count, &used_before), 100);
	assert_int_equal(count, 1);
	assert_int_equal(page_heap_alloc_some(&ph, 2, 1, &count, &used_before), 209);
	assert_int_equal(count, 1);
	/* No more than asked for. */
	assert_int_equal(page_heap_alloc_some(&ph, 10, 256, &count, &used_before), 1000);
	assert_int_equal(count, 256);
	assert_int_equal(page_heap_alloc_some(&ph, 10, 256, &count, &used_before), 3560);
	assert_int_equal(count, 44);
	/* Nor beyond the end. */
	assert_int_equal(page_heap_alloc_some(&ph, 1, 256, &count, &used_before), 2 * ARENA - 4);
	assert_int_equal(count, 4);
	assert_int_equal(page_heap_alloc_some(&ph, 1, 256, &count, &used_before), 0);
	assert_int_equal(ph.free_pages, 0);
}

static void test_fresh_pages_are_told_from_used_ones(void **state)
{
	bool used_before;
	u32 page;

	(void)state;
	make(3 * ARENA, 3 * ARENA);
	page = page_heap_alloc(&ph, 10, &used_before);
	assert_false(used_before);
	page_heap_free(&ph, page, 10);
	assert_int_equal(page_heap_alloc(&ph, 10, &used_before), page);
	assert_true(used_before);
	assert_int_equal(page_heap_alloc(&ph, 10, &used_before), page + 10);
	assert_false(used_before);

	/* One used page is enough, and each arena has its own limit. */
	page_heap_free(&ph, page, 20);
	assert_int_equal(page_heap_alloc(&ph, ARENA, &used_before), page);
	assert_true(used_before);
	assert_int_equal(page_heap_alloc(&ph, ARENA, &used_before), page + ARENA);
	assert_false(used_before);
	page_heap_free(&ph, 1, 1);
	assert_int_equal(page_heap_alloc(&ph, 1, &used_before), 1);
	assert_true(used_before);
	assert_int_equal(page_heap_alloc(&ph, ARENA - 1, &used_before), 2 * ARENA + 1);
	assert_false(used_before);
}

static void test_the_free_pages_at_the_end_are_counted(void **state)
{
	(void)state;
	make(2 * ARENA, 128);
	assert_int_equal(page_tree_tail(&ph), 127);
	assert_int_equal(page_heap_grow(&ph, 1), 0);
	assert_int_equal(page_tree_tail(&ph), 128);
	assert_int_equal(page_heap_grow(&ph, 2 * ARENA - 129), 0);
	assert_int_equal(page_tree_tail(&ph), 2 * ARENA - 1);
	for (u32 page = 1; page < 2 * ARENA; page++) {
		assert_int_equal(take(1), page);
		assert_int_equal(page_tree_tail(&ph), 2 * ARENA - 1 - page);
	}
	page_heap_free(&ph, 2 * ARENA - 3, 2);
	assert_int_equal(page_tree_tail(&ph), 0);
	page_heap_free(&ph, 2 * ARENA - 1, 1);
	assert_int_equal(page_tree_tail(&ph), 3);
}

static void test_the_largest_reserve_is_one_run(void **state)
{
	bool used_before;

	(void)state;
	make(RESERVE_MAX, RESERVE_MAX);
	assert_int_equal(page_tree_tail(&ph), RESERVE_MAX - 1);
	assert_int_equal(take(RESERVE_MAX), 0);
	assert_int_equal(take(RESERVE_MAX - 1), 1);
	assert_int_equal(take(1), 0);
	page_heap_free(&ph, 1, RESERVE_MAX - 1);

	/* Runs of 2^k pages: all of a summary's range, and across several. */
	for (u32 shift = 0; shift < 27; shift++) {
		u32 length = 1u << shift;
		u32 page = page_heap_alloc(&ph, length, &used_before);

		assert_int_equal(page, length);
		assert_true(used_before);
	}
	assert_int_equal(ph.free_pages, 0);
	for (u32 shift = 0; shift < 27; shift++) {
		page_heap_free(&ph, 1u << shift, 1u << shift);
		assert_int_equal(take((2u << shift) - 1), 1);
		assert_int_equal(take(1), 0);
		page_heap_free(&ph, 1, (2u << shift) - 1);
	}
	assert_int_equal(take(RESERVE_MAX - 1), 1);
}

static void test_runs_of_gibibytes_are_found_at_any_page(void **state)
{
	const u32 gibibyte = 1u << (30 - GCHEAP_PAGE_SHIFT);

	(void)state;
	make(RESERVE_MAX, 64 * gibibyte);
	assert_int_equal(take(64 * gibibyte - 1), 1);
	for (u32 i = 0; i < 200; i++) {
		u32 length = gibibyte + i * 12347;
		u32 page = 1 + i * 7919;

		page_heap_free(&ph, page, length);
		assert_int_equal(take(length + 1), 0);
		assert_int_equal(take(length), page);
	}
}

static void test_lengths_that_no_heap_has_find_nothing(void **state)
{
	(void)state;
	make(RESERVE_MAX, 5 * ARENA);
	assert_int_equal(take(0), 0);
	assert_int_equal(take(U32_MAX), 0);
	assert_int_equal(take(U32_MAX - 1), 0);
	assert_int_equal(take(1u << 31), 0);
	assert_int_equal(take(RESERVE_MAX), 0);
	assert_int_equal(ph.free_pages, 5 * ARENA - 1);
}

static void test_growth_beyond_the_reserve_is_refused(void **state)
{
	static const u32 arenas[] = { 1, 2, 3, 7, 8, 9, 63, 65, 1024, 16384 };

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(arenas); i++) {
		u32 reserve = arenas[i] * ARENA;

		make(reserve, reserve - 1);
		assert_int_equal(page_heap_grow(&ph, 2), -ENOSPC);
		assert_int_equal(page_heap_grow(&ph, U32_MAX), -ENOSPC);
		assert_int_equal(page_heap_grow(&ph, U32_MAX - reserve + 2), -ENOSPC);
		assert_int_equal(ph.end, reserve - 1);
		assert_int_equal(take(reserve - 1), 0);
		assert_int_equal(page_heap_grow(&ph, 0), 0);
		assert_int_equal(page_heap_grow(&ph, 1), 0);
		assert_int_equal(page_heap_grow(&ph, 1), -ENOSPC);
		assert_int_equal(take(reserve - 1), 1);
		page_heap_destroy(&ph);
	}
}

static void test_init_without_memory_leaves_nothing_behind(void **state)
{
	(void)state;
	for (u64 n = 1;; n++) {
		port_test_fail(n, false);
		if (!page_heap_init(&ph, RESERVE_MAX, 0))
			break;
		assert_int_equal(port_test.failures, 1);
		assert_int_equal(port_test.blocks, 0);
	}
	assert_int_equal(port_test.failures, 0);
	assert_int_not_equal(port_test.calls, 0);
}

static void test_growth_without_memory_changes_nothing(void **state)
{
	u32 length = 5 * ARENA + 3;

	(void)state;
	make(64 * ARENA, ARENA + 100);
	for (u64 n = 1;; n++) {
		u64 blocks = port_test.blocks;
		struct page_heap before = ph;

		port_test_fail(n, n % 2);
		if (!page_heap_grow(&ph, length))
			break;
		assert_int_not_equal(port_test.failures, 0);
		assert_int_equal(port_test.blocks, blocks);
		assert_memory_equal(&before, &ph, sizeof(ph));
		assert_int_equal(page_tree_tail(&ph), ARENA + 99);
		assert_false(page_heap_is_free(&ph, ARENA + 100));
		assert_int_equal(take(ARENA + 100), 0);
	}
	assert_int_equal(port_test.calls, 5);
	port_test_reset();
	assert_int_equal(take(6 * ARENA + 102), 1);
	assert_int_equal(ph.free_pages, 0);
}

static void test_a_small_heap_needs_little_memory(void **state)
{
	(void)state;
	port_test_reset();
	make(1u << (36 - GCHEAP_PAGE_SHIFT), 128);
	/* Three blocks for the reserve, one for the arena. */
	assert_int_equal(port_test.blocks, 4);
}

/* ---- a model: one byte a page ------------------------------------------------ */

enum { PAGE_TAKEN, PAGE_FREE };

struct model {
	u8 *pages;
	u32 end;
	u32 reserve;
	u32 free_pages;
	u32 *used;	/* by arena */
};

static u32 model_next(const struct model *model, u32 page, u8 what)
{
	const u8 *at = memchr(model->pages + page, what, model->end - page);

	return at ? (u32)(at - model->pages) : model->end;
}

static u32 model_find(const struct model *model, u32 npages)
{
	u32 page = 0;

	while (page < model->end) {
		u32 start = model_next(model, page, PAGE_FREE);
		u32 end = model_next(model, start, PAGE_TAKEN);

		if (end - start >= npages)
			return start;
		page = end;
	}
	return 0;
}

static void model_set(struct model *model, u32 page, u32 npages, u8 what)
{
	memset(model->pages + page, what, npages);
	model->free_pages += what == PAGE_FREE ? npages : -npages;
}

static bool model_use(struct model *model, u32 page, u32 npages)
{
	bool used_before = false;

	for (u32 i = page; i < page + npages; i++) {
		if (i % ARENA < model->used[i / ARENA])
			used_before = true;
	}
	for (u32 i = page; i < page + npages; i++)
		model->used[i / ARENA] = max_t(u32, model->used[i / ARENA], i % ARENA + 1);
	return used_before;
}

/* Up to @most runs that follow each other; 1: by the function that takes one. */
static void model_step_alloc(struct model *model, u32 npages, u32 most)
{
	u32 expected = model_find(model, npages);
	u32 runs = expected ? (model_next(model, expected, PAGE_TAKEN) - expected) / npages : 0;
	bool used_before = false;
	u32 count = 1;

	if (most == 1)
		assert_int_equal(page_heap_alloc(&ph, npages, &used_before), expected);
	else
		assert_int_equal(page_heap_alloc_some(&ph, npages, most, &count, &used_before),
				 expected);
	if (!expected)
		return;
	assert_int_equal(count, min_t(u32, runs, most));
	model_set(model, expected, npages * count, PAGE_TAKEN);
	assert_int_equal(used_before, model_use(model, expected, npages * count));
}

/* Free what is taken from a random page on, at most @npages. */
static void model_step_free(struct model *model, u32 npages)
{
	u32 page = 1 + (u32)random_below(model->end - 1);
	u32 start = model_next(model, page, PAGE_TAKEN);
	u32 end = model_next(model, start, PAGE_FREE);

	if (start == model->end)
		return;
	npages = min_t(u32, npages, end - start);
	page_heap_free(&ph, start, npages);
	model_set(model, start, npages, PAGE_FREE);
}

static void model_step_grow(struct model *model, u32 npages)
{
	bool fits = npages <= model->reserve - model->end;
	int error = page_heap_grow(&ph, npages);

	assert_int_equal(error, fits ? 0 : -ENOSPC);
	if (error)
		return;
	model->end += npages;
	model_set(model, model->end - npages, npages, PAGE_FREE);
}

static void model_compare(const struct model *model)
{
	u32 tail = 0;

	for (u32 page = 0; page < model->end; page++)
		assert_int_equal(page_heap_is_free(&ph, page), model->pages[page] == PAGE_FREE);
	while (tail < model->end && model->pages[model->end - 1 - tail] == PAGE_FREE)
		tail++;
	assert_int_equal(page_tree_tail(&ph), tail);
	assert_false(page_heap_is_free(&ph, model->end));
}

static void differential(u32 arenas, u32 steps)
{
	struct model model = {
		.reserve = arenas * ARENA,
		.pages = test_calloc(arenas * ARENA, 1),
		.used = test_calloc(arenas, sizeof(u32)),
	};
	u32 first = 1 + (u32)random_below(ARENA);

	make(model.reserve, first);
	model.end = first;
	model_set(&model, 1, first - 1, PAGE_FREE);
	for (u32 i = 0; i < steps; i++) {
		/* Times of small runs, and of some over arenas; of growth and of decay. */
		u32 longest = i / 2048 % 4 == 3 ? model.reserve / 3 : i / 2048 % 2 ? 16 : 2500;
		u32 frees = i / 8192 % 2 ? 3 : 1;
		u32 npages = (u32)random_length(longest);

		if (random_one_in(300))
			model_step_grow(&model, (u32)random_length(ARENA + 1000));
		else if (random_below(4) < frees && model.end > 1)
			model_step_free(&model, npages);
		else
			model_step_alloc(&model, npages, (u32)random_length(40));
		assert_int_equal(ph.free_pages, model.free_pages);
		assert_int_equal(ph.end, model.end);
		if (i % 1024 == 0)
			model_compare(&model);
	}
	model_compare(&model);
	page_heap_destroy(&ph);
	test_free(model.pages);
	test_free(model.used);
}

static void test_any_sequence_agrees_with_a_bitmap(void **state)
{
	(void)state;
	random_seed();
	differential(1, RANDOM_CASES(100000));
	differential(3, RANDOM_CASES(100000));
	differential(11, RANDOM_CASES(60000));
	differential(70, RANDOM_CASES(15000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name)	cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_an_allocator_without_pages_gives_none),
		TEST(test_page_0_is_never_handed_out),
		TEST(test_the_lowest_run_that_fits_is_taken),
		TEST(test_a_run_that_ends_in_a_range_comes_before_one_inside_it),
		TEST(test_a_hole_is_found_wherever_it_is_and_only_when_it_fits),
		TEST(test_pages_come_back_in_other_pieces_than_they_went),
		TEST(test_runs_that_follow_each_other_are_taken_at_once),
		TEST(test_fresh_pages_are_told_from_used_ones),
		TEST(test_the_free_pages_at_the_end_are_counted),
		TEST(test_the_largest_reserve_is_one_run),
		TEST(test_runs_of_gibibytes_are_found_at_any_page),
		TEST(test_lengths_that_no_heap_has_find_nothing),
		TEST(test_growth_beyond_the_reserve_is_refused),
		TEST(test_init_without_memory_leaves_nothing_behind),
		TEST(test_growth_without_memory_changes_nothing),
		TEST(test_a_small_heap_needs_little_memory),
		TEST(test_any_sequence_agrees_with_a_bitmap),
	};

	return cmocka_run_group_tests_name("page heap", tests, NULL, NULL);
}
