// SPDX-License-Identifier: MIT
/*
 * A cache turns granted spans into windows of free slots, and used-up spans into spans to
 * return. This file sends no request: refill.c asks for spans, and flush.c returns them.
 */
#include "cache.h"

#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "guard.h"
#include "layout/layout.h"
#include "slot_bits.h"
#include "slots.h"
#include "thread.h"
#include "wipe_on_fork.h"

#define BLOCK_BYTES	((size_t)64 << 10)
#define BLOCK_CACHES	(BLOCK_BYTES / sizeof(struct cache))

_Static_assert(SIZE_CLASSES <= THREAD_SIZE_CLASSES, "every class has an entry");

struct gcheap_cache_ cache_no_slots;

/* ---- making caches ---------------------------------------------------------- */

static struct cache *cache_alloc(struct thread *thread)
{
	struct cache_block *block = thread->blocks;
	struct cache *cache = thread->free_caches;

	if (cache) {
		thread->free_caches = cache->next;
		return cache;
	}
	if (!block || block->used == BLOCK_CACHES) {
		block = malloc(sizeof(*block));
		if (!block)
			return NULL;
		block->used = 0;
		block->next = thread->blocks;
		block->caches = wipe_on_fork_alloc(BLOCK_BYTES);
		if (!block->caches) {
			free(block);
			return NULL;
		}
		thread_count_memory(thread, BLOCK_BYTES);
		thread->blocks = block;
	}
	return &block->caches[block->used++];
}

void cache_block_free(struct cache_block *block)
{
	wipe_on_fork_free(block->caches, BLOCK_BYTES);
	free(block);
}

static struct cache **key_bucket(struct thread *thread, const struct cache_key *key)
{
	return &thread->buckets[cache_key_hash(key, THREAD_BUCKETS_SHIFT)];
}

static bool key_has_heap_bits(const struct gcheap *heap, const struct cache_key *key)
{
	return key->shared && heap->layout->heap_bits && !heap->view.record_types &&
	       size_class_bytes[key->size_class] <= GCHEAP_HEAP_BITS_MAX;
}

struct cache *cache_get(struct thread *thread, const struct cache_key *key, gcheap_type type)
{
	struct gcheap *heap = thread->heap;
	struct cache **bucket = key_bucket(thread, key);
	const uint64_t *pattern;
	struct cache *cache;
	unsigned int i;

	for (cache = *bucket; cache; cache = cache->hash_next) {
		if (cache_key_equal(&cache->key, key))
			return cache;
	}
	pattern = slot_bits_pattern(&heap->slot_bits, key->size_class,
				    key_has_heap_bits(heap, key));
	cache = pattern ? cache_alloc(thread) : NULL;
	if (!cache)
		return NULL;
	for (i = 0; i < 2; i++) {
		cache->parts[i].slot_bytes = size_class_bytes[key->size_class] >> key->cell_shift;
		cache->parts[i].owner = cache;
	}
	cache->type = type;
	cache->key = *key;
	cache->slot_bits = pattern;
	cache->want_bytes = (uint32_t)size_class_pages[key->size_class] << GCHEAP_PAGE_SHIFT;
	cache->next = thread->caches;
	__atomic_store_n(&thread->caches, cache, __ATOMIC_RELEASE);
	cache->hash_next = *bucket;
	*bucket = cache;
	return cache;
}

struct cache *cache_get_plain(struct thread *thread, uint32_t size_class)
{
	struct cache_key key = { .size_class = (uint8_t)size_class, .noscan = 1 };

	return cache_get(thread, &key, 0);
}

struct cache *cache_get_tiny(struct thread *thread, uint64_t bytes)
{
	struct cache_key key = { .size_class = SIZE_CLASS_MIN, .cell_shift = 1, .noscan = 1 };

	while (size_class_bytes[SIZE_CLASS_MIN] >> (key.cell_shift + 1) >= bytes)
		key.cell_shift++;
	return cache_get(thread, &key, 0);
}

void cache_release(struct thread *thread, struct cache *cache)
{
	struct cache **link = key_bucket(thread, &cache->key);

	while (*link != cache)
		link = &(*link)->hash_next;
	*link = cache->hash_next;
	for (link = &thread->caches; *link != cache; link = &(*link)->next)
		;
	*link = cache->next;
	memset(cache, 0, sizeof(*cache));
	cache->next = thread->free_caches;
	thread->free_caches = cache;
}

/* ---- spans and windows ------------------------------------------------------ */

/* The words of a span in the table of alloc bits. */
static uint64_t *span_alloc_bits(const struct gcheap *heap, uint32_t page)
{
	return view_alloc_bits(&heap->view) + (size_t)page * 8;
}

/*
 * The free cells of the slots from @first on, zeroed if need be. A window of cells
 * begins with a slot, and has at most 32.
 */
static uint64_t load_cells(const struct cache *cache, const uint64_t *bits, uint32_t first,
			   char *window)
{
	uint32_t cells = 1u << cache->key.cell_shift;
	uint32_t slots = WINDOW_SLOTS >> cache->key.cell_shift;
	uint64_t used = cache->span_is_empty ? 0 : bits[first / 64] >> first % 64;
	uint64_t free = 0;
	uint32_t i;

	for (i = 0; i < slots; i++) {
		if (used >> i & 1)
			continue;
		free |= low_ones(cells) << i * cells;
		if (cache->zero_windows)
			memset(window + (size_t)i * 16, 0, 16);
	}
	return free;
}

/* The slots of which a cell is used. */
static uint64_t cells_to_slots(uint64_t cells, uint32_t cell_shift)
{
	uint32_t each = 1u << cell_shift;
	uint64_t slots = 0;
	uint32_t i;

	for (i = 0; cells; i++, cells >>= each)
		slots |= (uint64_t)((cells & low_ones(each)) != 0) << i;
	return slots;
}

static void cache_close_window(struct cache *cache)
{
	uint64_t taken = cache->taken + cache->window_free;

	if (cache_fast(cache)->free)
		taken -= hweight64(cache_fast(cache)->free);
	/* Others may ask for figures at any time. */
	__atomic_store_n(&cache->taken, taken, __ATOMIC_RELAXED);
	__atomic_store_n(&cache->window_free, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&cache_fast(cache)->free, 0, __ATOMIC_RELAXED);
}

static void cache_next_window(struct thread *thread, struct cache *cache)
{
	struct gcheap *heap = thread->heap;
	uint32_t first = cache->next_slot;
	uint32_t count = cache->slots - first;
	uint64_t free;

	cache_close_window(cache);
	if (count > WINDOW_SLOTS)
		count = WINDOW_SLOTS;
	cache_fast(cache)->window = heap->view.base + ((size_t)cache->span << GCHEAP_PAGE_SHIFT) +
			     (size_t)first * cache_fast(cache)->slot_bytes;
	free = low_ones(count);
	if (cache->key.cell_shift)
		free = load_cells(cache, span_alloc_bits(heap, cache->span),
				  first >> cache->key.cell_shift, cache_fast(cache)->window);
	else if (!cache->span_is_empty)
		free &= ~slot_bits_load(span_alloc_bits(heap, cache->span),
					cache_fast(cache)->slot_bytes, first, count);
	__atomic_store_n(&cache->window_free, hweight64(free), __ATOMIC_RELAXED);
	cache->window_slot = first;
	cache->next_slot = first + count;
	__atomic_store_n(&cache_fast(cache)->free, free, __ATOMIC_RELAXED);
}

static void cache_begin_span(const struct gcheap *heap, struct cache *cache)
{
	const struct gcheap_grant *grant = &cache->stock[cache->stock_next++];
	struct gcheap_cache_ *fast = cache_fast(cache);

	cache->span = grant->page;
	cache->slots = grant->slots << cache->key.cell_shift;
	cache->window_slot = 0;
	cache->next_slot = 0;
	cache->exact_slot = 0;
	cache->span_is_empty = grant->free_slots == grant->slots;
	cache->zero_windows = cache->key.cell_shift && grant->flags & GCHEAP_GRANT_NEEDZERO;
	fast->zero_bytes = grant->flags & GCHEAP_GRANT_NEEDZERO && !cache->zero_windows ?
			   fast->slot_bytes : 0;
	if (heap->guard_bytes && cache->span_is_empty)
		guard_span(heap->view.base + ((size_t)cache->span << GCHEAP_PAGE_SHIFT),
			   (uint64_t)size_class_pages[cache->key.size_class] << GCHEAP_PAGE_SHIFT,
			   (uint64_t)cache->slots * fast->slot_bytes);
}

/* The current span is to be returned; its alloc bits become exact. */
static void cache_end_span(struct thread *thread, struct cache *cache)
{
	uint64_t *bits = span_alloc_bits(thread->heap, cache->span);
	uint64_t unused = cache_fast(cache)->free;
	uint32_t shift = cache->key.cell_shift;
	uint64_t used = low_ones(cache->next_slot - cache->window_slot) & ~unused;

	cache_close_window(cache);
	if (cache->next_slot == cache->slots && !unused && !cache->exact_slot)
		slot_bits_store_all(bits, cache->slot_bits,
				    size_class_pages[cache->key.size_class] * MARK_WORDS_PER_PAGE);
	else
		slot_bits_store(bits, cache->slot_bits, size_class_bytes[cache->key.size_class],
				cache->exact_slot, cache->window_slot >> shift,
				shift ? cells_to_slots(used, shift) : used);
	cache->exhausted[cache->exhausted_count++] = cache->span;
	cache->span = 0;
	cache->slots = 0;
	cache->window_slot = 0;
	cache->next_slot = 0;
}

bool cache_open_window(struct thread *thread, struct cache *cache)
{
	while (!cache_fast(cache)->free) {
		if (cache->next_slot < cache->slots) {
			cache_next_window(thread, cache);
			continue;
		}
		if (cache->span)
			cache_end_span(thread, cache);
		if (cache->stock_next == cache->stock_end)
			return false;
		cache_begin_span(thread->heap, cache);
	}
	return true;
}

/* ---- all spans at once -------------------------------------------------------- */

/* Counts what was taken since the last flush, and forgets it. */
static void cache_account(struct gcheap *heap, struct cache *cache)
{
	uint32_t span_bytes = (uint32_t)size_class_pages[cache->key.size_class] <<
			      GCHEAP_PAGE_SHIFT;
	uint64_t bytes = cache->taken * cache_fast(cache)->slot_bytes;
	uint64_t freed = cache->freed * cache_fast(cache)->slot_bytes;
	uint64_t want = bytes / 4;
	uint64_t kept;

	__atomic_fetch_add(&heap->allocated_objects, cache->taken, __ATOMIC_RELAXED);
	__atomic_fetch_add(&heap->allocated_bytes, bytes, __ATOMIC_RELAXED);
	/* What came back was not taken, unless it is of before. */
	kept = bytes > freed ? bytes - freed : 0;
	if (kept >= cache->paced_bytes)
		pacer_take(&heap->pacer, kept - cache->paced_bytes);
	else
		pacer_give_back(&heap->pacer, cache->paced_bytes - kept);
	if (want > CACHE_WANT_MAX)
		want = CACHE_WANT_MAX;
	cache->want_bytes = want > span_bytes ? (uint32_t)want : span_bytes;
	cache->is_idle = bytes < span_bytes / 2;
	__atomic_store_n(&cache->taken, 0, __ATOMIC_RELAXED);
	cache->freed = 0;
	cache->granted_bytes = 0;
	cache->paced_bytes = 0;
}

/* The offset of the slot that has a cell of the window. */
static uint64_t window_offset(const struct cache *cache, uint32_t cell)
{
	uint64_t slot = (cache->window_slot + cell) >> cache->key.cell_shift;

	return ((uint64_t)cache->span << GCHEAP_PAGE_SHIFT) +
	       slot * size_class_bytes[cache->key.size_class];
}

void cache_abandon(struct cache *cache)
{
	struct gcheap_cache_ *old = cache_fast(cache);
	struct gcheap_cache_ *new = &cache->parts[cache->which ^ 1];
	uint32_t cells = cache->next_slot - cache->window_slot;
	uint32_t next = old->free ? (uint32_t)__builtin_ctzll(old->free) : cells;

	/* Without a window it had no slot for anybody, and inline functions take no shared one. */
	if (!cells || cache->key.shared)
		return;
	cache->held[0] = old->free ? window_offset(cache, next) : 0;
	/*
	 * Nobody may come for it, and it is an object until the next cycle: what another one has
	 * left there would be its pointers. Who comes has written nothing but zeros so far.
	 */
	if (old->free && old->zero_bytes && !cache->key.noscan)
		memset(old->window + (size_t)next * old->slot_bytes, 0, old->zero_bytes);
	/* Taken already, and perhaps in no register yet. */
	cache->held[1] = next ? window_offset(cache, next - 1) : 0;
	*new = *old;
	new->free &= new->free - 1;
	__atomic_store_n(&cache->which, cache->which ^ 1, __ATOMIC_RELAXED);
	old->free = 0;
}

bool cache_slot_is_in_hand(const struct cache *cache, uint64_t offset)
{
	uint32_t cells = cache->next_slot - cache->window_slot;
	uint64_t free = cache->parts[cache->which].free;
	uint32_t cell = free ? (uint32_t)__builtin_ctzll(free) : cells;

	/* The lowest is taken first: what was free in between is not known any more. */
	while (cell--) {
		if (window_offset(cache, cell) == offset)
			return true;
	}
	return false;
}

void cache_retire(struct thread *thread, struct cache *cache)
{
	if (cache->span)
		cache_end_span(thread, cache);
	while (cache->stock_next < cache->stock_end)
		cache->exhausted[cache->exhausted_count++] = cache->stock[cache->stock_next++].page;
	cache_account(thread->heap, cache);
}

/* ---- what caches know of slots ---------------------------------------------- */

const struct cache *cache_of_span(const struct thread *thread, uint32_t page)
{
	const struct cache *cache = thread->caches;

	while (cache && cache->span != page)
		cache = cache->next;
	return cache;
}

bool cache_slot_is_free(const struct thread *thread, const struct cache *cache, uint32_t index)
{
	uint32_t first = index << cache->key.cell_shift;
	uint64_t cells = low_ones(1u << cache->key.cell_shift);
	uint32_t bit;

	if (first < cache->window_slot && index >= cache->exact_slot)
		return false;
	if (first >= cache->window_slot && first < cache->next_slot) {
		first -= cache->window_slot;
		return (cache->parts[cache->which].free >> first & cells) == cells;
	}
	/* Not begun, or exact. */
	bit = slot_granule(size_class_bytes[cache->key.size_class], index);
	return !(span_alloc_bits(thread->heap, cache->span)[bit / 64] >> bit % 64 & 1);
}

/* ---- slots that come back ---------------------------------------------------- */

/* The key of the caches that may have a span: what alloc_class.c made it from. */
static struct cache_key span_cache_key(const struct gcheap *heap, uint32_t page, uint64_t info)
{
	const struct gcheap_span *span = &heap->view.spans[page];
	struct cache_key key = {
		.size_class = span->span_class / 2,
		.noscan = span->span_class & 1,
	};

	switch (GCHEAP_PAGE_KIND(info)) {
	case GCHEAP_KIND_NOSCAN:
		break;
	case GCHEAP_KIND_MASK:
		if (!heap->view.record_types) {
			key.mask = span->ptr_mask;
			break;
		}
		/* fallthrough */
	case GCHEAP_KIND_TYPE:
		key.type = span->type;
		break;
	default:
		key.shared = 1;
	}
	return key;
}

static bool cache_has_span(const struct cache *cache, uint32_t page)
{
	uint32_t i;

	if (cache->span == page)
		return true;
	for (i = 0; i < cache->exhausted_count; i++) {
		if (cache->exhausted[i] == page)
			return true;
	}
	for (i = cache->stock_next; i < cache->stock_end; i++) {
		if (cache->stock[i].page == page)
			return true;
	}
	return false;
}

struct cache *cache_of_slot(const struct thread *thread, uint32_t page, uint64_t info)
{
	struct cache_key key = span_cache_key(thread->heap, page, info);
	struct cache *cache = thread->buckets[cache_key_hash(&key, THREAD_BUCKETS_SHIFT)];

	while (cache && !(cache_key_equal(&cache->key, &key) && cache_has_span(cache, page)))
		cache = cache->hash_next;
	return cache;
}

void cache_free_slot(struct thread *thread, struct cache *cache, uint32_t page, uint32_t index)
{
	struct gcheap *heap = thread->heap;
	struct gcheap_cache_ *fast = cache_fast(cache);
	uint64_t *bits = span_alloc_bits(heap, page);
	uint32_t bit = slot_granule(fast->slot_bytes, index);
	bool is_current = cache->span == page;

	/* In memory that is known to be zero, a slot that is free is. */
	if (is_current ? !fast->zero_bytes :
			 !(heap->view.spans[page].state & GCHEAP_SPAN_NEEDZERO))
		memset(heap->view.base + ((size_t)page << GCHEAP_PAGE_SHIFT) +
		       (size_t)index * fast->slot_bytes, 0, fast->slot_bytes);
	cache->freed++;
	if (is_current && index < cache->window_slot && cache->exact_slot < cache->window_slot) {
		slot_bits_store(bits, cache->slot_bits, fast->slot_bytes, cache->exact_slot,
				cache->window_slot, 0);
		cache->exact_slot = cache->window_slot;
	}
	/* Of the window's slots, it is set for those that were in use when the span came. */
	bits[bit / 64] &= ~(1ull << bit % 64);
	if (is_current && index >= cache->window_slot && index < cache->next_slot) {
		/* Taken it was, all the same: figures count what was handed out. */
		__atomic_store_n(&cache->window_free, cache->window_free + 1, __ATOMIC_RELAXED);
		__atomic_store_n(&fast->free, fast->free | 1ull << (index - cache->window_slot),
				 __ATOMIC_RELAXED);
	}
}

void cache_allocated(const struct thread *thread, uint64_t *objects, uint64_t *bytes)
{
	const struct cache *cache = __atomic_load_n(&thread->caches, __ATOMIC_ACQUIRE);

	for (; cache; cache = __atomic_load_n(&cache->next, __ATOMIC_ACQUIRE)) {
		uint32_t which = __atomic_load_n(&cache->which, __ATOMIC_RELAXED);
		const struct gcheap_cache_ *part = &cache->parts[which];
		uint64_t taken = __atomic_load_n(&cache->taken, __ATOMIC_RELAXED) +
				 __atomic_load_n(&cache->window_free, __ATOMIC_RELAXED) -
				 hweight64(__atomic_load_n(&part->free, __ATOMIC_RELAXED));

		*objects += taken;
		*bytes += taken * part->slot_bytes;
	}
}
