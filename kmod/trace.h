/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Tracepoints: one event for each thing that a heap does which a person may have
 * to explain: gcheap:* in tracefs.
 *
 * Each names its heap by the number that fdinfo and debugfs show too. trace_op_end()
 * reports requests when they have ended, failed ones too; what goes on beside requests is
 * reported where it happens. @duration_ns is how long the request took, waiting for the
 * heap's lock included.
 *
 * None of them is on a path that is taken for each object.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM gcheap

#if !defined(GCHEAP_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define GCHEAP_TRACE_H

#include <linux/mm.h>
#include <linux/tracepoint.h>
#include <linux/types.h>

#include <linux/gcheap.h>

/* Who gave memory of free pages back. */
#define GCHEAP_SCAVENGE_REQUEST		0
#define GCHEAP_SCAVENGE_BACKGROUND	1
#define GCHEAP_SCAVENGE_SHRINKER	2

/* So that tools which print events themselves know the numbers. */
TRACE_DEFINE_ENUM(GCHEAP_OP_CHUNK_NEW);
TRACE_DEFINE_ENUM(GCHEAP_OP_CHUNK_FREE);
TRACE_DEFINE_ENUM(GCHEAP_OP_CHUNK_READY);
TRACE_DEFINE_ENUM(GCHEAP_PRESSURE_NONE);
TRACE_DEFINE_ENUM(GCHEAP_PRESSURE_LOW);
TRACE_DEFINE_ENUM(GCHEAP_PRESSURE_HIGH);
TRACE_DEFINE_ENUM(GCHEAP_PRESSURE_LIMIT);

TRACE_EVENT(gcheap_refill,
	TP_PROTO(u32 heap, const struct gcheap_refill *refill, int error, u64 duration_ns),
	TP_ARGS(heap, refill, error, duration_ns),
	TP_STRUCT__entry(
		__field(u64, duration_ns)
		__field(u32, heap)
		__field(u32, type)
		__field(u32, size_class)
		__field(u32, want_bytes)
		__field(u32, returned)
		__field(u32, granted)
		__field(int, error)
	),
	TP_fast_assign(
		__entry->duration_ns = duration_ns;
		__entry->heap = heap;
		__entry->type = refill->type;
		__entry->size_class = refill->size_class;
		__entry->want_bytes = refill->want_bytes;
		__entry->returned = error ? 0 : refill->return_count;
		__entry->granted = error ? 0 : refill->out_granted;
		__entry->error = error;
	),
	TP_printk("heap=%u type=%u size_class=%u want_bytes=%u returned=%u granted=%u error=%d duration_ns=%llu",
		  __entry->heap, __entry->type, __entry->size_class, __entry->want_bytes,
		  __entry->returned, __entry->granted, __entry->error, __entry->duration_ns)
);

TRACE_EVENT(gcheap_alloc_large,
	TP_PROTO(u32 heap, const struct gcheap_alloc_large *alloc, int error, u64 duration_ns),
	TP_ARGS(heap, alloc, error, duration_ns),
	TP_STRUCT__entry(
		__field(u64, duration_ns)
		__field(u64, count)
		__field(u32, heap)
		__field(u32, type)
		__field(u32, page)
		__field(u32, npages)
		__field(int, error)
	),
	TP_fast_assign(
		__entry->duration_ns = duration_ns;
		__entry->count = alloc->count;
		__entry->heap = heap;
		__entry->type = alloc->type;
		__entry->page = error ? 0 : alloc->out_page;
		__entry->npages = error ? 0 : alloc->out_npages;
		__entry->error = error;
	),
	TP_printk("heap=%u type=%u count=%llu page=%u npages=%u error=%d duration_ns=%llu",
		  __entry->heap, __entry->type, __entry->count, __entry->page,
		  __entry->npages, __entry->error, __entry->duration_ns)
);

TRACE_EVENT(gcheap_mark_start,
	TP_PROTO(u32 heap, const struct gcheap_mark_start *start, int error, u64 duration_ns),
	TP_ARGS(heap, start, error, duration_ns),
	TP_STRUCT__entry(
		__field(u64, duration_ns)
		__field(u64, swept_spans)
		__field(u32, heap)
		__field(u32, generation)
		__field(int, error)
	),
	TP_fast_assign(
		__entry->duration_ns = duration_ns;
		__entry->swept_spans = error ? 0 : start->out_swept_spans;
		__entry->heap = heap;
		__entry->generation = error ? 0 : start->out_generation;
		__entry->error = error;
	),
	TP_printk("heap=%u generation=%u swept_spans=%llu error=%d duration_ns=%llu",
		  __entry->heap, __entry->generation, __entry->swept_spans, __entry->error,
		  __entry->duration_ns)
);

TRACE_EVENT(gcheap_sweep_start,
	TP_PROTO(u32 heap, const struct gcheap_sweep_start *start, int error, u64 duration_ns),
	TP_ARGS(heap, start, error, duration_ns),
	TP_STRUCT__entry(
		__field(u64, duration_ns)
		__field(u64, freed_spans)
		__field(u64, freed_pages)
		__field(u64, unswept_spans)
		__field(u64, goal_bytes)
		__field(u32, heap)
		__field(u32, generation)
		__field(u32, flags)
		__field(int, error)
	),
	TP_fast_assign(
		__entry->duration_ns = duration_ns;
		__entry->freed_spans = error ? 0 : start->out_freed_spans;
		__entry->freed_pages = error ? 0 : start->out_freed_pages;
		__entry->unswept_spans = error ? 0 : start->out_unswept_spans;
		__entry->goal_bytes = start->goal_bytes;
		__entry->heap = heap;
		__entry->generation = error ? 0 : start->out_generation;
		__entry->flags = start->flags;
		__entry->error = error;
	),
	TP_printk("heap=%u generation=%u flags=%#x goal_bytes=%llu freed_spans=%llu freed_pages=%llu unswept_spans=%llu error=%d duration_ns=%llu",
		  __entry->heap, __entry->generation, __entry->flags, __entry->goal_bytes,
		  __entry->freed_spans, __entry->freed_pages, __entry->unswept_spans,
		  __entry->error, __entry->duration_ns)
);

TRACE_EVENT(gcheap_sweep,
	TP_PROTO(u32 heap, const struct gcheap_sweep *sweep, int error, u64 duration_ns),
	TP_ARGS(heap, sweep, error, duration_ns),
	TP_STRUCT__entry(
		__field(u64, duration_ns)
		__field(u64, max_spans)
		__field(u64, swept_spans)
		__field(u64, freed_spans)
		__field(u64, unswept_spans)
		__field(u32, heap)
		__field(int, error)
	),
	TP_fast_assign(
		__entry->duration_ns = duration_ns;
		__entry->max_spans = sweep->max_spans;
		__entry->swept_spans = error ? 0 : sweep->out_swept_spans;
		__entry->freed_spans = error ? 0 : sweep->out_freed_spans;
		__entry->unswept_spans = error ? 0 : sweep->out_unswept_spans;
		__entry->heap = heap;
		__entry->error = error;
	),
	TP_printk("heap=%u max_spans=%llu swept_spans=%llu freed_spans=%llu unswept_spans=%llu error=%d duration_ns=%llu",
		  __entry->heap, __entry->max_spans, __entry->swept_spans,
		  __entry->freed_spans, __entry->unswept_spans, __entry->error,
		  __entry->duration_ns)
);

TRACE_EVENT(gcheap_reclaim,
	TP_PROTO(u32 heap, const struct gcheap_reclaim *reclaim, int error, u64 duration_ns),
	TP_ARGS(heap, reclaim, error, duration_ns),
	TP_STRUCT__entry(
		__field(u64, duration_ns)
		__field(u64, max_pages)
		__field(u64, pages)
		__field(u64, left)
		__field(u32, heap)
		__field(int, error)
	),
	TP_fast_assign(
		__entry->duration_ns = duration_ns;
		__entry->max_pages = reclaim->max_pages;
		__entry->pages = error ? 0 : reclaim->out_pages;
		__entry->left = error ? 0 : reclaim->out_left;
		__entry->heap = heap;
		__entry->error = error;
	),
	TP_printk("heap=%u max_pages=%llu pages=%llu left=%llu error=%d duration_ns=%llu",
		  __entry->heap, __entry->max_pages, __entry->pages, __entry->left,
		  __entry->error, __entry->duration_ns)
);

TRACE_EVENT(gcheap_scavenge,
	TP_PROTO(u32 heap, u32 by, u64 max_bytes, u64 bytes, u64 free_bytes, int error,
		 u64 duration_ns),
	TP_ARGS(heap, by, max_bytes, bytes, free_bytes, error, duration_ns),
	TP_STRUCT__entry(
		__field(u64, duration_ns)
		__field(u64, max_bytes)
		__field(u64, bytes)
		__field(u64, free_bytes)
		__field(u32, heap)
		__field(u32, by)
		__field(int, error)
	),
	TP_fast_assign(
		__entry->duration_ns = duration_ns;
		__entry->max_bytes = max_bytes;
		__entry->bytes = bytes;
		__entry->free_bytes = free_bytes;
		__entry->heap = heap;
		__entry->by = by;
		__entry->error = error;
	),
	TP_printk("heap=%u by=%s max_bytes=%llu bytes=%llu free_bytes=%llu error=%d duration_ns=%llu",
		  __entry->heap,
		  __print_symbolic(__entry->by,
				   { GCHEAP_SCAVENGE_REQUEST, "request" },
				   { GCHEAP_SCAVENGE_BACKGROUND, "background" },
				   { GCHEAP_SCAVENGE_SHRINKER, "shrinker" }),
		  __entry->max_bytes, __entry->bytes, __entry->free_bytes, __entry->error,
		  __entry->duration_ns)
);

/* @mapped is how many pages of 4 KiB the fault mapped; 0 where there is no memory. */
TRACE_EVENT(gcheap_fault,
	TP_PROTO(u32 heap, const struct vm_fault *vmf, u32 mapped),
	TP_ARGS(heap, vmf, mapped),
	TP_STRUCT__entry(
		__field(u64, address)
		__field(u32, heap)
		__field(u32, page)
		__field(u32, mapped)
		__field(bool, write)
	),
	TP_fast_assign(
		__entry->address = vmf->real_address;
		__entry->heap = heap;
		__entry->page = vmf->pgoff >> (GCHEAP_PAGE_SHIFT - PAGE_SHIFT);
		__entry->mapped = mapped;
		__entry->write = vmf->flags & FAULT_FLAG_WRITE;
	),
	TP_printk("heap=%u address=%#llx page=%u write=%d mapped=%u",
		  __entry->heap, __entry->address, __entry->page, __entry->write,
		  __entry->mapped)
);

TRACE_EVENT(gcheap_track,
	TP_PROTO(u32 heap, const struct gcheap_track *track, int error, u64 duration_ns),
	TP_ARGS(heap, track, error, duration_ns),
	TP_STRUCT__entry(
		__field(u64, duration_ns)
		__field(u32, heap)
		__field(u32, flags)
		__field(u32, page)
		__field(u32, npages)
		__field(u32, dirty_pages)
		__field(u32, ranges)
		__field(u32, end)
		__field(int, error)
	),
	TP_fast_assign(
		__entry->duration_ns = duration_ns;
		__entry->heap = heap;
		__entry->flags = track->flags;
		__entry->page = track->page;
		__entry->npages = track->npages;
		__entry->dirty_pages = error ? 0 : track->out_dirty_pages;
		__entry->ranges = error ? 0 : track->out_range_count;
		__entry->end = error ? 0 : track->out_end;
		__entry->error = error;
	),
	TP_printk("heap=%u flags=%#x page=%u npages=%u dirty_pages=%u ranges=%u end=%u error=%d duration_ns=%llu",
		  __entry->heap, __entry->flags, __entry->page, __entry->npages,
		  __entry->dirty_pages, __entry->ranges, __entry->end, __entry->error,
		  __entry->duration_ns)
);

/* CHUNK_NEW, CHUNK_FREE and CHUNK_READY. */
TRACE_EVENT(gcheap_chunk,
	TP_PROTO(u32 heap, u32 op, u32 page, int error, u64 duration_ns),
	TP_ARGS(heap, op, page, error, duration_ns),
	TP_STRUCT__entry(
		__field(u64, duration_ns)
		__field(u32, heap)
		__field(u32, op)
		__field(u32, page)
		__field(int, error)
	),
	TP_fast_assign(
		__entry->duration_ns = duration_ns;
		__entry->heap = heap;
		__entry->op = op;
		__entry->page = page;
		__entry->error = error;
	),
	TP_printk("heap=%u op=%s page=%u error=%d duration_ns=%llu", __entry->heap,
		  __print_symbolic(__entry->op,
				   { GCHEAP_OP_CHUNK_NEW, "new" },
				   { GCHEAP_OP_CHUNK_FREE, "free" },
				   { GCHEAP_OP_CHUNK_READY, "ready" }),
		  __entry->page, __entry->error, __entry->duration_ns)
);

/* @level is what the heap's pressure is now: 0 when it was ended. */
TRACE_EVENT(gcheap_pressure,
	TP_PROTO(u32 heap, u32 level, u32 sequence),
	TP_ARGS(heap, level, sequence),
	TP_STRUCT__entry(
		__field(u32, heap)
		__field(u32, level)
		__field(u32, sequence)
	),
	TP_fast_assign(
		__entry->heap = heap;
		__entry->level = level;
		__entry->sequence = sequence;
	),
	TP_printk("heap=%u level=%s sequence=%u", __entry->heap,
		  __print_symbolic(__entry->level,
				   { GCHEAP_PRESSURE_NONE, "none" },
				   { GCHEAP_PRESSURE_LOW, "low" },
				   { GCHEAP_PRESSURE_HIGH, "high" },
				   { GCHEAP_PRESSURE_LIMIT, "limit" }),
		  __entry->sequence)
);

#endif /* GCHEAP_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace

/* Outside the guard: it reads this file again, several times. */
#include <trace/define_trace.h>
