// SPDX-License-Identifier: MIT
/*
 * The type table: what it accepts, what it refuses, and what it stores.
 */
#include "core_check.h"
#include "core_test.h"
#include "fixture.h"
#include "request.h"

static int setup(void **state)
{
	(void)state;
	return fixture_begin(GCHEAP_UAPI_LAYOUT_SPAN, GCHEAP_RESERVE_MIN, 0);
}

/* A request that is in order: 24 bytes, of which the first two words are pointers. */
static struct gcheap_type_add good(void)
{
	return (struct gcheap_type_add){
		.size = sizeof(struct gcheap_type_add),
		.bytes = 24,
		.ptr_bytes = 16,
		.align = 8,
		.ptr_mask = 4096,
	};
}

#define CHECK(expected, ...) do {						\
	struct gcheap_type_add add_ = good();					\
	__VA_ARGS__;								\
	assert_int_equal(type_check(&add_), expected);				\
} while (0)

static const char *name_of(u32 type)
{
	return test_heap_table(th, GCHEAP_REGION_TYPES, record_at(type)->name_offset);
}

static int add_mask(u64 bytes, u64 ptr_bytes, const void *mask)
{
	u32 type;

	return request_type_mask(th, bytes, ptr_bytes, 8, mask, "t", &type);
}

static int add_name(const char *name)
{
	u32 type;

	return request_type_mask(th, 8, 0, 8, NULL, name, &type);
}

/* ---- rules ------------------------------------------------------------------ */

static void test_a_type_in_order_is_accepted(void **state)
{
	(void)state;
	CHECK(0);
	CHECK(0, add_.ptr_bytes = 0, add_.ptr_mask = 0);
	CHECK(0, add_.ptr_bytes = 24);
	CHECK(0, add_.name_bytes = GCHEAP_TYPE_NAME_MAX);
	CHECK(0, add_.bytes = 8192, add_.align = 8192);
	CHECK(0, add_.bytes = 1, add_.align = 1, add_.ptr_bytes = 0, add_.ptr_mask = 0);
}

static void test_err_unknown_flag(void **state)
{
	(void)state;
	for (u32 bit = 0; bit < 32; bit++)
		CHECK(-EOPNOTSUPP, add_.flags = 1u << bit);
}

static void test_err_align_is_no_power_of_two(void **state)
{
	(void)state;
	CHECK(-EINVAL, add_.align = 0);
	CHECK(-EINVAL, add_.align = 12, add_.bytes = 24);
	CHECK(-EINVAL, add_.align = 24);
	CHECK(-EINVAL, add_.align = U32_MAX);
}

static void test_err_align_over_a_heap_page(void **state)
{
	(void)state;
	CHECK(0, add_.align = 8192, add_.bytes = 16384);
	CHECK(-EINVAL, add_.align = 16384, add_.bytes = 16384);
	CHECK(-EINVAL, add_.align = 1u << 31, add_.bytes = 1ull << 31);
}

static void test_err_align_too_small_for_pointers(void **state)
{
	(void)state;
	CHECK(-EINVAL, add_.align = 4);
	CHECK(-EINVAL, add_.align = 1);
	CHECK(0, add_.align = 4, add_.ptr_bytes = 0, add_.ptr_mask = 0);
}

static void test_err_size_of_zero(void **state)
{
	(void)state;
	CHECK(-EINVAL, add_.bytes = 0);
	CHECK(-EINVAL, add_.bytes = 0, add_.ptr_bytes = 0, add_.ptr_mask = 0);
}

static void test_err_size_is_no_multiple_of_align(void **state)
{
	(void)state;
	CHECK(-EINVAL, add_.bytes = 23);
	CHECK(-EINVAL, add_.bytes = 25);
	CHECK(-EINVAL, add_.bytes = 24, add_.align = 16);
	CHECK(-EINVAL, add_.bytes = 4096, add_.align = 8192);
}

static void test_err_size_over_the_largest_reserve(void **state)
{
	(void)state;
	CHECK(0, add_.bytes = GCHEAP_RESERVE_MAX);
	CHECK(-EINVAL, add_.bytes = GCHEAP_RESERVE_MAX + 8);
	CHECK(-EINVAL, add_.bytes = U64_MAX - 7);
}

static void test_err_more_pointer_bytes_than_bytes(void **state)
{
	(void)state;
	CHECK(-ERANGE, add_.ptr_bytes = 32);
	CHECK(-ERANGE, add_.ptr_bytes = U64_MAX - 7);
}

static void test_err_pointer_bytes_are_no_whole_words(void **state)
{
	(void)state;
	for (u32 bytes = 1; bytes < 8; bytes++)
		CHECK(-EINVAL, add_.ptr_bytes = bytes);
	CHECK(-EINVAL, add_.ptr_bytes = 20);
}

static void test_err_mask_over_the_limit(void **state)
{
	const u64 limit = (u64)TYPE_MASK_BYTES_MAX * 8 * 8;

	(void)state;
	CHECK(0, add_.bytes = 1ull << 30, add_.ptr_bytes = limit);
	CHECK(-EFBIG, add_.bytes = 1ull << 30, add_.ptr_bytes = limit + 8);
	CHECK(-EFBIG, add_.bytes = GCHEAP_RESERVE_MAX, add_.ptr_bytes = GCHEAP_RESERVE_MAX);
}

static void test_err_mask_and_pointer_bytes_disagree(void **state)
{
	(void)state;
	CHECK(-EINVAL, add_.ptr_mask = 0);
	CHECK(-EINVAL, add_.ptr_bytes = 0);
}

static void test_err_program_and_pointer_bytes_disagree(void **state)
{
	(void)state;
	CHECK(0, add_.ptr_mask = 0, add_.gc_prog = 4096, add_.gc_prog_bytes = 3);
	CHECK(-EINVAL, add_.ptr_mask = 0, add_.gc_prog = 4096, add_.gc_prog_bytes = 3,
	      add_.ptr_bytes = 0);
}

static void test_err_mask_and_program(void **state)
{
	(void)state;
	CHECK(-ENOTUNIQ, add_.gc_prog = 4096, add_.gc_prog_bytes = 3);
	CHECK(-ENOTUNIQ, add_.gc_prog = 4096);
	CHECK(-ENOTUNIQ, add_.gc_prog = 4096, add_.gc_prog_bytes = 3, add_.ptr_bytes = 0);
}

static void test_err_program_and_its_length_disagree(void **state)
{
	(void)state;
	CHECK(-EINVAL, add_.ptr_mask = 0, add_.gc_prog = 4096);
	CHECK(-EINVAL, add_.ptr_mask = 0, add_.gc_prog_bytes = 3);
	CHECK(-EINVAL, add_.gc_prog_bytes = 3);
	CHECK(-EINVAL, add_.ptr_bytes = 0, add_.ptr_mask = 0, add_.gc_prog_bytes = 3);
}

static void test_err_program_over_the_limit(void **state)
{
	(void)state;
	CHECK(0, add_.ptr_mask = 0, add_.gc_prog = 4096, add_.gc_prog_bytes = GCHEAP_GC_PROG_MAX);
	CHECK(-EINVAL, add_.ptr_mask = 0, add_.gc_prog = 4096,
	      add_.gc_prog_bytes = GCHEAP_GC_PROG_MAX + 1);
	CHECK(-EINVAL, add_.ptr_mask = 0, add_.gc_prog = 4096, add_.gc_prog_bytes = U32_MAX);
}

static void test_err_name_over_the_limit(void **state)
{
	(void)state;
	CHECK(-ENAMETOOLONG, add_.name_bytes = GCHEAP_TYPE_NAME_MAX + 1);
	CHECK(-ENAMETOOLONG, add_.name_bytes = U32_MAX);
}

static void test_err_mask_bit_beyond_the_pointer_bytes(void **state)
{
	u8 mask[10] = { 0 };

	(void)state;
	for (u32 words = 1; words <= 75; words++) {
		u32 bytes = (words + 7) / 8;

		for (u32 bit = 0; bit < bytes * 8; bit++) {
			memset(mask, 0, sizeof(mask));
			mask[bit / 8] = (u8)(1u << bit % 8);
			assert_int_equal(add_mask(1024, words * 8, mask),
					 bit < words ? 0 : -EDOM);
		}
	}
	core_check(th);
}

static void test_err_name_is_not_utf8(void **state)
{
	static const char *const bad[] = {
		"\x80", "a\xbf", "\xc0\x80", "\xc1\xbf", "\xc3", "\xc3(", "\xe0\x80\x80",
		"\xe0\x9f\xbf", "\xe2\x82", "\xe2(\xa1", "\xe2\x82(", "\xed\xa0\x80",
		"\xed\xbf\xbf",
		"\xf0\x80\x80\x80", "\xf0\x8f\xbf\xbf", "\xf0\x9f\x98", "\xf4\x90\x80\x80",
		"\xf5\x80\x80\x80", "\xf8\x88\x80\x80\x80", "\xff", "\xfe", "ok\xc3\xa9\xa9",
	};
	u32 before = th->heap.types.count;

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(add_name(bad[i]), -EILSEQ);
	assert_int_equal(th->heap.types.count, before);
	core_check(th);
}

static void test_err_zero_byte_in_a_name(void **state)
{
	struct gcheap_type_add add = good();

	(void)state;
	add.ptr_bytes = 0;
	add.ptr_mask = 0;
	add.name_bytes = 3;
	assert_int_equal(type_add(&th->heap, &add, "a\0b", NULL), -EILSEQ);
	assert_int_equal(type_add(&th->heap, &add, "ab\0", NULL), -EILSEQ);
	assert_int_equal(th->heap.types.count, 0);
}

static void test_err_more_types_than_the_table_holds(void **state)
{
	struct core_state saved;

	(void)state;
	for (u32 type = 1; type < GCHEAP_TYPES_MAX; type++)
		assert_int_equal(add_mask(8, 8, "\1"), 0);
	core_state_save(th, &saved);
	assert_int_equal(add_mask(8, 8, "\1"), -ENOSPC);
	core_state_check(th, &saved);
	assert_int_equal(th->heap.types.count, GCHEAP_TYPES_MAX - 1);
}

static void test_err_no_room_for_another_mask(void **state)
{
	static const u8 mask[TYPE_MASK_BYTES_MAX];
	const u64 ptr_bytes = TYPE_MASK_BYTES_MAX * 8 * 8;
	struct core_state saved;
	u32 types = 0;

	(void)state;
	while (types < 28 && !add_mask(ptr_bytes, ptr_bytes, mask))
		types++;
	/* 32 MiB less 4 MiB of records, a mask of 1 MiB and a name each. */
	assert_int_equal(types, 27);
	core_state_save(th, &saved);
	assert_int_equal(add_mask(ptr_bytes, ptr_bytes, mask), -ENOSPC);
	core_state_check(th, &saved);
	/* A smaller one still fits. */
	assert_int_equal(add_mask(8, 8, "\1"), 0);
	core_check(th);
}

/* ---- what is stored ---------------------------------------------------------- */

static void test_names_are_any_utf8(void **state)
{
	static const char *const names[] = {
		"", "a", "struct node", "\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80",
		"\xed\x9f\xbf",
		"\xee\x80\x80", "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf",
		"na\xc3\xafve \xe2\x82\xac \xf0\x9f\x98\x80",
	};

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(names); i++) {
		assert_int_equal(add_name(names[i]), 0);
		assert_string_equal(name_of(i + 1), names[i]);
	}
	core_check(th);
}

static void test_names_of_every_length_end_with_a_zero(void **state)
{
	char name[GCHEAP_TYPE_NAME_MAX + 1] = "";

	(void)state;
	for (u32 i = 0; i <= GCHEAP_TYPE_NAME_MAX; i++) {
		/* From one table page to the next, the name can be in two blocks. */
		u64 offset = th->heap.types.data_end;

		assert_int_equal(add_name(name), 0);
		assert_int_equal(record_at(i + 1)->name_offset, offset);
		for (u32 at = 0; at <= i; at++) {
			const char *byte = test_heap_table(th, GCHEAP_REGION_TYPES, offset + at);

			assert_int_equal(*byte, name[at]);
		}
		if (i < GCHEAP_TYPE_NAME_MAX)
			name[i] = (char)('a' + i % 26);
	}
}

static void test_types_are_numbered_from_one(void **state)
{
	(void)state;
	assert_int_equal(th->heap.types.count, 0);
	for (u32 i = 1; i <= 200; i++) {
		assert_int_equal(request_type(th, 8 * i, i), i);
		assert_int_equal(th->heap.types.count, i);
		assert_ptr_equal(type_find(&th->heap, i), record_at(i));
		assert_int_equal(record_at(i)->bytes, 8 * i);
	}
	assert_null(type_find(&th->heap, 0));
	assert_null(type_find(&th->heap, 201));
	assert_null(type_find(&th->heap, U32_MAX));
	core_check(th);
}

static void test_a_record_says_what_was_asked_for(void **state)
{
	static const u8 mask[] = { 0x25, 0x01 };
	const struct gcheap_type_record *record;
	u32 type;

	(void)state;
	assert_int_equal(request_type_mask(th, 128, 72, 32, mask, "record", &type), 0);
	record = record_at(type);
	assert_int_equal(record->bytes, 128);
	assert_int_equal(record->ptr_bytes, 72);
	assert_int_equal(record->align, 32);
	assert_int_equal(record->flags, 0);
	assert_int_equal(record->mask_word, 0x125);
	assert_int_equal(record->mask_offset, 0);
	assert_int_equal(record->program_offset, 0);
	assert_int_equal(record->program_bytes, 0);
	assert_int_equal(record->mask_users, 0);
	assert_string_equal(name_of(type), "record");
}

static void test_a_mask_of_any_length_is_stored_whole(void **state)
{
	u8 mask[2000];

	(void)state;
	random_seed();
	for (u32 i = 0; i < 300; i++) {
		u32 words = i < 140 ? i + 1 : 1 + (u32)random_below(sizeof(mask) * 8);
		const struct gcheap_type_record *record;
		u64 first = 0;
		u32 type;

		for (u32 at = 0; at < sizeof(mask); at++)
			mask[at] = (u8)random_next();
		if (words % 8)
			mask[words / 8] &= (u8)((1u << words % 8) - 1);
		assert_int_equal(request_type_mask(th, words * 8 + 16, words * 8, 8, mask, "m",
						   &type), 0);
		record = record_at(type);
		for (u32 bit = 0; bit < words && bit < 64; bit++)
			first |= (u64)(mask[bit / 8] >> bit % 8 & 1) << bit;
		assert_int_equal(record->mask_word, first);
		assert_int_equal(!record->mask_offset, words <= 64);
		if (words <= 64)
			continue;
		assert_int_equal(record->mask_offset % 8, 0);
		for (u32 word = 0; word < (words + 63) / 64; word++) {
			const u8 *bytes = test_heap_table(th, GCHEAP_REGION_TYPES,
							  record->mask_offset + 8 * word);

			for (u32 at = 0; at < 8; at++) {
				u32 index = word * 8 + at;
				u8 expected = index < (words + 7) / 8 ? mask[index] : 0;

				assert_int_equal(bytes[at], expected);
			}
		}
	}
	core_check(th);
}

static void test_a_type_without_pointers_has_no_mask(void **state)
{
	u32 type = request_type(th, 100, 0);

	(void)state;
	assert_int_equal(record_at(type)->ptr_bytes, 0);
	assert_int_equal(record_at(type)->mask_word, 0);
	assert_int_equal(record_at(type)->mask_offset, 0);
}

static void test_a_type_without_memory_changes_nothing(void **state)
{
	static const u8 mask[9000] = { 1 };
	u32 types = 0;

	(void)state;
	/* Its record, and a mask over three pages; more than one try can be needed. */
	for (u64 n = 1;; n++) {
		struct core_state saved;
		int error;

		core_state_save(th, &saved);
		port_test_fail(n, true);
		error = add_mask(sizeof(mask) * 64, sizeof(mask) * 64, mask);
		port_test_fail(0, false);
		if (!error) {
			types++;
			break;
		}
		assert_int_equal(error, -ENOMEM);
		core_state_check(th, &saved);
	}
	assert_int_equal(th->heap.types.count, types);
	/* What failed calls had reserved is in order. */
	assert_int_equal(record_at(1)->mask_word, 1);
	assert_string_equal(name_of(1), "t");
	core_check(th);
}

/* ---- tiling ------------------------------------------------------------------ */

static void test_a_slot_is_tiled_with_elements_to_its_end(void **state)
{
	(void)state;
	for (u32 words = 1; words <= 64; words++) {
		for (u32 i = SIZE_CLASS_MIN; size_class_bytes[i] <= 512; i++) {
			u64 pattern = 0x9e3779b97f4a7c15ull & (U64_MAX >> (64 - words));
			const struct gcheap_type_record record = {
				.bytes = words * 8,
				.ptr_bytes = words * 8,
				.mask_word = pattern,
			};
			u32 slot_words = size_class_bytes[i] / 8;
			u64 expected = 0;

			for (u32 bit = 0; bit < slot_words; bit++)
				expected |= (pattern >> bit % words & 1) << bit;
			assert_int_equal(slot_mask(&record, size_class_bytes[i]), expected);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name)	cmocka_unit_test_setup_teardown(name, setup, fixture_end)
		TEST(test_a_type_in_order_is_accepted),
		TEST(test_err_unknown_flag),
		TEST(test_err_align_is_no_power_of_two),
		TEST(test_err_align_over_a_heap_page),
		TEST(test_err_align_too_small_for_pointers),
		TEST(test_err_size_of_zero),
		TEST(test_err_size_is_no_multiple_of_align),
		TEST(test_err_size_over_the_largest_reserve),
		TEST(test_err_more_pointer_bytes_than_bytes),
		TEST(test_err_pointer_bytes_are_no_whole_words),
		TEST(test_err_mask_over_the_limit),
		TEST(test_err_mask_and_pointer_bytes_disagree),
		TEST(test_err_program_and_pointer_bytes_disagree),
		TEST(test_err_mask_and_program),
		TEST(test_err_program_and_its_length_disagree),
		TEST(test_err_program_over_the_limit),
		TEST(test_err_name_over_the_limit),
		TEST(test_err_mask_bit_beyond_the_pointer_bytes),
		TEST(test_err_name_is_not_utf8),
		TEST(test_err_zero_byte_in_a_name),
		TEST(test_err_more_types_than_the_table_holds),
		TEST(test_err_no_room_for_another_mask),
		TEST(test_names_are_any_utf8),
		TEST(test_names_of_every_length_end_with_a_zero),
		TEST(test_types_are_numbered_from_one),
		TEST(test_a_record_says_what_was_asked_for),
		TEST(test_a_mask_of_any_length_is_stored_whole),
		TEST(test_a_type_without_pointers_has_no_mask),
		TEST(test_a_type_without_memory_changes_nothing),
		TEST(test_a_slot_is_tiled_with_elements_to_its_end),
	};

	return cmocka_run_group_tests_name("types", tests, NULL, NULL);
}
