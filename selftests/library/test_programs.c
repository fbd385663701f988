// SPDX-License-Identifier: MIT
/*
 * Types by GC program whose pointers are over 32 KiB long: the heap has their mask
 * only while they have objects. A type of the same mask behaves the same, in each
 * layout: marking, typed roots, copies, looking in.
 */
#include "library_test.h"

#define PERIOD		7u	/* words p s s p s s s */
#define PERIOD_MASK	0x09u
#define WORDS		70001u	/* of an element: 7 * 10000, and a last pointer */
#define TAIL		130u	/* scalars behind them */
#define ELEMENT_BYTES	((WORDS + TAIL) * 8)

static const uint8_t program[] = { 7, PERIOD_MASK, 0x87, 0x8f, 0x4e, 1, 1, 0 };

static bool is_pointer(size_t word)
{
	word %= WORDS + TAIL;
	return word < WORDS && PERIOD_MASK >> word % PERIOD & 1;
}

static gcheap_type type_by_program(struct gcheap *heap)
{
	struct gcheap_type_desc desc = {
		.name = "by program", .size = ELEMENT_BYTES, .align = 8, .ptr_bytes = WORDS * 8,
		.gc_prog = program, .gc_prog_len = sizeof(program),
	};
	gcheap_type type;

	if (gcheap_type_register(heap, &desc, &type))
		fail_msg("%s", gcheap_error());
	return type;
}

static gcheap_type type_by_mask(struct gcheap *heap)
{
	static uint8_t mask[WORDS / 8 + 1];
	struct gcheap_type_desc desc = {
		.name = "by mask", .size = ELEMENT_BYTES, .align = 8, .ptr_bytes = WORDS * 8,
		.ptr_mask = mask,
	};
	gcheap_type type;
	size_t w;

	memset(mask, 0, sizeof(mask));
	for (w = 0; w < WORDS; w++)
		mask[w / 8] |= (uint8_t)(is_pointer(w) << w % 8);
	if (gcheap_type_register(heap, &desc, &type))
		fail_msg("%s", gcheap_error());
	return type;
}

static uint64_t *new_array(struct fixture *f, gcheap_type type, size_t n)
{
	uint64_t *array = gcheap_new_array(f->thread, type, n);

	assert_non_null(array);
	return array;
}

/* ---- looking in -------------------------------------------------------------- */

static void check_mask(struct gcheap *heap, const uint64_t *array, size_t from, size_t to)
{
	uint8_t *mask = malloc(to - from);
	size_t w;

	assert_true(gcheap_pointer_mask(heap, array + from, mask, to - from) >= 0);
	for (w = from; w < to; w++) {
		if (mask[w - from] != is_pointer(w))
			fail_msg("words %zu to %zu: word %zu is %u", from, to, w, mask[w - from]);
	}
	free(mask);
}

static void test_every_range_has_the_programs_pointers(void **state)
{
	uint64_t random = 42;
	struct fixture f;
	size_t i, n, r;

	(void)state;
	in_each_layout(i) {
		fixture_open_layout(&f, test_layouts[i].layout);
		for (n = 1; n <= 3; n++) {
			uint64_t *array = new_array(&f, type_by_program(f.heap), n);
			size_t words = (WORDS + TAIL) * n;

			check_mask(f.heap, array, 0, words);
			for (r = 0; r < 500; r++) {
				size_t from = random_next(&random) % words;
				size_t length = 1 + random_next(&random) % 1000;

				check_mask(f.heap, array, from,
					   from + length < words ? from + length : words);
			}
			/* Around the ends of elements. */
			for (r = WORDS - 70; r < words; r += WORDS + TAIL)
				check_mask(f.heap, array, r, r + 270 < words ? r + 270 : words);
		}
		assert_int_equal(gcheap_verify(f.heap), 0);
		fixture_close(&f);
	}
}

/* ---- marking ----------------------------------------------------------------- */

/* A leaf in each word of [@first, @words), @step apart; how many of them are pointers. */
static size_t plant(struct fixture *f, uint64_t *array, size_t words, size_t first, size_t step)
{
	size_t pointers = 0, w;

	for (w = first; w < words; w += step) {
		array[w] = (uintptr_t)gcheap_new_leaf(f->thread, 16);
		assert_int_not_equal(array[w], 0);
		pointers += is_pointer(w);
	}
	return pointers;
}

static void test_a_mark_follows_all_pointers_and_nothing_else(void **state)
{
	struct fixture f;
	size_t i;

	(void)state;
	in_each_layout(i) {
		void *roots[2];
		size_t leaves;

		fixture_open_layout(&f, test_layouts[i].layout);
		assert_int_equal(gcheap_root_add(f.heap, roots, 2), 0);
		roots[0] = new_array(&f, type_by_program(f.heap), 3);
		roots[1] = new_array(&f, type_by_mask(f.heap), 3);
		leaves = plant(&f, roots[0], 3 * (WORDS + TAIL), 0, 3);
		assert_int_equal(plant(&f, roots[1], 3 * (WORDS + TAIL), 0, 3), leaves);
		assert_int_equal(live_after_collect(&f), 2 * leaves + 2);
		assert_int_equal(live_after_collect(&f), 2 * leaves + 2);
		roots[1] = NULL;
		assert_int_equal(live_after_collect(&f), leaves + 1);
		assert_int_equal(gcheap_verify(f.heap), 0);
		fixture_close(&f);
	}
}

static void test_a_typed_root_needs_no_object_of_its_type(void **state)
{
	static uint64_t roots[2 * (WORDS + TAIL)];
	struct fixture f;
	size_t i, t;

	(void)state;
	in_each_layout(i) {
		gcheap_type types[2];
		size_t leaves;

		fixture_open_layout(&f, test_layouts[i].layout);
		types[0] = type_by_program(f.heap);
		types[1] = type_by_mask(f.heap);
		for (t = 0; t < 2; t++) {
			memset(roots, 0, sizeof(roots));
			leaves = plant(&f, roots, 2 * (WORDS + TAIL), 1, 5);
			assert_int_equal(gcheap_root_add_typed(f.heap, roots, types[t], 2), 0);
			assert_int_equal(live_after_collect(&f), leaves);
			/* Objects of the type come and go meanwhile. */
			new_array(&f, types[t], 1);
			assert_int_equal(live_after_collect(&f), leaves);
			assert_int_equal(live_after_collect(&f), leaves);
			assert_int_equal(gcheap_root_remove(f.heap, roots), 0);
			assert_int_equal(live_after_collect(&f), 0);
		}
		/* One that is still there when the heap is closed. */
		assert_int_equal(gcheap_root_add_typed(f.heap, roots, types[0], 2), 0);
		fixture_close(&f);
	}
}

/* ---- memory ------------------------------------------------------------------ */

static void test_the_mask_goes_with_the_last_object(void **state)
{
	const uint64_t mask_bytes = (WORDS / 64 + 1) * 8;
	struct fixture f;
	size_t i;

	(void)state;
	in_each_layout(i) {
		bool in_types = test_layouts[i].layout != GCHEAP_LAYOUT_BITMAP;
		uint64_t none, before, during;
		gcheap_type type;
		void *root;

		fixture_open_layout(&f, test_layouts[i].layout);
		assert_int_equal(gcheap_root_add(f.heap, &root, 1), 0);
		type = type_by_program(f.heap);
		/* The heap is as large as it will be. */
		gcheap_new_leaf(f.thread, 3 * ELEMENT_BYTES);
		live_after_collect(&f);
		root = gcheap_new_leaf(f.thread, ELEMENT_BYTES);
		none = stats_of(f.heap).metadata_bytes;
		root = new_array(&f, type, 1);
		before = stats_of(f.heap).metadata_bytes;
		root = NULL;
		live_after_collect(&f);
		during = stats_of(f.heap).metadata_bytes;
		if (in_types) {
			assert_true(before >= none + mask_bytes);
			assert_true(before < none + mask_bytes + 2 * 4096);
		} else {
			assert_int_equal(before, none);
		}
		assert_int_equal(during, none);
		fixture_close(&f);
	}
}

static void test_many_types_live_one_after_the_other(void **state)
{
	struct fixture f;
	size_t i, t;

	(void)state;
	in_each_layout(i) {
		uint64_t *root;

		fixture_open_layout(&f, test_layouts[i].layout);
		assert_int_equal(gcheap_root_add(f.heap, (void **)&root, 1), 0);
		for (t = 0; t < 50; t++) {
			root = new_array(&f, type_by_program(f.heap), 1 + t % 2);
			root[(t % 2) * (WORDS + TAIL) + WORDS - 1] =
				(uintptr_t)gcheap_new_leaf(f.thread, 32);
			assert_int_equal(live_after_collect(&f), 2);
		}
		assert_int_equal(gcheap_verify(f.heap), 0);
		fixture_close(&f);
	}
}

/* ---- copies ------------------------------------------------------------------ */

static void test_copies_and_clears_are_whole(void **state)
{
	static uint64_t from[WORDS + TAIL], to[WORDS + TAIL];
	struct fixture f;
	size_t i, w;

	(void)state;
	in_each_layout(i) {
		gcheap_type type;

		fixture_open_layout(&f, test_layouts[i].layout);
		type = type_by_program(f.heap);
		for (w = 0; w < WORDS + TAIL; w++)
			from[w] = w * 3 + 1;
		gcheap_copy(f.thread, type, to, from, 1);
		assert_memory_equal(to, from, sizeof(to));
		gcheap_clear(f.thread, type, to, 1);
		for (w = 0; w < WORDS + TAIL; w++)
			assert_int_equal(to[w], 0);
		fixture_close(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_range_has_the_programs_pointers),
		cmocka_unit_test(test_a_mark_follows_all_pointers_and_nothing_else),
		cmocka_unit_test(test_a_typed_root_needs_no_object_of_its_type),
		cmocka_unit_test(test_the_mask_goes_with_the_last_object),
		cmocka_unit_test(test_many_types_live_one_after_the_other),
		cmocka_unit_test(test_copies_and_clears_are_whole),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("programs", tests, NULL, NULL);
}
