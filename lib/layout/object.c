// SPDX-License-Identifier: MIT
/*
 * What all layouts share: size classes of memory without pointers, and what a
 * slot holds.
 */
#include "layout.h"
#include "size_class.h"
#include "size_classes.h"
#include "type_word.h"

uint32_t layout_size_class_plain(uint64_t bytes, uint64_t align)
{
	return size_class_aligned(bytes, align);
}

uint32_t layout_size_class(const struct gcheap *heap, const struct gcheap_type_record *type,
			   uint64_t bytes, bool shared)
{
	/* It is large with or without a type word, for which there may be no room in 64 bits. */
	if (bytes > SIZE_CLASS_MAX_BYTES)
		return 0;
	bytes += heap->guard_bytes;
	if (layout_knows_type(heap, type) && (shared || !heap->layout->own_spans))
		bytes += heap->layout->word_bytes(&heap->view, type, bytes);
	return size_class_aligned(bytes, type->align);
}

uint64_t layout_room(const struct gcheap *heap, uint64_t bytes, bool noscan)
{
	/* A type's least alignment, and that of bytes. */
	const struct gcheap_type_record type = { .align = noscan ? 16 : 8 };
	uint64_t word = 0;
	uint32_t size_class;

	if (!noscan && !heap->layout->own_spans)
		word = heap->layout->word_bytes(&heap->view, &type, bytes);
	size_class = size_class_aligned(bytes + word, type.align);
	return size_class ? size_class_bytes[size_class] - word : 0;
}

void layout_object(const struct view *view, const struct slot *slot, struct object_view *object)
{
	const struct gcheap_span *span = &view->spans[slot->page];
	const struct gcheap_type_record *type;

	object->start = slot->offset;
	object->end = slot->offset + slot->bytes;
	object->noscan = slot->info & GCHEAP_PAGE_NOSCAN;
	object->type = 0;
	switch ((enum gcheap_kind)GCHEAP_PAGE_KIND(slot->info)) {
	case GCHEAP_KIND_MASK:
	case GCHEAP_KIND_TYPE:
	case GCHEAP_KIND_LARGE:
		object->type = span->type;
		break;
	case GCHEAP_KIND_HEADER:
		type = type_word_record(view, slot->offset);
		object->start += type ? header_prefix(type) : 8;
		if (type)
			object->type = (gcheap_type)type_word(view, slot->offset);
		break;
	case GCHEAP_KIND_BITMAP:
		if (!view->record_types)
			break;
		/* fallthrough */
	case GCHEAP_KIND_FOOTER:
		object->end -= FOOTER_BYTES;
		if (type_word_record(view, object->end))
			object->type = (gcheap_type)type_word(view, object->end);
		break;
	default:
		break;
	}
}
