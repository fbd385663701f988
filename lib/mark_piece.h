/* SPDX-License-Identifier: MIT */
/*
 * Work that is no tracing, divided among the markers: large roots, and walks over all spans.
 */
#ifndef GCHEAP_LIB_MARK_PIECE_H
#define GCHEAP_LIB_MARK_PIECE_H

#include "mark_edge.h"

/**
 * mark_in_pieces() - have a range worked on by all markers
 * @marker: the first one; the others are idle
 * @work: does a piece of it, and drains nothing itself
 * @start: where the range begins
 * @end: and ends
 * @least: of a piece: its boundaries are multiples of that from @start. A range of less than
 *	two is done at once, by this marker
 * @argument: for @work
 *
 * When it returns all has been done, and when it was divided, what it led to is followed.
 */
void mark_in_pieces(struct marker *marker,
		    void (*work)(struct marker *marker, const struct mark_piece *piece),
		    uint64_t start, uint64_t end, uint64_t least, const void *argument);

#endif /* GCHEAP_LIB_MARK_PIECE_H */
