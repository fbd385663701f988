/* SPDX-License-Identifier: MIT */
/*
 * Type words: the number of an object's type, before or behind it in its slot (layout.h).
 */
#ifndef GCHEAP_LIB_LAYOUT_TYPE_WORD_H
#define GCHEAP_LIB_LAYOUT_TYPE_WORD_H

#include "../address.h"
#include "../guard.h"

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

#endif /* GCHEAP_LIB_LAYOUT_TYPE_WORD_H */
