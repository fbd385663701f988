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
 * In the BITMAP layout all metadata lies beside the heap (bitmap.h), and objects are
 * their slots.
 *
 * Under GCHEAP_RECORD_TYPES every object of a type has a type word, whatever its size and
 * with or without pointers: it lies as drawn above, and in the BITMAP layout as in
 * FOOTER. In spans of one type no object has one, because the descriptor tells the type.
 */
#ifndef GCHEAP_LIB_LAYOUT_H
#define GCHEAP_LIB_LAYOUT_H

#include "../address.h"
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
	enum gcheap_layout uapi;
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

#endif /* GCHEAP_LIB_LAYOUT_H */
