// SPDX-License-Identifier: MIT
/*
 * Scanning what is rare: objects whose pointers no single mask tells, roots of a type, and large
 * objects, oblet by oblet.
 */
#include "mark_scan.h"

#include "layout/type_word.h"

/* Oblets that go on the stack together. */
#define OBLETS_AT_ONCE	512u
/* Pointers that lead so far apart do not have much in common. */
#define ARRAY_BYTES	(64u << 10)

/*
 * Whether what 64 pointers lead to may be close together, as in an array whose elements were
 * allocated one after the other.
 */
static inline GUARD_EXEMPT bool array_is_ordered(const uint64_t *words)
{
	return words[0] && words[63] - words[0] + ARRAY_BYTES < 2 * ARRAY_BYTES;
}

/* Words of an array or another object of many. */
static inline void scan_many(struct marker *marker, const uint64_t *words, uint64_t mask)
{
	mark_edges_room(marker);
	if (mask == ~0ull && array_is_ordered(words) && !marker->watch.fn)
		marker->kernel->array(marker, words);
	else
		mark_scan_words(marker, words, mask);
}

/* Scan elements of a type: a whole object, an oblet, roots. */
void mark_scan_typed(struct marker *marker, struct typed_pointers tp)
{
	while (tp.mask || typed_pointers_refill(&tp)) {
		scan_many(marker, (const uint64_t *)(uintptr_t)tp.addr, tp.mask);
		tp.mask = 0;
	}
}

/*
 * What the bitmap says of [@offset, @end), offsets from the base: of one object from
 * its first byte, or from any byte of a large one.
 */
static void scan_bitmap(struct marker *marker, uint64_t offset, uint64_t end)
{
	const uint64_t *group = bitmap_group(marker->view, offset);
	uint64_t below = low_ones(offset / 8 % 64);
	uint64_t at = offset & ~(uint64_t)(BITMAP_GROUP_BYTES - 1);

	for (; at < end; at += BITMAP_GROUP_BYTES, group += 2, below = 0) {
		uint64_t scans = group[1] | below;
		uint64_t mask = bitmap_mask(group[0] & ~below, scans) &
				low_ones((end - at) / 8);

		scan_many(marker, (const uint64_t *)(uintptr_t)(marker->base + at), mask);
		if (~scans)
			return;
	}
}

/* Scan up to 64 words from @at, but none from @end on. */
static inline void scan_group(struct marker *marker, uint64_t at, uint64_t end, uint64_t mask)
{
	if (end - at < 512)
		mask &= (1ull << (end - at) / 8) - 1;
	scan_many(marker, (const uint64_t *)(uintptr_t)at, mask);
}

/*
 * Scan elements of a type, whose first is at @at: what typed_pointers_of_type() does,
 * without the care for a start inside of an element.
 */
static void scan_elements(struct marker *marker, const struct gcheap_type_record *type,
			  uint64_t at, uint64_t end)
{
	uint64_t step = type->bytes;
	uint64_t tile = type->mask_word;

	if (type->mask_offset) {
		const uint64_t *masks = view_type_mask(marker->view, type);

		for (; at < end; at += step) {
			uint64_t groups = (type->ptr_bytes + 511) / 512;
			uint64_t i;

			for (i = 0; i < groups && at + i * 512 < end; i++)
				scan_group(marker, at + i * 512, end, masks[i]);
		}
		return;
	}
	/* As many elements at a time as a mask speaks of. */
	for (; step <= 256; step *= 2)
		tile |= tile << step / 8;
	for (; at < end; at += step)
		scan_group(marker, at, end, tile);
}

static void scan_small_typed(struct marker *marker, uint64_t entry)
{
	uint64_t offset = MARK_ENTRY_OFFSET(entry);
	uint64_t slot = marker->base + offset;
	uint64_t end = slot + size_class_bytes[GCHEAP_PAGE_CLASS(entry)];
	const struct gcheap_type_record *type;

	switch (GCHEAP_PAGE_KIND(entry)) {
	case GCHEAP_KIND_TYPE:
		type = view_type(marker->view, marker->spans[mark_entry_first_page(entry)].type);
		break;
	case GCHEAP_KIND_BITMAP:
		scan_bitmap(marker, offset, end - marker->base);
		return;
	case GCHEAP_KIND_FOOTER:
		end -= FOOTER_BYTES;
		type = type_word_record(marker->view, end - marker->base);
		if (!type)
			return;
		break;
	default:
		type = type_word_record(marker->view, offset);
		if (!type)
			return;
		slot += header_prefix(type);
		break;
	}
	scan_elements(marker, type, slot, end);
}

/* A part of a large object; offsets from the base. */
static void scan_large_range(struct marker *marker, const struct gcheap_span *span,
			     uint64_t object, uint64_t start, uint64_t end)
{
	const struct gcheap_type_record *type = view_type(marker->view, span->type);
	uint64_t base = marker->base;

	if (marker->bitmap) {
		uint64_t last = object + bitmap_large_bytes(type, span->object_bytes);

		if (start < last)
			scan_bitmap(marker, start, end < last ? end : last);
		return;
	}
	mark_scan_typed(marker, typed_pointers_of_type(marker->view, type, base + object,
						       base + start, base + end));
}

/*
 * Put the oblets behind one on the stack, so that other markers can have some of them: those
 * from @offset on, each an entry, the nearest on top; and one for the rest of a very large
 * object. False: there is no room for that.
 */
static bool push_oblets(struct marker *marker, uint64_t entry, uint64_t object_end)
{
	uint64_t left = object_end - MARK_ENTRY_OFFSET(entry);
	uint64_t count = (left + MARK_OBLET_BYTES - 1) / MARK_OBLET_BYTES;
	struct mark_stack *stack = &marker->stack;

	if (count > OBLETS_AT_ONCE)
		count = OBLETS_AT_ONCE;
	if (mark_stack_reserve(stack, count + 1) < count + 1)
		return false;
	if (count * MARK_OBLET_BYTES < left)
		*stack->top++ = entry + count * MARK_OBLET_BYTES;
	while (count--)
		*stack->top++ = (entry + count * MARK_OBLET_BYTES) | MARK_ENTRY_ONE;
	return true;
}

/*
 * One oblet of a large object. Those behind it go on the stack first, so that what this
 * one leads to is done before them, and the stack stays short.
 */
static void scan_oblet(struct marker *marker, uint64_t entry)
{
	uint64_t offset = MARK_ENTRY_OFFSET(entry);
	uint64_t page = offset >> GCHEAP_PAGE_SHIFT;
	const struct gcheap_span *span = &marker->spans[page];
	uint64_t object, object_end, end;

	marker->has_coarse = true;
	if ((span->state & GCHEAP_SPAN_STATE_MASK) == GCHEAP_SPAN_INNER) {
		page = span->first_page;
		span = &marker->spans[page];
	}
	object = page << GCHEAP_PAGE_SHIFT;
	object_end = object + span->object_bytes;
	end = offset + MARK_OBLET_BYTES;
	if (end >= object_end)
		end = object_end;
	else if (!(entry & MARK_ENTRY_ONE) &&
		 !push_oblets(marker, entry + MARK_OBLET_BYTES, object_end))
		mark_push(marker, entry + MARK_OBLET_BYTES);
	scan_large_range(marker, span, object, offset, end);
}

void mark_scan_large(struct marker *marker, uint64_t page)
{
	const struct gcheap_span *span = &marker->spans[page];
	uint64_t object = page << GCHEAP_PAGE_SHIFT;

	scan_large_range(marker, span, object, object, object + span->object_bytes);
}

/* A part of a chunk's objects; offsets from the base. */
static void scan_chunk_range(struct marker *marker, uint64_t chunk, uint64_t start, uint64_t end)
{
	const char *memory = (const char *)(uintptr_t)(marker->base + chunk);
	const uint64_t *bits = (const uint64_t *)(const void *)(memory + ARENA_DATA_BYTES) +
			       (start - chunk) / ARENA_GROUP_BYTES * 2;

	for (; start < end; start += ARENA_GROUP_BYTES, bits += 2) {
		if (bits[0])
			scan_many(marker, (const uint64_t *)(uintptr_t)(marker->base + start),
				  bits[0]);
	}
}

/* Where a chunk's objects end: an offset from the base. */
static uint64_t chunk_front(const struct marker *marker, uint64_t number)
{
	return (number << GCHEAP_CHUNK_SHIFT) +
	       arena_chunk_front(marker->heap, &marker->heap->arenas.chunks[number]);
}

/* One oblet of a chunk, as scan_oblet(). */
static void scan_chunk(struct marker *marker, uint64_t entry)
{
	uint64_t offset = MARK_ENTRY_OFFSET(entry);
	uint64_t number = arena_chunk_number(offset);
	uint64_t front = chunk_front(marker, number);
	uint64_t end = offset + MARK_OBLET_BYTES;

	marker->has_coarse = true;
	if (end >= front)
		end = front;
	else if (!(entry & MARK_ENTRY_ONE) && !push_oblets(marker, entry + MARK_OBLET_BYTES, front))
		mark_push(marker, entry + MARK_OBLET_BYTES);
	scan_chunk_range(marker, number << GCHEAP_CHUNK_SHIFT, offset, end);
}

void mark_scan_chunk(struct marker *marker, uint64_t number)
{
	uint64_t chunk = number << GCHEAP_CHUNK_SHIFT;

	scan_chunk_range(marker, chunk, chunk, chunk_front(marker, number));
}

static void scan_piece(struct marker *marker, uint64_t entry)
{
	const struct mark_piece *piece = &marker->team->pieces[MARK_ENTRY_OFFSET(entry)];

	marker->has_coarse = true;
	piece->work(marker, piece);
}

void mark_scan_rare(struct marker *marker, uint64_t entry)
{
	if (GCHEAP_PAGE_KIND(entry) == GCHEAP_KIND_LARGE)
		scan_oblet(marker, entry);
	else if (GCHEAP_PAGE_KIND(entry) == MARK_KIND_CHUNK)
		scan_chunk(marker, entry);
	else if (GCHEAP_PAGE_KIND(entry) == MARK_KIND_PIECE)
		scan_piece(marker, entry);
	else
		scan_small_typed(marker, entry);
}
