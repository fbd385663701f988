/* SPDX-License-Identifier: MIT */
/*
 * Pieces of one size, cut from chunks of the library's own memory (pool.c).
 *
 * For tables that change under a lock which a collector takes, too: see memory.h. Who calls has a
 * lock of its own.
 */
#ifndef GCHEAP_LIB_POOL_H
#define GCHEAP_LIB_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What one chunk takes. */
#define POOL_CHUNK_BYTES	((size_t)64 << 10)

/* Cycles come and go faster than what programs do once in a while with all their objects. */
#define POOL_RESTS		8u

struct pool_chunk;
struct pool_free;

/**
 * struct pool - pieces of one size
 * @piece_bytes: their size, a multiple of 64, to which they are aligned
 * @chunks: all memory
 * @chunk_count: how many those are
 * @used: pieces that are allocated
 * @rests: how often memory was to be given back since one was
 * @free: pieces that came back
 * @at: the newest chunk's rest
 * @end: of that
 */
struct pool {
	size_t piece_bytes;
	struct pool_chunk *chunks;
	size_t chunk_count;
	size_t used;
	unsigned int rests;
	struct pool_free *free;
	char *at, *end;
};

/* Not zeroed; NULL: there is no memory. */
void *pool_alloc(struct pool *pool);
void pool_free(struct pool *pool, void *piece);
/* Gives all memory back, if no piece was allocated for POOL_RESTS such calls. */
void pool_trim(struct pool *pool);
/* The same whatever is allocated: nobody uses it any more. */
void pool_destroy(struct pool *pool);

static inline uint64_t pool_memory(const struct pool *pool)
{
	return pool->chunk_count * POOL_CHUNK_BYTES;
}

#endif /* GCHEAP_LIB_POOL_H */
