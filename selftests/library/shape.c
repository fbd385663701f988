// SPDX-License-Identifier: MIT
/*
 * Shapes: registering them, and comparing arrays of them with the model.
 */
#include "shape.h"

#include <stdio.h>
#include <time.h>

#define LITERAL_BITS	127u	/* the most that one instruction emits */
#define REPEAT_BITS	64u	/* the most that is looked back for a repeat */

uint64_t seed_for_this_run(void)
{
	const char *seed = getenv("GCHEAP_SEED");

	return seed ? strtoull(seed, NULL, 0) : (uint64_t)time(NULL);
}

unsigned long number_for_this_run(const char *name, unsigned long otherwise)
{
	const char *value = getenv(name);

	return value ? strtoul(value, NULL, 0) : otherwise;
}

/* ---- GC programs -------------------------------------------------------------- */

struct program {
	uint8_t *code;
	size_t bytes;
};

static void put_varint(struct program *program, size_t n)
{
	for (; n >= 128; n /= 128)
		program->code[program->bytes++] = (uint8_t)(n | 128);
	program->code[program->bytes++] = (uint8_t)n;
}

static void put_literal(struct program *program, const uint8_t *pointer, size_t n)
{
	uint8_t *bits = program->code + program->bytes + 1;
	size_t i;

	if (!n)
		return;
	program->code[program->bytes] = (uint8_t)n;
	memset(bits, 0, (n + 7) / 8);
	for (i = 0; i < n; i++)
		bits[i / 8] |= (uint8_t)(pointer[i] << i % 8);
	program->bytes += 1 + (n + 7) / 8;
}

static void put_repeat(struct program *program, size_t n, size_t count)
{
	/* Short ones in both of their encodings. */
	if (count % 3) {
		program->code[program->bytes++] = (uint8_t)(128 + n);
	} else {
		program->code[program->bytes++] = 128;
		put_varint(program, n);
	}
	put_varint(program, count);
}

/* How often the @n bits before @pointer stand there again. */
static size_t repeats(const uint8_t *pointer, size_t left, size_t n)
{
	size_t length = 0;

	while (length < left && pointer[length] == pointer[(ptrdiff_t)length - (ptrdiff_t)n])
		length++;
	return length / n;
}

/* The length that repeats over the most bits, four at least; 0: none. */
static size_t best_repeat(const uint8_t *pointer, size_t done, size_t left, size_t *count)
{
	size_t n, best = 0;

	*count = 0;
	for (n = 1; n <= REPEAT_BITS && n <= done; n++) {
		size_t found = repeats(pointer, left, n);

		if (n * found > best * *count && n * found >= 4) {
			best = n;
			*count = found;
		}
	}
	return best;
}

/* The caller frees the code. */
static struct program program_of(const uint8_t *pointer, size_t words)
{
	struct program program = { .code = malloc(words * 2 + 16) };
	size_t literal = 0, at = 0;

	assert_non_null(program.code);
	while (at < words) {
		size_t count, n = best_repeat(pointer + at, at, words - at, &count);

		/* What is repeated must have been emitted. */
		if (n) {
			put_literal(&program, pointer + at - literal, literal);
			put_repeat(&program, n, count);
			at += n * count;
			literal = 0;
			continue;
		}
		at++;
		literal++;
		if (literal == LITERAL_BITS) {
			put_literal(&program, pointer + at - literal, literal);
			literal = 0;
		}
	}
	put_literal(&program, pointer + at - literal, literal);
	program.code[program.bytes++] = 0;
	return program;
}

/* ---- types -------------------------------------------------------------------- */

void shape_register(struct gcheap *heap, struct shape *shape, enum shape_form form)
{
	uint8_t *mask = calloc(shape->ptr_words / 8 + 1, 1);
	struct program program = { 0 };
	struct gcheap_type_desc desc = {
		.name = "shape",
		.size = shape->words * 8,
		.align = shape->align,
		.ptr_bytes = shape->ptr_words * 8,
	};
	size_t w;

	assert_non_null(mask);
	if (form == SHAPE_PROGRAM && shape->ptr_words) {
		program = program_of(shape->pointer, shape->ptr_words);
		desc.gc_prog = program.code;
		desc.gc_prog_len = program.bytes;
	} else if (shape->ptr_words) {
		for (w = 0; w < shape->ptr_words; w++)
			mask[w / 8] |= (uint8_t)(shape->pointer[w] << w % 8);
		desc.ptr_mask = mask;
	}
	if (gcheap_type_register(heap, &desc, &shape->type))
		fail_msg("%zu words, %zu of them pointers: %s", shape->words, shape->ptr_words,
			 gcheap_error());
	free(program.code);
	free(mask);
}

size_t random_length(uint64_t *random, size_t last)
{
	unsigned int bits = 1 + (unsigned int)(random_next(random) %
					       (64 - (unsigned int)__builtin_clzll(last)));
	size_t length = 1 + random_next(random) % ((1ull << bits) - 1);

	return length < last ? length : last;
}

void shape_random(uint64_t *random, size_t words_max, struct shape *shape)
{
	uint64_t density = random_next(random) % 4;
	size_t w;

	shape->align = 8ull << (random_next(random) % 4 ? 0 : random_next(random) % 5);
	shape->words = random_length(random, words_max);
	shape->words += -shape->words & (shape->align / 8 - 1);
	shape->ptr_words = random_next(random) % 4 ? random_length(random, shape->words) :
			   shape->words;
	if (random_next(random) % 16 == 0)
		shape->ptr_words = 0;
	shape->pointer = calloc(shape->words, 1);
	assert_non_null(shape->pointer);
	for (w = 0; w < shape->ptr_words; w++)
		shape->pointer[w] = !density || random_next(random) % (density * density * 4) == 0;
}

/* ---- comparing ---------------------------------------------------------------- */

/* Says which of @n words that should be as the model's are not. */
static void differ(const uint8_t *mask, const uint8_t *expected, size_t n, size_t first,
		   const struct shape *shape)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (mask[i] != expected[i])
			fail_msg("elements of %zu words: word %zu is %u, not %u", shape->words,
				 first + i, mask[i], expected[i]);
	}
}

void shape_check_range(struct gcheap *heap, const struct shape *shape, const uint64_t *object,
		       size_t n, size_t from, size_t to)
{
	static uint8_t *mask;
	static size_t room;
	size_t words = shape->words * n;
	size_t end = to < words ? to : words;
	size_t last, w, run, in;
	int found;

	if (room < to - from) {
		room = to - from;
		free(mask);
		mask = malloc(room);
		assert_non_null(mask);
	}
	memset(mask, 0xee, to - from);
	found = gcheap_pointer_mask(heap, object + from, mask, to - from);
	if (found < 0)
		fail_msg("words %zu to %zu of %zu: %s", from, to, words, gcheap_error());
	in = from % shape->words;
	for (w = from; w < end; w += run) {
		run = shape->words - in < end - w ? shape->words - in : end - w;
		if (memcmp(mask + (w - from), shape->pointer + in, run))
			differ(mask + (w - from), shape->pointer + in, run, w, shape);
		in = 0;
	}
	for (last = end - from; last && !mask[last - 1]; last--)
		;
	if (to <= words && (size_t)found != last)
		fail_msg("%zu elements of %zu words, words %zu to %zu: %d words up to the last "
			 "pointer, not %zu", n, shape->words, from, to, found, last);
}
