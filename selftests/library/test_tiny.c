// SPDX-License-Identifier: MIT
/*
 * Tiny objects, which share slots, and gcheap_roundup(), which tells what a slot has.
 */
#include "library_test.h"

#include "library.h"

static void open_layout(struct fixture *f, enum gcheap_layout layout, uint32_t flags)
{
	struct gcheap_config config = fixture_config();

	config.layout = layout;
	config.gc_percent = -1;
	config.flags = flags;
	fixture_open_with(f, &config);
}

static uintptr_t power_of_two(size_t bytes)
{
	uintptr_t power = 1;

	while (power < bytes)
		power *= 2;
	return power;
}

/* ---- tiny objects --------------------------------------------------------------- */

#define TINY	3000u

static unsigned char *tiny[9][TINY];

/* Fills all cells with what tells them from others, and checks the others. */
static void check_cells_apart(size_t bytes)
{
	size_t i;

	for (i = 0; i < TINY; i++) {
		size_t b;

		for (b = 0; b < bytes; b++)
			assert_int_equal(tiny[bytes][i][b], 0);
		assert_int_equal((uintptr_t)tiny[bytes][i] % power_of_two(bytes), 0);
		memset(tiny[bytes][i], (int)(i * 7 + bytes) | 1, bytes);
	}
	for (i = 0; i < TINY; i++) {
		size_t b;

		for (b = 0; b < bytes; b++)
			assert_int_equal(tiny[bytes][i][b], (unsigned char)((i * 7 + bytes) | 1));
	}
}

static void test_tiny_leaves_share_slots_and_no_bytes(void **state)
{
	struct fixture f;
	size_t bytes, i;

	(void)state;
	fixture_open(&f);
	for (bytes = 1; bytes <= 8; bytes++) {
		uint64_t before = stats_of(f.heap).allocated_bytes;
		size_t slots = 1;

		for (i = 0; i < TINY; i++) {
			tiny[bytes][i] = gcheap_new_leaf(f.thread, bytes);
			assert_non_null(tiny[bytes][i]);
			if (i)
				slots += (uintptr_t)tiny[bytes][i] / 16 !=
					 (uintptr_t)tiny[bytes][i - 1] / 16;
		}
		check_cells_apart(bytes);
		assert_in_range(slots, TINY * power_of_two(bytes) / 16,
				TINY * power_of_two(bytes) / 16 + 2);
		assert_int_equal(stats_of(f.heap).allocated_bytes - before,
				 TINY * power_of_two(bytes));
	}
	assert_int_equal(gcheap_verify(f.heap), 0);
	fixture_close(&f);
}

static void test_a_slot_lives_as_long_as_one_of_its_cells(void **state)
{
	struct fixture f;
	size_t bytes, i, round;

	(void)state;
	fixture_open(&f);
	assert_int_equal(gcheap_root_add(f.heap, (void *)tiny, sizeof(tiny) / sizeof(void *)), 0);
	for (round = 0; round < 4; round++) {
		for (bytes = 1; bytes <= 8; bytes++) {
			memset(tiny[bytes], 0, sizeof(tiny[bytes]));
			for (i = 0; i < TINY; i++)
				tiny[bytes][i] = gcheap_new_leaf(f.thread, bytes);
			check_cells_apart(bytes);
			/* What is left of a slot is one cell in 37. */
			for (i = 0; i < TINY; i++) {
				if (i % 37 != round)
					tiny[bytes][i] = NULL;
			}
		}
		assert_int_equal(gcheap_collect(f.thread), 0);
		assert_int_equal(gcheap_verify(f.heap), 0);
		for (bytes = 1; bytes <= 8; bytes++) {
			for (i = round; i < TINY; i += 37)
				assert_int_equal(tiny[bytes][i][bytes - 1],
						 (unsigned char)((i * 7 + bytes) | 1));
		}
	}
	memset(tiny, 0, sizeof(tiny));
	assert_int_equal(live_after_collect(&f), 0);
	fixture_close(&f);
}

static void test_tiny_objects_of_types_are_aligned_as_these_say(void **state)
{
	static const struct {
		size_t bytes, align;
	} shapes[] = { { 1, 1 }, { 2, 1 }, { 2, 2 }, { 4, 4 }, { 6, 2 }, { 7, 1 }, { 8, 8 } };
	struct gcheap_object found;
	struct fixture f;
	size_t s, i, n;

	(void)state;
	fixture_open(&f);
	for (s = 0; s < ARRAY_SIZE(shapes); s++) {
		gcheap_type type = type_with_mask(f.heap, shapes[s].bytes, shapes[s].align, 0);

		for (i = 0; i < 200; i++) {
			char *object = gcheap_new(f.thread, type);

			assert_non_null(object);
			assert_int_equal((uintptr_t)object % shapes[s].align, 0);
			assert_int_equal(gcheap_find(f.heap, object, &found), 0);
			assert_ptr_equal(found.base, (void *)((uintptr_t)object & ~15ul));
			assert_int_equal(found.size, 16);
			for (n = 2; n * shapes[s].bytes <= 8; n++) {
				object = gcheap_new_array(f.thread, type, n);
				assert_int_equal((uintptr_t)object %
						 power_of_two(n * shapes[s].bytes), 0);
				memset(object, 0xff, n * shapes[s].bytes);
			}
		}
	}
	assert_int_equal(gcheap_verify(f.heap), 0);
	fixture_close(&f);
}

static void test_free_cells_are_no_objects(void **state)
{
	struct gcheap_object found;
	struct fixture f;
	char *object;

	(void)state;
	fixture_open(&f);
	object = gcheap_new_leaf(f.thread, 1);
	/* The slot of a cell is one object, the next slot none. */
	assert_int_equal(gcheap_find(f.heap, object + 15, &found), 0);
	assert_ptr_equal(found.base, object);
	assert_int_equal(gcheap_find(f.heap, object + 16, &found), -ENOENT);
	assert_int_equal(stats_of(f.heap).allocated_objects, 1);
	assert_int_equal(stats_of(f.heap).allocated_bytes, 1);
	fixture_close(&f);
}

static void test_recorded_types_and_larger_leaves_have_slots_of_their_own(void **state)
{
	struct fixture f;
	size_t bytes;
	gcheap_type type;

	(void)state;
	open_layout(&f, GCHEAP_LAYOUT_SPAN, GCHEAP_RECORD_TYPES);
	type = type_with_mask(f.heap, 4, 4, 0);
	for (bytes = 1; bytes <= 16; bytes++)
		assert_int_equal((uintptr_t)gcheap_new_leaf(f.thread, bytes) % 16, 0);
	assert_true(labs((char *)gcheap_new(f.thread, type) -
			 (char *)gcheap_new(f.thread, type)) >= 16);
	fixture_close(&f);
	open_layout(&f, GCHEAP_LAYOUT_SPAN, 0);
	for (bytes = 9; bytes <= 100; bytes++)
		assert_int_equal((uintptr_t)gcheap_new_leaf(f.thread, bytes) % 16, 0);
	fixture_close(&f);
}

/* ---- gcheap_roundup() ------------------------------------------------------------ */

/* Sizes up to the largest class, and some pages. */
static size_t next_size(size_t bytes)
{
	return bytes < 2100 ? bytes + 1 : bytes < 34000 ? bytes + 97 : bytes + 9973;
}

static void check_roundup(enum gcheap_layout layout, uint32_t flags)
{
	struct gcheap_object found;
	gcheap_type word;
	struct fixture f;
	size_t bytes, room;

	open_layout(&f, layout, flags);
	word = type_with_mask(f.heap, 8, 8, 1);
	for (bytes = 1; bytes < 200000; bytes = next_size(bytes)) {
		room = gcheap_roundup(f.heap, bytes, true);
		assert_true(room >= bytes);
		assert_int_equal(gcheap_roundup(f.heap, room, true), room);
		assert_int_equal(gcheap_find(f.heap, gcheap_new_leaf(f.thread, bytes), &found), 0);
		if (bytes > 8 || flags)
			assert_int_equal(found.size, room);
		else
			assert_int_equal(room, power_of_two(bytes));

		room = gcheap_roundup(f.heap, bytes, false);
		assert_true(room >= bytes);
		assert_int_equal(gcheap_roundup(f.heap, room, false), room);
		if (bytes % 8)
			continue;
		/* Where a type has its own spans, this is about those. */
		if (layout == GCHEAP_LAYOUT_SPAN && bytes <= 32768 && bytes > 512)
			busy_type(&f, word, bytes / 8);
		assert_int_equal(gcheap_find(f.heap,
					     gcheap_new_array(f.thread, word, bytes / 8),
					     &found), 0);
		if (layout != GCHEAP_LAYOUT_SPAN || !flags || bytes > 512)
			assert_int_equal(found.size, room);
		if (bytes % 1024 == 0)
			live_after_collect(&f);
	}
	fixture_close(&f);
}

static void test_roundup_is_what_find_reports(void **state)
{
	size_t i;

	(void)state;
	in_each_layout(i) {
		check_roundup(test_layouts[i].layout, 0);
		check_roundup(test_layouts[i].layout, GCHEAP_RECORD_TYPES);
	}
}

static void test_roundup_of_odd_sizes(void **state)
{
	struct fixture f;

	(void)state;
	fixture_open(&f);
	assert_int_equal(gcheap_roundup(f.heap, 0, true), 0);
	assert_int_equal(gcheap_roundup(f.heap, 0, false), 0);
	assert_int_equal(gcheap_roundup(f.heap, SIZE_MAX, false), SIZE_MAX);
	assert_int_equal(gcheap_roundup(f.heap, SIZE_MAX - 4096, true), SIZE_MAX - 4096);
	errno = 0;
	assert_int_equal(gcheap_roundup(NULL, 8, true), 0);
	assert_int_equal(errno, EINVAL);
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tiny_leaves_share_slots_and_no_bytes),
		cmocka_unit_test(test_a_slot_lives_as_long_as_one_of_its_cells),
		cmocka_unit_test(test_tiny_objects_of_types_are_aligned_as_these_say),
		cmocka_unit_test(test_free_cells_are_no_objects),
		cmocka_unit_test(test_recorded_types_and_larger_leaves_have_slots_of_their_own),
		cmocka_unit_test(test_roundup_is_what_find_reports),
		cmocka_unit_test(test_roundup_of_odd_sizes),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("tiny objects and roundup", tests, NULL, NULL);
}
