/* SPDX-License-Identifier: MIT */
/*
 * Typed pointers: an iterator over the words of an object, or of elements of a type anywhere in
 * memory, that may hold pointers; the same for all places where pointer metadata lives.
 */
#ifndef GCHEAP_LIB_LAYOUT_TYPED_POINTERS_H
#define GCHEAP_LIB_LAYOUT_TYPED_POINTERS_H

#include "../address.h"

/**
 * struct typed_pointers - an iterator over the words that may hold pointers
 * @elem: start of the current step: one element, or as many as fit 64 words
 * @addr: the word that bit 0 of @mask speaks of
 * @end: iteration stops here
 * @mask: words from @addr on that are still to visit
 * @step: bytes from one step to the next; 0: @mask is all there is
 * @tile: mask of a step's first 64 words
 * @words: the whole mask of a type with more than 64 pointer words; in the BITMAP
 *	layout, while the object goes on, the group that @addr begins; else NULL
 * @nwords: length of a type's @words
 * @type: of the elements; NULL where the heap knows a mask alone
 *
 * All positions are addresses, because typed roots lie outside the heap. As in
 * Go's iterator of the same name, arrays are tiled by their element and nothing
 * is unrolled; but elements of at most 32 words are visited several at a time,
 * so that a mask always speaks of more than 32 words of a dense array.
 */
struct typed_pointers {
	uint64_t elem;
	uint64_t addr;
	uint64_t end;
	uint64_t mask;
	uint64_t step;
	uint64_t tile;
	const uint64_t *words;
	uint64_t nwords;
	const struct gcheap_type_record *type;
};

/**
 * typed_pointers_of() - iterate over the pointers of an object's range
 * @view: the heap
 * @slot: the object's slot, allocated
 * @start: address where to begin, in the slot
 * @end: address where to stop: the slot's end at most
 *
 * Visits the words that lie wholly in the range; a type word is none of them.
 */
struct typed_pointers typed_pointers_of(const struct view *view, const struct slot *slot,
					uint64_t start, uint64_t end);

/**
 * typed_pointers_of_type() - iterate over elements of a type, anywhere in memory
 * @view: the heap that has the type
 * @type: the type; with a mask in TYPES (program.h)
 * @origin: address of an element
 * @start: where to begin; not below @origin
 * @end: where to stop
 */
struct typed_pointers typed_pointers_of_type(const struct view *view,
					     const struct gcheap_type_record *type,
					     uint64_t origin, uint64_t start, uint64_t end);

/* The same with a mask of the caller's. */
struct typed_pointers typed_pointers_of_mask(const struct gcheap_type_record *type,
					     const uint64_t *mask, uint64_t origin, uint64_t start,
					     uint64_t end);

/* The slow step: load the next mask word or element; false at the end. */
bool typed_pointers_refill(struct typed_pointers *tp);

/* The next word that may hold a pointer within the current mask; 0: none left there. */
static inline uint64_t typed_pointers_next_fast(struct typed_pointers *tp)
{
	uint64_t addr;

	if (!tp->mask)
		return 0;
	addr = tp->addr + 8u * (unsigned int)__builtin_ctzll(tp->mask);
	tp->mask &= tp->mask - 1;
	return addr;
}

/* The next word that may hold a pointer; 0 at the end. */
static inline uint64_t typed_pointers_next(struct typed_pointers *tp)
{
	for (;;) {
		uint64_t addr = typed_pointers_next_fast(tp);

		if (addr)
			return addr;
		if (!typed_pointers_refill(tp))
			return 0;
	}
}

/* Skip all words below @start, an address; what was visited stays visited. */
void typed_pointers_fast_forward(struct typed_pointers *tp, uint64_t start);

#endif /* GCHEAP_LIB_LAYOUT_TYPED_POINTERS_H */
