/* SPDX-License-Identifier: MIT */
/*
 * Threads and their caches of slots (thread.c, cache.c).
 *
 * A cache holds spans of one key (a size class, and in the SPAN layout a pointer
 * mask or a type) that REFILL granted: the current one, whose free slots are
 * presented to the inline functions 64 at a time as the window, a stock of
 * granted spans not yet begun, and those exhausted, which the next REFILL
 * returns.
 *
 *	current span, slots:
 *	0                window_slot        next_slot             slots
 *	+----------------+------------------+---------------------+
 *	| all allocated  | window:          | allocated by the    |
 *	|                | allocated, but   | alloc bits alone    |
 *	|                | for @fast.free   |                     |
 *	+----------------+------------------+---------------------+
 *
 * The alloc bits of a span are brought up to date when it is exhausted or
 * flushed, not with every object.
 *
 * Caches lie in private memory (private.h): in a child of fork() they read as
 * zeros, which is a cache without free slots, so that the inline functions there
 * go to the slow path and are refused.
 */
#ifndef GCHEAP_LIB_THREAD_H
#define GCHEAP_LIB_THREAD_H

#include "heap.h"

/* A cache never holds more spans than this, those exhausted included. */
#define CACHE_SPANS_MAX		64u
/* The most that one REFILL asks for. */
#define CACHE_WANT_MAX		(256u << 10)

/**
 * struct cache_key - what the spans of a cache have in common
 * @mask: SPAN layout, objects up to 512 bytes: one bit a word of a slot; else 0
 * @type: SPAN layout, larger objects; else 0
 * @size_class: their class
 * @noscan: their objects hold no pointers
 */
struct cache_key {
	uint64_t mask;
	gcheap_type type;
	uint16_t size_class;
	uint16_t noscan;
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
 * @finish: objects need the layout's finish()
 * @type: for REFILL: a type with this key; 0: no pointers
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
	bool finish;
	uint64_t taken;
	gcheap_type type;
	struct cache_key key;
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

#define THREAD_BUCKETS		256u
#define THREAD_MEMOS		128u
#define THREAD_SIZE_CLASSES	128u

/* The last array cache of a type and class: saves computing the key. */
struct cache_memo {
	gcheap_type type;
	uint32_t size_class;
	struct cache *cache;
};

/* Private memory for caches, in blocks that are never moved. */
struct cache_block {
	struct cache_block *next;
	struct cache *caches;
	size_t used;
};

/**
 * struct thread - one attached mutator
 * @fast: what the inline functions use; must be first
 * @heap: its heap
 * @stack_low: lowest address of its stack
 * @stack_top: one past the highest
 * @type_caches: by type: the cache of single objects; NULL: not made yet, or the
 *	type's objects are large. @fast.type_count entries, as @fast.types
 * @noscan_caches: by size class: for objects without pointers
 * @caches: all its caches
 * @buckets: the caches by key
 * @memos: see struct cache_memo
 * @blocks: memory of the caches
 * @barrier: where copies and clears tell of pointers while a cycle marks beside
 *	the mutators; NULL: nobody needs to know
 */
struct thread {
	struct gcheap_thread fast;
	struct gcheap *heap;
	const char *stack_low;
	const char *stack_top;
	struct cache **type_caches;
	struct cache *noscan_caches[THREAD_SIZE_CLASSES];
	struct cache *caches;
	struct cache *buckets[THREAD_BUCKETS];
	struct cache_memo memos[THREAD_MEMOS];
	struct cache_block *blocks;
	struct barrier_buffer *barrier;
};

/* ---- thread.c --------------------------------------------------------------- */

/* The cache without slots, that a thread's tables hold where there is no other. */
extern struct gcheap_cache_ thread_no_slots;

/**
 * thread_holds_stack() - whether an address is on the thread's stack
 * @thread: the calling thread
 * @sp: its stack pointer
 *
 * False: the thread runs on another stack (a coroutine's, a signal's) than the
 * one it was attached with.
 */
bool thread_holds_stack(struct thread *thread, const void *sp);

/* End a thread, its spans returned or lost with the heap already. */
void thread_free(struct thread *thread);

/* ---- cache.c ---------------------------------------------------------------- */

/**
 * cache_get() - find or make a cache
 * @thread: whose
 * @type: the type to allocate, or 0 for bytes without pointers
 * @record: its record, or NULL
 * @size_class: of the slots; not 0
 *
 * Return: the cache, or NULL when out of memory.
 */
struct cache *cache_get(struct thread *thread, gcheap_type type,
			const struct gcheap_type_record *record, uint32_t size_class);

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

/* Frees a block that no cache is used of any more. */
void cache_block_free(struct cache_block *block);

/* Bytes of library memory that a thread takes. */
uint64_t cache_memory(const struct thread *thread);

#endif /* GCHEAP_LIB_THREAD_H */
