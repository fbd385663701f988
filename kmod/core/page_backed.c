// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Which heap pages have memory.
 */
#include "page_backed.h"

u32 page_backed_count(const struct page_heap *ph, u32 page, u32 npages)
{
	u32 end = page + npages;
	u32 count = 0;

	while (page < end) {
		struct page_word at = page_word(ph, page, end);

		count += hweight64(~at.arena->unbacked[at.index] & at.mask);
		page += hweight64(at.mask);
	}
	return count;
}

bool page_backed_word_is_idle(const struct page_heap *ph, u32 page)
{
	const struct page_word at = page_word(ph, page, page + 64);

	return (at.arena->free[at.index] & at.arena->unbacked[at.index]) == U64_MAX;
}

void page_backed_set(struct page_heap *ph, u32 page, u32 npages, bool backed)
{
	u32 end = page + npages;

	while (page < end) {
		struct page_word at = page_word(ph, page, end);

		if (backed)
			at.arena->unbacked[at.index] &= ~at.mask;
		else
			at.arena->unbacked[at.index] |= at.mask;
		page += hweight64(at.mask);
	}
}

void page_backed_note_word(struct page_heap *ph, u32 page, u64 bits)
{
	struct page_word at = page_word(ph, page, page + 64);

	if (!(bits & ~at.arena->unbacked[at.index]))
		return;
	at.arena->backed_words[at.index / 64] |= BIT_ULL(at.index % 64);
	bit_index_add(&ph->backed_arenas, page >> ARENA_PAGES_SHIFT);
}

void page_backed_note_free(struct page_heap *ph, u32 page, u32 npages)
{
	u32 end = page + npages;

	while (page < end) {
		struct page_word at = page_word(ph, page, end);

		ph->backed_pages += hweight64(~at.arena->unbacked[at.index] & at.mask);
		page_backed_note_word(ph, round_down(page, 64u), at.mask);
		page += hweight64(at.mask);
	}
}

/* The highest word of an arena that may have a free page with memory, or ARENA_WORDS. */
static u32 backed_last_word(const struct page_heap_arena *arena)
{
	u32 i = ARRAY_SIZE(arena->backed_words);

	while (i--) {
		if (arena->backed_words[i])
			return i * 64 + (u32)fls64(arena->backed_words[i]) - 1;
	}
	return ARENA_WORDS;
}

/* One more than the number of the highest free page with memory; 0: there is none. */
static u32 backed_end(struct page_heap *ph)
{
	u32 index;

	while ((index = bit_index_last(&ph->backed_arenas)) != BIT_INDEX_NONE) {
		struct page_heap_arena *arena = ph->arenas[index];
		u32 word = backed_last_word(arena);
		u64 backed;

		if (word == ARENA_WORDS) {
			bit_index_remove(&ph->backed_arenas, index);
			continue;
		}
		backed = arena->free[word] & ~arena->unbacked[word];
		if (backed)
			return (index << ARENA_PAGES_SHIFT) + word * 64 + (u32)fls64(backed);
		arena->backed_words[word / 64] &= ~BIT_ULL(word % 64);
	}
	return 0;
}

u32 page_backed_release(struct page_heap *ph, u32 most, u32 *npages)
{
	u32 end = backed_end(ph);
	u32 page = end;

	/* Down from there, until a page is taken or has no memory. */
	while (end - page < most && page) {
		struct page_word at = page_word(ph, (page - 1) & ~63u, page);
		u64 backed = at.arena->free[at.index] & ~at.arena->unbacked[at.index] & at.mask;
		u32 count = hweight64(at.mask);
		u64 ends = ~backed << (64 - count);
		u32 run = ends ? 64 - (u32)fls64(ends) : count;

		page -= min_t(u32, run, most - (end - page));
		if (run < count)
			break;
	}
	*npages = end - page;
	page_backed_set(ph, page, end - page, false);
	ph->backed_pages -= end - page;
	return page;
}
