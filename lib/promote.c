// SPDX-License-Identifier: MIT
/*
 * Out of a user arena: copies in the heap of what is in one.
 */
#include "library.h"

#include <errno.h>
#include <string.h>

#include "address.h"
#include "entry.h"
#include "error.h"
#include "thread.h"

/* What @n elements take, or @n bytes of a leaf; 0 with errno and gcheap_error() set. */
static uint64_t bytes_of(const struct gcheap *heap, gcheap_type type, size_t n)
{
	const struct gcheap_type_record *record = type ? heap_type(heap, type) : NULL;
	uint64_t bytes = n;

	if (type && !record) {
		error_null(-EINVAL, "%u is no type of this heap: register it first", type);
		return 0;
	}
	if (!n) {
		error_null(-EINVAL, "a copy of nothing: ask for one element at least");
		return 0;
	}
	if (type && __builtin_mul_overflow(record->bytes, (uint64_t)n, &bytes)) {
		error_null(-EINVAL, "%zu elements of %llu bytes are more than any arena has", n,
			   (unsigned long long)record->bytes);
		return 0;
	}
	return bytes;
}

/* Whether all of it was allocated. The chunk's arena may be allocating in it. */
static bool is_in_chunk(struct gcheap *heap, uint64_t offset, uint64_t bytes)
{
	const struct arena_chunk *chunk = &heap->arenas.chunks[arena_chunk_number(offset)];
	uint64_t at = offset & (GCHEAP_CHUNK_BYTES - 1);
	bool is;

	arenas_lock(heap);
	is = at + bytes <= arena_chunk_front(heap, chunk) ||
	     (at >= arena_chunk_back(heap, chunk) && at + bytes <= ARENA_DATA_BYTES);
	arenas_unlock(heap);
	return is;
}

void *gcheap_promote(struct gcheap_thread *fast, gcheap_type type, const void *obj, size_t n)
{
	LIBRARY_ENTRY;
	struct thread *thread = (struct thread *)fast;
	struct gcheap *heap;
	uint64_t offset, bytes, page;
	void *copy;
	int error;

	if (!thread)
		return error_null(-EINVAL, "the thread is NULL: attach one with "
				  "gcheap_thread_attach()");
	heap = thread->heap;
	error = heap_check(heap);
	if (error) {
		errno = -error;
		return NULL;
	}
	offset = address_offset(&heap->view, obj);
	bytes = bytes_of(heap, type, n);
	if (!bytes)
		return NULL;
	if (offset >= address_end(&heap->view))
		return error_null(-EINVAL, "%p is in no arena of this heap, and no object of it",
				  obj);
	switch (address_set_aside(&heap->view, offset, &page)) {
	case GCHEAP_SPAN_FREE:
		return (void *)(uintptr_t)obj;
	case GCHEAP_SPAN_CHUNK:
		if (heap->arenas.chunks && is_in_chunk(heap, offset, bytes))
			break;
		return error_null(-EINVAL, "%p and %llu bytes behind it are not all of an arena's "
				  "objects", obj, (unsigned long long)bytes);
	default:
		return error_null(-EINVAL, "%p is where an arena was that is freed", obj);
	}
	copy = type ? gcheap_new_array_slow_(fast, type, n) : gcheap_new_leaf_slow_(fast, n);
	if (copy)
		memcpy(copy, obj, bytes);
	return copy;
}
