// SPDX-License-Identifier: MIT
/*
 * libFuzzer target: the interpreter of GC programs, beside one that is as naive
 * as the encoding's description.
 *
 * Input: two bytes, the number of words of the type (0: as many as the naive
 * interpreter emits); the program.
 */
#include <stdlib.h>

#include "gc_program.h"

#define WORDS_MAX	65535u

/* A false condition is a crash, which libFuzzer keeps the input of. */
#define CHECK(condition) do { if (!(condition)) abort(); } while (0)

/* ---- the naive interpreter: a byte for each bit ----------------------------- */

struct naive {
	const u8 *code;
	size_t bytes;
	size_t at;
	u8 bits[WORDS_MAX];
	u32 emitted;
};

static int naive_byte(struct naive *naive)
{
	return naive->at < naive->bytes ? naive->code[naive->at++] : -1;
}

static bool naive_emit(struct naive *naive, u8 bit)
{
	if (naive->emitted == WORDS_MAX)
		return false;
	naive->bits[naive->emitted++] = bit;
	return true;
}

/* One bit of the number after the other. */
static bool naive_varint(struct naive *naive, u64 *value)
{
	int byte, place = 0;

	*value = 0;
	do {
		byte = naive_byte(naive);
		if (byte < 0)
			return false;
		for (int bit = 0; bit < 7; bit++, place++) {
			if (!(byte >> bit & 1))
				continue;
			if (place >= 64)
				return false;
			*value |= 1ull << place;
		}
	} while (byte & 0x80);
	/* Overlong: the last of several bytes is zero. */
	return byte || place == 7;
}

static bool naive_repeat(struct naive *naive, u64 n)
{
	u64 times;

	if (!n && !naive_varint(naive, &n))
		return false;
	if (!naive_varint(naive, &times) || !n || n > naive->emitted)
		return false;
	for (u64 i = 0; i < times; i++) {
		for (u64 bit = 0; bit < n; bit++) {
			if (!naive_emit(naive, naive->bits[naive->emitted - n]))
				return false;
		}
	}
	return true;
}

static bool naive_literal(struct naive *naive, int n)
{
	int byte = 0;

	for (int bit = 0; bit < (n + 7) / 8 * 8; bit++) {
		if (bit % 8 == 0)
			byte = naive_byte(naive);
		if (byte < 0)
			return false;
		if (bit < n ? !naive_emit(naive, byte >> bit % 8 & 1) : byte >> bit % 8 & 1)
			return false;
	}
	return true;
}

/* Whether the program is in order, and emits WORDS_MAX bits at most. */
static bool naive_run(struct naive *naive)
{
	for (;;) {
		int first = naive_byte(naive);

		if (first < 0)
			return false;
		if (!first)
			return naive->at == naive->bytes;
		if (first & 0x80 ? !naive_repeat(naive, first & 0x7f) : !naive_literal(naive, first))
			return false;
	}
}

/* ---- the comparison ---------------------------------------------------------- */

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static struct naive naive;
	struct gc_program start = { 0 }, program;
	size_t nwords;
	bool in_order;
	u64 *mask;
	int error;

	if (size < 2 || size - 2 > GCHEAP_GC_PROG_MAX)
		return 0;
	naive.code = data + 2;
	naive.bytes = size - 2;
	naive.at = 0;
	naive.emitted = 0;
	in_order = naive_run(&naive);
	start.words = data[0] | data[1] << 8;
	if (!start.words)
		start.words = naive.emitted;
	start.code = naive.code;
	start.bytes = (u32)naive.bytes;

	program = start;
	in_order &= naive.emitted == start.words;
	CHECK(!gc_program_check(&program) == in_order);
	CHECK(program.at <= program.bytes && program.emitted <= program.words);

	/* Of just the right length: the sanitizer sees its end. */
	nwords = DIV_ROUND_UP(start.words, 64);
	mask = calloc(nwords, 8);
	program = start;
	error = gc_program_unroll(&program, mask, 1, NULL);
	CHECK(error == (in_order ? 0 : -EINVAL));
	for (u64 i = 0; in_order && i < nwords * 64; i++)
		CHECK((mask[i / 64] >> i % 64 & 1) == (i < start.words ? naive.bits[i] : 0));
	free(mask);
	return 0;
}
