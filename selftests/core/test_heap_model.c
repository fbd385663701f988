// SPDX-License-Identifier: MIT
/*
 * Whole lives of heaps, compared with a model: any sequence of requests and
 * allocations leaves the objects that the model knows, and no others.
 */
#include "core_check.h"
#include "core_test.h"
#include "fixture.h"
#include "request.h"

#define RESERVE_PAGES	ARENA_PAGES

/**
 * struct model_span - what the model knows of the span that starts at a page
 * @slots: how many it has; 0: there is no span
 * @npages: its length
 * @live: slots in use
 * @cached: handed out
 * @is_large: one object
 * @bits: slots in use, one bit each
 */
struct model_span {
	u32 slots;
	u32 npages;
	u32 live;
	bool cached;
	bool is_large;
	u64 bits[8];
};

struct model {
	struct model_span spans[RESERVE_PAGES];
	u32 cached[64];
	u32 cached_count;
	u32 types[16];
};

static struct model model;

static void model_span_add(u32 page, u32 slots, u32 npages)
{
	/* Nothing of it may be a span's now. */
	for (u32 at = page > SPAN_PAGES_MAX ? page - SPAN_PAGES_MAX : 1; at < page + npages; at++) {
		const struct model_span *other = &model.spans[at];

		if (other->slots)
			assert_true(at < page && at + other->npages <= page);
	}
	model.spans[page] = (struct model_span){ .slots = slots, .npages = npages };
}

/* A span without a live object is not the model's any more, if the heap has freed it. */
static void model_forget_freed(void)
{
	for (u32 page = 1; page < th->heap.heap_pages; page++) {
		struct model_span *span = &model.spans[page];

		if (span->slots && span_state(heap_span(&th->heap, page)) == GCHEAP_SPAN_FREE) {
			assert_int_equal(span->live, 0);
			assert_false(span->cached);
			span->slots = 0;
		}
	}
}

/* The heap's view of every object is the model's. */
static void model_compare(void)
{
	model_forget_freed();
	core_check_bits(th);
	for (u32 page = 1; page < th->heap.heap_pages; page++) {
		const struct model_span *span = &model.spans[page];
		const struct gcheap_span *real = heap_span(&th->heap, page);

		if (!span->slots) {
			assert_true(span_state(real) == GCHEAP_SPAN_FREE ||
				    span_state(real) == GCHEAP_SPAN_INNER);
			continue;
		}
		assert_int_equal(real->slots, span->slots);
		assert_int_equal(real->npages, span->npages);
		assert_int_equal(span_state(real) == GCHEAP_SPAN_CACHED, span->cached);
		assert_int_equal(span_state(real) == GCHEAP_SPAN_LARGE, span->is_large);
		assert_int_equal(span_count(&th->heap, page, th->heap.mark_table ^ 1), span->live);
		for (u32 slot = 0; slot < span->slots; slot++)
			assert_int_equal(slot_is_allocated(th, page, slot),
					 span->bits[slot / 64] >> slot % 64 & 1);
	}
}

static void model_allocate(u32 page, u32 slot)
{
	struct model_span *span = &model.spans[page];

	assert_false(slot_is_allocated(th, page, slot));
	slot_allocate(th, page, slot);
	if (th->heap.phase == GCHEAP_PHASE_MARK)
		slot_mark(th, page, slot);
	span->bits[slot / 64] |= 1ull << slot % 64;
	span->live++;
}

static void step_refill(void)
{
	u32 size_class = SIZE_CLASS_MIN + (u32)random_below(SIZE_CLASSES - SIZE_CLASS_MIN);
	u32 type = random_one_in(2) ? 0 : model.types[random_below(ARRAY_SIZE(model.types))];
	u32 count = 1 + (u32)random_below(8);
	struct gcheap_grant grants[8];
	u32 returns[64];
	u32 return_count = 0;
	int error;

	if (model.cached_count + count > ARRAY_SIZE(model.cached))
		return_count = model.cached_count;
	else if (model.cached_count)
		return_count = (u32)random_below(model.cached_count);
	/* The last ones: they go from the end of the model's list. */
	memcpy(returns, model.cached + model.cached_count - return_count, return_count * 4);
	if (type && type_find(&th->heap, type)->bytes + 8 > size_class_bytes[size_class])
		type = 0;
	error = request_refill(th, type, size_class, 1 + (u32)random_below(100000), returns,
			       return_count, grants, &count);
	if (error) {
		assert_int_equal(error, -ENOMEM);
		return;
	}
	model.cached_count -= return_count;
	for (u32 i = 0; i < return_count; i++)
		model.spans[returns[i]].cached = false;
	model_forget_freed();
	for (u32 i = 0; i < count; i++) {
		const struct gcheap_span *real = heap_span(&th->heap, grants[i].page);
		struct model_span *span = &model.spans[grants[i].page];

		assert_true(test_heap_backed(th, grants[i].page, real->npages));
		if (!span->slots || !span->live)
			model_span_add(grants[i].page, real->slots, real->npages);
		else
			assert_int_equal(grants[i].flags, GCHEAP_GRANT_NEEDZERO);
		assert_false(span->cached || span->is_large);
		assert_int_equal(grants[i].slots, span->slots);
		assert_int_equal(grants[i].free_slots, span->slots - span->live);
		assert_int_not_equal(grants[i].free_slots, 0);
		assert_int_equal(real->span_class / 2, size_class);
		span->cached = true;
		model.cached[model.cached_count++] = grants[i].page;
	}
}

static void step_allocate(void)
{
	u32 page, fill;

	if (!model.cached_count)
		return;
	page = model.cached[random_below(model.cached_count)];
	fill = 1 + (u32)random_below(8);
	for (u32 slot = 0; slot < model.spans[page].slots; slot++) {
		if (!slot_is_allocated(th, page, slot) && random_below(8) < fill)
			model_allocate(page, slot);
	}
}

static void step_return(void)
{
	u32 at, page;

	if (!model.cached_count)
		return;
	at = (u32)random_below(model.cached_count);
	page = model.cached[at];
	assert_int_equal(request_return(th, page), 0);
	model.spans[page].cached = false;
	model.cached[at] = model.cached[--model.cached_count];
	model_forget_freed();
}

static void step_large(void)
{
	u64 bytes = random_length(4 << 20);
	u32 page = request_large(th, 0, bytes);

	if (!page)
		return;
	model_forget_freed();
	model_span_add(page, 1, (u32)((bytes + 8191) / 8192));
	model.spans[page].is_large = true;
	model.spans[page].live = 1;
	model.spans[page].bits[0] = 1;
	if (th->heap.phase == GCHEAP_PHASE_MARK)
		slot_mark(th, page, 0);
}

static void step_mark_start(void)
{
	bool marks = th->heap.phase == GCHEAP_PHASE_MARK;

	assert_int_equal(request_mark_start(th), marks ? -EBUSY : 0);
	if (!marks)
		core_check_marks_are_clear(th);
	model_forget_freed();
}

/* Marks a part of all objects, and ends the cycle: the others are dead. */
static void step_sweep_start(void)
{
	u32 survivors = (u32)random_below(9);

	if (th->heap.phase != GCHEAP_PHASE_MARK)
		return;
	while (model.cached_count)
		step_return();
	for (u32 page = 1; page < th->heap.heap_pages; page++) {
		struct model_span *span = &model.spans[page];
		bool spared = random_one_in(2);

		for (u32 slot = 0; slot < span->slots; slot++) {
			u64 bit = 1ull << slot % 64;

			if (!(span->bits[slot / 64] & bit))
				continue;
			/* What was allocated since MARK_START is marked already. */
			if (slot_is_marked(th, page, slot))
				continue;
			if (random_below(8) < (spared ? survivors : survivors / 4)) {
				slot_mark(th, page, slot);
				continue;
			}
			span->bits[slot / 64] &= ~bit;
			span->live--;
		}
	}
	assert_int_equal(request_sweep_start(th, NULL), 0);
	model_forget_freed();
}

static void step_sweep(void)
{
	assert_int_equal(request_sweep(th, random_length(1000), NULL, NULL), 0);
	model_forget_freed();
}

static void life(u32 layout, u32 steps)
{
	memset(&model, 0, sizeof(model));
	fixture_heap(layout, GCHEAP_RESERVE_MIN, 0);
	for (u32 i = 0; i < ARRAY_SIZE(model.types); i++)
		model.types[i] = request_type(th, 8 + 8 * random_length(1000), 1);
	for (u32 i = 0; i < steps; i++) {
		u32 what = (u32)random_below(100);

		if (what < 40)
			step_refill();
		else if (what < 75)
			step_allocate();
		else if (what < 85)
			step_return();
		else if (what < 90)
			step_large();
		else if (what < 92)
			step_mark_start();
		else if (what < 94)
			step_sweep_start();
		else
			step_sweep();
		if (i % 64 == 0)
			model_compare();
	}
	model_compare();
}

static void test_any_life_agrees_with_a_model(void **state)
{
	(void)state;
	random_seed();
	for (u32 i = 0; i < 6; i++) {
		life(GCHEAP_LAYOUT_SPAN, RANDOM_CASES(8000));
		life(GCHEAP_LAYOUT_HEADER, RANDOM_CASES(8000));
		life(GCHEAP_LAYOUT_FOOTER, RANDOM_CASES(8000));
		life(GCHEAP_LAYOUT_BITMAP, RANDOM_CASES(8000));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_any_life_agrees_with_a_model, fixture_end),
	};

	return cmocka_run_group_tests_name("heap_model", tests, NULL, NULL);
}
