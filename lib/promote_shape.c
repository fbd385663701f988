// SPDX-License-Identifier: MIT
/*
 * Shapes: where an object of a user arena has pointers, as the bits of its chunk tell. An array
 * repeats its element's: the type is that of the shortest part that the whole repeats. Types that
 * were made are kept, as they are for the heap's life.
 */
#include "promote_shape.h"

#include <errno.h>
#include <string.h>

#include "error.h"
#include "library.h"
#include "memory.h"

#define SHAPES_MIN	64u

/**
 * struct bits - where an object has pointers
 * @words: one bit a word, from the lowest
 * @count: how many words the object has
 */
struct bits {
	uint64_t *words;
	uint32_t count;
};

static bool bit(const struct bits *bits, uint32_t number)
{
	return bits->words[number / 64] >> number % 64 & 1;
}

/* Of a chunk, from the word @first on. False: none is set. */
static bool bits_read(struct bits *bits, const char *chunk, uint32_t first)
{
	const uint64_t *groups = (const uint64_t *)(const void *)(chunk + ARENA_DATA_BYTES);
	uint64_t any = 0;
	uint32_t i;

	for (i = 0; i < bits->count; i += 64) {
		uint32_t word = first + i;
		uint64_t low = groups[word / 64 * 2] >> word % 64;
		/* Behind the last group there is room. */
		uint64_t high = groups[word / 64 * 2 + 2] << 1 << (63 - word % 64);
		uint64_t here = low | high;

		if (bits->count - i < 64)
			here &= (1ull << (bits->count - i)) - 1;
		bits->words[i / 64] = here;
		any |= here;
	}
	return any;
}

static bool repeats(const struct bits *bits, uint32_t period)
{
	uint32_t i;

	for (i = period; i < bits->count; i++) {
		if (bit(bits, i) != bit(bits, i - period))
			return false;
	}
	return true;
}

/* The shortest part that the whole repeats. */
static uint32_t period_of(const struct bits *bits)
{
	uint32_t period;

	for (period = 1; period <= bits->count / 2; period++) {
		if (bits->count % period == 0 && repeats(bits, period))
			return period;
	}
	return bits->count;
}

/* The first so many alone. */
static void bits_cut(struct bits *bits, uint32_t count)
{
	uint32_t end = (bits->count + 63) / 64, i;

	if (count % 64)
		bits->words[count / 64] &= (1ull << count % 64) - 1;
	for (i = (count + 63) / 64; i < end; i++)
		bits->words[i] = 0;
	bits->count = count;
}

/* ---- types that there are ------------------------------------------------------------- */

static bool type_is(const struct gcheap *heap, const struct gcheap_type_record *record,
		    const struct bits *bits)
{
	const uint64_t *mask = view_type_mask(&heap->view, record);
	uint32_t i;

	if (record->bytes != (uint64_t)bits->count * 8)
		return false;
	for (i = 0; i < bits->count; i++) {
		bool is = (uint64_t)i * 8 < record->ptr_bytes && mask[i / 64] >> i % 64 & 1;

		if (is != bit(bits, i))
			return false;
	}
	return true;
}

static uint64_t hash_of(const struct bits *bits)
{
	uint64_t hash = bits->count;
	uint32_t i;

	for (i = 0; i < bits->count; i += 64)
		hash = ((hash ^ bits->words[i / 64]) * 0x9e3779b97f4a7c15ull) ^ hash >> 29;
	return hash;
}

static gcheap_type type_find(struct gcheap *heap, const struct bits *bits, uint64_t hash)
{
	const struct arenas *arenas = &heap->arenas;
	gcheap_type type = 0;
	size_t i;

	arenas_lock(heap);
	for (i = 0; i < arenas->shape_count && !type; i++) {
		const struct arena_shape *shape = &arenas->shapes[i];

		if (shape->hash == hash &&
		    type_is(heap, view_type(&heap->view, shape->type), bits))
			type = shape->type;
	}
	arenas_unlock(heap);
	return type;
}

/* Another thread may have added the same meanwhile: the one is as good as the other. */
static void type_keep(struct gcheap *heap, uint64_t hash, gcheap_type type)
{
	struct arenas *arenas = &heap->arenas;

	arenas_lock(heap);
	if (arenas->shape_count == arenas->shape_room) {
		size_t room = arenas->shape_room ? 2 * arenas->shape_room : SHAPES_MIN;
		struct arena_shape *shapes = memory_grow(arenas->shapes, room * sizeof(*shapes));

		if (shapes) {
			arenas->shapes = shapes;
			arenas->shape_room = room;
		}
	}
	/* Else it is made anew the next time. */
	if (arenas->shape_count < arenas->shape_room)
		arenas->shapes[arenas->shape_count++] = (struct arena_shape) {
			.hash = hash, .type = type,
		};
	arenas_unlock(heap);
}

static int type_make(struct gcheap *heap, const struct bits *bits, gcheap_type *type)
{
	uint64_t hash = hash_of(bits);
	uint32_t last = bits->count;
	struct gcheap_type_desc desc = {
		.name = "promoted", .size = (size_t)last * 8, .align = last % 2 ? 8 : 16,
		/* Little-endian, as the processor. */
		.ptr_mask = (const uint8_t *)bits->words,
	};
	int error;

	*type = type_find(heap, bits, hash);
	if (*type)
		return 0;
	while (!bit(bits, last - 1))
		last--;
	desc.ptr_bytes = (size_t)last * 8;
	error = gcheap_type_register(heap, &desc, type);
	if (!error)
		type_keep(heap, hash, *type);
	return error;
}

int promote_shape(struct gcheap *heap, const char *start, uint32_t words, gcheap_type *type,
		  uint32_t *elements)
{
	const char *chunk = (const char *)((uintptr_t)start & ~(uintptr_t)(GCHEAP_CHUNK_BYTES - 1));
	struct bits bits = { .count = words };
	uint32_t period;
	int error = 0;

	*type = 0;
	*elements = 1;
	bits.words = memory_zalloc((words / 64 + 1) * sizeof(*bits.words));
	if (!bits.words)
		return error_set(-ENOMEM, "out of memory for the pointers of what is promoted");
	if (bits_read(&bits, chunk, (uint32_t)(start - chunk) / 8)) {
		period = period_of(&bits);
		*elements = words / period;
		bits_cut(&bits, period);
		error = type_make(heap, &bits, type);
	}
	memory_free(bits.words);
	return error;
}
