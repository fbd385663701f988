// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The tree of summaries over the bitmap of free pages.
 */
#include "page_tree.h"

#include "port.h"

/* The tree must reach over the largest reserve, with at most FANOUT summaries on top. */
static_assert(GCHEAP_RESERVE_MAX >> GCHEAP_ARENA_SHIFT <=
	      1ull << FANOUT_SHIFT * PAGE_HEAP_UPPER_LEVELS);
static_assert(GCHEAP_RESERVE_MAX >> GCHEAP_PAGE_SHIFT < U32_MAX);

/* ---- the tree's shape ------------------------------------------------------- */

/* A summary of @level speaks of two to this power pages. */
static u32 level_shift(u32 level)
{
	return TREE_LEAF_SHIFT + FANOUT_SHIFT * level;
}

static struct page_heap_summary *summary_at(const struct page_heap *ph, u32 level, u32 index)
{
	if (level)
		return &ph->upper[level - 1][index];
	return &ph->arenas[index >> FANOUT_SHIFT]->leaves[index & (FANOUT - 1)];
}

static u64 *tree_leaf_words(const struct page_heap *ph, u32 leaf)
{
	return ph->arenas[leaf >> FANOUT_SHIFT]->free + (leaf & (FANOUT - 1)) * TREE_LEAF_WORDS;
}

/* ---- bits ------------------------------------------------------------------- */

/* Set bits at the start and at the end of a word that has a clear one. */
static u32 word_start(u64 word)
{
	return (u32)__ffs64(~word);
}

static u32 word_end(u64 word)
{
	return 64 - (u32)fls64(~word);
}

/* First page in the tree leaf of a run of @npages; there is one. */
static u32 tree_leaf_find(const u64 *words, u32 npages)
{
	u32 run = 0;	/* free pages that end where words[i] begins */
	u32 i;

	for (i = 0; i < TREE_LEAF_WORDS; i++) {
		u64 runs;

		if (words[i] == U64_MAX) {
			run += 64;
			if (run >= npages)
				return (i + 1) * 64 - run;
			continue;
		}
		if (run + word_start(words[i]) >= npages)
			return i * 64 - run;
		runs = npages < 64 ? word_runs(words[i], npages) : 0;
		if (runs)
			return i * 64 + (u32)__ffs64(runs);
		run = word_end(words[i]);
	}
	WARN_ON_ONCE(true);
	return 0;
}

/* ---- summaries -------------------------------------------------------------- */

/*
 * The summary of pieces that follow each other: for each, piece_whole() or
 * piece_broken(), then pieces_end().
 */
struct pieces {
	struct page_heap_summary sum;
	u32 run;	/* free pages that end where the next piece begins */
	bool broken;	/* a piece was not wholly free */
};

static void piece_whole(struct pieces *pieces, u32 npages)
{
	pieces->run += npages;
}

static void piece_broken(struct pieces *pieces, u32 start, u32 end)
{
	pieces->run += start;
	if (!pieces->broken)
		pieces->sum.start = pieces->run;
	pieces->broken = true;
	pieces->sum.max = max_t(u32, pieces->sum.max, pieces->run);
	pieces->run = end;
}

static struct page_heap_summary pieces_end(struct pieces *pieces)
{
	if (!pieces->broken)
		pieces->sum.start = pieces->run;
	pieces->sum.max = max_t(u32, pieces->sum.max, pieces->run);
	pieces->sum.end = pieces->run;
	return pieces->sum;
}

static struct page_heap_summary tree_leaf_summary(const u64 *words)
{
	struct pieces pieces = { 0 };
	u32 i;

	for (i = 0; i < TREE_LEAF_WORDS; i++) {
		u32 start, end;
		u64 runs;

		if (words[i] == U64_MAX) {
			piece_whole(&pieces, 64);
			continue;
		}
		start = word_start(words[i]);
		end = word_end(words[i]);
		piece_broken(&pieces, start, end);
		/* Is one of the runs between them longer than all so far? */
		runs = (words[i] >> start << start) & (U64_MAX >> end);
		if (pieces.sum.max < 64)
			runs = word_runs(runs, pieces.sum.max + 1);
		else
			runs = 0;
		for (; runs; runs &= runs >> 1)
			pieces.sum.max++;
	}
	return pieces_end(&pieces);
}

/* Of a range whose pages are all free, or none of them. */
static struct page_heap_summary uniform_summary(u32 free_pages)
{
	return (struct page_heap_summary){ free_pages, free_pages, free_pages };
}

/* Of a summary above the leaves, from those below it. */
static struct page_heap_summary upper_summary(const struct page_heap *ph, u32 level, u32 index)
{
	const struct page_heap_summary *below = summary_at(ph, level - 1, index << FANOUT_SHIFT);
	u32 whole = 1u << level_shift(level - 1);
	struct pieces pieces = { 0 };
	u32 i;

	for (i = 0; i < FANOUT; i++) {
		if (below[i].max == whole) {
			piece_whole(&pieces, whole);
			continue;
		}
		piece_broken(&pieces, below[i].start, below[i].end);
		pieces.sum.max = max_t(u32, pieces.sum.max, below[i].max);
	}
	return pieces_end(&pieces);
}

/* Set or clear the bits of a range that has none like that. */
static void range_set_bits(struct page_heap *ph, u32 page, u32 npages, bool free)
{
	u32 end = page + npages;

	while (page < end) {
		struct page_word at = page_word(ph, page, end);
		u64 *word = &at.arena->free[at.index];

		WARN_ON_ONCE((free ? *word : ~*word) & at.mask);
		*word ^= at.mask;
		page += hweight64(at.mask);
		if (!(page & (ARENA_PAGES - 1)))
			port_interrupted();
	}
}

/* Make the summaries right above the pages @page ... @last, which were all set alike. */
static void summaries_update(struct page_heap *ph, u32 page, u32 last, bool free)
{
	u32 level, i;

	for (level = 0; level < ph->levels; level++) {
		u32 shift = level_shift(level);
		bool changed = false;

		for (i = page >> shift; i <= last >> shift; i++) {
			struct page_heap_summary *old = summary_at(ph, level, i);
			struct page_heap_summary new;

			if (i << shift >= page && ((i + 1) << shift) - 1 <= last)
				new = uniform_summary(free ? 1u << shift : 0);
			else if (level)
				new = upper_summary(ph, level, i);
			else
				new = tree_leaf_summary(tree_leaf_words(ph, i));
			changed |= new.start != old->start || new.max != old->max ||
				   new.end != old->end;
			*old = new;
		}
		if (!changed)
			break;
	}
}

void page_tree_set(struct page_heap *ph, u32 page, u32 npages, bool free)
{
	range_set_bits(ph, page, npages, free);
	summaries_update(ph, page, page + npages - 1, free);
}

void page_tree_set_word(struct page_heap *ph, u32 page, u64 bits, bool free)
{
	struct page_word at = page_word(ph, page, page + 64);

	WARN_ON_ONCE((free ? at.arena->free[at.index] : ~at.arena->free[at.index]) & bits);
	at.arena->free[at.index] ^= bits;
	/* A word is less than a leaf, so that no summary is taken to be all alike. */
	summaries_update(ph, page, page, free);
}

/* ---- life ------------------------------------------------------------------- */

int page_tree_init(struct page_heap *ph, u32 arenas)
{
	u32 count = arenas;
	u32 lengths[PAGE_HEAP_UPPER_LEVELS];
	struct page_heap_summary *upper;
	u32 total = 0;
	u32 i;

	for (i = 0; i < PAGE_HEAP_UPPER_LEVELS; i++) {
		/* What is beyond the reserve has no free page: all zero. */
		lengths[i] = round_up(count, FANOUT);
		total += lengths[i];
		if (count <= FANOUT)
			break;
		count = lengths[i] >> FANOUT_SHIFT;
	}
	/* The arenas' level is the first above the leaves. */
	ph->levels = i + 2;

	upper = port_zalloc(total * sizeof(*upper));
	if (!upper)
		return -ENOMEM;
	for (i = 0; i < ph->levels - 1; i++) {
		ph->upper[i] = upper;
		upper += lengths[i];
	}
	return 0;
}

void page_tree_destroy(struct page_heap *ph)
{
	port_free(ph->upper[0]);
}

/* ---- searches --------------------------------------------------------------- */

u32 page_tree_find(const struct page_heap *ph, u32 npages)
{
	u32 level = ph->levels;
	u32 index = 0;	/* of the summary, of the level above, that has the run */

	while (level--) {
		u32 shift = level_shift(level);
		u32 end = (index + 1) << FANOUT_SHIFT;
		u32 run = 0;	/* free pages that end where @index begins */

		for (index <<= FANOUT_SHIFT; index < end; index++) {
			const struct page_heap_summary *sum = summary_at(ph, level, index);

			if (run + sum->start >= npages)
				return (index << shift) - run;
			if (sum->max >= npages)
				break;
			if (sum->max == 1u << shift)
				run += sum->max;
			else
				run = sum->end;
		}
		if (index == end)
			return 0;
	}
	return (index << TREE_LEAF_SHIFT) + tree_leaf_find(tree_leaf_words(ph, index), npages);
}

u32 page_tree_find_leaf(const struct page_heap *ph)
{
	u32 leaves = DIV_ROUND_UP(ph->end, TREE_LEAF_PAGES);
	u32 leaf = 0;

	while (leaf < leaves) {
		u32 level = ph->levels - 1;

		/* The largest range that begins here and cannot have one is passed over. */
		for (;; level--) {
			u32 shift = FANOUT_SHIFT * level;

			if (leaf & ((1u << shift) - 1))
				continue;
			if (summary_at(ph, level, leaf >> shift)->max < TREE_LEAF_PAGES) {
				leaf += 1u << shift;
				break;
			}
			if (!level)
				return leaf << TREE_LEAF_SHIFT;
		}
	}
	return 0;
}

u32 page_tree_run_length(const struct page_heap *ph, u32 page, u32 most)
{
	u32 end = min_t(u32, most, ph->end - page) + page;
	u32 at = page;

	while (at < end) {
		u64 word = tree_leaf_words(ph, at >> TREE_LEAF_SHIFT)[at % TREE_LEAF_PAGES / 64];
		u64 taken = ~word >> at % 64;

		if (taken)
			return min_t(u32, at + (u32)__ffs64(taken), end) - page;
		at += 64 - at % 64;
	}
	return end - page;
}

bool page_tree_is_free(const struct page_heap *ph, u32 page)
{
	const u64 *words = tree_leaf_words(ph, page >> TREE_LEAF_SHIFT);

	return words[page % TREE_LEAF_PAGES / 64] >> page % 64 & 1;
}

bool page_tree_arena_has_run(const struct page_heap *ph, u32 index, u32 npages)
{
	return summary_at(ph, 1, index)->max >= npages;
}

/* How many pages at the end of a tree leaf's first @npages are free. */
static u32 tree_leaf_tail(const u64 *words, u32 npages)
{
	u32 page = npages;

	while (page) {
		u32 count = (page - 1) % 64 + 1;
		u64 taken = ~words[(page - 1) / 64] << (64 - count);

		if (taken) {
			page -= 64 - (u32)fls64(taken);
			break;
		}
		page -= count;
	}
	return npages - page;
}

u32 page_tree_tail(const struct page_heap *ph)
{
	u32 level = 0;
	u32 page, count;

	if (!ph->end)
		return 0;
	/* The last leaf may exist in part only, which its summary does not tell. */
	count = (ph->end - 1) % TREE_LEAF_PAGES + 1;
	page = ph->end -
	       tree_leaf_tail(tree_leaf_words(ph, (ph->end - 1) >> TREE_LEAF_SHIFT), count);
	/* Down over ranges that are wholly free, ever larger ones, until one is not. */
	while (page && page % TREE_LEAF_PAGES == 0) {
		while (level + 1 < ph->levels && page % (1u << level_shift(level + 1)) == 0)
			level++;
		count = summary_at(ph, level, (page - 1) >> level_shift(level))->end;
		page -= count;
		if (count != 1u << level_shift(level))
			break;
	}
	return ph->end - page;
}
