// SPDX-License-Identifier: MIT
/*
 * Memory for what is made or freed under a lock that a collector takes, too.
 *
 * Small pieces are powers of two, cut from chunks that are kept; large ones are mappings. What
 * finds them is wiped by fork(), where another thread may have had the lock: a child begins anew,
 * and keeps what its parent's pieces take.
 */
#include "memory.h"

#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "wipe_on_fork.h"

#define CHUNK_BYTES	((size_t)64 << 10)
#define SMALL_SHIFT	5u
#define SMALL_CLASSES	7u	/* 32 to 2048 bytes, with what stands before them */
#define SMALL_MAX	((size_t)1 << (SMALL_SHIFT + SMALL_CLASSES - 1))

/* What stands before a piece; of a free small one, the next of its size is there. */
union before {
	size_t bytes;
	union before *next;
	char align[16];
};

/**
 * struct pieces - where free pieces are
 * @lock: of all; zeros are a mutex that nobody has
 * @free: by size
 * @at: the rest of a chunk
 * @end: of that
 */
struct pieces {
	pthread_mutex_t lock;
	union before *free[SMALL_CLASSES];
	char *at, *end;
};

static struct pieces *pieces_get(void)
{
	static struct pieces *shared;
	struct pieces *pieces = __atomic_load_n(&shared, __ATOMIC_ACQUIRE);
	struct pieces *others = NULL;

	if (pieces)
		return pieces;
	pieces = wipe_on_fork_alloc(sizeof(*pieces));
	if (!pieces || __atomic_compare_exchange_n(&shared, &others, pieces, 0, __ATOMIC_ACQ_REL,
						   __ATOMIC_ACQUIRE))
		return pieces;
	wipe_on_fork_free(pieces, sizeof(*pieces));
	return others;
}

/* All of it will be written soon, and a fault for each page takes longer. */
static void *map(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static unsigned int class_of(size_t bytes)
{
	unsigned int class = 0;

	while ((size_t)1 << (SMALL_SHIFT + class) < bytes)
		class++;
	return class;
}

/* The lock is held. */
static union before *cut(struct pieces *pieces, size_t bytes)
{
	union before *piece;

	if ((size_t)(pieces->end - pieces->at) < bytes) {
		char *chunk = map(CHUNK_BYTES);

		if (!chunk)
			return NULL;
		pieces->at = chunk;
		pieces->end = chunk + CHUNK_BYTES;
	}
	piece = (union before *)pieces->at;
	pieces->at += bytes;
	return piece;
}

static union before *small_alloc(size_t bytes)
{
	struct pieces *pieces = pieces_get();
	unsigned int class = class_of(bytes);
	union before *piece;

	if (!pieces)
		return NULL;
	bytes = (size_t)1 << (SMALL_SHIFT + class);
	pthread_mutex_lock(&pieces->lock);
	piece = pieces->free[class];
	if (piece)
		pieces->free[class] = piece->next;
	else
		piece = cut(pieces, bytes);
	pthread_mutex_unlock(&pieces->lock);
	if (piece)
		memset(piece, 0, bytes);
	return piece;
}

void *memory_zalloc(size_t bytes)
{
	union before *piece;

	if (__builtin_add_overflow(bytes, sizeof(*piece), &bytes))
		return NULL;
	piece = bytes <= SMALL_MAX ? small_alloc(bytes) : map(bytes);
	if (!piece)
		return NULL;
	piece->bytes = bytes;
	return piece + 1;
}

void *memory_grow(void *memory, size_t bytes)
{
	void *grown = memory_zalloc(bytes);

	if (!grown || !memory)
		return grown;
	memcpy(grown, memory, ((union before *)memory - 1)->bytes - sizeof(union before));
	memory_free(memory);
	return grown;
}

void memory_free(void *memory)
{
	union before *piece;
	struct pieces *pieces;
	unsigned int class;

	if (!memory)
		return;
	piece = (union before *)memory - 1;
	if (piece->bytes > SMALL_MAX) {
		munmap(piece, piece->bytes);
		return;
	}
	pieces = pieces_get();
	if (!pieces)
		return;
	class = class_of(piece->bytes);
	pthread_mutex_lock(&pieces->lock);
	piece->next = pieces->free[class];
	pieces->free[class] = piece;
	pthread_mutex_unlock(&pieces->lock);
}
