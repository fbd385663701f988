/* SPDX-License-Identifier: MIT */
/*
 * Layouts: where the pointer metadata of objects lives. Nothing in the library
 * outside this folder knows where a header is.
 *
 * A slot is what the span gives; an object is the part of it that the program
 * sees. In the SPAN layout they are the same. In the HEADER layout objects over
 * 512 bytes that may hold pointers start after a prefix:
 *
 *	slot             object
 *	v                v
 *	+------+---------+--------------------------------+
 *	| type | padding | elements ...            zeros  |
 *	+------+---------+--------------------------------+
 *	  8 B    to align
 */
#ifndef GCHEAP_LIB_LAYOUT_H
#define GCHEAP_LIB_LAYOUT_H

#include "../heap.h"
#include "../view.h"

/**
 * struct layout - one layout's way of allocation
 * @uapi: its number in SETUP
 * @name: in traces and the environment
 * @size_class: smallest size class for @bytes (n elements) of a type with pointers;
 *	0: it must be a large object. Honours the type's alignment
 * @shared_caches: caches are keyed by size class alone, and @finish writes what
 *	is an object's own; else by type and class, and there is nothing to write
 * @finish: write an object's metadata into its zeroed slot, before it is
 *	published; returns the object. NULL where there is nothing to write
 */
struct layout {
	enum gcheap_uapi_layout uapi;
	const char *name;
	uint32_t (*size_class)(const struct gcheap_type_record *type, uint64_t bytes);
	bool shared_caches;
	void *(*finish)(const struct view *view, char *slot, gcheap_type type,
			const struct gcheap_type_record *record, uint64_t bytes);
};

extern const struct layout layout_span;
extern const struct layout layout_header;

/* Smallest size class for @bytes without pointers at an alignment; 0: large. */
uint32_t layout_size_class_plain(uint64_t bytes, uint64_t align);

/**
 * struct object_view - an object, and how to find its pointers
 * @start: first byte the program sees, as an offset from the base
 * @end: one past its last usable byte
 * @type: element type, or 0: not recorded
 * @noscan: it holds no pointers
 */
struct object_view {
	uint64_t start;
	uint64_t end;
	gcheap_type type;
	bool noscan;
};

/* What the slot holds. The slot is allocated. */
void layout_object(const struct view *view, const struct slot *slot, struct object_view *object);

/**
 * struct typed_pointers - an iterator over the words that may hold pointers
 * @elem: start of the current element, as an offset from the base
 * @addr: the word that bit 0 of @mask speaks of, likewise
 * @end: iteration stops here
 * @mask: words from @addr on that are still to visit
 * @type: of the elements, or NULL: @mask is all there is
 *
 * The fields are those of Go's runtime type of the same name: arrays are tiled
 * by their element, and nothing is unrolled.
 */
struct typed_pointers {
	uint64_t elem;
	uint64_t addr;
	uint64_t end;
	uint64_t mask;
	const struct gcheap_type_record *type;
	const uint64_t *words;
};

/**
 * typed_pointers_of() - iterate over the pointers of an object's range
 * @view: the heap
 * @slot: the object's slot
 * @start: where to begin, as an offset from the base; inside the object
 * @end: where to stop
 */
struct typed_pointers typed_pointers_of(const struct view *view, const struct slot *slot,
					uint64_t start, uint64_t end);

/* Iterate over memory outside the heap: @n elements at @start. */
struct typed_pointers typed_pointers_of_type(const struct view *view,
					     const struct gcheap_type_record *type,
					     uint64_t start, uint64_t end);

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

/* The next word that may hold a pointer; 0 at the end. Offset 0 is never one. */
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

/* Skip all words below @start. */
void typed_pointers_fast_forward(struct typed_pointers *tp, uint64_t start);

#endif /* GCHEAP_LIB_LAYOUT_H */
