// SPDX-License-Identifier: MIT
/*
 * Where a pointer leads that leads to no object.
 */
#include "bad_pointer.h"

#include <stdio.h>

#include "address.h"
#include "library.h"
#include "slots.h"

const char *bad_pointer_state_name(uint32_t state)
{
	static const char *const names[] = {
		[GCHEAP_SPAN_FREE] = "free",
		[GCHEAP_SPAN_INNER] = "inner",
		[GCHEAP_SPAN_CENTRAL] = "central",
		[GCHEAP_SPAN_CACHED] = "cached",
		[GCHEAP_SPAN_LARGE] = "large",
		[GCHEAP_SPAN_CHUNK] = "chunk",
		[GCHEAP_SPAN_QUARANTINE] = "freed, in quarantine",
		[GCHEAP_SPAN_READY] = "ready chunk",
	};

	return state < sizeof(names) / sizeof(names[0]) ? names[state] : "unknown";
}

/* Into a span: which, and its class where it has one. */
static int describe_span(const struct gcheap_span *span, uint64_t page, char *text, size_t room)
{
	uint32_t size_class = SPAN_CLASS_SIZE(span->span_class);
	uint32_t state = span->state & GCHEAP_SPAN_STATE_MASK;

	if (!size_class)
		return snprintf(text, room, "the span at page %llu (%s, %u pages)",
				(unsigned long long)page, bad_pointer_state_name(state),
				span->npages);
	return snprintf(text, room, "the span at page %llu (%s, class %u: %u bytes%s)",
			(unsigned long long)page, bad_pointer_state_name(state), size_class,
			size_class_bytes[size_class],
			SPAN_CLASS_NOSCAN(span->span_class) ? ", no pointers" : "");
}

/* The first page of the span that has @page. */
static uint64_t first_page(const struct view *view, uint64_t page)
{
	const struct gcheap_span *span = &view->spans[page];

	if ((span->state & GCHEAP_SPAN_STATE_MASK) == GCHEAP_SPAN_INNER)
		return span->first_page;
	return page;
}

const char *bad_pointer_span(const struct gcheap *heap, uint64_t offset, char *text)
{
	uint64_t page = first_page(&heap->view, offset >> GCHEAP_PAGE_SHIFT);

	describe_span(&heap->view.spans[page], page, text, BAD_POINTER_TEXT);
	return text;
}

const char *bad_pointer_describe(const struct gcheap *heap, const void *p, char *text)
{
	const struct view *view = &heap->view;
	uint64_t offset = address_offset(view, p);
	uint64_t page = offset >> GCHEAP_PAGE_SHIFT;
	const struct gcheap_span *span;
	struct slot slot;
	int used;

	if (offset >= view->reserve_bytes) {
		snprintf(text, BAD_POINTER_TEXT, "out of this heap");
		return text;
	}
	if (offset >= address_end(view)) {
		snprintf(text, BAD_POINTER_TEXT, "beyond the heap's pages: page %llu of %u",
			 (unsigned long long)page, view->ctrl->heap_pages);
		return text;
	}
	if (!page) {
		snprintf(text, BAD_POINTER_TEXT, "to the heap's first page, which is never used");
		return text;
	}
	page = first_page(view, page);
	span = &view->spans[page];
	switch (span->state & GCHEAP_SPAN_STATE_MASK) {
	case GCHEAP_SPAN_FREE:
		snprintf(text, BAD_POINTER_TEXT, "to page %llu, which is free",
			 (unsigned long long)page);
		return text;
	case GCHEAP_SPAN_CHUNK:
		snprintf(text, BAD_POINTER_TEXT, "into the chunk of a user arena at page %llu, "
			 "where the heap knows no objects", (unsigned long long)page);
		return text;
	case GCHEAP_SPAN_QUARANTINE:
	case GCHEAP_SPAN_READY:
		used = snprintf(text, BAD_POINTER_TEXT, "into freed memory, where an access "
				"faults: ");
		break;
	default:
		if (address_slot(view, offset, &slot))
			used = snprintf(text, BAD_POINTER_TEXT, "to slot %u of %u, which is free, "
					"of ", slot.index, span->slots);
		else
			used = snprintf(text, BAD_POINTER_TEXT, "behind the last slot of ");
		break;
	}
	describe_span(span, page, text + used, BAD_POINTER_TEXT - (size_t)used);
	return text;
}
