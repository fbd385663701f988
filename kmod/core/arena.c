// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Arenas: making the tables that speak of a range of heap pages.
 */
#include "heap.h"

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
		if (arena->marks[table][marks])
			continue;
		arena->marks[table][marks] = port_table_page(heap, GCHEAP_REGION_MARKS,
							     mark_table_offset(heap, table, page));
		if (!arena->marks[table][marks])
			return -ENOMEM;
	}
	return heap->layout == GCHEAP_UAPI_LAYOUT_BITMAP ? bitmap_make(heap, page) : 0;
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
		error = tables_make(heap, heap_arena(heap, page), page);
		if (error)
			return error;
		if (port_interrupted())
			return -EINTR;
	}
	return 0;
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
