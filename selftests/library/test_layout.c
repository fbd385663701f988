// SPDX-License-Identifier: MIT
/*
 * Layouts: where objects stand, and which of their words the collector takes for
 * pointers, against a naive model of one byte a word. Each test runs in all
 * layouts.
 *
 * Environment: GCHEAP_SEED repeats a run, GCHEAP_RANGES changes how many random
 * ranges are compared in each layout.
 */
#include <stdio.h>
#include <time.h>

#include "library_test.h"
#if UNDER_ASAN
/* Only there are the library's own functions to be had. */
#include "layout/layout.h"
#include "layout/size_class.h"
#endif

#define RANGES		1000000ul
#define TYPES		300u
#define OBJECTS		2000u
#define ELEMENT_WORDS	20000u
#define OBJECT_WORDS	40000u

/* A type, and what it should mean. */
struct shape {
	size_t words;			/* of an element */
	size_t ptr_words;
	size_t align;
	uint8_t *pointer;		/* a byte a word */
	gcheap_type type;
};

static void shape_register(struct gcheap *heap, struct shape *shape)
{
	uint8_t *mask = calloc(shape->ptr_words / 8 + 1, 1);
	struct gcheap_type_desc desc = {
		.name = "shape",
		.size = shape->words * 8,
		.align = shape->align,
		.ptr_bytes = shape->ptr_words * 8,
		.ptr_mask = shape->ptr_words ? mask : NULL,
	};
	size_t w;

	assert_non_null(mask);
	for (w = 0; w < shape->ptr_words; w++)
		mask[w / 8] |= (uint8_t)(shape->pointer[w] << w % 8);
	if (gcheap_type_register(heap, &desc, &shape->type))
		fail_msg("%zu words, %zu of them pointers: %s", shape->words, shape->ptr_words,
			 gcheap_error());
	free(mask);
}

/*
 * Compares words @from to @to of an array of @n elements with the model. Behind
 * the last element the mask may go on, because the slot is zero there.
 */
static void check_range(struct gcheap *heap, const struct shape *shape, const uint64_t *object,
			size_t n, size_t from, size_t to)
{
	static uint8_t mask[OBJECT_WORDS];
	size_t words = shape->words * n;
	size_t last = 0, w;
	int found;

	memset(mask, 0xee, to - from);
	found = gcheap_pointer_mask(heap, object + from, mask, to - from);
	if (found < 0)
		fail_msg("words %zu to %zu of %zu: %s", from, to, words, gcheap_error());
	for (w = from; w < to; w++) {
		uint8_t expected = shape->pointer[w % shape->words];

		if (w >= words)
			continue;
		if (mask[w - from] != expected)
			fail_msg("%zu elements of %zu words, %zu to %zu: word %zu is %u, not %u", n,
				 shape->words, from, to, w, mask[w - from], expected);
		if (expected)
			last = w - from + 1;
	}
	if (to <= words && (size_t)found != last)
		fail_msg("%zu elements of %zu words, words %zu to %zu: %d words up to the last "
			 "pointer, not %zu", n, shape->words, from, to, found, last);
}

static void open_layout(struct fixture *f, enum gcheap_layout layout)
{
	struct gcheap_config config = fixture_config();

	config.layout = layout;
	config.gc_percent = -1;
	fixture_open_with(f, &config);
}

/* ---- random types, counts and ranges ----------------------------------------- */

static uint64_t seed_for_this_run(void)
{
	const char *seed = getenv("GCHEAP_SEED");

	return seed ? strtoull(seed, NULL, 0) : (uint64_t)time(NULL);
}

static unsigned long ranges_for_this_run(void)
{
	const char *ranges = getenv("GCHEAP_RANGES");

	return ranges ? strtoul(ranges, NULL, 0) : RANGES;
}

/* From 1 to @last, all lengths in bits alike. */
static size_t random_length(uint64_t *random, size_t last)
{
	unsigned int bits = 1 + (unsigned int)(random_next(random) %
					       (64 - (unsigned int)__builtin_clzll(last)));
	size_t length = 1 + random_next(random) % ((1ull << bits) - 1 ? (1ull << bits) - 1 : 1);

	return length < last ? length : last;
}

static void random_shape(uint64_t *random, struct shape *shape)
{
	uint64_t density = random_next(random) % 4;
	size_t w;

	shape->align = 8ull << (random_next(random) % 4 ? 0 : random_next(random) % 5);
	shape->words = random_length(random, ELEMENT_WORDS);
	shape->words += -shape->words & (shape->align / 8 - 1);
	shape->ptr_words = random_next(random) % 4 ? random_length(random, shape->words) :
			   shape->words;
	if (random_next(random) % 16 == 0)
		shape->ptr_words = 0;
	shape->pointer = calloc(shape->words, 1);
	assert_non_null(shape->pointer);
	for (w = 0; w < shape->ptr_words; w++)
		shape->pointer[w] = !density || random_next(random) % (density * density * 4) == 0;
}

static void compare_random_ranges(enum gcheap_layout layout)
{
	static struct shape shapes[TYPES];
	static struct {
		uint64_t *address;
		struct shape *shape;
		size_t n;
	} objects[OBJECTS];
	uint64_t seed = seed_for_this_run(), random = seed;
	unsigned long ranges = ranges_for_this_run(), r;
	struct fixture f;
	size_t i;

	print_message("# layout %d: GCHEAP_SEED=%llu GCHEAP_RANGES=%lu\n", layout,
		      (unsigned long long)seed, ranges);
	open_layout(&f, layout);
	for (i = 0; i < TYPES; i++) {
		random_shape(&random, &shapes[i]);
		shape_register(f.heap, &shapes[i]);
	}
	for (i = 0; i < OBJECTS; i++) {
		struct shape *shape = &shapes[random_next(&random) % TYPES];
		size_t n = random_length(&random, OBJECT_WORDS / shape->words);

		objects[i].shape = shape;
		objects[i].n = n;
		objects[i].address = gcheap_new_array(f.thread, shape->type, n);
		assert_non_null(objects[i].address);
		assert_int_equal((uintptr_t)objects[i].address % shape->align, 0);
	}
	for (r = 0; r < ranges; r++) {
		size_t words, from, to;

		i = random_next(&random) % OBJECTS;
		words = objects[i].shape->words * objects[i].n;
		from = random_next(&random) % words;
		to = from + random_length(&random, random_next(&random) % 64 ? 200 : OBJECT_WORDS);
		check_range(f.heap, objects[i].shape, objects[i].address, objects[i].n, from,
			    to < words ? to : words);
	}
	assert_int_equal(gcheap_verify(f.heap), 0);
	fixture_close(&f);
	for (i = 0; i < TYPES; i++)
		free(shapes[i].pointer);
}

static void test_any_range_has_the_pointers_of_a_naive_model_in_span_layout(void **state)
{
	(void)state;
	compare_random_ranges(GCHEAP_LAYOUT_SPAN);
}

static void test_any_range_has_the_pointers_of_a_naive_model_in_header_layout(void **state)
{
	(void)state;
	compare_random_ranges(GCHEAP_LAYOUT_HEADER);
}

static void test_any_range_has_the_pointers_of_a_naive_model_in_footer_layout(void **state)
{
	(void)state;
	compare_random_ranges(GCHEAP_LAYOUT_FOOTER);
}

static void test_any_range_has_the_pointers_of_a_naive_model_in_bitmap_layout(void **state)
{
	(void)state;
	compare_random_ranges(GCHEAP_LAYOUT_BITMAP);
}

/* ---- shapes ------------------------------------------------------------------- */

/* Each as a whole, from every word, and to every word near its borders. */
static void check_shape(struct fixture *f, struct shape *shape, size_t n)
{
	uint64_t *object = gcheap_new_array(f->thread, shape->type, n);
	size_t words = shape->words * n;
	size_t step = words > 1000 ? words / 331 : 1;
	struct gcheap_object found;
	size_t w;

	assert_non_null(object);
	for (w = 0; w < words; w += step)
		check_range(f->heap, shape, object, n, w, words < w + 700 ? words : w + 700);
	check_range(f->heap, shape, object, n, 0, words);
	assert_int_equal(gcheap_find(f->heap, object, &found), 0);
	assert_ptr_equal(found.base, object);
	assert_true(found.size >= words * 8);
	assert_int_equal(!!(found.flags & GCHEAP_OBJECT_NOSCAN), !shape->ptr_words);
}

/* @pattern: 'p' a pointer, 's' a scalar; @repeats of it make an element. */
static void check_pattern(struct fixture *f, const char *pattern, size_t repeats,
			  size_t scalar_tail, size_t n)
{
	struct shape shape = { .align = 8 };
	size_t length = strlen(pattern);
	size_t w;

	shape.words = length * repeats + scalar_tail;
	shape.pointer = calloc(shape.words, 1);
	assert_non_null(shape.pointer);
	for (w = 0; w < length * repeats; w++) {
		shape.pointer[w] = pattern[w % length] == 'p';
		if (shape.pointer[w])
			shape.ptr_words = w + 1;
	}
	shape_register(f->heap, &shape);
	check_shape(f, &shape, n);
	free(shape.pointer);
}

static void check_shapes(enum gcheap_layout layout)
{
	struct fixture f;

	open_layout(&f, layout);
	check_pattern(&f, "s", 1, 0, 1);
	check_pattern(&f, "p", 1, 0, 1);
	check_pattern(&f, "sp", 1, 0, 1);
	check_pattern(&f, "ps", 1, 0, 1);
	check_pattern(&f, "pps", 1, 0, 1);
	check_pattern(&f, "pps", 1, 0, 21);		/* arrays of 3 words: 504 bytes, */
	check_pattern(&f, "pps", 1, 0, 22);		/* 528, */
	check_pattern(&f, "pps", 1, 0, 10000);		/* and large */
	check_pattern(&f, "p", 1, 0, 64);
	check_pattern(&f, "p", 1, 0, 65);
	check_pattern(&f, "p", 63, 0, 1);		/* below, at and above a mask's word */
	check_pattern(&f, "p", 64, 0, 1);
	check_pattern(&f, "p", 65, 0, 1);
	check_pattern(&f, "sp", 32, 1, 3);
	check_pattern(&f, "psps", 16, 1, 9);
	check_pattern(&f, "ps", 64, 0, 1);
	check_pattern(&f, "p", 3, 1000, 4);		/* a long scalar tail */
	check_pattern(&f, "p", 3, 4093, 1);		/* 32 KiB and one word more */
	check_pattern(&f, "p", 3, 4094, 1);
	check_pattern(&f, "spp", 3334, 0, 1);		/* 10,000 words */
	check_pattern(&f, "spp", 3334, 2000, 3);
	check_pattern(&f, "pssssssssssss", 1260, 4, 1);	/* 128 KiB */
	check_pattern(&f, "p", 1, 0, OBJECT_WORDS);
	assert_int_equal(gcheap_verify(f.heap), 0);
	fixture_close(&f);
}

static void test_the_shapes_of_gos_tests_in_span_layout(void **state)
{
	(void)state;
	check_shapes(GCHEAP_LAYOUT_SPAN);
}

static void test_the_shapes_of_gos_tests_in_header_layout(void **state)
{
	(void)state;
	check_shapes(GCHEAP_LAYOUT_HEADER);
}

static void test_the_shapes_of_gos_tests_in_footer_layout(void **state)
{
	(void)state;
	check_shapes(GCHEAP_LAYOUT_FOOTER);
}

static void test_the_shapes_of_gos_tests_in_bitmap_layout(void **state)
{
	(void)state;
	check_shapes(GCHEAP_LAYOUT_BITMAP);
}

/* Heap bits of a slot are those of its last object, whatever stood there before. */
static void check_reused_slots(enum gcheap_layout layout)
{
	static const char *const patterns[] = { "pppppppp", "sssssssp", "pspspsps", "pssssppp" };
	struct shape shapes[ARRAY_SIZE(patterns)];
	struct fixture f;
	size_t i, round, w;

	open_layout(&f, layout);
	for (i = 0; i < ARRAY_SIZE(patterns); i++) {
		shapes[i] = (struct shape) { .words = 8, .ptr_words = 8, .align = 8 };
		shapes[i].pointer = calloc(8, 1);
		for (w = 0; w < 8; w++)
			shapes[i].pointer[w] = patterns[i][w] == 'p';
		shape_register(f.heap, &shapes[i]);
	}
	for (round = 0; round < 10; round++) {
		for (i = 0; i < 3000; i++) {
			struct shape *shape = &shapes[(i + round) % ARRAY_SIZE(patterns)];
			uint64_t *object = gcheap_new(f.thread, shape->type);

			assert_non_null(object);
			check_range(f.heap, shape, object, 1, 0, 8);
		}
		assert_int_equal(live_after_collect(&f), 0);
	}
	fixture_close(&f);
	for (i = 0; i < ARRAY_SIZE(patterns); i++)
		free(shapes[i].pointer);
}

static void test_a_reused_slot_has_the_new_types_pointers(void **state)
{
	(void)state;
	check_reused_slots(GCHEAP_LAYOUT_HEADER);
	check_reused_slots(GCHEAP_LAYOUT_FOOTER);
	check_reused_slots(GCHEAP_LAYOUT_BITMAP);
}

/* A type all of pointers, so that only its end keeps the iterator off the footer. */
static void test_a_footer_is_not_visited(void **state)
{
	static uint8_t mask[4096];
	struct fixture f;
	gcheap_type type;
	size_t n;

	(void)state;
	open_layout(&f, GCHEAP_LAYOUT_FOOTER);
	type = type_with_mask(f.heap, 8, 8, 1);
	for (n = 65; n < 4096; n += 13) {
		uint64_t *object = gcheap_new_array(f.thread, type, n);
		struct gcheap_object found;
		size_t words;

		assert_non_null(object);
		assert_int_equal(gcheap_find(f.heap, object, &found), 0);
		words = found.size / 8;
		assert_true(words >= n && words < 4096);
		assert_int_equal(object[words], type);
		assert_int_equal(gcheap_pointer_mask(f.heap, object, mask, 4096), words);
		assert_int_equal(gcheap_pointer_mask(f.heap, object + words - 1, mask, 9), 1);
	}
	fixture_close(&f);
}

/* A large object's span ends with its page: what is behind the object is not its. */
static void test_a_large_objects_rest_is_not_visited(void **state)
{
	static uint8_t mask[5120];
	struct fixture f;
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++) {
		uint64_t *object;

		open_layout(&f, (enum gcheap_layout)i);
		object = gcheap_new_array(f.thread, type_with_mask(f.heap, 8, 8, 1), 5000);
		assert_non_null(object);
		assert_int_equal(gcheap_pointer_mask(f.heap, object, mask, 5120), 5000);
		assert_int_equal(gcheap_pointer_mask(f.heap, object + 5000, mask, 120), 0);
		fixture_close(&f);
	}
}

/* ---- alignment ---------------------------------------------------------------- */

static void check_alignments(enum gcheap_layout layout)
{
	size_t align, n, i;
	struct fixture f;

	open_layout(&f, layout);
	for (align = 8; align <= 8192; align *= 2) {
		gcheap_type type = type_with_mask(f.heap, align, align, 1);
		gcheap_type leaf = type_with_mask(f.heap, align, align, 0);

		for (n = 1; n < 12; n++) {
			for (i = 0; i < 3; i++) {
				char *object = gcheap_new_array(f.thread, type, n);

				assert_non_null(object);
				assert_int_equal((uintptr_t)object % align, 0);
				object = gcheap_new_array(f.thread, leaf, n);
				assert_non_null(object);
				assert_int_equal((uintptr_t)object % align, 0);
			}
		}
	}
	for (n = 16; n < 5000; n += 7) {
		void *leaf = gcheap_new_leaf(f.thread, n);

		assert_non_null(leaf);
		assert_int_equal((uintptr_t)leaf % 16, 0);
	}
	fixture_close(&f);
}

static void test_objects_have_their_types_alignment_in_span_layout(void **state)
{
	(void)state;
	check_alignments(GCHEAP_LAYOUT_SPAN);
}

static void test_objects_have_their_types_alignment_in_header_layout(void **state)
{
	(void)state;
	check_alignments(GCHEAP_LAYOUT_HEADER);
}

static void test_objects_have_their_types_alignment_in_footer_layout(void **state)
{
	(void)state;
	check_alignments(GCHEAP_LAYOUT_FOOTER);
}

static void test_objects_have_their_types_alignment_in_bitmap_layout(void **state)
{
	(void)state;
	check_alignments(GCHEAP_LAYOUT_BITMAP);
}

/* ---- what is refused ---------------------------------------------------------- */

static void test_err_pointer_mask(void **state)
{
	uint8_t mask[8];
	struct fixture f;
	uint64_t *object;

	(void)state;
	fixture_open(&f);
	object = gcheap_new(f.thread, type_with_mask(f.heap, 64, 8, 1));
	assert_non_null(object);
	assert_refused(gcheap_pointer_mask(NULL, object, mask, 8), EINVAL, "NULL");
	assert_refused(gcheap_pointer_mask(f.heap, object, NULL, 8), EINVAL, "NULL");
	assert_refused(gcheap_pointer_mask(f.heap, NULL, mask, 8), ENOENT, "object");
	assert_refused(gcheap_pointer_mask(f.heap, mask, mask, 8), ENOENT, "object");
	assert_refused(gcheap_pointer_mask(f.heap, (char *)object + 1, mask, 8), EINVAL, "word");
	assert_int_equal(gcheap_pointer_mask(f.heap, object, mask, 8), 1);
	assert_int_equal(gcheap_pointer_mask(f.heap, object, NULL, 0), 0);
	fixture_close(&f);
}

/* ---- the library's own functions ---------------------------------------------- */

#if UNDER_ASAN

/* Typed roots: elements outside the heap. Random steps of all ways to go on. */
static void iterate_elements(struct gcheap *heap, const struct shape *shape, uint64_t *random,
			     const uint64_t *memory, size_t n)
{
	const struct gcheap_type_record *record = view_type(&heap->view, shape->type);
	uint64_t base = (uint64_t)(uintptr_t)memory;
	size_t words = shape->words * n;
	size_t next = random_next(random) % words;
	size_t end = next + random_next(random) % (words - next + 1);
	struct typed_pointers tp = typed_pointers_of_type(&heap->view, record, base,
							  base + next * 8 - random_next(random) % 8,
							  base + end * 8 + random_next(random) % 8);

	for (;;) {
		uint64_t way = random_next(random) % 8;
		uint64_t found;

		if (way == 0) {
			size_t skip = random_length(random, words);

			if (next + skip < end) {
				next += skip;
				typed_pointers_fast_forward(&tp, base + next * 8 -
							    random_next(random) % 8);
			}
		}
		found = way & 1 ? typed_pointers_next_fast(&tp) : 0;
		if (!found)
			found = typed_pointers_next(&tp);
		while (next < end && !shape->pointer[next % shape->words])
			next++;
		if (next == end) {
			assert_int_equal(found, 0);
			assert_int_equal(typed_pointers_next(&tp), 0);
			return;
		}
		if (found != base + next * 8)
			fail_msg("%zu elements of %zu words: word %lld comes, not %zu", n,
				 shape->words, (long long)(found - base) / 8, next);
		next++;
	}
}

static void test_fast_forward_skips_what_it_says(void **state)
{
	uint64_t seed = seed_for_this_run(), random = seed;
	uint64_t *memory = calloc(OBJECT_WORDS, 8);
	unsigned long rounds = ranges_for_this_run() / 1000, r;
	struct fixture f;

	(void)state;
	assert_non_null(memory);
	print_message("# GCHEAP_SEED=%llu\n", (unsigned long long)seed);
	open_layout(&f, GCHEAP_LAYOUT_SPAN);
	for (r = 0; r < rounds; r++) {
		struct shape shape;
		unsigned int i;

		random_shape(&random, &shape);
		shape_register(f.heap, &shape);
		for (i = 0; i < 50; i++)
			iterate_elements(f.heap, &shape, &random, memory,
					 random_length(&random, OBJECT_WORDS / shape.words));
		free(shape.pointer);
	}
	fixture_close(&f);
	free(memory);
}

static void test_a_size_class_is_the_smallest_that_keeps_the_alignment(void **state)
{
	uint64_t bytes, align;

	(void)state;
	for (align = 1; align <= 8192; align *= 2) {
		for (bytes = 1; bytes <= 33000; bytes += bytes < 1200 ? 1 : 61) {
			uint32_t expected = SIZE_CLASS_MIN;

			while (expected < SIZE_CLASSES &&
			       (size_class_bytes[expected] < bytes ||
				size_class_bytes[expected] % align))
				expected++;
			assert_int_equal(size_class_aligned(bytes, align),
					 expected < SIZE_CLASSES ? expected : 0);
		}
	}
}

#endif /* UNDER_ASAN */

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_range_has_the_pointers_of_a_naive_model_in_span_layout),
		cmocka_unit_test(test_any_range_has_the_pointers_of_a_naive_model_in_header_layout),
		cmocka_unit_test(test_any_range_has_the_pointers_of_a_naive_model_in_footer_layout),
		cmocka_unit_test(test_any_range_has_the_pointers_of_a_naive_model_in_bitmap_layout),
		cmocka_unit_test(test_the_shapes_of_gos_tests_in_span_layout),
		cmocka_unit_test(test_the_shapes_of_gos_tests_in_header_layout),
		cmocka_unit_test(test_the_shapes_of_gos_tests_in_footer_layout),
		cmocka_unit_test(test_the_shapes_of_gos_tests_in_bitmap_layout),
		cmocka_unit_test(test_a_reused_slot_has_the_new_types_pointers),
		cmocka_unit_test(test_a_footer_is_not_visited),
		cmocka_unit_test(test_a_large_objects_rest_is_not_visited),
		cmocka_unit_test(test_objects_have_their_types_alignment_in_span_layout),
		cmocka_unit_test(test_objects_have_their_types_alignment_in_header_layout),
		cmocka_unit_test(test_objects_have_their_types_alignment_in_footer_layout),
		cmocka_unit_test(test_objects_have_their_types_alignment_in_bitmap_layout),
		cmocka_unit_test(test_err_pointer_mask),
#if UNDER_ASAN
		cmocka_unit_test(test_fast_forward_skips_what_it_says),
		cmocka_unit_test(test_a_size_class_is_the_smallest_that_keeps_the_alignment),
#endif
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("layout", tests, NULL, NULL);
}
