/* SPDX-License-Identifier: MIT */
/*
 * Work that is no tracing, divided among the markers: roots, and walks over all spans.
 */
#ifndef GCHEAP_LIB_MARK_PIECE_H
#define GCHEAP_LIB_MARK_PIECE_H

#include "mark_edge.h"

/* Pieces of roots have so many bytes: some 20 us. */
#define MARK_PIECE_BYTES	((uint64_t)256 << 10)

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

/**
 * mark_gather() - have roots worked on by all markers, if there are many
 * @marker: the first one; the others are idle
 * @work: does a piece of them, and drains nothing if others may be at work
 * @start: where they begin
 * @end: and end
 * @unit_bytes: bytes of one step from @start to @end
 * @argument: for @work
 *
 * Roots of less than 1 KiB are done at once, and those for which there are not enough pieces
 * divided at once. Others are gathered, and must stay as they are until mark_gathered().
 */
void mark_gather(struct marker *marker,
		 void (*work)(struct marker *marker, const struct mark_piece *piece),
		 uint64_t start, uint64_t end, uint64_t unit_bytes, const void *argument);

/* All roots so far are marked from; what has led to them may change. */
void mark_gathered(struct marker *marker);

#endif /* GCHEAP_LIB_MARK_PIECE_H */
