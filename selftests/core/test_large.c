// SPDX-License-Identifier: MIT
/*
 * ALLOC_LARGE and MARK_START work in pieces: what other requests do between the
 * pieces, and how a request undoes its work.
 */
#include "core_check.h"
#include "core_test.h"
#include "fixture.h"
#include "page_runs.h"
#include "request.h"

#define CLASS_512	26u
#define PAGES		3000u
#define PIECE		100u

static int setup(void **state)
{
	(void)state;
	return fixture_begin(GCHEAP_LAYOUT_BITMAP, 4 * GCHEAP_RESERVE_MIN, 0);
}

static struct gcheap_alloc_large object(u32 flags)
{
	return (struct gcheap_alloc_large){
		.size = sizeof(struct gcheap_alloc_large),
		.flags = flags,
		.count = (u64)PAGES * GCHEAP_PAGE_BYTES,
	};
}

/* Does pieces until there were @most, or it is done. Return: how many. */
static u32 pieces(struct gcheap_alloc_large *alloc, struct large_work *work, u32 most,
		  int *error)
{
	u32 count = 0;

	*error = LARGE_MORE;
	while (count < most && *error == LARGE_MORE) {
		*error = large_alloc_some(&th->heap, alloc, work, PIECE);
		count++;
	}
	return count;
}

static u32 undo(struct gcheap_alloc_large *alloc, struct large_work *work)
{
	u32 count = 1;

	while (large_alloc_undo(&th->heap, alloc, work, PIECE) == LARGE_MORE)
		count++;
	return count;
}

static void test_an_object_is_made_in_pieces_and_seen_when_it_is_whole(void **state)
{
	for (u32 flags = 0; flags <= GCHEAP_ALLOC_LAZY; flags += GCHEAP_ALLOC_LAZY) {
		struct gcheap_alloc_large alloc = object(flags);
		u64 objects = th->heap.counters.large_objects;
		struct large_work work = { 0 };
		u32 count = 0;
		int error;

		(void)state;
		do {
			assert_int_equal(th->heap.counters.large_objects, objects);
			count += pieces(&alloc, &work, 1, &error);
		} while (error == LARGE_MORE);
		assert_int_equal(error, 0);
		assert_true(count > PAGES / PIECE);
		assert_int_equal(th->heap.counters.large_objects, objects + 1);
		assert_int_equal(alloc.out_npages, PAGES);
		core_check(th);
	}
}

/* Free pages with memory and without, at the end of the heap and in it. */
static void fill(void)
{
	u32 a = request_large(th, 0, (u64)PAGES * 2 * GCHEAP_PAGE_BYTES);
	u32 b = request_large(th, 0, 1);

	assert_true(a && b);
	assert_int_equal(request_free_large(th, a), 0);
	assert_int_equal(request_scavenge(th, (u64)PAGES * 2 / 3 * GCHEAP_PAGE_BYTES, NULL, NULL),
			 0);
}

static void test_from_each_piece_there_is_a_way_back(void **state)
{
	(void)state;
	for (int filled = 0; filled < 2; filled++) {
		if (filled)
			fill();
		for (u32 most = 1; ; most++) {
			struct gcheap_alloc_large alloc = object(0);
			struct large_work work = { 0 };
			struct core_state saved;
			int error;

			core_state_save(th, &saved);
			pieces(&alloc, &work, most, &error);
			if (!error) {
				assert_true(most > PAGES / PIECE);
				break;
			}
			assert_int_equal(error, LARGE_MORE);
			undo(&alloc, &work);
			core_state_check(th, &saved);
			core_check(th);
		}
		core_check(th);
	}
}

static void test_others_may_make_the_heap_grow_meanwhile(void **state)
{
	(void)state;
	for (u32 most = 1; most < 80; most += 3) {
		struct gcheap_alloc_large alloc = object(0), other = object(0);
		struct large_work work = { 0 };
		u32 first;
		int error;

		pieces(&alloc, &work, most, &error);
		assert_int_not_equal(request_span(th, 0, CLASS_512), 0);
		assert_int_equal(heap_alloc_large(&th->heap, &other), 0);
		assert_int_equal(request_mark_start(th), 0);
		assert_int_equal(request_free_large(th, other.out_page), -EBUSY);
		if (error == LARGE_MORE && most % 2)
			undo(&alloc, &work);
		else if (error == LARGE_MORE)
			pieces(&alloc, &work, 1000, &error);
		first = alloc.out_page;
		if (!error)
			assert_true(first + PAGES <= other.out_page ||
				    other.out_page + PAGES <= first);
		core_check(th);
		fixture_end(NULL);
		setup(NULL);
	}
}

/* Does pieces until the heap has grown for the object. */
static void grow(struct gcheap_alloc_large *alloc, struct large_work *work)
{
	while (!work->new_end)
		assert_int_equal(large_alloc_some(&th->heap, alloc, work, PIECE), LARGE_MORE);
}

/* Pages that the heap has beside those of the two objects, and is to have tables of. */
static void use_the_rest(void)
{
	struct gcheap_alloc_large lazy = object(GCHEAP_ALLOC_LAZY), whole = object(0);
	u32 i;

	for (i = 0; i < 300; i++)
		assert_int_not_equal(request_span(th, 0, CLASS_512), 0);
	assert_int_equal(heap_alloc_large(&th->heap, &lazy), 0);
	assert_int_equal(heap_alloc_large(&th->heap, &whole), 0);
}

/* Of two that make the heap grow at a time, one is undone after each number of pieces. */
static void test_one_may_fail_while_another_makes_the_heap_grow(void **state)
{
	(void)state;
	for (u32 i = 0; i < 200; i++) {
		u32 flags = i % 2 ? GCHEAP_ALLOC_LAZY : 0;
		struct gcheap_alloc_large alloc[2] = { object(flags), object(flags) };
		struct large_work work[2] = { { 0 }, { 0 } };
		bool first = i / 2 % 2;
		int error;

		grow(&alloc[0], &work[0]);
		pieces(&alloc[0], &work[0], i / 4, &error);
		grow(&alloc[1], &work[1]);
		if (!error) {
			assert_true(i / 4 > 5);
			first = 1;
		} else {
			assert_true(work[0].page + work[0].taken <= work[1].page);
		}
		undo(&alloc[first], &work[first]);
		use_the_rest();
		if (error)
			pieces(&alloc[!first], &work[!first], 1000, &error);
		assert_int_equal(error, 0);
		core_check(th);
		fixture_end(NULL);
		setup(NULL);
	}
}

/*
 * Before the second can make the heap grow, it makes the tables that the first lacks, in
 * pieces too; meanwhile the first goes on, or is undone, whose tables are dropped.
 */
static void test_tables_are_made_in_pieces_for_another(void **state)
{
	(void)state;
	for (u32 i = 0; i < 120; i++) {
		struct gcheap_alloc_large alloc[2] = { object(GCHEAP_ALLOC_LAZY), object(0) };
		struct large_work work[2] = { { 0 }, { 0 } };
		bool fails = i % 2;
		int error = LARGE_MORE, more = LARGE_MORE;
		u32 count = 0;

		grow(&alloc[0], &work[0]);
		pieces(&alloc[0], &work[0], i / 40 * 16, &error);
		assert_int_equal(error, LARGE_MORE);
		while (work[1].phase != LARGE_FIND)
			large_alloc_some(&th->heap, &alloc[1], &work[1], 10);
		for (u32 n = 0; n < i % 40; n++)
			large_alloc_some(&th->heap, &alloc[1], &work[1], 10);
		for (; error == LARGE_MORE || more == LARGE_MORE; count++) {
			if (error == LARGE_MORE)
				error = fails ? large_alloc_undo(&th->heap, &alloc[0], &work[0], PIECE) :
						large_alloc_some(&th->heap, &alloc[0], &work[0], PIECE);
			/* As fast as the first, or slower. */
			if (more == LARGE_MORE && (error || count % (1 + i % 5) == 0))
				more = large_alloc_some(&th->heap, &alloc[1], &work[1], 10);
		}
		assert_int_equal(error, 0);
		assert_int_equal(more, 0);
		/* With what was done before: its own 300 pieces, and those of the tables. */
		assert_true(count + i % 40 > PAGES / 10 + (i < 40 ? PAGES / 80 : 0));
		use_the_rest();
		core_check(th);
		fixture_end(NULL);
		setup(NULL);
	}
}

/* What REFILL asks before it makes the heap grow. */
static void test_tables_that_lack_are_made_once(void **state)
{
	struct gcheap_alloc_large alloc = object(GCHEAP_ALLOC_LAZY);
	struct large_tables tables = { 0 };
	struct large_work work = { 0 };
	u32 count = 1;
	u64 made;
	int error;

	(void)state;
	assert_false(large_tables_lack(&th->heap));
	assert_int_equal(large_tables_some(&th->heap, &tables, 100), 0);
	grow(&alloc, &work);
	assert_true(large_tables_lack(&th->heap));
	while (large_tables_some(&th->heap, &tables, 100) == LARGE_MORE)
		count++;
	assert_true(count >= PAGES / 100);
	assert_false(large_tables_lack(&th->heap));
	made = th->tables_made;
	pieces(&alloc, &work, 1000, &error);
	assert_int_equal(error, 0);
	assert_int_equal(th->tables_made, made);
	core_check(th);
}

/* Half of the way, the object is gone, and another has its place, without tables again. */
static void test_tables_that_were_dropped_are_made_anew(void **state)
{
	struct gcheap_alloc_large alloc[2] = { object(0), object(0) };
	struct large_work work[2] = { { 0 }, { 0 } };
	struct large_tables tables = { 0 };
	int error;

	(void)state;
	grow(&alloc[0], &work[0]);
	for (u32 i = 0; i < PAGES / 200; i++)
		assert_int_equal(large_tables_some(&th->heap, &tables, 100), LARGE_MORE);
	undo(&alloc[0], &work[0]);
	while (work[1].phase != LARGE_TABLES)
		assert_int_equal(large_alloc_some(&th->heap, &alloc[1], &work[1], PIECE),
				 LARGE_MORE);
	while (large_tables_some(&th->heap, &tables, 100) == LARGE_MORE)
		;
	pieces(&alloc[1], &work[1], 1000, &error);
	assert_int_equal(error, 0);
	use_the_rest();
	core_check(th);
}

/* The first finds no memory, then room: its own pages, which others have grown beyond. */
static void test_one_may_begin_anew_while_another_makes_the_heap_grow(void **state)
{
	struct gcheap_alloc_large alloc[2] = { object(0), object(0) };
	struct large_work work[2] = { { 0 }, { 0 } };
	u32 chunk = request_chunk(th);
	u32 tables;
	int error;

	(void)state;
	assert_int_not_equal(chunk, 0);
	/* Room is made of it, so that the search goes on. */
	assert_int_equal(request_chunk_free(th, chunk), 0);
	assert_int_equal(request_chunk_ready(th, chunk), 0);
	grow(&alloc[0], &work[0]);
	grow(&alloc[1], &work[1]);
	port_test.page_limit = 1;
	while (work[0].phase != LARGE_ROOM)
		assert_int_equal(large_alloc_some(&th->heap, &alloc[0], &work[0], PIECE),
				 LARGE_MORE);
	port_test.page_limit = 0;
	tables = th->heap.heap_pages;
	pieces(&alloc[0], &work[0], 1000, &error);
	assert_int_equal(error, 0);
	assert_true(alloc[0].out_page + PAGES <= tables);
	pieces(&alloc[1], &work[1], 1000, &error);
	assert_int_equal(error, 0);
	use_the_rest();
	core_check(th);
}

/* Nothing else could give them back: they are not below the end of the heap. */
static void test_one_that_fails_gives_its_bit_tables_back(void **state)
{
	struct gcheap_alloc_large alloc = object(GCHEAP_ALLOC_LAZY);
	struct large_work work = { 0 };
	u64 made = th->tables_made;
	u32 count = 0;

	(void)state;
	grow(&alloc, &work);
	while (work.phase != LARGE_DESCRIBE)
		assert_int_equal(large_alloc_some(&th->heap, &alloc, &work, PIECE), LARGE_MORE);
	/* Two of 64 pages, and BITMAP of 16. */
	assert_true(th->tables_made - made >= PAGES / 64 * 6);
	count = undo(&alloc, &work);
	assert_true(count > 2);
	/* What stays: PAGES, SPANS, and those of arenas. */
	assert_true(th->tables_made - made <= PAGES / 512 + PAGES / 128 + 6);
	assert_int_equal(heap_alloc_large(&th->heap, &alloc), 0);
	core_check(th);
}

static void test_a_heap_that_cannot_grow_gives_its_bit_tables_back(void **state)
{
	u64 made = th->tables_made, most = 0;

	(void)state;
	for (u32 n = 1; ; n++) {
		u32 page;

		port_test_fail(n, true);
		page = request_span(th, 0, CLASS_512);
		port_test_fail(0, false);
		if (page)
			break;
		most = max_t(u64, most, n);
		for (u32 marks = 0; marks < HEAP_GROW_PAGES / 64; marks++)
			assert_null(test_heap_table(th, GCHEAP_REGION_MARKS,
						    marks * PORT_TABLE_PAGE_BYTES));
		assert_true(th->tables_made - made <= 5);
	}
	assert_true(most > HEAP_GROW_PAGES / 64 * 6);
	core_check(th);
}

static void test_it_fails_where_there_is_no_memory_and_changes_nothing(void **state)
{
	struct gcheap_alloc_large alloc = object(0);
	struct large_work work = { 0 };
	struct core_state saved;
	int error;

	(void)state;
	core_state_save(th, &saved);
	port_test.page_limit = PAGES / 2;
	pieces(&alloc, &work, 1000, &error);
	assert_int_equal(error, -ENOMEM);
	undo(&alloc, &work);
	core_state_check(th, &saved);
	core_check(th);
}

/* ---- MARK_START ------------------------------------------------------------------- */

static void test_marks_are_cleared_in_pieces_and_others_may_allocate(void **state)
{
	u32 page[3000], late;
	u32 count = 0;
	bool more;

	(void)state;
	for (u32 i = 0; i < 3000; i++) {
		page[i] = request_large(th, 0, 6 * GCHEAP_PAGE_BYTES);
		assert_int_not_equal(page[i], 0);
		page_mark(th, page[i]);
	}
	more = heap_mark_prepare(&th->heap, true);
	assert_true(more);
	/* Its page was marked, by what was there before. */
	assert_int_equal(request_free_large(th, page[0]), 0);
	page_mark(th, page[0]);
	late = request_large(th, 0, 6 * GCHEAP_PAGE_BYTES);
	assert_int_equal(late, page[0]);
	while (more) {
		more = heap_mark_prepare(&th->heap, false);
		count++;
	}
	assert_true(count > 1);
	assert_int_equal(request_mark_start(th), 0);
	assert_int_equal(request_sweep_start(th, NULL), 0);
	/* Nothing was marked in this cycle. */
	assert_int_equal(th->heap.counters.spans, 0);
	core_check(th);
}

static void test_what_is_left_to_sweep_is_not_cleared(void **state)
{
	u32 page = request_large(th, 0, 1);

	(void)state;
	assert_int_equal(request_mark_start(th), 0);
	slot_mark(th, page, 0);
	assert_int_equal(request_sweep_start_flags(th, GCHEAP_SWEEP_START_LAZY, 0, NULL), 0);
	assert_false(heap_mark_prepare(&th->heap, true));
	assert_int_equal(request_mark_start(th), 0);
	assert_int_equal(th->heap.counters.spans, 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, fixture_end)
	const struct CMUnitTest tests[] = {
		T(test_an_object_is_made_in_pieces_and_seen_when_it_is_whole),
		T(test_from_each_piece_there_is_a_way_back),
		T(test_others_may_make_the_heap_grow_meanwhile),
		T(test_one_may_fail_while_another_makes_the_heap_grow),
		T(test_tables_are_made_in_pieces_for_another),
		T(test_tables_that_lack_are_made_once),
		T(test_tables_that_were_dropped_are_made_anew),
		T(test_one_may_begin_anew_while_another_makes_the_heap_grow),
		T(test_one_that_fails_gives_its_bit_tables_back),
		T(test_a_heap_that_cannot_grow_gives_its_bit_tables_back),
		T(test_it_fails_where_there_is_no_memory_and_changes_nothing),
		T(test_marks_are_cleared_in_pieces_and_others_may_allocate),
		T(test_what_is_left_to_sweep_is_not_cleared),
	};

	return cmocka_run_group_tests_name("large", tests, NULL, NULL);
}
