// SPDX-License-Identifier: MIT
/*
 * Looking inside: which object an address belongs to, which of its words are
 * pointers, and the heap's figures.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "address.h"
#include "backend/backend.h"
#include "bad_pointer.h"
#include "error.h"
#include "inspect.h"
#include "layout/layout.h"
#include "layout/typed_pointers.h"
#include "mark.h"
#include "thread.h"

bool inspect_slot_is_allocated(const struct gcheap *heap, const struct slot *slot)
{
	const struct view *view = &heap->view;
	uint8_t state = view->spans[slot->page].state & GCHEAP_SPAN_STATE_MASK;

	/* What a thread's cache hands out has its alloc bit only later. */
	if (state == GCHEAP_SPAN_CACHED && heap->thread)
		return !cache_slot_is_free(heap->thread, slot->page, slot->index);
	return view_bit(view_alloc_bits(view), granule_of(slot->offset));
}

bool inspect_slot(const struct gcheap *heap, uint64_t offset, struct slot *slot)
{
	return offset < address_end(&heap->view) && address_slot(&heap->view, offset, slot) &&
	       inspect_slot_is_allocated(heap, slot);
}

bool inspect_pointer(const struct gcheap *heap, const void *pointer)
{
	uint64_t target = address_offset(&heap->view, pointer);
	struct slot found;
	uint64_t page;

	return target >= heap->view.reserve_bytes || inspect_slot(heap, target, &found) ||
	       address_set_aside(&heap->view, target, &page) == GCHEAP_SPAN_CHUNK ||
	       (target && inspect_slot(heap, target - 1, &found));
}

/* The slot and object that @p points into. */
static int object_find(const struct gcheap *heap, const void *p, struct slot *slot,
		       struct object_view *object)
{
	char where[BAD_POINTER_TEXT];

	if (!inspect_slot(heap, address_offset(&heap->view, p), slot))
		return error_set(-ENOENT, "%p leads to no object, but %s", p,
				 bad_pointer_describe(heap, p, where));
	layout_object(&heap->view, slot, object);
	return 0;
}

int gcheap_find(struct gcheap *heap, const void *p, struct gcheap_object *out)
{
	struct object_view object;
	struct slot slot;
	int error = heap_check(heap);

	if (error)
		return error;
	if (!out)
		return error_set(-EINVAL, "the object to fill in is NULL");
	error = object_find(heap, p, &slot, &object);
	if (error)
		return error;
	*out = (struct gcheap_object) {
		.base = address_pointer(&heap->view, object.start),
		.size = object.end - object.start,
		.type = object.type,
		.flags = (object.noscan ? GCHEAP_OBJECT_NOSCAN : 0) |
			 (GCHEAP_PAGE_KIND(slot.info) == GCHEAP_KIND_LARGE ?
			  GCHEAP_OBJECT_LARGE : 0),
	};
	return 0;
}

size_t gcheap_roundup(struct gcheap *heap, size_t size, bool noscan)
{
	int error = heap_check(heap);
	uint64_t room;

	if (error) {
		errno = -error;
		return 0;
	}
	if (size > GCHEAP_RESERVE_MAX)
		return size;
	if (noscan && cache_is_tiny(heap, size)) {
		for (room = 1; room < size; room *= 2)
			;
		return room;
	}
	room = layout_room(heap, size, noscan);
	if (!room)
		room = (size + GCHEAP_PAGE_BYTES - 1) & ~(uint64_t)(GCHEAP_PAGE_BYTES - 1);
	return size ? room : 0;
}

int gcheap_pointer_mask(struct gcheap *heap, const void *obj, uint8_t *mask, size_t words)
{
	uint64_t start = (uint64_t)(uintptr_t)obj;
	struct typed_pointers tp;
	struct object_view object;
	struct slot slot;
	uint64_t address, end;
	int last = 0;
	int error = heap_check(heap);

	if (error)
		return error;
	if (!mask && words)
		return error_set(-EINVAL, "the mask to fill in is NULL");
	error = object_find(heap, obj, &slot, &object);
	if (error)
		return error;
	if (start % 8 || address_offset(&heap->view, obj) < object.start)
		return error_set(-EINVAL, "%p is not a word of an object: gcheap_find() tells "
				 "where its object begins", obj);

	/* The result is an int. */
	if (words > INT_MAX)
		words = INT_MAX;
	if (words)
		memset(mask, 0, words);
	end = (uint64_t)(uintptr_t)address_pointer(&heap->view, object.end);
	if (end - start > words * 8)
		end = start + words * 8;
	tp = typed_pointers_of(&heap->view, &slot, start, end);
	while ((address = typed_pointers_next(&tp))) {
		uint64_t word = (address - start) / 8;

		mask[word] = 1;
		last = (int)word + 1;
	}
	return last;
}

static void stats_collect(const struct gcheap *heap, struct gcheap_stats *stats)
{
	const struct gcheap_counters *counters = &heap->view.ctrl->counters;
	uint64_t pages = counters->heap_pages;

	*stats = heap->stats;
	stats->mapped_bytes = pages << GCHEAP_PAGE_SHIFT;
	stats->resident_bytes = counters->resident_bytes;
	/* Page 0 exists and is nobody's. */
	if (pages)
		pages -= 1 + counters->in_use_pages + counters->quarantined_pages;
	stats->free_bytes = pages << GCHEAP_PAGE_SHIFT;
	stats->metadata_bytes = counters->table_bytes + marker_memory(heap->marker) +
				heap->roots.capacity *
				(sizeof(struct root) + sizeof(size_t)) +
				heap->roots.mask_bytes +
				heap->stacks.capacity * sizeof(struct stack) + sizeof(*heap);
	stats->swept_spans = counters->swept_spans;
	stats->freed_spans = counters->freed_spans;
	stats->requests = heap->backend->requests;
	if (heap->thread) {
		cache_allocated(heap->thread, &stats->allocated_objects, &stats->allocated_bytes);
		stats->metadata_bytes += thread_memory(heap->thread);
	}
}

int gcheap_stats_get(struct gcheap *heap, struct gcheap_stats *out)
{
	struct gcheap_stats stats;
	size_t size;
	int error = heap_check(heap);

	if (error)
		return error;
	if (!out)
		return error_set(-EINVAL, "the figures to fill in are NULL");
	size = out->size;
	if (size < offsetof(struct gcheap_stats, live_bytes))
		return error_set(-EINVAL, "set size to sizeof(struct gcheap_stats) before calling "
				 "gcheap_stats(): it is %zu", size);
	/* A program may have been compiled with another version's struct. */
	if (size > sizeof(stats)) {
		memset((char *)out + sizeof(stats), 0, size - sizeof(stats));
		size = sizeof(stats);
	}
	stats_collect(heap, &stats);
	stats.size = out->size;
	memcpy(out, &stats, size);
	return 0;
}

int gcheap_stats(struct gcheap *heap, struct gcheap_stats *out)
{
	return gcheap_stats_get(heap, out);
}
