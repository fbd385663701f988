/* SPDX-License-Identifier: MIT */
/*
 * What the HEADER layout does for objects. Mixed spans of the SPAN layout do the same.
 */
#ifndef GCHEAP_LIB_LAYOUT_HEADER_H
#define GCHEAP_LIB_LAYOUT_HEADER_H

#include "layout.h"

uint64_t header_word_bytes(const struct view *view, const struct gcheap_type_record *type,
			   uint64_t bytes);
void *header_finish(const struct view *view, char *slot, gcheap_type type,
		    const struct gcheap_type_record *record, uint64_t bytes);

#endif /* GCHEAP_LIB_LAYOUT_HEADER_H */
