// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The page cache.
 */
#include "page_cache.h"

#include "page_backed.h"
#include "page_tree.h"
#include "port.h"

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
		page_tree_set_word(ph, cache->page, cache->free, true);
		page_backed_note_word(ph, cache->page, cache->free);
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
	page_tree_set_word(ph, page, bits, false);
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
		*lowest = page_tree_find(ph, npages);
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

void page_caches_empty(struct page_heap *ph)
{
	while (ph->cached_pages)
		cache_empty(ph, bit_index_last(&ph->filled_caches));
}
