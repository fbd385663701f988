// SPDX-License-Identifier: MIT
/*
 * The lazy SWEEP_START and the page reclaimer: dead spans that are freed as pages
 * are needed.
 */
#include "core_check.h"
#include "core_test.h"
#include "fixture.h"
#include "request.h"

#define CLASS_64	6u	/* 128 slots of 64 bytes, one page */
#define CLASS_4096	44u	/* 2 slots, one page */
#define CLASS_27264	65u	/* 3 slots, ten pages */

#define RESERVE		(6 * GCHEAP_RESERVE_MIN)

static int setup(void **state)
{
	(void)state;
	return fixture_begin(GCHEAP_LAYOUT_SPAN, RESERVE, 0);
}

static struct gcheap_span *span_at(u32 page)
{
	return heap_span(&th->heap, page);
}

static u32 state_at(u32 page)
{
	return span_at(page)->state & GCHEAP_SPAN_STATE_MASK;
}

static const struct gcheap_counters *counters(void)
{
	return &th->heap.counters;
}

/* @count full spans, given back. */
static void kept_spans(u32 size_class, u32 *pages, u32 count)
{
	for (u32 i = 0; i < count; i++) {
		pages[i] = request_span(th, 0, size_class);
		assert_int_not_equal(pages[i], 0);
		slots_allocate(th, pages[i], span_at(pages[i])->slots);
		assert_int_equal(request_return(th, pages[i]), 0);
	}
}

static void mark_start(void)
{
	assert_int_equal(request_mark_start(th), 0);
}

static void sweep_start_lazy(void)
{
	u64 spans = counters()->spans;
	u64 freed;

	assert_int_equal(request_sweep_start_flags(th, GCHEAP_SWEEP_START_LAZY, 0, &freed), 0);
	assert_int_equal(freed, 0);
	assert_int_equal(counters()->spans, spans);
	core_check(th);
}

/* ---- what a lazy SWEEP_START leaves -------------------------------------------- */

static void test_a_lazy_sweep_start_frees_nothing(void **state)
{
	struct gcheap_sweep_start start = { .flags = GCHEAP_SWEEP_START_LAZY };
	u32 pages[100], large;

	(void)state;
	kept_spans(CLASS_64, pages, 100);
	large = request_large(th, 0, 100000);
	mark_start();
	slot_mark(th, pages[50], 3);
	assert_int_equal(heap_sweep_start(&th->heap, &start), 0);
	assert_int_equal(start.out_generation, 2);
	assert_int_equal(start.out_mark_table, 1);
	assert_int_equal(start.out_freed_spans, 0);
	assert_int_equal(start.out_freed_pages, 0);
	assert_int_equal(start.out_unswept_spans, 101);
	assert_int_equal(counters()->unswept_spans, 100);
	assert_int_equal(state_at(large), GCHEAP_SPAN_LARGE);
	assert_int_equal(state_at(pages[0]), GCHEAP_SPAN_CENTRAL);
	core_check(th);
}

static void test_reclaim_frees_what_is_dead_and_no_more(void **state)
{
	u32 small[500], larges[20];
	u64 pages, left;

	(void)state;
	kept_spans(CLASS_27264, small, 500);
	for (u32 i = 0; i < 20; i++)
		larges[i] = request_large(th, 0, (i + 1) * 8192);
	mark_start();
	for (u32 i = 0; i < 500; i += 3)
		slot_mark(th, small[i], i % 3);
	for (u32 i = 0; i < 20; i += 2)
		slot_mark(th, larges[i], 0);
	sweep_start_lazy();
	assert_int_equal(request_reclaim(th, U64_MAX, &pages, &left), 0);
	assert_int_equal(pages, 333 * 10 + (2 + 20) * 10 / 2);
	assert_int_equal(left, 0);
	assert_int_equal(counters()->reclaimed_pages, pages);
	assert_int_equal(counters()->freed_spans, 343);
	assert_int_equal(counters()->freed_unread_spans, 343);
	assert_int_equal(counters()->swept_spans, 0);
	assert_int_equal(counters()->unswept_spans, 167);
	for (u32 i = 0; i < 500; i++)
		assert_int_equal(state_at(small[i]),
				 i % 3 ? GCHEAP_SPAN_FREE : GCHEAP_SPAN_CENTRAL);
	for (u32 i = 0; i < 20; i++)
		assert_int_equal(state_at(larges[i]),
				 i % 2 ? GCHEAP_SPAN_FREE : GCHEAP_SPAN_LARGE);
	core_check_bits(th);
	assert_int_equal(request_reclaim(th, U64_MAX, &pages, &left), 0);
	assert_int_equal(pages, 0);
	assert_int_equal(left, 0);
}

static void test_reclaim_stops_at_the_pages_asked_for_and_goes_on_there(void **state)
{
	u32 spans[300];
	u64 pages, left, before = U64_MAX;
	u64 freed = 0;
	u32 rounds;

	(void)state;
	kept_spans(CLASS_27264, spans, 300);
	mark_start();
	sweep_start_lazy();
	for (rounds = 0; freed < 3000; rounds++) {
		assert_int_equal(request_reclaim(th, 95, &pages, &left), 0);
		/* Whole spans: up to a span less a page too many. */
		assert_int_equal(pages, 100);
		assert_in_range(left, 0, before);
		before = left;
		freed += pages;
		assert_int_equal(counters()->reclaimed_pages, freed);
		core_check(th);
	}
	assert_int_equal(rounds, 30);
	assert_int_equal(counters()->spans, 0);
	assert_int_equal(request_reclaim(th, 1, &pages, &left), 0);
	assert_int_equal(pages, 0);
	assert_int_equal(left, 0);
}

static void test_mark_start_finishes_the_walk(void **state)
{
	u32 pages[200], large;
	struct gcheap_mark_start start = { 0 };

	(void)state;
	kept_spans(CLASS_64, pages, 200);
	large = request_large(th, 0, 1 << 20);
	mark_start();
	slot_mark(th, pages[7], 0);
	sweep_start_lazy();
	assert_int_equal(heap_mark_start(&th->heap, &start), 0);
	assert_int_equal(start.out_swept_spans, 201);
	assert_int_equal(counters()->spans, 1);
	assert_int_equal(counters()->reclaimed_pages, 0);
	assert_int_equal(state_at(large), GCHEAP_SPAN_FREE);
	assert_int_equal(state_at(pages[7]), GCHEAP_SPAN_CENTRAL);
	core_check_marks_are_clear(th);
	core_check_bits(th);
}

static void test_sweep_is_bounded_and_finds_large_dead_spans_too(void **state)
{
	u32 pages[10], larges[10];
	u64 swept, freed;

	(void)state;
	for (u32 i = 0; i < 10; i++) {
		kept_spans(CLASS_64, &pages[i], 1);
		larges[i] = request_large(th, 0, 10000);
	}
	mark_start();
	for (u32 i = 0; i < 5; i++) {
		slot_mark(th, pages[i], 0);
		slot_mark(th, larges[i], 0);
	}
	sweep_start_lazy();
	for (u32 i = 0; i < 5; i++) {
		assert_int_equal(request_sweep(th, 2, &swept, &freed), 0);
		assert_int_equal(swept, 2);
		assert_int_equal(freed, 2);
		core_check(th);
	}
	assert_int_equal(request_sweep(th, U64_MAX, &swept, &freed), 0);
	assert_int_equal(swept, 5);
	assert_int_equal(freed, 0);
	assert_int_equal(counters()->spans, 10);
	assert_int_equal(counters()->unswept_spans, 0);
	core_check_bits(th);
}

static void test_refill_sweeps_dead_spans_of_its_class_without_counting(void **state)
{
	u32 pages[50];

	(void)state;
	kept_spans(CLASS_64, pages, 50);
	mark_start();
	/* Mark bits without a page mark are nobody's. */
	for (u32 granule = 0; granule < 512; granule++)
		granule_set(th, th->heap.mark_table, pages[49], granule);
	sweep_start_lazy();
	assert_int_not_equal(request_span(th, 0, CLASS_64), 0);
	assert_in_range(counters()->freed_spans, 1, 50);
	assert_int_equal(counters()->freed_unread_spans, counters()->freed_spans);
	assert_int_equal(request_sweep(th, U64_MAX, NULL, NULL), 0);
	assert_int_equal(counters()->spans, 1);
	core_check(th);
}

/* ---- new spans are not dead ------------------------------------------------------ */

static void test_what_was_made_since_is_not_reclaimed(void **state)
{
	u32 old[64], cached, given, large, chunk;
	u64 pages;

	(void)state;
	kept_spans(CLASS_64, old, 64);
	mark_start();
	slot_mark(th, old[10], 0);
	sweep_start_lazy();
	cached = request_span(th, 0, CLASS_4096);
	large = request_large(th, 0, 100000);
	chunk = request_chunk(th);
	kept_spans(CLASS_27264, &given, 1);
	assert_int_equal(request_reclaim(th, U64_MAX, &pages, NULL), 0);
	assert_int_equal(state_at(cached), GCHEAP_SPAN_CACHED);
	assert_int_equal(state_at(large), GCHEAP_SPAN_LARGE);
	assert_int_equal(state_at(chunk), GCHEAP_SPAN_CHUNK);
	assert_int_equal(state_at(given), GCHEAP_SPAN_CENTRAL);
	assert_int_equal(state_at(old[10]), GCHEAP_SPAN_CENTRAL);
	assert_int_equal(counters()->spans, 4);
	core_check(th);
	/* They are in the next cycle. */
	assert_int_equal(request_return(th, cached), 0);
	mark_start();
	sweep_start_lazy();
	assert_int_equal(request_reclaim(th, U64_MAX, &pages, NULL), 0);
	assert_int_equal(counters()->spans, 0);
	assert_int_equal(state_at(chunk), GCHEAP_SPAN_CHUNK);
	core_check(th);
}

static void test_swept_and_cached_spans_survive_the_loss_of_their_page_mark(void **state)
{
	u32 pages[2], cached;
	u64 freed;

	(void)state;
	kept_spans(CLASS_64, pages, 2);
	mark_start();
	slot_mark(th, pages[0], 0);
	slot_mark(th, pages[1], 0);
	sweep_start_lazy();
	/* Swept by REFILL: one is handed out, the other stays. */
	cached = request_span(th, 0, CLASS_64);
	assert_int_equal(counters()->unswept_spans, 0);
	heap_arena(&th->heap, pages[0])->page_marks[0] = 0;
	assert_int_equal(request_reclaim(th, U64_MAX, &freed, NULL), 0);
	assert_int_equal(freed, 0);
	assert_int_equal(state_at(cached), GCHEAP_SPAN_CACHED);
	core_check(th);
}

static void test_an_unswept_span_that_loses_its_page_mark_is_dead(void **state)
{
	u32 page;
	u64 freed;

	(void)state;
	kept_spans(CLASS_64, &page, 1);
	mark_start();
	slot_mark(th, page, 0);
	sweep_start_lazy();
	heap_arena(&th->heap, page)->page_marks[0] = 0;
	assert_int_equal(request_reclaim(th, U64_MAX, &freed, NULL), 0);
	assert_int_equal(freed, 1);
	assert_int_equal(state_at(page), GCHEAP_SPAN_FREE);
	core_check(th);
}

static void test_large_spans_of_any_age_are_found(void **state)
{
	u32 larges[8];
	u64 freed;

	(void)state;
	for (u32 i = 0; i < 8; i++)
		larges[i] = request_large(th, 0, 10000);
	/* Through all of the generation's 16 bits, and half of them again. */
	for (u32 cycle = 1; cycle <= 50000; cycle++) {
		mark_start();
		for (u32 i = 0; i < 8; i++) {
			if (cycle != 32768u * (i > 0) + i && cycle != 49152u + i)
				slot_mark(th, larges[i], 0);
		}
		assert_int_equal(request_sweep_start_flags(th, GCHEAP_SWEEP_START_LAZY, 0, NULL),
				 0);
		assert_int_equal(request_reclaim(th, U64_MAX, &freed, NULL), 0);
		for (u32 i = 0; i < 8; i++) {
			if (cycle != 32768u * (i > 0) + i && cycle != 49152u + i)
				continue;
			assert_int_equal(freed, 2);
			larges[i] = request_large(th, 0, 10000);
			freed = 0;
		}
		assert_int_equal(freed, 0);
	}
	core_check(th);
}

/* ---- credit ------------------------------------------------------------------------ */

static void test_an_allocation_frees_as_much_as_it_takes_before_the_heap_grows(void **state)
{
	u32 spans[100], heap_pages;

	(void)state;
	kept_spans(CLASS_27264, spans, 100);
	heap_pages = th->heap.heap_pages;
	mark_start();
	sweep_start_lazy();
	for (u32 i = 0; i < 20; i++) {
		assert_int_not_equal(request_large(th, 0, 50 * 8192), 0);
		assert_int_equal(counters()->reclaimed_pages, (i + 1) * 50);
		assert_int_equal(counters()->in_use_pages, 1000);
		assert_int_equal(th->heap.heap_pages, heap_pages);
		core_check(th);
	}
	/* All that was dead is gone. */
	assert_int_not_equal(request_large(th, 0, 50 * 8192), 0);
	assert_int_equal(counters()->reclaimed_pages, 1000);
	assert_true(reclaim_is_done(&th->heap));
}

static void test_surplus_is_credit_for_later_allocations(void **state)
{
	u32 spans[10];

	(void)state;
	kept_spans(CLASS_27264, spans, 10);
	mark_start();
	sweep_start_lazy();
	for (u32 i = 0; i < 25; i++) {
		assert_int_not_equal(request_large(th, 0, 4 * 8192), 0);
		/* Ten pages at a time, when the credit is less than four. */
		assert_int_equal(counters()->reclaimed_pages, ((i + 1) * 4 + 9) / 10 * 10);
		assert_int_equal(th->heap.reclaim.credit,
				 counters()->reclaimed_pages - (i + 1) * 4);
	}
	core_check(th);
}

static void test_what_sweep_and_reclaim_free_is_credit_too(void **state)
{
	u32 spans[10];

	(void)state;
	kept_spans(CLASS_27264, spans, 10);
	mark_start();
	sweep_start_lazy();
	assert_int_equal(request_sweep(th, 2, NULL, NULL), 0);
	assert_int_equal(th->heap.reclaim.credit, 20);
	assert_int_equal(counters()->reclaimed_pages, 0);
	assert_int_equal(request_reclaim(th, 10, NULL, NULL), 0);
	assert_int_equal(th->heap.reclaim.credit, 30);
	assert_int_equal(counters()->reclaimed_pages, 10);
	assert_int_not_equal(request_large(th, 0, 30 * 8192), 0);
	assert_int_equal(th->heap.reclaim.credit, 0);
	assert_int_equal(counters()->reclaimed_pages, 10);
	core_check(th);
}

static void test_a_refill_reclaims_for_all_the_spans_it_takes(void **state)
{
	struct gcheap_grant grants[64];
	u32 spans[100], count = 64;

	(void)state;
	kept_spans(CLASS_27264, spans, 100);
	mark_start();
	sweep_start_lazy();
	assert_int_equal(request_refill(th, 0, CLASS_64, 64 * 8192, NULL, 0, grants, &count), 0);
	assert_int_equal(count, 64);
	assert_int_equal(counters()->reclaimed_pages, 70);
	assert_int_equal(th->heap.reclaim.credit, 6);
	core_check(th);
}

static void test_a_swept_slot_costs_no_reclaiming(void **state)
{
	u32 dead[10], sparse[400];

	(void)state;
	kept_spans(CLASS_27264, dead, 10);
	kept_spans(CLASS_4096, sparse, 400);
	mark_start();
	for (u32 i = 0; i < 400; i++)
		slot_mark(th, sparse[i], 0);
	sweep_start_lazy();
	/* Half of all slots is not more than half: fill what free pages there are. */
	while (th->heap.page_heap.free_pages)
		assert_int_not_equal(request_large(th, 0, 8192), 0);
	core_check(th);
	assert_true(reclaim_is_done(&th->heap));
	assert_int_equal(span_at(request_span(th, 0, CLASS_4096))->allocated, 1);
}

static void test_a_full_reserve_is_reclaimed_before_a_request_fails(void **state)
{
	u32 blocks[5], small[20];
	u64 chunk_bytes = GCHEAP_RESERVE_MIN;

	(void)state;
	kept_spans(CLASS_64, small, 20);
	for (u32 i = 0; i < 5; i++) {
		blocks[i] = request_large(th, 0, chunk_bytes);
		assert_int_not_equal(blocks[i], 0);
	}
	assert_int_equal(request_large(th, 0, chunk_bytes), 0);
	mark_start();
	slot_mark(th, small[0], 0);
	sweep_start_lazy();
	/* Longer than any dead span: all of them are needed. */
	assert_int_not_equal(request_large(th, 0, 5 * chunk_bytes), 0);
	core_check(th);
}

static void test_the_sweep_of_other_classes_is_finished_before_a_request_fails(void **state)
{
	u32 spans[1000], count = 0;
	u32 last;

	(void)state;
	kept_spans(CLASS_27264, spans, 1000);
	while (request_large(th, 0, GCHEAP_PAGE_BYTES * 64))
		count++;
	while (request_large(th, 0, GCHEAP_PAGE_BYTES))
		count++;
	assert_in_range(count, 100, 100000);
	mark_start();
	/* Nothing but the sweep of their bits finds them dead; the rest is alive. */
	for (u32 page = 1; page < th->heap.heap_pages; page++)
		page_mark(th, page);
	sweep_start_lazy();
	last = request_large(th, 0, 10 * GCHEAP_PAGE_BYTES);
	assert_int_not_equal(last, 0);
	assert_int_equal(counters()->unswept_spans, 0);
	core_check(th);
}

/* ---- errors ------------------------------------------------------------------------- */

static void test_err_reclaim_of_no_pages_and_unknown_flags(void **state)
{
	struct gcheap_reclaim flags = { .flags = 1, .max_pages = 1 };

	(void)state;
	assert_int_equal(request_reclaim(th, 0, NULL, NULL), -EINVAL);
	assert_int_equal(heap_reclaim(&th->heap, &flags), -EOPNOTSUPP);
}

static void test_reclaim_while_a_cycle_marks_finds_nothing(void **state)
{
	u32 spans[10];
	u64 pages, left;

	(void)state;
	kept_spans(CLASS_64, spans, 10);
	mark_start();
	assert_int_equal(request_reclaim(th, U64_MAX, &pages, &left), 0);
	assert_int_equal(pages, 0);
	assert_int_equal(left, 0);
	assert_int_equal(counters()->spans, 10);
}

static void test_a_fatal_signal_ends_every_walk_in_a_consistent_state(void **state)
{
	static u32 spans[3000];
	u64 pages, left, swept, freed;

	(void)state;
	kept_spans(CLASS_64, spans, 3000);
	mark_start();
	slot_mark(th, spans[100], 0);
	sweep_start_lazy();
	port_test_interrupt(2);
	assert_int_equal(request_reclaim(th, U64_MAX, &pages, &left), -EINTR);
	/* It asks every 1024 pages; page 0 is no span, and one is marked. */
	assert_int_equal(pages, 1022);
	assert_int_equal(left, th->heap.heap_pages - 1024);
	core_check(th);
	port_test_interrupt(2);
	assert_int_equal(request_sweep(th, U64_MAX, &swept, &freed), -EINTR);
	assert_int_equal(swept, 1024);
	assert_int_equal(freed, 1024);
	core_check(th);
	port_test_interrupt(1);
	assert_int_equal(request_mark_start(th), -EINTR);
	core_check(th);
	/* An allocation does its work all the same. */
	assert_int_not_equal(request_large(th, 0, 8192), 0);
	port_test_reset();
	core_check(th);
	mark_start();
	assert_int_equal(counters()->spans, 2);
	core_check_bits(th);
}

static void test_err_every_failure_leaves_a_heap_that_can_be_reclaimed(void **state)
{
	(void)state;
	for (u64 n = 1; n < 40; n++) {
		u32 spans[50];
		u64 left;

		kept_spans(CLASS_27264, spans, 50);
		mark_start();
		slot_mark(th, spans[n], 0);
		sweep_start_lazy();
		port_test_fail(n % 5 + 1, n % 2);
		request_large(th, 0, n * 65536);
		request_span(th, 0, CLASS_64 + (u32)n % 20);
		request_chunk(th);
		port_test_reset();
		core_check(th);
		assert_int_equal(request_reclaim(th, U64_MAX, NULL, &left), 0);
		assert_int_equal(left, 0);
		assert_int_equal(state_at(spans[n]), GCHEAP_SPAN_CENTRAL);
		core_check(th);
		for (u32 page = 1; page < th->heap.heap_pages; page++) {
			if (state_at(page) == GCHEAP_SPAN_CACHED)
				assert_int_equal(request_return(th, page), 0);
			if (state_at(page) == GCHEAP_SPAN_CHUNK)
				assert_int_equal(request_chunk_free(th, page), 0);
			if (state_at(page) == GCHEAP_SPAN_QUARANTINE)
				assert_int_equal(request_chunk_ready(th, page), 0);
		}
	}
}

/* ---- at random ---------------------------------------------------------------------- */

#define MODEL_SPANS	200u

/* What is alive must stay so; all that is dead must go in the end. */
static void test_lazy_cycles_at_random(void **state)
{
	u32 pages[MODEL_SPANS] = { 0 };
	bool live[MODEL_SPANS];

	(void)state;
	random_seed();
	for (u32 cycle = 0; cycle < 150; cycle++) {
		for (u32 step = 0; step < 100; step++) {
			u32 i = (u32)random_below(MODEL_SPANS);

			switch (random_below(10)) {
			case 0:
				request_reclaim(th, random_length(300), NULL, NULL);
				continue;
			case 1:
				request_sweep(th, random_length(30), NULL, NULL);
				continue;
			case 2:
				if (random_one_in(20))
					core_check(th);
				continue;
			}
			if (pages[i])
				continue;
			if (random_one_in(3))
				pages[i] = request_large(th, 0, random_length(1 << 19));
			else
				kept_spans(2 + (u32)random_below(66), &pages[i], 1);
			/* A span of which little is left may come again. */
			for (u32 other = 0; other < MODEL_SPANS; other++) {
				if (other != i && pages[other] == pages[i])
					pages[other] = 0;
			}
		}
		mark_start();
		for (u32 i = 0; i < MODEL_SPANS; i++) {
			live[i] = pages[i] && !random_one_in(4);
			if (live[i])
				slot_mark(th, pages[i], 0);
		}
		assert_int_equal(request_sweep_start_flags(th, random_one_in(5) ? 0 :
				 GCHEAP_SWEEP_START_LAZY,
				 random_one_in(2) ? 0 : random_length(1 << 28), NULL), 0);
		for (u32 i = 0; i < MODEL_SPANS; i++) {
			if (!live[i])
				pages[i] = 0;
		}
		if (random_one_in(10)) {
			u64 count = 0;

			assert_int_equal(request_sweep(th, U64_MAX, NULL, NULL), 0);
			for (u32 i = 0; i < MODEL_SPANS; i++) {
				count += pages[i] != 0;
				if (pages[i])
					assert_true(slot_is_allocated(th, pages[i], 0));
			}
			assert_int_equal(counters()->spans, count);
			core_check_bits(th);
		}
	}
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, fixture_end)
	const struct CMUnitTest tests[] = {
		T(test_a_lazy_sweep_start_frees_nothing),
		T(test_reclaim_frees_what_is_dead_and_no_more),
		T(test_reclaim_stops_at_the_pages_asked_for_and_goes_on_there),
		T(test_mark_start_finishes_the_walk),
		T(test_sweep_is_bounded_and_finds_large_dead_spans_too),
		T(test_refill_sweeps_dead_spans_of_its_class_without_counting),
		T(test_what_was_made_since_is_not_reclaimed),
		T(test_swept_and_cached_spans_survive_the_loss_of_their_page_mark),
		T(test_an_unswept_span_that_loses_its_page_mark_is_dead),
		T(test_large_spans_of_any_age_are_found),
		T(test_an_allocation_frees_as_much_as_it_takes_before_the_heap_grows),
		T(test_surplus_is_credit_for_later_allocations),
		T(test_what_sweep_and_reclaim_free_is_credit_too),
		T(test_a_refill_reclaims_for_all_the_spans_it_takes),
		T(test_a_swept_slot_costs_no_reclaiming),
		T(test_a_full_reserve_is_reclaimed_before_a_request_fails),
		T(test_the_sweep_of_other_classes_is_finished_before_a_request_fails),
		T(test_err_reclaim_of_no_pages_and_unknown_flags),
		T(test_reclaim_while_a_cycle_marks_finds_nothing),
		T(test_a_fatal_signal_ends_every_walk_in_a_consistent_state),
		T(test_err_every_failure_leaves_a_heap_that_can_be_reclaimed),
		T(test_lazy_cycles_at_random),
	};

	return cmocka_run_group_tests_name("reclaim", tests, NULL, NULL);
}
