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

/* Calls @visit for the first page of each span that has a marked slot. */
static void marked_spans(const struct marker *marker,
			 void (*visit)(const struct marker *marker, uint64_t page, void *arg),
			 void *arg)
{
	uint64_t pages = marker->end >> GCHEAP_PAGE_SHIFT;
	uint64_t at;

	for (at = 0; at < pages; at += 64) {
		uint64_t word = marker->page_marks[at / 64];

		for (; word; word &= word - 1)
			visit(marker, at + (unsigned int)__builtin_ctzll(word), arg);
	}
}

static void count_span(const struct marker *marker, uint64_t page, void *arg)
{
	uint64_t info = marker->pages[page];
	const uint64_t *marks = marker->marks + page * WORDS_PER_PAGE;
	const uint64_t *allocs = view_alloc_bits(marker->view) + page * WORDS_PER_PAGE;
	struct mark_result *result = arg;
	uint64_t marked = 0;
	uint64_t dangling = 0;
	uint64_t words, i;

	if (GCHEAP_PAGE_KIND(info) == GCHEAP_KIND_LARGE) {
		result->objects++;
		result->bytes += (uint64_t)marker->spans[page].npages << GCHEAP_PAGE_SHIFT;
		return;
	}
	words = (uint64_t)size_class_pages[GCHEAP_PAGE_CLASS(info)] * WORDS_PER_PAGE;
	for (i = 0; i < words; i++) {
		marked += (uint64_t)__builtin_popcountll(marks[i]);
		dangling += (uint64_t)__builtin_popcountll(marks[i] & ~allocs[i]);
	}
	result->objects += marked;
	result->bytes += marked * GCHEAP_PAGE_SLOT_BYTES(info);
	result->bad_pointers += dangling;
}

void mark_count(const struct marker *marker, struct mark_result *result)
{
	*result = (struct mark_result){ .bad_pointers = marker->bad_pointers };
	marked_spans(marker, count_span, result);
}

static void rescan_span(const struct marker *unused, uint64_t page, void *arg)
{
	struct marker *marker = arg;
	uint64_t info = marker->pages[page];
	uint64_t first = page << GCHEAP_PAGE_SHIFT;
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
			uint64_t granule = i * 64 + (unsigned int)__builtin_ctzll(word);
			uint64_t index = (granule << GCHEAP_GRANULE_SHIFT) *
					 GCHEAP_PAGE_MAGIC(info) >> 32;
			uint64_t start = first + index * GCHEAP_PAGE_SLOT_BYTES(info);

			mark_scan(marker, (info & MARK_ENTRY_INFO) | start |
				  ((start >> GCHEAP_PAGE_SHIFT) - page) << 56);
		}
	}
	mark_edges(marker);
	mark_drain(marker);
}

void mark_rescan(struct marker *marker)
{
	marked_spans(marker, rescan_span, marker);
}
