// SPDX-License-Identifier: MIT
/*
 * The HEADER layout: objects up to 512 bytes have a bit a word at their span's
 * end; larger ones start after a prefix whose first word is their type's number.
 * Spans are shared by all types of a size class.
 */
#include "heap_bits.h"

static uint32_t header_size_class(const struct gcheap_type_record *type, uint64_t bytes)
{
	if (bytes > GCHEAP_HEAP_BITS_MAX)
		bytes += header_prefix(type);
	return size_class_aligned(bytes, type->align);
}

static void *header_finish(const struct view *view, char *slot, gcheap_type type,
			   const struct gcheap_type_record *record, uint64_t bytes)
{
	uint64_t offset = view_offset(view, slot);
	uint64_t info = view->pages[offset >> GCHEAP_PAGE_SHIFT];

	if (GCHEAP_PAGE_KIND(info) == GCHEAP_KIND_HEADER) {
		*(uint64_t *)(void *)slot = type;
		return slot + header_prefix(record);
	}
	heap_bits_finish(view, offset, info, record, bytes);
	return slot;
}

const struct layout layout_header = {
	.uapi = GCHEAP_UAPI_LAYOUT_HEADER,
	.name = "header",
	.size_class = header_size_class,
	.shared_caches = true,
	.heap_bits = true,
	.finish = header_finish,
};
