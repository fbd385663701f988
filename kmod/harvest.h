/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What track_harvest.c and track_plain.c share: the two look for written pages in page
 * tables.
 */
#ifndef GCHEAP_HARVEST_H
#define GCHEAP_HARVEST_H

#include <linux/mm_types.h>

#include "track_answer.h"

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

#endif /* GCHEAP_HARVEST_H */
