/* SPDX-License-Identifier: MIT */
/*
 * The process's side of a heap in the core's unit tests: it sends requests as
 * kmod/dispatch.c does, and reads and writes the mark state of objects.
 */
#ifndef SELFTESTS_CORE_REQUEST_H
#define SELFTESTS_CORE_REQUEST_H

#include "port_test.h"

/* Registers a type whose first @ptr_words words are all pointers. Return: its number. */
u32 request_type(struct test_heap *th, u64 bytes, u64 ptr_words);

/* TYPE_ADD, with the name and the mask or program. Return: 0 and @add's out_type, or an error. */
int request_type_add(struct test_heap *th, struct gcheap_type_add *add, const char *name,
		     const void *map);

/* TYPE_ADD with a mask. Return: 0 and @type, or an error. */
int request_type_mask(struct test_heap *th, u64 bytes, u64 ptr_bytes, u32 align,
		      const void *mask, const char *name, u32 *type);

/* TYPE_ADD with a GC program. Return: 0 and @type, or an error. */
int request_type_program(struct test_heap *th, u64 bytes, u64 ptr_bytes, const void *program,
			 u32 program_bytes, const char *name, u32 *type);

/**
 * request_refill() - REFILL
 * @th: the heap
 * @type: type to allocate, or 0
 * @size_class: of the spans
 * @want_bytes: how much
 * @returns: pages given back
 * @return_count: how many
 * @grants: room for the spans taken
 * @grant_count: how many they can be; set to how many there are
 */
int request_refill(struct test_heap *th, u32 type, u32 size_class, u32 want_bytes,
		   const u32 *returns, u32 return_count, struct gcheap_grant *grants,
		   u32 *grant_count);

/* One mixed span: 0 and its page, or an error. */
int request_mixed(struct test_heap *th, u32 type, u32 size_class, u32 *page);

/* One span; 0: none. */
u32 request_span(struct test_heap *th, u32 type, u32 size_class);

/* Gives one span back. */
int request_return(struct test_heap *th, u32 page);

/* Return: the object's page, 0: no memory. */
u32 request_large(struct test_heap *th, u32 type, u64 count);

int request_mark_start(struct test_heap *th);
int request_sweep_start(struct test_heap *th, u64 *freed_spans);
int request_sweep_start_flags(struct test_heap *th, u32 flags, u64 goal_bytes,
			      u64 *freed_spans);
int request_sweep(struct test_heap *th, u64 max_spans, u64 *swept, u64 *freed);

int request_free_large(struct test_heap *th, u32 page);
int request_reclaim(struct test_heap *th, u64 max_pages, u64 *pages, u64 *left);

/* Return: the chunk's first page, 0: no memory. */
u32 request_chunk(struct test_heap *th);
int request_chunk_free(struct test_heap *th, u32 page);
int request_chunk_ready(struct test_heap *th, u32 page);

/* SCAVENGE; @bytes and @free_bytes may be NULL. */
int request_scavenge(struct test_heap *th, u64 max_bytes, u64 *bytes, u64 *free_bytes);

/* ---- mark state: the bits of slot @slot of the span at @page ----------------- */

bool slot_is_allocated(struct test_heap *th, u32 page, u32 slot);
bool slot_is_marked(struct test_heap *th, u32 page, u32 slot);
void slot_allocate(struct test_heap *th, u32 page, u32 slot);
void slot_free(struct test_heap *th, u32 page, u32 slot);

/* Sets the slot's mark bit, and the page mark of its span. */
void slot_mark(struct test_heap *th, u32 page, u32 slot);

/* Only the mark bit, or the alloc bit, of a granule of a heap page. */
void granule_set(struct test_heap *th, u32 table, u32 page, u32 granule);
void page_mark(struct test_heap *th, u32 page);

/* Allocates the first @count slots of a span. */
void slots_allocate(struct test_heap *th, u32 page, u32 count);

#endif /* SELFTESTS_CORE_REQUEST_H */
