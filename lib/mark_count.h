/* SPDX-License-Identifier: MIT */
/*
 * Walks through the mark bits of all spans: before marking, after it, and to take it up
 * again after the stack has overflowed.
 */
#ifndef GCHEAP_LIB_MARK_COUNT_H
#define GCHEAP_LIB_MARK_COUNT_H

#include "mark_team.h"

/* Set the mark bits of free slots, so that no edge leads into one. */
void mark_hide_free(struct marker *marker);
/* Scan all marked objects again, because the stack overflowed. */
void mark_rescan(struct marker *marker);
/* The cycle's figures, from the mark bits; takes them off free slots. */
void mark_count(struct marker *marker, struct mark_result *result);

#endif /* GCHEAP_LIB_MARK_COUNT_H */
