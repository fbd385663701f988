/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What the files of write tracking share: see track.c, track_harvest.c,
 * track_plain.c and track_proof.c.
 */
#ifndef GCHEAP_TRACK_H
#define GCHEAP_TRACK_H

#include "module.h"

/**
 * struct track_answer - where the pages go that were found written
 * @heap: the heap
 * @ranges: receives them in order, neighbours as one range; NULL: not wanted
 * @count: how many ranges there are
 * @max: length of @ranges
 * @bitmap: whether DIRTY receives them, too
 * @bits: the page of DIRTY that was used last, or NULL
 * @bits_page: first heap page that it is about
 * @bits_done: heap pages below this have their bits in DIRTY
 * @dirty_pages: how many pages were found written
 */
struct track_answer {
	struct gcheap_heap *heap;
	struct gcheap_range *ranges;
	u32 count;
	u32 max;
	bool bitmap;
	unsigned long *bits;
	u32 bits_page;
	u32 bits_done;
	u32 dirty_pages;
};

/* The last range, or NULL. */
static inline struct gcheap_range *track_answer_last(const struct track_answer *answer)
{
	return answer->count ? answer->ranges + answer->count - 1 : NULL;
}

/* Whether a page can still be reported that comes after all others. */
static inline bool track_answer_has_room(const struct track_answer *answer, u32 page)
{
	const struct gcheap_range *last;

	if (!answer->ranges || answer->count < answer->max)
		return true;
	last = track_answer_last(answer);
	return last->page + last->npages == page;
}

/* The same for all pages of a word of the bitmap, whichever they are. */
static inline bool track_answer_has_much_room(const struct track_answer *answer)
{
	return !answer->ranges || answer->max - answer->count >= BITS_PER_LONG / 2;
}

/* track.c */
void track_answer_add_word(struct track_answer *answer, u32 base, unsigned long dirty);
void track_answer_add(struct track_answer *answer, u32 page);
void track_bits_add(struct track_answer *answer, u32 page);

/**
 * struct harvest - one TRACK request at work
 * @heap: the heap
 * @mm: the owner's address space; its mmap_lock is held
 * @exclusive: for writing
 * @base: address of the HEAP region; 0: it is not mapped
 * @page: first heap page of the range that was asked for
 * @end: its end
 * @rearm: what is reported becomes clean
 * @protect: and is write-protected
 * @answer: what was found
 *
 * The rest is track_harvest.c's:
 * @at: the page (4 KiB) to look at next
 * @window_end: up to which page harvest_window() looks
 * @reported: the heap page that was reported last
 * @all_dirty: the 2 MiB page that is being looked at is dirty as a whole
 * @flush: something became clean whose translations may still be cached as dirty
 * @stopped: the request ended before its time
 * @huge: the 2 MiB page that was looked at last; NULL: none
 * @huge_block: its number
 * @huge_dirty: it was dirty
 * @huge_rearmed: and is clean now
 */
struct harvest {
	struct gcheap_heap *heap;
	struct mm_struct *mm;
	bool exclusive;
	unsigned long base;
	u32 page;
	u32 end;
	bool rearm;
	bool protect;
	struct track_answer answer;

	unsigned long at;
	unsigned long window_end;
	u32 reported;
	bool all_dirty;
	bool flush;
	bool stopped;
	struct page *huge;
	unsigned long huge_block;
	bool huge_dirty;
	bool huge_rearmed;
};

/* track_harvest.c */
bool harvest_run(struct harvest *harvest, u32 page, u32 end);

/* track_plain.c */
void harvest_plain(struct harvest *harvest, pte_t *ptep, struct page *const *pages,
		   unsigned long count);

#endif /* GCHEAP_TRACK_H */
