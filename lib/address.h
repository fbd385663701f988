/* SPDX-License-Identifier: MIT */
/*
 * From an address to its span, slot and bits: arithmetic on the mapped regions.
 */
#ifndef GCHEAP_LIB_ADDRESS_H
#define GCHEAP_LIB_ADDRESS_H

#include "page_info.h"
#include "slots.h"
#include "view.h"

/**
 * struct slot - the slot that an address points into
 * @offset: of its first byte from the heap's base
 * @bytes: its size; of a large object: its span's
 * @page: first page of its span
 * @index: its number in the span
 * @info: PAGES entry of the page pointed into
 */
struct slot {
	uint64_t offset;
	uint64_t bytes;
	uint32_t page;
	uint32_t index;
	uint64_t info;
};

/* Bytes from the base below which all tables exist. */
static inline uint64_t address_end(const struct view *view)
{
	return (uint64_t)ctrl_load(&view->ctrl->heap_pages) << GCHEAP_PAGE_SHIFT;
}

/* An offset from the base as a pointer, and the other way round: wraps below the base. */
static inline void *address_pointer(const struct view *view, uint64_t offset)
{
	return view->base + offset;
}

static inline uint64_t address_offset(const struct view *view, const void *pointer)
{
	return (uint64_t)(uintptr_t)pointer - (uint64_t)(uintptr_t)view->base;
}

/**
 * address_slot() - find the slot of an address
 * @view: the heap
 * @offset: of the address from the base; below address_end()
 * @slot: receives it
 *
 * Return: false: no span in use there, or the waste at a span's end. Whether the
 * slot is allocated is another question.
 */
bool address_slot(const struct view *view, uint64_t offset, struct slot *slot);

/**
 * address_set_aside() - look for pages that have no objects, and are not free
 * @view: the heap
 * @offset: any number
 * @first_page: receives the first page of what is there
 *
 * Return: GCHEAP_SPAN_CHUNK, GCHEAP_SPAN_QUARANTINE or GCHEAP_SPAN_READY; else
 * GCHEAP_SPAN_FREE.
 */
uint32_t address_set_aside(const struct view *view, uint64_t offset, uint64_t *first_page);

#endif /* GCHEAP_LIB_ADDRESS_H */
