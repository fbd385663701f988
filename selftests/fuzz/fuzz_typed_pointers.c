// SPDX-License-Identifier: MIT
/*
 * libFuzzer target: the iterator over typed pointers, in all layouts, with and without
 * GCHEAP_RECORD_TYPES, beside a model of one byte a word. A type is registered by mask or
 * by GC program, an array of it is allocated, and the pointers of any range are visited:
 * with next(), with next_fast(), and with fast_forward() on the way; and those of the
 * whole slot, of which nothing behind the elements may be but zeros of the object.
 *
 * Input: a byte of choices, then in two bytes each: words of an element, pointer
 * words, elements, first byte of the range, its length, distance of the jumps; the
 * rest is the mask, repeated.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "inspect.h"
#include "layout/typed_pointers.h"
#include "library.h"

/* A false condition is a crash, which libFuzzer keeps the input of. */
#define CHECK(condition) do { if (!(condition)) abort(); } while (0)

#define ELEMENT_WORDS_MAX	5000u
#define ARRAY_WORDS_MAX		20000u
#define HEAP_INPUTS		256u	/* then a new heap, so that memory is bounded */

#define CHOICE_LAYOUT		3u	/* two bits */
#define CHOICE_PROGRAM		4u
#define CHOICE_JUMP		8u
#define CHOICE_ODD		16u	/* a range that begins and ends inside of words */
#define CHOICE_RECORD		32u	/* in a heap of GCHEAP_RECORD_TYPES */

struct input {
	const uint8_t *at;
	size_t left;
};

static uint32_t take(struct input *input, unsigned int bytes)
{
	uint32_t value = 0;

	while (bytes-- && input->left) {
		value = value << 8 | *input->at++;
		input->left--;
	}
	return value;
}

/* One heap a layout and kind, with its thread. */
struct fuzz_heap {
	struct gcheap *heap;
	struct gcheap_thread *thread;
	unsigned int inputs;
};

static struct fuzz_heap heaps[4][2];

static struct fuzz_heap *heap_ready(uint32_t choices)
{
	unsigned int layout = choices & CHOICE_LAYOUT;
	bool record = choices & CHOICE_RECORD;
	struct gcheap_config config = GCHEAP_CONFIG_INIT;
	struct fuzz_heap *fh = &heaps[layout][record];

	if (fh->heap && fh->inputs++ < HEAP_INPUTS)
		return fh;
	if (fh->heap) {
		CHECK(!gcheap_verify(fh->heap));
		gcheap_close(fh->heap);
	}
	config.backend = GCHEAP_BACKEND_LOCAL;
	config.layout = (enum gcheap_layout)layout;
	config.reserve_bytes = 1ull << 32;
	config.flags = record ? GCHEAP_RECORD_TYPES : 0;
	config.gc_percent = -1;
	/* The rest of a slot is looked at, too. */
	setenv("GCHEAP_GUARDS", "0", 1);
	CHECK(!gcheap_open(&config, &fh->heap));
	CHECK(!gcheap_thread_attach(fh->heap, &fh->thread));
	fh->inputs = 0;
	return fh;
}

/* The words of an element: whether each is a pointer. */
static uint8_t model[ELEMENT_WORDS_MAX];

/* The mask as literal instructions of a GC program. Return: its length. */
static size_t program_of(const uint8_t *mask, uint32_t words, uint8_t *program)
{
	size_t bytes = 0;
	uint32_t at, bit;

	for (at = 0; at < words; at += bit) {
		uint32_t n = words - at < 120 ? words - at : 120;

		program[bytes++] = (uint8_t)n;
		memset(program + bytes, 0, (n + 7) / 8);
		for (bit = 0; bit < n; bit++)
			program[bytes + bit / 8] |=
				(uint8_t)((mask[(at + bit) / 8] >> (at + bit) % 8 & 1) << bit % 8);
		bytes += (n + 7) / 8;
	}
	program[bytes++] = 0;
	return bytes;
}

static gcheap_type type_make(struct gcheap *heap, struct input *input, uint32_t words,
			     uint32_t ptr_words, bool by_program)
{
	static uint8_t mask[ELEMENT_WORDS_MAX / 8 + 1];
	static uint8_t program[ELEMENT_WORDS_MAX / 4];
	struct gcheap_type_desc desc = {
		.name = "fuzz", .size = words * 8, .align = 8, .ptr_bytes = ptr_words * 8,
	};
	gcheap_type type;
	uint32_t word;

	memset(mask, 0, sizeof(mask));
	memset(model, 0, sizeof(model));
	for (word = 0; word < ptr_words; word++) {
		uint8_t byte = input->left ? input->at[word / 8 % input->left] : 0x5a;

		model[word] = byte >> word % 8 & 1;
		mask[word / 8] |= (uint8_t)(model[word] << word % 8);
	}
	if (ptr_words && by_program) {
		desc.gc_prog = program;
		desc.gc_prog_len = program_of(mask, ptr_words, program);
	} else if (ptr_words) {
		desc.ptr_mask = mask;
	}
	CHECK(!gcheap_type_register(heap, &desc, &type));
	return type;
}

/* The first pointer of the array's that lies wholly in [@from, @end), by the model. */
static uint64_t model_next(uint64_t array, uint64_t from, uint64_t end, uint32_t words)
{
	uint64_t at = array + ((from - array + 7) & ~7ull);

	for (; at + 8 <= end; at += 8) {
		if (model[(at - array) / 8 % words])
			return at;
	}
	return 0;
}

static void check_range(const struct view *view, const struct slot *slot, uint64_t array,
			uint32_t words, uint64_t start, uint64_t end, uint64_t jump)
{
	struct typed_pointers tp = typed_pointers_of(view, slot, start, end);
	uint64_t expected = model_next(array, start, end, words);
	uint64_t got;

	while ((got = typed_pointers_next(&tp))) {
		CHECK(got == expected);
		expected = got + 8;
		if (jump) {
			expected += jump;
			typed_pointers_fast_forward(&tp, expected);
		}
		expected = expected < end ? model_next(array, expected, end, words) : 0;
	}
	CHECK(!expected);

	/* The fast step is what the current mask has left, and no more. */
	tp = typed_pointers_of(view, slot, start, end);
	expected = model_next(array, start, end, words);
	do {
		while ((got = typed_pointers_next_fast(&tp))) {
			CHECK(got == expected);
			expected = model_next(array, got + 8, end, words);
		}
	} while (typed_pointers_refill(&tp));
	CHECK(!expected);
}

/* All that is visited in a slot: the pointers of its elements, and zeros of the object. */
static void check_slot(const struct view *view, const struct slot *slot,
		       const struct gcheap_object *object, uint32_t words, uint64_t bytes)
{
	uint64_t array = (uintptr_t)object->base, end = array + bytes;
	uint64_t slot_end = (uintptr_t)address_pointer(view, slot->offset + slot->bytes);
	struct typed_pointers tp = typed_pointers_of(view, slot, array, slot_end);
	uint64_t expected = model_next(array, array, end, words);
	uint64_t got;

	while ((got = typed_pointers_next(&tp))) {
		if (got < end) {
			CHECK(got == expected);
			expected = model_next(array, got + 8, end, words);
			continue;
		}
		CHECK(got + 8 <= array + object->size);
		CHECK(!*(const uint64_t *)(uintptr_t)got);
	}
	CHECK(!expected);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	uint32_t choices = take(&input, 1);
	uint32_t words = 1 + take(&input, 2) % ELEMENT_WORDS_MAX;
	uint32_t ptr_words = take(&input, 2) % (words + 1);
	uint32_t n = 1 + take(&input, 2) % (ARRAY_WORDS_MAX / words);
	uint64_t bytes = (uint64_t)n * words * 8;
	uint64_t from = take(&input, 2) * 8ull % bytes;
	uint64_t length = 1 + take(&input, 2) * 8ull % (bytes - from);
	uint64_t jump = choices & CHOICE_JUMP ? take(&input, 2) : 0;
	struct fuzz_heap *fh = heap_ready(choices);
	const struct view *view = &fh->heap->view;
	struct gcheap_object found;
	struct slot slot;
	gcheap_type type;
	uint64_t array;
	void *object;

	type = type_make(fh->heap, &input, words, ptr_words, choices & CHOICE_PROGRAM);
	object = gcheap_new_array(fh->thread, type, n);
	CHECK(object);
	CHECK(inspect_slot(fh->heap, address_offset(view, object), &slot));
	CHECK(!gcheap_find(fh->heap, object, &found));
	/* A word without pointers is a cell of a slot, but where types are recorded. */
	if (bytes > 8 || ptr_words || choices & CHOICE_RECORD)
		CHECK(found.base == object && found.size >= bytes);
	else
		CHECK(found.base == (void *)((uintptr_t)object & ~15ul) && found.size == 16);
	CHECK(!(choices & CHOICE_RECORD) || found.type == type);
	array = (uintptr_t)object;
	if (choices & CHOICE_ODD)
		from += from + 8 <= bytes ? jump % 8 : 0;
	else
		length = (length + 7) & ~7ull;
	if (length > bytes - from)
		length = bytes - from;
	check_range(view, &slot, array, words, array + from, array + from + length, jump);
	check_slot(view, &slot, &found, words, bytes);
	return 0;
}
