// SPDX-License-Identifier: MIT
/*
 * Pieces are entries of the stack, so that they are shared as objects are.
 */
#include "mark_piece.h"

#include "mark_trace.h"

/* Roots that are done at once: to share them is more work than they are. */
#define SMALL_ROOT_BYTES	1024u

void mark_in_pieces(struct marker *marker,
		    void (*work)(struct marker *marker, const struct mark_piece *piece),
		    uint64_t start, uint64_t end, uint64_t least, const void *argument)
{
	struct mark_piece rest = { .work = work, .start = start, .end = end, .argument = argument };
	struct mark_team *team = marker->team;
	uint64_t step = least;

	mark_gathered(marker);
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
	team->piece_count = 0;
}

static void piece_gather(struct marker *marker, const struct mark_piece *piece,
			 uint64_t unit_bytes)
{
	struct mark_team *team = marker->team;

	if (team->piece_count == MARK_PIECES)
		mark_gathered(marker);
	team->gathered_bytes += (piece->end - piece->start) * unit_bytes;
	if (team->size == 1)
		piece->work(marker, piece);
	else
		team->pieces[team->piece_count++] = *piece;
}

void mark_gather(struct marker *marker,
		 void (*work)(struct marker *marker, const struct mark_piece *piece),
		 uint64_t start, uint64_t end, uint64_t unit_bytes, const void *argument)
{
	struct mark_piece piece = {
		.work = work, .start = start, .end = end, .argument = argument,
	};
	uint64_t least = (MARK_PIECE_BYTES + unit_bytes - 1) / unit_bytes;

	if ((end - start) / least >= MARK_PIECES) {
		mark_in_pieces(marker, work, start, end, least, argument);
		return;
	}
	if ((end - start) * unit_bytes < SMALL_ROOT_BYTES) {
		work(marker, &piece);
		return;
	}
	/* What is left behind the last one is no piece of its own. */
	for (; end - piece.start >= 2 * least; piece.start = piece.end) {
		piece.end = piece.start + least;
		piece_gather(marker, &piece, unit_bytes);
	}
	piece.end = end;
	piece_gather(marker, &piece, unit_bytes);
}

void mark_gathered(struct marker *marker)
{
	struct mark_team *team = marker->team;
	bool is_much = team->gathered_bytes >= 2 * MARK_PIECE_BYTES;
	size_t count = team->piece_count;
	size_t i;

	if (is_much && team->wanted > 1)
		team->is_worth = true;
	for (i = 0; i < count; i++) {
		if (is_much && mark_stack_reserve(&marker->stack, 1))
			*marker->stack.top++ = MARK_ENTRY_PIECE(i);
		else
			team->pieces[i].work(marker, &team->pieces[i]);
	}
	if (is_much && count)
		mark_drain(marker);
	team->piece_count = 0;
	team->gathered_bytes = 0;
}
