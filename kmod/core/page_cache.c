// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The page cache: free pages that a CPU has taken out of the tree, for its next
 * short runs. Go's, but for the lock.
 *
 * A cache holds the free pages among 64 that are aligned, as one word of bits.
 * Short runs are cut from it by bit operations; the tree and its summaries see
 * one change for many runs. Runs that one CPU asks for lie together, and so do
 * the objects that its threads make: on the same page of each mapped table, and
 * released together when they die together.
 *
 * A short run that is freed where its CPU's cache has the other pages from goes
 * back to the cache, so that the same memory is used again and not fresh one.
 *
 * Go's caches spare its Ps the heap's lock. Here each request takes that anyhow:
 * it protects the caches too, so that any CPU may empty any cache, and a cache
 * whose CPU has gone offline is none that is lost.
 *
 * Pages in a cache are free in every sense (struct page_heap.free_pages and
 * backed_pages count them), but the tree does not know them. So all caches are
 * emptied where the tree is asked for something that must be true of all free
 * pages: when a search finds nothing, when memory is to be released, and at each
 * MARK_START and SWEEP_START, that no page stays in the cache of a CPU which the
 * program has left.
 */
#include "page_heap_internal.h"

/* The pages of a cache that has none, and had none: of no word. */
#define NO_PAGES	U32_MAX

int page_caches_init(struct page_heap *ph, u32 cpus)
{
	u32 cpu;

	if (!cpus)
		return 0;
	ph->caches = port_zalloc(cpus * sizeof(*ph->caches));
	if (!ph->caches)
		return -ENOMEM;
	if (bit_index_init(&ph->filled_caches, cpus)) {
		port_free(ph->caches);
		ph->caches = NULL;
		return -ENOMEM;
	}
	for (cpu = 0; cpu < cpus; cpu++)
		ph->caches[cpu].page = NO_PAGES;
	return 0;
}

void page_caches_destroy(struct page_heap *ph)
{
	bit_index_destroy(&ph->filled_caches);
	port_free(ph->caches);
	ph->caches = NULL;
}

static void cache_empty(struct page_heap *ph, u32 cpu)
{
	struct page_cache *cache = &ph->caches[cpu];

	if (cache->free) {
		tree_set_word(ph, cache->page, cache->free, true);
		backed_note_word(ph, cache->page, cache->free);
		ph->cached_pages -= hweight64(cache->free);
		cache->free = 0;
		bit_index_remove(&ph->filled_caches, cpu);
	}
	cache->page = NO_PAGES;
}

/*
 * Fills the cache from the word with the run of @npages at @page. False when that
 * is not worth it: the run crosses into the next word, or there is no room for
 * two like it.
 */
static bool cache_fill(struct page_heap *ph, u32 cpu, u32 page, u32 npages)
{
	struct page_cache *cache = &ph->caches[cpu];
	struct page_word at;
	u64 bits;

	if (!page || page % 64 + npages > 64)
		return false;
	page -= page % 64;
	at = page_word(ph, page, page + 64);
	bits = at.arena->free[at.index];
	if (hweight64(bits) < 2 * npages)
		return false;
	cache_empty(ph, cpu);
	/* What was in the cache may have been of the same word. */
	bits = at.arena->free[at.index];
	tree_set_word(ph, page, bits, false);
	cache->page = page;
	cache->free = bits;
	ph->cached_pages += hweight64(bits);
	bit_index_add(&ph->filled_caches, cpu);
	return true;
}

u32 page_cache_alloc(struct page_heap *ph, u32 npages, u32 most, u32 *count, u32 *lowest)
{
	u32 cpu = port_cpu();
	struct page_cache *cache = &ph->caches[cpu];
	u64 runs = word_runs(cache->free, npages);
	u32 at, length;
	u64 taken;

	if (!runs) {
		*lowest = tree_find(ph, npages);
		if (!cache_fill(ph, cpu, *lowest, npages))
			return 0;
		runs = word_runs(cache->free, npages);
	}
	at = (u32)__ffs64(runs);
	/* The run ends at the first clear bit above it; there is none above bit 63. */
	taken = ~(cache->free >> at);
	length = taken ? (u32)__ffs64(taken) : 64;
	*count = min_t(u32, length / npages, most);
	length = *count * npages;
	cache->free &= ~ones_from(at, length);
	ph->cached_pages -= length;
	if (!cache->free)
		bit_index_remove(&ph->filled_caches, cpu);
	return cache->page + at;
}

bool page_cache_free(struct page_heap *ph, u32 page, u32 npages)
{
	u32 cpu = port_cpu();
	struct page_cache *cache = &ph->caches[cpu];
	u64 bits;

	if (page / 64 != cache->page / 64 || page % 64 + npages > 64)
		return false;
	bits = ones_from(page % 64, npages);
	WARN_ON_ONCE(cache->free & bits);
	cache->free |= bits;
	ph->cached_pages += npages;
	bit_index_add(&ph->filled_caches, cpu);
	return true;
}

bool page_cache_has(const struct page_heap *ph, u32 page)
{
	u32 cpu;

	if (!ph->caches)
		return false;
	for (cpu = bit_index_next(&ph->filled_caches, 0); cpu != BIT_INDEX_NONE;
	     cpu = bit_index_next(&ph->filled_caches, cpu + 1)) {
		const struct page_cache *cache = &ph->caches[cpu];

		/* Several may have pages of the same word. */
		if (page / 64 == cache->page / 64 && cache->free >> page % 64 & 1)
			return true;
	}
	return false;
}

void page_heap_empty_caches(struct page_heap *ph)
{
	while (ph->cached_pages)
		cache_empty(ph, bit_index_last(&ph->filled_caches));
}
