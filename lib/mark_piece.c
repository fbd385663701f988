// SPDX-License-Identifier: MIT
/*
 * Pieces are entries of the stack, so that they are shared as objects are.
 */
#include "mark_piece.h"

#include "mark_trace.h"

void mark_in_pieces(struct marker *marker,
		    void (*work)(struct marker *marker, const struct mark_piece *piece),
		    uint64_t start, uint64_t end, uint64_t least, const void *argument)
{
	struct mark_piece rest = { .work = work, .start = start, .end = end, .argument = argument };
	struct mark_team *team = marker->team;
	uint64_t step = least;

	if (end - start >= 2 * least && team->wanted > 1)
		team->is_worth = true;
	if (team->size > 1 && end - start >= 2 * least) {
		while ((end - start) / step >= MARK_PIECES)
			step *= 2;
		team->piece_count = 0;
		while (end - rest.start > step && mark_stack_reserve(&marker->stack, 1)) {
			struct mark_piece *piece = &team->pieces[team->piece_count];

			*piece = rest;
			piece->end = rest.start + step;
			rest.start = piece->end;
			*marker->stack.top++ = MARK_ENTRY_PIECE(team->piece_count++);
		}
	}
	/* The last one, or what the stack had no room for. */
	work(marker, &rest);
	if (rest.start != start)
		mark_drain(marker);
}
