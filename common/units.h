/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The units that a heap is counted in, beside those of <linux/gcheap.h>: how many of
 * the smaller ones a larger one has. All are u32, as numbers of heap pages are.
 */
#ifndef GCHEAP_UNITS_H
#define GCHEAP_UNITS_H

#include "base.h"

/* Heap pages of an arena: 8192. */
#define ARENA_PAGES_SHIFT	(GCHEAP_ARENA_SHIFT - GCHEAP_PAGE_SHIFT)
#define ARENA_PAGES		((u32)BIT(ARENA_PAGES_SHIFT))
/* Words of 64 bits with one bit for each of them. */
#define ARENA_WORDS		(ARENA_PAGES / 64)

/* A chunk's length in heap pages, and its alignment in the heap: 1024. */
#define CHUNK_PAGES		((u32)BIT(GCHEAP_CHUNK_SHIFT - GCHEAP_PAGE_SHIFT))

/* The most heap pages of a small-object span. */
#define SPAN_PAGES_MAX		16u

/* Words of a bit table that speak of one heap page: a bit for each granule. */
#define MARK_WORDS_PER_PAGE	8u

/* A word of an object, which has one bit of a pointer mask. */
#define GCHEAP_TYPE_WORD_BYTES	8u

/* A type's mask may be this long: enough for 64 MiB of pointers. */
#define TYPE_MASK_BYTES_MAX	((u32)BIT(20))

static_assert(MARK_WORDS_PER_PAGE * 64 == GCHEAP_PAGE_BYTES >> GCHEAP_GRANULE_SHIFT);

#endif /* GCHEAP_UNITS_H */
