/* SPDX-License-Identifier: MIT */
/*
 * Threads and their caches of slots (cache.c).
 *
 * A cache holds spans of one key (a size class, and in the SPAN layout a type)
 * that REFILL granted: the current one, whose free slots are presented to the
 * inline functions 64 at a time as the window, a stock of granted spans not yet
 * begun, and those exhausted, which the next REFILL returns.
 *
 * The alloc bits of a cached span are brought up to date when it is returned; in
 * between, what is allocated is: alloc bits, or below the window, or in the
 * window and not free.
 */
#ifndef GCHEAP_LIB_THREAD_H
#define GCHEAP_LIB_THREAD_H

#include "heap.h"

#define CACHE_STOCK_MAX	64u

/**
 * struct cache - one cache
 * @fast: what the inline functions use; must be first
 * @next: of all the thread's caches
 * @type: for REFILL; 0: no pointers
 * @size_class: of its spans
 * @span: page of the current span; 0: none
 * @slots: slots of the current span
 * @next_slot: first slot after the window
 * @current_free: free slots of the current span at the grant
 * @stock: granted, not yet begun
 * @stock_count: how many; taken from the end
 * @exhausted: used up, to be returned
 * @exhausted_count: how many
 * @want_bytes: how much the next REFILL asks for; doubles while the cache is busy
 */
struct cache {
	struct gcheap_cache_ fast;
	struct cache *next;
	gcheap_type type;
	uint32_t size_class;
	uint32_t span;
	uint32_t slots;
	uint32_t next_slot;
	uint32_t current_free;
	struct gcheap_grant stock[CACHE_STOCK_MAX];
	uint32_t stock_count;
	uint32_t exhausted[CACHE_STOCK_MAX];
	uint32_t exhausted_count;
	uint32_t want_bytes;
};

/**
 * struct thread - one attached mutator
 * @fast: what the inline functions use; must be first
 * @heap: its heap
 * @stack_top: highest address of its stack, for conservative scanning
 * @caches: all its caches
 * (the cache owner adds what it needs)
 */
struct thread {
	struct gcheap_thread fast;
	struct gcheap *heap;
	const char *stack_top;
	struct cache *caches;
};

/* Returns all cached spans to the backend. 0 or a negative errno. */
int cache_flush_all(struct thread *thread);

/**
 * cache_slot_is_free() - whether a slot of a cached span is still to be handed out
 * @thread: whose caches to search
 * @page: the span's first page, in GCHEAP_SPAN_CACHED
 * @index: the slot's number
 */
bool cache_slot_is_free(struct thread *thread, uint32_t page, uint32_t index);

#endif /* GCHEAP_LIB_THREAD_H */
