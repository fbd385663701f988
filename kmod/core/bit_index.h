/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * A set of small numbers in which the next member up or down is found at once.
 *
 * A bitmap has one bit for each number. Above it stand others, in which a bit tells
 * whether a word of the bitmap below has a bit set. With 64 bits a word, three bitmaps
 * are enough for 262,144 numbers: an operation looks at five words at most, however few
 * members there are and however far apart.
 */
#ifndef GCHEAP_CORE_BIT_INDEX_H
#define GCHEAP_CORE_BIT_INDEX_H

#include "base.h"

#define BIT_INDEX_LEVELS	3u
#define BIT_INDEX_MAX		262144u	/* numbers: 64 to the power of the levels */
#define BIT_INDEX_NONE		U32_MAX

/**
 * struct bit_index - a set of numbers
 * @count: they are below this
 * @words: the bitmaps, that of the numbers first; one block of memory
 */
struct bit_index {
	u32 count;
	u64 *words[BIT_INDEX_LEVELS];
};

/**
 * bit_index_init() - make an empty set
 * @index: where
 * @count: members will be below this; at most BIT_INDEX_MAX, not 0
 *
 * Return: 0 or -ENOMEM, and there is nothing to destroy then.
 */
int bit_index_init(struct bit_index *index, u32 count);
void bit_index_destroy(struct bit_index *index);

/* Make a number a member, or no member; it may be that already. */
void bit_index_add(struct bit_index *index, u32 number);
void bit_index_remove(struct bit_index *index, u32 number);

/* The lowest member that is not below @from, or BIT_INDEX_NONE. */
u32 bit_index_next(const struct bit_index *index, u32 from);

/* The highest member, or BIT_INDEX_NONE. */
u32 bit_index_last(const struct bit_index *index);

#endif /* GCHEAP_CORE_BIT_INDEX_H */
