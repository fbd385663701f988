// SPDX-License-Identifier: MIT
/*
 * Scavenging: which free pages lose their memory, and what that means for those
 * who take them next.
 */
#include "core_check.h"
#include "core_test.h"
#include "fixture.h"
#include "request.h"

#define PAGE	GCHEAP_PAGE_BYTES

static void heap_make(u64 reserve_bytes)
{
	fixture_heap(GCHEAP_LAYOUT_SPAN, reserve_bytes, 0);
}

static int setup(void **state)
{
	(void)state;
	return fixture_begin(GCHEAP_LAYOUT_SPAN, 6 * GCHEAP_RESERVE_MIN, 0);
}

/* @count objects of @npages pages each, one after the other; the first one's page. */
static u32 objects(u32 count, u32 npages)
{
	u32 first = request_large(th, 0, npages * PAGE);

	assert_int_not_equal(first, 0);
	for (u32 i = 1; i < count; i++)
		assert_int_equal(request_large(th, 0, npages * PAGE), first + i * npages);
	return first;
}

static u64 free_bytes(void)
{
	heap_publish(&th->heap);
	return th->heap.counters.free_bytes;
}

static bool needs_zero(u32 page)
{
	return heap_span(&th->heap, page)->state & GCHEAP_SPAN_NEEDZERO;
}

/* ---- the request --------------------------------------------------------------- */

static void test_err_scavenge(void **state)
{
	struct gcheap_scavenge request = { .size = sizeof(request), .max_bytes = 1 };
	u32 page = objects(1, 10);
	struct core_state saved;

	(void)state;
	assert_int_equal(request_free_large(th, page), 0);
	core_state_save(th, &saved);
	for (u32 bit = 0; bit < 32; bit++) {
		request.flags = 1u << bit;
		assert_int_equal(heap_scavenge(&th->heap, &request), -EOPNOTSUPP);
	}
	assert_int_equal(request_scavenge(th, 0, NULL, NULL), -EINVAL);
	core_state_check(th, &saved);
	assert_int_equal(free_bytes(), 10 * PAGE);
}

static void test_a_heap_without_free_memory_gives_none(void **state)
{
	u64 bytes, left;

	(void)state;
	assert_int_equal(request_scavenge(th, U64_MAX, &bytes, &left), 0);
	assert_int_equal(bytes, 0);
	assert_int_equal(left, 0);
	/* Pages that the heap has grown over, but nobody has had. */
	objects(3, 10);
	assert_int_not_equal(th->heap.page_heap.free_pages, 0);
	assert_int_equal(request_scavenge(th, U64_MAX, &bytes, &left), 0);
	assert_int_equal(bytes, 0);
	assert_int_equal(left, 0);
	assert_int_equal(port_test.releases, 0);
	core_check_bits(th);
}

static void test_the_highest_pages_go_first_and_no_more_than_asked_for(void **state)
{
	u32 page = objects(300, 1);
	u64 bytes, left;

	(void)state;
	for (u32 i = 0; i < 300; i += 2)
		assert_int_equal(request_free_large(th, page + i), 0);
	assert_int_equal(free_bytes(), 150 * PAGE);
	for (u32 done = 0; done < 150;) {
		u32 most = 1 + done % 7;
		u32 count = min_t(u32, most, 150 - done);

		/* A part of a page is a whole one. */
		assert_int_equal(request_scavenge(th, most * PAGE - done % 2, &bytes, &left), 0);
		assert_int_equal(bytes, count * PAGE);
		done += count;
		assert_int_equal(left, (150 - done) * PAGE);
		for (u32 i = 0; i < 300; i += 2)
			assert_int_equal(test_heap_backed(th, page + i, 1), i / 2 < 150 - done);
		core_check_bits(th);
	}
}

static void test_pages_that_follow_each_other_are_released_as_one(void **state)
{
	u32 page = objects(4000, 3);
	u64 bytes;

	(void)state;
	for (u32 i = 500; i < 3500; i++)
		assert_int_equal(request_free_large(th, page + 3 * i), 0);
	for (u32 i = 10; i < 20; i++)
		assert_int_equal(request_free_large(th, page + 3 * i), 0);
	assert_int_equal(request_free_large(th, page), 0);
	assert_int_equal(request_scavenge(th, U64_MAX, &bytes, NULL), 0);
	assert_int_equal(bytes, 3011 * 3 * PAGE);
	assert_int_equal(port_test.releases, 1);
	assert_int_equal(port_test.release_ranges, 3);
	core_check_bits(th);
}

static void test_runs_are_found_across_words_and_arenas(void **state)
{
	static const u32 lengths[] = { 1, 63, 64, 65, 128, 1000, 20000 };

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(lengths); i++) {
		for (u32 before = 0; before < 130; before += 43) {
			u64 bytes;
			u32 page;

			heap_make(6 * GCHEAP_RESERVE_MIN);
			if (before)
				objects(before, 1);
			page = objects(1, lengths[i]);
			objects(1, 1);
			assert_int_equal(request_free_large(th, page), 0);
			assert_int_equal(request_scavenge(th, PAGE, &bytes, NULL), 0);
			assert_int_equal(bytes, PAGE);
			assert_false(test_heap_backed(th, page + lengths[i] - 1, 1));
			assert_int_equal(request_scavenge(th, U64_MAX, &bytes, NULL), 0);
			assert_int_equal(bytes, (lengths[i] - 1) * PAGE);
			core_check_bits(th);
		}
	}
}

static void test_a_fatal_signal_ends_it_between_two_batches(void **state)
{
	u32 page = objects(2 * SCAVENGE_RANGES + 100, 1);
	u64 bytes, left;

	(void)state;
	for (u32 i = 0; i < 2 * SCAVENGE_RANGES + 100; i += 2)
		assert_int_equal(request_free_large(th, page + i), 0);
	port_test_interrupt(1);
	assert_int_equal(request_scavenge(th, U64_MAX, &bytes, &left), -EINTR);
	assert_int_equal(bytes, SCAVENGE_RANGES * PAGE);
	assert_int_equal(left, 50 * PAGE);
	assert_int_equal(port_test.releases, 1);
	core_check_bits(th);
	port_test_interrupt(0);
	assert_int_equal(request_scavenge(th, U64_MAX, &bytes, &left), 0);
	assert_int_equal(bytes, 50 * PAGE);
	assert_int_equal(left, 0);
	core_check_bits(th);
}

static void test_a_long_run_is_more_than_one_batch(void **state)
{
	u32 page = objects(1, 2 * SCAVENGE_PAGES + 1);
	u64 bytes;

	(void)state;
	assert_int_equal(request_free_large(th, page), 0);
	port_test_interrupt(2);
	assert_int_equal(request_scavenge(th, U64_MAX, &bytes, NULL), -EINTR);
	assert_int_equal(bytes, 2ull * SCAVENGE_PAGES * PAGE);
	assert_true(test_heap_backed(th, page, 1));
	core_check_bits(th);
}

static void test_what_the_port_keeps_goes_before_free_pages(void **state)
{
	u32 page = objects(1, 10);
	u64 bytes;

	(void)state;
	assert_int_equal(request_free_large(th, page), 0);
	port_test.stock_bytes = 3 * PAGE;
	assert_int_equal(request_scavenge(th, 2 * PAGE, &bytes, NULL), 0);
	assert_int_equal(bytes, 2 * PAGE);
	assert_int_equal(port_test.releases, 0);
	assert_int_equal(request_scavenge(th, 2 * PAGE, &bytes, NULL), 0);
	assert_int_equal(bytes, 2 * PAGE);
	assert_int_equal(free_bytes(), 9 * PAGE);
	assert_int_equal(request_scavenge(th, U64_MAX, &bytes, NULL), 0);
	assert_int_equal(bytes, 9 * PAGE);
}

static void test_pages_in_caches_are_released_too(void **state)
{
	u32 page;
	u64 bytes;

	(void)state;
	port_test.cpus = 4;
	heap_make(GCHEAP_RESERVE_MIN);
	page = objects(64, 1);
	for (u32 i = 0; i < 64; i++)
		assert_int_equal(request_free_large(th, page + i), 0);
	for (port_test.cpu = 0; port_test.cpu < 4; port_test.cpu++)
		assert_int_not_equal(request_large(th, 0, 2 * PAGE), 0);
	port_test.cpu = 0;
	assert_int_not_equal(th->heap.page_heap.cached_pages, 0);
	core_check_bits(th);
	bytes = free_bytes();
	assert_int_not_equal(bytes, 0);
	assert_int_equal(request_scavenge(th, U64_MAX, &bytes, NULL), 0);
	assert_int_equal(free_bytes(), 0);
	assert_int_equal(th->heap.page_heap.cached_pages, 0);
	core_check_bits(th);
}

/* ---- memory that comes back ------------------------------------------------------ */

static void test_only_memory_that_was_not_released_needs_zeroing(void **state)
{
	u32 page = objects(1, 20);

	(void)state;
	assert_false(needs_zero(page));
	assert_int_equal(request_free_large(th, page), 0);
	assert_int_equal(objects(1, 20), page);
	assert_true(needs_zero(page));

	assert_int_equal(request_free_large(th, page), 0);
	assert_int_equal(request_scavenge(th, U64_MAX, NULL, NULL), 0);
	assert_int_equal(objects(1, 20), page);
	assert_false(needs_zero(page));

	/* One page of old memory is enough. */
	assert_int_equal(request_free_large(th, page), 0);
	assert_int_equal(request_scavenge(th, 19 * PAGE, NULL, NULL), 0);
	assert_int_equal(objects(1, 20), page);
	assert_true(needs_zero(page));

	/* So is memory that the port has kept. */
	assert_int_equal(request_free_large(th, page), 0);
	assert_int_equal(request_scavenge(th, U64_MAX, NULL, NULL), 0);
	port_test.old_data = true;
	assert_int_equal(objects(1, 20), page);
	assert_true(needs_zero(page));
	assert_true(needs_zero(objects(1, 200)));
	core_check_bits(th);
}

static void test_the_port_is_not_asked_for_memory_that_is_there(void **state)
{
	u32 page = objects(10, 20);

	(void)state;
	for (u32 i = 0; i < 10; i++)
		assert_int_equal(request_free_large(th, page + 20 * i), 0);
	port_test_fail(1, true);
	assert_int_equal(objects(10, 20), page);
	assert_int_equal(port_test.calls, 0);
	port_test_fail(0, false);
}

static void test_short_memory_is_taken_from_free_pages(void **state)
{
	u32 low = objects(1, 50);
	u32 high = objects(1, 100);

	(void)state;
	port_test.page_limit = 160;
	assert_int_equal(request_free_large(th, low), 0);
	/* Of 150 pages with memory 50 are free, but no run is long enough. */
	assert_int_not_equal(request_large(th, 0, 60 * PAGE), 0);
	assert_int_equal(free_bytes(), 0);
	assert_int_equal(th->backed_pages, 160);
	core_check_bits(th);
	/* There is nothing left to take. */
	assert_int_equal(request_large(th, 0, PAGE), 0);
	assert_int_equal(request_free_large(th, high), 0);
	assert_int_equal(request_large(th, 0, 40 * PAGE), low);
	core_check_bits(th);
}

static void test_a_request_for_more_memory_than_there_is_fails(void **state)
{
	u32 page = objects(10, 10);
	struct core_state saved;

	(void)state;
	port_test.page_limit = 120;
	for (u32 i = 0; i < 10; i += 2)
		assert_int_equal(request_free_large(th, page + 10 * i), 0);
	core_state_save(th, &saved);
	assert_int_equal(request_large(th, 0, 71 * PAGE), 0);
	core_state_check(th, &saved);
	assert_int_not_equal(request_large(th, 0, 70 * PAGE), 0);
	core_check_bits(th);
}

/* ---- the target ------------------------------------------------------------------ */

static void test_the_excess_is_what_goal_and_a_tenth_do_not_need(void **state)
{
	u32 page = objects(10, 100);

	(void)state;
	for (u32 i = 4; i < 10; i++)
		assert_int_equal(request_free_large(th, page + 100 * i), 0);
	/* 400 pages in use, 600 free. */
	assert_int_equal(heap_scavenge_excess(&th->heap), 0);
	th->heap.goal_bytes = 1000 * PAGE;
	assert_int_equal(heap_scavenge_excess(&th->heap), 0);
	th->heap.goal_bytes = 800 * PAGE;
	assert_int_equal(heap_scavenge_excess(&th->heap), 120 * PAGE);
	th->heap.goal_bytes = 100 * PAGE;
	assert_int_equal(heap_scavenge_excess(&th->heap), 600 * PAGE);
	th->heap.goal_bytes = U64_MAX;
	assert_int_equal(heap_scavenge_excess(&th->heap), 0);
	th->heap.goal_bytes = 800 * PAGE;
	assert_int_equal(heap_scavenge_some(&th->heap, 120 * PAGE), 120 * PAGE);
	assert_int_equal(heap_scavenge_excess(&th->heap), 0);
}

/* ---- a model ---------------------------------------------------------------------- */

#define MODEL_OBJECTS	300u

static void life(u32 steps)
{
	u32 pages[MODEL_OBJECTS] = { 0 };

	for (u32 i = 0; i < steps; i++) {
		u32 at = (u32)random_below(MODEL_OBJECTS);
		u64 before = free_bytes();
		u64 bytes, left;

		if (port_test.cpus)
			port_test.cpu = (u32)random_below(port_test.cpus);
		if (random_one_in(20)) {
			u64 most = random_length(400) * PAGE;

			assert_int_equal(request_scavenge(th, most, &bytes, &left), 0);
			assert_int_equal(bytes, min_t(u64, most, before));
			assert_int_equal(left, before - bytes);
		} else if (pages[at]) {
			u32 npages = heap_span(&th->heap, pages[at])->npages;

			assert_int_equal(request_free_large(th, pages[at]), 0);
			assert_int_equal(free_bytes(), before + npages * PAGE);
			pages[at] = 0;
		} else {
			u32 npages = (u32)random_length(random_one_in(3) ? 200 : 20);
			u32 backed = th->backed_pages;

			pages[at] = request_large(th, 0, npages * PAGE);
			/* None only when all memory is in spans. */
			if (!pages[at]) {
				assert_in_range(th->heap.counters.in_use_pages + npages,
						port_test.page_limit + 1, U32_MAX);
				/* What is left is that of the run itself. */
				assert_in_range(free_bytes(), 0, (npages - 1) * PAGE);
			} else if (th->backed_pages == backed + npages) {
				assert_false(needs_zero(pages[at]));
			}
		}
		if (i % 16 == 0)
			core_check_bits(th);
	}
}

static void test_any_life_in_little_memory_agrees_with_the_count(void **state)
{
	(void)state;
	random_seed();
	port_test.page_limit = 3000;
	heap_make(2 * GCHEAP_RESERVE_MIN);
	life(RANDOM_CASES(10000));
	port_test.cpus = 3;
	heap_make(2 * GCHEAP_RESERVE_MIN);
	life(RANDOM_CASES(10000));
}

/* ---- tables --------------------------------------------------------------------- */

#define ARENAS_TAKEN	2u
/* Pages of bit tables, and of BITMAP, that 64 heap pages have. */
#define BITS_TABLES	2u
#define BITMAP_TABLES	4u

static bool has_bits(u32 page)
{
	return test_heap_table(th, GCHEAP_REGION_MARKS,
			       GCHEAP_MARKS_TABLE(th->heap.reserve_bytes, 1) + page * 64ull);
}

/* A spike of two arenas, freed, and its memory given back: tables of what goes with it. */
static u32 spike_end(void)
{
	u32 page = request_large(th, 0, ARENAS_TAKEN * GCHEAP_ARENA_BYTES);

	assert_int_not_equal(page, 0);
	assert_int_equal(request_free_large(th, page), 0);
	return page;
}

static void test_tables_go_with_memory_and_come_with_it(void **state)
{
	static const u32 layouts[] = { GCHEAP_LAYOUT_SPAN, GCHEAP_LAYOUT_BITMAP };

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(layouts); i++) {
		u32 tables = layouts[i] == GCHEAP_LAYOUT_BITMAP ?
				     BITS_TABLES + BITMAP_TABLES : BITS_TABLES;
		u64 most, left;
		u32 kept, page;

		fixture_heap(layouts[i], 6 * GCHEAP_RESERVE_MIN, 0);
		kept = objects(1, 1);
		page = spike_end();
		most = th->tables_made;
		assert_int_equal(request_scavenge(th, GCHEAP_ARENA_BYTES, NULL, NULL), 0);
		core_check_bits(th);
		/* Half of the memory, half of the tables. */
		assert_in_range(th->tables_made, most - ARENA_WORDS * tables,
				most - (ARENA_WORDS - 1) * tables);
		assert_int_equal(request_scavenge(th, U64_MAX, NULL, NULL), 0);
		left = most - th->tables_made;
		assert_in_range(left, ARENAS_TAKEN * ARENA_WORDS * tables,
				th->heap.heap_pages / 64 * tables);
		assert_true(has_bits(kept));
		assert_false(has_bits(page + 64));
		core_check_bits(th);
		/* Nothing is left to give; and it all comes again, zeroed, and no more. */
		assert_int_equal(request_scavenge(th, U64_MAX, NULL, NULL), 0);
		assert_int_equal(most - th->tables_made, left);
		assert_int_equal(spike_end(), page);
		assert_in_range(th->tables_made, most - 2 * tables, most);
		core_check_bits(th);
	}
}

static void test_tables_of_one_span_come_alone(void **state)
{
	u64 before;
	u32 page;

	(void)state;
	fixture_heap(GCHEAP_LAYOUT_BITMAP, 6 * GCHEAP_RESERVE_MIN, 0);
	spike_end();
	assert_int_equal(request_scavenge(th, U64_MAX, NULL, NULL), 0);
	before = th->tables_made;
	for (u32 i = 0; i < 63; i++)
		page = objects(1, 1);
	assert_int_equal(th->tables_made, before);
	page = objects(1, 1);
	assert_int_equal(page, 64);
	assert_int_equal(th->tables_made, before + BITS_TABLES + BITMAP_TABLES);
	assert_true(slot_is_allocated(th, page, 0));
	core_check_bits(th);
	page = request_chunk(th);
	assert_int_not_equal(page, 0);
	assert_true(has_bits(page) && has_bits(page + CHUNK_PAGES - 1));
	assert_false(has_bits(page + CHUNK_PAGES));
	core_check(th);
}

static void test_tables_of_lazy_objects_come_before_their_memory(void **state)
{
	struct gcheap_alloc_large alloc = {
		.size = sizeof(alloc),
		.flags = GCHEAP_ALLOC_LAZY,
		.count = GCHEAP_ARENA_BYTES,
	};

	(void)state;
	spike_end();
	assert_int_equal(request_scavenge(th, U64_MAX, NULL, NULL), 0);
	assert_int_equal(heap_alloc_large(&th->heap, &alloc), 0);
	for (u32 i = 0; i < alloc.out_npages; i++)
		assert_true(has_bits(alloc.out_page + i));
	core_check(th);
	/* It is dead, and has no memory: its tables go all the same. */
	assert_int_equal(request_free_large(th, alloc.out_page), 0);
	assert_int_equal(request_scavenge(th, U64_MAX, NULL, NULL), 0);
	assert_false(has_bits(alloc.out_page + 64));
	core_check_bits(th);
}

static void test_no_tables_go_while_a_cycle_marks(void **state)
{
	u64 most;
	u32 page;

	(void)state;
	page = spike_end();
	most = th->tables_made;
	assert_int_equal(request_mark_start(th), 0);
	assert_int_equal(request_scavenge(th, U64_MAX, NULL, NULL), 0);
	assert_int_equal(th->tables_made, most);
	assert_true(has_bits(page + 64));
	assert_int_equal(request_sweep_start(th, NULL), 0);
	assert_int_equal(request_scavenge(th, U64_MAX, NULL, NULL), 0);
	assert_false(has_bits(page + 64));
	core_check_bits(th);
}

/* Every call that can fail does, once, and with all that follow: small, large, lazy. */
static void test_err_tables_do_not_come_again(void **state)
{
	(void)state;
	for (u32 all = 0; all < 2; all++) {
		for (u32 kind = 0; kind < 3; kind++) {
			struct gcheap_alloc_large alloc = { 0 };
			u64 fail_at = 0;
			u64 failures;
			int error;

			fixture_heap(GCHEAP_LAYOUT_BITMAP, 6 * GCHEAP_RESERVE_MIN, 0);
			spike_end();
			/* The first 64 pages keep theirs. */
			objects(63, 1);
			do {
				struct core_state saved;

				assert_int_equal(request_scavenge(th, U64_MAX, NULL, NULL), 0);
				core_state_save(th, &saved);
				alloc = (struct gcheap_alloc_large){
					.size = sizeof(alloc),
					.flags = kind == 2 ? GCHEAP_ALLOC_LAZY : 0,
					.count = kind ? 300 * PAGE : 1,
				};
				port_test_fail(++fail_at, all);
				error = heap_alloc_large(&th->heap, &alloc);
				failures = port_test.failures;
				port_test_fail(0, false);
				core_check_bits(th);
				if (error) {
					assert_int_equal(error, -ENOMEM);
					core_state_check(th, &saved);
				} else {
					assert_int_equal(request_free_large(th, alloc.out_page), 0);
				}
			} while (failures);
			assert_int_equal(error, 0);
			/* Memory, two bit tables and four pages of BITMAP: each has failed. */
			assert_in_range(fail_at, kind == 2 ? 8 : 7, 1000);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name)	cmocka_unit_test_setup_teardown(name, setup, fixture_end)
		TEST(test_err_scavenge),
		TEST(test_a_heap_without_free_memory_gives_none),
		TEST(test_the_highest_pages_go_first_and_no_more_than_asked_for),
		TEST(test_pages_that_follow_each_other_are_released_as_one),
		TEST(test_runs_are_found_across_words_and_arenas),
		TEST(test_a_fatal_signal_ends_it_between_two_batches),
		TEST(test_a_long_run_is_more_than_one_batch),
		TEST(test_what_the_port_keeps_goes_before_free_pages),
		TEST(test_pages_in_caches_are_released_too),
		TEST(test_only_memory_that_was_not_released_needs_zeroing),
		TEST(test_the_port_is_not_asked_for_memory_that_is_there),
		TEST(test_short_memory_is_taken_from_free_pages),
		TEST(test_a_request_for_more_memory_than_there_is_fails),
		TEST(test_the_excess_is_what_goal_and_a_tenth_do_not_need),
		TEST(test_any_life_in_little_memory_agrees_with_the_count),
		TEST(test_tables_go_with_memory_and_come_with_it),
		TEST(test_tables_of_one_span_come_alone),
		TEST(test_tables_of_lazy_objects_come_before_their_memory),
		TEST(test_no_tables_go_while_a_cycle_marks),
		TEST(test_err_tables_do_not_come_again),
	};

	return cmocka_run_group_tests_name("scavenge", tests, NULL, NULL);
}
