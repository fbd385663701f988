// SPDX-License-Identifier: MIT
/*
 * GC programs: what they emit, and that a type made by a program is the one made by
 * the mask. What is refused is test_bad_gc_programs's.
 */
#include <time.h>

#include "core_check.h"
#include "core_test.h"
#include "fixture.h"
#include "program_writer.h"
#include "request.h"
#include "type_mask.h"

static int setup(void **state)
{
	(void)state;
	return fixture_begin(GCHEAP_LAYOUT_SPAN, GCHEAP_RESERVE_MIN, 0);
}

/* Fails the test when types 1 and 2 differ, but for where their masks and names are. */
static void assert_same_types(u32 first, u32 second)
{
	const struct gcheap_type_record *a = record_at(first), *b = record_at(second);

	assert_int_equal(a->bytes, b->bytes);
	assert_int_equal(a->ptr_bytes, b->ptr_bytes);
	assert_int_equal(a->mask_word, b->mask_word);
	assert_int_equal(a->align, b->align);
	assert_int_equal(a->flags, b->flags);
	/* As the first objects of both would. */
	assert_int_equal(type_mask_hold(&th->heap, first), 0);
	assert_int_equal(type_mask_hold(&th->heap, second), 0);
	assert_int_equal(!a->mask_offset, !b->mask_offset);
	for (u64 at = 0; a->mask_offset && at < DIV_ROUND_UP(a->ptr_bytes, 512); at++) {
		const u64 *x = test_heap_table(th, GCHEAP_REGION_TYPES, a->mask_offset + at * 8);
		const u64 *y = test_heap_table(th, GCHEAP_REGION_TYPES, b->mask_offset + at * 8);

		assert_int_equal(*x, *y);
	}
	type_mask_drop(&th->heap, first);
	type_mask_drop(&th->heap, second);
}

/* Registers a type both ways, and compares. */
static void assert_type_as_by_mask(const struct writer *w, const u8 *bits, u64 words)
{
	u8 *mask = calloc(1, words / 8 + 1);
	u32 by_mask, by_program;

	for (u64 i = 0; i < words; i++)
		mask[i / 8] |= (u8)(bits[i] << i % 8);
	assert_int_equal(request_type_mask(th, words * 8 + 16, words * 8, 8, mask, "mask",
					   &by_mask), 0);
	assert_int_equal(request_type_program(th, words * 8 + 16, words * 8, w->code, w->bytes,
					      "program", &by_program), 0);
	assert_same_types(by_mask, by_program);
	free(mask);
}

/* ---- what programs emit ------------------------------------------------------ */

/*
 * Programs, and the bits they emit: 'p' a pointer, 's' a scalar; a number after
 * brackets repeats what they hold, as in Go's own tables.
 */
static const struct {
	const char *bits;
	u8 code[24];
	u32 bytes;
} table[] = {
#define PROGRAM(text, ...)	{ text, { __VA_ARGS__ }, sizeof((u8[]){ __VA_ARGS__ }) }
	PROGRAM("p", 1, 1, 0),
	PROGRAM("s", 1, 0, 0),
	PROGRAM("ps", 2, 1, 0),
	PROGRAM("pspsspps", 8, 0x65, 0),
	PROGRAM("psssssssp", 9, 0x01, 0x01, 0),
	/* The same bits, one by one. */
	PROGRAM("psp", 1, 1, 1, 0, 1, 1, 0),
	/* Arrays of pointers: [2]*T, [64]*T, [65]*T, [1000]*T, [10000]*T. */
	PROGRAM("(p)2", 1, 1, 0x81, 1, 0),
	PROGRAM("(p)63", 1, 1, 0x81, 62, 0),
	PROGRAM("(p)64", 1, 1, 0x81, 63, 0),
	PROGRAM("(p)65", 1, 1, 0x81, 64, 0),
	PROGRAM("(p)1000", 1, 1, 0x81, 0xe7, 0x07, 0),
	PROGRAM("(p)10000", 1, 1, 0x81, 0x8f, 0x4e, 0),
	/* Arrays of structs with a scalar tail, which the program covers. */
	PROGRAM("(ps)2", 2, 1, 0x82, 1, 0),
	PROGRAM("(pss)21", 3, 1, 0x83, 20, 0),
	PROGRAM("(pss)22", 3, 1, 0x83, 21, 0),
	PROGRAM("(spsss)2000", 5, 2, 0x85, 0xcf, 0x0f, 0),
	/* The last element without its tail, as Go's ptrdata ends. */
	PROGRAM("(pss)99p", 3, 1, 0x83, 98, 1, 1, 0),
	/* A pointer, a long scalar part, a pointer. */
	PROGRAM("p(s)9998p", 1, 1, 1, 0, 0x81, 0x8d, 0x4e, 1, 1, 0),
	/* Nested: [100]struct { a [10]*T; b [5]uintptr }, by a wide repeat of 15 words. */
	PROGRAM("((p)10(s)5)100", 1, 1, 0x81, 9, 1, 0, 0x81, 4, 0x80, 15, 99, 0),
	/* [3][4][5]struct { p, s, p }: repeats of what repeats have emitted. */
	PROGRAM("(psp)60", 3, 5, 0x83, 4, 0x8f, 3, 0xbc, 2, 0),
	/* Elements of 64, 65, 127, 128 and 200 words. */
	PROGRAM("((p)63s)7", 1, 1, 0x81, 62, 1, 0, 0xc0, 6, 0),
	PROGRAM("((p)64s)7", 1, 1, 0x81, 63, 1, 0, 0xc1, 6, 0),
	PROGRAM("((p)126s)7", 1, 1, 0x81, 125, 1, 0, 0xff, 6, 0),
	PROGRAM("((p)127s)7", 1, 1, 0x81, 126, 1, 0, 0x80, 0x80, 0x01, 6, 0),
	PROGRAM("((p)100(s)100)5", 1, 1, 0x81, 99, 1, 0, 0x81, 99, 0x80, 0xc8, 0x01, 4, 0),
	/* A repeat of the end only, of some of the end, and none at all. */
	PROGRAM("spss(ps)3", 5, 0x12, 1, 0, 0x82, 2, 0),
	PROGRAM("pp", 2, 3, 0x82, 0, 0),
	PROGRAM("pp", 2, 3, 0x80, 2, 0, 0),
	/* The longest literal. */
	PROGRAM("(p)127", 127, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
		255, 255, 127, 0),
#undef PROGRAM
};

/* Writes what @text stands for, up to @end or a closing bracket. */
static const char *expand(const char *text, u8 *bits, u64 *count)
{
	while (*text && *text != ')') {
		u64 start = *count, length, times;

		if (*text != '(') {
			bits[(*count)++] = *text++ == 'p';
			continue;
		}
		text = expand(text + 1, bits, count) + 1;
		times = strtoull(text, (char **)&text, 10);
		length = *count - start;
		for (u64 i = length; i < length * times; i++)
			bits[start + i] = bits[start + i - length];
		*count = start + length * times;
	}
	return text;
}

static void test_programs_emit_what_the_table_says(void **state)
{
	static u8 bits[20000];

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(table); i++) {
		struct writer *w = calloc(1, sizeof(*w));
		u64 count = 0;

		expand(table[i].bits, bits, &count);
		program_assert_emits(table[i].code, table[i].bytes, bits, count);
		memcpy(w->code, table[i].code, table[i].bytes);
		w->bytes = table[i].bytes;
		assert_type_as_by_mask(w, bits, count);
		free(w);
	}
	core_check(th);
}

#define LEAD_STEP	(64 / (1 + RANDOM_CASES(63)))

/* Every period at every place in a word, in the kernel at some, and every length of the end. */
static void test_repeats_of_any_period_start_anywhere(void **state)
{
	struct writer *w = calloc(1, sizeof(*w));
	static u8 bits[2000];

	(void)state;
	random_seed();
	for (u32 period = 1; period <= 200; period++) {
		for (u32 lead = period % LEAD_STEP; lead < 64; lead += LEAD_STEP) {
			u32 times = 1 + (u32)random_below(400 / period + 1), count = 0;

			w->bytes = 0;
			for (u32 left = lead + period; left;) {
				u32 part = 1 + (u32)random_below(min_t(u32, left, 127));

				for (u32 i = 0; i < part; i++)
					bits[count + i] = (u8)random_below(2);
				program_put_literal(w, bits + count, part);
				count += part;
				left -= part;
			}
			program_put_repeat(w, period, times, random_one_in(2));
			for (u32 i = 0; i < period * times; i++, count++)
				bits[count] = bits[count - period];
			program_put(w, 0);
			program_assert_emits(w->code, w->bytes, bits, count);
		}
	}
	free(w);
}

static void test_the_longest_mask_is_unrolled_in_no_time(void **state)
{
	const u64 words = (u64)TYPE_MASK_BYTES_MAX * 8;
	static const u32 periods[] = { 1, 2, 3, 31, 32, 33, 63, 64, 65, 100, 127, 1000, 65537 };
	struct writer *w = calloc(1, sizeof(*w));
	u64 *mask = malloc(TYPE_MASK_BYTES_MAX);
	static u8 bits[127];

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(periods); i++) {
		struct gc_program program = { .words = words };
		u64 rest = words % periods[i], times = words / periods[i];
		struct timespec start, end;
		long long us;

		w->bytes = 0;
		bits[0] = 1;
		program_put_literal(w, bits, 1);
		bits[0] = 0;
		if (periods[i] > 1)
			program_put_literal(w, bits, 1);
		if (periods[i] > 2)
			program_put_repeat(w, 1, periods[i] - 2, false);
		program_put_repeat(w, periods[i], times - 1, true);
		if (rest)
			program_put_repeat(w, rest, 1, true);
		program_put(w, 0);
		memset(mask, 0, TYPE_MASK_BYTES_MAX);
		program.code = w->code;
		program.bytes = w->bytes;
		clock_gettime(CLOCK_MONOTONIC, &start);
		assert_int_equal(gc_program_unroll(&program, mask, 1, NULL), 0);
		clock_gettime(CLOCK_MONOTONIC, &end);
		for (u64 bit = 0; bit < words - rest; bit++) {
			if ((mask[bit / 64] >> bit % 64 & 1) != !(bit % periods[i]))
				fail_msg("period %u: bit %llu is wrong", periods[i], bit);
		}
		us = (end.tv_sec - start.tv_sec) * 1000000ll +
		     (end.tv_nsec - start.tv_nsec) / 1000;
		printf("# period %u: %llu bits in %lld us\n", periods[i], words, us);
		/* Sanitizers, and a busy machine: a hundred times what it takes. */
		assert_true(us < 1000000);
	}
	free(mask);
	free(w);
}

/* As long as a program can be, each instruction as small as it can be. */
static void test_the_longest_programs_end(void **state)
{
	struct writer *w = calloc(1, sizeof(*w));
	u8 *bits = calloc(1, GCHEAP_GC_PROG_MAX);
	u32 words = 0;

	(void)state;
	/* Single bits. */
	for (; w->bytes + 2 < GCHEAP_GC_PROG_MAX; words++) {
		bits[words] = words % 3 == 0;
		program_put_literal(w, bits + words, 1);
	}
	program_put(w, 0);
	program_assert_emits(w->code, w->bytes, bits, words);
	assert_type_as_by_mask(w, bits, words);

	/* Repeats that emit nothing. */
	w->bytes = 0;
	program_put_literal(w, bits, 1);
	while (w->bytes + 2 < GCHEAP_GC_PROG_MAX)
		program_put_repeat(w, 1, 0, false);
	program_put(w, 0);
	program_assert_emits(w->code, w->bytes, bits, 1);

	/* All literals, never an end. */
	memset(w->code, 1, GCHEAP_GC_PROG_MAX);
	assert_int_equal(program_check(w->code, GCHEAP_GC_PROG_MAX, GCHEAP_GC_PROG_MAX / 2, NULL),
			 GC_PROGRAM_TRUNCATED);
	free(bits);
	free(w);
}

/* The first word of a mask that is not made yet, from programs of all kinds. */
static void test_the_first_word_is_there_before_the_mask(void **state)
{
	static const struct {
		u8 code[24];
		u32 bytes;
		u64 words;
		u64 first;
	} cases[] = {
		/* One pointer, then scalars, in one repeat and another. */
		{ { 2, 1, 0x81, 0xfe, 0x3f, 0 }, 6, 8192, 1 },
		{ { 3, 5, 0x83, 0x84, 0x20, 0 }, 6, 12303, 0xdb6db6db6db6db6dull },
		/* A literal that goes over the word's end. */
		{ { 40, 0xff, 0, 0xff, 0, 0xff, 40, 0x0f, 0, 0, 0, 0x80, 0x81, 0xd0, 0x5d, 0 }, 16,
		  80 + 11984, 0xfff00ff00ffull },
		/* Repeats of nothing on the way. */
		{ { 1, 1, 0x81, 0, 0x81, 0, 1, 0, 0x82, 0x80, 0x40, 0 }, 12, 16386,
		  0x5555555555555555ull },
	};

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
		u64 bytes = cases[i].words * 8;
		u32 type;

		assert_int_equal(request_type_program(th, bytes, bytes, cases[i].code,
						      cases[i].bytes, "t", &type), 0);
		assert_int_equal(record_at(type)->mask_word, cases[i].first);
		assert_int_equal(type_mask_hold(&th->heap, type), 0);
		assert_int_equal(*(u64 *)test_heap_table(th, GCHEAP_REGION_TYPES,
							 record_at(type)->mask_offset),
				 cases[i].first);
		type_mask_drop(&th->heap, type);
	}
}

/* ---- random masks ------------------------------------------------------------ */

/* A mask of runs of repeated patterns, patterns of patterns too. Return: its words. */
static u32 random_mask(u8 *bits, u32 most)
{
	u32 words = (u32)random_length(most), at = 0;

	while (at < words) {
		u32 left = words - at;
		u32 period = (u32)random_length(min_t(u32, left, 300));
		u32 run = (u32)random_length(left);

		if (at && random_one_in(2)) {
			/* Again what there is. */
			period = (u32)random_length(at);
			for (u32 i = 0; i < run; i++, at++)
				bits[at] = bits[at - period];
			continue;
		}
		for (u32 i = 0; i < run; i++, at++)
			bits[at] = i < period ? (u8)random_below(2) : bits[at - period];
	}
	return words;
}

/* Writes any program for the bits: literals, and repeats where there are some. */
static void encode(struct writer *w, const u8 *bits, u32 words)
{
	u32 at = 0;

	w->bytes = 0;
	while (at < words) {
		u32 period, same = 0, part;

		if (at && !random_one_in(4)) {
			period = (u32)random_length(at);
			while (at + same < words && bits[at + same] == bits[at + same - period])
				same++;
			/* Good ones are taken; a repeat of no times now and then. */
			if (same / period > 0 || random_one_in(50)) {
				u32 times = same / period;

				if (random_one_in(4))
					times = (u32)random_below(times + 1);
				program_put_repeat(w, period, times, random_one_in(4));
				at += times * period;
				continue;
			}
		}
		part = (u32)random_length(min_t(u32, words - at, 127));
		program_put_literal(w, bits + at, part);
		at += part;
	}
	program_put(w, 0);
}

#define CASES	RANDOM_CASES(250000)

static void test_random_masks_are_decoded_as_encoded(void **state)
{
	struct writer *w = calloc(1, sizeof(*w));
	static u8 bits[30000];
	u32 by_type = 0;

	(void)state;
	random_seed();
	for (u32 i = 0; i < CASES; i++) {
		u32 words = random_mask(bits, random_one_in(1000) ? 20000 : 400);

		encode(w, bits, words);
		if (w->bytes > GCHEAP_GC_PROG_MAX)
			continue;
		program_assert_emits(w->code, w->bytes, bits, words);
		/* One bit more or fewer is another type's. */
		assert_int_equal(program_check(w->code, w->bytes, words + 1, NULL), GC_PROGRAM_SHORT);
		assert_int_equal(program_check(w->code, w->bytes, words - 1, NULL), GC_PROGRAM_LONG);
		/* And no part of it is a program. */
		assert_int_equal(program_check(w->code, (u32)random_below(w->bytes), words, NULL),
				 GC_PROGRAM_TRUNCATED);
		if (i % 64 == 0 && th->heap.types.data_end < GCHEAP_TYPES_MASKS - 65536) {
			assert_type_as_by_mask(w, bits, words);
			by_type++;
		}
	}
	printf("# %u masks, %u of them as types\n", CASES, by_type);
	core_check(th);
	free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name)	cmocka_unit_test_setup_teardown(name, setup, fixture_end)
		TEST(test_programs_emit_what_the_table_says),
		TEST(test_repeats_of_any_period_start_anywhere),
		TEST(test_the_longest_mask_is_unrolled_in_no_time),
		TEST(test_the_longest_programs_end),
		TEST(test_the_first_word_is_there_before_the_mask),
		TEST(test_random_masks_are_decoded_as_encoded),
	};

	return cmocka_run_group_tests_name("gc_programs", tests, NULL, NULL);
}
