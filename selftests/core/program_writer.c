// SPDX-License-Identifier: MIT
/* GC programs that tests write; see program_writer.h. */
#include "core_test.h"
#include "program_writer.h"

void program_put(struct writer *w, u8 byte)
{
	assert_in_range(w->bytes, 0, sizeof(w->code) - 1);
	w->code[w->bytes++] = byte;
}

static void put_varint(struct writer *w, u64 value)
{
	for (; value >= 0x80; value >>= 7)
		program_put(w, (u8)(value | 0x80));
	program_put(w, (u8)value);
}

void program_put_literal(struct writer *w, const u8 *bits, u32 count)
{
	program_put(w, (u8)count);
	for (u32 i = 0; i < count; i += 8) {
		u8 byte = 0;

		for (u32 bit = i; bit < count && bit < i + 8; bit++)
			byte |= (u8)(bits[bit] << bit % 8);
		program_put(w, byte);
	}
}

void program_put_repeat(struct writer *w, u64 n, u64 times, bool wide)
{
	if (n < 0x80 && !wide) {
		program_put(w, (u8)(0x80 | n));
	} else {
		program_put(w, 0x80);
		put_varint(w, n);
	}
	put_varint(w, times);
}

enum gc_program_error program_check(const u8 *code, u32 bytes, u64 words, u32 *at)
{
	struct gc_program program = { .words = words, .bytes = bytes };
	u8 *copy = malloc(bytes);
	enum gc_program_error error;

	memcpy(copy, code, bytes);
	program.code = copy;
	error = gc_program_check(&program);
	assert_true(program.at <= bytes);
	assert_true(program.emitted <= words);
	if (at)
		*at = program.at;
	free(copy);
	return error;
}

void program_assert_emits(const u8 *code, u32 bytes, const u8 *bits, u64 words)
{
	struct gc_program program = { .words = words, .bytes = bytes };
	u8 *copy = malloc(bytes);
	u64 nwords = DIV_ROUND_UP(words, 64);
	u64 *mask = calloc(nwords, 8);

	assert_int_equal(program_check(code, bytes, words, NULL), GC_PROGRAM_OK);
	memcpy(copy, code, bytes);
	program.code = copy;
	assert_int_equal(gc_program_unroll(&program, mask, 1, NULL), 0);
	assert_int_equal(program.emitted, words);
	for (u64 i = 0; i < nwords * 64; i++) {
		if ((mask[i / 64] >> i % 64 & 1) != (i < words ? bits[i] : 0))
			fail_msg("bit %llu of %llu is wrong", i, words);
	}
	free(mask);
	free(copy);
}
