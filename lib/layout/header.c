// SPDX-License-Identifier: MIT
/*
 * The HEADER layout: objects up to 512 bytes have a bit a word at their span's
 * end; larger ones start after a prefix whose first word is their type's number.
 * Spans are shared by all types of a size class. The mixed spans of the SPAN layout
 * are the same.
 */
#include "header.h"

#include "heap_bits.h"
#include "type_word.h"

uint64_t header_word_bytes(const struct view *view, const struct gcheap_type_record *type,
			   uint64_t bytes)
{
	return bytes > GCHEAP_HEAP_BITS_MAX || view->record_types ? header_prefix(type) : 0;
}

void *header_finish(const struct view *view, char *slot, gcheap_type type,
		    const struct gcheap_type_record *record, uint64_t bytes)
{
	uint64_t offset = address_offset(view, slot);
	uint64_t info = view->pages[offset >> GCHEAP_PAGE_SHIFT];

	if (GCHEAP_PAGE_KIND(info) == GCHEAP_KIND_HEADER) {
		*(uint64_t *)(void *)slot = type;
		return slot + header_prefix(record);
	}
	heap_bits_finish(view, offset, info, record, bytes);
	return slot;
}

const struct layout layout_header = {
	.uapi = GCHEAP_LAYOUT_HEADER,
	.name = "header",
	.heap_bits = true,
	.word_bytes = header_word_bytes,
	.finish = header_finish,
};
