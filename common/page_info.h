/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Entries of PAGES: how they are put together, and what is computed from them.
 * <linux/gcheap.h> draws them, and has the macros that take a field out.
 */
#ifndef GCHEAP_PAGE_INFO_H
#define GCHEAP_PAGE_INFO_H

#include "base.h"
#include "size_classes.h"
#include "units.h"

#define PAGE_INFO_BYTES_SHIFT	32
#define PAGE_INFO_CLASS_SHIFT	48
#define PAGE_INFO_INDEX_SHIFT	56
#define PAGE_INFO_KIND_SHIFT	60

static_assert(GCHEAP_PAGE_SLOT_BYTES(0x7fffull << PAGE_INFO_BYTES_SHIFT) == 0x7fff);
static_assert(GCHEAP_PAGE_CLASS(0x7full << PAGE_INFO_CLASS_SHIFT) == 0x7f);
static_assert(GCHEAP_PAGE_INDEX((SPAN_PAGES_MAX - 1ull) << PAGE_INFO_INDEX_SHIFT) ==
	      SPAN_PAGES_MAX - 1);
static_assert(GCHEAP_PAGE_KIND(15ull << PAGE_INFO_KIND_SHIFT) == 15);

/* What the entry of a span's page @index has beside that of its first page. */
static inline u64 page_info_index(u64 index)
{
	return index << PAGE_INFO_INDEX_SHIFT;
}

/* The entry of the first page of a small-object span. */
static inline u64 page_info_small(u32 size_class, enum gcheap_kind kind, bool noscan)
{
	return size_class_magic[size_class] |
	       (u64)size_class_bytes[size_class] << PAGE_INFO_BYTES_SHIFT |
	       (u64)size_class << PAGE_INFO_CLASS_SHIFT | (noscan ? GCHEAP_PAGE_NOSCAN : 0) |
	       (u64)kind << PAGE_INFO_KIND_SHIFT;
}

/* The entry of every page of a large object. */
static inline u64 page_info_large(bool noscan)
{
	return (u64)GCHEAP_KIND_LARGE << PAGE_INFO_KIND_SHIFT | (noscan ? GCHEAP_PAGE_NOSCAN : 0);
}

/* Heap pages of a small-object span. */
static inline u32 page_info_pages(u64 info)
{
	return size_class_pages[GCHEAP_PAGE_CLASS(info)];
}

/* Number of the slot that has the byte at an offset in a small-object span. */
static inline u64 page_info_slot(u64 info, u64 offset)
{
	return offset * GCHEAP_PAGE_MAGIC(info) >> 32;
}

#endif /* GCHEAP_PAGE_INFO_H */
