// SPDX-License-Identifier: MIT
/*
 * Allocation: what the inline functions of <gcheap.h> leave to do.
 *
 * gcheap_new_slow_() is the slow path of types with spans of their own. It is the only
 * path of types that share spans and whose objects need metadata for that: their entries
 * in the thread's table never have a free slot.
 */
#include "thread.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "backend/backend.h"
#include "collect.h"
#include "entry.h"
#include "error.h"
#include "fast_tables.h"
#include "guard.h"
#include "hooks.h"
#include "layout/layout.h"
#include "limit.h"
#include "refill.h"
#include "size_classes.h"
#include "verify_write.h"
#include "world.h"

#define LIKELY(x)	__builtin_expect(!!(x), 1)
#define NOINLINE	__attribute__((noinline))
#define COLD		__attribute__((noinline, cold))

/* What is in a leaf that is not zeroed, where objects are checked. */
#define UNWRITTEN	0xa5

/* ---- what allocation owes an object --------------------------------------------- */

/*
 * An object is complete: zeros and metadata are visible before any store of its
 * address, to a thread that reads that address and then the object or its type.
 * The reader needs no barrier, because it depends on the address.
 */
static inline void *object_publish(struct gcheap *heap, void *object, gcheap_type type,
				   uint64_t bytes)
{
	__atomic_thread_fence(__ATOMIC_RELEASE);
	if (__builtin_expect(heap->flags & GCHEAP_VERIFY, 0))
		verify_write(heap, object, type, bytes);
	return object;
}

/* Where objects are checked, a leaf that is not zeroed is not zero. */
static COLD void leaf_unwrite(void *leaf, uint64_t bytes)
{
	memset(leaf, UNWRITTEN, bytes);
	guard_unwritten(leaf, bytes);
}

/* ---- one object from a cache ------------------------------------------------ */

/*
 * The next slot of a cache that has one. @type: 0: of a leaf. @bytes: of all elements; 0:
 * of one.
 */
static inline void *object_take(struct thread *thread, struct cache *cache, gcheap_type type,
				uint64_t bytes)
{
	struct gcheap *heap = thread->heap;
	const struct gcheap_type_record *record;
	char *slot;

	slot = gcheap_cache_next_(cache_fast(cache), cache_fast(cache)->free);
	if (!cache->key.shared && LIKELY(!(heap->flags & GCHEAP_VERIFY)))
		return slot;
	if (!type)
		return object_publish(heap, slot, 0, bytes);
	record = view_type(&heap->view, type);
	if (!bytes)
		bytes = record->bytes;
	if (cache->key.shared)
		slot = heap->layout->finish(&heap->view, slot, type, record, bytes);
	return object_publish(heap, slot, type, bytes);
}

/* The same, with what the tools shall know of it. */
static COLD void *object_take_guarded(struct thread *thread, struct cache *cache,
				      gcheap_type type, uint64_t bytes)
{
	const struct gcheap *heap = thread->heap;
	const struct gcheap_type_record *record = type ? view_type(&heap->view, type) : NULL;
	uint64_t slot_bytes = cache_fast(cache)->slot_bytes;
	const char *slot = cache_fast(cache)->window +
			   (unsigned int)__builtin_ctzll(cache_fast(cache)->free) * slot_bytes;
	uint64_t word_bytes = 0;
	void *object;

	if (!bytes)
		bytes = record->bytes;
	if (record && cache->key.shared)
		word_bytes = heap->layout->word_bytes(&heap->view, record, slot_bytes);
	guard_open(slot, slot_bytes);
	object = object_take(thread, cache, type, bytes);
	guard_object(slot, slot_bytes, object, bytes, object == slot ? word_bytes : 0);
	return object;
}

/* Gives a cache free slots, if it has none. */
static inline bool cache_is_filled(struct thread *thread, struct cache *cache)
{
	int error = cache_fast(cache)->free ? 0 : refill_cache(thread, cache);

	if (error)
		errno = -error;
	return !error;
}

static inline void *object_from_cache(struct thread *thread, struct cache *cache,
				      gcheap_type type, uint64_t bytes)
{
	if (!cache_is_filled(thread, cache))
		return NULL;
	if (__builtin_expect(thread->heap->guard_bytes, 0))
		return object_take_guarded(thread, cache, type, bytes);
	return object_take(thread, cache, type, bytes);
}

/* One object of an allocation class's single-object cache, or of another one. */
static inline void *object_from_class(struct thread *thread, struct alloc_class *class,
				      struct cache *cache, gcheap_type type, uint64_t bytes)
{
	void *object = object_from_cache(thread, cache, type, bytes);

	if (class->is_mixed && object)
		alloc_class_count(thread, class, type, cache_fast(cache)->slot_bytes);
	return object;
}

/* ---- large objects ---------------------------------------------------------- */

static void *thread_failed(const struct thread *thread);

static COLD void *large_failed(int error, uint64_t bytes)
{
	if (error == -ENOMEM || error == -EOVERFLOW)
		return error_null(-ENOMEM, "out of memory: no room for an object of %llu bytes in "
				  "the heap's reserve, the memory limit or the machine",
				  (unsigned long long)bytes);
	return error_null(error, "the backend refused a large object: %s", strerror(-error));
}

/* How much is zeroed before it is looked whether somebody waits for this thread: 0.1 ms. */
#define ZERO_BYTES	((uint64_t)1 << 20)

/* Zeroes an object that nobody knows yet, and lets cycles of other threads run meanwhile. */
static void zero_large(struct thread *thread, char *object, uint64_t bytes)
{
	thread->making = object;
	for (; bytes > ZERO_BYTES; bytes -= ZERO_BYTES) {
		memset(object, 0, ZERO_BYTES);
		object += ZERO_BYTES;
		world_poll();
	}
	memset(object, 0, bytes);
	thread->making = NULL;
}

/*
 * An object with a span of its own; @bytes is what @count elements take; @zero: what is in it
 * counts. What the backend knows to be zero is not zeroed again.
 */
static NOINLINE void *object_large(struct thread *thread, gcheap_type type, uint64_t count,
				   uint64_t bytes, bool zero)
{
	struct gcheap *heap = thread->heap;
	struct gcheap_alloc_large alloc = { .size = sizeof(alloc), .type = type, .count = count };
	uint64_t span_bytes;
	char *object;
	int error;

	if (thread_hindrance(thread))
		return error_null(-EINVAL, "%s", thread_hindrance(thread));
	/* A cycle would not help. */
	if (bytes >= heap->view.reserve_bytes)
		return large_failed(-ENOMEM, bytes);
	error = collect_before_alloc(thread, bytes);
	if (error) {
		errno = -error;
		return NULL;
	}
	error = backend_request(heap->backend, GCHEAP_OP_ALLOC_LARGE, &alloc);
	if (error == -ENOMEM) {
		if (collect_for_memory(thread)) {
			/* With its message: why there can be no cycle. */
			errno = ENOMEM;
			return NULL;
		}
		error = backend_request(heap->backend, GCHEAP_OP_ALLOC_LARGE, &alloc);
	}
	if (error == -ENOMEM && hooks_out_of_memory(thread, bytes) && !collect_for_memory(thread))
		error = backend_request(heap->backend, GCHEAP_OP_ALLOC_LARGE, &alloc);
	if (!heap_is_here(heap))
		return thread_failed(thread);
	if (error)
		return large_failed(error, bytes);

	span_bytes = (uint64_t)alloc.out_npages << GCHEAP_PAGE_SHIFT;
	object = heap->view.base + ((uint64_t)alloc.out_page << GCHEAP_PAGE_SHIFT);
	if (heap->guard_bytes)
		guard_open(object, span_bytes);
	/* Before a cycle may run, which finds it and begins to count anew. */
	pacer_take(&heap->pacer, span_bytes);
	if (alloc.out_flags & GCHEAP_GRANT_NEEDZERO && (zero || heap_is_checked(heap)))
		zero_large(thread, object, span_bytes);
	if (heap->layout->finish_large && type && view_type(&heap->view, type)->ptr_bytes)
		heap->layout->finish_large(&heap->view, object, view_type(&heap->view, type),
					   bytes);
	limit_keep(heap);
	__atomic_fetch_add(&heap->allocated_objects, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&heap->allocated_bytes, span_bytes, __ATOMIC_RELAXED);
	object_publish(heap, object, type, bytes);
	if (heap->guard_bytes)
		guard_object(object, span_bytes, object, bytes, 0);
	if (!zero && heap_is_checked(heap))
		leaf_unwrite(object, bytes);
	return object;
}

/* ---- types ------------------------------------------------------------------ */

static COLD void *thread_failed(const struct thread *thread)
{
	if (!thread)
		return error_null(-EINVAL, "the thread is NULL: attach one with "
				  "gcheap_thread_attach()");
	errno = -heap_check(thread->heap);
	return NULL;
}

static bool thread_is_usable(const struct thread *thread)
{
	return thread && heap_is_here(thread->heap);
}

static COLD void *type_failed(gcheap_type type)
{
	return error_null(-EINVAL, "%u is no type of this heap: register it first", type);
}

static COLD void *tables_failed(void)
{
	return error_null(-ENOMEM, "out of memory for a thread's tables");
}

/* The inline functions' way to memory of which nothing is known: verified, none. */
static struct gcheap_cache_ *leaf_entry(const struct thread *thread, struct cache *cache)
{
	return heap_is_checked(thread->heap) ? &cache_no_slots : cache_fast(cache);
}

/* A tiny object; @entry: the inline functions' way to its cache. */
static void *new_tiny(struct thread *thread, uint64_t bytes, struct gcheap_cache_ **entry)
{
	struct cache *cache = cache_get_tiny(thread, bytes);

	if (!cache)
		return tables_failed();
	*entry = leaf_entry(thread, cache);
	return object_from_cache(thread, cache, 0, bytes);
}

/* The first object of a type on this thread, and every object of a large type. */
static NOINLINE void *new_first(struct thread *thread, gcheap_type type)
{
	const struct gcheap_type_record *record;
	struct alloc_class *class;
	uint32_t size_class;

	if (!thread_is_usable(thread))
		return thread_failed(thread);
	record = heap_type(thread->heap, type);
	if (!record)
		return type_failed(type);
	size_class = layout_size_class(thread->heap, record, record->bytes, false);
	if (!size_class)
		return object_large(thread, type, 1, record->bytes, true);
	if (type >= thread->fast.type_count && fast_tables_grow(thread))
		return tables_failed();
	if (!record->ptr_bytes && cache_is_tiny(thread->heap, record->bytes))
		return new_tiny(thread, record->bytes, &thread->fast.types[type]);
	class = alloc_class_of_type(thread, type, record, size_class);
	if (!class)
		return tables_failed();
	return object_from_class(thread, class, class->cache, type, 0);
}

void *gcheap_new_slow_(struct gcheap_thread *fast, gcheap_type type)
{
	LIBRARY_ENTRY;
	struct thread *thread = (struct thread *)fast;

	if (LIKELY(thread && type < fast->type_count)) {
		struct alloc_class *class = thread->type_alloc_classes[type];

		if (LIKELY(class))
			return object_from_class(thread, class, class->cache, type, 0);
	}
	return new_first(thread, type);
}

/* ---- arrays ----------------------------------------------------------------- */

/*
 * The array of one is a single object, and comes from where these do. Its entry makes that
 * the inline functions need not ask how many there are.
 */
static NOINLINE void *array_of_one(struct thread *thread, gcheap_type type,
				   const struct gcheap_type_record *record)
{
	void *object = gcheap_new_slow_(&thread->fast, type);

	if (object && type < thread->fast.type_count)
		fast_tables_enter_array(thread, type, record, 1, thread->fast.types[type]);
	return object;
}

/* The first array of a length on this thread, and all that have no entry. */
static NOINLINE void *array_first(struct thread *thread, gcheap_type type, size_t n)
{
	const struct gcheap_type_record *record;
	struct alloc_class *class;
	struct cache *cache;
	uint32_t size_class;
	uint64_t bytes;

	if (!thread_is_usable(thread))
		return thread_failed(thread);
	record = heap_type(thread->heap, type);
	if (!record)
		return type_failed(type);
	if (!n)
		return error_null(-EINVAL, "an array of 0 elements: ask for one at least");
	if (__builtin_mul_overflow(record->bytes, (uint64_t)n, &bytes))
		return error_null(-ENOMEM, "%zu elements of %llu bytes are more than any heap has",
				  n, (unsigned long long)record->bytes);
	if (n == 1)
		return array_of_one(thread, type, record);
	if (!record->ptr_bytes && cache_is_tiny(thread->heap, bytes)) {
		struct gcheap_cache_ *entry = &cache_no_slots;
		void *object = new_tiny(thread, bytes, &entry);

		fast_tables_enter_array(thread, type, record, n, entry);
		return object;
	}
	size_class = layout_size_class(thread->heap, record, bytes, false);
	if (!size_class)
		return object_large(thread, type, n, bytes, true);
	class = alloc_class_of_array(thread, type, record, size_class);
	if (!class)
		return tables_failed();
	cache = class->cache;
	if (class->is_mixed)
		cache = alloc_class_mixed_cache(thread, type, record, bytes);
	if (!cache)
		return tables_failed();
	fast_tables_enter_array(thread, type, record, n, alloc_class_fast_cache(thread, class));
	return object_from_class(thread, class, cache, type, bytes);
}

void *gcheap_new_array_slow_(struct gcheap_thread *fast, gcheap_type type, size_t n)
{
	LIBRARY_ENTRY;
	struct thread *thread = (struct thread *)fast;

	if (LIKELY(thread && type < fast->array_types && n < fast->arrays[type].count)) {
		struct gcheap_cache_ *cache = fast->arrays[type].caches[n];

		/* What has an entry needs no metadata. A child of fork() finds zeros. */
		if (LIKELY(cache->owner))
			return object_from_cache(thread, cache->owner, 0, 1);
	}
	return array_first(thread, type, n);
}

/* ---- leaves ----------------------------------------------------------------- */

/* A leaf from its cache; @zero: what is in it counts. */
static inline void *leaf_from_cache(struct thread *thread, struct cache *cache, size_t bytes,
				    bool zero)
{
	void *leaf;

	if (zero)
		return object_from_cache(thread, cache, 0, bytes);
	if (LIKELY(!heap_is_checked(thread->heap))) {
		if (!cache_is_filled(thread, cache))
			return NULL;
		return gcheap_cache_take_(cache_fast(cache), cache_fast(cache)->free);
	}
	leaf = object_from_cache(thread, cache, 0, bytes);
	if (leaf)
		leaf_unwrite(leaf, bytes);
	return leaf;
}

/* The first leaf of a size on this thread, and all over 1024 bytes. */
static NOINLINE void *leaf_first(struct thread *thread, size_t bytes, bool zero)
{
	struct gcheap_cache_ **entry = NULL;
	struct cache *cache;
	uint32_t size_class;

	if (!thread_is_usable(thread))
		return thread_failed(thread);
	if (!bytes)
		return error_null(-EINVAL, "a leaf of 0 bytes: ask for one at least");
	if (gcheap_leaf_entry_(bytes) < GCHEAP_LEAVES_)
		entry = &thread->fast.leaves[gcheap_leaf_entry_(bytes)];
	if (cache_is_tiny(thread->heap, bytes)) {
		cache = cache_get_tiny(thread, bytes);
	} else {
		size_class = bytes > SIZE_CLASS_MAX_BYTES ? 0 :
			     layout_size_class_plain(bytes + thread->heap->guard_bytes, 16);
		if (!size_class)
			return object_large(thread, 0, bytes, bytes, zero);
		cache = thread->noscan_caches[size_class];
		if (!cache)
			cache = cache_get_plain(thread, size_class);
		thread->noscan_caches[size_class] = cache;
	}
	if (!cache)
		return tables_failed();
	if (entry)
		*entry = leaf_entry(thread, cache);
	return leaf_from_cache(thread, cache, bytes, zero);
}

static inline void *leaf_slow(struct gcheap_thread *fast, size_t bytes, bool zero)
{
	struct thread *thread = (struct thread *)fast;
	size_t entry = gcheap_leaf_entry_(bytes);

	if (LIKELY(thread && entry < GCHEAP_LEAVES_)) {
		struct gcheap_cache_ *cache = fast->leaves[entry];

		/* A child of fork() finds zeros. */
		if (LIKELY(cache->owner))
			return leaf_from_cache(thread, cache->owner, bytes, zero);
	}
	return leaf_first(thread, bytes, zero);
}

void *gcheap_new_leaf_slow_(struct gcheap_thread *fast, size_t bytes)
{
	LIBRARY_ENTRY;
	return leaf_slow(fast, bytes, true);
}

void *gcheap_new_leaf_uninit_slow_(struct gcheap_thread *fast, size_t bytes)
{
	LIBRARY_ENTRY;
	return leaf_slow(fast, bytes, false);
}

/* ---- copies ----------------------------------------------------------------- */

/* Bytes of @n elements; 0 when there is nothing to do, or errno and an error were set. */
static size_t elements_bytes(const struct gcheap_thread *fast, gcheap_type type, size_t n)
{
	const struct thread *thread = (const struct thread *)fast;
	const struct gcheap_type_record *record;
	size_t bytes;

	if (!thread_is_usable(thread)) {
		thread_failed(thread);
		return 0;
	}
	record = heap_type(thread->heap, type);
	if (!record) {
		type_failed(type);
		return 0;
	}
	if (__builtin_mul_overflow(record->bytes, n, &bytes)) {
		error_null(-EINVAL, "%zu elements of %llu bytes are more than any heap has", n,
			   (unsigned long long)record->bytes);
		return 0;
	}
	return bytes;
}

void gcheap_copy(struct gcheap_thread *thread, gcheap_type type, void *dst, const void *src,
		 size_t n)
{
	size_t bytes = elements_bytes(thread, type, n);

	if (bytes)
		memmove(dst, src, bytes);
}

void gcheap_clear(struct gcheap_thread *thread, gcheap_type type, void *dst, size_t n)
{
	size_t bytes = elements_bytes(thread, type, n);

	if (bytes)
		memset(dst, 0, bytes);
}
