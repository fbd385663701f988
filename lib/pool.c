// SPDX-License-Identifier: MIT
/*
 * Pieces of one size. Those that are allocated after each other lie beside each other, and who
 * frees one is the next to get it. Memory goes back when no piece has been there for a while: what
 * it is for comes and goes in masses, and to have it all again costs many page faults.
 */
#include "pool.h"

#include "memory.h"

#define LINE_BYTES	64u

struct pool_chunk {
	struct pool_chunk *next;
};

struct pool_free {
	struct pool_free *next;
};

/* A chunk's memory has its header before it, which is less than a line. */
static int pool_grow(struct pool *pool)
{
	/* With what memory.c puts before it, a mapping of whole pages. */
	struct pool_chunk *chunk = memory_zalloc(POOL_CHUNK_BYTES - LINE_BYTES);
	uintptr_t start;

	if (!chunk)
		return 0;
	chunk->next = pool->chunks;
	pool->chunks = chunk;
	pool->chunk_count++;
	start = ((uintptr_t)(chunk + 1) + LINE_BYTES - 1) & ~(uintptr_t)(LINE_BYTES - 1);
	pool->at = (char *)start;
	pool->end = (char *)chunk + POOL_CHUNK_BYTES - LINE_BYTES;
	return 1;
}

void *pool_alloc(struct pool *pool)
{
	struct pool_free *piece = pool->free;

	if (piece) {
		pool->free = piece->next;
	} else {
		if ((size_t)(pool->end - pool->at) < pool->piece_bytes && !pool_grow(pool))
			return NULL;
		piece = (struct pool_free *)(void *)pool->at;
		pool->at += pool->piece_bytes;
	}
	pool->used++;
	pool->rests = 0;
	return piece;
}

void pool_free(struct pool *pool, void *piece)
{
	struct pool_free *freed = piece;

	if (!freed)
		return;
	freed->next = pool->free;
	pool->free = freed;
	pool->used--;
}

void pool_trim(struct pool *pool)
{
	if (!pool->used && ++pool->rests >= POOL_RESTS)
		pool_destroy(pool);
}

void pool_destroy(struct pool *pool)
{
	while (pool->chunks) {
		struct pool_chunk *chunk = pool->chunks;

		/* First: a child of fork() would free it again. */
		__atomic_store_n(&pool->chunks, chunk->next, __ATOMIC_RELAXED);
		memory_free(chunk);
	}
	*pool = (struct pool) { .piece_bytes = pool->piece_bytes };
}
