// SPDX-License-Identifier: MIT
/*
 * The type table: what it accepts, what it refuses, and what it stores.
 */
#include "../gcheap/type_rules.h"
#include "core_check.h"
#include "core_test.h"
#include "fixture.h"
#include "request.h"

static int setup(void **state)
{
	(void)state;
	return fixture_begin(GCHEAP_LAYOUT_SPAN, GCHEAP_RESERVE_MIN, 0);
}

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

static void test_each_rule_is_kept(void **state)
{
	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(type_rules); i++) {
		const struct type_rule *rule = &type_rules[i];
		struct gcheap_type_add add = type_rule_request(rule);
		/* All but these two can be told before a name and a mask are copied. */
		bool by_content = rule->error == EDOM || rule->error == EILSEQ;
		struct core_state saved;
		int error = type_check(&add);

		if (error != (by_content ? 0 : -rule->error))
			fail_msg("%s: type_check() says %d", rule->title, error);
		core_state_save(th, &saved);
		error = request_type_add(th, &add, (const char *)(uintptr_t)add.name,
					 rule->mask ? rule->mask : rule->program);
		if (error != -rule->error)
			fail_msg("%s: %d, not %d", rule->title, error, -rule->error);
		if (error)
			core_state_check(th, &saved);
		else
			assert_int_equal(record_at(add.out_type)->bytes, rule->bytes);
	}
	core_check(th);
}

static void test_err_unknown_flag(void **state)
{
	(void)state;
	for (u32 bit = 0; bit < 32; bit++) {
		struct gcheap_type_add add = type_rule_request(&type_rules[0]);

		add.flags = 1u << bit;
		assert_int_equal(type_check(&add), -EOPNOTSUPP);
	}
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
	u32 before = th->heap.types.count;

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(type_rule_not_utf8); i++)
		assert_int_equal(add_name(type_rule_not_utf8[i]), -EILSEQ);
	assert_int_equal(th->heap.types.count, before);
	core_check(th);
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
	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(type_rule_names); i++) {
		assert_int_equal(add_name(type_rule_names[i]), 0);
		assert_string_equal(name_of(i + 1), type_rule_names[i]);
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
		TEST(test_each_rule_is_kept),
		TEST(test_err_unknown_flag),
		TEST(test_err_mask_bit_beyond_the_pointer_bytes),
		TEST(test_err_name_is_not_utf8),
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
