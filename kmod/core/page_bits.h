/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The state of the page heap (page_heap.h), which its files share: the bits of each
 * arena's pages, what stands above them, and operations on words of 64 pages.
 */
#ifndef GCHEAP_CORE_PAGE_BITS_H
#define GCHEAP_CORE_PAGE_BITS_H

#include "base.h"
#include "bit_index.h"
#include "low_bits.h"
#include "units.h"

#define FANOUT_SHIFT	3
#define FANOUT		((u32)BIT(FANOUT_SHIFT))

#define TREE_LEAF_SHIFT	(ARENA_PAGES_SHIFT - FANOUT_SHIFT)
#define TREE_LEAF_PAGES	((u32)BIT(TREE_LEAF_SHIFT))
#define TREE_LEAF_WORDS	(TREE_LEAF_PAGES / 64)

/* Levels above the leaves: eight arenas, and eight times as many each. */
#define PAGE_HEAP_UPPER_LEVELS	5	/* 8^5 arenas: more than 1 TiB */

/**
 * struct page_heap_summary - the free pages of a range; see page_tree.h
 * @start: how many there are at its start
 * @max: length of the longest run
 * @end: how many there are at its end
 */
struct page_heap_summary {
	u32 start;
	u32 max;
	u32 end;
};

/**
 * struct page_heap_arena - the pages of an arena
 * @free: one bit a page: it exists and is free, and in no CPU's cache
 * @unbacked: one bit a page: it has no memory, whether it is free or not
 * @backed_words: one bit a word: it may have a page that is free and backed; all
 *	that have one have their bit
 * @leaves: summaries of @free, by leaf of the tree
 * @zeroed_base: pages of the arena below this may have been handed out, none from
 *	it on was: what memory they have is zero
 */
struct page_heap_arena {
	u64 free[ARENA_WORDS];
	u64 unbacked[ARENA_WORDS];
	u64 backed_words[ARENA_WORDS / 64];
	struct page_heap_summary leaves[FANOUT];
	u32 zeroed_base;
};

/**
 * struct page_cache - free pages that a CPU has taken out of the tree
 * @page: the first of 64, aligned; it stays when none of them is left
 * @free: which of them it has
 */
struct page_cache {
	u32 page;
	u64 free;
};

/**
 * struct page_heap - free heap pages of one heap
 * @reserve_pages: how many page numbers there are
 * @end: pages below this exist; grows only
 * @free_pages: how many of these are free
 * @backed_pages: how many of the free ones have memory
 * @cached_pages: how many of the free ones are in a CPU's cache
 * @caches: by CPU; NULL: there are none
 * @filled_caches: the CPUs whose cache is not empty
 * @backed_arenas: indices of arenas that may have a free page with memory; all that
 *	have one are members
 * @levels: depth of the tree of summaries, the leaves included
 * @upper: summaries of each level but the leaves, of the whole reserve
 * @arenas: by arena index: bitmap and leaves; NULL: no page of it exists
 *
 * Invariants: page 0 is never free; a page from @end on is not free, and has no
 * memory; @free_pages is the number of set bits in the tree and in the caches, and
 * no page is in two of them; each summary is that of its bits.
 */
struct page_heap {
	u32 reserve_pages;
	u32 end;
	u32 free_pages;
	u32 backed_pages;
	u32 cached_pages;
	struct page_cache *caches;
	struct bit_index filled_caches;
	struct bit_index backed_arenas;
	u32 levels;
	struct page_heap_summary *upper[PAGE_HEAP_UPPER_LEVELS];
	struct page_heap_arena **arenas;
};

/* The 64 pages of a range that one word has. */
struct page_word {
	struct page_heap_arena *arena;
	u32 index;	/* of the word in the arena */
	u64 mask;	/* which of its pages are in the range */
};

/* The word of @page, with those of the pages @page ... @end - 1 that it has. */
static inline struct page_word page_word(const struct page_heap *ph, u32 page, u32 end)
{
	u32 count = min_t(u32, 64 - page % 64, end - page);

	return (struct page_word){
		.arena = ph->arenas[page >> ARENA_PAGES_SHIFT],
		.index = page % ARENA_PAGES / 64,
		.mask = ones_from(page % 64, count),
	};
}

/* Bit i of the result: bits i ... i + @length - 1 of @word are set. */
static inline u64 word_runs(u64 word, u32 length)
{
	u32 done = 1;

	/* @word now tells where @done set bits begin. */
	while (word && done < length) {
		u32 step = min_t(u32, done, length - done);

		word &= word >> step;
		done += step;
	}
	return word;
}

#endif /* GCHEAP_CORE_PAGE_BITS_H */
