/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Chunks of user arenas: 8 MiB of memory that the owner fills as it likes and
 * frees as a whole.
 *
 * To the heap a chunk is a run of pages with a descriptor. It has no slots, no
 * bits, no PAGES entries and is in no arena's in_use table: no sweep sees it. Its
 * life is a circle that only requests move on:
 *
 *	free pages --CHUNK_NEW--> CHUNK --CHUNK_FREE--> QUARANTINE
 *	                            ^                       |
 *	                        CHUNK_NEW              CHUNK_READY
 *	                            |                       v
 *	                            +------------------- READY
 *
 * In QUARANTINE and READY it has no memory. Ready chunks are a stack, because the one
 * used last has its tables in the cache. As long as a chunk is ready, no small span
 * breaks its addresses up; when the heap needs these, sweep_make_room() turns the chunk
 * into free pages.
 */
#ifndef GCHEAP_CORE_CHUNK_H
#define GCHEAP_CORE_CHUNK_H

#include "heap.h"

/* The chunk in a state that begins at @page, which is any number; NULL: there is none. */
struct gcheap_span *chunk_find(struct heap *heap, u32 page, enum gcheap_span_state state);

/**
 * chunk_take_ready() - use the ready chunk that is on top of the stack
 * @heap: the heap
 * @needzero: set to whether its memory may hold old data
 *
 * Return: its first page; 0: there is none, or no memory for it.
 */
u32 chunk_take_ready(struct heap *heap, bool *needzero);

/* Put a chunk, which has no memory, on top of the stack; @span is what chunk_find() found. */
void chunk_put_ready(struct heap *heap, u32 page, struct gcheap_span *span);

/**
 * chunk_make() - make a chunk of free pages, for which the heap grows where it must
 * @heap: the heap
 * @needzero: set to whether its memory may hold old data
 *
 * Return: its first page; 0: there is no reserve left, or no memory.
 */
u32 chunk_make(struct heap *heap, bool *needzero);

/* Turn all ready chunks into free pages. Return: whether there was one. */
bool chunks_give_back(struct heap *heap);

#endif /* GCHEAP_CORE_CHUNK_H */
