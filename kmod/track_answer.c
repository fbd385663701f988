// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Write tracking: the answer. Pages that were found written come here in the order of
 * their addresses. They are joined to ranges, set as bits in DIRTY, or both.
 *
 * In a heap of GCHEAP_SETUP_SNAPSHOTS, page faults set bits in DIRTY, too, each for the
 * first write to a page that was write-protected.
 */
#include <linux/bitops.h>
#include <linux/bits.h>
#include <linux/mm.h>

#include "module.h"
#include "region_pages.h"
#include "track_answer.h"

#define BITS_PER_TABLE	((u32)(PORT_TABLE_PAGE_BYTES * BITS_PER_BYTE))

/* The page of DIRTY that has the bit of a heap page; NULL: not made. */
static unsigned long *bits_of(struct gcheap_heap *heap, u32 page)
{
	struct page *table = region_pages_find(heap, GCHEAP_REGION_DIRTY, page / BITS_PER_TABLE);

	return table ? page_address(table) : NULL;
}

/* Word by word: page faults set other bits meanwhile. */
static void table_bits_clear(unsigned long *bits, u32 bit, u32 end)
{
	u32 next;

	for (; bit < end; bit = next) {
		unsigned long *word = bits + bit / BITS_PER_LONG;
		unsigned long mask;

		next = min(round_down(bit, BITS_PER_LONG) + BITS_PER_LONG, end);
		mask = GENMASK((next - 1) % BITS_PER_LONG, bit % BITS_PER_LONG);
		if (READ_ONCE(*word) & mask)
			atomic_long_andnot(mask, (atomic_long_t *)word);
	}
}

/**
 * track_bits_clear() - clear bits in DIRTY
 * @heap: the heap
 * @page: heap page of the first
 * @end: of one after the last
 *
 * Context: all pages of DIRTY that this needs exist.
 */
void track_bits_clear(struct gcheap_heap *heap, u32 page, u32 end)
{
	while (page < end) {
		u32 base = round_down(page, BITS_PER_TABLE);
		u32 next = min(base + BITS_PER_TABLE, end);

		table_bits_clear(bits_of(heap, page), page - base, next - base);
		page = next;
	}
}

/* The word of DIRTY that has the bit of a heap page. */
static unsigned long *bits_word(struct track_answer *answer, u32 page)
{
	if (!answer->bits || page - answer->bits_page >= BITS_PER_TABLE) {
		answer->bits_page = round_down(page, BITS_PER_TABLE);
		answer->bits = bits_of(answer->heap, page);
	}
	return answer->bits + (page - answer->bits_page) / BITS_PER_LONG;
}

/* Sets bits of one word of DIRTY, and clears those before them. */
static void bits_add_word(struct track_answer *answer, u32 base, unsigned long dirty)
{
	u32 end = base + __fls(dirty) + 1;
	unsigned long *word, clean;

	if (answer->bits_done < base) {
		track_bits_clear(answer->heap, answer->bits_done, base);
		answer->bits_done = base;
	}
	word = bits_word(answer, base);
	clean = GENMASK(end - 1 - base, answer->bits_done - base) & ~dirty;
	if (READ_ONCE(*word) & clean)
		atomic_long_andnot(clean, (atomic_long_t *)word);
	atomic_long_or(dirty, (atomic_long_t *)word);
	answer->bits_done = end;
}

/**
 * track_bits_add() - set the bit of a page in DIRTY, and clear those before it
 * @answer: of which DIRTY is a part
 * @page: the heap page, not before those added so far
 */
void track_bits_add(struct track_answer *answer, u32 page)
{
	if (page < answer->bits_done)
		return;
	if (answer->bits_done < page)
		track_bits_clear(answer->heap, answer->bits_done, page);
	set_bit(page % BITS_PER_LONG, bits_word(answer, page));
	answer->bits_done = page + 1;
}

static void ranges_add(struct track_answer *answer, u32 page, u32 npages)
{
	struct gcheap_range *last = track_answer_last(answer);

	if (last && last->page + last->npages == page)
		last->npages += npages;
	else if (answer->ranges)
		answer->ranges[answer->count++] = (struct gcheap_range) {
			.page = page,
			.npages = npages,
		};
}

/**
 * track_answer_add() - report a page
 * @answer: has room for it
 * @page: the heap page, after those added so far
 */
void track_answer_add(struct track_answer *answer, u32 page)
{
	answer->dirty_pages++;
	ranges_add(answer, page, 1);
	if (answer->bitmap)
		track_bits_add(answer, page);
}

/**
 * track_answer_add_word() - report some of the pages of one word of the bitmap
 * @answer: has much room
 * @base: heap page of the word's first bit
 * @dirty: which pages, one of them at least; all after those added so far
 */
void track_answer_add_word(struct track_answer *answer, u32 base, unsigned long dirty)
{
	unsigned int start, end;

	answer->dirty_pages += hweight_long(dirty);
	if (answer->bitmap)
		bits_add_word(answer, base, dirty);
	if (!answer->ranges)
		return;
	for_each_set_bitrange(start, end, &dirty, BITS_PER_LONG)
		ranges_add(answer, base + start, end - start);
}

/**
 * track_make_bits() - make DIRTY for all pages that the heap has now
 * @heap: the heap
 *
 * Context: may sleep; @heap->lock is held.
 * Return: 0 or -ENOMEM.
 */
int track_make_bits(struct gcheap_heap *heap)
{
	u32 page;

	for (page = 0; page < heap->core.heap_pages; page += BITS_PER_TABLE) {
		if (!bits_of(heap, page) &&
		    !region_pages_make(heap, GCHEAP_REGION_DIRTY, page / BITS_PER_TABLE))
			return -ENOMEM;
	}
	return 0;
}

/**
 * track_written() - note the first write to a page that TRACK has protected
 * @heap: a heap of GCHEAP_SETUP_SNAPSHOTS
 * @index: number of the page (4 KiB) in the HEAP region
 *
 * Context: a page fault, before the page becomes writable.
 */
void track_written(struct gcheap_heap *heap, unsigned long index)
{
	u32 page = index >> (GCHEAP_PAGE_SHIFT - PAGE_SHIFT);
	unsigned long *bits = bits_of(heap, page);

	if (bits)
		set_bit(page % BITS_PER_TABLE, bits);
}
