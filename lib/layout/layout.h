/* SPDX-License-Identifier: MIT */
/*
 * Layouts: where the pointer metadata of objects lives. Nothing in the library
 * outside this folder knows where a header or footer is.
 *
 * A slot is what the span gives; an object is the part of it that the program
 * sees. In the SPAN layout they are the same, but in mixed spans, which are as those
 * of the HEADER layout. There, objects over 512 bytes that may hold pointers start
 * after a prefix:
 *
 *	slot             object
 *	v                v
 *	+------+---------+--------------------------------+
 *	| type | padding | elements ...            zeros  |
 *	+------+---------+--------------------------------+
 *	  8 B    to align
 *
 * In the FOOTER layout the same objects start where their slots do:
 *
 *	slot, object
 *	v
 *	+---------------------------------------+---------+
 *	| elements ...                   zeros  |  type   |
 *	+---------------------------------------+---------+
 *	                                            8 B
 *
 * In the BITMAP layout all is beside the objects (bitmap.h), which are their slots.
 *
 * Under GCHEAP_RECORD_TYPES every object of a type has a type word, whatever its size
 * and with or without pointers: as above, and in the BITMAP layout as in FOOTER. In
 * spans of one type only the descriptor has it.
 */
#ifndef GCHEAP_LIB_LAYOUT_H
#define GCHEAP_LIB_LAYOUT_H

#include "../address.h"
#include "../guard.h"
#include "../library.h"

/**
 * struct layout - one layout's way of allocation
 * @uapi: its number in SETUP
 * @name: in traces and the environment
 * @own_spans: spans may be of one mask or type: there is nothing to write then
 * @heap_bits: spans that types share have heap bits at their tail, for objects up to
 *	512 bytes
 * @word_bytes: what an object of @bytes (n elements) adds to its slot in a span that
 *	types share: the room for its type word
 * @finish: write an object's metadata into its zeroed slot of such a span, before it
 *	is published; returns the object
 * @finish_large: the same for a large object of a type with pointers; NULL likewise
 */
struct layout {
	enum gcheap_uapi_layout uapi;
	const char *name;
	bool own_spans;
	bool heap_bits;
	uint64_t (*word_bytes)(const struct view *view, const struct gcheap_type_record *type,
			       uint64_t bytes);
	void *(*finish)(const struct view *view, char *slot, gcheap_type type,
			const struct gcheap_type_record *record, uint64_t bytes);
	void (*finish_large)(const struct view *view, char *object,
			     const struct gcheap_type_record *record, uint64_t bytes);
};

extern const struct layout layout_span;
extern const struct layout layout_header;
extern const struct layout layout_footer;
extern const struct layout layout_bitmap;

/* Smallest size class for @bytes without metadata at an alignment; 0: large. */
uint32_t layout_size_class_plain(uint64_t bytes, uint64_t align);

/**
 * layout_size_class() - smallest size class for elements of a type
 * @heap: the heap
 * @type: their type
 * @bytes: of all of them
 * @shared: in a span that types share: always so where the layout has no others
 *
 * Return: 0: it must be a large object. Honours the type's alignment.
 */
uint32_t layout_size_class(const struct gcheap *heap, const struct gcheap_type_record *type,
			   uint64_t bytes, bool shared);

/* Bytes that the slot of an object of @bytes has for it; 0: it has no slot, but pages. */
uint64_t layout_room(const struct gcheap *heap, uint64_t bytes, bool noscan);

/* Whether something is written, or known of a span, of each object of a type. */
static inline bool layout_knows_type(const struct gcheap *heap,
				     const struct gcheap_type_record *type)
{
	return type->ptr_bytes || heap->view.record_types;
}

/**
 * struct object_view - an object, as the program sees it
 * @start: its first byte, as an offset from the base
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

/* ---- type words and heap bits ----------------------------------------------- */

/* Bytes before an object whose type word stands at the start of its slot. */
static inline uint64_t header_prefix(const struct gcheap_type_record *record)
{
	return record->align > 8 ? record->align : 8;
}

/* Bytes behind an object whose type word stands at the end of its slot. */
#define FOOTER_BYTES	8u

/*
 * The type word at an offset: that of a slot of GCHEAP_KIND_HEADER is its first,
 * of GCHEAP_KIND_FOOTER its last.
 */
static inline GUARD_EXEMPT uint64_t type_word(const struct view *view, uint64_t offset)
{
	return *(const uint64_t *)address_pointer(view, offset);
}

/*
 * The type that a type word names; NULL when it names none: nothing was allocated
 * there yet, or the program broke it.
 */
static inline const struct gcheap_type_record *type_word_record(const struct view *view,
								uint64_t offset)
{
	uint64_t type = type_word(view, offset);

	return view_type_exists(view, type) ? view_type(view, (gcheap_type)type) : NULL;
}

/*
 * Where the heap bits of a slot begin: in this word, at bit slot word % 64. @first
 * is the offset of the span's first byte, @span_bytes its length.
 */
static inline uint64_t *heap_bits_word(const struct view *view, uint64_t first,
				       uint64_t span_bytes, uint64_t slot_offset)
{
	uint64_t *bits = address_pointer(view, first + span_bytes -
					 (span_bytes >> GCHEAP_HEAP_BITS_SHIFT));

	return bits + (slot_offset - first) / 8 / 64;
}

/* The heap bits of a slot of at most 64 words: bit 0 is the slot's first word. */
static inline uint64_t heap_bits_read(const struct view *view, uint64_t first, uint64_t span_bytes,
				      uint64_t slot_offset, uint32_t slot_bytes)
{
	const uint64_t *bits = heap_bits_word(view, first, span_bytes, slot_offset);
	uint32_t shift = (slot_offset - first) / 8 % 64;
	uint32_t words = slot_bytes / 8;
	uint64_t mask = bits[0] >> shift;

	if (shift + words > 64)
		mask |= bits[1] << (64 - shift);
	return low_bits(mask, words);
}

/* ---- typed pointers --------------------------------------------------------- */

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
 * @program: where a type's @words should be, but there are none: its GC program
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
	const uint8_t *program;
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
 * @type: the type
 * @origin: address of an element
 * @start: where to begin; not below @origin
 * @end: where to stop
 */
struct typed_pointers typed_pointers_of_type(const struct view *view,
					     const struct gcheap_type_record *type,
					     uint64_t origin, uint64_t start, uint64_t end);

/* The same with a mask of the caller's; NULL: the type's program is asked. */
struct typed_pointers typed_pointers_of_mask(const struct view *view,
					     const struct gcheap_type_record *type,
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

#endif /* GCHEAP_LIB_LAYOUT_H */
