// SPDX-License-Identifier: MIT
/*
 * Records of open arenas.
 *
 * The list of them does not keep their handles: when a cycle finds that one has died, the arena is
 * not open any more, and its chunks are left to cycles.
 */
#include "arena_record.h"

#include "address.h"
#include "slots.h"
#include "thread.h"

_Static_assert(sizeof(struct arena) == ARENA_RECORD_BYTES, "a record is a cache line");

struct arena *arena_record_make(struct thread *thread, struct gcheap_arena *handle)
{
	struct arenas *arenas = &thread->heap->arenas;
	struct arena *arena;

	arenas_lock(thread->heap);
	arena = pool_alloc(&arenas->records);
	if (arena) {
		*arena = (struct arena) {
			.next = arenas->open,
			.link = &arenas->open,
			.handle = handle,
			.owner = thread,
			.number = ++arenas->opened,
		};
		if (arena->next)
			arena->next->link = &arena->next;
		arenas->open = arena;
	}
	arenas_unlock(thread->heap);
	return arena;
}

void arena_record_end(struct arenas *arenas, struct arena *arena)
{
	*arena->link = arena->next;
	if (arena->next)
		arena->next->link = arena->link;
	pool_free(&arenas->records, arena);
}

void arenas_detach(struct thread *thread)
{
	struct arena *arena;

	arenas_lock(thread->heap);
	for (arena = thread->heap->arenas.open; arena; arena = arena->next) {
		if (arena->owner != thread)
			continue;
		__atomic_store_n(&arena->owner, NULL, __ATOMIC_RELAXED);
		__atomic_store_n(&arena->handle->owner, 0, __ATOMIC_RELAXED);
	}
	arenas_unlock(thread->heap);
}

/* The mark bit is that of the slot, which may begin before the handle. */
static bool handle_is_alive(const struct gcheap *heap, const struct gcheap_arena *handle)
{
	struct slot slot;

	return address_slot(&heap->view, address_offset(&heap->view, handle), &slot) &&
	       view_bit(view_mark_bits(&heap->view), granule_of(slot.offset));
}

/* Its handle has died: what it had stays for as long as pointers lead there. */
static void arena_leave(struct gcheap *heap, const struct arena *arena)
{
	struct arenas *arenas = &heap->arenas;
	uint64_t end = arena_chunks_end(heap);
	uint64_t i;

	for (i = 0; i < end; i++) {
		struct arena_chunk *chunk = &arenas->chunks[i];

		if (chunk->state != ARENA_CHUNK_USED || chunk->arena != arena->number)
			continue;
		if (chunk->user) {
			chunk->front = arena_chunk_front(heap, chunk);
			chunk->back = arena_chunk_back(heap, chunk);
			chunk->user = NULL;
		}
		chunk->state = ARENA_CHUNK_LEFT;
	}
}

void arenas_settle(struct gcheap *heap)
{
	struct arenas *arenas = &heap->arenas;
	struct arena *arena, *next;

	arenas_lock(heap);
	for (arena = arenas->open; arena; arena = next) {
		next = arena->next;
		if (handle_is_alive(heap, arena->handle))
			continue;
		arena_leave(heap, arena);
		arena_record_end(arenas, arena);
	}
	arenas_unlock(heap);
}
