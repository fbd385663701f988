// SPDX-License-Identifier: MIT
/*
 * Types of few objects share mixed spans in the SPAN layout, and get spans of their
 * own when there is use for them.
 */
#include "library_test.h"

#include "address.h"
#include "library.h"
#include "slots.h"
#include "thread.h"

static void *new_object(struct fixture *f, gcheap_type type)
{
	void *object = gcheap_new(f->thread, type);

	assert_non_null(object);
	return object;
}

static enum gcheap_kind kind_of(struct fixture *f, const void *object)
{
	const struct view *view = &f->heap->view;

	return GCHEAP_PAGE_KIND(view->pages[address_offset(view, object) >> GCHEAP_PAGE_SHIFT]);
}

static uint64_t pages_in_use(struct fixture *f)
{
	struct gcheap_stats stats = stats_of(f->heap);

	return (stats.mapped_bytes - stats.free_bytes) >> GCHEAP_PAGE_SHIFT;
}

/* ---- when --------------------------------------------------------------------- */

static void test_a_type_has_mixed_spans_until_it_is_busy(void **state)
{
	static const struct {
		size_t bytes;
		enum gcheap_kind mixed, own;
	} cases[] = {
		{ 16, GCHEAP_KIND_HEAP_BITS, GCHEAP_KIND_MASK },
		{ 512, GCHEAP_KIND_HEAP_BITS, GCHEAP_KIND_MASK },
		{ 520, GCHEAP_KIND_HEADER, GCHEAP_KIND_TYPE },
		{ 4000, GCHEAP_KIND_HEADER, GCHEAP_KIND_TYPE },
		/* A span of one slot cannot be shared. */
		{ 8192, GCHEAP_KIND_TYPE, GCHEAP_KIND_TYPE },
		{ 30000, GCHEAP_KIND_TYPE, GCHEAP_KIND_TYPE },
	};
	struct fixture f;
	size_t i;

	(void)state;
	fixture_open_layout(&f, GCHEAP_LAYOUT_SPAN);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		gcheap_type type = type_with_mask(f.heap, cases[i].bytes, 8, 1);

		assert_int_equal(kind_of(&f, new_object(&f, type)), cases[i].mixed);
		assert_int_equal(kind_of(&f, busy_type(&f, type, 1)), cases[i].own);
		assert_int_equal(kind_of(&f, new_object(&f, type)), cases[i].own);
	}
	assert_int_equal(gcheap_verify(f.heap), 0);
	fixture_close(&f);
}

static void test_arrays_have_mixed_spans_until_there_are_many(void **state)
{
	struct fixture f;
	gcheap_type type;

	(void)state;
	fixture_open_layout(&f, GCHEAP_LAYOUT_SPAN);
	type = type_with_mask(f.heap, 24, 8, 2);
	assert_int_equal(kind_of(&f, gcheap_new_array(f.thread, type, 10)), GCHEAP_KIND_HEAP_BITS);
	assert_int_equal(kind_of(&f, gcheap_new_array(f.thread, type, 50)), GCHEAP_KIND_HEADER);
	assert_int_equal(kind_of(&f, busy_type(&f, type, 10)), GCHEAP_KIND_MASK);
	assert_int_equal(kind_of(&f, gcheap_new_array(f.thread, type, 50)), GCHEAP_KIND_HEADER);
	assert_int_equal(kind_of(&f, busy_type(&f, type, 50)), GCHEAP_KIND_TYPE);
	assert_int_equal(kind_of(&f, new_object(&f, type)), GCHEAP_KIND_HEAP_BITS);
	assert_int_equal(gcheap_verify(f.heap), 0);
	fixture_close(&f);
}

static void test_a_type_that_is_busy_no_more_goes_back_to_mixed_spans(void **state)
{
	struct fixture f;
	gcheap_type type, other;

	(void)state;
	fixture_open_layout(&f, GCHEAP_LAYOUT_SPAN);
	type = type_with_mask(f.heap, 64, 8, 1);
	/* Another type of this mask and class has the same spans. */
	other = type_with_mask(f.heap, 64, 8, 1);
	new_object(&f, other);
	busy_type(&f, type, 1);
	assert_int_equal(kind_of(&f, new_object(&f, other)), GCHEAP_KIND_MASK);
	live_after_collect(&f);
	assert_int_equal(kind_of(&f, new_object(&f, type)), GCHEAP_KIND_MASK);
	live_after_collect(&f);
	assert_int_equal(kind_of(&f, new_object(&f, type)), GCHEAP_KIND_HEAP_BITS);
	assert_int_equal(kind_of(&f, new_object(&f, other)), GCHEAP_KIND_HEAP_BITS);
	/* And to its own again. */
	assert_int_equal(kind_of(&f, busy_type(&f, other, 1)), GCHEAP_KIND_MASK);
	assert_int_equal(kind_of(&f, new_object(&f, type)), GCHEAP_KIND_MASK);
	assert_int_equal(gcheap_verify(f.heap), 0);
	fixture_close(&f);
}

static void test_a_type_that_stays_busy_keeps_its_spans(void **state)
{
	struct fixture f;
	gcheap_type type;
	int cycle, i;

	(void)state;
	fixture_open_layout(&f, GCHEAP_LAYOUT_SPAN);
	type = type_with_mask(f.heap, 64, 8, 1);
	busy_type(&f, type, 1);
	for (cycle = 0; cycle < 5; cycle++) {
		live_after_collect(&f);
		/* Half a span, 64 of 128, is enough. */
		for (i = 0; i < 64; i++)
			assert_int_equal(kind_of(&f, new_object(&f, type)), GCHEAP_KIND_MASK);
	}
	fixture_close(&f);
}

static void test_spans_of_one_slot_come_again_after_a_time_without(void **state)
{
	struct fixture f;
	gcheap_type single, element;
	int i;

	(void)state;
	fixture_open_layout(&f, GCHEAP_LAYOUT_SPAN);
	single = type_with_mask(f.heap, 8192, 8, 1);
	element = type_with_mask(f.heap, 64, 8, 1);
	for (i = 0; i < 5; i++) {
		assert_int_equal(kind_of(&f, new_object(&f, single)), GCHEAP_KIND_TYPE);
		assert_int_equal(kind_of(&f, gcheap_new_array(f.thread, element, 128)),
				 GCHEAP_KIND_TYPE);
		live_after_collect(&f);
		if (i % 2)
			live_after_collect(&f);
	}
	assert_int_equal(gcheap_verify(f.heap), 0);
	fixture_close(&f);
}

/* Memory of the thread's caches and allocation classes. */
static uint64_t library_memory(const struct fixture *f)
{
	const struct thread *thread = (const struct thread *)f->thread;
	const struct cache_block *caches;
	const struct alloc_class_block *classes;
	uint64_t bytes = 0;

	for (caches = thread->blocks; caches; caches = caches->next)
		bytes += 64 << 10;
	for (classes = thread->alloc_class_blocks; classes; classes = classes->next)
		bytes += sizeof(*classes);
	return bytes;
}

/* ---- how much ------------------------------------------------------------------- */

#define MANY	10000u

static void *kept[MANY];

/* Heap pages that @count objects take, of @types types with different masks. */
static uint64_t pages_of(size_t bytes, uint32_t types, uint32_t count, uint64_t *library_bytes)
{
	gcheap_type *numbers = calloc(types, sizeof(*numbers));
	struct fixture f;
	uint64_t pages;
	uint32_t i;

	*library_bytes = 0;
	assert_non_null(numbers);
	fixture_open_layout(&f, GCHEAP_LAYOUT_SPAN);
	memset(kept, 0, sizeof(kept));
	assert_int_equal(gcheap_root_add(f.heap, kept, MANY), 0);
	for (i = 0; i < types; i++)
		numbers[i] = type_with_mask(f.heap, bytes, 8, i + 1);
	for (i = 0; i < count; i++)
		kept[i] = new_object(&f, numbers[i % types]);
	pages = pages_in_use(&f);
	assert_int_equal(live_after_collect(&f), count);
	/* Not only while its caches are full. */
	if (pages_in_use(&f) > pages)
		pages = pages_in_use(&f);
	assert_int_equal(gcheap_verify(f.heap), 0);
	*library_bytes = library_memory(&f);
	fixture_close(&f);
	free(numbers);
	return pages;
}

static void test_thousands_of_types_need_few_more_pages_than_one(void **state)
{
	static const size_t sizes[] = { 112, 128, 504, 520, 1000, 1024, 2048, 4096, 8192 };
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		uint64_t library_one, library_many;
		uint64_t one = pages_of(sizes[i], 1, MANY, &library_one);
		uint64_t many = pages_of(sizes[i], MANY, MANY, &library_many);

		print_message("# %zu bytes: %llu pages, of %u types %llu; library: %llu KiB and "
			      "%llu KiB\n", sizes[i], (unsigned long long)one, MANY,
			      (unsigned long long)many, (unsigned long long)library_one >> 10,
			      (unsigned long long)library_many >> 10);
		if (many * 10 > one * 13)
			fail_msg("%zu bytes: %llu pages, but %llu with one type", sizes[i],
				 (unsigned long long)many, (unsigned long long)one);
		/* Fifty bytes a type; but where it has spans of its own, it has a cache. */
		if (sizes[i] < 8192)
			assert_in_range(library_many - library_one, 0, MANY * 50);
	}
}

static void test_caches_of_types_that_were_busy_are_used_again(void **state)
{
	struct fixture f;
	uint64_t bytes = 0;
	int i;

	(void)state;
	fixture_open_layout(&f, GCHEAP_LAYOUT_SPAN);
	for (i = 0; i < 2000; i++) {
		busy_type(&f, type_with_mask(f.heap, 128, 8, (uint64_t)i + 1), 1);
		live_after_collect(&f);
		if (i == 10)
			bytes = library_memory(&f);
	}
	assert_in_range(library_memory(&f), bytes, bytes + 2000 * 50);
	assert_int_equal(gcheap_verify(f.heap), 0);
	fixture_close(&f);
}

/* ---- all together ---------------------------------------------------------------- */

#define TYPES	200u
#define HEADS	500u

struct typed_object {
	struct typed_object *next;
	uint64_t number;
};

/* Lists through objects of many types, some of them busy for a while. */
static void test_lists_through_both_kinds_of_spans_survive(void **state)
{
	struct typed_object *heads[HEADS] = { 0 };
	gcheap_type types[TYPES];
	uint64_t expected[HEADS] = { 0 };
	struct fixture f;
	uint32_t step, i;

	(void)state;
	fixture_open_layout(&f, GCHEAP_LAYOUT_SPAN);
	assert_int_equal(gcheap_root_add(f.heap, (void *)heads, HEADS), 0);
	for (i = 0; i < TYPES; i++) {
		size_t align = rand() % 8 ? 8 : 16;

		types[i] = type_with_mask(f.heap, 16 + (size_t)rand() % 100 * align, align, 1);
	}
	for (step = 0; step < 60000; step++) {
		/* One in two of what is allocated now is of the same few types. */
		uint32_t type = (uint32_t)rand() % 2 ? step / 5000 % TYPES : (uint32_t)rand() % TYPES;
		uint32_t head = (uint32_t)rand() % HEADS;
		struct typed_object *object = new_object(&f, types[type]);

		assert_null(object->next);
		assert_int_equal(object->number, 0);
		if (rand() % 3 == 0) {
			heads[head] = NULL;
			expected[head] = 0;
		}
		object->next = heads[head];
		object->number = ++expected[head];
		heads[head] = object;
		if (step % 5000 == 4999) {
			assert_int_equal(gcheap_collect(f.thread), 0);
			assert_int_equal(gcheap_verify(f.heap), 0);
		}
	}
	for (i = 0; i < HEADS; i++) {
		const struct typed_object *object;

		for (object = heads[i]; object; object = object->next)
			assert_int_equal(object->number, expected[i]--);
		assert_int_equal(expected[i], 0);
	}
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_type_has_mixed_spans_until_it_is_busy),
		cmocka_unit_test(test_arrays_have_mixed_spans_until_there_are_many),
		cmocka_unit_test(test_a_type_that_is_busy_no_more_goes_back_to_mixed_spans),
		cmocka_unit_test(test_a_type_that_stays_busy_keeps_its_spans),
		cmocka_unit_test(test_spans_of_one_slot_come_again_after_a_time_without),
		cmocka_unit_test(test_thousands_of_types_need_few_more_pages_than_one),
		cmocka_unit_test(test_caches_of_types_that_were_busy_are_used_again),
		cmocka_unit_test(test_lists_through_both_kinds_of_spans_survive),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("mixed spans", tests, NULL, NULL);
}
