// SPDX-License-Identifier: MIT
/*
 * Looking inside: which object an address belongs to, and which of its words are
 * pointers.
 */
#include "inspect.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "address.h"
#include "bad_pointer.h"
#include "entry.h"
#include "error.h"
#include "layout/layout.h"
#include "layout/typed_pointers.h"
#include "rest.h"
#include "thread.h"
#include "world.h"

/* What a cache hands out has its alloc bit only later. */
static bool cached_slot_is_free(const struct gcheap *heap, const struct slot *slot)
{
	const struct thread *thread = rest_self(heap);
	const struct cache *cache = thread ? cache_of_span(thread, slot->page) : NULL;

	if (cache)
		return cache_slot_is_free(thread, cache, slot->index);
	for (thread = heap->world.threads; thread; thread = thread->next) {
		cache = cache_of_span(thread, slot->page);
		if (cache)
			return cache_slot_is_free(thread, cache, slot->index);
	}
	/* Not begun, or returned in all but name: the alloc bits are exact. */
	return !view_bit(view_alloc_bits(&heap->view), granule_of(slot->offset));
}

bool inspect_slot_is_allocated(const struct gcheap *heap, const struct slot *slot)
{
	const struct view *view = &heap->view;
	uint8_t state = view->spans[slot->page].state & GCHEAP_SPAN_STATE_MASK;

	if (state == GCHEAP_SPAN_CACHED)
		return !cached_slot_is_free(heap, slot);
	return view_bit(view_alloc_bits(view), granule_of(slot->offset));
}

bool inspect_slot(const struct gcheap *heap, uint64_t offset, struct slot *slot)
{
	return offset < address_end(&heap->view) && address_slot(&heap->view, offset, slot) &&
	       inspect_slot_is_allocated(heap, slot);
}

static bool is_made(const struct gcheap *heap, const struct thread *thread, uint64_t offset)
{
	return thread->making && address_offset(&heap->view, thread->making) == offset;
}

/* It may be in the middle of zeroing it. */
bool inspect_slot_is_held(const struct gcheap *heap, const struct slot *slot)
{
	const struct thread *thread;
	const struct cache *cache;

	for (thread = heap->world.threads; thread; thread = thread->next) {
		if (is_made(heap, thread, slot->offset))
			return true;
		for (cache = thread->caches; thread->is_holding && cache; cache = cache->next) {
			if (cache->held[0] == slot->offset || cache->held[1] == slot->offset)
				return true;
		}
		for (cache = thread->caches; thread->rest.is_anywhere && cache;
		     cache = cache->next) {
			if (cache_slot_is_in_hand(cache, slot->offset))
				return true;
		}
	}
	return false;
}

bool inspect_slot_is_kept(const struct gcheap *heap, const struct slot *slot)
{
	const struct thread *thread;
	const struct cache *cache;

	for (thread = heap->world.threads; thread; thread = thread->next) {
		if (is_made(heap, thread, slot->offset))
			return true;
		for (cache = thread->caches; thread->is_holding && cache; cache = cache->next) {
			/* Whoever has taken it has stored there what is left. */
			if (cache->held[0] == slot->offset && !cache->parts[cache->which ^ 1].free)
				return true;
		}
	}
	return false;
}

/* The same in the span that begins at slot->page. */
static bool next_in_span(const struct gcheap *heap, uint64_t offset, struct slot *slot)
{
	const struct gcheap_span *span = &heap->view.spans[slot->page];
	uint64_t start = (uint64_t)slot->page << GCHEAP_PAGE_SHIFT;

	slot->info = heap->view.pages[slot->page];
	if (GCHEAP_PAGE_KIND(slot->info) == GCHEAP_KIND_NONE)
		return false;
	slot->bytes = (span->state & GCHEAP_SPAN_STATE_MASK) == GCHEAP_SPAN_LARGE ?
		(uint64_t)span->npages << GCHEAP_PAGE_SHIFT : GCHEAP_PAGE_SLOT_BYTES(slot->info);
	slot->index = 0;
	if (offset > start)
		slot->index = (uint32_t)((offset - start + slot->bytes - 1) / slot->bytes);
	for (; slot->index < span->slots; slot->index++) {
		slot->offset = start + slot->index * slot->bytes;
		if (inspect_slot_is_allocated(heap, slot))
			return true;
	}
	return false;
}

bool inspect_next(const struct gcheap *heap, uint64_t offset, struct slot *slot)
{
	const struct gcheap_span *spans = heap->view.spans;
	uint64_t pages = ctrl_load(&heap->view.ctrl->heap_pages);
	uint64_t page = offset >> GCHEAP_PAGE_SHIFT;

	if (page < pages && (spans[page].state & GCHEAP_SPAN_STATE_MASK) == GCHEAP_SPAN_INNER)
		page = spans[page].first_page;
	while (page < pages) {
		if ((spans[page].state & GCHEAP_SPAN_STATE_MASK) == GCHEAP_SPAN_FREE) {
			page++;
			continue;
		}
		slot->page = (uint32_t)page;
		if (next_in_span(heap, offset, slot))
			return true;
		page += spans[page].npages;
	}
	return false;
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

static void object_tell(const struct gcheap *heap, const struct slot *slot,
			const struct object_view *object, struct gcheap_object *out)
{
	*out = (struct gcheap_object) {
		.base = address_pointer(&heap->view, object->start),
		.size = object->end - object->start,
		.type = object->type,
		.flags = (object->noscan ? GCHEAP_OBJECT_NOSCAN : 0) |
			 (GCHEAP_PAGE_KIND(slot->info) == GCHEAP_KIND_LARGE ?
			  GCHEAP_OBJECT_LARGE : 0),
	};
}

void inspect_object(const struct gcheap *heap, const struct slot *slot, struct gcheap_object *out)
{
	struct object_view object;

	layout_object(&heap->view, slot, &object);
	object_tell(heap, slot, &object, out);
}

/* While caches are looked at, their threads do not allocate from them. */
void inspect_begin(struct gcheap *heap)
{
	world_lock(heap);
	world_stop(heap, rest_self(heap));
}

void inspect_end(struct gcheap *heap)
{
	world_start(heap, rest_self(heap));
	world_unlock(heap);
}

int gcheap_find(struct gcheap *heap, const void *p, struct gcheap_object *out)
{
	LIBRARY_ENTRY;
	struct object_view object;
	struct slot slot;
	int error = heap_check(heap);

	if (error)
		return error;
	if (!out)
		return error_set(-EINVAL, "the object to fill in is NULL");
	inspect_begin(heap);
	error = object_find(heap, p, &slot, &object);
	inspect_end(heap);
	if (error)
		return error;
	object_tell(heap, &slot, &object, out);
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
	LIBRARY_ENTRY;
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
	inspect_begin(heap);
	error = object_find(heap, obj, &slot, &object);
	inspect_end(heap);
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
