/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Taking scattered parts of object memory out of page tables: see unmap.c.
 */
#ifndef GCHEAP_UNMAP_H
#define GCHEAP_UNMAP_H

#include <linux/types.h>

struct gcheap_heap;
struct mm_struct;

/**
 * struct unmap_part - a part of object memory, in one or two extents
 * @first: its first page
 * @end: the page after its last
 * @count: how many of these pages are there, or were
 */
struct unmap_part {
	unsigned long first;
	unsigned long end;
	unsigned int count;
};

/**
 * struct unmapping - parts of object memory on their way out of page tables
 * @heap: the heap
 * @parks: entries are moved to the parking; the rest is about these
 * @mm: the owner, whose mmap_lock is held
 * @base: address of the HEAP region
 * @parking: number of the first page of the parking
 * @room: how many entries it has room for
 * @parked: how many are there
 */
struct unmapping {
	struct gcheap_heap *heap;
	bool parks;
	struct mm_struct *mm;
	unsigned long base;
	unsigned long parking;
	unsigned int room;
	unsigned int parked;
};

void unmap_begin(struct unmapping *work, struct gcheap_heap *heap, u32 parts);
void unmap_parts(struct unmapping *work, const struct unmap_part *parts, unsigned int count);
void unmap_end(struct unmapping *work);

#endif /* GCHEAP_UNMAP_H */
