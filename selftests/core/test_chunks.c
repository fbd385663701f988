// SPDX-License-Identifier: MIT
/*
 * Chunks of user arenas: CHUNK_NEW, CHUNK_FREE, CHUNK_READY.
 */
#include "core_check.h"
#include "core_test.h"
#include "fixture.h"
#include "request.h"

#define RESERVE		(2 * GCHEAP_RESERVE_MIN)
#define CLASS_64	6u

static int setup(void **state)
{
	(void)state;
	return fixture_begin(GCHEAP_LAYOUT_SPAN, RESERVE, 0);
}

static u32 state_at(u32 page)
{
	return heap_span(&th->heap, page)->state & GCHEAP_SPAN_STATE_MASK;
}

/* A request that must fail, and change nothing. */
#define assert_err(error, request) do { \
	struct core_state saved_; \
	core_state_save(th, &saved_); \
	assert_int_equal(request, error); \
	core_state_check(th, &saved_); \
} while (0)

/* ---- the circle of a chunk's life ------------------------------------------------ */

static void test_a_new_chunk_is_aligned_backed_and_nobody_elses(void **state)
{
	u32 span = request_span(th, 0, CLASS_64);
	u32 page = request_chunk(th);
	u32 next = request_chunk(th);

	(void)state;
	assert_int_not_equal(span, 0);
	assert_int_equal(page, CHUNK_PAGES);
	assert_int_equal(next, 2 * CHUNK_PAGES);
	assert_true(test_heap_backed(th, page, 2 * CHUNK_PAGES));
	assert_int_equal(state_at(page), GCHEAP_SPAN_CHUNK);
	assert_int_equal(state_at(page + 1), GCHEAP_SPAN_INNER);
	assert_int_equal(th->heap.counters.chunks, 2);
	assert_int_equal(th->heap.counters.spans, 1);
	assert_int_equal(th->heap.counters.in_use_pages, 1 + 2 * CHUNK_PAGES);
	core_check_bits(th);
	/* What is between goes to spans. */
	assert_in_range(request_large(th, 0, 100 * GCHEAP_PAGE_BYTES), 1, CHUNK_PAGES - 1);
	core_check(th);
}

static void test_the_lowest_aligned_run_is_taken(void **state)
{
	u32 low = request_large(th, 0, (CHUNK_PAGES + 1) * GCHEAP_PAGE_BYTES);
	u32 mid = request_large(th, 0, 2 * CHUNK_PAGES * GCHEAP_PAGE_BYTES);
	u32 high = request_large(th, 0, 5 * CHUNK_PAGES * GCHEAP_PAGE_BYTES);

	(void)state;
	assert_int_equal(low, 1);
	assert_int_equal(high, mid + 2 * CHUNK_PAGES);
	/* Long enough, but there is no aligned run in it. */
	assert_int_equal(request_free_large(th, low), 0);
	assert_int_equal(request_chunk(th), 9 * CHUNK_PAGES);
	assert_int_equal(request_free_large(th, mid), 0);
	assert_int_equal(request_chunk(th), CHUNK_PAGES);
	assert_int_equal(request_chunk(th), 2 * CHUNK_PAGES);
	assert_int_equal(request_free_large(th, high), 0);
	for (u32 i = 3; i < 9; i++)
		assert_int_equal(request_chunk(th), i * CHUNK_PAGES);
	core_check(th);
}

static void test_a_freed_chunk_has_no_memory_and_its_addresses_are_not_used(void **state)
{
	u32 page = request_chunk(th);

	(void)state;
	assert_int_equal(request_chunk_free(th, page), 0);
	assert_int_equal(th->depopulates, 1);
	assert_int_equal(state_at(page), GCHEAP_SPAN_QUARANTINE);
	for (u32 i = 0; i < CHUNK_PAGES; i++)
		assert_false(test_heap_backed(th, page + i, 1));
	assert_int_equal(th->heap.counters.chunks, 0);
	assert_int_equal(th->heap.counters.quarantined_pages, CHUNK_PAGES);
	assert_int_equal(th->heap.counters.in_use_pages, 0);
	core_check(th);
	assert_int_equal(request_chunk(th), page + CHUNK_PAGES);
	/* Neither by spans, until there is no room left. */
	for (u32 large; (large = request_large(th, 0, 64 * GCHEAP_PAGE_BYTES));)
		assert_false(large + 64 > page && large < page + CHUNK_PAGES);
	core_check(th);
}

static void test_cycles_leave_chunks_and_freed_chunks_alone(void **state)
{
	u32 used = request_chunk(th);
	u32 freed = request_chunk(th);
	u64 spans;

	(void)state;
	assert_int_equal(request_chunk_free(th, freed), 0);
	for (u32 i = 0; i < 4; i++) {
		request_large(th, 0, 50000);
		assert_int_equal(request_mark_start(th), 0);
		if (i == 2) {
			page_mark(th, used);
			page_mark(th, freed);
		}
		assert_int_equal(request_sweep_start(th, &spans), 0);
		assert_int_equal(spans, 1);
		assert_int_equal(state_at(used), GCHEAP_SPAN_CHUNK);
		assert_int_equal(state_at(freed), GCHEAP_SPAN_QUARANTINE);
		assert_int_equal(th->heap.counters.unswept_spans, 0);
		core_check(th);
	}
}

/* A marker finds a pointer into a freed chunk in one cycle, and none in the next. */
static void test_the_page_mark_of_a_freed_chunk_is_of_one_cycle(void **state)
{
	u32 used = request_chunk(th);
	u32 freed = request_chunk(th);
	u64 spans;

	(void)state;
	assert_int_equal(request_chunk_free(th, freed), 0);
	for (u32 i = 0; i < 4; i++) {
		const struct arena *arena = heap_arena(&th->heap, freed);
		const u64 *word = &arena->page_marks[arena_offset(freed) / 64];

		assert_int_equal(request_mark_start(th), 0);
		assert_int_equal(*word, 0);
		if (i % 2)
			page_mark(th, freed);
		assert_int_equal(request_sweep_start(th, &spans), 0);
		assert_int_equal(*word, i % 2);
		core_check(th);
	}
	assert_int_equal(state_at(used), GCHEAP_SPAN_CHUNK);
}

static void test_a_ready_chunk_is_the_next_new_one(void **state)
{
	u32 pages[3];

	(void)state;
	for (u32 i = 0; i < 3; i++)
		pages[i] = request_chunk(th);
	for (u32 i = 0; i < 3; i++)
		assert_int_equal(request_chunk_free(th, pages[i]), 0);
	assert_int_equal(request_chunk_ready(th, pages[2]), 0);
	assert_int_equal(request_chunk_ready(th, pages[0]), 0);
	assert_int_equal(th->heap.counters.quarantined_pages, CHUNK_PAGES);
	core_check(th);
	/* The one that was used last comes first. */
	assert_int_equal(request_chunk(th), pages[0]);
	assert_int_equal(request_chunk(th), pages[2]);
	assert_int_equal(request_chunk(th), 4 * CHUNK_PAGES);
	assert_true(test_heap_backed(th, pages[0], CHUNK_PAGES));
	assert_int_equal(th->heap.counters.chunks, 3);
	core_check(th);
}

static void test_spans_get_ready_chunks_when_the_reserve_is_full(void **state)
{
	const u64 reserve_pages = RESERVE >> GCHEAP_PAGE_SHIFT;
	u32 pages[2], count, small;

	(void)state;
	pages[0] = request_chunk(th);
	pages[1] = request_chunk(th);
	assert_int_equal(request_large(th, 0, (reserve_pages - 3 * CHUNK_PAGES) *
				       GCHEAP_PAGE_BYTES), 3 * CHUNK_PAGES);
	for (u32 i = 0; i < 2; i++) {
		assert_int_equal(request_chunk_free(th, pages[i]), 0);
		/* Not while they are in quarantine. */
		assert_int_equal(request_large(th, 0, CHUNK_PAGES * GCHEAP_PAGE_BYTES), 0);
	}
	assert_int_equal(request_chunk_ready(th, pages[0]), 0);
	assert_int_equal(request_chunk_ready(th, pages[1]), 0);
	assert_int_equal(request_large(th, 0, 2 * CHUNK_PAGES * GCHEAP_PAGE_BYTES), 1);
	assert_int_equal(th->heap.ready_pages, 0);
	core_check(th);
	/* Small spans likewise. */
	assert_int_equal(request_free_large(th, 1), 0);
	assert_int_equal(request_chunk(th), pages[0]);
	assert_int_equal(request_chunk_free(th, pages[0]), 0);
	assert_int_equal(request_chunk_ready(th, pages[0]), 0);
	for (count = 0; (small = request_span(th, 0, CLASS_64)); count++)
		;
	assert_int_equal(count, 3 * CHUNK_PAGES - 1);
	core_check(th);
}

/* ---- what is refused --------------------------------------------------------------- */

static void test_err_chunk_free_of_what_is_no_chunk(void **state)
{
	u32 small = request_span(th, 0, CLASS_64);
	u32 page = request_chunk(th);
	u32 large = request_large(th, 0, 2 * CHUNK_PAGES * GCHEAP_PAGE_BYTES);

	(void)state;
	assert_err(-EINVAL, request_chunk_free(th, 0));
	assert_err(-EINVAL, request_chunk_free(th, small));
	assert_err(-EINVAL, request_chunk_free(th, small + 1));
	assert_err(-EINVAL, request_chunk_free(th, page + 1));
	assert_err(-EINVAL, request_chunk_free(th, page + CHUNK_PAGES - 1));
	assert_err(-EINVAL, request_chunk_free(th, page - 1));
	assert_err(-EINVAL, request_chunk_free(th, large));
	assert_err(-EINVAL, request_chunk_free(th, round_up(large, CHUNK_PAGES)));
	assert_err(-EINVAL, request_chunk_free(th, th->heap.heap_pages));
	assert_err(-EINVAL, request_chunk_free(th, U32_MAX));
	assert_int_equal(request_chunk_free(th, page), 0);
	assert_err(-EINVAL, request_chunk_free(th, page));
	assert_int_equal(request_chunk_ready(th, page), 0);
	assert_err(-EINVAL, request_chunk_free(th, page));
}

static void test_err_chunk_ready_of_what_is_not_freed(void **state)
{
	u32 small = request_span(th, 0, CLASS_64);
	u32 page = request_chunk(th);

	(void)state;
	assert_err(-EINVAL, request_chunk_ready(th, 0));
	assert_err(-EINVAL, request_chunk_ready(th, small));
	assert_err(-EINVAL, request_chunk_ready(th, page));
	assert_err(-EINVAL, request_chunk_ready(th, th->heap.heap_pages));
	assert_err(-EINVAL, request_chunk_ready(th, U32_MAX));
	assert_int_equal(request_chunk_free(th, page), 0);
	assert_err(-EINVAL, request_chunk_ready(th, page + 1));
	assert_int_equal(request_chunk_ready(th, page), 0);
	assert_err(-EINVAL, request_chunk_ready(th, page));
}

static void test_err_chunk_ready_while_a_cycle_marks(void **state)
{
	u32 page = request_chunk(th);

	(void)state;
	assert_int_equal(request_mark_start(th), 0);
	/* Making chunks and freeing them is allowed at any time. */
	assert_int_equal(request_chunk_free(th, page), 0);
	assert_int_equal(request_chunk(th), page + CHUNK_PAGES);
	assert_err(-EBUSY, request_chunk_ready(th, page));
	assert_err(-EINVAL, request_chunk_ready(th, page + CHUNK_PAGES));
	assert_int_equal(request_sweep_start(th, NULL), 0);
	assert_int_equal(request_chunk_ready(th, page), 0);
	core_check(th);
}

static void test_err_flags_and_reserved_fields(void **state)
{
	struct gcheap_chunk_new new = { .flags = 1 };
	struct gcheap_chunk_free free_flags = { .flags = 1 };
	struct gcheap_chunk_free free_reserved = { .reserved = 1 };
	struct gcheap_chunk_ready ready_flags = { .flags = 1 };
	struct gcheap_chunk_ready ready_reserved = { .reserved = 1 };

	(void)state;
	free_flags.page = request_chunk(th);
	free_reserved.page = free_flags.page;
	assert_err(-EOPNOTSUPP, heap_chunk_new(&th->heap, &new));
	assert_err(-EOPNOTSUPP, heap_chunk_free(&th->heap, &free_flags));
	assert_err(-EINVAL, heap_chunk_free(&th->heap, &free_reserved));
	assert_int_equal(request_chunk_free(th, free_flags.page), 0);
	ready_flags.page = free_flags.page;
	ready_reserved.page = free_flags.page;
	assert_err(-EOPNOTSUPP, heap_chunk_ready(&th->heap, &ready_flags));
	assert_err(-EINVAL, heap_chunk_ready(&th->heap, &ready_reserved));
}

/* ---- no memory --------------------------------------------------------------------- */

static void test_err_no_reserve_is_left_for_a_chunk(void **state)
{
	u32 count = 0;

	(void)state;
	while (request_chunk(th))
		count++;
	/* All of the reserve, but for the chunk that page 0 is in. */
	assert_int_equal(count, (RESERVE >> GCHEAP_CHUNK_SHIFT) - 1);
	core_check(th);
}

static void test_err_every_failure_of_chunk_new_changes_nothing(void **state)
{
	struct core_state saved;
	u32 failures = 0;
	u32 page = 0;

	(void)state;
	core_state_save(th, &saved);
	for (u64 n = 1; !page; n++) {
		port_test_fail(n, false);
		page = request_chunk(th);
		if (page)
			break;
		assert_int_equal(port_test.failures, 1);
		port_test_reset();
		core_state_check(th, &saved);
		failures++;
	}
	port_test_reset();
	assert_in_range(failures, 3, 1000000);
	assert_int_equal(page, CHUNK_PAGES);
	core_check(th);
}

static void test_err_no_memory_for_a_ready_chunk(void **state)
{
	u32 page = request_chunk(th);

	(void)state;
	assert_int_equal(request_chunk_free(th, page), 0);
	assert_int_equal(request_chunk_ready(th, page), 0);
	port_test_fail(1, true);
	assert_int_equal(request_chunk(th), 0);
	port_test_reset();
	core_check(th);
	assert_int_equal(request_chunk(th), page);
	core_check(th);
}

/* ---- at random --------------------------------------------------------------------- */

static void test_chunks_at_random(void **state)
{
	u32 chunks[64], freed[64];
	u32 chunk_count = 0;
	u32 freed_count = 0;

	(void)state;
	random_seed();
	for (u32 step = 0; step < 2000; step++) {
		u32 i = (u32)random_below(64);

		switch (random_below(6)) {
		case 0:
			if (chunk_count < 8) {
				u32 page = request_chunk(th);

				if (page)
					chunks[chunk_count++] = page;
			}
			break;
		case 1:
			if (i < chunk_count) {
				assert_int_equal(request_chunk_free(th, chunks[i]), 0);
				freed[freed_count++] = chunks[i];
				chunks[i] = chunks[--chunk_count];
			}
			break;
		case 2:
			if (i < freed_count &&
			    !request_chunk_ready(th, freed[i]))
				freed[i] = freed[--freed_count];
			break;
		case 3:
			request_large(th, 0, random_length(2 * GCHEAP_CHUNK_BYTES));
			break;
		case 4:
			if (random_one_in(8)) {
				request_mark_start(th);
				break;
			}
			request_sweep_start(th, NULL);
			break;
		default:
			assert_int_equal(request_chunk_free(th, i),
					 -EINVAL);
		}
		if (step % 50 == 0)
			core_check(th);
		assert_int_equal(th->heap.counters.chunks, chunk_count);
	}
	core_check(th);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, fixture_end)
	const struct CMUnitTest tests[] = {
		T(test_a_new_chunk_is_aligned_backed_and_nobody_elses),
		T(test_the_lowest_aligned_run_is_taken),
		T(test_a_freed_chunk_has_no_memory_and_its_addresses_are_not_used),
		T(test_cycles_leave_chunks_and_freed_chunks_alone),
		T(test_the_page_mark_of_a_freed_chunk_is_of_one_cycle),
		T(test_a_ready_chunk_is_the_next_new_one),
		T(test_spans_get_ready_chunks_when_the_reserve_is_full),
		T(test_err_chunk_free_of_what_is_no_chunk),
		T(test_err_chunk_ready_of_what_is_not_freed),
		T(test_err_chunk_ready_while_a_cycle_marks),
		T(test_err_flags_and_reserved_fields),
		T(test_err_no_reserve_is_left_for_a_chunk),
		T(test_err_every_failure_of_chunk_new_changes_nothing),
		T(test_err_no_memory_for_a_ready_chunk),
		T(test_chunks_at_random),
	};

	return cmocka_run_group_tests_name("chunks", tests, NULL, NULL);
}
