// SPDX-License-Identifier: MIT
/*
 * GC programs that are refused: those with an error, and sound ones for which there is
 * no room, no memory or no time. A refused program has changed nothing.
 */
#include "core_check.h"
#include "core_test.h"
#include "fixture.h"
#include "program_writer.h"
#include "request.h"
#include "type_mask.h"

static u64 heap_blocks;	/* of an empty heap */

static int setup(void **state)
{
	int error = fixture_begin(GCHEAP_LAYOUT_SPAN, GCHEAP_RESERVE_MIN, 0);

	(void)state;
	heap_blocks = port_test.blocks;
	return error;
}

/* ---- errors ------------------------------------------------------------------ */

static const struct {
	enum gc_program_error error;
	u32 words;
	u32 at;		/* the wrong instruction */
	u32 bytes;
	u8 code[16];
} bad[] = {
#define BAD(error, words, at, ...) \
	{ GC_PROGRAM_##error, words, at, sizeof((u8[]){ __VA_ARGS__ }), { __VA_ARGS__ } }
	/* Truncated: without end, in a literal, in a repeat's numbers. */
	BAD(TRUNCATED, 1, 2, 1, 1),
	BAD(TRUNCATED, 8, 0, 8),
	BAD(TRUNCATED, 9, 0, 9, 0xff),
	BAD(TRUNCATED, 127, 0, 127, 0),
	BAD(TRUNCATED, 2, 2, 1, 1, 0x81),
	BAD(TRUNCATED, 2, 2, 1, 1, 0x81, 0x80),
	BAD(TRUNCATED, 2, 4, 1, 1, 0x81, 1),
	BAD(TRUNCATED, 2, 2, 1, 1, 0x80),
	BAD(TRUNCATED, 2, 2, 1, 1, 0x80, 1),
	BAD(TRUNCATED, 2, 2, 1, 1, 0x80, 0x81),
	BAD(TRUNCATED, 2, 2, 1, 1, 0x80, 1, 0x81),
	/* Bytes after the end, of whatever kind. */
	BAD(TRAILING, 1, 2, 1, 1, 0, 0),
	BAD(TRAILING, 1, 2, 1, 1, 0, 1),
	BAD(TRAILING, 2, 2, 1, 1, 0, 1, 1, 0),
	BAD(TRAILING, 1, 0, 0, 0),
	/* Bits of a literal's last byte that belong to none. */
	BAD(PADDING, 1, 0, 1, 3, 0),
	BAD(PADDING, 1, 0, 1, 0x80, 0),
	BAD(PADDING, 7, 0, 7, 0x80, 0),
	BAD(PADDING, 9, 0, 9, 0, 2, 0),
	/* Numbers with more bytes than they need. */
	BAD(VARINT_LONG, 2, 2, 1, 1, 0x81, 0x81, 0, 0),
	BAD(VARINT_LONG, 1, 2, 1, 1, 0x81, 0x80, 0, 0),
	BAD(VARINT_LONG, 2, 2, 1, 1, 0x80, 0x81, 0, 1, 0),
	BAD(VARINT_LONG, 2, 2, 1, 1, 0x81, 0x81, 0x80, 0, 0),
	BAD(VARINT_LONG, 2, 2, 1, 1, 0x81, 0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0,
	    0),
	/* Numbers of 65 bits and more. */
	BAD(VARINT_OVERFLOW, 2, 2, 1, 1, 0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	    2, 0),
	BAD(VARINT_OVERFLOW, 2, 2, 1, 1, 0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
	    0x80, 1),
	BAD(VARINT_OVERFLOW, 2, 2, 1, 1, 0x81, 0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
	    2, 0),
	BAD(VARINT_OVERFLOW, 2, 2, 1, 1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
	    0x7f, 0),
	BAD(VARINT_OVERFLOW, 2, 2, 1, 1, 0x81, 0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
	    0x81, 0),
	/* Repeats of nothing, and of what is not there. */
	BAD(REPEAT_NOTHING, 1, 2, 1, 1, 0x80, 0, 1, 0),
	BAD(REPEAT_NOTHING, 1, 2, 1, 1, 0x80, 0, 0, 0),
	BAD(REPEAT_NOTHING, 1, 0, 0x80, 0, 1, 0),
	BAD(REPEAT_UNWRITTEN, 1, 0, 0x81, 1, 0),
	BAD(REPEAT_UNWRITTEN, 1, 0, 0x81, 0, 0),
	BAD(REPEAT_UNWRITTEN, 4, 2, 1, 1, 0x82, 1, 0),
	BAD(REPEAT_UNWRITTEN, 4, 2, 1, 1, 0x80, 2, 1, 0),
	BAD(REPEAT_UNWRITTEN, 4, 2, 1, 1, 0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	    1, 1, 0),
	/* Too many bits: by a literal, by a repeat, by products over 64 bits. */
	BAD(LONG, 1, 0, 2, 1, 0),
	BAD(LONG, 8, 2, 8, 0xff, 1, 0, 0),
	BAD(LONG, 2, 2, 1, 1, 0x81, 2, 0),
	BAD(LONG, 5, 2, 2, 1, 0x82, 2, 0),
	BAD(LONG, 64, 2, 1, 1, 0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0),
	BAD(LONG, 64, 2, 2, 1, 0x82, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1, 0),
	BAD(LONG, 64, 2, 2, 1, 0x82, 0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1, 0),
	BAD(LONG, 4, 2, 2, 1, 0x82, 0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1, 0),
	/* Too few. */
	BAD(SHORT, 1, 0, 0),
	BAD(SHORT, 2, 2, 1, 1, 0),
	BAD(SHORT, 5, 4, 2, 1, 0x82, 1, 0),
	BAD(SHORT, 3, 4, 2, 1, 0x82, 0, 0),
#undef BAD
};

static void test_err_every_fault_of_a_program(void **state)
{
	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(bad); i++) {
		struct gc_program program = {
			.code = bad[i].code, .bytes = bad[i].bytes, .words = bad[i].words,
		};
		u64 mask[2] = { 0 };
		struct core_state saved;
		u32 at, type;

		if (program_check(bad[i].code, bad[i].bytes, bad[i].words, &at) != bad[i].error)
			fail_msg("program %u: not error %u", i, bad[i].error);
		if (at != bad[i].at)
			fail_msg("program %u: error at %u, not %u", i, at, bad[i].at);
		assert_int_equal(gc_program_unroll(&program, mask, 1, NULL), -EINVAL);
		core_state_save(th, &saved);
		assert_int_equal(request_type_program(th, 1024, bad[i].words * 8ull, bad[i].code,
						      bad[i].bytes, "bad", &type), -EINVAL);
		core_state_check(th, &saved);
		assert_int_equal(th->heap.types.count, 0);
	}
	assert_int_equal(port_test.blocks, heap_blocks);
}

static void test_err_name_that_is_not_utf8(void **state)
{
	static const u8 code[] = { 1, 1, 0 };
	u32 type;

	(void)state;
	assert_int_equal(request_type_program(th, 8, 8, code, 3, "\xff", &type), -EILSEQ);
	assert_int_equal(request_type_program(th, 8, 8, code, 3, "\xc3\xa4", &type), 0);
}

static void test_err_no_room_for_another_program(void **state)
{
	/* Single bits: a mask of 32,767, which is longer than is kept. */
	static u8 code[GCHEAP_GC_PROG_MAX - 1];
	const u64 ptr_bytes = sizeof(code) / 2 * 8;
	struct core_state saved;
	u32 types = 0, type;

	(void)state;
	memset(code, 1, sizeof(code) - 1);
	while (!request_type_program(th, ptr_bytes, ptr_bytes, code, sizeof(code), "t", &type))
		types++;
	/* Each with a name of 8 bytes. */
	assert_int_equal(types, (GCHEAP_TYPES_MASKS - GCHEAP_TYPES_DATA) / (65536 + 8));
	core_state_save(th, &saved);
	assert_int_equal(request_type_program(th, ptr_bytes, ptr_bytes, code, sizeof(code), "t",
					      &type), -ENOSPC);
	core_state_check(th, &saved);
	assert_int_equal(port_test.blocks, heap_blocks);
	assert_int_equal(request_type_program(th, 8, 8, (u8[]){ 1, 1, 0 }, 3, "t", &type), 0);
	core_check(th);
}

/* ---- failures ---------------------------------------------------------------- */

static void test_a_program_without_memory_changes_nothing(void **state)
{
	/* 4096 pointer words: the longest mask that is kept. */
	static const u8 code[] = { 1, 1, 0x81, 0xff, 0x1f, 0 };
	const u64 ptr_bytes = 4096 * 8;
	u32 type, failed = 0;

	(void)state;
	for (u64 n = 1;; n++) {
		struct core_state saved;
		int error;

		core_state_save(th, &saved);
		port_test_fail(n, true);
		error = request_type_program(th, ptr_bytes, ptr_bytes, code, sizeof(code), "t",
					     &type);
		port_test_fail(0, false);
		assert_int_equal(port_test.blocks, heap_blocks);
		if (!error)
			break;
		assert_int_equal(error, -ENOMEM);
		core_state_check(th, &saved);
		failed++;
	}
	/* The record's page, and the mask's. */
	assert_true(failed >= 2);
	assert_int_equal(type, 1);
	for (u64 at = 0; at < 4096 / 64; at++) {
		const u64 *word = test_heap_table(th, GCHEAP_REGION_TYPES,
						  record_at(1)->mask_offset + at * 8);

		assert_int_equal(*word, U64_MAX);
	}
	core_check(th);
}

/* Both where the mask is made with the type and where it is made for an object. */
static void test_a_program_that_a_fatal_signal_ends_changes_nothing(void **state)
{
	/* Single bits: as many steps as there are words. */
	static u8 code[2 * 8192 + 1];
	struct core_state saved;
	u32 type;

	(void)state;
	memset(code, 1, sizeof(code) - 1);
	code[2 * 4096] = 0;
	core_state_save(th, &saved);
	port_test_interrupt(1);
	assert_int_equal(request_type_program(th, 4096 * 8, 4096 * 8, code, 2 * 4096 + 1, "t",
					      &type), -EINTR);
	port_test_interrupt(0);
	core_state_check(th, &saved);
	assert_int_equal(port_test.blocks, heap_blocks);

	code[2 * 4096] = 1;
	assert_int_equal(request_type_program(th, 8192 * 8, 8192 * 8, code, sizeof(code), "t",
					      &type), 0);
	core_state_save(th, &saved);
	port_test_interrupt(2);
	assert_int_equal(type_mask_hold(&th->heap, type), -EINTR);
	port_test_interrupt(0);
	core_state_check(th, &saved);
	assert_int_equal(record_at(type)->mask_offset, 0);
	assert_int_equal(type_mask_hold(&th->heap, type), 0);
	assert_int_equal(*(u64 *)test_heap_table(th, GCHEAP_REGION_TYPES,
						 record_at(type)->mask_offset), U64_MAX);
	type_mask_drop(&th->heap, type);
	core_check(th);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name)	cmocka_unit_test_setup_teardown(name, setup, fixture_end)
		TEST(test_err_every_fault_of_a_program),
		TEST(test_err_name_that_is_not_utf8),
		TEST(test_err_no_room_for_another_program),
		TEST(test_a_program_without_memory_changes_nothing),
		TEST(test_a_program_that_a_fatal_signal_ends_changes_nothing),
	};

	return cmocka_run_group_tests_name("bad_gc_programs", tests, NULL, NULL);
}
