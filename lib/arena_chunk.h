/* SPDX-License-Identifier: MIT */
/*
 * Chunks of user arenas, as the library knows them (arena_chunk.c).
 *
 * The kernel hands out chunks of 8 MiB, and does not know what is in them. Here each has a record,
 * by its number, and a layout of its own, whatever the layout of the heap is:
 *
 *	0            front                 back      8 MiB - 256 KiB            8 MiB
 *	+------------+---------------------+--------------+-----------------------+
 *	| objects -> |        free         |  <- leaves   | bits: two words for   |
 *	|            |                     |              | each 512 bytes before |
 *	+------------+---------------------+--------------+-----------------------+
 *
 * The first of two words has a bit for each word that is a pointer, the second for each word where
 * an object or a leaf begins. A marker reads the first up to @front, which is stored behind the
 * bits of what is before it.
 *
 * To a cycle a chunk is one object: a pointer to any place in it keeps all that it leads to. What
 * is said of a chunk changes under the lock of struct arenas, or while all threads rest; but for
 * @seen, which markers set.
 */
#ifndef GCHEAP_LIB_ARENA_CHUNK_H
#define GCHEAP_LIB_ARENA_CHUNK_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/gcheap.h>

#include "pool.h"

#define ARENA_GROUP_BYTES	512u
#define ARENA_BITS_BYTES	((uint32_t)GCHEAP_CHUNK_BYTES / ARENA_GROUP_BYTES * 16)
#define ARENA_DATA_BYTES	((uint32_t)GCHEAP_CHUNK_BYTES - ARENA_BITS_BYTES)

#define ARENA_LEAF_ALIGN	16u

/*
 * What needs more is an object of the heap: no more than this is left unused in a chunk, beside the
 * rest of the window that the other side has.
 */
#define ARENA_OBJECT_MAX	((uint32_t)GCHEAP_CHUNK_BYTES / 4)

/* Of a struct arena. */
#define ARENA_RECORD_BYTES	64u

struct arena;
struct gcheap;
struct gcheap_arena;
struct gcheap_arena_type_;

/**
 * enum arena_chunk_state - who has a chunk
 * @ARENA_CHUNK_NONE: no arena had it, or it is an object's place again
 * @ARENA_CHUNK_USED: an arena
 * @ARENA_CHUNK_SPARE: arenas had it that are freed, and the next one goes on with it
 * @ARENA_CHUNK_LEFT: the handle of its arena has died; it stays for as long as cycles find pointers
 *	into it
 * @ARENA_CHUNK_FREED: nobody: an access faults
 * @ARENA_CHUNK_READY: the same, but no pointer leads there: the backend may give it again
 */
enum arena_chunk_state {
	ARENA_CHUNK_NONE,
	ARENA_CHUNK_USED,
	ARENA_CHUNK_SPARE,
	ARENA_CHUNK_LEFT,
	ARENA_CHUNK_FREED,
	ARENA_CHUNK_READY,
};

/**
 * struct arena_chunk - one chunk
 * @state: an enum arena_chunk_state
 * @seen: the number of the last cycle that found a pointer into it
 * @front: offset of the end of its objects; of one with a @user, that knows better
 * @back: offset of the first leaf; the same
 * @needs_zero: what was not allocated from yet is not known to be zero
 * @freed_by: the system's number of the thread that freed it
 * @user: the handle of the arena that allocates in it; NULL: none does
 * @arena: the number of the arena that had it last
 * @freed_cycle: how many cycles there had been when it was freed
 */
struct arena_chunk {
	uint32_t state;
	uint32_t seen;
	uint32_t front;
	uint32_t back;
	bool needs_zero;
	uint32_t freed_by;
	struct gcheap_arena *user;
	uint64_t arena;
	uint64_t freed_cycle;
};

/**
 * struct arenas - the user arenas of a heap
 * @lock: of all of this
 * @chunks: by number: offset / 8 MiB; NULL: there was no arena yet
 * @chunk_count: how many that may be
 * @types: what the inline functions know of types; NULL as long
 * @records: memory of struct arena
 * @open: those that are not freed
 * @opened: how many there were: the last one's number
 * @handle_type: of struct gcheap_arena
 * @reference_type: of the table of what an arena keeps
 * @cycle: the number of this cycle, or of the last; not that of the statistics
 * @used_chunks: how many have objects, or may
 * @freed_chunks: how many are freed, and not ready
 * @spares: of those in use, how many the next arenas begin with
 * @spare_from: none of them has a lower number
 * @live_bytes: what the last cycle found in chunks
 * @is_strict: all of an arena faults when it is freed
 */
struct arenas {
	pthread_mutex_t lock;
	struct arena_chunk *chunks;
	uint64_t chunk_count;
	struct gcheap_arena_type_ *types;
	struct pool records;
	struct arena *open;
	uint64_t opened;
	uint32_t handle_type;
	uint32_t reference_type;
	uint32_t cycle;
	uint64_t used_chunks;
	uint64_t freed_chunks;
	uint64_t spares;
	uint64_t spare_from;
	uint64_t live_bytes;
	bool is_strict;
};

void arenas_init(struct arenas *arenas);
/* Gives back what is mapped; the process may be another one than that which mapped it. */
void arenas_destroy_tables(struct arenas *arenas);
/* Has the tables made, if they are not there: 0 or -ENOMEM, with gcheap_error() set. */
int arenas_make_tables(struct gcheap *heap);

void arenas_lock(struct gcheap *heap);
void arenas_unlock(struct gcheap *heap);

static inline uint64_t arena_chunk_number(uint64_t offset)
{
	return offset >> GCHEAP_CHUNK_SHIFT;
}

static inline uint32_t arena_chunk_page(uint64_t number)
{
	return (uint32_t)(number << (GCHEAP_CHUNK_SHIFT - GCHEAP_PAGE_SHIFT));
}

/* The two words of the group that has a byte of a chunk. */
static inline uint64_t *arena_chunk_bits(char *chunk, uint32_t offset)
{
	return (uint64_t *)(void *)(chunk + ARENA_DATA_BYTES) + offset / ARENA_GROUP_BYTES * 2;
}

/* Numbers of chunks below the heap's end. */
uint64_t arena_chunks_end(const struct gcheap *heap);

/* Where the objects end, and the leaves begin. All threads rest, or it is the user who asks. */
uint32_t arena_chunk_front(const struct gcheap *heap, const struct arena_chunk *chunk);
uint32_t arena_chunk_back(const struct gcheap *heap, const struct arena_chunk *chunk);

/**
 * arena_chunk_take() - take a chunk that has room
 * @heap: the heap
 * @arena: number of the arena that takes it
 * @bytes: of what is to be allocated first
 *
 * It looks for one that an arena has left first. Context: no lock is held. May take memory from
 * the backend.
 *
 * Return: its number, without a user; 0 with @error set to a negative errno.
 */
uint64_t arena_chunk_take(struct gcheap *heap, uint64_t arena, uint32_t bytes, int *error);

/**
 * arena_chunks_free() - have chunks fault
 * @heap: the heap
 * @numbers: of chunks that nobody uses any more, in order
 * @count: how many
 * @tid: the thread that frees them
 *
 * Return: 0; what the backend said: those that it has not taken are left to a cycle.
 */
int arena_chunks_free(struct gcheap *heap, const uint32_t *numbers, size_t count, uint32_t tid);

/* Whether the cycle that marks has found a pointer into a chunk that has objects. */
bool arena_chunk_is_seen(const struct gcheap *heap, uint64_t number);
/**
 * arena_chunk_words() - look at each pointer of a chunk's objects
 * @heap: the heap, whose threads all rest
 * @number: of the chunk
 * @fn: is called with each word that is a pointer, NULL or not
 * @arg: for @fn
 */
void arena_chunk_words(const struct gcheap *heap, uint64_t number,
		       void (*fn)(void *arg, void *const *word), void *arg);

/* Whether an open arena has it, or pointers led there when the last cycle looked. */
bool arena_chunk_is_alive(const struct gcheap *heap, uint64_t number);

/* A cycle begins to mark. All threads rest. */
void arena_chunks_begin(struct gcheap *heap);
/* All is marked: how many bytes are in chunks into which pointers lead. All threads rest. */
uint64_t arena_chunks_live(struct gcheap *heap);
/* The cycle has ended, and threads run: what it found no pointer to goes. */
void arena_chunks_swept(struct gcheap *heap);

#endif /* GCHEAP_LIB_ARENA_CHUNK_H */
