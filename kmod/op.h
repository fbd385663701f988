/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * One operation, as dispatch.c, by which all requests come, hands it to the functions of
 * ops.c and track.c that carry it out.
 */
#ifndef GCHEAP_OP_H
#define GCHEAP_OP_H

#include "module.h"

/* Room for the struct of any request. */
union op_args {
	u32 size;
	struct gcheap_setup setup;
	struct gcheap_type_add type_add;
	struct gcheap_refill refill;
	struct gcheap_alloc_large alloc_large;
	struct gcheap_mark_start mark_start;
	struct gcheap_sweep_start sweep_start;
	struct gcheap_sweep sweep;
	struct gcheap_heap_stats stats;
	struct gcheap_free_large free_large;
	struct gcheap_reclaim reclaim;
	struct gcheap_scavenge scavenge;
	struct gcheap_chunk_new chunk_new;
	struct gcheap_chunk_free chunk_free;
	struct gcheap_chunk_ready chunk_ready;
	struct gcheap_track track;
	struct gcheap_stop stop;
	struct gcheap_resume resume;
};

/* From a @piece function: there is more to do. No errno is positive. */
#define OP_MORE	1

/**
 * struct track_work - a TRACK that is being done
 * @page: the heap page to go on with
 * @end: where it ends
 * @ranges: room for the answer, or NULL
 * @max: for how many
 * @begun: the request was found to be right
 * @any: there has been a piece, and the outputs tell of it
 */
struct track_work {
	u32 page;
	u32 end;
	struct gcheap_range *ranges;
	u32 max;
	bool begun;
	bool any;
};

/**
 * struct progress - of a request that is done in pieces
 * @done: spans, heap pages or bytes, as the request counts
 * @freed: SWEEP: spans freed
 * @limit: SCAVENGE: do no more than this
 * @generation: sweep generation at the last piece
 * @turn: gcheap_heap.turns then
 * @prepared: MARK_START: marks are being cleared
 * @begun: there has been a first piece
 * @large: ALLOC_LARGE: the object that is being made
 * @tables: REFILL, CHUNK_NEW: tables that are made for another's large object
 * @track: TRACK: the answer so far
 */
struct progress {
	u64 done;
	u64 freed;
	u64 limit;
	u32 generation;
	unsigned int turn;
	bool prepared;
	bool begun;
	struct large_work large;
	struct large_tables tables;
	struct track_work track;
};

/**
 * struct op - one operation
 * @run: does it, with the heap locked; 0 or a negative errno
 * @piece: instead of @run: does a part of it, with the heap locked. Between the
 *	parts anybody may have done anything. 0, a negative errno, or OP_MORE
 * @apart: instead of @run: does it without the heap's lock, as it needs the heap for its
 *	caller's sake only; for a worker when it comes from a ring and has @is_long. 0 or a
 *	negative errno
 * @unheard: after @apart, when its answer could not be written: undoes it; may be NULL
 * @undo: undoes a part of what pieces have done, after an error, with the heap locked; 0,
 *	or OP_MORE. NULL: what they have done is done, and the caller hears of it
 * @end: called once after the last piece, with the heap locked, and with what the request
 *	would return; returns what it does. NULL: nothing is to be done
 * @is_long: whether it is for a worker when it comes from a ring; NULL: never
 * @pure: it changes nothing, so that it does no harm when its answer finds no room
 * @size: of its struct, in this version of the interface
 * @required: up to the last field that a caller must have
 */
struct op {
	int (*run)(struct gcheap_heap *heap, union op_args *args);
	int (*piece)(struct gcheap_heap *heap, union op_args *args,
		     struct progress *progress);
	int (*apart)(struct gcheap_heap *heap, union op_args *args);
	void (*unheard)(struct gcheap_heap *heap);
	int (*undo)(struct gcheap_heap *heap, union op_args *args,
		    struct progress *progress);
	int (*end)(struct gcheap_heap *heap, union op_args *args,
		   struct progress *progress, int error);
	bool (*is_long)(struct gcheap_heap *heap, const union op_args *args);
	bool pure;
	u32 size;
	u32 required;
};

#endif /* GCHEAP_OP_H */
