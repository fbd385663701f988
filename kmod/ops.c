// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What each request does, between its struct and kmod/core, and the table of all
 * requests. When a handler runs, dispatch.c has made sure that the caller is the heap's
 * owner, that the heap is locked, and that the answer can be written. If a request points
 * to arrays, its handler makes sure that it can read and write these.
 */
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "huge.h"
#include "module.h"
#include "ops.h"
#include "owner.h"
#include "poison.h"
#include "pressure.h"
#include "region_pages.h"
#include "stop.h"
#include "track.h"
#include "track_selftest.h"
#include "user.h"

/* What this module offers in addition to what every port of kmod/core offers. */
#define SETUP_FLAGS	(GCHEAP_SETUP_FAULT_FREED | GCHEAP_SETUP_SHARE_READ)
#define SETUP_FEATURES							\
	((IS_ENABLED(CONFIG_IO_URING) ? GCHEAP_FEATURE_URING : 0ull) |		\
	 GCHEAP_FEATURE_FAULT_FREED | GCHEAP_FEATURE_CHUNKS | GCHEAP_FEATURE_PRESSURE)

/* The same where writes can be tracked. */
#define SETUP_TRACK_FLAGS	GCHEAP_SETUP_SNAPSHOTS
#define SETUP_TRACK_FEATURES	GCHEAP_FEATURE_TRACK

/*
 * How much of a long request is done before the lock is dropped, so that others
 * get it: each of these takes about as long as a REFILL.
 */
#define PIECE_SPANS	64u		/* of SWEEP and MARK_START */
#define PIECE_PAGES	512u		/* of RECLAIM and ALLOC_LARGE: heap pages */
#define PIECE_BYTES	(4u << 20)	/* of SCAVENGE */
#define TABLE_PIECE_PAGES	(8 * PIECE_PAGES) /* heap pages whose tables are made */

/**
 * op_setup() - GCHEAP_OP_SETUP: make an open file a heap
 * @heap: the file's
 * @args: struct gcheap_setup
 *
 * Return:
 * * 0		- the caller's address space is the owner
 * * -EBUSY	- it is already
 * * -EINVAL	- bad reserve, or a reserved field is not zero
 * * -EOPNOTSUPP - unknown flag or layout, or flags that do not go together
 * * -ENOMEM	- out of memory
 */
static int op_setup(struct gcheap_heap *heap, union op_args *args)
{
	struct gcheap_setup *setup = &args->setup;
	u64 features = SETUP_FEATURES;
	u32 flags = SETUP_FLAGS;
	int error;

	if (heap->owner)
		return -EBUSY;
	if (track_works()) {
		flags |= SETUP_TRACK_FLAGS;
		features |= SETUP_TRACK_FEATURES;
	}
	if (stop_works())
		features |= GCHEAP_FEATURE_STOP;
	if (huge_works()) {
		flags |= GCHEAP_SETUP_HUGE_PAGES;
		features |= GCHEAP_FEATURE_HUGE_PAGES;
	}
	/* Pages are write-protected one by one. */
	if (setup->flags & GCHEAP_SETUP_SNAPSHOTS)
		flags &= ~GCHEAP_SETUP_HUGE_PAGES;
	error = heap_setup_check(setup, flags, features);
	if (error)
		return error;
	error = heap_init(&heap->core, setup);
	if (error) {
		region_pages_destroy(heap);
		memset(&heap->core, 0, sizeof(heap->core));
		return error;
	}
	memcpy(heap->region_bytes, setup->out_region_bytes, sizeof(heap->region_bytes));
	poison_begin(heap);
	heap->live = true;
	pressure_heap_start(heap);
	mmgrab(current->mm);
	/* Pairs with smp_load_acquire() in dispatch_may() and region_mmap(). */
	smp_store_release(&heap->owner, current->mm);
	owner_watch(heap, HZ);
	return 0;
}

/**
 * op_type_add() - GCHEAP_OP_TYPE_ADD: register a type
 * @heap: the heap
 * @args: struct gcheap_type_add
 *
 * Return:
 * * 0		- registered
 * * -EINVAL	- a number, the name, the mask or the program is against the rules
 * * -EOPNOTSUPP - unknown flag
 * * -EFAULT	- name, mask or program cannot be read
 * * -ENOSPC	- the table is full
 * * -ENOMEM	- out of memory
 * * -EINTR	- a fatal signal arrived
 */
static int op_type_add(struct gcheap_heap *heap, union op_args *args)
{
	struct gcheap_type_add *add = &args->type_add;
	const void __user *user_map;
	u32 map_bytes;
	int error;
	u8 *copy;

	error = type_check(add);
	if (error)
		return error;
	/* All are bounded now: the mask by TYPE_MASK_BYTES_MAX. */
	map_bytes = type_map_bytes(add);
	user_map = u64_to_user_ptr(add->gc_prog ? add->gc_prog : add->ptr_mask);
	copy = kvmalloc((size_t)map_bytes + add->name_bytes + 1, GCHEAP_GFP);
	if (!copy)
		return -ENOMEM;
	if (copy_from_user(copy, user_map, map_bytes) ||
	    copy_from_user(copy + map_bytes, u64_to_user_ptr(add->name), add->name_bytes)) {
		error = -EFAULT;
		goto free_copy;
	}
	error = type_add(&heap->core, add, (char *)copy + map_bytes, copy);
free_copy:
	kvfree(copy);
	return error;
}

/*
 * Before a request that may make the heap grow: makes tables that a large object of another
 * thread has yet to get. Return: OP_MORE; 0: go on, also where there is no memory for them,
 * as the request may need none.
 */
static int tables_for_another(struct gcheap_heap *heap, struct progress *progress)
{
	if (likely(!large_tables_lack(&heap->core)))
		return 0;
	return large_tables_some(&heap->core, &progress->tables, TABLE_PIECE_PAGES) == LARGE_MORE ?
	       OP_MORE : 0;
}

/* Arrays of a REFILL that need no memory of their own. */
#define REFILL_SMALL_BYTES	512u

static_assert(GCHEAP_REFILL_MAX * sizeof(struct gcheap_grant) <= PAGE_SIZE);

/**
 * op_refill() - GCHEAP_OP_REFILL: return spans and take others
 * @heap: the heap
 * @args: struct gcheap_refill
 * @progress: tables for another's object
 *
 * Return:
 * * 0		- done; @out_granted tells how many spans were taken
 * * -EINVAL	- a page that is no cached span, a bad class or type
 * * -EOVERFLOW	- too long an array
 * * -EOPNOTSUPP - unknown flag
 * * -EFAULT	- an array cannot be accessed
 * * -ENOMEM	- not one span could be had; nothing was returned either
 */
static int op_refill(struct gcheap_heap *heap, union op_args *args, struct progress *progress)
{
	struct gcheap_refill *refill = &args->refill;
	void __user *user_returns = u64_to_user_ptr(refill->returns);
	void __user *user_grants = u64_to_user_ptr(refill->grants);
	size_t returns_bytes, grants_bytes;
	struct gcheap_grant *grants;
	u64 small[REFILL_SMALL_BYTES / sizeof(u64)];
	void *arrays = small;
	u32 *returns;
	int error;

	refill->out_granted = 0;
	if (tables_for_another(heap, progress))
		return OP_MORE;
	/* Bounds both counts. */
	error = heap_refill_check(&heap->core, refill);
	if (error)
		return error;
	returns_bytes = refill->return_count * sizeof(*returns);
	grants_bytes = refill->want_bytes ? refill->grant_count * sizeof(*grants) : 0;
	if (grants_bytes + returns_bytes > sizeof(small)) {
		arrays = kmalloc(grants_bytes + returns_bytes, GCHEAP_GFP);
		if (!arrays)
			return -ENOMEM;
	}
	grants = arrays;
	returns = arrays + grants_bytes;

	error = -EFAULT;
	if (!user_read_beside(returns, user_returns, returns_bytes, user_grants, grants_bytes))
		goto free_arrays;
	error = heap_refill(&heap->core, refill, returns, grants);
	if (error)
		goto free_arrays;
	if (!user_write(user_grants, grants, refill->out_granted * sizeof(*grants)))
		error = -EFAULT;
free_arrays:
	if (arrays != small)
		kfree(arrays);
	return error;
}

static_assert(OP_MORE == LARGE_MORE);

static int op_alloc_large(struct gcheap_heap *heap, union op_args *args,
			  struct progress *progress)
{
	return large_alloc_some(&heap->core, &args->alloc_large, &progress->large, PIECE_PAGES);
}

static int op_alloc_large_undo(struct gcheap_heap *heap, union op_args *args,
			       struct progress *progress)
{
	if (heap->live)
		return large_alloc_undo(&heap->core, &args->alloc_large, &progress->large,
					PIECE_PAGES);
	large_alloc_forget(&progress->large);
	return 0;
}

static bool mark_start_sweeps(const struct heap *core)
{
	return core->counters.unswept_spans || !reclaim_is_done(core);
}

/**
 * op_mark_start() - GCHEAP_OP_MARK_START: begin a cycle
 * @heap: the heap
 * @args: struct gcheap_mark_start
 * @progress: spans swept
 *
 * What is left of the last sweep is done in pieces, and marks are cleared so. Another
 * thread that sends the same request helps, and one of them gets -EBUSY at the end.
 *
 * Return:
 * * 0		- the cycle has begun
 * * -EBUSY	- it had already
 * * -EOPNOTSUPP - unknown flag
 * * -EINTR	- interrupted; part of the sweep is done
 */
static int op_mark_start(struct gcheap_heap *heap, union op_args *args,
			 struct progress *progress)
{
	struct gcheap_mark_start *start = &args->mark_start;
	int error;

	/* Marks are what the sweep goes by: it ends before they are cleared. */
	if (!start->flags && heap->core.phase == GCHEAP_PHASE_IDLE &&
	    mark_start_sweeps(&heap->core)) {
		struct gcheap_sweep sweep = { .max_spans = PIECE_SPANS };

		error = heap_sweep(&heap->core, &sweep);
		progress->done += sweep.out_swept_spans;
		start->out_swept_spans = progress->done;
		if (error)
			return error;
		if (mark_start_sweeps(&heap->core))
			return OP_MORE;
	}
	if (!start->flags && heap_mark_prepare(&heap->core, !progress->prepared)) {
		progress->prepared = true;
		start->out_swept_spans = progress->done;
		return OP_MORE;
	}
	error = heap_mark_start(&heap->core, start);
	if (!error)
		start->out_swept_spans += progress->done;
	return error;
}

/**
 * op_sweep_start() - GCHEAP_OP_SWEEP_START: end of the marking
 * @heap: the heap
 * @args: struct gcheap_sweep_start
 * @progress: spans and heap pages freed
 *
 * The first piece is as if the request were lazy. Without the flag, the others free what
 * is dead, unless another thread has begun the next cycle, which has.
 *
 * Return:
 * * 0		- the cycle has ended
 * * -EINVAL	- there was no MARK_START
 * * -EBUSY	- spans are still handed out
 * * -EOPNOTSUPP - unknown flag
 * * -EINTR	- interrupted; it has ended, and what is dead is left for the sweep
 */
static int op_sweep_start(struct gcheap_heap *heap, union op_args *args,
			  struct progress *progress)
{
	struct gcheap_sweep_start *start = &args->sweep_start;
	struct heap *core = &heap->core;
	u32 flags = start->flags;
	u64 spans;
	int error;

	if (!progress->begun) {
		start->flags |= GCHEAP_SWEEP_START_LAZY;
		error = heap_sweep_start(core, start);
		start->flags = flags;
		if (error || flags & GCHEAP_SWEEP_START_LAZY)
			return error;
	}
	if (!progress->begun || progress->generation == core->generation) {
		progress->done += reclaim_walk(core, U64_MAX, PIECE_PAGES, &spans);
		progress->freed += spans;
		start->out_freed_pages = progress->done;
		start->out_freed_spans = progress->freed;
		start->out_unswept_spans = heap_spans_left(core);
		if (!reclaim_is_done(core) && core->phase == GCHEAP_PHASE_IDLE)
			return OP_MORE;
	}
	return 0;
}

/**
 * op_sweep() - GCHEAP_OP_SWEEP: sweep some spans
 * @heap: the heap
 * @args: struct gcheap_sweep
 * @progress: spans swept, and freed
 *
 * Ends when its cycle has: MARK_START leaves nothing of it to sweep.
 *
 * Return:
 * * 0		- done
 * * -EINVAL	- no spans asked for
 * * -EOPNOTSUPP - unknown flag
 * * -EINTR	- interrupted; the outputs tell what was done
 */
static int op_sweep(struct gcheap_heap *heap, union op_args *args,
		    struct progress *progress)
{
	struct gcheap_sweep *sweep = &args->sweep;
	struct gcheap_sweep piece = *sweep;
	int error;

	if (progress->begun && progress->generation != heap->core.generation) {
		sweep->out_unswept_spans = heap->core.counters.unswept_spans;
		return 0;
	}
	piece.max_spans = min_t(u64, sweep->max_spans - progress->done, PIECE_SPANS);
	error = heap_sweep(&heap->core, &piece);
	if (error && error != -EINTR)
		return error;
	progress->done += piece.out_swept_spans;
	progress->freed += piece.out_freed_spans;
	sweep->out_swept_spans = progress->done;
	sweep->out_freed_spans = progress->freed;
	sweep->out_unswept_spans = piece.out_unswept_spans;
	if (error)
		return error;
	return piece.out_swept_spans == piece.max_spans && piece.out_unswept_spans &&
	       progress->done < sweep->max_spans ? OP_MORE : 0;
}

static int op_stats(struct gcheap_heap *heap, union op_args *args)
{
	return heap_stats(&heap->core, &args->stats);
}

static int op_free_large(struct gcheap_heap *heap, union op_args *args)
{
	return heap_free_large(&heap->core, &args->free_large);
}

/**
 * op_reclaim() - GCHEAP_OP_RECLAIM: free dead spans
 * @heap: the heap
 * @args: struct gcheap_reclaim
 * @progress: heap pages freed
 *
 * Ends when its cycle has.
 *
 * Return:
 * * 0		- done
 * * -EINVAL	- no pages asked for
 * * -EOPNOTSUPP - unknown flag
 * * -EINTR	- interrupted; the outputs tell what was done
 */
static int op_reclaim(struct gcheap_heap *heap, union op_args *args,
		      struct progress *progress)
{
	struct gcheap_reclaim *reclaim = &args->reclaim;
	struct gcheap_reclaim piece = *reclaim;
	int error;

	if (progress->begun && progress->generation != heap->core.generation) {
		reclaim->out_left = 0;
		return 0;
	}
	piece.max_pages = min_t(u64, reclaim->max_pages - progress->done, PIECE_PAGES);
	error = heap_reclaim(&heap->core, &piece);
	if (error && error != -EINTR)
		return error;
	progress->done += piece.out_pages;
	reclaim->out_pages = progress->done;
	reclaim->out_left = piece.out_left;
	if (error)
		return error;
	return piece.out_pages && piece.out_left && progress->done < reclaim->max_pages ?
	       OP_MORE : 0;
}

/**
 * op_scavenge() - GCHEAP_OP_SCAVENGE: give free memory back
 * @heap: the heap
 * @args: struct gcheap_scavenge
 * @progress: bytes given back
 *
 * Does not run after pages that others free meanwhile: what is free at its
 * beginning, or of 2 MiB pages what is there, is the most that it gives back.
 *
 * Return:
 * * 0		- done
 * * -EINVAL	- no bytes asked for
 * * -EOPNOTSUPP - unknown flag
 * * -EINTR	- interrupted; the outputs tell what was done
 */
static int op_scavenge(struct gcheap_heap *heap, union op_args *args,
		       struct progress *progress)
{
	struct gcheap_scavenge *scavenge = &args->scavenge;
	struct gcheap_scavenge piece = *scavenge;
	int error;

	if (!progress->begun)
		progress->limit = scavenge->max_bytes;
	piece.max_bytes = min_t(u64, progress->limit - progress->done, PIECE_BYTES);
	error = heap_scavenge(&heap->core, &piece);
	if (error && error != -EINTR)
		return error;
	if (!progress->begun) {
		u64 left = piece.out_free_bytes;

		/* A 2 MiB page goes whole, with parts that kmod/core knows nothing of. */
		if (huge_allowed(heap))
			left = heap->core.counters.resident_bytes +
			       heap->core.counters.stock_bytes;
		progress->limit = min(progress->limit, piece.out_bytes + left);
	}
	progress->done += piece.out_bytes;
	scavenge->out_bytes = progress->done;
	scavenge->out_free_bytes = piece.out_free_bytes;
	if (error)
		return error;
	return piece.out_bytes && progress->done < progress->limit ? OP_MORE : 0;
}

static int op_chunk_new(struct gcheap_heap *heap, union op_args *args,
			struct progress *progress)
{
	if (tables_for_another(heap, progress))
		return OP_MORE;
	return heap_chunk_new(&heap->core, &args->chunk_new);
}

static int op_chunk_free(struct gcheap_heap *heap, union op_args *args)
{
	return heap_chunk_free(&heap->core, &args->chunk_free);
}

static int op_chunk_ready(struct gcheap_heap *heap, union op_args *args)
{
	return heap_chunk_ready(&heap->core, &args->chunk_ready);
}

static int op_stop(struct gcheap_heap *heap, union op_args *args)
{
	return stop_threads(heap, &args->stop);
}

static int op_resume(struct gcheap_heap *heap, union op_args *args)
{
	return stop_resume(heap, &args->resume);
}

/*
 * Which requests are for a worker when they come from a ring, so that what is
 * submitted behind them need not wait. The bounds are chosen so that what stays below
 * them is no more work than a large REFILL; see Documentation/io-uring.md. The heap is
 * locked.
 */
#define SHORT_BYTES	(256u << 10)	/* of object memory populated */
#define SHORT_HEAP	4096u		/* heap pages walked: 32 MiB */

static bool type_add_is_long(struct gcheap_heap *heap, const union op_args *args)
{
	/* The mask is made and looked at bit by bit. */
	return args->type_add.ptr_bytes > SHORT_BYTES;
}

static bool refill_is_long(struct gcheap_heap *heap, const union op_args *args)
{
	return args->refill.want_bytes > SHORT_BYTES || large_tables_lack(&heap->core);
}

static bool alloc_large_is_long(struct gcheap_heap *heap, const union op_args *args)
{
	const struct gcheap_alloc_large *alloc = &args->alloc_large;
	const struct gcheap_type_record *record = type_find(&heap->core, alloc->type);

	return alloc->count > SHORT_BYTES / (record ? record->bytes : 1);
}

static bool mark_start_is_long(struct gcheap_heap *heap, const union op_args *args)
{
	return heap->core.counters.unswept_spans > PIECE_SPANS ||
	       heap->core.heap_pages > SHORT_HEAP;
}

static bool sweep_start_is_long(struct gcheap_heap *heap, const union op_args *args)
{
	return !(args->sweep_start.flags & GCHEAP_SWEEP_START_LAZY) &&
	       heap->core.heap_pages > SHORT_HEAP;
}

static bool sweep_is_long(struct gcheap_heap *heap, const union op_args *args)
{
	return min_t(u64, args->sweep.max_spans, heap->core.counters.unswept_spans) >
	       PIECE_SPANS;
}

static bool reclaim_is_long(struct gcheap_heap *heap, const union op_args *args)
{
	return args->reclaim.max_pages > PIECE_PAGES;
}

static bool scavenge_is_long(struct gcheap_heap *heap, const union op_args *args)
{
	return args->scavenge.max_bytes > SHORT_BYTES;
}

static bool free_large_is_long(struct gcheap_heap *heap, const union op_args *args)
{
	u32 page = args->free_large.page;

	/* Of what begins no span, the length is anything: a worker will refuse it, too. */
	return page < heap->core.heap_pages &&
	       heap_span(&heap->core, heap_page_nospec(&heap->core, page))->npages >
	       SHORT_HEAP;
}

static bool always_is_long(struct gcheap_heap *heap, const union op_args *args)
{
	return true;
}

#define OP(op, type, last_required, ...)				\
	[op] = {							\
		.size = sizeof(type) +					\
			BUILD_BUG_ON_ZERO(sizeof(type) % sizeof(u64)),	\
		.required = offsetofend(type, last_required),		\
		__VA_ARGS__						\
	}

/* dispatch_read_usual() copies whole words. */
static_assert(sizeof(union op_args) % sizeof(u64) == 0);

const struct op ops[GCHEAP_OPS] = {
	OP(GCHEAP_OP_SETUP, struct gcheap_setup, out_region_bytes,
	   .run = op_setup),
	OP(GCHEAP_OP_TYPE_ADD, struct gcheap_type_add, out_type,
	   .run = op_type_add, .is_long = type_add_is_long),
	OP(GCHEAP_OP_REFILL, struct gcheap_refill, grants,
	   .piece = op_refill, .is_long = refill_is_long),
	OP(GCHEAP_OP_ALLOC_LARGE, struct gcheap_alloc_large, out_flags,
	   .piece = op_alloc_large, .undo = op_alloc_large_undo,
	   .is_long = alloc_large_is_long),
	OP(GCHEAP_OP_MARK_START, struct gcheap_mark_start, out_swept_spans,
	   .piece = op_mark_start, .is_long = mark_start_is_long),
	OP(GCHEAP_OP_SWEEP_START, struct gcheap_sweep_start, goal_bytes,
	   .piece = op_sweep_start, .is_long = sweep_start_is_long),
	OP(GCHEAP_OP_SWEEP, struct gcheap_sweep, out_unswept_spans,
	   .piece = op_sweep, .is_long = sweep_is_long),
	OP(GCHEAP_OP_STATS, struct gcheap_heap_stats, flags,
	   .run = op_stats, .pure = true),
	OP(GCHEAP_OP_FREE_LARGE, struct gcheap_free_large, page,
	   .run = op_free_large, .is_long = free_large_is_long),
	OP(GCHEAP_OP_RECLAIM, struct gcheap_reclaim, out_left,
	   .piece = op_reclaim, .is_long = reclaim_is_long),
	OP(GCHEAP_OP_SCAVENGE, struct gcheap_scavenge, out_free_bytes,
	   .piece = op_scavenge, .is_long = scavenge_is_long),
	OP(GCHEAP_OP_CHUNK_NEW, struct gcheap_chunk_new, out_flags,
	   .piece = op_chunk_new, .is_long = always_is_long),
	OP(GCHEAP_OP_CHUNK_FREE, struct gcheap_chunk_free, page,
	   .run = op_chunk_free),
	OP(GCHEAP_OP_CHUNK_READY, struct gcheap_chunk_ready, page,
	   .run = op_chunk_ready),
	OP(GCHEAP_OP_TRACK, struct gcheap_track, out_end,
	   .piece = op_track, .end = op_track_end,
	   .is_long = always_is_long),
	OP(GCHEAP_OP_STOP, struct gcheap_stop, out_gone,
	   .apart = op_stop, .unheard = stop_break, .is_long = always_is_long),
	OP(GCHEAP_OP_RESUME, struct gcheap_resume, stop,
	   .apart = op_resume),
};
