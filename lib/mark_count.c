// SPDX-License-Identifier: MIT
/*
 * What is read back from the mark bits: the cycle's figures, and, after the stack
 * has overflowed, the objects that were marked and not scanned.
 *
 * Both walk the spans that have a page mark. A walk costs about a nanosecond a
 * span, far less than counting object by object would.
 */
#include "mark_state.h"

#define WORDS_PER_PAGE	8u	/* of a bit table */

/**
 * struct count - what counting needs at a span
 * @marker: the marker
 * @result: the figures
 * @ends: marked free slots that follow an object
 */
struct count {
	const struct marker *marker;
	struct mark_result *result;
	uint64_t ends;
};

/* Calls @visit for the first page of each span that has a marked slot. */
static void marked_spans(struct marker *marker,
			 void (*visit)(struct marker *marker, uint64_t page, void *arg), void *arg)
{
	uint64_t pages = marker->end >> GCHEAP_PAGE_SHIFT;
	uint64_t at;

	for (at = 0; at < pages; at += 64) {
		uint64_t word = marker->page_marks[at / 64];

		for (; word; word &= word - 1)
			visit(marker, at + (unsigned int)__builtin_ctzll(word), arg);
	}
}

/* Offset of the slot that has this bit, which is counted from its span's first. */
static uint64_t slot_of_bit(uint64_t page, uint64_t info, uint64_t bit)
{
	uint64_t index = (bit << GCHEAP_GRANULE_SHIFT) * GCHEAP_PAGE_MAGIC(info) >> 32;

	return (page << GCHEAP_PAGE_SHIFT) + index * GCHEAP_PAGE_SLOT_BYTES(info);
}

bool mark_may_be_end(const struct marker *marker, uint64_t edge)
{
	struct slot slot;

	return edge && view_slot(marker->view, edge - 1, &slot) &&
	       slot.offset + slot.bytes == edge &&
	       view_bit(view_alloc_bits(marker->view), view_granule(slot.offset));
}

void mark_quarantine(struct marker *marker, uint64_t edge)
{
	uint64_t page;

	if (view_set_aside(marker->view, edge, &page) == GCHEAP_SPAN_QUARANTINE &&
	    !mark_may_be_end(marker, edge))
		marker->page_marks[page / 64] |= 1ull << page % 64;
}

void mark_edge_none(struct marker *marker, uint64_t edge)
{
	uint64_t page;

	/* The heap does not know what is in user arenas. */
	if (view_set_aside(marker->view, edge, &page) == GCHEAP_SPAN_CHUNK ||
	    mark_may_be_end(marker, edge))
		return;
	marker->bad_pointers++;
	mark_quarantine(marker, edge);
}

/*
 * Slots that were marked and are free: pointers to the end of an object lead
 * there, and dangling ones. They stay free. What is in them was followed all the
 * same, old pointers: an alloc bit looked up for each object would cost a fifth of
 * the time to mark a large heap. These keep what they lead to for a cycle, and
 * make the count of bad pointers worthless.
 */
static void count_free(struct count *count, uint64_t page, uint64_t info, uint64_t first_bit,
		       uint64_t bits)
{
	for (; bits; bits &= bits - 1) {
		uint64_t bit = first_bit + (unsigned int)__builtin_ctzll(bits);

		if (mark_may_be_end(count->marker, slot_of_bit(page, info, bit)))
			count->ends++;
		else
			count->result->bad_pointers++;
	}
}

static void count_span(struct marker *marker, uint64_t page, void *arg)
{
	uint64_t info = marker->pages[page];
	uint64_t *marks = marker->marks + page * WORDS_PER_PAGE;
	const uint64_t *allocs = view_alloc_bits(marker->view) + page * WORDS_PER_PAGE;
	struct count *count = arg;
	struct mark_result *result = count->result;
	uint64_t marked = 0;
	uint64_t words, i;

	if (GCHEAP_PAGE_KIND(info) == GCHEAP_KIND_LARGE) {
		result->objects++;
		result->bytes += (uint64_t)marker->spans[page].npages << GCHEAP_PAGE_SHIFT;
		result->span_bytes += (uint64_t)marker->spans[page].npages << GCHEAP_PAGE_SHIFT;
		return;
	}
	/* A freed span in quarantine has no PAGES entry, and class 0 no words. */
	result->span_bytes += (uint64_t)size_class_pages[GCHEAP_PAGE_CLASS(info)] <<
			      GCHEAP_PAGE_SHIFT;
	words = (uint64_t)size_class_pages[GCHEAP_PAGE_CLASS(info)] * WORDS_PER_PAGE;
	for (i = 0; i < words; i++) {
		uint64_t free_slots = marks[i] & ~allocs[i];

		if (__builtin_expect(free_slots != 0, 0)) {
			count_free(count, page, info, i * 64, free_slots);
			marks[i] &= allocs[i];
		}
		marked += (uint64_t)__builtin_popcountll(marks[i]);
	}
	result->objects += marked;
	result->bytes += marked * GCHEAP_PAGE_SLOT_BYTES(info);
}

void mark_count(struct marker *marker, struct mark_result *result)
{
	struct count count = { .marker = marker, .result = result };

	*result = (struct mark_result){ .bad_pointers = marker->bad_pointers };
	marked_spans(marker, count_span, &count);
	if (count.ends)
		result->bad_pointers = 0;
}

static void rescan_span(struct marker *marker, uint64_t page, void *unused)
{
	uint64_t info = marker->pages[page];
	uint64_t words, i;

	(void)unused;
	if (info & GCHEAP_PAGE_NOSCAN)
		return;
	if (GCHEAP_PAGE_KIND(info) == GCHEAP_KIND_LARGE) {
		mark_scan_large(marker, page);
		mark_edges(marker);
		mark_drain(marker);
		return;
	}
	words = (uint64_t)size_class_pages[GCHEAP_PAGE_CLASS(info)] * WORDS_PER_PAGE;
	for (i = 0; i < words; i++) {
		uint64_t word = marker->marks[page * WORDS_PER_PAGE + i];

		for (; word; word &= word - 1) {
			uint64_t bit = i * 64 + (unsigned int)__builtin_ctzll(word);
			uint64_t start = slot_of_bit(page, info, bit);

			mark_scan(marker, (info & MARK_ENTRY_INFO) | start |
				  ((start >> GCHEAP_PAGE_SHIFT) - page) << 56);
		}
	}
	mark_edges(marker);
	mark_drain(marker);
}

void mark_rescan(struct marker *marker)
{
	marked_spans(marker, rescan_span, NULL);
}
