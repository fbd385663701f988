/* SPDX-License-Identifier: MIT */
/*
 * Threads and their caches of slots (thread.c, cache.c).
 *
 * A cache holds spans of one key (a size class, and in the SPAN layout a pointer
 * mask or a type, or that they are mixed) that REFILL granted: the current one,
 * whose free slots are presented to the inline functions 64 at a time as the
 * window, a stock of granted spans not yet begun, and those exhausted, which the
 * next REFILL returns.
 *
 *	current span, slots:
 *	0                window_slot        next_slot             slots
 *	+----------------+------------------+---------------------+
 *	| all allocated  | window:          | allocated by the    |
 *	|                | allocated, but   | alloc bits alone    |
 *	|                | for @fast.free   |                     |
 *	+----------------+------------------+---------------------+
 *
 * Tiny objects, of up to 8 bytes without pointers, share slots: their caches hand
 * out cells of 1, 2, 4 or 8 bytes, of which a slot of 16 has several. All that is said
 * here of slots goes for cells then; only the alloc bit is the slot's, set when a
 * cell of it is used, and the mark bit.
 *
 * The alloc bits of a span are brought up to date when it is exhausted or
 * flushed, not with every object.
 *
 * Caches lie in memory that fork() wipes (wipe_on_fork.h): in the child they read as
 * zeros, which is a cache without free slots, so that the inline functions there
 * go to the slow path and are refused.
 */
#ifndef GCHEAP_LIB_THREAD_H
#define GCHEAP_LIB_THREAD_H

#include "frame.h"
#include "library.h"
#include "stack.h"

/* A cache never holds more spans than this, those exhausted included. */
#define CACHE_SPANS_MAX		64u
/* The most that one REFILL asks for. */
#define CACHE_WANT_MAX		(256u << 10)

/**
 * struct cache_key - what the spans of a cache have in common
 * @mask: own spans, objects up to 512 bytes: one bit a word of a slot; else 0
 * @type: own spans, larger objects; under GCHEAP_RECORD_TYPES all; else 0
 * @size_class: their class
 * @cell_shift: each slot is handed out as so many cells, a power of two: for tiny
 *	objects
 * @noscan: their objects hold no pointers
 * @shared: types share them, and finish() has to write for each object; else they
 *	are of one mask or type, or nothing is known of their objects
 */
struct cache_key {
	uint64_t mask;
	gcheap_type type;
	uint8_t size_class;
	uint8_t cell_shift;
	uint8_t noscan;
	uint8_t shared;
};

/**
 * struct cache - one cache
 * @fast: what the inline functions use; must be first
 * @span: page of the current span; 0: none
 * @slots: slots of the current span
 * @window_slot: first slot of the window
 * @next_slot: first slot after the window
 * @window_free: free slots of the window when it was made
 * @taken: objects handed out from earlier windows since the last flush
 * @span_is_empty: no slot of the current span was in use when it was granted
 * @zero_windows: slots of a window are zeroed when it is made: those with cells
 * @is_idle: it handed out little between the last two flushes
 * @type: for REFILL: a type with this key; 0: of nothing that the heap knows
 * @alloc_class: whose own spans these are; NULL: those of whoever has no other way
 * @key: what its spans have in common
 * @slot_bits: pattern of a span's slots in a bit table
 * @next: of all the thread's caches
 * @hash_next: in its bucket of the thread's table
 * @stock_next: the first span of the stock that is not yet begun
 * @stock_end: end of the stock
 * @exhausted_count: spans to be returned
 * @want_bytes: how much the next REFILL asks for; doubles while the cache is busy
 * @granted_bytes: free slots granted since the last flush
 * @paced_bytes: how much of that the pacer has counted as taken
 * @stock: granted
 * @exhausted: to be returned: page numbers
 */
struct cache {
	struct gcheap_cache_ fast;
	uint32_t span;
	uint32_t slots;
	uint32_t window_slot;
	uint32_t next_slot;
	uint32_t window_free;
	bool span_is_empty;
	bool zero_windows;
	bool is_idle;
	uint64_t taken;
	gcheap_type type;
	struct cache_key key;
	struct alloc_class *alloc_class;
	const uint64_t *slot_bits;
	struct cache *next;
	struct cache *hash_next;
	uint32_t stock_next;
	uint32_t stock_end;
	uint32_t exhausted_count;
	uint32_t want_bytes;
	uint64_t granted_bytes;
	uint64_t paced_bytes;
	struct gcheap_grant stock[CACHE_SPANS_MAX];
	uint32_t exhausted[CACHE_SPANS_MAX];
};

/**
 * struct alloc_class - where objects of one key come from (alloc_class.c)
 * @key: of their own spans, or of those that all types share
 * @cache: the cache of single objects, and in own spans of arrays too; NULL: of
 *	arrays in mixed spans, each of which may have its own
 * @hash_next: in its bucket of the thread's table
 * @own_bytes: when so much was allocated in mixed spans between two flushes, it gets
 *	spans of its own
 * @mixed_bytes: how much was
 * @flush: the flush after which @mixed_bytes began
 * @first_type: of the types whose single objects come from here, linked by
 *	struct thread.type_next; 0: none
 * @is_mixed: @cache is not of @key, but of mixed spans
 */
struct alloc_class {
	struct cache_key key;
	struct cache *cache;
	struct alloc_class *hash_next;
	uint32_t own_bytes;
	uint32_t mixed_bytes;
	uint32_t flush;
	gcheap_type first_type : 31;
	gcheap_type is_mixed : 1;
};

#define THREAD_BUCKETS_SHIFT	8
#define THREAD_BUCKETS		(1u << THREAD_BUCKETS_SHIFT)
#define THREAD_ALLOC_CLASSES_SHIFT	11
#define THREAD_ALLOC_CLASSES		(1u << THREAD_ALLOC_CLASSES_SHIFT)
#define THREAD_MEMOS		128u
#define THREAD_SIZE_CLASSES	128u

/* The last one of arrays of a type and size class: saves computing the key. */
struct alloc_class_memo {
	gcheap_type type;
	uint32_t size_class;
	struct alloc_class *class;
};

/* Memory for allocation classes, which are never freed before their thread is. */
#define BLOCK_ALLOC_CLASSES	72u
struct alloc_class_block {
	struct alloc_class_block *next;
	struct alloc_class classes[BLOCK_ALLOC_CLASSES];
};

/* Memory for caches, wiped by fork(), in blocks that are never moved. */
struct cache_block {
	struct cache_block *next;
	struct cache *caches;
	size_t used;
};

/**
 * struct thread - one attached mutator
 * @fast: what the inline functions use; must be first
 * @heap: its heap
 * @self: who it is
 * @native: the stack that it was born with, if it was found
 * @tls_is_root: its thread-local storage is scanned
 * @frames_lost: frames for which there was no memory
 * @frames_reported: it was said that a frame's end was skipped
 * @type_alloc_classes: by type: of single objects; NULL: not made yet, or the type's
 *	objects are large. @fast.type_count entries, as @fast.types
 * @type_next: by type: the next one of the same allocation class; 0: none
 * @noscan_caches: by size class: for objects of which the heap knows nothing
 * @caches: all its caches
 * @free_caches: what allocation classes that went back to mixed spans have left
 * @filling: the cache that is being filled: a cycle may run meanwhile
 * @buckets: the caches by key
 * @alloc_classes: the allocation classes by key
 * @alloc_class_blocks: their memory
 * @alloc_class_used: how many of the first block are in use
 * @own_alloc_classes: how many could be mixed and have own spans
 * @flushes: how many there were
 * @memos: see struct alloc_class_memo
 * @blocks: memory of the caches
 * @barrier: where copies and clears tell of pointers while a cycle marks beside
 *	the mutators; NULL: nobody needs to know
 */
struct thread {
	struct gcheap_thread fast;
	struct gcheap *heap;
	pthread_t self;
	struct native_stack native;
	bool tls_is_root;
	bool frames_reported;
	struct frames_lost frames_lost;
	struct alloc_class **type_alloc_classes;
	gcheap_type *type_next;
	struct cache *noscan_caches[THREAD_SIZE_CLASSES];
	struct cache *caches;
	struct cache *free_caches;
	struct cache *filling;
	struct cache *buckets[THREAD_BUCKETS];
	struct alloc_class *alloc_classes[THREAD_ALLOC_CLASSES];
	struct alloc_class_block *alloc_class_blocks;
	uint32_t alloc_class_used;
	uint32_t own_alloc_classes;
	uint32_t flushes;
	struct alloc_class_memo memos[THREAD_MEMOS];
	struct cache_block *blocks;
	struct barrier_buffer *barrier;
};

/* ---- thread.c --------------------------------------------------------------- */

/* The cache without slots, that a thread's tables hold where there is no other. */
extern struct gcheap_cache_ thread_no_slots;

/* End a thread, its spans returned or lost with the heap already. */
void thread_free(struct thread *thread);

/* ---- cache.c ---------------------------------------------------------------- */

/* Whether two keys are the same, and a hash of one. */
static inline bool cache_key_equal(const struct cache_key *a, const struct cache_key *b)
{
	return a->mask == b->mask && a->type == b->type && a->size_class == b->size_class &&
	       a->cell_shift == b->cell_shift && a->noscan == b->noscan && a->shared == b->shared;
}

static inline uint64_t cache_key_hash(const struct cache_key *key, unsigned int shift)
{
	uint64_t sum = key->mask ^ (uint64_t)key->type << 20 ^ (uint64_t)key->size_class << 8 ^
		       (uint64_t)key->cell_shift << 2 ^ (uint64_t)key->noscan << 1 ^ key->shared;

	/* Fibonacci hashing: the golden ratio's bits spread the sum's. */
	return (sum ^ sum >> 32) * 0x9e3779b97f4a7c15 >> (64 - shift);
}

/**
 * cache_get() - find or make a cache
 * @thread: whose
 * @key: of its spans
 * @type: a type with this key; 0: of nothing that the heap knows
 *
 * Return: the cache, or NULL when out of memory.
 */
struct cache *cache_get(struct thread *thread, const struct cache_key *key, gcheap_type type);

/* The cache of memory of which the heap knows nothing. */
struct cache *cache_get_plain(struct thread *thread, uint32_t size_class);

/* Whether an object of @bytes, of which the heap knows nothing, shares its slot. */
static inline bool cache_is_tiny(const struct gcheap *heap, uint64_t bytes)
{
	return bytes && bytes + heap->guard_bytes <= GCHEAP_TINY_MAX_ && !heap->view.record_types;
}

/* The cache of such; NULL when out of memory. */
struct cache *cache_get_tiny(struct thread *thread, uint64_t bytes);

/**
 * cache_fill() - give a cache without free slots a window with some
 * @thread: whose
 * @cache: one of its caches
 *
 * May collect.
 *
 * Return: 0; a negative errno, with gcheap_error() set.
 */
int cache_fill(struct thread *thread, struct cache *cache);

/**
 * cache_flush_all() - return all cached spans to the backend
 * @thread: whose
 *
 * Return: 0 or a negative errno: spans are still cached then, and the next REFILL
 * or flush returns them. No cache has a window either way, and all alloc bits are
 * up to date.
 */
int cache_flush_all(struct thread *thread);

/**
 * cache_slot_is_free() - whether a slot of a cached span is still to be handed out
 * @thread: whose caches to search
 * @page: the span's first page, in GCHEAP_SPAN_CACHED
 * @index: the slot's number
 */
bool cache_slot_is_free(struct thread *thread, uint32_t page, uint32_t index);

/* Adds what the caches have handed out since their last flush. */
void cache_allocated(const struct thread *thread, uint64_t *objects, uint64_t *bytes);

/* ---- alloc_class.c ------------------------------------------------------------ */

/**
 * alloc_class_of_type() - where single objects of a type come from
 * @thread: the calling mutator
 * @type: the type; the thread's tables have an entry for it
 * @record: its record
 * @size_class: of own spans, or of those that all types share
 *
 * Fills in the type's entries in the thread's tables.
 *
 * Return: the allocation class, whose @cache is not NULL; NULL when out of memory.
 */
struct alloc_class *alloc_class_of_type(struct thread *thread, gcheap_type type,
					const struct gcheap_type_record *record,
					uint32_t size_class);

/**
 * alloc_class_of_array() - where arrays of a type come from
 * @thread: the calling mutator
 * @type: the type
 * @record: its record
 * @size_class: as of alloc_class_of_type()
 *
 * Return: the allocation class; NULL when out of memory.
 */
struct alloc_class *alloc_class_of_array(struct thread *thread, gcheap_type type,
					 const struct gcheap_type_record *record,
					 uint32_t size_class);

/* The cache for @bytes of elements where it is mixed; NULL when out of memory. */
struct cache *alloc_class_mixed_cache(struct thread *thread, gcheap_type type,
				      const struct gcheap_type_record *record, uint64_t bytes);

/* One that is mixed has allocated an object of @slot_bytes. */
void alloc_class_count(struct thread *thread, struct alloc_class *class, gcheap_type type,
		       uint32_t slot_bytes);

/* A flush is done: own spans for which there was little use are not any more. */
void alloc_classes_flushed(struct thread *thread);

/* Frees all of a thread. */
void alloc_classes_free(struct thread *thread);

/* Bytes that they take. */
uint64_t alloc_classes_memory(const struct thread *thread);

/* ---- cache.c again -------------------------------------------------------------- */

/* Takes an empty cache off the thread's lists: its memory may be another's now. */
void cache_release(struct thread *thread, struct cache *cache);

/* Frees a block that no cache is used of any more. */
void cache_block_free(struct cache_block *block);

/* Bytes of library memory that a thread takes. */
uint64_t cache_memory(const struct thread *thread);

#endif /* GCHEAP_LIB_THREAD_H */
