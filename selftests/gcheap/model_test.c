// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Random cycles, side by side with a model: an array of objects, each with its
 * place and a stamp that fills it. After each step the kernel's tables must say
 * what the model says, and each object must hold its stamp.
 *
 * The seed is printed; GCHEAP_SEED=<seed> repeats a run.
 */
#include "../kselftest_harness.h"
#include "gcheap_selftest.h"

#define OBJECTS		20000u
#define LARGE		16u
#define CYCLES		30
#define PAGES_MAX	((256u << 20) >> GCHEAP_PAGE_SHIFT)

/* An object: small, or large where @slot_bytes is 0. */
struct object {
	__u32 page;
	__u32 slot;
	__u32 slot_bytes;
	__u64 bytes;
	__u64 stamp;
};

/* What is allocated: a type, a class, and the span that it is allocated from. */
struct cache {
	__u32 type;
	__u32 size_class;
	bool noscan;
	struct gcheap_grant span;	/* page 0: none */
	__u32 next_slot;
};

#define CACHES	16u

struct model {
	struct test_heap *heap;
	struct rng rng;
	struct object objects[OBJECTS + LARGE];
	__u32 count;
	__u32 large;
	struct cache caches[CACHES];
	__u32 live[PAGES_MAX];		/* objects of the span that starts here */
	__u64 stamps;
};

FIXTURE(model) {
	struct test_heap heap;
	struct model *m;
};

FIXTURE_VARIANT(model) {
	__u32 layout;
};

FIXTURE_VARIANT_ADD(model, span_layout) {
	.layout = GCHEAP_LAYOUT_SPAN,
};

FIXTURE_VARIANT_ADD(model, header_layout) {
	.layout = GCHEAP_LAYOUT_HEADER,
};

FIXTURE_VARIANT_ADD(model, footer_layout) {
	.layout = GCHEAP_LAYOUT_FOOTER,
};

FIXTURE_VARIANT_ADD(model, bitmap_layout) {
	.layout = GCHEAP_LAYOUT_BITMAP,
};

FIXTURE_SETUP(model)
{
	static const struct {
		__u32 words;
		__u64 mask;
		__u32 size_class;
	} kinds[CACHES] = {
		{ 2, 1, CLASS_16 }, { 2, 3, CLASS_16 }, { 2, 0, CLASS_16 },
		{ 3, 1, CLASS_24 }, { 3, 0, CLASS_24 },
		{ 8, 3, CLASS_64 }, { 8, 3, CLASS_64 }, { 8, 0xff, CLASS_64 },
		{ 8, 0, CLASS_64 }, { 60, 9, CLASS_512 }, { 60, 0, CLASS_512 },
		{ 70, 1, CLASS_576 }, { 120, 1, CLASS_1024 }, { 250, 1, CLASS_2048 },
		{ 1000, 0, CLASS_8192 }, { 3500, 1, CLASS_32768 },
	};

	ASSERT_OK(heap_open(&self->heap, variant->layout, (__u64)PAGES_MAX << GCHEAP_PAGE_SHIFT));
	self->m = calloc(1, sizeof(*self->m));
	ASSERT_NE(NULL, self->m);
	self->m->heap = &self->heap;
	for (__u32 i = 0; i < CACHES; i++) {
		struct cache *cache = &self->m->caches[i];

		test_cmd_type_words(kinds[i].words, kinds[i].mask, &cache->type);
		cache->size_class = kinds[i].size_class;
		cache->noscan = !kinds[i].mask;
	}
	rng_init_printed(&self->m->rng, "model");
}

FIXTURE_TEARDOWN(model)
{
	heap_close(&self->heap);
	free(self->m);
}

/* ---- objects ---------------------------------------------------------------------- */

static char *object_mem(const struct model *m, const struct object *object)
{
	return heap_mem(m->heap, object->page) + (size_t)object->slot * object->slot_bytes;
}

/* The parts of an object that are stamped: all of a small one, the ends of others. */
static void object_ends(const struct object *object, __u64 *front, __u64 *back)
{
	*front = object->bytes / 8;
	*back = *front;
	if (object->bytes > 1024) {
		*back = *front - 16;
		*front = 16;
	}
}

static void object_stamp(const struct model *m, const struct object *object)
{
	__u64 *words = (__u64 *)object_mem(m, object), front, back;

	object_ends(object, &front, &back);
	for (__u64 i = 0; i < front; i++)
		words[i] = object->stamp;
	for (__u64 i = back; i < object->bytes / 8; i++)
		words[i] = object->stamp;
}

static const char *object_wrong(const struct model *m, const struct object *object)
{
	const __u64 *words = (const __u64 *)object_mem(m, object);
	__u64 front, back;

	object_ends(object, &front, &back);
	for (__u64 i = 0; i < object->bytes / 8; i = i + 1 == front ? back : i + 1) {
		if (words[i] != object->stamp)
			return wrong("page %u slot %u: word %llu is %#llx, not %#llx",
				     object->page, object->slot, i, words[i], object->stamp);
	}
	return NULL;
}

static struct object *object_add(struct model *m, __u32 page, __u32 slot, __u32 slot_bytes,
				 __u64 bytes)
{
	struct object *object = &m->objects[m->count++];

	*object = (struct object){
		.page = page,
		.slot = slot,
		.slot_bytes = slot_bytes,
		.bytes = bytes,
		.stamp = (++m->stamps << 20) | page,
	};
	m->live[page]++;
	return object;
}

static void object_mark(const struct model *m, const struct object *object)
{
	bit_set(mark_bits(m->heap), slot_bit(object->page, object->slot_bytes, object->slot));
	bit_set(page_marks(m->heap), object->page);
}

/* ---- allocation ------------------------------------------------------------------- */

/* Another span, returning the old one in the same request at random. */
static const char *cache_refill(struct model *m, struct cache *cache)
{
	bool marking = heap_ctrl(m->heap)->phase == GCHEAP_PHASE_MARK;
	__u32 old = cache->span.page, granted = 0;
	bool together = rng_below(&m->rng, 2);
	__u32 live;
	int ret = 0;

	if (old && !together)
		ret = cmd_give(m->heap->fd, &old, 1);
	if (!ret)
		ret = cmd_refill(m->heap->fd, cache->type, cache->size_class, 1, &old,
				 old && together, &cache->span, 1, &granted);
	if (ret || granted != 1)
		return wrong("REFILL: %s", strerror(-ret));
	cache->next_slot = 0;
	/* While marking goes on, objects that are dead still have their slots. */
	live = m->live[cache->span.page];
	if (marking ? cache->span.free_slots > cache->span.slots - live :
		      cache->span.free_slots != cache->span.slots - live)
		return wrong("page %u: %u of %u slots free, but %u objects live",
			     cache->span.page, cache->span.free_slots, cache->span.slots, live);
	return span_wrong(m->heap, &cache->span, cache->size_class, cache->noscan);
}

static const char *small_new(struct model *m, struct cache *cache, struct object **object)
{
	__u32 bytes = size_classes[cache->size_class].bytes;
	__u64 *bits = alloc_bits(m->heap);

	for (;;) {
		__u32 page = cache->span.page;

		while (page && cache->next_slot < cache->span.slots) {
			__u32 slot = cache->next_slot++;
			__u64 bit = slot_bit(page, bytes, slot);

			if (bit_test(bits, bit))
				continue;
			bit_set(bits, bit);
			*object = object_add(m, page, slot, bytes, bytes);
			if (!(cache->span.flags & GCHEAP_GRANT_NEEDZERO) &&
			    !memory_is(object_mem(m, *object), 0, bytes))
				return wrong("page %u slot %u is not zero", page, slot);
			object_stamp(m, *object);
			return NULL;
		}
		const char *error = cache_refill(m, cache);

		if (error)
			return error;
	}
}

static const char *large_new(struct model *m)
{
	struct gcheap_alloc_large large;
	__u64 bytes = 32776 + 8ull * rng_below(&m->rng, 1 << 15);
	struct object *object;
	int ret = cmd_alloc_large(m->heap->fd, 0, bytes, &large);

	if (ret)
		return wrong("ALLOC_LARGE: %s", strerror(-ret));
	object = object_add(m, large.out_page, 0, 0, bytes);
	m->large++;
	if (!large.out_flags && !memory_is(object_mem(m, object), 0, bytes))
		return wrong("large object at %u is not zero", large.out_page);
	object_stamp(m, object);
	return large_wrong(m->heap, &large, bytes, true);
}

/* Up to the full number of objects, in runs of one kind. */
static const char *objects_new(struct model *m, __u32 limit)
{
	const char *error = NULL;

	while (m->large < LARGE && !error)
		error = large_new(m);
	while (m->count < limit && !error) {
		struct cache *cache = &m->caches[rng_below(&m->rng, CACHES)];
		__u32 run = 1 + rng_below(&m->rng, size_classes[cache->size_class].bytes > 600 ?
					  3 : 100);
		struct object *object;

		while (run-- && m->count < limit && !error)
			error = small_new(m, cache, &object);
	}
	return error;
}

static int caches_give(struct model *m)
{
	__u32 pages[CACHES], n = 0;

	for (__u32 i = 0; i < CACHES; i++) {
		if (m->caches[i].span.page)
			pages[n++] = m->caches[i].span.page;
		memset(&m->caches[i].span, 0, sizeof(m->caches[i].span));
	}
	return n ? cmd_give(m->heap->fd, pages, n) : 0;
}

/* ---- cycles ----------------------------------------------------------------------- */

/* Kill objects, mark the others. */
static void objects_mark(struct model *m)
{
	static const __u32 survivors[] = { 0, 5, 30, 50, 90, 99, 100 };
	__u32 percent = survivors[rng_below(&m->rng, ARRAY_SIZE(survivors))];
	__u32 kept = 0;

	for (__u32 i = 0; i < m->count; i++) {
		struct object *object = &m->objects[i];

		if (rng_below(&m->rng, 100) >= percent) {
			m->live[object->page]--;
			m->large -= !object->slot_bytes;
			continue;
		}
		object_mark(m, object);
		m->objects[kept++] = *object;
	}
	m->count = kept;
}

static const char *objects_wrong(const struct model *m)
{
	for (__u32 i = 0; i < m->count; i++) {
		const char *error = object_wrong(m, &m->objects[i]);

		if (error)
			return error;
	}
	return NULL;
}

/* Every span in use, when all are swept: its count and each of its bits. */
static const char *spans_wrong(const struct model *m)
{
	__u32 pages = heap_ctrl(m->heap)->heap_pages;
	const __u64 *bits = alloc_bits(m->heap);

	for (__u32 page = 1; page < pages; page++) {
		__u32 state = span_state(m->heap, page);
		bool span = state != GCHEAP_SPAN_FREE && state != GCHEAP_SPAN_INNER;

		if (span != !!m->live[page])
			return wrong("page %u has state %u, but %u objects live", page, state,
				     m->live[page]);
		if (span && heap_span(m->heap, page)->allocated != m->live[page])
			return wrong("page %u: %u allocated, %u live", page,
				     heap_span(m->heap, page)->allocated, m->live[page]);
		if (state == GCHEAP_SPAN_CENTRAL &&
		    slots_allocated(m->heap, page) != m->live[page])
			return wrong("page %u: %u alloc bits, %u live", page,
				     slots_allocated(m->heap, page), m->live[page]);
	}
	for (__u32 i = 0; i < m->count; i++) {
		const struct object *object = &m->objects[i];

		if (!bit_test(bits, slot_bit(object->page, object->slot_bytes, object->slot)))
			return wrong("page %u slot %u: no alloc bit", object->page,
				     object->slot);
	}
	return NULL;
}

/* Spans that the model has and that have no object. */
static __u64 spans_dead(const struct model *m)
{
	__u32 pages = heap_ctrl(m->heap)->heap_pages;
	__u64 dead = 0;

	for (__u32 page = 1; page < pages; page++) {
		__u32 state = span_state(m->heap, page);

		if (state == GCHEAP_SPAN_CENTRAL || state == GCHEAP_SPAN_LARGE)
			dead += !m->live[page];
	}
	return dead;
}

TEST_F_TIMEOUT(model, and_heap_agree_over_random_cycles, 120)
{
	struct model *m = self->m;

	for (int cycle = 0; cycle < CYCLES; cycle++) {
		struct gcheap_sweep_start swept;
		__u64 dead;

		ASSERT_RIGHT(objects_new(m, OBJECTS));
		ASSERT_RIGHT(objects_wrong(m));
		if (rng_below(&m->rng, 2))
			ASSERT_OK(caches_give(m));
		test_cmd_mark_start(NULL);
		objects_mark(m);
		/* Objects that are new while marking is going on are marked, or dead. */
		if (rng_below(&m->rng, 2)) {
			__u32 first = m->count;

			ASSERT_RIGHT(objects_new(m, first + 200 < OBJECTS ? first + 200 :
									    OBJECTS));
			for (__u32 i = first; i < m->count; i++)
				object_mark(m, &m->objects[i]);
		}
		ASSERT_OK(caches_give(m));
		ASSERT_RIGHT(heap_wrong(&self->heap));
		dead = spans_dead(m);
		test_cmd_sweep_start(&swept);
		ASSERT_EQ(dead, swept.out_freed_spans);
		ASSERT_EQ(heap_ctrl(&self->heap)->counters.spans - m->large,
			  swept.out_unswept_spans);
		ASSERT_RIGHT(objects_wrong(m));

		switch (rng_below(&m->rng, 3)) {
		case 0:
			test_cmd_sweep(~0ull, &(struct gcheap_sweep){ 0 });
			ASSERT_RIGHT(spans_wrong(m));
			break;
		case 1:
			test_cmd_sweep(1 + rng_below(&m->rng, 100), &(struct gcheap_sweep){ 0 });
			break;
		}
		ASSERT_RIGHT(heap_wrong(&self->heap));
	}

	TH_LOG("%llu objects, %llu spans swept, %llu freed", m->stamps,
	       heap_ctrl(&self->heap)->counters.swept_spans,
	       heap_ctrl(&self->heap)->counters.freed_spans);

	/* Nothing is left of a heap without objects. */
	test_cmd_mark_start(NULL);
	test_cmd_sweep_start(NULL);
	EXPECT_EQ(0, heap_ctrl(&self->heap)->counters.spans);
	EXPECT_EQ(0, heap_ctrl(&self->heap)->counters.in_use_pages);
	ASSERT_RIGHT(heap_wrong(&self->heap));
}

TEST_HARNESS_MAIN
