/* SPDX-License-Identifier: MIT */
/*
 * User arenas that are open (arena_record.c): whose they are, and whether their handles live.
 */
#ifndef GCHEAP_LIB_ARENA_RECORD_H
#define GCHEAP_LIB_ARENA_RECORD_H

#include "arena_chunk.h"

struct thread;

/**
 * struct arena - what the library knows of an open arena, beside its handle
 * @next: of struct arenas.open
 * @link: where that leads here
 * @handle: the handle; the record does not keep it
 * @owner: the thread that it belongs to; NULL: none
 * @number: which it is
 * @count: entries of the handle's @references in use: chunks, and large objects
 * @room: how many there is room for
 * @taken_bytes: what the pacer was told
 */
struct arena {
	struct arena *next;
	struct arena **link;
	struct gcheap_arena *handle;
	struct thread *owner;
	uint64_t number;
	uint32_t count;
	uint32_t room;
	uint64_t taken_bytes;
} __attribute__((aligned(64)));

/**
 * arena_record_make() - note an arena that is open from here on
 * @thread: whose it is
 * @handle: its handle
 *
 * Return: its record; NULL: there is no memory.
 */
struct arena *arena_record_make(struct thread *thread, struct gcheap_arena *handle);
/* It is not any more. The lock is held. */
void arena_record_end(struct arenas *arenas, struct arena *arena);

/* A thread detaches: its arenas are nobody's. The world's lock is held. */
void arenas_detach(struct thread *thread);

/* All is marked, and known to be: chunks of arenas whose handles have died are left. */
void arenas_settle(struct gcheap *heap);

#endif /* GCHEAP_LIB_ARENA_RECORD_H */
