/* SPDX-License-Identifier: MIT */
/*
 * The markers of a heap, what they share, and what each has for the others.
 *
 * The first marker is the thread that runs the cycle. The others are threads of their own, which
 * wait for a gift: entries of another marker's stack, put into their box (mark_share.h).
 */
#ifndef GCHEAP_LIB_MARK_TEAM_H
#define GCHEAP_LIB_MARK_TEAM_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mark_stack.h"

struct marker;

#define MARK_GIFT_MAX	4096u
#define MARK_PIECES	1024u

/**
 * struct mark_result - what a cycle's marking found
 * @objects: marked objects
 * @bytes: their slots' bytes
 * @span_bytes: the spans that they are in
 */
struct mark_result {
	uint64_t objects;
	uint64_t bytes;
	uint64_t span_bytes;
};

/**
 * struct mark_share - what one marker has done in a cycle
 * @entries: objects, oblets and pieces of roots that it has scanned
 * @ns: for how long it marked beside others; 0: it had no part in it, or was alone all the time
 */
struct mark_share {
	uint64_t entries;
	uint64_t ns;
};

/*
 * States of a box. Who changes one from open, or from full, has the box until it gives it the
 * next.
 *
 *	closed	its marker works
 *	open	its marker has nothing to do
 *	filling	another puts a gift into it
 *	full	the gift can be fetched, by its marker or by one that has run out of work
 *	taking	it is being fetched
 */
enum mark_box_state { BOX_CLOSED, BOX_OPEN, BOX_FILLING, BOX_FULL, BOX_TAKING };

/**
 * struct mark_box - where a marker gets gifts
 * @state: an enum mark_box_state
 * @kicks: how often something has happened that its marker may wait for: it sleeps on this word
 * @sleeps: it does
 * @count: entries of the gift
 * @entries: the gift
 */
struct mark_box {
	uint32_t state;
	uint32_t kicks;
	uint32_t sleeps;
	size_t count;
	uint64_t entries[MARK_GIFT_MAX];
} __attribute__((aligned(64)));

/**
 * struct mark_piece - a part of roots, or of a walk over all spans, that any marker can do
 * @work: what to do
 * @start: its first word or page, as @work understands it
 * @end: and its end
 * @argument: what else @work wants
 */
struct mark_piece {
	void (*work)(struct marker *marker, const struct mark_piece *piece);
	uint64_t start;
	uint64_t end;
	const void *argument;
};

/**
 * struct mark_overflow - entries that no stack had room for (mark_overflow.h)
 * @bits: one for each granule of the heap, behind them one for each page; NULL: none is needed
 * @bytes: of these
 * @max_bytes: larger ones are not made; tests lower it
 * @has_some: there are such entries
 * @is_lost: there were some, and no memory to keep them
 */
struct mark_overflow {
	uint64_t *bits;
	uint64_t bytes;
	uint64_t max_bytes;
	bool has_some;
	bool is_lost;
};

/**
 * struct mark_team - the markers of one heap
 * @busy: how many have work, and gifts that nobody has fetched
 * @idle: how many boxes are open, about: a hint
 * @quits: the threads shall end
 * @size: markers that there are
 * @wanted: markers that there may be; never fewer than @size
 * @is_worth: a cycle had work for more markers
 * @has_failed: there was no memory or no thread for one
 * @markers: all, @wanted of them; the first is that of the thread that runs a cycle
 * @threads: the others'
 * @budget: memory of their stacks
 * @most_stack_bytes: @budget is never more; tests lower it
 * @overflow: what these have no room for
 * @piece_count: how many pieces are in use
 * @pieces: those of the range that is being worked on, or roots that are gathered
 * @gathered_bytes: of these roots
 */
struct mark_team {
	uint32_t busy __attribute__((aligned(64)));
	uint32_t idle __attribute__((aligned(64)));
	uint32_t quits;
	uint32_t size;
	uint32_t wanted;
	bool is_worth;
	bool has_failed;
	struct marker **markers;
	pthread_t *threads;
	struct mark_budget budget;
	uint64_t most_stack_bytes;
	struct mark_overflow overflow;
	size_t piece_count;
	struct mark_piece pieces[MARK_PIECES];
	uint64_t gathered_bytes;
};

#endif /* GCHEAP_LIB_MARK_TEAM_H */
