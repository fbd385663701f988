/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The answer of a TRACK request: see track_answer.c.
 */
#ifndef GCHEAP_TRACK_ANSWER_H
#define GCHEAP_TRACK_ANSWER_H

#include <linux/bits.h>
#include <linux/gcheap.h>
#include <linux/types.h>

struct gcheap_heap;

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

void track_bits_clear(struct gcheap_heap *heap, u32 page, u32 end);
void track_bits_add(struct track_answer *answer, u32 page);
void track_answer_add(struct track_answer *answer, u32 page);
void track_answer_add_word(struct track_answer *answer, u32 base, unsigned long dirty);
int track_make_bits(struct gcheap_heap *heap);
void track_written(struct gcheap_heap *heap, unsigned long index);

#endif /* GCHEAP_TRACK_ANSWER_H */
