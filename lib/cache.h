/* SPDX-License-Identifier: MIT */
/*
 * Caches of slots (cache.c).
 *
 * A cache holds spans of one key that REFILL granted. The key is a size class, and in the
 * SPAN layout a pointer mask or a type, or that the spans are mixed. One span is the
 * current one: its free slots are presented to the inline functions 64 at a time, as the
 * window. The cache's other spans are a stock of granted ones that it has not begun, and
 * the exhausted ones, which the next REFILL returns.
 *
 *	current span, slots:
 *	0                window_slot        next_slot             slots
 *	+----------------+------------------+---------------------+
 *	| all allocated  | window:          | allocated by the    |
 *	|                | allocated, but   | alloc bits alone    |
 *	|                | for @free        |                     |
 *	+----------------+------------------+---------------------+
 *
 * Tiny objects, of up to 8 bytes without pointers, share slots: their caches hand out
 * cells of 1, 2, 4 or 8 bytes, of which a slot of 16 has several. What is said here of
 * slots holds for cells then. Only the alloc bit, which is set when a cell of the slot is
 * used, and the mark bit are the slot's.
 *
 * A thread may be stopped in the middle of an inline function (world.h), which goes on
 * afterwards with what it has read: it stores a @free that is old, and uses a slot that the
 * flush took for free. So a cache that is flushed then is abandoned first: the thread's
 * tables lead to the other one of its two @parts from there on, and the slots that the
 * function may have in hand are held: they count as allocated, and the cycle marks them.
 * The old part is not used again before the thread has been in the library, where no inline
 * function is in the middle of anything.
 *
 * The alloc bits of a span are brought up to date when it is exhausted or
 * flushed, not with every object.
 *
 * Caches lie in memory that fork() wipes (wipe_on_fork.h): in the child they read as
 * zeros, which is a cache without free slots, so that the inline functions there
 * go to the slow path and are refused.
 */
#ifndef GCHEAP_LIB_CACHE_H
#define GCHEAP_LIB_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include <gcheap.h>
#include <linux/gcheap.h>

#include "library.h"

struct alloc_class;
struct thread;

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
 * @parts: what the inline functions use, one of them at a time
 * @which: the one
 * @held: slots that an inline function which was stopped may be handing out: offsets from
 *	the heap's base; 0: none
 * @span: page of the current span; 0: none
 * @slots: slots of the current span
 * @window_slot: first slot of the window
 * @next_slot: first slot after the window
 * @exact_slot: the alloc bits of slots before this one are exact already
 * @window_free: free slots of the window when it was made, and those that were freed since
 * @taken: objects handed out from earlier windows since the last flush
 * @freed: slots that came back by gcheap_free() since then
 * @span_is_empty: no slot of the current span was in use when it was granted
 * @zero_windows: slots of a window are zeroed when it is made: those with cells
 * @is_idle: it handed out little between the last two flushes
 * @is_leaving: its allocation class has no use for it any more
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
	struct gcheap_cache_ parts[2];
	uint64_t held[2];
	uint32_t which;
	uint32_t span;
	uint32_t slots;
	uint32_t window_slot;
	uint32_t next_slot;
	uint32_t exact_slot;
	uint32_t window_free;
	bool span_is_empty;
	bool zero_windows;
	bool is_idle;
	bool is_leaving;
	uint64_t taken;
	uint64_t freed;
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

/* What the inline functions use of a cache. */
static inline struct gcheap_cache_ *cache_fast(struct cache *cache)
{
	return &cache->parts[cache->which];
}

/* Memory for caches, wiped by fork(), in blocks that are never moved. */
struct cache_block {
	struct cache_block *next;
	struct cache *caches;
	size_t used;
};

/* The cache without slots, that a thread's tables hold where there is no other. */
extern struct gcheap_cache_ cache_no_slots;

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
 * cache_open_window() - give a cache without free slots a window with some
 * @thread: whose
 * @cache: one of its caches
 *
 * Return: false: nothing is left of all that the cache was granted, and it has no span.
 */
bool cache_open_window(struct thread *thread, struct cache *cache);

/**
 * cache_abandon() - prepare a cache to be flushed whose thread was stopped anywhere
 * @cache: the cache; its thread is stopped, and has not been in the library since it was
 *	before. The thread's tables still lead to the part that is abandoned:
 *	fast_tables_redirect()
 */
void cache_abandon(struct cache *cache);

/*
 * Whether an inline function may be zeroing a slot: the one that it has just taken from a
 * window. Of a thread that was stopped anywhere; @offset is the slot's from the heap's base.
 */
bool cache_slot_is_in_hand(const struct cache *cache, uint64_t offset);

/* All spans of a cache are to be returned; it has no window afterwards. */
void cache_retire(struct thread *thread, struct cache *cache);

/**
 * cache_of_span() - the cache that hands out a span's slots now
 * @thread: whose caches to search: the calling one, or one that rests
 * @page: the span's first page, in GCHEAP_SPAN_CACHED
 *
 * Return: NULL: none of these does. If it is the thread's at all, its alloc bits tell.
 */
const struct cache *cache_of_span(const struct thread *thread, uint32_t page);

/* Whether a slot of the span that a cache hands out is still free. */
bool cache_slot_is_free(const struct thread *thread, const struct cache *cache, uint32_t index);

/**
 * cache_of_slot() - the cache of the calling thread that has a span
 * @thread: the calling mutator
 * @page: the span's first page, in GCHEAP_SPAN_CACHED
 * @info: its PAGES entry
 *
 * Return: the cache that hands out the span's slots, or will, or has; NULL: it is another
 * thread's.
 */
struct cache *cache_of_slot(const struct thread *thread, uint32_t page, uint64_t info);

/**
 * cache_free_slot() - take back a slot
 * @thread: the calling mutator
 * @cache: what cache_of_slot() has found, without cells
 * @page: the span's first page
 * @index: the slot, which is allocated
 *
 * One of the window is handed out next; else it is with the span that it is in.
 */
void cache_free_slot(struct thread *thread, struct cache *cache, uint32_t page, uint32_t index);

/*
 * Adds what the caches have handed out since their last flush. Any thread may ask; while
 * the owner allocates, what it does meanwhile may be counted or not.
 */
void cache_allocated(const struct thread *thread, uint64_t *objects, uint64_t *bytes);

/* Takes an empty cache off the thread's lists: its memory may be another's now. */
void cache_release(struct thread *thread, struct cache *cache);

/* Frees a block that no cache is used of any more. */
void cache_block_free(struct cache_block *block);

#endif /* GCHEAP_LIB_CACHE_H */
