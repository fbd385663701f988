// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* TYPE_ADD with GC programs: what they emit, and each way in which one can be wrong. */
#include <pthread.h>

#include "../kselftest_harness.h"
#include "gcheap_selftest.h"
#include "gcheap_types_test.h"

/* A pointer and a scalar, often enough for all of @words. */
FIXTURE(programs) {
	struct test_heap heap;
	struct gcheap_type_add add;
};

FIXTURE_SETUP(programs)
{
	ASSERT_OK(heap_open(&self->heap, GCHEAP_LAYOUT_SPAN, SMALL_RESERVE));
	self->add = (struct gcheap_type_add){
		.size = sizeof(self->add),
		.bytes = 16,
		.ptr_bytes = 8,
		.align = 8,
		.name_bytes = 4,
		.name = (uintptr_t)"prog",
	};
}

FIXTURE_TEARDOWN(programs)
{
	heap_close(&self->heap);
}

#define program_is(...) do {						\
	static const __u8 code_[] = { __VA_ARGS__ };			\
									\
	self->add.gc_prog = (uintptr_t)code_;				\
	self->add.gc_prog_bytes = sizeof(code_);			\
} while (0)

#define words_are(words) do {						\
	self->add.bytes = 8ull * (words);				\
	self->add.ptr_bytes = 8ull * (words);				\
} while (0)

TEST_F(programs, of_up_to_64_words_have_their_mask_in_the_record)
{
	program_is(1, 1, 0);
	test_cmd_type();
	EXPECT_EQ(1, heap_type(&self->heap, 1)->mask_word);
	EXPECT_EQ(0, heap_type(&self->heap, 1)->mask_offset);
	EXPECT_STREQ("prog", type_name(&self->heap, 1));
	words_are(64);
	program_is(2, 1, 0x82, 31, 0);
	test_cmd_type();
	EXPECT_EQ(0x5555555555555555ull, heap_type(&self->heap, 2)->mask_word);
	EXPECT_EQ(0, heap_type(&self->heap, 2)->mask_offset);
}

TEST_F(programs, of_more_words_have_their_mask_in_the_region)
{
	const __u64 *mask;

	words_are(66);
	program_is(2, 1, 0x82, 32, 0);
	test_cmd_type();
	ASSERT_NE(0, heap_type(&self->heap, 1)->mask_offset);
	mask = type_mask(&self->heap, 1);
	EXPECT_EQ(0x5555555555555555ull, heap_type(&self->heap, 1)->mask_word);
	EXPECT_EQ(0x5555555555555555ull, mask[0]);
	EXPECT_EQ(1, mask[1]);
}

TEST_F(programs, are_read_no_further_than_their_length)
{
	static const __u8 code[] = { 3, 5, 0x83, 0x8d, 0x05, 0 };
	char *at = memory_before_hole(sizeof(code));

	ASSERT_NE(NULL, at);
	memcpy(at, code, sizeof(code));
	words_are(3 * (0x0d + 0x05 * 128 + 1));
	self->add.gc_prog = (uintptr_t)at;
	self->add.gc_prog_bytes = sizeof(code);
	test_cmd_type();
	for (__u32 word = 0; word < 8; word++)
		ASSERT_EQ(word % 3 != 1, bit_test(type_mask(&self->heap, 1), word));
}

TEST_F(programs, make_the_same_types_as_masks)
{
	/* Periods of one to 200 words: one pointer, then scalars. */
	for (__u32 period = 3; period <= 200; period++) {
		const __u32 times = 7, words = period * (times + 1);
		const struct gcheap_type_record *by_mask, *by_program;
		__u8 code[16] = { 1, 1, 1, 0, 0x81 }, *at = code + 5;
		__u64 mask[26] = { 0 };

		for (__u32 i = 0; i < words; i += period)
			bit_set(mask, i);
		for (__u32 left = period - 2;; left >>= 7) {
			*at++ = left & 0x7f;
			if (left < 0x80)
				break;
			at[-1] |= 0x80;
		}
		*at++ = 0x80;
		for (__u32 left = period;; left >>= 7) {
			*at++ = left & 0x7f;
			if (left < 0x80)
				break;
			at[-1] |= 0x80;
		}
		*at++ = times;
		*at++ = 0;
		words_are(words);
		self->add.ptr_mask = 0;
		self->add.gc_prog = (uintptr_t)code;
		self->add.gc_prog_bytes = at - code;
		test_cmd_type();
		by_program = heap_type(&self->heap, self->add.out_type);
		self->add.gc_prog = 0;
		self->add.gc_prog_bytes = 0;
		self->add.ptr_mask = (uintptr_t)mask;
		test_cmd_type();
		by_mask = heap_type(&self->heap, self->add.out_type);

		ASSERT_EQ(by_mask->bytes, by_program->bytes);
		ASSERT_EQ(by_mask->ptr_bytes, by_program->ptr_bytes);
		ASSERT_EQ(by_mask->mask_word, by_program->mask_word);
		ASSERT_EQ(!by_mask->mask_offset, !by_program->mask_offset);
		if (by_mask->mask_offset)
			ASSERT_EQ(0, memcmp(type_mask(&self->heap, self->add.out_type),
					    type_mask(&self->heap, self->add.out_type - 1),
					    (words + 63) / 64 * 8));
	}
}

/* ---- masks that go with the objects ------------------------------------------- */

/* 8 MiB of pointers. */
#define LONG_WORDS	(8ull * MASK_BYTES_MAX / 8)

/* A pointer, a scalar, and so on: longer than is kept. */
#define long_program() do {						\
	words_are(LONG_WORDS);						\
	program_is(2, 1, 0x82, 0xff, 0xff, 0x1f, 0);			\
} while (0)

static __u64 table_bytes(const struct test_heap *heap)
{
	struct gcheap_counters counters;

	return cmd_stats(heap->fd, &counters) ? 0 : counters.table_bytes;
}

TEST_F(programs, of_the_longest_mask_are_checked_and_run_in_no_time)
{
	struct gcheap_alloc_large large;
	const __u64 *mask;
	__u64 from, us;

	heap_close(&self->heap);
	ASSERT_OK(heap_open(&self->heap, GCHEAP_LAYOUT_SPAN, 4 * SMALL_RESERVE));
	words_are(8ull * MASK_BYTES_MAX);
	program_is(2, 1, 0x82, 0xff, 0xff, 0xff, 0x01, 0);
	from = now_us();
	test_cmd_type();
	test_cmd_alloc_large_flags(GCHEAP_ALLOC_LAZY, 1, 1, &large);
	us = now_us() - from;
	TH_LOG("64 MiB of pointers in %llu us", us);
	EXPECT_GT(1000000, us);
	mask = type_mask(&self->heap, 1);
	for (__u32 i = 0; i < MASK_BYTES_MAX / 8; i++)
		ASSERT_EQ(0x5555555555555555ull, mask[i]);
	test_cmd_free_large(large.out_page);
	EXPECT_EQ(0, heap_type(&self->heap, 1)->mask_offset);
}

TEST_F(programs, of_long_types_have_their_mask_while_there_are_objects)
{
	const struct gcheap_type_record *record;
	struct gcheap_alloc_large first, second;
	const __u64 *mask;
	__u64 before;

	long_program();
	test_cmd_type();
	record = heap_type(&self->heap, 1);
	EXPECT_EQ(0x5555555555555555ull, record->mask_word);
	EXPECT_EQ(self->add.gc_prog_bytes, record->program_bytes);
	EXPECT_LE(GCHEAP_TYPES_DATA, record->program_offset);
	EXPECT_EQ(0, memcmp((char *)self->heap.region[GCHEAP_REGION_TYPES] +
			    record->program_offset, (void *)(uintptr_t)self->add.gc_prog,
			    record->program_bytes));
	EXPECT_EQ(0, record->mask_offset);
	/* So that the heap is as large as it will be. */
	test_cmd_alloc_large(0, 3 * LONG_WORDS * 8, &first);
	test_cmd_free_large(first.out_page);
	before = table_bytes(&self->heap);

	test_cmd_alloc_large(1, 1, &first);
	EXPECT_EQ(1, record->mask_users);
	ASSERT_LE(GCHEAP_TYPES_MASKS, record->mask_offset);
	ASSERT_GT(GCHEAP_TYPES_BYTES, record->mask_offset);
	EXPECT_EQ(before + MASK_BYTES_MAX / 8, table_bytes(&self->heap));
	mask = type_mask(&self->heap, 1);
	for (__u32 i = 0; i < LONG_WORDS / 64; i++)
		ASSERT_EQ(0x5555555555555555ull, mask[i]);
	test_cmd_alloc_large(1, 2, &second);
	EXPECT_EQ(2, record->mask_users);
	test_cmd_free_large(first.out_page);
	EXPECT_EQ(0, probe((void *)mask, false, NULL));
	/* The last one's memory goes, and an access to where it was finds none. */
	test_cmd_free_large(second.out_page);
	EXPECT_EQ(0, record->mask_users);
	EXPECT_EQ(0, record->mask_offset);
	EXPECT_EQ(SIGBUS, probe((void *)mask, false, NULL));
	EXPECT_ERR(EFAULT, read_into((char *)mask, 8));
	EXPECT_EQ(before, table_bytes(&self->heap));
	/* The next type has it in the same place. */
	test_cmd_type();
	test_cmd_alloc_large(2, 1, &first);
	EXPECT_EQ((void *)mask, (void *)type_mask(&self->heap, 2));
	EXPECT_EQ(0x5555555555555555ull, mask[LONG_WORDS / 64 - 1]);
	ASSERT_RIGHT(heap_wrong(&self->heap));
}

TEST_F(programs, lose_their_mask_with_a_sweep)
{
	struct gcheap_alloc_large large;

	long_program();
	test_cmd_type();
	test_cmd_alloc_large(1, 1, &large);
	test_cmd_mark_start(NULL);
	slot_mark(&self->heap, large.out_page, 0);
	test_cmd_sweep_start(NULL);
	EXPECT_EQ(1, heap_type(&self->heap, 1)->mask_users);
	test_cmd_mark_start(NULL);
	test_cmd_sweep_start(NULL);
	EXPECT_EQ(0, heap_type(&self->heap, 1)->mask_users);
	EXPECT_EQ(0, heap_type(&self->heap, 1)->mask_offset);
}

TEST_F(programs, have_masks_that_nobody_can_write)
{
	struct gcheap_alloc_large large;

	long_program();
	test_cmd_type();
	test_cmd_alloc_large(1, 1, &large);
	EXPECT_EQ(SIGSEGV, probe((void *)type_mask(&self->heap, 1), true, NULL));
}

/* Readers touch the mask while it comes and goes. */
static void *read_masks(void *arg)
{
	const struct test_heap *heap = arg;
	const char *masks = (char *)heap->region[GCHEAP_REGION_TYPES] + GCHEAP_TYPES_MASKS;

	for (int i = 0; i < 20000; i++)
		read_into((char *)masks + i % 32 * 4096, 8);
	return NULL;
}

TEST_F(programs, come_and_go_under_readers)
{
	struct gcheap_alloc_large large;
	pthread_t thread;

	long_program();
	test_cmd_type();
	ASSERT_EQ(0, pthread_create(&thread, NULL, read_masks, &self->heap));
	for (int i = 0; i < 300; i++) {
		test_cmd_alloc_large(1, 1, &large);
		ASSERT_EQ(0x5555555555555555ull, type_mask(&self->heap, 1)[i * 37 % 1024]);
		test_cmd_free_large(large.out_page);
	}
	ASSERT_EQ(0, pthread_join(thread, NULL));
	ASSERT_RIGHT(heap_wrong(&self->heap));
}

TEST(programs_of_the_bitmap_layout_have_no_masks)
{
	static const __u8 code[] = { 1, 1, 0x81, 0xff, 0xff, 0x03, 0 };
	struct gcheap_type_add add = {
		.size = sizeof(add), .bytes = 8 * 65536, .ptr_bytes = 8 * 65536, .align = 8,
		.gc_prog = (uintptr_t)code, .gc_prog_bytes = sizeof(code),
	};
	struct gcheap_alloc_large large;
	struct test_heap heap;

	ASSERT_OK(heap_open(&heap, GCHEAP_LAYOUT_BITMAP, SMALL_RESERVE));
	EXPECT_OK(cmd_send(heap.fd, GCHEAP_OP_TYPE_ADD, &add));
	EXPECT_OK(cmd_alloc_large(heap.fd, 1, 1, &large));
	EXPECT_EQ(0, heap_type(&heap, 1)->mask_offset);
	EXPECT_EQ(0, heap_type(&heap, 1)->mask_users);
	EXPECT_OK(cmd_free_large(heap.fd, large.out_page));
	heap_close(&heap);
}

/* ---- errors; the rules of a program beside a mask are in type_rules.h ------------ */

TEST_F(programs, test_err_address_that_faults)
{
	char *at = memory_before_hole(2);

	ASSERT_NE(NULL, at);
	memcpy(at, "\1\1", 2);
	self->add.gc_prog = (uintptr_t)at;
	self->add.gc_prog_bytes = 3;
	test_err_type(EFAULT);
	self->add.gc_prog = (uintptr_t)at + 2;
	self->add.gc_prog_bytes = GCHEAP_GC_PROG_MAX;
	test_err_type(EFAULT);
	self->add.gc_prog = 1ull << 63;
	self->add.gc_prog_bytes = 3;
	test_err_type(EFAULT);
	self->add.gc_prog = ~0ull;
	test_err_type(EFAULT);
	/* Of two that are too many neither is read. */
	self->add.ptr_mask = 1ull << 63;
	test_err_type(ENOTUNIQ);
}

/* Each fault of a program, and how many words the type has. */
#define test_err_program(words, ...) do {				\
	struct gcheap_counters counters_;				\
									\
	words_are(words);						\
	program_is(__VA_ARGS__);					\
	test_err_type(EINVAL);						\
	test_cmd_stats(&counters_);					\
	ASSERT_EQ(0, counters_.types);					\
} while (0)

TEST_F(programs, test_err_truncated)
{
	test_err_program(1, 1);
	test_err_program(1, 1, 1);
	test_err_program(9, 9, 0xff);
	test_err_program(2, 1, 1, 0x81);
	test_err_program(2, 1, 1, 0x81, 0x80);
	test_err_program(2, 1, 1, 0x80, 1);
	test_err_program(2, 1, 1, 0x81, 1);
}

TEST_F(programs, test_err_bytes_after_the_end)
{
	test_err_program(1, 1, 1, 0, 0);
	test_err_program(2, 1, 1, 0, 1, 1, 0);
}

TEST_F(programs, test_err_bits_after_a_literal)
{
	test_err_program(1, 1, 3, 0);
	test_err_program(7, 7, 0x80, 0);
}

TEST_F(programs, test_err_overlong_number)
{
	test_err_program(2, 1, 1, 0x81, 0x81, 0, 0);
	test_err_program(2, 1, 1, 0x80, 0x81, 0, 1, 0);
}

TEST_F(programs, test_err_number_that_overflows)
{
	test_err_program(2, 1, 1, 0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0);
	test_err_program(2, 1, 1, 0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
			 1, 0);
	/* Each of the two fits, the product does not. */
	test_err_program(4, 2, 1, 0x82, 0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1, 0);
}

TEST_F(programs, test_err_repeat_of_nothing)
{
	test_err_program(2, 1, 1, 0x80, 0, 1, 0);
}

TEST_F(programs, test_err_repeat_of_what_is_not_there)
{
	test_err_program(1, 0x81, 1, 0);
	test_err_program(3, 1, 1, 0x82, 1, 0);
	test_err_program(3, 1, 1, 0x80, 0xff, 0xff, 0xff, 0xff, 0x0f, 1, 0);
}

TEST_F(programs, test_err_more_bits_than_the_type_has_words)
{
	test_err_program(1, 2, 1, 0);
	test_err_program(2, 1, 1, 0x81, 2, 0);
	test_err_program(2, 1, 1, 0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0);
}

TEST_F(programs, test_err_fewer_bits_than_the_type_has_words)
{
	test_err_program(1, 0);
	test_err_program(3, 1, 1, 0x81, 1, 0);
	test_err_program(8ull * MASK_BYTES_MAX, 1, 1, 0x81, 0xfe, 0xff, 0xff, 0x03, 0);
}

TEST_HARNESS_MAIN
