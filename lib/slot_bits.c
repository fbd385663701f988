// SPDX-License-Identifier: MIT
/*
 * From granule bits to slot bits and back.
 *
 * A slot of 2^k granules, k up to 3, has every 2^k-th bit: a few shifts compress a word
 * of the table. Slots of other sizes (48, 80 ... bytes) are tested one by one, at most 64
 * tests for a window of at least 3 KiB of objects.
 */
#include "slot_bits.h"

#include <stdlib.h>

#include "slots.h"

/* Every second, fourth, eighth bit of a word, moved together to its low end. */
static uint64_t every_2nd(uint64_t x)
{
	x &= 0x5555555555555555;
	x = (x | x >> 1) & 0x3333333333333333;
	x = (x | x >> 2) & 0x0f0f0f0f0f0f0f0f;
	x = (x | x >> 4) & 0x00ff00ff00ff00ff;
	x = (x | x >> 8) & 0x0000ffff0000ffff;
	return (x | x >> 16) & 0x00000000ffffffff;
}

static uint64_t every_4th(uint64_t x)
{
	x &= 0x1111111111111111;
	x = (x | x >> 3) & 0x0303030303030303;
	x = (x | x >> 6) & 0x000f000f000f000f;
	x = (x | x >> 12) & 0x000000ff000000ff;
	return (x | x >> 24) & 0x000000000000ffff;
}

static uint64_t every_8th(uint64_t x)
{
	/* Byte i's lowest bit is added to bit 56 + i, and no sum carries. */
	return (x & 0x0101010101010101) * 0x0102040810204080 >> 56;
}

static uint64_t load_strided(const uint64_t *words, uint32_t slot_bytes, uint32_t count)
{
	uint64_t slots = 0;
	uint32_t at, w;

	switch (slot_bytes) {
	case 16:
		return words[0];
	case 32:
		for (at = 0, w = 0; at < count; at += 32, w++)
			slots |= every_2nd(words[w]) << at;
		return slots;
	case 64:
		for (at = 0, w = 0; at < count; at += 16, w++)
			slots |= every_4th(words[w]) << at;
		return slots;
	default:
		for (at = 0, w = 0; at < count; at += 8, w++)
			slots |= every_8th(words[w]) << at;
		return slots;
	}
}

uint64_t slot_bits_load(const uint64_t *bits, uint32_t slot_bytes, uint32_t first, uint32_t count)
{
	uint64_t slots = 0;
	uint32_t i;

	if (slot_bytes <= 128 && !(slot_bytes & (slot_bytes - 1)))
		return low_bits(load_strided(bits + slot_granule(slot_bytes, first) / 64,
					     slot_bytes, count), count);
	for (i = 0; i < count; i++) {
		uint32_t bit = slot_granule(slot_bytes, first + i);

		slots |= (bits[bit / 64] >> bit % 64 & 1) << i;
	}
	return slots;
}

void slot_bits_store(uint64_t *bits, const uint64_t *pattern, uint32_t slot_bytes, uint32_t from,
		     uint32_t first, uint64_t used)
{
	uint32_t begin = slot_granule(slot_bytes, from);
	uint32_t end = slot_granule(slot_bytes, first);
	uint64_t ones = ~low_ones(begin % 64);
	uint32_t w;

	for (w = begin / 64; w < end / 64; w++) {
		bits[w] |= pattern[w] & ones;
		ones = ~0ull;
	}
	if (end % 64)
		bits[w] |= pattern[w] & ones & low_ones(end % 64);
	while (used) {
		uint32_t bit = slot_granule(slot_bytes, first + (uint32_t)__builtin_ctzll(used));

		bits[bit / 64] |= 1ull << bit % 64;
		used &= used - 1;
	}
}

const uint64_t *slot_bits_pattern(struct slot_bits *slot_bits, uint32_t size_class,
				  bool heap_bits)
{
	enum gcheap_kind kind = heap_bits ? GCHEAP_KIND_HEAP_BITS : GCHEAP_KIND_NOSCAN;
	uint64_t **entry = &slot_bits->patterns[heap_bits][size_class];
	uint64_t *bits = __atomic_load_n(entry, __ATOMIC_ACQUIRE);
	uint64_t *others = NULL;

	if (bits)
		return bits;
	bits = calloc(size_class_pages[size_class], MARK_WORDS_PER_PAGE * sizeof(*bits));
	if (!bits)
		return NULL;
	span_slot_bits(size_class, span_slots(size_class, kind), (u64 *)bits);
	/* Another thread may have made the same meanwhile. */
	if (!__atomic_compare_exchange_n(entry, &others, bits, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_ACQUIRE)) {
		free(bits);
		return others;
	}
	return bits;
}

void slot_bits_free(struct slot_bits *slot_bits)
{
	unsigned int variant, i;

	for (variant = 0; variant < 2; variant++) {
		for (i = 0; i < sizeof(slot_bits->patterns[0]) / sizeof(slot_bits->patterns[0][0]);
		     i++)
			free(slot_bits->patterns[variant][i]);
	}
}
