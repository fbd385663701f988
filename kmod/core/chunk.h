/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Chunks of user arenas: 8 MiB of memory that the owner fills as it likes and
 * frees as a whole.
 *
 * To the heap a chunk is a run of pages with a descriptor. It has no slots, no
 * bits, no PAGES entries and is in no arena's in_use table: no sweep of spans sees it.
 * Its life is a circle:
 *
 *	free pages --CHUNK_NEW--> CHUNK --CHUNK_FREE--> QUARANTINE
 *	                            ^                       |
 *	                        CHUNK_NEW       CHUNK_READY, SWEEP_START
 *	                            |                       v
 *	                            +------------------- READY
 *
 * In QUARANTINE and READY it has no memory. Quarantine is for those who still have a pointer
 * into it. As that of spans (quarantine.h), it is over when a whole cycle, MARK_START
 * included, has set no page mark for it; SWEEP_START sees to that in heaps of
 * GCHEAP_SETUP_SWEEP_CHUNKS, and in others the owner, who sends CHUNK_READY. The descriptor's
 * @generation says whose SWEEP_START it has to outlive; each SWEEP_START brings those of
 * freed chunks to the one before it, so that 16 bits of it suffice.
 *
 * Freed chunks are a list in the order in which they were freed. Ready ones are a stack, on
 * which the sweep puts them in that order, so that what was in use last is used first. As
 * long as a chunk is ready, no small span breaks its addresses up; when the heap needs these,
 * sweep_make_room() turns the chunk into free pages.
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

/* End the quarantine of a chunk: it is on top of the stack. */
void chunk_put_ready(struct heap *heap, u32 page);

/* At MARK_START: clear the page marks of all chunks, in use or in quarantine. */
void chunks_clear_marks(struct heap *heap);

/*
 * At SWEEP_START, the generation just stepped: in a heap of GCHEAP_SETUP_SWEEP_CHUNKS, make
 * those chunks ready that may be.
 */
void chunks_sweep(struct heap *heap);

/**
 * chunks_claim() - find out whether chunks can be freed, and see to it that they can
 * @heap: the heap
 * @pages: any numbers
 * @count: how many
 *
 * Nobody else can free a chunk of the list after this. To everybody it is in use until
 * chunks_free() comes to it.
 *
 * Return: 0; -EINVAL: they do not ascend, or a chunk in use that nobody has claimed begins
 * not at all of them. Nothing has changed then.
 */
int chunks_claim(struct heap *heap, const u32 *pages, u32 count);

/* Give claimed chunks up: they are as they were. */
void chunks_unclaim(struct heap *heap, const u32 *pages, u32 count);

/**
 * chunks_free() - put claimed chunks in quarantine
 * @heap: the heap
 * @pages: their first pages, ascending
 * @count: how many
 *
 * Those that follow each other lose their memory together.
 */
void chunks_free(struct heap *heap, const u32 *pages, u32 count);

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
