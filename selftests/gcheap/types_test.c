// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* TYPE_ADD: the rules of a type, and what the type table says of it. Programs: gc_program_test.c */
#include "../kselftest_harness.h"
#include "gcheap_selftest.h"
#include "gcheap_types_test.h"
#include "type_rules.h"

FIXTURE(types) {
	struct test_heap heap;
	struct gcheap_type_add add;	/* two words: a pointer and a scalar */
	__u8 mask[16];
	char name[512];
};

FIXTURE_SETUP(types)
{
	ASSERT_OK(heap_open(&self->heap, GCHEAP_LAYOUT_SPAN, SMALL_RESERVE));
	self->mask[0] = 1;
	memcpy(self->name, "cons", 5);
	self->add = (struct gcheap_type_add){
		.size = sizeof(self->add),
		.bytes = 16,
		.ptr_bytes = 8,
		.align = 8,
		.name_bytes = 4,
		.name = (uintptr_t)self->name,
		.ptr_mask = (uintptr_t)self->mask,
	};
}

FIXTURE_TEARDOWN(types)
{
	heap_close(&self->heap);
}

/* ---- what the table says -------------------------------------------------------- */

TEST_F(types, are_numbered_from_one)
{
	struct gcheap_counters counters;

	for (__u32 i = 1; i <= 100; i++) {
		test_cmd_type();
		ASSERT_EQ(i, self->add.out_type);
		test_cmd_stats(&counters);
		ASSERT_EQ(i, counters.types);
	}
	EXPECT_EQ(0, heap_type(&self->heap, 0)->bytes);
}

TEST_F(types, have_a_record)
{
	const struct gcheap_type_record *record;

	self->add.align = 16;
	test_cmd_type();
	record = heap_type(&self->heap, self->add.out_type);
	EXPECT_EQ(16, record->bytes);
	EXPECT_EQ(8, record->ptr_bytes);
	EXPECT_EQ(1, record->mask_word);
	EXPECT_EQ(0, record->mask_offset);
	EXPECT_EQ(16, record->align);
	EXPECT_EQ(0, record->flags);
	EXPECT_EQ(0, record->program_offset);
	EXPECT_EQ(0, record->program_bytes);
	EXPECT_EQ(0, record->mask_users);
	EXPECT_LE(GCHEAP_TYPES_DATA, record->name_offset);
	EXPECT_GT(GCHEAP_TYPES_MASKS, record->name_offset);
	EXPECT_STREQ("cons", type_name(&self->heap, self->add.out_type));
}

TEST_F(types, without_pointers_have_no_mask)
{
	const struct gcheap_type_record *record;

	self->add.ptr_bytes = 0;
	self->add.ptr_mask = 0;
	self->add.bytes = 3;
	self->add.align = 1;
	test_cmd_type();
	record = heap_type(&self->heap, self->add.out_type);
	EXPECT_EQ(3, record->bytes);
	EXPECT_EQ(1, record->align);
	EXPECT_EQ(0, record->ptr_bytes);
	EXPECT_EQ(0, record->mask_word);
	EXPECT_EQ(0, record->mask_offset);
}

TEST_F(types, need_no_name)
{
	self->add.name_bytes = 0;
	self->add.name = 0;
	test_cmd_type();
	if (heap_type(&self->heap, 1)->name_offset)
		EXPECT_STREQ("", type_name(&self->heap, 1));
}

TEST_F(types, have_names_of_any_length)
{
	memset(self->name, 'x', sizeof(self->name));
	for (__u32 n = 1; n <= GCHEAP_TYPE_NAME_MAX; n++) {
		self->add.name_bytes = n;
		test_cmd_type();
	}
	for (__u32 n = 1; n <= GCHEAP_TYPE_NAME_MAX; n++) {
		ASSERT_EQ(n, strlen(type_name(&self->heap, n)));
		ASSERT_TRUE(memory_is(type_name(&self->heap, n), 'x', n));
	}
}

TEST_F(types, have_names_in_utf_8)
{
	for (__u32 i = 0; i < ARRAY_SIZE(type_rule_names); i++) {
		self->add.name = (uintptr_t)type_rule_names[i];
		self->add.name_bytes = (__u32)strlen(type_rule_names[i]);
		test_cmd_type();
		EXPECT_STREQ(type_rule_names[i], type_name(&self->heap, i + 1));
	}
}

TEST_F(types, of_up_to_64_words_have_their_mask_in_the_record)
{
	for (__u32 words = 1; words <= 64; words++) {
		__u64 mask = 0x8000000000000001ull >> (64 - words) | 1;
		__u32 type;

		test_cmd_type_words(words, mask, &type);
		ASSERT_EQ(mask, heap_type(&self->heap, type)->mask_word);
		ASSERT_EQ(0, heap_type(&self->heap, type)->mask_offset);
		ASSERT_EQ(8 * words, heap_type(&self->heap, type)->ptr_bytes);
	}
}

TEST_F(types, of_more_words_have_their_mask_in_the_region)
{
	static const __u32 sizes[] = { 65, 127, 128, 129, 1000, 4096, 100003 };
	static __u64 mask[100003 / 64 + 1], copy[100003 / 64 + 1];

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		__u32 words = sizes[i], last = words % 64;
		size_t nwords = (words + 63) / 64, bytes = (words + 7) / 8;
		const struct gcheap_type_record *record;
		__u32 type;

		for (size_t w = 0; w < nwords; w++)
			mask[w] = 0x9e3779b97f4a7c15ull * (w + words);
		if (last)
			mask[nwords - 1] &= (1ull << last) - 1;
		bit_set(mask, words - 1);
		/* Only the bytes that hold bits of the mask can be read. */
		void *at = memory_before_hole(bytes);

		ASSERT_NE(NULL, at);
		memcpy(at, mask, bytes);
		test_cmd_type_add(8ull * words, 8, 8ull * words, at, "long", &type);

		record = heap_type(&self->heap, type);
		ASSERT_EQ(mask[0], record->mask_word);
		ASSERT_LE(GCHEAP_TYPES_DATA, record->mask_offset);
		ASSERT_EQ(0, record->mask_offset % 8);
		memcpy(copy, type_mask(&self->heap, type), nwords * 8);
		ASSERT_EQ(0, memcmp(mask, copy, nwords * 8));
		ASSERT_STREQ("long", type_name(&self->heap, type));
	}
}

TEST_F(types, do_not_change_when_others_are_added)
{
	struct gcheap_type_record record;
	__u64 wide[4] = { 1, 2, 3, 4 };
	__u32 type;

	test_cmd_type();
	record = *heap_type(&self->heap, 1);
	for (int i = 0; i < 1000; i++)
		test_cmd_type_add(8 * 256, 8, 8 * 256, wide, "other", &type);
	EXPECT_EQ(0, memcmp(&record, heap_type(&self->heap, 1), sizeof(record)));
	EXPECT_STREQ("cons", type_name(&self->heap, 1));
}

TEST_F(types, with_pointers_at_the_front_only_have_a_short_mask)
{
	self->add.bytes = 1 << 20;
	self->add.ptr_bytes = 16;
	self->mask[0] = 2;
	test_cmd_type();
	EXPECT_EQ(1 << 20, heap_type(&self->heap, 1)->bytes);
	EXPECT_EQ(16, heap_type(&self->heap, 1)->ptr_bytes);
	EXPECT_EQ(2, heap_type(&self->heap, 1)->mask_word);
}

TEST_F(types, of_the_longest_mask_can_be_added)
{
	char *mask = mmap(NULL, MASK_BYTES_MAX, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, mask);
	mask[MASK_BYTES_MAX - 1] = (char)0x80;
	test_cmd_type_add(64ull * MASK_BYTES_MAX, 8, 64ull * MASK_BYTES_MAX, mask, "max",
			  NULL);
	EXPECT_TRUE(bit_test(type_mask(&self->heap, 1), 8ull * MASK_BYTES_MAX - 1));
}

TEST_F(types, added_twice_are_two_types)
{
	test_cmd_type();
	test_cmd_type();
	EXPECT_EQ(2, self->add.out_type);
	EXPECT_STREQ("cons", type_name(&self->heap, 2));
}

/* ---- rules ------------------------------------------------------------------------ */

/* NULL, or what is wrong; a request that fails must change nothing. */
static const char *rule_broken(const struct test_heap *heap, const struct type_rule *rule)
{
	struct gcheap_type_add add = type_rule_request(rule);
	struct test_state before, after;
	int ret;

	state_take(heap, &before);
	ret = cmd_send(heap->fd, GCHEAP_OP_TYPE_ADD, &add);
	if (ret != -rule->error)
		return wrong("%s: %d, not %d", rule->title, ret, -rule->error);
	if (!ret)
		return heap_type(heap, add.out_type)->bytes == rule->bytes ? NULL :
		       wrong("%s: the record has other bytes", rule->title);
	state_take(heap, &after);
	if (state_differs(&before, &after))
		return wrong("%s: changed: %s", rule->title, state_differs(&before, &after));
	return NULL;
}

TEST_F(types, keep_each_rule)
{
	for (size_t i = 0; i < ARRAY_SIZE(type_rules); i++)
		ASSERT_RIGHT(rule_broken(&self->heap, &type_rules[i]));
}

TEST_F(types, test_err_mask_that_faults)
{
	char *at = memory_before_hole(1);

	ASSERT_NE(NULL, at);
	*at = 1;
	self->add.ptr_mask = (uintptr_t)at;
	test_cmd_type();
	self->add.ptr_mask = (uintptr_t)at + 1;
	test_err_type(EFAULT);
	self->add.bytes = 8 * 16;
	self->add.ptr_bytes = 8 * 9;
	self->add.ptr_mask = (uintptr_t)at;
	test_err_type(EFAULT);
	self->add.ptr_mask = 1ull << 63;
	test_err_type(EFAULT);
}

TEST_F(types, test_err_name_that_faults)
{
	char *at = memory_before_hole(3);

	ASSERT_NE(NULL, at);
	memcpy(at, "cut", 3);
	self->add.name = (uintptr_t)at;
	test_err_type(EFAULT);
	self->add.name = 0;
	test_err_type(EFAULT);
	self->add.name = 1ull << 63;
	test_err_type(EFAULT);
	self->add.name_bytes = 3;
	self->add.name = (uintptr_t)at;
	test_cmd_type();
	EXPECT_STREQ("cut", type_name(&self->heap, 1));
}

TEST_F(types, test_err_name_that_is_not_utf_8)
{
	for (size_t i = 0; i < ARRAY_SIZE(type_rule_not_utf8); i++) {
		self->add.name = (uintptr_t)type_rule_not_utf8[i];
		self->add.name_bytes = (__u32)strlen(type_rule_not_utf8[i]);
		test_err_type(EILSEQ);
	}
}

/* ---- the table's end ---------------------------------------------------------------- */

TEST_F_TIMEOUT(types, test_err_table_full, 60)
{
	self->add.name_bytes = 0;
	self->add.name = 0;
	for (__u32 i = 1; i < GCHEAP_TYPES_MAX; i++) {
		test_cmd_type();
		ASSERT_EQ(i, self->add.out_type);
	}
	test_err_type(ENOSPC);
	test_err_type(ENOSPC);
	EXPECT_EQ(16, heap_type(&self->heap, GCHEAP_TYPES_MAX - 1)->bytes);
	/* The last type is as good as the first. */
	test_cmd_take(GCHEAP_TYPES_MAX - 1, CLASS_16, &(struct gcheap_grant){ 0 });
	test_err_refill(EINVAL, GCHEAP_TYPES_MAX, CLASS_16, 1, NULL, 0,
			&(struct gcheap_grant){ 0 }, 1, NULL);
}

TEST_F(types, test_err_no_room_for_masks)
{
	const __u64 room = GCHEAP_TYPES_MASKS - GCHEAP_TYPES_DATA;
	char *mask = mmap(NULL, MASK_BYTES_MAX, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	__u32 n = 0;

	ASSERT_NE(MAP_FAILED, mask);
	mask[0] = 1;
	while (n <= room / MASK_BYTES_MAX) {
		int ret = cmd_type_add(self->heap.fd, 64ull * MASK_BYTES_MAX, 8,
				       64ull * MASK_BYTES_MAX, mask, "m", NULL);

		if (ret == -ENOSPC)
			break;
		ASSERT_OK(ret);
		n++;
	}
	/* All of the room but for the names, and a mask that no longer fits. */
	EXPECT_LE(room / MASK_BYTES_MAX - 1, n);
	EXPECT_GE(room / MASK_BYTES_MAX, n);
	test_err_type_add(ENOSPC, 64ull * MASK_BYTES_MAX, 8, 64ull * MASK_BYTES_MAX, mask,
			  "m", NULL);
	/* Small types still fit. */
	test_cmd_type();
}

TEST_HARNESS_MAIN
