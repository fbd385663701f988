// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The page-run allocator.
 */
#include "page_heap.h"

#include "page_backed.h"
#include "page_cache.h"
#include "page_tree.h"
#include "port.h"

/* ---- life ------------------------------------------------------------------- */

int page_heap_init(struct page_heap *ph, u32 reserve_pages, u32 cpus)
{
	u32 arenas = DIV_ROUND_UP(reserve_pages, ARENA_PAGES);

	memset(ph, 0, sizeof(*ph));
	ph->reserve_pages = reserve_pages;
	ph->arenas = port_zalloc(arenas * sizeof(*ph->arenas));
	if (!ph->arenas || page_tree_init(ph, arenas))
		goto no_memory;
	if (bit_index_init(&ph->backed_arenas, arenas))
		goto destroy_tree;
	if (page_caches_init(ph, cpus))
		goto destroy_index;
	return 0;

destroy_index:
	bit_index_destroy(&ph->backed_arenas);
destroy_tree:
	page_tree_destroy(ph);
no_memory:
	port_free(ph->arenas);
	memset(ph, 0, sizeof(*ph));
	return -ENOMEM;
}

/* Frees the arenas from @first on. */
static void arenas_free(struct page_heap *ph, u32 first, u32 count)
{
	while (count--) {
		port_free(ph->arenas[first + count]);
		ph->arenas[first + count] = NULL;
	}
}

void page_heap_destroy(struct page_heap *ph)
{
	if (ph->arenas)
		arenas_free(ph, 0, DIV_ROUND_UP(ph->end, ARENA_PAGES));
	page_caches_destroy(ph);
	bit_index_destroy(&ph->backed_arenas);
	port_free(ph->arenas);
	page_tree_destroy(ph);
	memset(ph, 0, sizeof(*ph));
}

int page_heap_grow(struct page_heap *ph, u32 npages)
{
	u32 first = DIV_ROUND_UP(ph->end, ARENA_PAGES);
	u32 page = ph->end;
	u32 arenas, i;

	if (npages > ph->reserve_pages - ph->end)
		return -ENOSPC;
	if (!npages)
		return 0;
	arenas = DIV_ROUND_UP(page + npages, ARENA_PAGES) - first;
	for (i = 0; i < arenas; i++) {
		struct page_heap_arena *arena = port_zalloc(sizeof(*arena));

		ph->arenas[first + i] = arena;
		if (!arena) {
			arenas_free(ph, first, i);
			return -ENOMEM;
		}
		memset(arena->unbacked, 0xff, sizeof(arena->unbacked));
	}
	ph->end = page + npages;
	if (!page) {
		page++;
		npages--;
	}
	if (npages)
		page_tree_set(ph, page, npages, true);
	ph->free_pages += npages;
	return 0;
}

void page_heap_shrink(struct page_heap *ph, u32 end)
{
	u32 first = DIV_ROUND_UP(end, ARENA_PAGES);
	/* Page 0 was never free. */
	u32 page = max_t(u32, end, 1);

	page_tree_set(ph, page, ph->end - page, false);
	ph->free_pages -= ph->end - page;
	arenas_free(ph, first, DIV_ROUND_UP(ph->end, ARENA_PAGES) - first);
	ph->end = end;
}

/* ---- pages ------------------------------------------------------------------ */

/* Note that a range is handed out. Return: whether some of it may have been before. */
static bool range_use(struct page_heap *ph, u32 page, u32 npages)
{
	u32 end = page + npages;
	bool used_before = false;

	while (page < end) {
		struct page_heap_arena *arena = ph->arenas[page >> ARENA_PAGES_SHIFT];
		u32 offset = page & (ARENA_PAGES - 1);
		u32 count = min_t(u32, ARENA_PAGES - offset, end - page);

		if (offset < arena->zeroed_base)
			used_before = true;
		arena->zeroed_base = max_t(u32, arena->zeroed_base, offset + count);
		page += count;
	}
	return used_before;
}

/* Pages are free no more, in the tree or in a cache. Return: as range_use(). */
static bool pages_take(struct page_heap *ph, u32 page, u32 npages)
{
	ph->free_pages -= npages;
	ph->backed_pages -= page_backed_count(ph, page, npages);
	return range_use(ph, page, npages);
}

u32 page_heap_alloc_some(struct page_heap *ph, u32 npages, u32 most, u32 *count,
			 bool *used_before)
{
	u32 lowest = 0;
	u32 page = 0;

	if (!npages || npages > ph->free_pages)
		return 0;
	*count = 1;
	if (npages * most < PAGE_CACHE_RUN && ph->caches)
		page = page_cache_alloc(ph, npages, most, count, &lowest);
	if (!page) {
		page = lowest ? lowest : page_tree_find(ph, npages);
		if (!page && ph->cached_pages) {
			page_caches_empty(ph);
			page = page_tree_find(ph, npages);
		}
		if (!page)
			return 0;
		if (most > 1)
			*count = page_tree_run_length(ph, page, npages * most) / npages;
		page_tree_set(ph, page, npages * *count, false);
	}
	*used_before = pages_take(ph, page, npages * *count);
	return page;
}

u32 page_heap_alloc_aligned(struct page_heap *ph, bool *used_before)
{
	u32 page = page_tree_find_leaf(ph);

	static_assert(TREE_LEAF_PAGES == PAGE_HEAP_ALIGNED);
	if (!page && ph->cached_pages) {
		page_caches_empty(ph);
		page = page_tree_find_leaf(ph);
	}
	if (!page)
		return 0;
	page_tree_set(ph, page, PAGE_HEAP_ALIGNED, false);
	*used_before = pages_take(ph, page, PAGE_HEAP_ALIGNED);
	return page;
}

u32 page_heap_alloc(struct page_heap *ph, u32 npages, bool *used_before)
{
	u32 count;

	return page_heap_alloc_some(ph, npages, 1, &count, used_before);
}

void page_heap_free(struct page_heap *ph, u32 page, u32 npages)
{
	if (!npages || WARN_ON_ONCE(!page || page >= ph->end || npages > ph->end - page))
		return;
	if (npages >= PAGE_CACHE_RUN || !ph->caches || !page_cache_free(ph, page, npages))
		page_tree_set(ph, page, npages, true);
	page_backed_note_free(ph, page, npages);
	ph->free_pages += npages;
}

bool page_heap_is_free(const struct page_heap *ph, u32 page)
{
	return page < ph->end && (page_tree_is_free(ph, page) || page_cache_has(ph, page));
}
