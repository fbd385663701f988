// SPDX-License-Identifier: MIT
/*
 * Masks that are made with the first object of a type, and go with the last.
 */
#include "core_check.h"
#include "core_test.h"
#include "fixture.h"
#include "request.h"

#define TABLE_BYTES	PORT_TABLE_PAGE_BYTES
/* Words of which the mask just fills a page. */
#define PAGE_WORDS	(TABLE_BYTES * 8ull)

static int setup(void **state)
{
	(void)state;
	return fixture_begin(GCHEAP_LAYOUT_SPAN, 16 * GCHEAP_RESERVE_MIN, 0);
}

/* Words p s s p s s ..., of which the last may be cut off. */
static u32 pss_type(u64 words)
{
	u8 code[16] = { 3, 1 }, *at = code + 2;
	u64 times = words / 3 - 1;
	u32 type;

	*at++ = 0x83;
	for (; times >= 0x80; times >>= 7)
		*at++ = (u8)times | 0x80;
	*at++ = (u8)times;
	if (words % 3) {
		*at++ = (u8)(words % 3);
		*at++ = 1;
	}
	*at++ = 0;
	assert_int_equal(request_type_program(th, words * 8, words * 8, code, (u32)(at - code),
					      "pss", &type), 0);
	return type;
}

/* The mask is there, right and padded with zeros; the page behind it is another's. */
static void check_mask(u32 type)
{
	const struct gcheap_type_record *record = record_at(type);
	u64 words = record->ptr_bytes / 8;

	assert_in_range(record->mask_offset, GCHEAP_TYPES_MASKS, GCHEAP_TYPES_BYTES - 1);
	assert_int_equal(record->mask_offset % TABLE_BYTES, 0);
	for (u64 at = 0; at < DIV_ROUND_UP(words, 64); at++) {
		const u64 *word = test_heap_table(th, GCHEAP_REGION_TYPES,
						  record->mask_offset + at * 8);

		assert_non_null(word);
		for (u64 bit = 0; bit < 64; bit++) {
			u64 i = at * 64 + bit;

			assert_int_equal(*word >> bit & 1, i < words && i % 3 == 0);
		}
	}
}

#define assert_no_mask(type) do { \
	assert_int_equal(record_at(type)->mask_offset, 0); \
	assert_int_equal(record_at(type)->mask_users, 0); \
} while (0)

static u32 mask_page(u32 type)
{
	return (u32)((record_at(type)->mask_offset - GCHEAP_TYPES_MASKS) / TABLE_BYTES);
}

/* ---- when there is a mask ---------------------------------------------------- */

static void test_a_mask_comes_with_the_first_object_and_goes_with_the_last(void **state)
{
	u32 type = pss_type(2 * PAGE_WORDS + 1);
	u64 tables;
	u32 a, b;

	(void)state;
	assert_no_mask(type);
	assert_int_equal(record_at(type)->mask_word, 0x9249249249249249ull);
	assert_in_range(record_at(type)->program_bytes, 5, 16);
	/* The heap's own tables are there. */
	a = request_large(th, 0, 3 * PAGE_WORDS * 8);
	b = request_large(th, 0, 3 * PAGE_WORDS * 8);
	request_free_large(th, a);
	request_free_large(th, b);
	tables = th->tables_made;

	a = request_large(th, type, 1);
	check_mask(type);
	assert_int_equal(th->tables_made, tables + 3);
	b = request_large(th, type, 1);
	assert_int_equal(record_at(type)->mask_users, 2);
	assert_int_equal(th->tables_made, tables + 3);
	core_check(th);
	assert_int_equal(request_free_large(th, a), 0);
	check_mask(type);
	assert_int_equal(request_free_large(th, b), 0);
	assert_no_mask(type);
	assert_int_equal(th->tables_made, tables);
	core_check(th);
	/* And again. */
	a = request_large(th, type, 2);
	check_mask(type);
	core_check(th);
}

static void test_only_long_programs_have_masks_that_go(void **state)
{
	/* 32 KiB, which may be a small object, and a word more. */
	u32 kept = pss_type(4096), goes = pss_type(4097), by_mask;
	static u8 mask[513];

	(void)state;
	memset(mask, 0xff, 512);
	assert_int_equal(request_type_mask(th, 4097 * 8, 4097 * 8, 8, mask, "mask", &by_mask), 0);
	assert_int_not_equal(record_at(kept)->mask_offset, 0);
	assert_int_equal(record_at(kept)->program_bytes, 0);
	assert_no_mask(goes);
	assert_int_not_equal(record_at(by_mask)->mask_offset, 0);
	request_large(th, kept, 100);
	request_large(th, by_mask, 1);
	assert_int_equal(record_at(kept)->mask_users, 0);
	assert_int_equal(record_at(by_mask)->mask_users, 0);
	request_large(th, goes, 1);
	check_mask(goes);
	core_check(th);
}

static void test_the_bitmap_layout_needs_no_masks(void **state)
{
	u32 type, page;

	(void)state;
	fixture_heap(GCHEAP_LAYOUT_BITMAP, GCHEAP_RESERVE_MIN, 0);
	type = pss_type(PAGE_WORDS);
	page = request_large(th, type, 1);
	assert_no_mask(type);
	assert_int_equal(request_free_large(th, page), 0);
	assert_no_mask(type);
	core_check(th);
}

/* ---- how objects end --------------------------------------------------------- */

static void test_a_sweep_drops_masks_of_dead_objects(void **state)
{
	u32 dead = pss_type(PAGE_WORDS), live = pss_type(PAGE_WORDS);
	u32 page;

	(void)state;
	request_large(th, dead, 1);
	request_large(th, dead, 3);
	page = request_large(th, live, 1);
	request_large(th, live, 1);
	assert_int_equal(request_mark_start(th), 0);
	slot_mark(th, page, 0);
	assert_int_equal(request_sweep_start(th, NULL), 0);
	assert_no_mask(dead);
	assert_int_equal(record_at(live)->mask_users, 1);
	check_mask(live);
	core_check(th);
}

static void test_a_lazy_sweep_drops_them_when_it_finds_them(void **state)
{
	u32 type = pss_type(PAGE_WORDS);
	u64 pages, left;

	(void)state;
	request_large(th, type, 1);
	assert_int_equal(request_mark_start(th), 0);
	assert_int_equal(request_sweep_start_flags(th, GCHEAP_SWEEP_START_LAZY, 0, NULL), 0);
	check_mask(type);
	assert_int_equal(request_reclaim(th, U64_MAX, &pages, &left), 0);
	assert_no_mask(type);
	core_check(th);
}

static void test_quarantine_keeps_no_mask(void **state)
{
	u32 type, page;

	(void)state;
	fixture_heap(GCHEAP_LAYOUT_SPAN, GCHEAP_RESERVE_MIN, GCHEAP_SETUP_FAULT_FREED);
	type = pss_type(PAGE_WORDS);
	page = request_large(th, type, 1);
	assert_int_equal(request_free_large(th, page), 0);
	assert_no_mask(type);
	core_check(th);
	for (u32 i = 0; i < 2; i++) {
		assert_int_equal(request_mark_start(th), 0);
		assert_int_equal(request_sweep_start(th, NULL), 0);
	}
	assert_no_mask(type);
	core_check(th);
}

/* ---- room -------------------------------------------------------------------- */

static void test_room_is_used_again_where_it_is_first_long_enough(void **state)
{
	u32 one = pss_type(PAGE_WORDS), two = pss_type(2 * PAGE_WORDS);
	u32 three = pss_type(3 * PAGE_WORDS), other = pss_type(PAGE_WORDS - 1);
	u32 objects[3];

	(void)state;
	objects[0] = request_large(th, one, 1);
	objects[1] = request_large(th, two, 1);
	objects[2] = request_large(th, three, 1);
	assert_int_equal(mask_page(one), 0);
	assert_int_equal(mask_page(two), 1);
	assert_int_equal(mask_page(three), 3);
	assert_int_equal(request_free_large(th, objects[1]), 0);
	request_large(th, other, 1);
	assert_int_equal(mask_page(other), 1);
	/* One page is too short now. */
	request_large(th, two, 1);
	assert_int_equal(mask_page(two), 6);
	assert_int_equal(request_free_large(th, objects[0]), 0);
	request_large(th, one, 1);
	assert_int_equal(mask_page(one), 0);
	check_mask(one);
	check_mask(two);
	check_mask(three);
	check_mask(other);
	core_check(th);
}

/* All room but some pages, which do not follow each other, is taken by no type. */
static void take_room(u64 free_word)
{
	memset(th->heap.types.mask_room, 0xff,
	       (GCHEAP_TYPES_BYTES - GCHEAP_TYPES_MASKS) / TABLE_BYTES / 8);
	th->heap.types.mask_room[100] = ~free_word;
}

static void give_room(u64 used_word)
{
	memset(th->heap.types.mask_room, 0,
	       (GCHEAP_TYPES_BYTES - GCHEAP_TYPES_MASKS) / TABLE_BYTES / 8);
	th->heap.types.mask_room[100] = used_word;
}

static void test_err_no_room(void **state)
{
	u32 first = pss_type(PAGE_WORDS), two = pss_type(2 * PAGE_WORDS);
	struct gcheap_alloc_large alloc = { .type = two, .count = 1 };
	struct core_state saved;

	(void)state;
	request_free_large(th, request_large(th, first, 1));
	core_state_save(th, &saved);
	take_room(0x5555);
	assert_int_equal(heap_alloc_large(&th->heap, &alloc), -ENOMEM);
	give_room(0);
	core_state_check(th, &saved);
	assert_no_mask(two);
	take_room(0x5555);
	/* Where there is one page, there is room for one. */
	request_large(th, first, 1);
	assert_int_equal(mask_page(first), 6400);
	check_mask(first);
	give_room(1);
	core_check(th);
	assert_int_equal(heap_alloc_large(&th->heap, &alloc), 0);
	core_check(th);
}

static void test_dead_objects_give_their_masks_room(void **state)
{
	u32 dead = pss_type(PAGE_WORDS), type = pss_type(PAGE_WORDS);

	(void)state;
	request_large(th, dead, 1);
	assert_int_equal(request_mark_start(th), 0);
	assert_int_equal(request_sweep_start_flags(th, GCHEAP_SWEEP_START_LAZY, 0, NULL), 0);
	check_mask(dead);
	take_room(0);
	request_large(th, type, 1);
	assert_no_mask(dead);
	assert_int_equal(mask_page(type), 0);
	check_mask(type);
	give_room(0);
	th->heap.types.mask_room[0] = 1;
	core_check(th);
}

/* ---- failures ---------------------------------------------------------------- */

static void check_failures(bool fail_all)
{
	u32 type = pss_type(3 * PAGE_WORDS), failed = 0;
	struct gcheap_alloc_large alloc;
	u32 blocks;

	for (u64 n = 1;; n++) {
		struct core_state saved;
		u64 tables = th->tables_made;
		int error;

		blocks = port_test.blocks;
		alloc = (struct gcheap_alloc_large) { .type = type, .count = 2 };
		core_state_save(th, &saved);
		port_test_fail(n, fail_all);
		error = heap_alloc_large(&th->heap, &alloc);
		port_test_fail(0, false);
		if (!error)
			break;
		assert_int_equal(error, -ENOMEM);
		core_state_check(th, &saved);
		assert_no_mask(type);
		/* The map of the room stays, and tables that the heap has begun to grow by. */
		assert_in_range(port_test.blocks, blocks, blocks + 2);
		assert_in_range(th->tables_made, tables, tables + 40);
		failed++;
	}
	check_mask(type);
	core_check(th);
	/* The map, three pages, the mask aside, and the object's pages and tables. */
	if (fail_all)
		assert_true(failed >= 8);
}

static void test_an_object_without_memory_has_no_mask(void **state)
{
	(void)state;
	check_failures(true);
}

static void test_a_single_failure_leaves_no_mask_or_a_whole_one(void **state)
{
	(void)state;
	check_failures(false);
}

static void test_an_object_that_finds_no_pages_leaves_no_mask(void **state)
{
	u32 type = pss_type(PAGE_WORDS);
	struct gcheap_alloc_large alloc = {
		.type = type, .count = th->heap.reserve_bytes / (PAGE_WORDS * 8) - 1,
	};
	struct core_state saved;

	(void)state;
	request_large(th, 0, 1 << 20);
	core_state_save(th, &saved);
	assert_int_equal(heap_alloc_large(&th->heap, &alloc), -ENOMEM);
	core_state_check(th, &saved);
	assert_no_mask(type);
	core_check(th);
}

static void test_a_signal_ends_a_long_program_and_changes_nothing(void **state)
{
	u32 type = pss_type((u64)TYPE_MASK_BYTES_MAX * 8);
	struct gcheap_alloc_large alloc;
	struct core_state saved;
	u32 page;

	(void)state;
	/* No other loop of the request looks for a signal then. */
	page = request_large(th, type, 1);
	assert_int_equal(request_free_large(th, page), 0);
	for (u64 n = 1; n <= 20; n++) {
		alloc = (struct gcheap_alloc_large) { .type = type, .count = 1 };
		core_state_save(th, &saved);
		port_test_interrupt(n);
		assert_int_equal(heap_alloc_large(&th->heap, &alloc), -EINTR);
		port_test_interrupt(0);
		core_state_check(th, &saved);
		assert_no_mask(type);
	}
	request_large(th, type, 1);
	check_mask(type);
	core_check(th);
}

/* ---- many -------------------------------------------------------------------- */

static void test_objects_of_random_types_come_and_go(void **state)
{
	u32 types[8], objects[64] = { 0 };

	(void)state;
	random_seed();
	for (u32 i = 0; i < ARRAY_SIZE(types); i++)
		types[i] = pss_type(4096 + 1 + random_below(5 * PAGE_WORDS));
	for (u32 i = 0; i < 3000; i++) {
		u32 *object = &objects[random_below(ARRAY_SIZE(objects))];

		if (*object) {
			assert_int_equal(request_free_large(th, *object), 0);
			*object = 0;
		} else {
			*object = request_large(th, types[random_below(ARRAY_SIZE(types))], 1);
		}
		if (i % 100 == 0)
			core_check(th);
	}
	for (u32 i = 0; i < ARRAY_SIZE(types); i++) {
		if (record_at(types[i])->mask_users)
			check_mask(types[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name)	cmocka_unit_test_setup_teardown(name, setup, fixture_end)
		TEST(test_a_mask_comes_with_the_first_object_and_goes_with_the_last),
		TEST(test_only_long_programs_have_masks_that_go),
		TEST(test_the_bitmap_layout_needs_no_masks),
		TEST(test_a_sweep_drops_masks_of_dead_objects),
		TEST(test_a_lazy_sweep_drops_them_when_it_finds_them),
		TEST(test_quarantine_keeps_no_mask),
		TEST(test_room_is_used_again_where_it_is_first_long_enough),
		TEST(test_err_no_room),
		TEST(test_dead_objects_give_their_masks_room),
		TEST(test_an_object_without_memory_has_no_mask),
		TEST(test_a_single_failure_leaves_no_mask_or_a_whole_one),
		TEST(test_an_object_that_finds_no_pages_leaves_no_mask),
		TEST(test_a_signal_ends_a_long_program_and_changes_nothing),
		TEST(test_objects_of_random_types_come_and_go),
	};

	return cmocka_run_group_tests_name("type_masks", tests, NULL, NULL);
}
