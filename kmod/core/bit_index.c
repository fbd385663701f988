// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * A set of small numbers.
 */
#include "bit_index.h"

#include "port.h"

#define WORD_SHIFT	6
#define WORD_BITS	((u32)BIT(WORD_SHIFT))

static_assert(BIT_INDEX_MAX == 1u << WORD_SHIFT * BIT_INDEX_LEVELS);

int bit_index_init(struct bit_index *index, u32 count)
{
	u32 words[BIT_INDEX_LEVELS];
	u32 total = 0;
	u64 *block;
	u32 i;

	words[0] = DIV_ROUND_UP(count, WORD_BITS);
	for (i = 0; i < BIT_INDEX_LEVELS; i++) {
		if (i)
			words[i] = DIV_ROUND_UP(words[i - 1], WORD_BITS);
		total += words[i];
	}
	block = port_zalloc(total * sizeof(*block));
	if (!block)
		return -ENOMEM;
	index->count = count;
	for (i = 0; i < BIT_INDEX_LEVELS; i++) {
		index->words[i] = block;
		block += words[i];
	}
	return 0;
}

void bit_index_destroy(struct bit_index *index)
{
	port_free(index->words[0]);
	memset(index, 0, sizeof(*index));
}

void bit_index_add(struct bit_index *index, u32 number)
{
	u32 i;

	for (i = 0; i < BIT_INDEX_LEVELS; i++) {
		u64 *word = &index->words[i][number / WORD_BITS];
		bool was_empty = !*word;

		*word |= BIT_ULL(number % WORD_BITS);
		if (!was_empty)
			break;
		number >>= WORD_SHIFT;
	}
}

void bit_index_remove(struct bit_index *index, u32 number)
{
	u32 i;

	for (i = 0; i < BIT_INDEX_LEVELS; i++) {
		u64 *word = &index->words[i][number / WORD_BITS];

		*word &= ~BIT_ULL(number % WORD_BITS);
		if (*word)
			break;
		number >>= WORD_SHIFT;
	}
}

u32 bit_index_next(const struct bit_index *index, u32 from)
{
	u64 word;
	u32 i;

	if (from >= index->count)
		return BIT_INDEX_NONE;
	/* Up, until a bitmap has a member in the same word, not below @from ... */
	for (i = 0;; i++) {
		word = index->words[i][from / WORD_BITS] >> from % WORD_BITS;
		if (word)
			break;
		from = (from >> WORD_SHIFT) + 1;
		/* Where the bitmap above ends; that of the topmost is 0. */
		if (from > (index->count - 1) >> WORD_SHIFT * (i + 1))
			return BIT_INDEX_NONE;
	}
	from += (u32)__ffs64(word);
	/* ... and down again to the lowest member below that bit. */
	while (i--)
		from = from << WORD_SHIFT | (u32)__ffs64(index->words[i][from]);
	return from;
}

u32 bit_index_last(const struct bit_index *index)
{
	u32 at = 0;
	u32 i;

	if (!index->count || !index->words[BIT_INDEX_LEVELS - 1][0])
		return BIT_INDEX_NONE;
	for (i = BIT_INDEX_LEVELS; i--;)
		at = at << WORD_SHIFT | ((u32)fls64(index->words[i][at]) - 1);
	return at;
}
