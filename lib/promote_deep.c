// SPDX-License-Identifier: MIT
/*
 * Out of a user arena with all that is reachable there.
 *
 * First what is reachable in arenas is found, object by object, by the bits of their chunks; then
 * each gets a copy in the heap, of a type that has its pointers; at last all is copied, and pointers
 * to what has a copy lead there. Only the middle part allocates, and may collect: a table in the
 * heap, which is a root meanwhile, keeps the copies. Nothing is changed before that has worked.
 */
#include "library.h"

#include <errno.h>
#include <string.h>

#include "address.h"
#include "bad_pointer.h"
#include "entry.h"
#include "error.h"
#include "identity_table.h"
#include "memory.h"
#include "promote_shape.h"
#include "thread.h"

#define OBJECTS_MIN	64u

/**
 * struct moved - an object that is promoted
 * @start: where it is
 * @words: its length, with what is between it and the next one
 * @type: of its elements; 0: it has no pointers
 * @elements: how many
 */
struct moved {
	char *start;
	uint32_t words;
	gcheap_type type;
	uint32_t elements;
};

/**
 * struct promotion - one call
 * @heap: the heap
 * @thread: the calling thread
 * @all: what is promoted, @count of @room
 * @numbers: from @start to the number of the object, plus 1
 * @copies: a table in the heap
 */
struct promotion {
	struct gcheap *heap;
	struct thread *thread;
	struct moved *all;
	size_t count, room;
	struct identity_table numbers;
	void **copies;
};

/* ---- where objects are ---------------------------------------------------------------- */

static const uint64_t *bits_of(const char *chunk, uint32_t word)
{
	return (const uint64_t *)(const void *)(chunk + ARENA_DATA_BYTES) + word / 64 * 2;
}

/* The last word up to @word where something begins; @word + 1: there is none. */
static uint32_t start_before(const char *chunk, uint32_t word)
{
	uint32_t group = word / 64;
	uint64_t starts = bits_of(chunk, word)[1] & ~0ull >> (63 - word % 64);

	while (!starts && group--)
		starts = bits_of(chunk, group * 64)[1];
	return starts ? group * 64 + 63 - (uint32_t)__builtin_clzll(starts) : word + 1;
}

/* The first word from @word on where something begins; @end: there is none before. */
static uint32_t start_behind(const char *chunk, uint32_t word, uint32_t end)
{
	uint64_t starts;

	for (; word < end; word = (word / 64 + 1) * 64) {
		starts = bits_of(chunk, word)[1] >> word % 64;
		if (starts)
			word += (uint32_t)__builtin_ctzll(starts);
		if (starts)
			break;
	}
	return word < end ? word : end;
}

/* The object in a chunk that an address leads into; false: nothing was allocated there. */
static bool object_find(struct gcheap *heap, uint64_t offset, struct moved *object)
{
	uint64_t number = arena_chunk_number(offset);
	char *chunk = address_pointer(&heap->view, number << GCHEAP_CHUNK_SHIFT);
	uint32_t at = (uint32_t)(offset & (GCHEAP_CHUNK_BYTES - 1));
	uint32_t front, back, start, end;

	arenas_lock(heap);
	front = arena_chunk_front(heap, &heap->arenas.chunks[number]);
	back = arena_chunk_back(heap, &heap->arenas.chunks[number]);
	arenas_unlock(heap);
	if ((at >= front && at < back) || at >= ARENA_DATA_BYTES)
		return false;
	end = (at < front ? front : ARENA_DATA_BYTES) / 8;
	start = start_before(chunk, at / 8);
	if (start > at / 8)
		return false;
	object->start = chunk + start * 8;
	object->words = start_behind(chunk, at / 8 + 1, end) - start;
	return true;
}

/* ---- what is promoted ------------------------------------------------------------------- */

static int no_memory(void)
{
	return error_set(-ENOMEM, "out of memory for what is promoted");
}

static int object_add(struct promotion *promotion, const struct moved *object)
{
	if (identity_table_find(&promotion->numbers, object->start))
		return 0;
	if (promotion->count == promotion->room) {
		size_t room = promotion->room ? 2 * promotion->room : OBJECTS_MIN;
		struct moved *all = memory_grow(promotion->all, room * sizeof(*all));

		if (!all)
			return no_memory();
		promotion->all = all;
		promotion->room = room;
	}
	if (!identity_table_reserve(&promotion->numbers))
		return no_memory();
	promotion->all[promotion->count++] = *object;
	identity_table_add(&promotion->numbers, object->start,
			   (void *)(uintptr_t)promotion->count);
	return 0;
}

/* A pointer in what is promoted. */
static int pointer_add(struct promotion *promotion, const void *pointer)
{
	struct gcheap *heap = promotion->heap;
	uint64_t offset = address_offset(&heap->view, pointer);
	char where[BAD_POINTER_TEXT];
	struct moved object;
	uint64_t page;

	if (offset >= address_end(&heap->view))
		return 0;
	switch (address_set_aside(&heap->view, offset, &page)) {
	case GCHEAP_SPAN_FREE:
		return 0;
	case GCHEAP_SPAN_CHUNK:
		if (object_find(heap, offset, &object))
			return object_add(promotion, &object);
		break;
	}
	return error_set(-EINVAL, "what is promoted has the pointer %p, which leads %s", pointer,
			 bad_pointer_describe(heap, pointer, where));
}

/* Calls @fn for each pointer of an object, as long as it returns 0. */
static int each_pointer(struct promotion *promotion, size_t number,
			int (*fn)(struct promotion *promotion, size_t number, uint32_t word))
{
	const struct moved *object = &promotion->all[number];
	char *chunk = (char *)((uintptr_t)object->start & ~(uintptr_t)(GCHEAP_CHUNK_BYTES - 1));
	uint32_t first = (uint32_t)(object->start - chunk) / 8;
	uint32_t words = object->words, word;
	int error = 0;

	for (word = first; word < first + words && !error; word++) {
		uint64_t pointers = bits_of(chunk, word)[0] >> word % 64;

		if (!pointers) {
			word |= 63;
			continue;
		}
		word += (uint32_t)__builtin_ctzll(pointers);
		if (word < first + words)
			error = fn(promotion, number, word - first);
	}
	return error;
}

static int word_find(struct promotion *promotion, size_t number, uint32_t word)
{
	return pointer_add(promotion, ((void **)(void *)promotion->all[number].start)[word]);
}

static int find_all(struct promotion *promotion)
{
	size_t i;
	int error = 0;

	for (i = 0; i < promotion->count && !error; i++) {
		struct moved *object = &promotion->all[i];

		error = promote_shape(promotion->heap, object->start, object->words, &object->type,
				      &object->elements);
		if (!error)
			error = each_pointer(promotion, i, word_find);
	}
	return error;
}

/* ---- copies --------------------------------------------------------------------------------- */

static int copies_make(struct promotion *promotion)
{
	struct gcheap_thread *fast = &promotion->thread->fast;
	size_t i;

	for (i = 0; i < promotion->count; i++) {
		const struct moved *object = &promotion->all[i];
		void *copy = object->type ?
			     gcheap_new_array_slow_(fast, object->type, object->elements) :
			     gcheap_new_leaf_slow_(fast, (size_t)object->words * 8);

		if (!copy)
			return -errno;
		promotion->copies[i] = copy;
	}
	return 0;
}

static int word_copy(struct promotion *promotion, size_t number, uint32_t word)
{
	void **words = promotion->copies[number];
	uint64_t offset = address_offset(&promotion->heap->view, words[word]);
	struct moved object;
	uintptr_t found;
	uint64_t page;

	if (offset >= address_end(&promotion->heap->view) ||
	    address_set_aside(&promotion->heap->view, offset, &page) != GCHEAP_SPAN_CHUNK ||
	    !object_find(promotion->heap, offset, &object))
		return 0;
	found = (uintptr_t)identity_table_find(&promotion->numbers, object.start);
	if (found)
		words[word] = (char *)promotion->copies[found - 1] +
			      ((char *)words[word] - object.start);
	return 0;
}

static void copy_all(struct promotion *promotion)
{
	size_t i;

	for (i = 0; i < promotion->count; i++) {
		const struct moved *object = &promotion->all[i];

		memcpy(promotion->copies[i], object->start, (size_t)object->words * 8);
		each_pointer(promotion, i, word_copy);
	}
}

/* ---- a call -------------------------------------------------------------------------------- */

static int promote(struct promotion *promotion, const void *obj)
{
	struct gcheap *heap = promotion->heap;
	int error = pointer_add(promotion, obj);

	if (!error)
		error = find_all(promotion);
	if (!error)
		error = gcheap_root_add(heap, &promotion->copies, 1);
	if (error)
		return error;
	promotion->copies = gcheap_new_array_slow_(&promotion->thread->fast,
						   heap->arenas.reference_type, promotion->count);
	error = promotion->copies ? copies_make(promotion) : -errno;
	if (!error)
		copy_all(promotion);
	gcheap_root_remove(heap, &promotion->copies);
	return error;
}

void *gcheap_promote_deep(struct gcheap_thread *fast, const void *obj)
{
	LIBRARY_ENTRY;
	struct promotion promotion = { .thread = (struct thread *)fast };
	char *copy = NULL;
	uint64_t offset, page;
	int error;

	if (!fast)
		return error_null(-EINVAL, "the thread is NULL: attach one with "
				  "gcheap_thread_attach()");
	promotion.heap = promotion.thread->heap;
	error = heap_check(promotion.heap);
	if (error) {
		errno = -error;
		return NULL;
	}
	offset = address_offset(&promotion.heap->view, obj);
	if (offset >= address_end(&promotion.heap->view))
		return error_null(-EINVAL, "%p is in no arena of this heap, and no object of it",
				  obj);
	if (address_set_aside(&promotion.heap->view, offset, &page) == GCHEAP_SPAN_FREE)
		return (void *)(uintptr_t)obj;
	error = promote(&promotion, obj);
	if (!error)
		copy = (char *)promotion.copies[0] +
		       ((const char *)obj - promotion.all[0].start);
	identity_table_destroy(&promotion.numbers);
	memory_free(promotion.all);
	if (error)
		errno = -error;
	return copy;
}
