/* SPDX-License-Identifier: MIT */
/*
 * A heap's mapped regions, as the library reads them. The kernel alone writes the tables,
 * so that the library can rely on what it reads there; this process may write the bit
 * tables.
 */
#ifndef GCHEAP_LIB_VIEW_H
#define GCHEAP_LIB_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <gcheap.h>
#include <linux/gcheap.h>

struct backend;

/**
 * struct view - the mapped regions of a heap
 * @base: start of the HEAP region, aligned to an arena
 * @reserve_bytes: its length
 * @pages: PAGES
 * @spans: SPANS
 * @types: TYPES, by byte offset
 * @marks: the two bit tables
 * @page_marks: one bit a heap page
 * @page_specials: the same, for spans with specials (special.h)
 * @bitmap: BITMAP; NULL in the other layouts
 * @ctrl: CTRL
 * @record_types: a heap of GCHEAP_RECORD_TYPES
 */
struct view {
	char *base;
	uint64_t reserve_bytes;
	const uint64_t *pages;
	const struct gcheap_span *spans;
	const char *types;
	uint64_t *marks[2];
	uint64_t *page_marks;
	uint64_t *page_specials;
	uint64_t *bitmap;
	const struct gcheap_ctrl *ctrl;
	bool record_types;
};

/* Sets all but @record_types, from the regions of a backend. */
void view_init(struct view *view, const struct backend *backend);

/* A field of CTRL, which requests of other threads change. */
#define ctrl_load(field)	__atomic_load_n(field, __ATOMIC_RELAXED)

static inline bool view_bit(const uint64_t *table, uint64_t bit)
{
	return table[bit >> 6] >> (bit & 63) & 1;
}

static inline uint64_t *view_mark_bits(const struct view *view)
{
	return view->marks[ctrl_load(&view->ctrl->mark_table)];
}

static inline uint64_t *view_alloc_bits(const struct view *view)
{
	return view->marks[ctrl_load(&view->ctrl->mark_table) ^ 1];
}

static inline const struct gcheap_type_record *view_type(const struct view *view, gcheap_type type)
{
	return (const struct gcheap_type_record *)(view->types +
		(uint64_t)type * sizeof(struct gcheap_type_record));
}

/*
 * The pointer mask of a type: @ptr_bytes / 8 bits, and zeros to a whole word; NULL: it
 * is a type by program, and without an object (layout/program.h).
 */
static inline const uint64_t *view_type_mask(const struct view *view,
					     const struct gcheap_type_record *record)
{
	if (record->mask_offset)
		return (const uint64_t *)(view->types + record->mask_offset);
	return record->program_bytes ? NULL : (const uint64_t *)&record->mask_word;
}

/* Whether there is a type of this number; what a header says need not be one. */
static inline bool view_type_exists(const struct view *view, uint64_t type)
{
	return type && type <= ctrl_load(&view->ctrl->counters.types);
}

#endif /* GCHEAP_LIB_VIEW_H */
