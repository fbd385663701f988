// SPDX-License-Identifier: MIT
/*
 * User arenas: what the inline functions of <gcheap.h> leave to do.
 *
 * An arena has a handle, which is an object, and while it is open a record, which is not. The
 * handle leads to a table of all that the arena keeps: so whatever leads to the handle keeps the
 * arena. A chunk is known by the table, and by its record (arena_chunk.h).
 *
 * Only one thread allocates in an arena or frees it, without a lock.
 */
#define _GNU_SOURCE
#include "arena_record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "collect.h"
#include "entry.h"
#include "error.h"
#include "hooks.h"
#include "memory.h"
#include "rest.h"
#include "thread.h"

/* What an arena takes of its chunk at a time: the pacer is told, and what is old is zeroed. */
#define WINDOW_BYTES		(256u << 10)
#define REFERENCES_MIN		8u
#define LEAF_ALIGN		ARENA_LEAF_ALIGN

/* A chunk with less room is not worth to begin with. */
#define SPARE_ROOM_MIN		ARENA_OBJECT_MAX

#define COLD			__attribute__((noinline, cold))

/* ---- who may ------------------------------------------------------------------------ */

/**
 * struct use - a call for an arena, by the thread that it belongs to
 * @heap: its heap
 * @arena: its record
 * @thread: the calling thread
 */
struct use {
	struct gcheap *heap;
	struct arena *arena;
	struct thread *thread;
};

static COLD int use_refuse(const struct gcheap_arena *handle, const struct arena *arena)
{
	uint32_t tid = arena->owner ? (uint32_t)arena->owner->tid : 0;

	if (!tid)
		return error_set(-EBUSY, "user arena %llu is no thread's since the one that it "
				 "belonged to has detached: take it by gcheap_arena_hand_over()",
				 (unsigned long long)handle->number);
	return error_set(-EBUSY, "user arena %llu belongs to thread %u, and no other may use it: "
			 "that one can call gcheap_arena_hand_over()",
			 (unsigned long long)handle->number, tid);
}

/* 0, or a negative errno with gcheap_error() set. */
static int use_begin(struct gcheap_arena *handle, struct use *use)
{
	const struct gcheap *heap;
	int error;

	if (!handle)
		return error_set(-EINVAL, "the user arena is NULL: make one with "
				 "gcheap_arena_new()");
	heap = handle->heap;
	error = heap_check(heap);
	if (error)
		return error;
	use->heap = handle->heap;
	use->arena = handle->record;
	if (!use->arena)
		return error_set(-EINVAL, "user arena %llu was freed before",
				 (unsigned long long)handle->number);
	use->thread = rest_self(heap);
	if (!use->thread || __atomic_load_n(&use->arena->owner, __ATOMIC_RELAXED) != use->thread)
		return use_refuse(handle, use->arena);
	return 0;
}

/* ---- making ------------------------------------------------------------------------- */

static gcheap_type type_make(struct gcheap *heap, const char *name, size_t bytes, size_t pointer)
{
	uint64_t mask = 1ull << pointer / 8;
	uint8_t bits[8];
	struct gcheap_type_desc desc = {
		.name = name, .size = bytes, .align = 8, .ptr_bytes = pointer + 8,
		.ptr_mask = bits,
	};
	gcheap_type type;
	size_t i;

	for (i = 0; i < sizeof(bits); i++)
		bits[i] = (uint8_t)(mask >> 8 * i);
	return gcheap_type_register(heap, &desc, &type) ? 0 : type;
}

/* The types of handles and tables, made with the first arena; the first to make them counts. */
static int types_make(struct gcheap *heap)
{
	struct arenas *arenas = &heap->arenas;
	gcheap_type handle, reference;

	if (__atomic_load_n(&arenas->handle_type, __ATOMIC_ACQUIRE))
		return 0;
	reference = type_make(heap, "user arena's references", sizeof(void *), 0);
	handle = reference ? type_make(heap, "user arena", sizeof(struct gcheap_arena),
				       offsetof(struct gcheap_arena, references)) : 0;
	if (!handle)
		return -ENOMEM;
	arenas_lock(heap);
	if (!arenas->handle_type) {
		arenas->reference_type = reference;
		__atomic_store_n(&arenas->handle_type, handle, __ATOMIC_RELEASE);
	}
	arenas_unlock(heap);
	return 0;
}

int gcheap_arena_new(struct gcheap_thread *fast, struct gcheap_arena **out)
{
	LIBRARY_ENTRY;
	struct thread *thread = (struct thread *)fast;
	struct gcheap_arena *handle;
	struct arena *arena;
	struct gcheap *heap;
	int error;

	if (!thread || !out)
		return error_set(-EINVAL, "gcheap_arena_new: the %s is NULL",
				 out ? "thread" : "place for the arena");
	heap = thread->heap;
	error = heap_check(heap);
	if (!error)
		error = arenas_make_tables(heap);
	if (!error)
		error = types_make(heap);
	if (error)
		return error;
	handle = gcheap_new_slow_(fast, heap->arenas.handle_type);
	if (!handle)
		return -errno;
	handle->heap = heap;
	handle->types = heap->arenas.types;
	arena = arena_record_make(thread, handle);
	if (!arena)
		return error_set(-ENOMEM, "out of memory for a user arena");
	handle->record = arena;
	handle->number = arena->number;
	__atomic_store_n(&handle->owner, thread->pointer, __ATOMIC_RELEASE);
	*out = handle;
	return 0;
}

/* ---- what an arena keeps ------------------------------------------------------------ */

/* What is dead shall lead nowhere: it may be looked at before a cycle finds it. */
static void references_clear(void *references, uint32_t count)
{
	if (count)
		memset(references, 0, count * sizeof(void *));
}

/* Makes room for one more. May collect. */
static int references_grow(const struct use *use, struct gcheap_arena *handle)
{
	struct arena *arena = use->arena;
	uint32_t room = arena->room ? 2 * arena->room : REFERENCES_MIN;
	void **references;

	if (arena->count < arena->room)
		return 0;
	references = gcheap_new_array_slow_(&use->thread->fast, use->heap->arenas.reference_type,
					    room);
	if (!references)
		return -errno;
	if (arena->count)
		memcpy(references, handle->references, arena->count * sizeof(*references));
	references_clear(handle->references, arena->count);
	handle->references = references;
	arena->room = room;
	return 0;
}

static void references_add(const struct use *use, const struct gcheap_arena *handle, void *object)
{
	((void **)handle->references)[use->arena->count++] = object;
}

/* ---- chunks ------------------------------------------------------------------------- */

static struct arena_chunk *chunk_of(const struct gcheap *heap, const char *start)
{
	return &heap->arenas.chunks[arena_chunk_number(address_offset(&heap->view, start))];
}

/* The arena allocates no more in its chunk. */
static void chunk_leave(struct gcheap *heap, struct gcheap_arena *handle)
{
	struct arena_chunk *chunk;

	if (!handle->chunk)
		return;
	arenas_lock(heap);
	chunk = chunk_of(heap, handle->chunk);
	chunk->front = (uint32_t)(handle->front - handle->chunk);
	chunk->back = (uint32_t)(handle->back - handle->chunk);
	chunk->user = NULL;
	arenas_unlock(heap);
	handle->front_end = NULL;
	handle->front = NULL;
	handle->back = NULL;
	handle->back_end = NULL;
	handle->bits = NULL;
	handle->chunk = NULL;
}

static uint64_t chunk_take(const struct use *use, uint32_t bytes, int *error)
{
	struct gcheap *heap = use->heap;
	uint64_t number = arena_chunk_take(heap, use->arena->number, bytes, error);

	if (*error == -ENOMEM && !collect_for_memory(use->thread))
		number = arena_chunk_take(heap, use->arena->number, bytes, error);
	if (*error == -ENOMEM && hooks_out_of_memory(use->thread, GCHEAP_CHUNK_BYTES) &&
	    !collect_for_memory(use->thread))
		number = arena_chunk_take(heap, use->arena->number, bytes, error);
	return number;
}

/* Goes on with a chunk that has room for @bytes. */
static int chunk_enter(const struct use *use, struct gcheap_arena *handle, uint32_t bytes)
{
	struct gcheap *heap = use->heap;
	struct arena_chunk *chunk;
	uint64_t number;
	int error = references_grow(use, handle);

	if (error)
		return error;
	chunk_leave(heap, handle);
	number = chunk_take(use, bytes, &error);
	if (error == -ENOMEM)
		return error_set(-ENOMEM, "out of memory: no room for a chunk of user arena %llu "
				 "in the heap's reserve, the memory limit or the machine",
				 (unsigned long long)handle->number);
	if (error)
		return error_set(error, "the backend gave no chunk for user arena %llu: %s",
				 (unsigned long long)handle->number, strerror(-error));
	chunk = &heap->arenas.chunks[number];
	handle->chunk = address_pointer(&heap->view, number << GCHEAP_CHUNK_SHIFT);
	references_add(use, handle, handle->chunk);
	handle->bits = arena_chunk_bits(handle->chunk, 0);
	handle->back = handle->chunk + chunk->back;
	handle->back_end = handle->back;
	handle->front = handle->chunk + chunk->front;
	/* Leaves are aligned, and nothing that was allocated is between the two. */
	handle->front_end = handle->chunk + ((chunk->front + LEAF_ALIGN - 1) & ~(LEAF_ALIGN - 1));
	/* From here on the handle says where the objects end. */
	arenas_lock(heap);
	chunk->user = handle;
	arenas_unlock(heap);
	return 0;
}

/* What is zeroed and counted when an arena takes it. */
static void window_take(const struct use *use, const struct gcheap_arena *handle, char *start,
			uint32_t bytes)
{
	if (chunk_of(use->heap, handle->chunk)->needs_zero)
		memset(start, 0, bytes);
	pacer_take(&use->heap->pacer, bytes);
	use->arena->taken_bytes += bytes;
	__atomic_fetch_add(&use->heap->allocated_bytes, bytes, __ATOMIC_RELAXED);
}

/* So many bytes as a window has, or more if they are needed; what there is at most. */
static uint32_t window_bytes(uint64_t need, uint64_t room)
{
	uint64_t bytes = (need + WINDOW_BYTES - 1) & ~(uint64_t)(WINDOW_BYTES - 1);

	return (uint32_t)(bytes < room ? bytes : room);
}

/*
 * Free memory between @front_end and @back_end is nobody's yet: whichever side needs some takes a
 * window of it. False: there is not so much.
 */
static bool window_open(const struct use *use, struct gcheap_arena *handle, uint64_t bytes,
			bool is_leaf)
{
	uint64_t room = (uint64_t)(handle->back_end - handle->front_end);
	uint64_t has = (uint64_t)(is_leaf ? handle->back - handle->back_end :
				  handle->front_end - handle->front);
	uint32_t window;

	if (!handle->chunk || bytes > has + room)
		return false;
	if (bytes <= has)
		return true;
	window = window_bytes(bytes - has, room);
	if (is_leaf) {
		window_take(use, handle, handle->back_end - window, window);
		handle->back_end -= window;
	} else {
		window_take(use, handle, handle->front_end, window);
		handle->front_end += window;
	}
	return true;
}

/* Has room for @bytes on one side, in this chunk or another one. May collect. */
static int room_make(const struct use *use, struct gcheap_arena *handle, uint32_t bytes,
		     bool is_leaf)
{
	int error;

	if (thread_hindrance(use->thread))
		return error_set(-EINVAL, "%s", thread_hindrance(use->thread));
	error = collect_before_alloc(use->thread, bytes > WINDOW_BYTES ? bytes : WINDOW_BYTES);
	if (error)
		return error;
	if (window_open(use, handle, bytes, is_leaf))
		return 0;
	error = chunk_enter(use, handle, bytes);
	if (error)
		return error;
	window_open(use, handle, bytes, is_leaf);
	return 0;
}

/* ---- objects ------------------------------------------------------------------------ */

/* What the inline functions shall know of a type. */
static void type_enter(struct gcheap *heap, gcheap_type type,
		       const struct gcheap_type_record *record)
{
	struct gcheap_arena_type_ *known = &heap->arenas.types[type];
	uint64_t align = record->align > 8 ? record->align : 8;

	if (__atomic_load_n(&known->shape, __ATOMIC_RELAXED) ||
	    record->bytes > GCHEAP_ARENA_GROUP_ || align > LEAF_ALIGN || record->mask_offset ||
	    record->program_bytes)
		return;
	arenas_lock(heap);
	if (!known->shape) {
		known->mask = record->mask_word;
		__atomic_store_n(&known->shape, (align - 1) << 32 |
				 ((record->bytes + 7) & ~(uint64_t)7), __ATOMIC_RELEASE);
	}
	arenas_unlock(heap);
}

static void *alloc_failed(int error)
{
	errno = -error;
	return NULL;
}

/* Too large for a chunk: an object of the heap that the arena keeps. @type: 0: a leaf. */
static void *alloc_large(const struct use *use, struct gcheap_arena *handle, gcheap_type type,
			 size_t n)
{
	int error = references_grow(use, handle);
	void *object;

	if (error)
		return alloc_failed(error);
	object = type ? gcheap_new_array_slow_(&use->thread->fast, type, n) :
			gcheap_new_leaf_slow_(&use->thread->fast, n);
	if (object)
		references_add(use, handle, object);
	return object;
}

/* The pointer bits of @count elements at @at; those of words that are none are clear. */
static void bits_write(char *chunk, uint32_t at, const struct gcheap_type_record *record,
		       const uint64_t *mask, uint64_t count)
{
	uint64_t words = record->ptr_bytes / 8;
	uint64_t i, w;

	for (i = 0; i < count; i++, at += record->bytes) {
		for (w = 0; w < words; w += 64) {
			uint64_t word = at / 8 + w;
			uint64_t *bits = arena_chunk_bits(chunk, (uint32_t)(word * 8));
			uint64_t part = mask[w / 64];

			bits[0] |= part << word % 64;
			bits[2] |= part >> 1 >> (63 - word % 64);
		}
	}
}

static void start_bit(char *chunk, uint32_t at)
{
	arena_chunk_bits(chunk, at)[1] |= 1ull << at / 8 % 64;
}

static void *leaf_take(struct gcheap_arena *handle, uint64_t bytes, uint64_t align)
{
	char *leaf = (char *)((uintptr_t)(handle->back - bytes) & ~(uintptr_t)(align - 1));

	start_bit(handle->chunk, (uint32_t)(leaf - handle->chunk));
	__atomic_store_n(&handle->back, leaf, __ATOMIC_RELEASE);
	return leaf;
}

static void *object_take(struct gcheap_arena *handle, const struct gcheap_type_record *record,
			 const uint64_t *mask, uint64_t count)
{
	uint64_t align = record->align > 8 ? record->align : 8;
	char *object = (char *)(((uintptr_t)handle->front + align - 1) & ~(uintptr_t)(align - 1));
	uint32_t at = (uint32_t)(object - handle->chunk);

	bits_write(handle->chunk, at, record, mask, count);
	start_bit(handle->chunk, at);
	__atomic_store_n(&handle->front,
			 object + ((record->bytes * count + 7) & ~(uint64_t)7), __ATOMIC_RELEASE);
	return object;
}

static void *alloc_elements(struct gcheap_arena *handle, gcheap_type type, size_t n)
{
	const struct gcheap_type_record *record;
	const uint64_t *mask;
	uint64_t bytes, align;
	struct use use;
	int error = use_begin(handle, &use);

	if (error)
		return alloc_failed(error);
	record = heap_type(use.heap, type);
	if (!record)
		return error_null(-EINVAL, "%u is no type of this heap: register it first", type);
	if (!n)
		return error_null(-EINVAL, "an array of 0 elements: ask for one at least");
	if (__builtin_mul_overflow(record->bytes, (uint64_t)n, &bytes))
		return error_null(-ENOMEM, "%zu elements of %llu bytes are more than any heap has",
				  n, (unsigned long long)record->bytes);
	align = record->align > LEAF_ALIGN ? record->align : LEAF_ALIGN;
	mask = view_type_mask(&use.heap->view, record);
	/* A type by program has its mask with its first object. */
	if (bytes > ARENA_OBJECT_MAX || (record->ptr_bytes && !mask))
		return alloc_large(&use, handle, type, n);
	error = room_make(&use, handle, (uint32_t)(bytes + align), !record->ptr_bytes);
	if (error)
		return alloc_failed(error);
	if (!record->ptr_bytes)
		return leaf_take(handle, bytes, align);
	type_enter(use.heap, type, record);
	return object_take(handle, record, mask, n);
}

void *gcheap_arena_alloc_slow_(struct gcheap_arena *handle, gcheap_type type)
{
	LIBRARY_ENTRY;
	return alloc_elements(handle, type, 1);
}

void *gcheap_arena_alloc_array(struct gcheap_arena *handle, gcheap_type type, size_t n)
{
	LIBRARY_ENTRY;
	return alloc_elements(handle, type, n);
}

void *gcheap_arena_alloc_leaf_slow_(struct gcheap_arena *handle, size_t bytes)
{
	LIBRARY_ENTRY;
	struct use use;
	int error = use_begin(handle, &use);

	if (error)
		return alloc_failed(error);
	if (!bytes)
		return error_null(-EINVAL, "a leaf of 0 bytes: ask for one at least");
	if (bytes > ARENA_OBJECT_MAX)
		return alloc_large(&use, handle, 0, bytes);
	error = room_make(&use, handle, (uint32_t)bytes + LEAF_ALIGN, true);
	if (error)
		return alloc_failed(error);
	return leaf_take(handle, bytes, LEAF_ALIGN);
}

/* ---- the end ------------------------------------------------------------------------ */

/* Whether the chunk that an arena allocated from last is left to the next one. */
static bool chunk_spare(struct gcheap *heap, const char *start)
{
	struct arenas *arenas = &heap->arenas;
	uint64_t number = arena_chunk_number(address_offset(&heap->view, start));
	struct arena_chunk *chunk = &arenas->chunks[number];
	bool is_spare;

	arenas_lock(heap);
	is_spare = !arenas->is_strict && chunk->back - chunk->front >= SPARE_ROOM_MIN;
	if (is_spare) {
		chunk->state = ARENA_CHUNK_SPARE;
		if (!arenas->spares++ || number < arenas->spare_from)
			arenas->spare_from = number;
	}
	arenas_unlock(heap);
	return is_spare;
}

static int number_compare(const void *a, const void *b)
{
	const uint32_t *first = a, *second = b;

	return *first < *second ? -1 : *first > *second;
}

/* Numbers of the chunks among what an arena keeps, but @except, in order. */
static size_t chunks_list(const struct use *use, const struct gcheap_arena *handle,
			  const char *except, uint32_t *numbers)
{
	void *const *references = handle->references;
	const struct arenas *arenas = &use->heap->arenas;
	size_t count = 0;
	uint32_t i;

	for (i = 0; i < use->arena->count; i++) {
		uint64_t offset = address_offset(&use->heap->view, references[i]);
		const struct arena_chunk *chunk = &arenas->chunks[arena_chunk_number(offset)];

		if (offset & (GCHEAP_CHUNK_BYTES - 1) || references[i] == except ||
		    chunk->state != ARENA_CHUNK_USED || chunk->arena != use->arena->number)
			continue;
		numbers[count++] = (uint32_t)arena_chunk_number(offset);
	}
	qsort(numbers, count, sizeof(*numbers), number_compare);
	return count;
}

int gcheap_arena_free(struct gcheap_arena *handle)
{
	LIBRARY_ENTRY;
	const char *last, *except = NULL;
	uint32_t *numbers;
	struct use use;
	size_t count;
	int error;

	if (!handle)
		return 0;
	error = use_begin(handle, &use);
	if (error)
		return error;
	numbers = memory_zalloc((use.arena->count + 1) * sizeof(*numbers));
	if (!numbers)
		return error_set(-ENOMEM, "out of memory for a list of the arena's chunks");
	last = handle->chunk;
	chunk_leave(use.heap, handle);
	if (last && chunk_spare(use.heap, last))
		except = last;
	count = chunks_list(&use, handle, except, numbers);
	pacer_give_back(&use.heap->pacer, use.arena->taken_bytes);
	__atomic_store_n(&handle->owner, 0, __ATOMIC_RELAXED);
	handle->record = NULL;
	references_clear(handle->references, use.arena->count);
	handle->references = NULL;
	arenas_lock(use.heap);
	arena_record_end(&use.heap->arenas, use.arena);
	arenas_unlock(use.heap);
	error = arena_chunks_free(use.heap, numbers, count, (uint32_t)use.thread->tid);
	memory_free(numbers);
	if (error)
		return error_set(error, "the backend did not take chunks of user arena %llu, which "
				 "a cycle does: %s", (unsigned long long)handle->number,
				 strerror(-error));
	return 0;
}

/* ---- whose it is -------------------------------------------------------------------- */

int gcheap_arena_hand_over(struct gcheap_arena *handle, struct gcheap_thread *fast)
{
	LIBRARY_ENTRY;
	struct thread *to = (struct thread *)fast;
	struct use use;
	int error;

	if (!to)
		return error_set(-EINVAL, "the thread that the arena is for is NULL");
	error = use_begin(handle, &use);
	if (error == -EBUSY && use.thread) {
		/* It may be nobody's. */
		arenas_lock(use.heap);
		if (!use.arena->owner) {
			use.arena->owner = use.thread;
			error = 0;
		}
		arenas_unlock(use.heap);
	}
	if (error)
		return error;
	if (to->heap != use.heap)
		return error_set(-EINVAL, "user arena %llu is of another heap than the thread",
				 (unsigned long long)handle->number);
	arenas_lock(use.heap);
	__atomic_store_n(&use.arena->owner, to, __ATOMIC_RELAXED);
	arenas_unlock(use.heap);
	__atomic_store_n(&handle->owner, to->pointer, __ATOMIC_RELEASE);
	return 0;
}

uint64_t gcheap_arena_number(const struct gcheap_arena *handle)
{
	return handle ? handle->number : 0;
}
