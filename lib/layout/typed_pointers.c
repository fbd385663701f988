// SPDX-License-Identifier: MIT
/*
 * Typed pointers: one iterator for all the places where pointer metadata lives.
 */
#include "typed_pointers.h"

#include "bitmap.h"
#include "heap_bits.h"
#include "type_word.h"

#define MASK_BYTES	512u	/* memory that a 64-bit mask speaks of */

/* The bits of a mask for the words at and above @bytes from its first. */
static uint64_t mask_from(uint64_t mask, uint64_t bytes)
{
	return bytes < MASK_BYTES ? mask & ~0ull << bytes / 8 : 0;
}

/* Take the words that do not end by @tp->end off the mask. */
static void clip(struct typed_pointers *tp)
{
	uint64_t words = tp->end > tp->addr ? (tp->end - tp->addr) / 8 : 0;

	tp->mask = low_bits(tp->mask, words);
}

/* ---- the BITMAP layout ------------------------------------------------------- */

/*
 * Load the group at @tp->words, of which the first @before words are another slot's.
 * When the object ends there, no group follows.
 */
static void bitmap_load(struct typed_pointers *tp, uint32_t before)
{
	uint64_t scans = tp->words[1] | low_ones(before);

	tp->mask = bitmap_mask(tp->words[0] & ~low_ones(before), scans);
	clip(tp);
	if (~scans)
		tp->words = NULL;
}

static bool bitmap_refill(struct typed_pointers *tp)
{
	while (tp->words) {
		tp->addr += MASK_BYTES;
		tp->words += 2;
		if (tp->addr >= tp->end) {
			tp->words = NULL;
			break;
		}
		bitmap_load(tp, 0);
		if (tp->mask)
			return true;
	}
	return false;
}

/*
 * Go to the group of @start, which is behind this one. The bits of a large object
 * are valid to its end, which its type tells; a smaller one ends with the first scan
 * bit that is 0, at most 63 groups on, and what follows may look like an object.
 */
static void bitmap_seek(struct typed_pointers *tp, uint64_t start)
{
	uint64_t groups = (start - tp->addr) / MASK_BYTES;

	tp->mask = 0;
	if (start >= tp->end)
		tp->words = NULL;
	while (tp->words && !tp->type && groups > 1) {
		tp->addr += MASK_BYTES;
		tp->words += 2;
		groups--;
		if (~tp->words[1])
			tp->words = NULL;
	}
	if (!tp->words)
		return;
	tp->addr += groups * MASK_BYTES;
	tp->words += groups * 2;
	bitmap_load(tp, 0);
	tp->mask = mask_from(tp->mask, start - tp->addr);
}

/* The pointers of a slot of more than 64 words; @type: of a large object, else NULL. */
static struct typed_pointers of_bitmap(const struct view *view, const struct slot *slot,
				       const struct gcheap_type_record *type, uint64_t start,
				       uint64_t end)
{
	uint64_t group = slot->offset & ~(uint64_t)(MASK_BYTES - 1);
	struct typed_pointers tp = {
		.addr = (uint64_t)(uintptr_t)address_pointer(view, group),
		.end = end,
		.type = type,
	};

	if (end > tp.addr) {
		tp.words = bitmap_group(view, slot->offset);
		bitmap_load(&tp, (uint32_t)(slot->offset - group) / 8);
	}
	typed_pointers_fast_forward(&tp, start);
	return tp;
}

/* ---- all layouts ------------------------------------------------------------- */

bool typed_pointers_refill(struct typed_pointers *tp)
{
	if (!tp->step)
		return bitmap_refill(tp);
	do {
		uint64_t word = (tp->addr - tp->elem) / MASK_BYTES + 1;

		if (word < tp->nwords) {
			tp->addr += MASK_BYTES;
			tp->mask = tp->words[word];
		} else {
			tp->elem += tp->step;
			tp->addr = tp->elem;
			tp->mask = tp->tile;
		}
		if (tp->addr >= tp->end) {
			tp->mask = 0;
			tp->step = 0;
			return false;
		}
		clip(tp);
	} while (!tp->mask);
	return true;
}

/* Go to @start, which is not below @tp->elem, and load its mask. */
static void seek(struct typed_pointers *tp, uint64_t start)
{
	uint64_t in = start - tp->elem;
	uint64_t word;

	if (in >= tp->step) {
		tp->elem += in / tp->step * tp->step;
		in = start - tp->elem;
	}
	word = in / MASK_BYTES;
	if (word < tp->nwords) {
		tp->addr = tp->elem + word * MASK_BYTES;
		tp->mask = mask_from(tp->words[word], in % MASK_BYTES);
	} else if (tp->nwords) {
		/* The element's scalar tail: a refill goes to the next one. */
		tp->addr = tp->elem + (tp->nwords - 1) * MASK_BYTES;
		tp->mask = 0;
	} else {
		tp->addr = tp->elem;
		tp->mask = mask_from(tp->tile, in);
	}
	clip(tp);
}

struct typed_pointers typed_pointers_of_mask(const struct gcheap_type_record *type,
					     const uint64_t *mask, uint64_t origin, uint64_t start,
					     uint64_t end)
{
	struct typed_pointers tp = {
		.elem = origin,
		.addr = origin,
		.end = end,
		.type = type,
	};
	uint64_t element = type->bytes / 8;

	if (!type->ptr_bytes)
		return tp;
	tp.step = type->bytes;
	if (type->ptr_bytes > MASK_BYTES) {
		tp.words = mask;
		tp.nwords = (type->ptr_bytes / 8 + 63) / 64;
		tp.tile = type->mask_word;
	} else if (element <= 32) {
		uint32_t fit = 64u / (uint32_t)element * (uint32_t)element;

		tp.tile = mask_tile(type->mask_word, element, fit);
		tp.step = (uint64_t)fit * 8;
	} else {
		tp.tile = type->mask_word;
	}
	seek(&tp, (start + 7) & ~7ull);
	return tp;
}

struct typed_pointers typed_pointers_of_type(const struct view *view,
					     const struct gcheap_type_record *type,
					     uint64_t origin, uint64_t start, uint64_t end)
{
	return typed_pointers_of_mask(type, view_type_mask(view, type), origin, start, end);
}

/* The pointers of a slot of which nothing but a mask is known. */
static struct typed_pointers of_mask(uint64_t slot, uint64_t mask, uint64_t start, uint64_t end)
{
	struct typed_pointers tp = {
		.elem = slot,
		.addr = slot,
		.end = end,
		.mask = mask_from(mask, (start + 7 - slot) & ~7ull),
	};

	clip(&tp);
	return tp;
}

struct typed_pointers typed_pointers_of(const struct view *view, const struct slot *slot,
					uint64_t start, uint64_t end)
{
	const struct gcheap_span *span = &view->spans[slot->page];
	uint64_t address = (uint64_t)(uintptr_t)address_pointer(view, slot->offset);
	const struct gcheap_type_record *type = NULL;
	uint64_t object_end;

	if (slot->info & GCHEAP_PAGE_NOSCAN)
		return of_mask(address, 0, start, end);
	switch ((enum gcheap_kind)GCHEAP_PAGE_KIND(slot->info)) {
	case GCHEAP_KIND_MASK:
		return of_mask(address, span->ptr_mask, start, end);
	case GCHEAP_KIND_HEAP_BITS:
		return of_mask(address,
			       heap_bits_read(view, (uint64_t)slot->page << GCHEAP_PAGE_SHIFT,
					      (uint64_t)span->npages << GCHEAP_PAGE_SHIFT,
					      slot->offset, (uint32_t)slot->bytes),
			       start, end);
	case GCHEAP_KIND_BITMAP:
		if (slot->bytes > MASK_BYTES)
			return of_bitmap(view, slot, NULL, start, end);
		return of_mask(address, bitmap_read(view, slot->offset, (uint32_t)slot->bytes),
			       start, end);
	case GCHEAP_KIND_TYPE:
		type = view_type(view, span->type);
		break;
	case GCHEAP_KIND_HEADER:
		type = type_word_record(view, slot->offset);
		if (type)
			address += header_prefix(type);
		break;
	case GCHEAP_KIND_FOOTER:
		object_end = address + slot->bytes - FOOTER_BYTES;
		type = type_word_record(view, slot->offset + slot->bytes - FOOTER_BYTES);
		end = end < object_end ? end : object_end;
		break;
	case GCHEAP_KIND_LARGE:
		type = view_type(view, span->type);
		/* A large span's rest belongs to no element. */
		object_end = address + span->object_bytes;
		if (view->bitmap)
			object_end = address + bitmap_large_bytes(type, span->object_bytes);
		end = end < object_end ? end : object_end;
		if (view->bitmap)
			return of_bitmap(view, slot, type, start, end);
		break;
	case GCHEAP_KIND_NOSCAN:
	case GCHEAP_KIND_NONE:
		break;
	}
	if (!type)
		return of_mask(address, 0, start, end);
	return typed_pointers_of_type(view, type, address, start > address ? start : address, end);
}

void typed_pointers_fast_forward(struct typed_pointers *tp, uint64_t start)
{
	start = (start + 7) & ~7ull;
	if (start <= tp->addr)
		return;
	if (!tp->step && tp->words && start - tp->addr >= MASK_BYTES) {
		bitmap_seek(tp, start);
		return;
	}
	if (!tp->step || (start - tp->elem < tp->step && start - tp->addr < MASK_BYTES))
		tp->mask = mask_from(tp->mask, start - tp->addr);
	else
		seek(tp, start);
}
