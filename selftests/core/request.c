// SPDX-License-Identifier: MIT
/*
 * The process's side of a heap in the core's unit tests.
 */
#include "core_test.h"
#include "request.h"

/* Sends copies of just the right length: the sanitizer sees their end. */
int request_type_add(struct test_heap *th, struct gcheap_type_add *add, const char *name,
		     const void *map)
{
	int error = type_check(add);
	char *name_copy;
	u8 *map_copy;

	if (error)
		return error;
	name_copy = malloc(add->name_bytes);
	memcpy(name_copy, name, add->name_bytes);
	map_copy = malloc(type_map_bytes(add));
	if (map)
		memcpy(map_copy, map, type_map_bytes(add));
	error = type_add(&th->heap, add, name_copy, map_copy);
	free(name_copy);
	free(map_copy);
	return error;
}

int request_type_mask(struct test_heap *th, u64 bytes, u64 ptr_bytes, u32 align,
		      const void *mask, const char *name, u32 *type)
{
	struct gcheap_type_add add = {
		.size = sizeof(add),
		.bytes = bytes,
		.ptr_bytes = ptr_bytes,
		.align = align,
		.name_bytes = (u32)strlen(name),
		.name = (uintptr_t)name,
		.ptr_mask = (uintptr_t)mask,
	};
	int error = request_type_add(th, &add, name, mask);

	*type = add.out_type;
	return error;
}

int request_type_program(struct test_heap *th, u64 bytes, u64 ptr_bytes, const void *program,
			 u32 program_bytes, const char *name, u32 *type)
{
	struct gcheap_type_add add = {
		.size = sizeof(add),
		.bytes = bytes,
		.ptr_bytes = ptr_bytes,
		.align = 8,
		.name_bytes = (u32)strlen(name),
		.name = (uintptr_t)name,
		.gc_prog = (uintptr_t)program,
		.gc_prog_bytes = program_bytes,
	};
	int error = request_type_add(th, &add, name, program);

	*type = add.out_type;
	return error;
}

u32 request_type(struct test_heap *th, u64 bytes, u64 ptr_words)
{
	u8 *mask = calloc(1, ptr_words / 8 + 1);
	u32 type = 0;
	u64 i;

	for (i = 0; i < ptr_words; i++)
		mask[i / 8] |= (u8)(1u << i % 8);
	assert_int_equal(request_type_mask(th, bytes, ptr_words * 8, ptr_words ? 8 : 1,
					   ptr_words ? mask : NULL, "type", &type), 0);
	free(mask);
	return type;
}

static int send_refill(struct test_heap *th, struct gcheap_refill *refill, const u32 *returns,
		       struct gcheap_grant *grants)
{
	int error = heap_refill_check(&th->heap, refill);

	return error ? error : heap_refill(&th->heap, refill, returns, grants);
}

int request_refill(struct test_heap *th, u32 type, u32 size_class, u32 want_bytes,
		   const u32 *returns, u32 return_count, struct gcheap_grant *grants,
		   u32 *grant_count)
{
	struct gcheap_refill refill = {
		.size = sizeof(refill),
		.type = type,
		.size_class = size_class,
		.want_bytes = want_bytes,
		.return_count = return_count,
		.grant_count = grant_count ? *grant_count : 0,
	};
	int error = send_refill(th, &refill, returns, grants);

	if (!error && grant_count)
		*grant_count = refill.out_granted;
	return error;
}

int request_mixed(struct test_heap *th, u32 type, u32 size_class, u32 *page)
{
	struct gcheap_grant grant = { 0 };
	struct gcheap_refill refill = {
		.size = sizeof(refill),
		.flags = GCHEAP_REFILL_MIXED,
		.type = type,
		.size_class = size_class,
		.want_bytes = 1,
		.grant_count = 1,
	};
	int error = send_refill(th, &refill, NULL, &grant);

	*page = grant.page;
	return error;
}

u32 request_span(struct test_heap *th, u32 type, u32 size_class)
{
	struct gcheap_grant grant;
	u32 count = 1;

	if (request_refill(th, type, size_class, 1, NULL, 0, &grant, &count))
		return 0;
	assert_int_equal(count, 1);
	return grant.page;
}

int request_return(struct test_heap *th, u32 page)
{
	return request_refill(th, 0, 0, 0, &page, 1, NULL, NULL);
}

u32 request_large(struct test_heap *th, u32 type, u64 count)
{
	struct gcheap_alloc_large alloc = {
		.size = sizeof(alloc),
		.type = type,
		.count = count,
	};
	int error = heap_alloc_large(&th->heap, &alloc);

	if (!error)
		return alloc.out_page;
	if (error != -EINTR)
		assert_int_equal(error, -ENOMEM);
	return 0;
}

int request_mark_start(struct test_heap *th)
{
	struct gcheap_mark_start start = { .size = sizeof(start) };
	int error = heap_mark_start(&th->heap, &start);

	if (!error) {
		assert_int_equal(start.out_generation, th->heap.generation);
		assert_int_equal(start.out_mark_table, th->heap.mark_table);
	}
	return error;
}

static u64 spans_left(struct test_heap *th)
{
	const struct heap *heap = &th->heap;

	return heap->counters.unswept_spans + (reclaim_is_done(heap) ? 0 : heap->large_spans);
}

int request_sweep_start(struct test_heap *th, u64 *freed_spans)
{
	return request_sweep_start_flags(th, 0, 0, freed_spans);
}

int request_sweep_start_flags(struct test_heap *th, u32 flags, u64 goal_bytes, u64 *freed_spans)
{
	struct gcheap_sweep_start start = {
		.size = sizeof(start),
		.flags = flags,
		.goal_bytes = goal_bytes,
	};
	int error = heap_sweep_start(&th->heap, &start);

	if (!error) {
		assert_int_equal(start.out_generation, th->heap.generation);
		assert_int_equal(start.out_mark_table, th->heap.mark_table);
		assert_int_equal(start.out_unswept_spans, spans_left(th));
	}
	if (freed_spans)
		*freed_spans = start.out_freed_spans;
	return error;
}

int request_sweep(struct test_heap *th, u64 max_spans, u64 *swept, u64 *freed)
{
	struct gcheap_sweep sweep = { .size = sizeof(sweep), .max_spans = max_spans };
	int error = heap_sweep(&th->heap, &sweep);

	if (!error)
		assert_int_equal(sweep.out_unswept_spans, spans_left(th));
	if (swept)
		*swept = sweep.out_swept_spans;
	if (freed)
		*freed = sweep.out_freed_spans;
	return error;
}

int request_free_large(struct test_heap *th, u32 page)
{
	struct gcheap_free_large request = { .size = sizeof(request), .page = page };

	return heap_free_large(&th->heap, &request);
}

int request_reclaim(struct test_heap *th, u64 max_pages, u64 *pages, u64 *left)
{
	struct gcheap_reclaim reclaim = { .size = sizeof(reclaim), .max_pages = max_pages };
	int error = heap_reclaim(&th->heap, &reclaim);

	if (pages)
		*pages = reclaim.out_pages;
	if (left)
		*left = reclaim.out_left;
	return error;
}

u32 request_chunk(struct test_heap *th)
{
	struct gcheap_chunk_new request = { .size = sizeof(request) };
	int error = heap_chunk_new(&th->heap, &request);

	if (!error)
		return request.out_page;
	assert_int_equal(error, -ENOMEM);
	return 0;
}

int request_chunk_free(struct test_heap *th, u32 page)
{
	struct gcheap_chunk_free request = { .size = sizeof(request), .page = page };

	return heap_chunk_free(&th->heap, &request);
}

int request_chunk_ready(struct test_heap *th, u32 page)
{
	struct gcheap_chunk_ready request = { .size = sizeof(request), .page = page };

	return heap_chunk_ready(&th->heap, &request);
}

int request_scavenge(struct test_heap *th, u64 max_bytes, u64 *bytes, u64 *free_bytes)
{
	struct gcheap_scavenge request = { .size = sizeof(request), .max_bytes = max_bytes };
	int error = heap_scavenge(&th->heap, &request);

	if (bytes)
		*bytes = request.out_bytes;
	if (free_bytes)
		*free_bytes = request.out_free_bytes;
	return error;
}

/* ---- mark state -------------------------------------------------------------- */

#define PAGE_GRANULES	(1u << (GCHEAP_PAGE_SHIFT - GCHEAP_GRANULE_SHIFT))

/* The word with a granule's bit, by the layout of the MARKS region alone. */
static u64 *granule_word(struct test_heap *th, u32 table, u32 page, u32 granule)
{
	u64 bit = (u64)page * PAGE_GRANULES + granule;

	return test_heap_table(th, GCHEAP_REGION_MARKS,
			       GCHEAP_MARKS_TABLE(th->heap.reserve_bytes, table) + bit / 64 * 8);
}

/* The granule, counted from the span's first page, that has a slot's bit. */
static u32 granule_of_slot(struct test_heap *th, u32 page, u32 slot)
{
	const struct gcheap_span *span =
		test_heap_table(th, GCHEAP_REGION_SPANS, (u64)page * sizeof(*span));

	assert_in_range(slot, 0, span->slots - 1);
	return (slot * size_class_bytes[span->span_class / 2] + 8) >> GCHEAP_GRANULE_SHIFT;
}

void granule_set(struct test_heap *th, u32 table, u32 page, u32 granule)
{
	*granule_word(th, table, page, granule) |= 1ull << granule % 64;
}

void page_mark(struct test_heap *th, u32 page)
{
	u64 table = GCHEAP_MARKS_PAGE_MARKS(th->heap.reserve_bytes);
	u64 *word = test_heap_table(th, GCHEAP_REGION_MARKS, table + page / 64 * 8);

	*word |= 1ull << page % 64;
}

static bool slot_bit(struct test_heap *th, u32 table, u32 page, u32 slot)
{
	u32 granule = granule_of_slot(th, page, slot);

	return *granule_word(th, table, page, granule) >> granule % 64 & 1;
}

bool slot_is_allocated(struct test_heap *th, u32 page, u32 slot)
{
	return slot_bit(th, th->heap.mark_table ^ 1, page, slot);
}

bool slot_is_marked(struct test_heap *th, u32 page, u32 slot)
{
	return slot_bit(th, th->heap.mark_table, page, slot);
}

void slot_allocate(struct test_heap *th, u32 page, u32 slot)
{
	granule_set(th, th->heap.mark_table ^ 1, page, granule_of_slot(th, page, slot));
}

void slot_free(struct test_heap *th, u32 page, u32 slot)
{
	u32 granule = granule_of_slot(th, page, slot);

	*granule_word(th, th->heap.mark_table ^ 1, page, granule) &= ~(1ull << granule % 64);
}

void slot_mark(struct test_heap *th, u32 page, u32 slot)
{
	granule_set(th, th->heap.mark_table, page, granule_of_slot(th, page, slot));
	page_mark(th, page);
}

void slots_allocate(struct test_heap *th, u32 page, u32 count)
{
	for (u32 slot = 0; slot < count; slot++)
		slot_allocate(th, page, slot);
}
