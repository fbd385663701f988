// SPDX-License-Identifier: MIT
/*
 * From an address that a program was given by allocation to its object.
 */
#include "owned.h"

#include "guard.h"
#include "size_classes.h"
#include "thread.h"

/*
 * Others may sweep the span meanwhile, or flush it: the object's bit is set before its span is not
 * cached any more, and stays.
 */
static __attribute__((no_sanitize("thread")))
uint8_t span_state(const struct view *view, uint32_t page)
{
	return __atomic_load_n(&view->spans[page].state, __ATOMIC_ACQUIRE) & GCHEAP_SPAN_STATE_MASK;
}

static __attribute__((no_sanitize("thread")))
bool alloc_bit(const struct view *view, const struct slot *slot)
{
	const uint64_t *bits = view_alloc_bits(view);
	uint64_t granule = granule_of(slot->offset);

	return bits[granule / 64] >> granule % 64 & 1;
}

static bool is_allocated(const struct gcheap *heap, const struct thread *self,
			 const struct owned *owned)
{
	const struct view *view = &heap->view;
	const struct slot *slot = &owned->slot;

	if (heap->guard_bytes && guard_is_closed(address_pointer(view, owned->object.start)))
		return false;
	if (owned->cache && owned->cache->span == slot->page)
		return !cache_slot_is_free(self, owned->cache, slot->index);
	if (!owned->cache && span_state(view, slot->page) == GCHEAP_SPAN_CACHED)
		return true;
	return alloc_bit(view, slot);
}

bool owned_find(const struct gcheap *heap, const struct thread *self, const void *obj,
		struct owned *owned, const char **why)
{
	const struct view *view = &heap->view;
	uint64_t offset = address_offset(view, obj);
	struct slot *slot = &owned->slot;

	*why = NULL;
	if (offset >= address_end(view) || !address_slot(view, offset, slot))
		return false;
	layout_object(view, slot, &owned->object);
	owned->is_shared = GCHEAP_PAGE_KIND(slot->info) == GCHEAP_KIND_NOSCAN &&
			   slot->bytes == size_class_bytes[SIZE_CLASS_MIN] &&
			   cache_is_tiny(heap, 1);
	owned->cache = NULL;
	if (self && span_state(view, slot->page) == GCHEAP_SPAN_CACHED)
		owned->cache = cache_of_slot(self, slot->page, slot->info);
	if (owned->is_shared)
		return true;
	if (offset != owned->object.start) {
		*why = "it is inside of one, which begins elsewhere";
		return false;
	}
	if (!is_allocated(heap, self, owned)) {
		*why = "it is free already";
		return false;
	}
	return true;
}
