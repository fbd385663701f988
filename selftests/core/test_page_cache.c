// SPDX-License-Identifier: MIT
/*
 * The page caches: what a CPU takes out of the tree, and how it comes back.
 */
#include "core_test.h"
#include "page_backed.h"
#include "page_cache.h"
#include "page_heap.h"
#include "page_tree.h"

#define CPUS	4u
#define ARENA	ARENA_PAGES

static struct page_heap ph;

static int setup(void **state)
{
	(void)state;
	port_test_reset();
	port_test.cpus = CPUS;
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
	page_heap_destroy(&ph);
	assert_int_equal(page_heap_init(&ph, reserve_pages, CPUS), 0);
	assert_int_equal(page_heap_grow(&ph, npages), 0);
}

static u32 take(u32 npages)
{
	bool used_before;

	return page_heap_alloc(&ph, npages, &used_before);
}

static u32 take_on(u32 cpu, u32 npages)
{
	port_test.cpu = cpu;
	return take(npages);
}

/* ---- cases ------------------------------------------------------------------------ */

static void test_short_runs_of_a_cpu_lie_together(void **state)
{
	(void)state;
	make(ARENA, ARENA);
	/* In turns, and yet each in its own 64 pages. */
	for (u32 i = 0; i < 30; i++) {
		for (u32 cpu = 1; cpu < CPUS; cpu++)
			assert_int_equal(take_on(cpu, 2) / 64, cpu - 1);
	}
	assert_int_equal(ph.free_pages, ARENA - 1 - 180);
	assert_int_equal(ph.cached_pages, 3 * 64 - 1 - 180);
}

static void test_long_runs_come_from_the_tree(void **state)
{
	(void)state;
	make(ARENA, ARENA);
	assert_int_equal(take(PAGE_CACHE_RUN), 1);
	assert_int_equal(ph.cached_pages, 0);
	assert_int_equal(take(PAGE_CACHE_RUN - 1), 1 + PAGE_CACHE_RUN);
	assert_int_not_equal(ph.cached_pages, 0);
	assert_int_equal(take(PAGE_CACHE_RUN), 64);
}

static void test_several_short_runs_come_from_a_cache_at_once(void **state)
{
	bool used_before;
	u32 count;

	(void)state;
	make(ARENA, ARENA);
	assert_int_equal(page_heap_alloc_some(&ph, 3, 4, &count, &used_before), 1);
	assert_int_equal(count, 4);
	assert_int_equal(page_heap_alloc_some(&ph, 1, 2, &count, &used_before), 13);
	assert_int_equal(count, 2);
	assert_int_equal(ph.cached_pages, 63 - 14);
	/* More than a cache gives at a time. */
	assert_int_equal(page_heap_alloc_some(&ph, 4, 100, &count, &used_before), 64);
	assert_int_equal(count, 100);
	/* As many as are left of the word. */
	for (u32 i = 0; i < 47; i++)
		assert_int_not_equal(take(1), 0);
	assert_int_equal(page_heap_alloc_some(&ph, 1, 9, &count, &used_before), 62);
	assert_int_equal(count, 2);
	assert_int_equal(ph.cached_pages, 0);
}

static void test_pages_in_a_cache_are_free(void **state)
{
	(void)state;
	make(ARENA, ARENA);
	assert_int_equal(take_on(0, 1), 1);
	assert_int_equal(take_on(1, 1), 64);
	for (u32 page = 0; page < ARENA; page++)
		assert_int_equal(page_heap_is_free(&ph, page), page > 1 && page != 64);
	assert_int_equal(ph.free_pages, ARENA - 3);
	page_caches_empty(&ph);
	assert_int_equal(ph.cached_pages, 0);
	assert_int_equal(ph.free_pages, ARENA - 3);
	for (u32 page = 0; page < ARENA; page++)
		assert_int_equal(page_heap_is_free(&ph, page), page > 1 && page != 64);
}

static void test_a_run_that_is_freed_is_used_again(void **state)
{
	u32 page;

	(void)state;
	make(ARENA, ARENA);
	page = take(4);
	for (u32 i = 0; i < 100; i++) {
		page_heap_free(&ph, page, 4);
		assert_int_equal(take(4), page);
	}
	/* The last of a cache, too. */
	while (ph.cached_pages)
		page = take(1);
	page_heap_free(&ph, page, 1);
	assert_int_equal(ph.cached_pages, 1);
	assert_int_equal(take(1), page);
}

static void test_what_another_cpu_frees_goes_to_the_tree(void **state)
{
	u32 page;

	(void)state;
	make(ARENA, ARENA);
	page = take_on(0, 4);
	port_test.cpu = 1;
	page_heap_free(&ph, page, 4);
	assert_int_equal(ph.cached_pages, 59);
	assert_true(page_heap_is_free(&ph, page));
	/* Four free pages in a word of which another cache has the others: not worth to be cached. */
	assert_int_equal(take_on(1, 4), page);
	assert_int_equal(ph.cached_pages, 59);
}

static void test_two_caches_may_have_pages_of_the_same_word(void **state)
{
	(void)state;
	make(ARENA, ARENA);
	for (u32 i = 1; i < 40; i++)
		assert_int_equal(take_on(0, 1), i);
	/* The word's lower part comes to CPU 1; CPU 0 has the upper. */
	port_test.cpu = 2;
	page_heap_free(&ph, 1, 20);
	assert_int_equal(take_on(1, 1), 1);
	assert_int_equal(take_on(0, 1), 40);
	port_test.cpu = 0;
	page_heap_free(&ph, 39, 1);
	for (u32 page = 0; page < ARENA; page++)
		assert_int_equal(page_heap_is_free(&ph, page),
				 page && page != 1 && !(page > 20 && page < 39) && page != 40);
	page_caches_empty(&ph);
	assert_int_equal(take(19), 2);
}

static void test_a_run_that_is_only_in_caches_is_found(void **state)
{
	bool used_before;
	u32 page;

	(void)state;
	make(ARENA, 64);
	assert_int_equal(take_on(0, 2), 1);
	port_test.cpu = 1;
	assert_int_equal(page_tree_tail(&ph), 0);
	assert_int_equal(page_heap_alloc(&ph, 61, &used_before), 3);
	assert_int_equal(ph.free_pages, 0);
	page_heap_free(&ph, 3, 61);

	/* Half of it in a cache. */
	make(ARENA, ARENA);
	assert_int_not_equal(take(ARENA - 129), 0);
	page = take_on(0, 1);
	assert_int_equal(page, ARENA - 128);
	assert_int_equal(take_on(1, 127), page + 1);
	assert_int_equal(take_on(2, 1), 0);
}

static void test_an_aligned_run_that_is_partly_in_a_cache_is_found(void **state)
{
	bool used_before;

	(void)state;
	make(ARENA, 2048);
	assert_int_equal(take(1023), 1);
	assert_int_equal(take_on(0, 3), 1024);
	page_heap_free(&ph, 1024, 3);
	assert_int_not_equal(ph.cached_pages, 0);
	assert_int_equal(page_heap_alloc_aligned(&ph, &used_before), 1024);
	assert_int_equal(ph.free_pages, 0);
}

static void test_a_cpu_that_goes_offline_loses_no_page(void **state)
{
	(void)state;
	make(ARENA, ARENA);
	for (u32 cpu = 0; cpu < CPUS; cpu++)
		assert_int_not_equal(take_on(cpu, 1), 0);
	port_test.cpu = 0;
	for (u32 i = CPUS; i < ARENA - 1; i++)
		assert_int_not_equal(take(1), 0);
	assert_int_equal(ph.free_pages, 0);
	assert_int_equal(take(1), 0);
}

static void test_memory_of_cached_pages_is_counted_and_found_when_they_are_emptied(void **state)
{
	u32 npages, page;

	(void)state;
	make(ARENA, ARENA);
	page = take(64);
	page_backed_set(&ph, page, 64, true);
	page_heap_free(&ph, page, 64);
	assert_int_equal(ph.backed_pages, 64);
	assert_int_equal(take(1), 1);
	assert_int_equal(ph.backed_pages, 63);
	/* One page is in the next word, the others are in the cache. */
	assert_int_equal(page_backed_release(&ph, U32_MAX, &npages), 64);
	assert_int_equal(npages, 1);
	assert_int_equal(page_backed_release(&ph, U32_MAX, &npages), 0);
	assert_int_equal(ph.backed_pages, 62);
	page_caches_empty(&ph);
	/* The search before has forgotten the word; emptying a cache finds it again. */
	assert_int_equal(page_backed_release(&ph, U32_MAX, &npages), 2);
	assert_int_equal(npages, 62);
	assert_int_equal(ph.backed_pages, 0);
}

static void test_init_without_memory_leaves_nothing_behind(void **state)
{
	(void)state;
	page_heap_destroy(&ph);
	for (u64 n = 1;; n++) {
		port_test_fail(n, n % 2);
		if (!page_heap_init(&ph, ARENA, CPUS))
			break;
		assert_int_not_equal(port_test.failures, 0);
		assert_int_equal(port_test.blocks, 0);
	}
	assert_int_equal(port_test.calls, 5);
}

/* ---- a model ----------------------------------------------------------------------- */

enum { PAGE_TAKEN, PAGE_FREE, PAGE_BACKED = 2 };

struct model {
	u8 pages[2 * 8192];
	u32 end;
	u32 free_pages;
	u32 backed_pages;
};

static struct model model;

static void model_set(u32 page, u32 npages, bool free)
{
	for (u32 i = page; i < page + npages; i++) {
		bool backed = model.pages[i] & PAGE_BACKED;

		assert_int_equal(model.pages[i] & PAGE_FREE, !free);
		model.pages[i] ^= PAGE_FREE;
		model.free_pages += free ? 1 : -1;
		model.backed_pages += !backed ? 0 : free ? 1 : -1;
	}
}

static bool model_has_run(u32 npages)
{
	u32 run = 0;

	for (u32 i = 0; i < model.end; i++) {
		run = model.pages[i] & PAGE_FREE ? run + 1 : 0;
		if (run == npages)
			return true;
	}
	return false;
}

static void step_alloc(void)
{
	u32 npages = (u32)random_length(random_one_in(4) ? 100 : 12);
	u32 most = (u32)random_length(8);
	bool used_before;
	u32 page, count;

	page = page_heap_alloc_some(&ph, npages, most, &count, &used_before);
	if (!page) {
		assert_false(model_has_run(npages));
		return;
	}
	assert_in_range(count, 1, most);
	for (u32 i = page; i < page + npages * count; i++)
		assert_int_equal(page_backed_count(&ph, i, 1),
				 model.pages[i] & PAGE_BACKED ? 1 : 0);
	model_set(page, npages * count, false);
	if (random_one_in(3))
		return;
	page_backed_set(&ph, page, npages * count, true);
	for (u32 i = page; i < page + npages * count; i++)
		model.pages[i] |= PAGE_BACKED;
}

static void step_free(void)
{
	u32 page = 1 + (u32)random_below(model.end - 1);
	u32 most = (u32)random_length(random_one_in(4) ? 200 : 15);
	u32 npages = 0;

	while (page + npages < model.end && npages < most &&
	       !(model.pages[page + npages] & PAGE_FREE))
		npages++;
	page_heap_free(&ph, page, npages);
	model_set(page, npages, true);
}

/* The highest free backed page that is in no cache: after they are emptied, of all. */
static void step_release(void)
{
	u32 most = (u32)random_length(100);
	u32 npages, page;
	u32 top = model.end;

	page_caches_empty(&ph);
	page = page_backed_release(&ph, most, &npages);
	while (top && (model.pages[top - 1] & (PAGE_FREE | PAGE_BACKED)) !=
		       (PAGE_FREE | PAGE_BACKED))
		top--;
	if (!top) {
		assert_int_equal(page, 0);
		return;
	}
	assert_int_equal(page + npages, top);
	assert_in_range(npages, 1, most);
	for (u32 i = page; i < top; i++) {
		assert_int_equal(model.pages[i], PAGE_FREE | PAGE_BACKED);
		model.pages[i] = PAGE_FREE;
		model.backed_pages--;
	}
	/* It is as long as it can be. */
	if (npages < most)
		assert_int_not_equal(model.pages[page - 1], PAGE_FREE | PAGE_BACKED);
}

static void compare(void)
{
	for (u32 page = 0; page < model.end; page++)
		assert_int_equal(page_heap_is_free(&ph, page), model.pages[page] & PAGE_FREE);
}

static void test_any_sequence_on_any_cpu_agrees_with_a_table(void **state)
{
	(void)state;
	random_seed();
	model = (struct model){ .end = ARRAY_SIZE(model.pages) };
	make(model.end, model.end);
	memset(model.pages + 1, PAGE_FREE, model.end - 1);
	model.free_pages = model.end - 1;
	for (u32 i = 0; i < 60000; i++) {
		/* Times of growth, and of decay. */
		u32 frees = i / 8192 % 2 ? 50 : 40;
		u32 what = (u32)random_below(100);

		port_test.cpu = (u32)random_below(CPUS);
		if (what < frees)
			step_free();
		else if (what < 96)
			step_alloc();
		else if (what < 99)
			step_release();
		else
			page_caches_empty(&ph);
		assert_int_equal(ph.free_pages, model.free_pages);
		assert_int_equal(ph.backed_pages, model.backed_pages);
		if (i % 512 == 0)
			compare();
	}
	compare();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name)	cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_short_runs_of_a_cpu_lie_together),
		TEST(test_long_runs_come_from_the_tree),
		TEST(test_several_short_runs_come_from_a_cache_at_once),
		TEST(test_pages_in_a_cache_are_free),
		TEST(test_a_run_that_is_freed_is_used_again),
		TEST(test_what_another_cpu_frees_goes_to_the_tree),
		TEST(test_two_caches_may_have_pages_of_the_same_word),
		TEST(test_a_run_that_is_only_in_caches_is_found),
		TEST(test_an_aligned_run_that_is_partly_in_a_cache_is_found),
		TEST(test_a_cpu_that_goes_offline_loses_no_page),
		TEST(test_memory_of_cached_pages_is_counted_and_found_when_they_are_emptied),
		TEST(test_init_without_memory_leaves_nothing_behind),
		TEST(test_any_sequence_on_any_cpu_agrees_with_a_table),
	};

	return cmocka_run_group_tests_name("page cache", tests, NULL, NULL);
}
