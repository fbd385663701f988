/* SPDX-License-Identifier: MIT */
/*
 * Writing heap bits, for the layouts that have them.
 */
#ifndef GCHEAP_LIB_LAYOUT_HEAP_BITS_H
#define GCHEAP_LIB_LAYOUT_HEAP_BITS_H

#include "size_class.h"

/*
 * Write the bits of the slot at @offset, in a page whose PAGES entry is @info: it
 * gets @bytes of elements of the type @record.
 */
void heap_bits_finish(const struct view *view, uint64_t offset, uint64_t info,
		      const struct gcheap_type_record *record, uint64_t bytes);

#endif /* GCHEAP_LIB_LAYOUT_HEAP_BITS_H */
