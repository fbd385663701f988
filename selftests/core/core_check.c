// SPDX-License-Identifier: MIT
/*
 * Checks a whole heap. What the process sees is read from the tables by their
 * layout in <linux/gcheap.h>, and goes by the rules of common/verify_tables.h; the rest is
 * read from the structs.
 */
#include "central.h"
#include "core_check.h"
#include "core_test.h"
#include "page_backed.h"
#include "verify_tables.h"

/**
 * struct census - what the walk over the pages has counted that no counter says
 * @large: large spans
 * @free: free pages
 * @free_backed: of these, pages with memory
 * @quarantine_spans: spans in quarantine, not chunks
 * @ready: pages of ready chunks
 */
struct census {
	u64 large;
	u64 free;
	u64 free_backed;
	u64 quarantine_spans;
	u64 ready;
};

static const struct gcheap_span *span_at(struct test_heap *th, u32 page)
{
	const struct gcheap_span *span =
		test_heap_table(th, GCHEAP_REGION_SPANS, (u64)page * sizeof(*span));

	assert_ptr_equal(span, heap_span(&th->heap, page));
	return span;
}

static u64 info_at(struct test_heap *th, u32 page)
{
	const u64 *info = test_heap_table(th, GCHEAP_REGION_PAGES, (u64)page * sizeof(*info));

	assert_ptr_equal(info, heap_info(&th->heap, page));
	return *info;
}

static bool in_use_at(struct test_heap *th, u32 page)
{
	const struct arena *arena = th->heap.arenas[page / ARENA_PAGES];

	return arena->in_use[page % ARENA_PAGES / 64] >> page % 64 & 1;
}

/* All tables that speak of a page are there for the process, and are those that the heap uses. */
static void check_tables(struct test_heap *th, u32 page)
{
	const u64 reserve = th->heap.reserve_bytes;
	const struct arena *arena = heap_arena(&th->heap, page);
	const u64 in_table = page / 64 * 8;

	bool has_bits = arena->has_bits[page % ARENA_PAGES / 4096] >> page % 4096 / 64 & 1;

	/* What nobody uses may be without, and is without as a whole. */
	if (!has_bits)
		assert_true(page_backed_word_is_idle(&th->heap.page_heap, page / 64 * 64));
	for (u32 table = 0; table < 2; table++) {
		u64 offset = GCHEAP_MARKS_TABLE(reserve, table) + page * 64ull;

		if (!has_bits) {
			assert_null(arena->marks[table][page % ARENA_PAGES / 64]);
			assert_null(test_heap_table(th, GCHEAP_REGION_MARKS, offset));
			continue;
		}
		assert_ptr_equal(test_heap_table(th, GCHEAP_REGION_MARKS, offset),
				 heap_marks(&th->heap, table, page));
	}
	assert_ptr_equal(test_heap_table(th, GCHEAP_REGION_MARKS,
					 GCHEAP_MARKS_PAGE_MARKS(reserve) + in_table),
			 &arena->page_marks[page % ARENA_PAGES / 64]);
	assert_non_null(test_heap_table(th, GCHEAP_REGION_MARKS,
					GCHEAP_MARKS_PAGE_SPECIALS(reserve) + in_table));
	assert_non_null(span_at(th, page));
	info_at(th, page);
	/* Nobody here uses it; it is there for the first word of a page and the last. */
	if (th->heap.layout == GCHEAP_LAYOUT_BITMAP && !has_bits) {
		assert_null(test_heap_table(th, GCHEAP_REGION_BITMAP, page * 256ull));
		assert_null(test_heap_table(th, GCHEAP_REGION_BITMAP, page * 256ull + 255));
	} else if (th->heap.layout == GCHEAP_LAYOUT_BITMAP) {
		assert_non_null(test_heap_table(th, GCHEAP_REGION_BITMAP, page * 256ull));
		assert_non_null(test_heap_table(th, GCHEAP_REGION_BITMAP, page * 256ull + 255));
	} else {
		assert_int_equal(th->table_pages[GCHEAP_REGION_BITMAP], 0);
	}
}

static u32 state_at(struct test_heap *th, u32 page)
{
	return span_at(th, page)->state & GCHEAP_SPAN_STATE_MASK;
}

/* ---- what the process sees: the rules of common/verify_tables.h --------------------- */

static u64 read_info(void *owner, u32 page)
{
	return info_at(owner, page);
}

static const struct gcheap_span *read_span(void *owner, u32 page)
{
	return span_at(owner, page);
}

static const struct gcheap_type_record *read_type(void *owner, u32 type)
{
	struct test_heap *th = owner;

	return type_find(&th->heap, type);
}

static const u64 *read_bits(void *owner, bool marks, u32 page)
{
	struct test_heap *th = owner;
	u32 table = th->heap.mark_table ^ !marks;
	u64 offset = GCHEAP_MARKS_TABLE(th->heap.reserve_bytes, table) + page * 64ull;

	return test_heap_table(th, GCHEAP_REGION_MARKS, offset);
}

static bool read_page_mark(void *owner, u32 page)
{
	struct test_heap *th = owner;

	return page_is_marked(&th->heap, page);
}

static void fail_with(void *owner, u32 page, const char *format, va_list args)
{
	char text[200];

	(void)owner;
	vsnprintf(text, sizeof(text), format, args);
	fail_msg("page %u: %s", page, text);
}

void core_check_rules(struct test_heap *th, bool bits,
		      void (*complain)(void *owner, u32 page, const char *format, va_list args))
{
	const struct table_reader reader = {
		.info = read_info,
		.span = read_span,
		.type = read_type,
		.bits = bits ? read_bits : NULL,
		.page_mark = read_page_mark,
		.complain = complain,
	};

	verify_tables(&(struct heap_tables){
		.reader = &reader,
		.owner = th,
		.reserve_bytes = th->heap.reserve_bytes,
		.heap_pages = th->heap.heap_pages,
		.layout = th->heap.layout,
		.record_types = th->heap.flags & GCHEAP_SETUP_RECORD_TYPES,
		.generation = heap_generation16(&th->heap),
		.counters = &th->heap.counters,
	});
}

/* ---- what only the core knows ------------------------------------------------------- */

/* A span in use: memory, and that it is no one else's. Returns its length. */
static u32 check_span(struct test_heap *th, u32 page, struct census *census)
{
	const struct gcheap_span *span = span_at(th, page);
	bool lazy = span->state & GCHEAP_SPAN_LAZY;

	if (!lazy)
		assert_true(test_heap_backed(th, page, span->npages));
	for (u32 i = 0; i < span->npages; i++) {
		assert_int_equal(test_heap_is_lazy(th, page + i), lazy);
		assert_int_equal(in_use_at(th, page + i), !i);
		assert_false(page_heap_is_free(&th->heap.page_heap, page + i));
	}
	if (state_at(th, page) == GCHEAP_SPAN_LARGE)
		census->large++;
	else
		assert_non_null(central_of_span(&th->heap, page));
	return span->npages;
}

/* A chunk, or what is in quarantine: no span in use, and no free pages either. */
static u32 check_set_aside(struct test_heap *th, u32 page, struct census *census)
{
	const struct gcheap_span *span = span_at(th, page);
	u32 state = state_at(th, page);

	for (u32 i = 0; i < span->npages; i++) {
		assert_int_equal(test_heap_backed(th, page + i, 1), state == GCHEAP_SPAN_CHUNK);
		assert_false(in_use_at(th, page + i));
		assert_false(page_heap_is_free(&th->heap.page_heap, page + i));
	}
	census->ready += state == GCHEAP_SPAN_READY ? span->npages : 0;
	if (state != GCHEAP_SPAN_QUARANTINE)
		return span->npages;
	/* A page whose memory has failed is in no list. */
	if (th->heap.has_broken && !(th->heap.flags & GCHEAP_SETUP_FAULT_FREED)) {
		assert_int_equal(span->npages, span->slots ? 1 : CHUNK_PAGES);
	} else if (span->slots) {
		assert_true(th->heap.flags & GCHEAP_SETUP_FAULT_FREED);
		census->quarantine_spans++;
	}
	return span->npages;
}

static u32 check_free_page(struct test_heap *th, u32 page, struct census *census)
{
	assert_false(in_use_at(th, page));
	assert_false(test_heap_is_lazy(th, page));
	assert_int_equal(page_heap_is_free(&th->heap.page_heap, page), page != 0);
	census->free += page != 0;
	census->free_backed += page && test_heap_backed(th, page, 1);
	return 1;
}

static void check_pages(struct test_heap *th, struct census *census)
{
	struct heap *heap = &th->heap;
	u32 page;

	for (page = 0; page < heap->heap_pages; page++) {
		check_tables(th, page);
		/* What comes by a touch, nobody tells the heap of. */
		assert_int_equal(page_backed_count(&heap->page_heap, page, 1),
				 test_heap_backed(th, page, 1) &&
				 !test_heap_is_lazy(th, page));
	}
	for (page = 0; page < heap->heap_pages; ) {
		u32 state = state_at(th, page);

		if (state == GCHEAP_SPAN_FREE)
			page += check_free_page(th, page, census);
		else if (state <= GCHEAP_SPAN_LARGE)
			page += check_span(th, page, census);
		else
			page += check_set_aside(th, page, census);
	}
}

/* What the walks over spans in use see is what the pages' bits say. */
static void check_in_use_index(struct test_heap *th)
{
	u32 next = arena_next_in_use(&th->heap, 0);

	for (u32 page = 0; page < th->heap.heap_pages; page += 64) {
		const struct arena *arena = heap_arena(&th->heap, page);

		if (!arena->in_use[page % ARENA_PAGES / 64])
			continue;
		assert_int_equal(next, page);
		next = arena_next_in_use(&th->heap, page + 64);
	}
	assert_int_equal(next, BIT_INDEX_NONE);
}

static void check_set_aside_lists(struct test_heap *th, const struct census *census)
{
	const struct quarantine *quarantine = &th->heap.quarantine;
	u64 count = 0;
	u32 last = 0;

	for (u32 page = quarantine->first; page; page = span_at(th, page)->next) {
		assert_int_equal(span_at(th, page)->state, GCHEAP_SPAN_QUARANTINE);
		assert_int_not_equal(span_at(th, page)->slots, 0);
		assert_in_range(count++, 0, census->quarantine_spans);
		last = page;
	}
	assert_int_equal(count, census->quarantine_spans);
	if (last)
		assert_int_equal(quarantine->last, last);
	count = 0;
	for (u32 page = th->heap.ready_chunks; page; page = span_at(th, page)->next) {
		assert_int_equal(span_at(th, page)->state, GCHEAP_SPAN_READY);
		count += CHUNK_PAGES;
		assert_in_range(count, 0, census->ready);
	}
	assert_int_equal(count, census->ready);
	assert_int_equal(th->heap.ready_pages, census->ready);
}

/* Return: the list's length. */
static u64 check_list(struct test_heap *th, struct central *central, u32 head, u32 which,
		      bool full)
{
	u32 prev = 0;
	u64 length = 0;

	for (u32 page = head; page; page = span_at(th, page)->next) {
		const struct gcheap_span *span = span_at(th, page);

		assert_in_range(page, 1, th->heap.heap_pages - 1);
		assert_true(in_use_at(th, page));
		assert_int_equal(span->state & GCHEAP_SPAN_STATE_MASK, GCHEAP_SPAN_CENTRAL);
		assert_int_equal(span->prev, prev);
		assert_int_equal(span->generation / 2 % 2, which);
		assert_int_equal(span->allocated == span->slots, full);
		assert_ptr_equal(central_of_span(&th->heap, page), central);
		/* A list that runs in a circle is longer than all spans. */
		assert_in_range(length, 0, th->heap.counters.spans);
		prev = page;
		length++;
	}
	return length;
}

static void check_centrals(struct test_heap *th, u64 expected_spans)
{
	struct central_table *table = &th->heap.centrals;
	u32 unswept = (th->heap.generation / 2 + 1) % 2;
	bool swept_so_far = table->sweep_from;
	u64 centrals = 0;
	u64 chained = 0;
	u64 spans = 0;

	for (struct central *c = table->first; c; c = c->all_next) {
		if (c == table->sweep_from)
			swept_so_far = false;
		if (swept_so_far) {
			assert_int_equal(c->partial[unswept], 0);
			assert_int_equal(c->full[unswept], 0);
		}
		for (u32 which = 0; which < 2; which++) {
			spans += check_list(th, c, c->partial[which], which, false);
			spans += check_list(th, c, c->full[which], which, true);
		}
		assert_ptr_equal(central_find(&th->heap, &c->key), c);
		if (!c->all_next)
			assert_ptr_equal(table->last, &c->all_next);
		centrals++;
	}
	if (!table->first)
		assert_ptr_equal(table->last, &table->first);
	/* @sweep_from was on the way. */
	assert_false(swept_so_far);
	for (u32 i = 0; i < 1u << table->shift; i++) {
		for (struct central *c = table->buckets[i]; c; c = c->hash_next)
			chained++;
	}
	assert_int_equal(chained, centrals);
	assert_int_equal(spans, expected_spans);
}

/* Which types have large objects: how many, by type. */
static u32 *count_large(struct test_heap *th)
{
	u32 *objects = calloc(th->heap.types.count + 1, sizeof(*objects));

	for (u32 page = 0; page < th->heap.heap_pages; page++) {
		const struct gcheap_span *span = span_at(th, page);

		if ((span->state & GCHEAP_SPAN_STATE_MASK) == GCHEAP_SPAN_LARGE)
			objects[span->type]++;
	}
	return objects;
}

/* Types by program have their mask while they have objects, and its pages no other. */
static void check_masks(struct test_heap *th)
{
	const u64 pages = (GCHEAP_TYPES_BYTES - GCHEAP_TYPES_MASKS) / PORT_TABLE_PAGE_BYTES;
	const u64 *room = th->heap.types.mask_room;
	u32 *objects = count_large(th);
	u64 used = 0, taken = 0;

	for (u32 type = 1; type <= th->heap.types.count; type++) {
		const struct gcheap_type_record *record = type_find(&th->heap, type);
		bool lends = record->program_bytes &&
			     th->heap.layout != GCHEAP_LAYOUT_BITMAP;
		u64 first = (record->mask_offset - GCHEAP_TYPES_MASKS) / PORT_TABLE_PAGE_BYTES;
		u64 npages = DIV_ROUND_UP(DIV_ROUND_UP(record->ptr_bytes, 512) * 8,
					  PORT_TABLE_PAGE_BYTES);

		assert_int_equal(record->mask_users, lends ? objects[type] : 0);
		if (!record->mask_users) {
			assert_in_range(record->mask_offset, 0, GCHEAP_TYPES_MASKS - 1);
			continue;
		}
		for (u64 at = first; at < first + npages; at++) {
			assert_in_range(at, 0, pages - 1);
			assert_true(room[at / 64] >> at % 64 & 1);
			assert_non_null(test_heap_table(th, GCHEAP_REGION_TYPES,
							GCHEAP_TYPES_MASKS +
							at * PORT_TABLE_PAGE_BYTES));
			used++;
		}
	}
	for (u64 at = 0; room && at < pages / 64; at++)
		taken += hweight64(room[at]);
	assert_int_equal(taken, used);
	free(objects);
}

static void check_types(struct test_heap *th)
{
	const struct type_table *table = &th->heap.types;

	assert_int_equal(th->heap.counters.types, table->count);
	assert_in_range(table->data_end, GCHEAP_TYPES_DATA, GCHEAP_TYPES_MASKS);
	assert_null(type_find(&th->heap, 0));
	assert_null(type_find(&th->heap, table->count + 1));
	if (table->count)
		assert_non_null(type_find(&th->heap, table->count));
	check_masks(th);
}

static void check_heap(struct test_heap *th, bool bits)
{
	struct heap *heap = &th->heap;
	const struct gcheap_counters *counters = &heap->counters;
	struct census census = { 0 };

	assert_int_equal(heap->heap_pages, heap->page_heap.end);
	heap_publish(heap);
	core_check_rules(th, bits, fail_with);
	check_pages(th, &census);
	check_in_use_index(th);
	assert_int_equal(census.large, heap->large_spans);
	assert_int_equal(census.free, heap->page_heap.free_pages);
	assert_int_equal(census.free_backed, heap->page_heap.backed_pages);
	check_set_aside_lists(th, &census);
	check_centrals(th, counters->spans - counters->cached_spans - census.large);
	check_types(th);
	if (heap->phase == GCHEAP_PHASE_MARK) {
		assert_int_equal(counters->unswept_spans, 0);
		assert_true(reclaim_is_done(heap));
	}
	if (reclaim_is_done(heap))
		assert_int_equal(heap->reclaim.dead_pages, 0);

	assert_int_equal(counters->free_bytes, census.free_backed << GCHEAP_PAGE_SHIFT);
	assert_int_equal(heap->ctrl->heap_pages, heap->heap_pages);
	assert_int_equal(heap->ctrl->generation, heap->generation);
	assert_int_equal(heap->ctrl->mark_table, heap->mark_table);
	assert_int_equal(heap->ctrl->phase, heap->phase);
	assert_memory_equal(&heap->ctrl->counters, counters, sizeof(*counters));
}

void core_check(struct test_heap *th)
{
	check_heap(th, false);
}

void core_check_bits(struct test_heap *th)
{
	check_heap(th, true);
}

static bool page_has_no_mark(struct test_heap *th, u32 page)
{
	const u64 *words = read_bits(th, true, page);

	for (u32 i = 0; words && i < 8; i++) {
		if (words[i])
			return false;
	}
	return true;
}

void core_check_marks_are_clear(struct test_heap *th)
{
	struct heap *heap = &th->heap;

	for (u32 page = 0; page < heap->heap_pages; page++) {
		const u64 *page_marks = test_heap_table(th, GCHEAP_REGION_MARKS,
			GCHEAP_MARKS_PAGE_MARKS(heap->reserve_bytes) + page / 64 * 8);

		assert_true(page_has_no_mark(th, page));
		if (in_use_at(th, page))
			assert_int_equal(*page_marks >> page % 64 & 1, 0);
	}
}

void core_state_save(struct test_heap *th, struct core_state *state)
{
	memset(state, 0, sizeof(*state));
	state->counters = th->heap.counters;
	/* A failed request may have made the heap longer, and swept. */
	state->counters.heap_pages = 0;
	state->counters.table_bytes = 0;
	state->counters.resident_bytes = 0;
	/* Or have released free pages in search of memory. */
	state->counters.free_bytes = 0;
	state->counters.released_bytes = 0;
	state->generation = th->heap.generation;
	state->phase = th->heap.phase;
	state->mark_table = th->heap.mark_table;
	state->large_spans = th->heap.large_spans;
	state->data_end = th->heap.types.data_end;
}

void core_state_check(struct test_heap *th, const struct core_state *state)
{
	struct core_state now;

	core_check(th);
	core_state_save(th, &now);
	assert_memory_equal(&now, state, sizeof(now));
}
