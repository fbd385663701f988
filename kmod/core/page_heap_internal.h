/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What the files of the page heap share: an arena's bits, and the shape of the
 * tree above them.
 *
 *	page_heap.c	the tree: which pages are free, and where a run is
 *	page_backed.c	which pages have memory
 *	page_cache.c	free pages that a CPU has taken out of the tree
 */
#ifndef GCHEAP_CORE_PAGE_HEAP_INTERNAL_H
#define GCHEAP_CORE_PAGE_HEAP_INTERNAL_H

#include "low_bits.h"
#include "page_heap.h"
#include "units.h"

#define FANOUT_SHIFT	3
#define FANOUT		((u32)BIT(FANOUT_SHIFT))

#define LEAF_SHIFT	(ARENA_PAGES_SHIFT - FANOUT_SHIFT)
#define LEAF_PAGES	((u32)BIT(LEAF_SHIFT))
#define LEAF_WORDS	(LEAF_PAGES / 64)

/**
 * struct page_heap_summary - the free pages of a range
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
 * @leaves: summaries of @free
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

/* page_heap.c: the tree. */

/* First page of the lowest run of @npages in the tree; 0: there is none. */
u32 tree_find(const struct page_heap *ph, u32 npages);

/* Set or clear pages of one word, none of which is like that, and what is above. */
void tree_set_word(struct page_heap *ph, u32 page, u64 bits, bool free);

/* page_backed.c */

/* Pages become free: those with memory can be found by page_heap_release(). */
void backed_note_free(struct page_heap *ph, u32 page, u32 npages);

/* The same for pages of one word that leave a cache: they were free, and are counted. */
void backed_note_word(struct page_heap *ph, u32 page, u64 bits);

/* page_cache.c */

int page_caches_init(struct page_heap *ph, u32 cpus);
void page_caches_destroy(struct page_heap *ph);

/*
 * As page_heap_alloc_some(), from this CPU's cache; 0: the run is the tree's to give,
 * and @lowest is where it has one, or 0.
 */
u32 page_cache_alloc(struct page_heap *ph, u32 npages, u32 most, u32 *count, u32 *lowest);

/* Give less than PAGE_CACHE_RUN pages to this CPU's cache; false: they are the tree's. */
bool page_cache_free(struct page_heap *ph, u32 page, u32 npages);

/* Whether a page is in a cache. */
bool page_cache_has(const struct page_heap *ph, u32 page);

#endif /* GCHEAP_CORE_PAGE_HEAP_INTERNAL_H */
