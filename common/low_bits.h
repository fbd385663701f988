/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Words with some bits set: the lowest, or some in a row. A shift by all 64 bits is
 * undefined in C, hence these.
 */
#ifndef GCHEAP_LOW_BITS_H
#define GCHEAP_LOW_BITS_H

#include "base.h"

/* The lowest @count bits, 0 to 64, are set. */
static inline u64 low_ones(u64 count)
{
	return count < 64 ? BIT_ULL(count) - 1 : U64_MAX;
}

/* The lowest @count bits of @bits, which may be more than 64: then it is all of them. */
static inline u64 low_bits(u64 bits, u64 count)
{
	return bits & low_ones(count);
}

/* @count bits, 1 to 64, are set from bit @first on; those beyond the word are left out. */
static inline u64 ones_from(u32 first, u32 count)
{
	return U64_MAX >> (64 - count) << first;
}

#endif /* GCHEAP_LOW_BITS_H */
