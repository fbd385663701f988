// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Arenas: making the tables that speak of a range of heap pages.
 */
#include "arena.h"

#include "page_backed.h"
#include "page_tree.h"
#include "port.h"

/* The page of a bit table, in MARKS, that has the bits of heap page @page. */
static u64 mark_table_offset(const struct heap *heap, u32 table, u32 page)
{
	return GCHEAP_MARKS_TABLE(heap->reserve_bytes, table) +
	       (u64)page * MARK_WORDS_PER_PAGE * sizeof(u64);
}

static int arena_make(struct heap *heap, u32 index)
{
	/* One table page of page marks, and one of page specials, serves four arenas. */
	u64 offset = (u64)index * ARENA_WORDS * sizeof(u64);
	u64 in_page = offset % PORT_TABLE_PAGE_BYTES;
	struct arena *arena;
	char *page_marks;

	offset -= in_page;
	page_marks = port_table_page(heap, GCHEAP_REGION_MARKS,
				     GCHEAP_MARKS_PAGE_MARKS(heap->reserve_bytes) + offset);
	/* The process's own: nothing here reads them. */
	if (!page_marks ||
	    !port_table_page(heap, GCHEAP_REGION_MARKS,
			     GCHEAP_MARKS_PAGE_SPECIALS(heap->reserve_bytes) + offset))
		return -ENOMEM;
	arena = port_zalloc(sizeof(*arena));
	if (!arena)
		return -ENOMEM;
	arena->page_marks = (u64 *)(page_marks + in_page);
	heap->arenas[index] = arena;
	return 0;
}

/* The process's own bits for the heap pages that one page of a bit table covers. */
static int bitmap_make(struct heap *heap, u32 page)
{
	u32 end = page + (1u << MARK_TABLE_SHIFT);

	static_assert(GCHEAP_BITMAP_BYTES(GCHEAP_PAGE_BYTES << BITMAP_TABLE_SHIFT) ==
		      PORT_TABLE_PAGE_BYTES);
	for (; page < end; page += 1u << BITMAP_TABLE_SHIFT) {
		if (!port_table_page(heap, GCHEAP_REGION_BITMAP,
				     GCHEAP_BITMAP_BYTES((u64)page << GCHEAP_PAGE_SHIFT)))
			return -ENOMEM;
	}
	return 0;
}

/*
 * Frees what there is of bit tables and BITMAP for the heap pages that @count pages of
 * a bit table cover, all in one arena.
 */
static u64 bits_free(struct heap *heap, u32 page, u32 count)
{
	struct arena *arena = heap_arena(heap, page);
	u32 first = arena_offset(page) >> MARK_TABLE_SHIFT;
	u64 before = heap->counters.table_bytes;
	u32 table, i;

	for (i = first; i < first + count; i++) {
		arena->has_bits[i / 64] &= ~BIT_ULL(i % 64);
		arena->marks[0][i] = NULL;
		arena->marks[1][i] = NULL;
	}
	for (table = 0; table < 2; table++)
		port_table_pages_free(heap, GCHEAP_REGION_MARKS,
				      mark_table_offset(heap, table, page), count);
	if (heap->layout == GCHEAP_LAYOUT_BITMAP)
		port_table_pages_free(heap, GCHEAP_REGION_BITMAP,
				      GCHEAP_BITMAP_BYTES((u64)page << GCHEAP_PAGE_SHIFT),
				      count << (MARK_TABLE_SHIFT - BITMAP_TABLE_SHIFT));
	return before - heap->counters.table_bytes;
}

static bool has_bits(const struct arena *arena, u32 page)
{
	u32 marks = arena_offset(page) >> MARK_TABLE_SHIFT;

	return arena->has_bits[marks / 64] >> marks % 64 & 1;
}

/* The tables of the heap pages that one page of a bit table covers. */
static int tables_make(struct heap *heap, struct arena *arena, u32 page)
{
	u32 offset = arena_offset(page);
	u32 info = offset >> INFO_TABLE_SHIFT;
	u32 spans = offset >> SPAN_TABLE_SHIFT;
	u32 marks = offset >> MARK_TABLE_SHIFT;
	u32 table;

	if (!arena->info[info]) {
		u64 at = (u64)round_down(page, 1u << INFO_TABLE_SHIFT) * sizeof(u64);

		arena->info[info] = port_table_page(heap, GCHEAP_REGION_PAGES, at);
		if (!arena->info[info])
			return -ENOMEM;
	}
	if (!arena->spans[spans]) {
		u64 at = (u64)round_down(page, 1u << SPAN_TABLE_SHIFT) *
			 sizeof(struct gcheap_span);

		arena->spans[spans] = port_table_page(heap, GCHEAP_REGION_SPANS, at);
		if (!arena->spans[spans])
			return -ENOMEM;
	}
	for (table = 0; table < 2; table++) {
		arena->marks[table][marks] = port_table_page(heap, GCHEAP_REGION_MARKS,
							     mark_table_offset(heap, table, page));
		if (!arena->marks[table][marks])
			goto free_bits;
	}
	if (heap->layout == GCHEAP_LAYOUT_BITMAP && bitmap_make(heap, page))
		goto free_bits;
	arena->has_bits[marks / 64] |= BIT_ULL(marks % 64);
	return 0;

free_bits:
	bits_free(heap, page, 1);
	return -ENOMEM;
}

int arena_tables_ensure(struct heap *heap, u32 page, u32 npages)
{
	u32 end = page + npages;
	int error;

	for (page = round_down(page, 1u << MARK_TABLE_SHIFT); page < end;
	     page += 1u << MARK_TABLE_SHIFT) {
		if (!heap_arena(heap, page)) {
			error = arena_make(heap, arena_index(page));
			if (error)
				return error;
		}
		if (has_bits(heap_arena(heap, page), page))
			continue;
		error = tables_make(heap, heap_arena(heap, page), page);
		if (error)
			return error;
		if (port_interrupted())
			return -EINTR;
	}
	return 0;
}

/* Whether all of the 64 pages from @page on can be without bit tables, and have some. */
static bool bits_are_idle(struct heap *heap, u32 page)
{
	return has_bits(heap_arena(heap, page), page) &&
	       page_backed_word_is_idle(&heap->page_heap, page);
}

u64 arena_tables_release(struct heap *heap, u32 page, u32 npages)
{
	const u32 step = 1u << MARK_TABLE_SHIFT;
	u32 end = min_t(u32, page + npages, heap->heap_pages);
	u32 arenas = 0;
	u64 bytes = 0;

	if (heap->phase == GCHEAP_PHASE_MARK)
		return 0;
	for (page = round_down(page, step); page < end; page += step) {
		u32 arena_end = min_t(u32, round_down(page, ARENA_PAGES) + ARENA_PAGES, end);
		u32 first = page;

		/* Most arenas of a busy heap have no such pages. */
		if (arena_offset(page) == 0) {
			if (++arenas % 64 == 0)
				port_interrupted();
			if (!page_tree_arena_has_run(&heap->page_heap, arena_index(page), step)) {
				page = round_down(page, ARENA_PAGES) + ARENA_PAGES - step;
				continue;
			}
		}
		while (page < arena_end && bits_are_idle(heap, page))
			page += step;
		if (page == first)
			continue;
		bytes += bits_free(heap, first, (page - first) / step);
		/* What ended it has been looked at, but for the next arena's first. */
		if (page == arena_end)
			page -= step;
	}
	return bytes;
}

void arena_tables_drop(struct heap *heap, u32 page, u32 npages)
{
	u32 end = page + npages;

	while (page < end) {
		u32 next = min_t(u32, round_down(page, ARENA_PAGES) + ARENA_PAGES, end);

		if (heap_arena(heap, page))
			bits_free(heap, page, (next - page) >> MARK_TABLE_SHIFT);
		page = next;
		port_interrupted();
	}
}

void arena_set_in_use(struct heap *heap, u32 page, bool in_use)
{
	struct arena *arena = heap_arena(heap, page);
	u32 word = arena_offset(page) / 64;
	u64 bit = BIT_ULL(page % 64);
	u32 i;

	if (in_use) {
		arena->in_use[word] |= bit;
		arena->in_use_words[word / 64] |= BIT_ULL(word % 64);
		bit_index_add(&heap->in_use_arenas, arena_index(page));
		return;
	}
	arena->in_use[word] &= ~bit;
	if (arena->in_use[word])
		return;
	arena->in_use_words[word / 64] &= ~BIT_ULL(word % 64);
	for (i = 0; i < ARRAY_SIZE(arena->in_use_words); i++) {
		if (arena->in_use_words[i])
			return;
	}
	bit_index_remove(&heap->in_use_arenas, arena_index(page));
}

u32 arena_next_in_use(const struct heap *heap, u32 page)
{
	u32 word = arena_offset(page) / 64;
	u32 index = arena_index(page);
	u32 at;

	while ((at = bit_index_next(&heap->in_use_arenas, index)) != BIT_INDEX_NONE) {
		const struct arena *arena = heap->arenas[at];

		if (at != index)
			word = 0;
		while (word < ARENA_WORDS) {
			u64 words = arena->in_use_words[word / 64] >> word % 64;

			if (words)
				return (at << ARENA_PAGES_SHIFT) +
				       (word + (u32)__ffs64(words)) * 64;
			word = round_down(word, 64u) + 64;
		}
		index = at + 1;
		word = 0;
	}
	return BIT_INDEX_NONE;
}

void arenas_destroy(struct heap *heap)
{
	u32 count = (u32)(heap->reserve_bytes >> GCHEAP_ARENA_SHIFT);
	u32 i;

	bit_index_destroy(&heap->in_use_arenas);
	/* They were made one after the other. */
	for (i = 0; i < count && heap->arenas[i]; i++)
		port_free(heap->arenas[i]);
	port_free(heap->arenas);
	heap->arenas = NULL;
}
