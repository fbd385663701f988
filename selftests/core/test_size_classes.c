// SPDX-License-Identifier: MIT
/*
 * The size classes' tables.
 */
#include "core_test.h"

#include "size_classes.h"

/* Go 1.22's, as published: slot size and pages a span. */
static const struct {
	u32 bytes;
	u32 pages;
} published[] = {
	{ 0, 0 }, { 8, 1 }, { 16, 1 }, { 24, 1 }, { 32, 1 }, { 48, 1 }, { 64, 1 }, { 80, 1 },
	{ 96, 1 }, { 112, 1 }, { 128, 1 }, { 144, 1 }, { 160, 1 }, { 176, 1 }, { 192, 1 },
	{ 208, 1 }, { 224, 1 }, { 240, 1 }, { 256, 1 }, { 288, 1 }, { 320, 1 }, { 352, 1 },
	{ 384, 1 }, { 416, 1 }, { 448, 1 }, { 480, 1 }, { 512, 1 }, { 576, 1 }, { 640, 1 },
	{ 704, 1 }, { 768, 1 }, { 896, 1 }, { 1024, 1 }, { 1152, 1 }, { 1280, 1 }, { 1408, 2 },
	{ 1536, 1 }, { 1792, 2 }, { 2048, 1 }, { 2304, 2 }, { 2688, 1 }, { 3072, 3 }, { 3200, 2 },
	{ 3456, 3 }, { 4096, 1 }, { 4864, 3 }, { 5376, 2 }, { 6144, 3 }, { 6528, 4 }, { 6784, 5 },
	{ 6912, 6 }, { 8192, 1 }, { 9472, 7 }, { 9728, 6 }, { 10240, 5 }, { 10880, 4 },
	{ 12288, 3 }, { 13568, 5 }, { 14336, 7 }, { 16384, 2 }, { 18432, 9 }, { 19072, 7 },
	{ 20480, 5 }, { 21760, 8 }, { 24576, 3 }, { 27264, 10 }, { 28672, 7 }, { 32768, 4 },
};

static void test_the_classes_are_those_of_go(void **state)
{
	(void)state;
	assert_int_equal(SIZE_CLASSES, ARRAY_SIZE(published));
	for (u32 i = 0; i < SIZE_CLASSES; i++) {
		assert_int_equal(size_class_bytes[i], published[i].bytes);
		assert_int_equal(size_class_pages[i], published[i].pages);
	}
}

/* The fewest pages of which a tail too short for a slot is an eighth at most. */
static u32 pages_for(u32 slot_bytes)
{
	u32 pages = 1;

	while (pages * 8192 % slot_bytes > pages * 8192 / 8)
		pages++;
	return pages;
}

static u32 step_at(u32 slot_bytes)
{
	u32 power = 1u << (fls64(slot_bytes) - 1);

	if (slot_bytes < 32)
		return 8;
	if (slot_bytes < 128)
		return 16;
	return min_t(u32, power / 8, 256);
}

/*
 * Every class from the rules alone: the candidates with the same pages and slots
 * are one class, whose slots then grow to fill the span, by 128 bytes at a time.
 */
static void test_every_entry_follows_from_the_maximum_waste_and_the_page_size(void **state)
{
	u32 size_class = 0;
	u32 bytes = 8;

	(void)state;
	while (bytes <= 32768) {
		u32 pages = pages_for(bytes);
		u32 slots = pages * 8192 / bytes;
		u32 next = bytes;
		u32 grown;

		while (next <= 32768 && pages_for(next) == pages && pages * 8192 / next == slots) {
			bytes = next;
			next += step_at(next);
		}
		grown = pages * 8192 / slots / 128 * 128;
		size_class++;
		assert_in_range(size_class, 1, SIZE_CLASSES - 1);
		assert_int_equal(size_class_bytes[size_class], max_t(u32, grown, bytes));
		assert_int_equal(size_class_pages[size_class], pages);
		assert_int_equal(size_class_slots[size_class], slots);
		assert_int_equal(size_class_magic[size_class],
				 U32_MAX / size_class_bytes[size_class] + 1);
		bytes = next;
	}
	assert_int_equal(size_class, SIZE_CLASSES - 1);
	assert_int_equal(size_class_bytes[0], 0);
	assert_int_equal(size_class_pages[0], 0);
	assert_int_equal(size_class_slots[0], 0);
	assert_int_equal(size_class_magic[0], 0);
}

static void test_the_magic_divides_every_offset_of_every_span(void **state)
{
	(void)state;
	for (u32 i = 1; i < SIZE_CLASSES; i++) {
		u32 bytes = size_class_bytes[i];

		for (u64 offset = 0; offset < size_class_pages[i] * 8192ull; offset++) {
			u64 slot = offset * size_class_magic[i] >> 32;

			if (slot != offset / bytes)
				fail_msg("class of %u bytes: slot of offset %llu", bytes, offset);
		}
	}
}

static void test_every_size_gets_the_smallest_class_that_holds_it(void **state)
{
	u32 expected = SIZE_CLASS_MIN;

	(void)state;
	for (u32 bytes = 0; bytes <= SIZE_CLASS_MAX_BYTES; bytes++) {
		if (size_class_bytes[expected] < bytes)
			expected++;
		assert_int_equal(size_class_of(bytes), expected);
	}
	assert_int_equal(expected, SIZE_CLASSES - 1);
}

static void test_the_lookup_tables_have_an_entry_for_every_step(void **state)
{
	(void)state;
	assert_int_equal(SIZE_CLASS_SMALL_MAX, 1024);
	assert_int_equal(SIZE_CLASS_MAX_BYTES, 32768);
	assert_int_equal(ARRAY_SIZE(size_to_class8), 1024 / 8 + 1);
	assert_int_equal(ARRAY_SIZE(size_to_class128), (32768 - 1024) / 128 + 1);
	for (u32 i = 0; i < ARRAY_SIZE(size_to_class8); i++)
		assert_int_equal(size_to_class8[i], size_class_of(8 * i));
	for (u32 i = 0; i < ARRAY_SIZE(size_to_class128); i++)
		assert_int_equal(size_to_class128[i], size_class_of(1024 + 128 * i));
}

static void test_the_tail_of_a_span_is_an_eighth_of_it_at_most(void **state)
{
	(void)state;
	for (u32 i = 1; i < SIZE_CLASSES; i++) {
		u32 span_bytes = size_class_pages[i] * 8192u;
		u32 used = size_class_slots[i] * size_class_bytes[i];

		assert_in_range(used, span_bytes - span_bytes / 8, span_bytes);
		assert_in_range(span_bytes - used, 0, size_class_bytes[i] - 1);
		assert_in_range(size_class_pages[i], 1, SPAN_PAGES_MAX);
	}
}

static void test_slots_of_powers_of_two_are_aligned_to_their_size(void **state)
{
	(void)state;
	for (u32 bytes = 16; bytes <= 8192; bytes *= 2)
		assert_int_equal(size_class_bytes[size_class_of(bytes)] % bytes, 0);
	for (u32 i = SIZE_CLASS_MIN; i < SIZE_CLASSES; i++)
		assert_int_equal(size_class_bytes[i] % (size_class_bytes[i] == 24 ? 8 : 16), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_classes_are_those_of_go),
		cmocka_unit_test(test_every_entry_follows_from_the_maximum_waste_and_the_page_size),
		cmocka_unit_test(test_the_magic_divides_every_offset_of_every_span),
		cmocka_unit_test(test_every_size_gets_the_smallest_class_that_holds_it),
		cmocka_unit_test(test_the_lookup_tables_have_an_entry_for_every_step),
		cmocka_unit_test(test_the_tail_of_a_span_is_an_eighth_of_it_at_most),
		cmocka_unit_test(test_slots_of_powers_of_two_are_aligned_to_their_size),
	};

	return cmocka_run_group_tests_name("size classes", tests, NULL, NULL);
}
