/* SPDX-License-Identifier: MIT */
/*
 * Walks through the bits of all spans: before marking, after it, and to take it up again
 * after stacks have overflowed.
 */
#ifndef GCHEAP_LIB_MARK_COUNT_H
#define GCHEAP_LIB_MARK_COUNT_H

#include "mark_team.h"

/* Set the mark bits of free slots, so that no edge leads into one. */
void mark_hide_free(struct marker *marker);
/* Follow what the stacks had no room for; false: there was nothing. The markers are idle. */
bool mark_take_up(struct marker *marker);
/* The cycle's figures, from the mark bits; takes them off free slots. */
void mark_count(struct marker *marker, struct mark_result *result);

#endif /* GCHEAP_LIB_MARK_COUNT_H */
