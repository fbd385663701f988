/* SPDX-License-Identifier: MIT */
/*
 * Sharing work between markers (mark_share.c).
 *
 * A marker that has work looks from time to time whether others have none, and gives one of them
 * the bottom half of its stack. That is the only way in which work moves, but for gifts that
 * nobody has fetched yet: who runs out of work takes one of those, so that a marker whose thread
 * gets no CPU keeps nobody waiting.
 *
 * @busy of the team counts markers that have work, and gifts in boxes. The giver counts a gift
 * before it can be seen, so that @busy is 0 only when all is done. Nobody but the first marker
 * waits for that.
 */
#ifndef GCHEAP_LIB_MARK_SHARE_H
#define GCHEAP_LIB_MARK_SHARE_H

#include "mark_edge.h"

/* Entries below which a stack is kept, if they are objects. */
#define MARK_GIVE_BYTES	(64u * 8)

/* Whether somebody seems to be idle. */
static inline bool mark_may_give(const struct marker *marker)
{
	return __atomic_load_n(&marker->team->idle, __ATOMIC_RELAXED);
}

/* Whether the first marker, alone so far, has enough for several, and there are others. */
static inline bool mark_may_begin(const struct marker *marker)
{
	struct mark_team *team = marker->team;

	if (marker->has_coarse ? mark_stack_empty(&marker->stack) :
				 !mark_stack_exceeds(&marker->stack, MARK_GIVE_BYTES))
		return false;
	team->is_worth = true;
	return team->size > 1;
}

/* Give one that is idle a part of the stack, if it has enough. */
void mark_give(struct marker *marker);

/* The first marker: from here on others may mark, too. */
void mark_share_begin(struct marker *marker);

/*
 * The stack is empty. Waits for more: true when it has some; false: all is done (the first
 * marker), or the team ends (the others).
 */
bool mark_share_more(struct marker *marker);

/* The same for a marker that has had no work yet. */
bool mark_share_wait(struct marker *marker);

/* The first marker: the others are idle, and it goes on alone. */
void mark_share_end(struct marker *marker);

/* The team is about to end: wakes a marker that waits. */
void mark_share_quit(struct marker *marker);

#endif /* GCHEAP_LIB_MARK_SHARE_H */
