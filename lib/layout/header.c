// SPDX-License-Identifier: MIT
/*
 * The HEADER layout: objects up to 512 bytes have a bit a word at their span's
 * end; larger ones start after a prefix whose first word is their type's number.
 * Spans are shared by all types of a size class.
 */
#include "size_class.h"

static uint32_t header_size_class(const struct gcheap_type_record *type, uint64_t bytes)
{
	if (bytes > GCHEAP_HEAP_BITS_MAX)
		bytes += header_prefix(type);
	return size_class_aligned(bytes, type->align);
}

/*
 * The bits cover the whole slot, because another type's may stand there. A slot
 * has at most 64 words, so that they are in one word of bits or in two.
 */
static void heap_bits_write(const struct view *view, uint64_t first, uint64_t span_bytes,
			    uint64_t slot_offset, uint32_t slot_bytes, uint64_t mask)
{
	uint64_t *bits = heap_bits_word(view, first, span_bytes, slot_offset);
	uint32_t shift = (slot_offset - first) / 8 % 64;
	uint32_t words = slot_bytes / 8;
	uint64_t ones = words < 64 ? (1ull << words) - 1 : ~0ull;

	bits[0] = (bits[0] & ~(ones << shift)) | mask << shift;
	if (shift + words > 64)
		bits[1] = (bits[1] & ~(ones >> (64 - shift))) | mask >> (64 - shift);
}

static void *header_finish(const struct view *view, char *slot, gcheap_type type,
			   const struct gcheap_type_record *record, uint64_t bytes)
{
	uint64_t offset = view_offset(view, slot);
	uint64_t page = offset >> GCHEAP_PAGE_SHIFT;
	uint64_t info = view->pages[page];
	uint64_t mask;

	if (GCHEAP_PAGE_KIND(info) == GCHEAP_KIND_HEADER) {
		*(uint64_t *)(void *)slot = type;
		return slot + header_prefix(record);
	}
	page -= GCHEAP_PAGE_INDEX(info);
	mask = typed_pointers_tile(record->mask_word, record->bytes / 8, (uint32_t)(bytes / 8));
	heap_bits_write(view, page << GCHEAP_PAGE_SHIFT,
			(uint64_t)size_class_pages[GCHEAP_PAGE_CLASS(info)] << GCHEAP_PAGE_SHIFT,
			offset, GCHEAP_PAGE_SLOT_BYTES(info), mask);
	return slot;
}

const struct layout layout_header = {
	.uapi = GCHEAP_UAPI_LAYOUT_HEADER,
	.name = "header",
	.size_class = header_size_class,
	.shared_caches = true,
	.finish = header_finish,
};
