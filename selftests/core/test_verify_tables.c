// SPDX-License-Identifier: MIT
/*
 * The rules of common/verify_tables.h: each is broken once, and heard of.
 */
#include "core_check.h"
#include "core_test.h"
#include "fixture.h"
#include "request.h"

#define CLASS_24	3u
#define CLASS_64	6u
#define CLASS_6784	49u

static char heard[8192];
static size_t heard_bytes;

/* All complaints, a line each. */
static void hear(void *owner, u32 page, const char *format, va_list args)
{
	char text[200];

	(void)owner;
	(void)page;
	vsnprintf(text, sizeof(text), format, args);
	if (heard_bytes + strlen(text) + 2 <= sizeof(heard))
		heard_bytes += (size_t)snprintf(heard + heard_bytes, sizeof(heard) - heard_bytes,
						"%s\n", text);
}

static const char *complaints(void)
{
	heard_bytes = 0;
	heard[0] = 0;
	core_check_rules(th, true, hear);
	return heard;
}

/**
 * struct breach - a rule is broken
 * @word: what says something else than it should; 1 to 8 bytes
 * @bytes: how many
 * @value: what it says
 * @says: what is complained of, beside other things it may be
 */
struct breach {
	void *word;
	u32 bytes;
	u64 value;
	const char *says;
};

#define BREACH(lvalue, value, says)	{ &(lvalue), sizeof(lvalue), value, says }

#define BREAK_EACH(...) do {							\
	const struct breach breaches_[] = { __VA_ARGS__ };			\
										\
	break_each(breaches_, ARRAY_SIZE(breaches_));				\
} while (0)

static void break_each(const struct breach *breaches, u32 count)
{
	heap_publish(&th->heap);
	for (u32 i = 0; i < count; i++) {
		const struct breach *breach = &breaches[i];
		u64 before = 0;

		assert_string_equal(complaints(), "");
		memcpy(&before, breach->word, breach->bytes);
		memcpy(breach->word, &breach->value, breach->bytes);
		if (!strstr(complaints(), breach->says))
			fail_msg("not heard: \"%s\", but:\n%s", breach->says, heard);
		memcpy(breach->word, &before, breach->bytes);
	}
	assert_string_equal(complaints(), "");
}

static struct gcheap_span *span_at(u32 page)
{
	return heap_span(&th->heap, page);
}

static u64 *info_at(u32 page)
{
	return heap_info(&th->heap, page);
}

static u64 *bits_at(bool marks, u32 page)
{
	return heap_marks(&th->heap, th->heap.mark_table ^ !marks, page);
}

static int setup(void **state)
{
	(void)state;
	return fixture_begin(GCHEAP_LAYOUT_SPAN, 2 * GCHEAP_RESERVE_MIN, 0);
}

static void test_spans_of_small_objects(void **state)
{
	u32 page = request_span(th, request_type(th, 64, 1), CLASS_64);
	u32 leaves = request_span(th, 0, CLASS_64);
	u32 typed = request_type(th, 6784, 1), wide, cached;
	struct gcheap_span *span, *inner;

	(void)state;
	/* With a free slot, it would be the next that is taken. */
	slots_allocate(th, page, 128);
	assert_int_equal(request_return(th, page), 0);
	cached = request_span(th, request_type(th, 24, 1), CLASS_24);
	wide = request_span(th, typed, CLASS_6784);
	request_large(th, 0, 100000);
	span = span_at(page);
	inner = span_at(wide + 1);
	BREAK_EACH(
		BREACH(span->state, 9, "there is no state 9"),
		BREACH(span->state, GCHEAP_SPAN_INNER, "it is an inner page of no span"),
		BREACH(span->state, GCHEAP_SPAN_CENTRAL | GCHEAP_SPAN_LAZY, "has the flags 0x20"),
		BREACH(span->npages, 0, "it is 0 pages long, and the heap ends at page 128"),
		BREACH(span->npages, 1u << 30, "it is 1073741824 pages long"),
		BREACH(span->npages, 3, "a length of 3 pages does not suit its class"),
		BREACH(span->span_class, 2, "a length of 1 pages does not suit its class"),
		BREACH(span->span_class, 2 * SIZE_CLASSES, "a length of 1 pages does not suit"),
		BREACH(span->slots, 127, "it has 127 slots, and its class 128"),
		BREACH(span->ptr_mask, 0x100, "its pointer mask 0x100 is longer than a slot"),
		BREACH(span->type, 1, "it has type 1, and needs none"),
		BREACH(span->allocated, 129, "129 of its 128 slots are allocated"),
		BREACH(span->allocated, 0, "0 of its 128 slots are allocated"),
		BREACH(span->allocated, 3, "128 slots are allocated by the alloc bits, 3 by the"),
		BREACH(span->generation, (u16)(span->generation - 1), "it was swept in generation"),
		BREACH(span_at(cached)->generation, (u16)(span->generation - 2), "it was swept in"),
		BREACH(span_at(cached)->allocated, 1000, "1000 of its 341 slots are allocated"),
		BREACH(span_at(cached)->next, 2, "it stands between pages 0 and 2 in a list"),
		BREACH(span_at(cached)->prev, 2, "it stands between pages 2 and 0 in a list"),
		BREACH(span_at(leaves)->ptr_mask, 1, "it has the pointer mask 0x1, and needs none"),
		BREACH(*info_at(page), *info_at(page) + 1, "the PAGES entry of its page 0 is"),
		BREACH(*info_at(page), *info_at(page) ^ 1ull << 32, "the PAGES entry of its page"),
		BREACH(*info_at(page), *info_at(page) ^ 1ull << 48, "the PAGES entry of its page"),
		BREACH(*info_at(page), *info_at(page) ^ 1ull << 55, "the PAGES entry of its page"),
		BREACH(*info_at(page), *info_at(page) ^ 1ull << 60, "the PAGES entry of its page"),
		BREACH(*info_at(wide + 1), *info_at(wide), "the PAGES entry of its page 1 is"),
		/* Slots begin at every fourth granule there; at every third half here. */
		BREACH(*bits_at(false, page), ~0ull, "alloc bit 1 is set where no slot is"),
		BREACH(*bits_at(false, cached), 1ull << 1, "alloc bit 1 is set where no slot is"),
		BREACH(span_at(wide)->type, 0, "there is no type 0"),
		BREACH(span_at(wide)->type, 99, "there is no type 99"),
		BREACH(record_at(typed)->bytes, 6785, "objects of type 2 do not fit its slots"),
		BREACH(inner->state, GCHEAP_SPAN_CENTRAL, "its page 1 is in state 2, not an inner"),
		BREACH(inner->first_page, 1, "its page 1 belongs to the span at page 1"),
		BREACH(inner->type, 1, "its page 1 has more than its first page's number")
	);
}

static void test_large_objects(void **state)
{
	struct gcheap_alloc_large lazy = { .flags = GCHEAP_ALLOC_LAZY, .count = 100000 };
	u32 type = request_type(th, 100000, 1);
	u32 page = request_large(th, type, 1);
	u32 leaf = request_large(th, 0, 100000);
	struct gcheap_span *span = span_at(page);
	const u8 both = GCHEAP_SPAN_LARGE | GCHEAP_SPAN_LAZY | GCHEAP_SPAN_NEEDZERO;

	(void)state;
	assert_int_equal(heap_alloc_large(&th->heap, &lazy), 0);
	BREAK_EACH(
		BREACH(span_at(lazy.out_page)->state, both, "its state has the flags 0x30"),
		BREACH(span->state, GCHEAP_SPAN_LARGE | 0x40, "its state has the flags 0x40"),
		BREACH(span->npages, 14, "an object of 100000 bytes does not take its 14 pages"),
		BREACH(span->object_bytes, 1, "an object of 1 bytes does not take its 13 pages"),
		BREACH(span->slots, 2, "it has 2 slots of a class, and 1 are allocated"),
		BREACH(span->allocated, 0, "it has 1 slots of a class, and 0 are allocated"),
		BREACH(span->span_class, 4, "it has 1 slots of a class"),
		BREACH(span->type, 99, "there is no type 99"),
		BREACH(span->type, 0, "type 0 holds no pointers"),
		BREACH(span_at(leaf)->type, type, "type 1 holds pointers"),
		BREACH(span->next, 2, "it stands between pages 0 and 2 in a list"),
		BREACH(*info_at(page + 12), 0, "the PAGES entry of its page 12 is 0, not 0x"),
		BREACH(*info_at(leaf), *info_at(page), "the PAGES entry of its page 0 is"),
		BREACH(*bits_at(false, page), 3, "alloc bit 1 is set where no slot is"),
		BREACH(*bits_at(false, page), 0, "its object is not allocated"),
		BREACH(span_at(page + 12)->first_page, 9, "its page 12 belongs to the span at")
	);
}

/* A dead object that no sweep has reached has no alloc bit; one with a page mark is alive. */
static void test_a_large_object_of_the_last_cycle(void **state)
{
	u32 page = request_large(th, 0, 100000);
	struct gcheap_span *span = span_at(page);

	(void)state;
	heap_publish(&th->heap);
	*bits_at(false, page) = 0;
	span->generation = (u16)(th->heap.generation - 2);
	assert_string_equal(complaints(), "");
	page_mark(th, page);
	assert_string_equal(complaints(), "its object is not allocated\n");
}

static void test_chunks_and_what_is_in_quarantine(void **state)
{
	u32 chunk = request_chunk(th), ready = request_chunk(th), freed = request_chunk(th);
	struct gcheap_span *span = span_at(chunk);

	(void)state;
	assert_int_equal(request_chunk_free(th, ready), 0);
	assert_int_equal(request_chunk_ready(th, ready), 0);
	assert_int_equal(request_chunk_free(th, freed), 0);
	BREAK_EACH(
		BREACH(span->npages, 5, "a chunk of 5 pages with 0 slots"),
		BREACH(span->slots, 1, "a chunk of 1024 pages with 1 slots"),
		BREACH(span->npages, 1u << 30, "it is 1073741824 pages long"),
		BREACH(span->allocated, 3, "3 of its slots are allocated"),
		BREACH(span->state, GCHEAP_SPAN_CHUNK | GCHEAP_SPAN_LAZY, "has the flags 0x20"),
		BREACH(span->next, 7, "it stands between pages 0 and 7 in a list"),
		BREACH(span_at(ready)->prev, 7, "it stands behind page 7"),
		BREACH(span_at(ready)->state, GCHEAP_SPAN_READY | GCHEAP_SPAN_NEEDZERO,
		       "its state has the flags 0x10"),
		BREACH(span_at(ready)->slots, 4, "a chunk of 1024 pages with 4 slots"),
		BREACH(span_at(freed)->npages, 9, "a chunk of 9 pages with 0 slots"),
		BREACH(span_at(freed)->state, GCHEAP_SPAN_QUARANTINE | GCHEAP_SPAN_NEEDZERO,
		       "its state has the flags 0x10"),
		BREACH(*info_at(chunk + 9), 1, "the PAGES entry of its page 9 is 0x1, not 0"),
		BREACH(*bits_at(false, chunk + 1), 2, "alloc bit 513 is set where no slot is"),
		BREACH(span_at(chunk + 5)->first_page, 1, "its page 5 belongs to the span at"),
		BREACH(span_at(freed + 5)->state, 0, "its page 5 is in state 0, not an inner")
	);
}

static void test_a_chunk_that_is_not_aligned(void **state)
{
	u32 page = request_large(th, 0, GCHEAP_CHUNK_BYTES);
	struct gcheap_span *span = span_at(page);

	(void)state;
	assert_int_not_equal(page % CHUNK_PAGES, 0);
	span->state = GCHEAP_SPAN_CHUNK;
	span->slots = 0;
	assert_non_null(strstr(complaints(), "a chunk of 1024 pages with 0 slots"));
}

static void test_free_pages_and_counters(void **state)
{
	u32 page = request_span(th, 0, CLASS_64), next;
	struct gcheap_counters *counters = &th->heap.counters;

	(void)state;
	next = page + 1;
	BREAK_EACH(
		BREACH(span_at(0)->state, GCHEAP_SPAN_CHUNK, "page 0 is never in use"),
		BREACH(*info_at(0), *info_at(page), "the PAGES entry of its page 0 is"),
		BREACH(span_at(page)->state, GCHEAP_SPAN_FREE, "it is free, and its descriptor is"),
		BREACH(span_at(next)->prev, 1, "it is free, and its descriptor is not empty"),
		BREACH(*info_at(next), 1, "the PAGES entry of its page 0 is 0x1, not 0"),
		BREACH(bits_at(false, next)[7], 1, "alloc bit 448 is set where no slot is"),
		BREACH(bits_at(true, next)[7], 1, "mark bit 448 is set where no slot is"),
		BREACH(th->heap.reserve_bytes, 8192, "the heap has 128 pages, and room for 1"),
		BREACH(counters->heap_pages, 1, "the counter heap_pages is 1, and 128 were"),
		BREACH(counters->spans, 2, "the counter spans is 2, and 1 were counted"),
		BREACH(counters->cached_spans, 0, "the counter cached_spans is 0, and 1 were"),
		BREACH(counters->unswept_spans, 1, "the counter unswept_spans is 1, and 0 were"),
		BREACH(counters->in_use_pages, 0, "the counter in_use_pages is 0, and 1 were"),
		BREACH(counters->chunks, 1, "the counter chunks is 1, and 0 were counted"),
		BREACH(counters->quarantined_pages, 1, "the counter quarantined_pages is 1, and")
	);
}

/* Which kinds a span may be of depends on the layout, and on GCHEAP_SETUP_RECORD_TYPES. */
static void test_kinds(void **state)
{
	static const struct {
		u32 layout, flags;
		u32 right;	/* for objects of 56 bytes with pointers, a bit a kind */
		u32 leaf;	/* without */
	} heaps[] = {
#define K(kind)	(1u << GCHEAP_KIND_##kind)
		{ GCHEAP_LAYOUT_SPAN, 0, K(MASK) | K(HEAP_BITS), K(NOSCAN) },
		{ GCHEAP_LAYOUT_HEADER, 0, K(HEAP_BITS), K(NOSCAN) },
		{ GCHEAP_LAYOUT_FOOTER, 0, K(HEAP_BITS), K(NOSCAN) },
		{ GCHEAP_LAYOUT_BITMAP, 0, K(BITMAP), K(NOSCAN) },
#define RECORD	GCHEAP_SETUP_RECORD_TYPES
		{ GCHEAP_LAYOUT_SPAN, RECORD, K(MASK) | K(HEADER),
		  K(NOSCAN) | K(TYPE) | K(HEADER) },
		{ GCHEAP_LAYOUT_HEADER, RECORD, K(HEADER), K(NOSCAN) | K(HEADER) },
		{ GCHEAP_LAYOUT_FOOTER, RECORD, K(FOOTER), K(NOSCAN) | K(FOOTER) },
		{ GCHEAP_LAYOUT_BITMAP, RECORD, K(BITMAP), K(NOSCAN) | K(BITMAP) },
	};

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(heaps); i++) {
		u32 pages[2];

		fixture_heap(heaps[i].layout, GCHEAP_RESERVE_MIN, heaps[i].flags);
		pages[0] = request_span(th, request_type(th, 56, 1), CLASS_64);
		pages[1] = request_span(th, 0, CLASS_64);
		assert_true(pages[0] && pages[1]);
		heap_publish(&th->heap);
		assert_string_equal(complaints(), "");
		for (u32 j = 0; j < 32; j++) {
			u32 page = pages[j % 2], right = j % 2 ? heaps[i].leaf : heaps[i].right;
			u64 before = *info_at(page);

			*info_at(page) = (before & ~0ull >> 4) | (u64)(j / 2) << 60;
			if ((strstr(complaints(), "the PAGES entry") == NULL) != (right >> j / 2 & 1))
				fail_msg("heap %u, page %u, kind %u: %s", i, page, j / 2, heard);
			*info_at(page) = before;
		}
	}
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, fixture_end)
	const struct CMUnitTest tests[] = {
		T(test_spans_of_small_objects),
		T(test_large_objects),
		T(test_a_large_object_of_the_last_cycle),
		T(test_chunks_and_what_is_in_quarantine),
		T(test_a_chunk_that_is_not_aligned),
		T(test_free_pages_and_counters),
		T(test_kinds),
	};

	return cmocka_run_group_tests_name("verify tables", tests, NULL, NULL);
}
