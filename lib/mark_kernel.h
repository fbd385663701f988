/* SPDX-License-Identifier: MIT */
/*
 * What marking does with many words at once: portable, and with the vectors of AVX2 and AVX-512.
 * All do the same. The best that the CPU has is taken, or what GCHEAP_ISA says.
 */
#ifndef GCHEAP_LIB_MARK_KERNEL_H
#define GCHEAP_LIB_MARK_KERNEL_H

#include "mark_edge.h"

/**
 * struct mark_kernel - the functions of one instruction set
 * @name: as GCHEAP_ISA takes it
 * @is_here: whether this CPU has it
 * @scan: collects the edges of the words that @mask tells, whose first has bit 0; returns how
 *	many there are. It may write up to MARK_EDGES_BEHIND entries behind them
 * @array: array mode: marks what 64 pointers lead to, as far as they lead to small objects
 *	without pointers, and collects the edges of the others; there is room for them
 * @count: takes mark bits off free slots, and returns how many are left
 *
 * Array mode knows that an array's elements were often allocated one after the other: pointers
 * into one stretch cost one look at PAGES and one store to the mark bits.
 */
struct mark_kernel {
	const char *name;
	bool (*is_here)(void);
	size_t (*scan)(const uint64_t *words, uint64_t mask, uint64_t base, uint64_t end,
		       uint64_t *edges);
	void (*array)(struct marker *marker, const uint64_t *words);
	uint64_t (*count)(uint64_t *marks, const uint64_t *allocs, uint64_t words);
};

extern const struct mark_kernel mark_kernel_portable;
extern const struct mark_kernel mark_kernel_avx2;
extern const struct mark_kernel mark_kernel_avx512;

/* For all that have popcnt, which compilers call a table for where a CPU may lack it. */
uint64_t mark_kernel_count_popcnt(uint64_t *marks, const uint64_t *allocs, uint64_t words);

/* The kernel of a name, whether the CPU has it or not; NULL: there is none. */
const struct mark_kernel *mark_kernel_named(const char *name);
/* The best one that the CPU has. */
const struct mark_kernel *mark_kernel_best(void);

/* Look a stretch up that @edge leads to. */
static inline void mark_stretch_find(struct marker *marker, uint64_t edge)
{
	struct mark_stretch *stretch = &marker->stretch;
	uint64_t page = edge >> GCHEAP_PAGE_SHIFT;
	uint64_t info = marker->pages[page];
	uint32_t kind = GCHEAP_PAGE_KIND(info);

	stretch->number = edge >> (GCHEAP_GRANULE_SHIFT + 6);
	stretch->is_leaves = kind != GCHEAP_KIND_NONE && kind != GCHEAP_KIND_LARGE &&
			     info & GCHEAP_PAGE_NOSCAN;
	stretch->first_page = page - GCHEAP_PAGE_INDEX(info);
	stretch->first = stretch->first_page << GCHEAP_PAGE_SHIFT;
	stretch->magic = GCHEAP_PAGE_MAGIC(info);
	stretch->slot_bytes = GCHEAP_PAGE_SLOT_BYTES(info);
	stretch->slots = marker->slots[kind == GCHEAP_KIND_HEAP_BITS][GCHEAP_PAGE_CLASS(info)];
	/* Without waste behind the last. */
	stretch->is_granules = stretch->slot_bytes == 1u << GCHEAP_GRANULE_SHIFT &&
			       !(stretch->slots % (GCHEAP_PAGE_BYTES >> GCHEAP_GRANULE_SHIFT));
}

/* Set the mark bits of objects in the stretch. */
static inline void mark_stretch_set(struct marker *marker, uint64_t bits)
{
	uint64_t *word = &marker->marks[marker->stretch.number];
	uint64_t *page_word = &marker->page_marks[marker->stretch.first_page >> 6];
	uint64_t page_bit = 1ull << (marker->stretch.first_page & 63);

	/* Those of free slots are set, too. Without bits there may be no stretch. */
	if (!bits || !(bits & ~__atomic_load_n(word, __ATOMIC_RELAXED)))
		return;
	if (!marker->is_shared) {
		*word |= bits;
		*page_word |= page_bit;
		return;
	}
	if (bits & ~__atomic_fetch_or(word, bits, __ATOMIC_RELAXED) &&
	    !(__atomic_load_n(page_word, __ATOMIC_RELAXED) & page_bit))
		__atomic_fetch_or(page_word, page_bit, __ATOMIC_RELAXED);
}

#endif /* GCHEAP_LIB_MARK_KERNEL_H */
