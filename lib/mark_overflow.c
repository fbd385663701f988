// SPDX-License-Identifier: MIT
/*
 * Entries that no stack has room for, as bits.
 */
#include "mark_overflow.h"

#include <sys/mman.h>

static uint64_t heap_pages(const struct marker *marker)
{
	return marker->end >> GCHEAP_PAGE_SHIFT;
}

static uint64_t object_words(const struct marker *marker)
{
	return heap_pages(marker) * MARK_WORDS_PER_PAGE;
}

/* Behind the bits of granules there is one for each page that has some. */
static uint64_t *page_bits(const struct marker *marker, uint64_t *bits)
{
	return bits + object_words(marker);
}

/* The table, which the first who needs it makes; NULL: there is no memory. */
static uint64_t *bits_get(struct marker *marker)
{
	struct mark_overflow *overflow = &marker->team->overflow;
	uint64_t *bits = __atomic_load_n(&overflow->bits, __ATOMIC_ACQUIRE);
	uint64_t bytes = (object_words(marker) + heap_pages(marker) / 64 + 1) * sizeof(*bits);
	uint64_t *others = NULL;

	if (bits)
		return bits;
	if (__atomic_load_n(&overflow->is_lost, __ATOMIC_RELAXED) || bytes > overflow->max_bytes)
		return NULL;
	bits = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (bits == MAP_FAILED)
		return NULL;
	if (!__atomic_compare_exchange_n(&overflow->bits, &others, bits, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_ACQUIRE)) {
		munmap(bits, bytes);
		return others;
	}
	/* All markers would write the same. */
	overflow->bytes = bytes;
	return bits;
}

static void bit_set(uint64_t *bits, uint64_t number)
{
	__atomic_fetch_or(&bits[number / 64], 1ull << number % 64, __ATOMIC_RELAXED);
}

void mark_overflow(struct marker *marker, uint64_t entry)
{
	struct mark_overflow *overflow = &marker->team->overflow;
	uint64_t offset = MARK_ENTRY_OFFSET(entry);
	uint64_t *bits = bits_get(marker);

	/* That the markers become idle makes all of this visible to the first one. */
	if (!bits) {
		__atomic_store_n(&overflow->is_lost, true, __ATOMIC_RELAXED);
		return;
	}
	bit_set(bits, granule_of(offset));
	bit_set(page_bits(marker, bits), granule_of(offset) / (MARK_WORDS_PER_PAGE * 64));
	__atomic_store_n(&overflow->has_some, true, __ATOMIC_RELAXED);
}

uint64_t mark_overflow_pages(struct marker *marker, uint64_t page)
{
	uint64_t *word = &page_bits(marker, marker->team->overflow.bits)[page / 64];
	uint64_t pages = *word;

	if (pages)
		*word = 0;
	return pages;
}

/* The entry whose bit is that of the granule at @at. */
static uint64_t entry_at(uint64_t info, uint64_t page, uint64_t at)
{
	uint64_t first_page = page - GCHEAP_PAGE_INDEX(info);
	uint64_t first = first_page << GCHEAP_PAGE_SHIFT;
	uint64_t start;

	/* Only chunks of user arenas have no kind there. */
	if (GCHEAP_PAGE_KIND(info) == GCHEAP_KIND_NONE)
		return (uint64_t)MARK_KIND_CHUNK << 60 | at;
	/* Of a large object, an oblet and all behind it. */
	if (GCHEAP_PAGE_KIND(info) == GCHEAP_KIND_LARGE)
		return (info & MARK_ENTRY_INFO) | at;
	/* Slots of 24 bytes may begin before their granule. */
	start = first + page_info_slot(info, at - first) * GCHEAP_PAGE_SLOT_BYTES(info);
	return (info & MARK_ENTRY_INFO) | start |
	       page_info_index((start >> GCHEAP_PAGE_SHIFT) - first_page);
}

void mark_overflow_page(struct marker *marker, uint64_t page)
{
	uint64_t *words = marker->team->overflow.bits + page * MARK_WORDS_PER_PAGE;
	uint64_t info = marker->pages[page];
	uint64_t i;

	for (i = 0; i < MARK_WORDS_PER_PAGE; i++) {
		uint64_t word = words[i];

		if (word)
			words[i] = 0;
		for (; word; word &= word - 1) {
			uint64_t at = (page << GCHEAP_PAGE_SHIFT) + ((i * 64 +
				(unsigned int)__builtin_ctzll(word)) << GCHEAP_GRANULE_SHIFT);

			mark_push(marker, entry_at(info, page, at));
		}
	}
}

void mark_overflow_end(struct mark_overflow *overflow)
{
	if (overflow->bits)
		munmap(overflow->bits, overflow->bytes);
	overflow->bits = NULL;
	overflow->bytes = 0;
	overflow->has_some = false;
	overflow->is_lost = false;
}
