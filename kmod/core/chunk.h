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
 * In QUARANTINE and READY it has no memory. Ready chunks are a stack, because the
 * one used last has its tables in the cache. They keep their addresses from being
 * broken up by small spans, until the heap needs these: heap_make_room() turns
 * them into free pages.
 */
#ifndef GCHEAP_CORE_CHUNK_H
#define GCHEAP_CORE_CHUNK_H

#include "heap.h"

/* Turn all ready chunks into free pages. Return: whether there was one. */
bool chunks_give_back(struct heap *heap);

#endif /* GCHEAP_CORE_CHUNK_H */
