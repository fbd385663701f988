// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * One place that reports all requests, by the tracepoints of trace.h.
 */
#include <linux/ktime.h>

#include "module.h"
#include "trace.h"
#include "trace_ops.h"

/**
 * trace_op_begin() - read the clock, if the end will be reported
 * @op: the operation
 *
 * Return: the time in nanoseconds; 0: nobody wants to know.
 */
u64 trace_op_begin(u32 op)
{
	bool wanted;

	switch (op) {
	case GCHEAP_OP_REFILL:
		wanted = trace_gcheap_refill_enabled();
		break;
	case GCHEAP_OP_ALLOC_LARGE:
		wanted = trace_gcheap_alloc_large_enabled();
		break;
	case GCHEAP_OP_MARK_START:
		wanted = trace_gcheap_mark_start_enabled();
		break;
	case GCHEAP_OP_SWEEP_START:
		wanted = trace_gcheap_sweep_start_enabled();
		break;
	case GCHEAP_OP_SWEEP:
		wanted = trace_gcheap_sweep_enabled();
		break;
	case GCHEAP_OP_RECLAIM:
		wanted = trace_gcheap_reclaim_enabled();
		break;
	case GCHEAP_OP_SCAVENGE:
		wanted = trace_gcheap_scavenge_enabled();
		break;
	case GCHEAP_OP_CHUNK_NEW:
	case GCHEAP_OP_CHUNK_FREE:
	case GCHEAP_OP_CHUNK_READY:
		wanted = trace_gcheap_chunk_enabled();
		break;
	case GCHEAP_OP_TRACK:
		wanted = trace_gcheap_track_enabled();
		break;
	default:
		wanted = false;
	}
	return wanted ? ktime_get_ns() : 0;
}

/**
 * trace_op_end() - report a request that has ended
 * @heap: the heap
 * @op: the operation
 * @args: its struct; with its outputs when @error is 0
 * @error: what it returns
 * @begin: from trace_op_begin()
 */
void trace_op_end(struct gcheap_heap *heap, u32 op, const union op_args *args,
		  int error, u64 begin)
{
	u64 ns;

	if (!begin)
		return;
	ns = ktime_get_ns() - begin;
	switch (op) {
	case GCHEAP_OP_REFILL:
		trace_gcheap_refill(heap->id, &args->refill, error, ns);
		break;
	case GCHEAP_OP_ALLOC_LARGE:
		trace_gcheap_alloc_large(heap->id, &args->alloc_large, error, ns);
		break;
	case GCHEAP_OP_MARK_START:
		trace_gcheap_mark_start(heap->id, &args->mark_start, error, ns);
		break;
	case GCHEAP_OP_SWEEP_START:
		trace_gcheap_sweep_start(heap->id, &args->sweep_start, error, ns);
		break;
	case GCHEAP_OP_SWEEP:
		trace_gcheap_sweep(heap->id, &args->sweep, error, ns);
		break;
	case GCHEAP_OP_RECLAIM:
		trace_gcheap_reclaim(heap->id, &args->reclaim, error, ns);
		break;
	case GCHEAP_OP_SCAVENGE:
		trace_gcheap_scavenge(heap->id, GCHEAP_SCAVENGE_REQUEST,
				      args->scavenge.max_bytes,
				      error ? 0 : args->scavenge.out_bytes,
				      error ? 0 : args->scavenge.out_free_bytes, error, ns);
		break;
	case GCHEAP_OP_CHUNK_NEW:
		trace_gcheap_chunk(heap->id, op, error ? 0 : args->chunk_new.out_page, error, ns);
		break;
	case GCHEAP_OP_CHUNK_FREE:
		trace_gcheap_chunk(heap->id, op, args->chunk_free.page, error, ns);
		break;
	case GCHEAP_OP_CHUNK_READY:
		trace_gcheap_chunk(heap->id, op, args->chunk_ready.page, error, ns);
		break;
	case GCHEAP_OP_TRACK:
		trace_gcheap_track(heap->id, &args->track, error, ns);
		break;
	}
}
