// SPDX-License-Identifier: MIT
/*
 * The records of chunks: who has which, and what cycles find of them.
 */
#define _GNU_SOURCE
#include "arena_chunk.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "address.h"
#include "backend/backend.h"
#include "error.h"
#include "guard.h"
#include "library.h"

void arenas_init(struct arenas *arenas)
{
	pthread_mutex_init(&arenas->lock, NULL);
	arenas->records = (struct pool) { .piece_bytes = ARENA_RECORD_BYTES };
}

static void *table_map(size_t bytes)
{
	void *table = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return table == MAP_FAILED ? NULL : table;
}

static size_t chunk_table_bytes(const struct arenas *arenas)
{
	return arenas->chunk_count * sizeof(*arenas->chunks);
}

static size_t type_table_bytes(void)
{
	return GCHEAP_TYPES_MAX * sizeof(struct gcheap_arena_type_);
}

void arenas_destroy_tables(struct arenas *arenas)
{
	if (arenas->chunks)
		munmap(arenas->chunks, chunk_table_bytes(arenas));
	if (arenas->types)
		munmap(arenas->types, type_table_bytes());
	pool_destroy(&arenas->records);
	pthread_mutex_destroy(&arenas->lock);
}

int arenas_make_tables(struct gcheap *heap)
{
	struct arenas *arenas = &heap->arenas;
	int error = 0;

	arenas_lock(heap);
	if (!arenas->chunks) {
		arenas->chunk_count = heap->view.reserve_bytes >> GCHEAP_CHUNK_SHIFT;
		if (!arenas->types)
			arenas->types = table_map(type_table_bytes());
		if (arenas->types)
			arenas->chunks = table_map(chunk_table_bytes(arenas));
		if (!arenas->chunks)
			error = error_set(-ENOMEM, "no memory for the tables of user arenas");
	}
	arenas_unlock(heap);
	return error;
}

void arenas_lock(struct gcheap *heap)
{
	pthread_mutex_lock(&heap->arenas.lock);
}

void arenas_unlock(struct gcheap *heap)
{
	pthread_mutex_unlock(&heap->arenas.lock);
}

/* ---- what is in a chunk ------------------------------------------------------------- */

static uint32_t offset_in_chunk(const struct gcheap *heap, const char *address)
{
	return (uint32_t)(address_offset(&heap->view, address) & (GCHEAP_CHUNK_BYTES - 1));
}

uint32_t arena_chunk_front(const struct gcheap *heap, const struct arena_chunk *chunk)
{
	const char *front;

	if (!chunk->user)
		return chunk->front;
	front = __atomic_load_n(&chunk->user->front, __ATOMIC_ACQUIRE);
	return offset_in_chunk(heap, front);
}

uint32_t arena_chunk_back(const struct gcheap *heap, const struct arena_chunk *chunk)
{
	return chunk->user ? offset_in_chunk(heap, chunk->user->back) : chunk->back;
}

static uint64_t used_bytes(const struct gcheap *heap, const struct arena_chunk *chunk)
{
	return arena_chunk_front(heap, chunk) + ARENA_DATA_BYTES - arena_chunk_back(heap, chunk);
}

uint64_t arena_chunks_end(const struct gcheap *heap)
{
	uint64_t end = arena_chunk_number(address_end(&heap->view));

	return end < heap->arenas.chunk_count ? end : heap->arenas.chunk_count;
}

/* Whether it has objects. */
static bool is_in_use(const struct arena_chunk *chunk)
{
	return chunk->state == ARENA_CHUNK_USED || chunk->state == ARENA_CHUNK_SPARE ||
	       chunk->state == ARENA_CHUNK_LEFT;
}

static bool was_seen(const struct arenas *arenas, const struct arena_chunk *chunk)
{
	return __atomic_load_n(&chunk->seen, __ATOMIC_RELAXED) == arenas->cycle;
}

bool arena_chunk_is_seen(const struct gcheap *heap, uint64_t number)
{
	const struct arena_chunk *chunk = &heap->arenas.chunks[number];

	return is_in_use(chunk) && was_seen(&heap->arenas, chunk);
}

bool arena_chunk_is_alive(const struct gcheap *heap, uint64_t number)
{
	return heap->arenas.chunks[number].state == ARENA_CHUNK_USED ||
	       arena_chunk_is_seen(heap, number);
}

/* Sanitizers may be told that an object is the program's to read alone. */
GUARD_EXEMPT
void arena_chunk_words(const struct gcheap *heap, uint64_t number,
		       void (*fn)(void *arg, void *const *word), void *arg)
{
	char *start = address_pointer(&heap->view, number << GCHEAP_CHUNK_SHIFT);
	uint32_t front = arena_chunk_front(heap, &heap->arenas.chunks[number]);
	uint32_t at;

	for (at = 0; at < front; at += ARENA_GROUP_BYTES) {
		uint64_t pointers = *arena_chunk_bits(start, at);

		for (; pointers; pointers &= pointers - 1) {
			uint32_t word = at + 8 * (uint32_t)__builtin_ctzll(pointers);

			/* A thread may be about to allocate behind it. */
			if (word < front)
				fn(arg, (void *const *)(void *)(start + word));
		}
	}
}

/* ---- taking ------------------------------------------------------------------------- */

/* The lock is held. */
static uint64_t take_spare(struct gcheap *heap, uint32_t bytes)
{
	struct arenas *arenas = &heap->arenas;
	uint64_t end = arena_chunks_end(heap);
	uint64_t i;

	for (i = arenas->spare_from; i < end; i++) {
		const struct arena_chunk *chunk = &arenas->chunks[i];

		/* The first byte behind its objects may have to be aligned for leaves. */
		if (chunk->state == ARENA_CHUNK_SPARE &&
		    chunk->back - chunk->front >= bytes + ARENA_LEAF_ALIGN)
			return i;
	}
	return 0;
}

/* Another one of the backend's. */
static uint64_t take_new(struct gcheap *heap, bool *needs_zero, int *error)
{
	struct gcheap_chunk_new request = { .size = sizeof(request) };

	*error = backend_request(heap->backend, GCHEAP_OP_CHUNK_NEW, &request);
	if (*error)
		return 0;
	*needs_zero = request.out_flags & GCHEAP_GRANT_NEEDZERO;
	return arena_chunk_number((uint64_t)request.out_page << GCHEAP_PAGE_SHIFT);
}

/* Nobody has the record of a new one yet. */
static void chunk_init(struct gcheap *heap, uint64_t number, bool needs_zero)
{
	struct arena_chunk *chunk = &heap->arenas.chunks[number];
	char *start = address_pointer(&heap->view, number << GCHEAP_CHUNK_SHIFT);

	if (needs_zero)
		memset(start + ARENA_DATA_BYTES, 0, ARENA_BITS_BYTES);
	*chunk = (struct arena_chunk) {
		.back = ARENA_DATA_BYTES,
		.needs_zero = needs_zero,
	};
	backend_prefer_huge_pages(heap->backend, start, GCHEAP_CHUNK_BYTES);
}

uint64_t arena_chunk_take(struct gcheap *heap, uint64_t arena, uint32_t bytes, int *error)
{
	struct arenas *arenas = &heap->arenas;
	struct arena_chunk *chunk;
	bool needs_zero = false;
	uint64_t number;

	*error = 0;
	arenas_lock(heap);
	number = arenas->spares ? take_spare(heap, bytes) : 0;
	if (!number) {
		arenas_unlock(heap);
		number = take_new(heap, &needs_zero, error);
		if (!number)
			return 0;
		arenas_lock(heap);
		chunk_init(heap, number, needs_zero);
		arenas->used_chunks++;
	} else {
		arenas->spares--;
	}
	chunk = &arenas->chunks[number];
	chunk->state = ARENA_CHUNK_USED;
	chunk->arena = arena;
	/* It was taken after a cycle has looked. */
	chunk->seen = arenas->cycle;
	arenas_unlock(heap);
	return number;
}

/* ---- freeing ------------------------------------------------------------------------ */

static int free_one(struct gcheap *heap, uint64_t number)
{
	struct gcheap_chunk_free request = {
		.size = sizeof(request), .page = arena_chunk_page(number),
	};

	return backend_request(heap->backend, GCHEAP_OP_CHUNK_FREE, &request);
}

int arena_chunks_free(struct gcheap *heap, const uint32_t *numbers, size_t count, uint32_t tid)
{
	struct arenas *arenas = &heap->arenas;
	uint64_t cycles = __atomic_load_n(&heap->stats.cycles, __ATOMIC_RELAXED);
	int error = 0;
	size_t i;

	arenas_lock(heap);
	for (i = 0; i < count; i++) {
		struct arena_chunk *chunk = &arenas->chunks[numbers[i]];

		chunk->state = ARENA_CHUNK_FREED;
		chunk->user = NULL;
		chunk->freed_by = tid;
		chunk->freed_cycle = cycles;
		arenas->used_chunks--;
		arenas->freed_chunks++;
	}
	arenas_unlock(heap);
	for (i = 0; i < count && !error; i++)
		error = free_one(heap, numbers[i]);
	if (!error)
		return 0;
	/* What is still there a cycle may free. */
	arenas_lock(heap);
	for (i--; i < count; i++) {
		arenas->chunks[numbers[i]].state = ARENA_CHUNK_LEFT;
		arenas->used_chunks++;
		arenas->freed_chunks--;
	}
	arenas_unlock(heap);
	return error;
}

/* ---- cycles ------------------------------------------------------------------------- */

void arena_chunks_begin(struct gcheap *heap)
{
	heap->arenas.cycle++;
}

uint64_t arena_chunks_live(struct gcheap *heap)
{
	struct arenas *arenas = &heap->arenas;
	uint64_t end, bytes = 0, i;

	if (!arenas->used_chunks)
		return arenas->live_bytes = 0;
	end = arena_chunks_end(heap);
	for (i = 0; i < end; i++) {
		const struct arena_chunk *chunk = &arenas->chunks[i];

		if (is_in_use(chunk) && was_seen(arenas, chunk))
			bytes += used_bytes(heap, chunk);
	}
	arenas->live_bytes = bytes;
	return bytes;
}

#define SWEPT_AT_ONCE	256u

/* Some that go; where to look for more is @from. The lock is held. */
static size_t dead_some(struct gcheap *heap, uint64_t *from, uint32_t *numbers)
{
	struct arenas *arenas = &heap->arenas;
	uint64_t end = arena_chunks_end(heap);
	size_t count = 0;
	uint64_t i;

	for (i = *from; i < end && count < SWEPT_AT_ONCE; i++) {
		struct arena_chunk *chunk = &arenas->chunks[i];
		bool is_spare = chunk->state == ARENA_CHUNK_SPARE;

		if ((!is_spare && chunk->state != ARENA_CHUNK_LEFT) || was_seen(arenas, chunk))
			continue;
		/* The next arena will not wait for memory. */
		if (is_spare && arenas->spares == 1)
			continue;
		arenas->spares -= is_spare;
		/* Nobody takes it meanwhile. */
		chunk->state = ARENA_CHUNK_USED;
		numbers[count++] = (uint32_t)i;
	}
	*from = i;
	return count;
}

/*
 * Whether the cycle that has just ended has found no pointer into a chunk that was freed before.
 * The backend has cleared the page mark when it began.
 */
static bool is_out_of_sight(const struct gcheap *heap, uint64_t number)
{
	const struct arena_chunk *chunk = &heap->arenas.chunks[number];

	return chunk->state == ARENA_CHUNK_FREED && chunk->freed_cycle < heap->stats.cycles &&
	       !view_bit(heap->view.page_marks, arena_chunk_page(number));
}

static void freed_chunks_ready(struct gcheap *heap)
{
	struct arenas *arenas = &heap->arenas;
	uint64_t end = arena_chunks_end(heap);
	uint64_t i;

	for (i = 0; i < end; i++) {
		struct gcheap_chunk_ready request = {
			.size = sizeof(request), .page = arena_chunk_page(i),
		};

		arenas_lock(heap);
		/* Where the backend does not take it, a later cycle asks again. */
		if (is_out_of_sight(heap, i) &&
		    !backend_request(heap->backend, GCHEAP_OP_CHUNK_READY, &request)) {
			arenas->chunks[i].state = ARENA_CHUNK_READY;
			arenas->freed_chunks--;
		}
		arenas_unlock(heap);
	}
}

void arena_chunks_swept(struct gcheap *heap)
{
	uint32_t numbers[SWEPT_AT_ONCE];
	uint64_t from = 0;
	bool any_freed, any_used;
	size_t count;

	arenas_lock(heap);
	any_freed = heap->arenas.freed_chunks;
	any_used = heap->arenas.used_chunks;
	arenas_unlock(heap);
	if (any_freed)
		freed_chunks_ready(heap);
	if (!any_used)
		return;
	do {
		arenas_lock(heap);
		count = dead_some(heap, &from, numbers);
		arenas_unlock(heap);
		if (count)
			arena_chunks_free(heap, numbers, count, 0);
	} while (count == SWEPT_AT_ONCE);
}
