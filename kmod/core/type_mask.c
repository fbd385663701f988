// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Masks that are made with the objects of a type, and go with them.
 */
#include "type_mask.h"

#include "gc_program.h"
#include "port.h"
#include "type.h"

#define MASK_PAGES	((u32)((GCHEAP_TYPES_BYTES - GCHEAP_TYPES_MASKS) / PORT_TABLE_PAGE_BYTES))

static_assert(GCHEAP_TYPES_MASKS % PORT_TABLE_PAGE_BYTES == 0);
static_assert(MASK_PAGES % 64 == 0);
/* Every type can have an object, if they are not of the largest. */
static_assert(MASK_PAGES >= GCHEAP_TYPES_MAX);

static u64 mask_bytes(const struct gcheap_type_record *record)
{
	return DIV_ROUND_UP(record->ptr_bytes, GCHEAP_TYPE_WORD_BYTES * 64) * sizeof(u64);
}

static u32 mask_pages(const struct gcheap_type_record *record)
{
	return (u32)DIV_ROUND_UP(mask_bytes(record), PORT_TABLE_PAGE_BYTES);
}

static u64 page_offset(u32 page)
{
	return GCHEAP_TYPES_MASKS + (u64)page * PORT_TABLE_PAGE_BYTES;
}

/* ---- room -------------------------------------------------------------------- */

static bool room_is_taken(const u64 *room, u32 page)
{
	return room[page / 64] & BIT_ULL(page % 64);
}

static void room_set(u64 *room, u32 page, u32 npages, bool taken)
{
	u32 end = page + npages;

	for (; page < end; page++) {
		if (taken)
			room[page / 64] |= BIT_ULL(page % 64);
		else
			room[page / 64] &= ~BIT_ULL(page % 64);
	}
}

/* The first page of the first free run of @npages; MASK_PAGES: there is none. */
static u32 room_find(const u64 *room, u32 npages)
{
	u32 page = 0;
	u32 run = 0;

	while (page < MASK_PAGES && run < npages) {
		if (room[page / 64] == U64_MAX) {
			page = round_down(page, 64u) + 64;
			run = 0;
			continue;
		}
		run = room_is_taken(room, page) ? 0 : run + 1;
		page++;
	}
	return run == npages ? page - npages : MASK_PAGES;
}

/* ---- a mask ------------------------------------------------------------------ */

static void pages_free(struct heap *heap, u32 page, u32 npages)
{
	u32 i;

	for (i = 0; i < npages; i++)
		port_table_pages_free(heap, GCHEAP_REGION_TYPES, page_offset(page + i), 1);
}

static int pages_make(struct heap *heap, u32 page, u32 npages)
{
	u32 i;

	for (i = 0; i < npages; i++) {
		if (port_table_page(heap, GCHEAP_REGION_TYPES, page_offset(page + i)))
			continue;
		pages_free(heap, page, i);
		return -ENOMEM;
	}
	return 0;
}

/* Unrolls a type's program into pages that are there. */
static int mask_write(struct heap *heap, const struct gcheap_type_record *record, u64 offset)
{
	size_t bytes = mask_bytes(record);
	struct gc_program program = {
		.bytes = record->program_bytes,
		.words = record->ptr_bytes / GCHEAP_TYPE_WORD_BYTES,
	};
	/* Table pages do not follow each other here. */
	u64 *mask = port_zalloc(bytes + record->program_bytes);
	int error;

	if (!mask)
		return -ENOMEM;
	type_data_read(heap, record->program_offset, (char *)mask + bytes, record->program_bytes);
	program.code = (const u8 *)mask + bytes;
	error = gc_program_unroll(&program, mask, 1, port_interrupted);
	if (!error)
		type_data_write(heap, offset, mask, bytes);
	port_free(mask);
	return error;
}

/* -ENOSPC: there is no room but that of other masks. */
static int mask_make(struct heap *heap, struct gcheap_type_record *record)
{
	u32 npages = mask_pages(record);
	u64 *room = heap->types.mask_room;
	u32 page;
	int error;

	if (!room) {
		room = port_zalloc(MASK_PAGES / 8);
		if (!room)
			return -ENOMEM;
		heap->types.mask_room = room;
	}
	page = room_find(room, npages);
	if (page == MASK_PAGES)
		return -ENOSPC;
	error = pages_make(heap, page, npages);
	if (error)
		return error;
	error = mask_write(heap, record, page_offset(page));
	if (error) {
		pages_free(heap, page, npages);
		return error;
	}
	room_set(room, page, npages, true);
	record->mask_offset = page_offset(page);
	return 0;
}

static void mask_free(struct heap *heap, struct gcheap_type_record *record)
{
	u32 page = (u32)((record->mask_offset - GCHEAP_TYPES_MASKS) / PORT_TABLE_PAGE_BYTES);

	record->mask_offset = 0;
	pages_free(heap, page, mask_pages(record));
	room_set(heap->types.mask_room, page, mask_pages(record), false);
}

/* ---- objects ----------------------------------------------------------------- */

/* The record of a type whose mask is its objects', in this heap; else NULL. */
static struct gcheap_type_record *record_of_program(struct heap *heap, u32 type)
{
	struct gcheap_type_record *record = type_record(heap, type);

	if (!record || !record->program_bytes || heap->layout == GCHEAP_LAYOUT_BITMAP)
		return NULL;
	return record;
}

int type_mask_hold(struct heap *heap, u32 type)
{
	struct gcheap_type_record *record = record_of_program(heap, type);
	int error = 0;

	if (!record)
		return 0;
	if (!record->mask_users)
		error = mask_make(heap, record);
	if (!error)
		record->mask_users++;
	return error;
}

void type_mask_drop(struct heap *heap, u32 type)
{
	struct gcheap_type_record *record = record_of_program(heap, type);

	if (record && !--record->mask_users)
		mask_free(heap, record);
}
