// SPDX-License-Identifier: MIT
/*
 * The FOOTER layout: as HEADER, but the type's number is the last word of a slot
 * of more than 512 bytes. The object starts where its slot does, so that it keeps
 * the slot's alignment.
 */
#include "heap_bits.h"
#include "layout.h"
#include "type_word.h"

static uint64_t footer_word_bytes(const struct view *view, const struct gcheap_type_record *type,
				  uint64_t bytes)
{
	(void)type;
	return bytes > GCHEAP_HEAP_BITS_MAX || view->record_types ? FOOTER_BYTES : 0;
}

static void *footer_finish(const struct view *view, char *slot, gcheap_type type,
			   const struct gcheap_type_record *record, uint64_t bytes)
{
	uint64_t offset = address_offset(view, slot);
	uint64_t info = view->pages[offset >> GCHEAP_PAGE_SHIFT];

	if (GCHEAP_PAGE_KIND(info) == GCHEAP_KIND_FOOTER)
		*(uint64_t *)(void *)(slot + GCHEAP_PAGE_SLOT_BYTES(info) - FOOTER_BYTES) = type;
	else
		heap_bits_finish(view, offset, info, record, bytes);
	return slot;
}

const struct layout layout_footer = {
	.uapi = GCHEAP_LAYOUT_FOOTER,
	.name = "footer",
	.heap_bits = true,
	.word_bytes = footer_word_bytes,
	.finish = footer_finish,
};
