// SPDX-License-Identifier: MIT
/*
 * A collection: flush, mark, sweep, with the mutator stopped, because it is the
 * caller.
 *
 *	flush		the thread's spans go back, so that all alloc bits are exact:
 *			conservative marking tells objects from free slots by them
 *	MARK_START	clears the mark bits
 *	mark		begins at registered roots, frames, and the stacks: the running
 *			one from the registers that this call has saved upwards
 *	SWEEP_START	makes the mark bits the alloc bits; dead spans are freed, or
 *			left to a sweep in the background
 *
 * No error can lose an object: nothing is freed before SWEEP_START, and when a
 * cycle ends without one, the next clears the marks that it left.
 */
#include "collect.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "backend/backend.h"
#include "clock.h"
#include "cycle_log.h"
#include "error.h"
#include "flush.h"
#include "frame.h"
#include "guard.h"
#include "limit.h"
#include "loaded.h"
#include "mark.h"
#include "pressure.h"
#include "stack_mark.h"
#include "thread.h"

/*
 * Spans in use from which on a sweep runs in the background, 128 MiB of 8 KiB spans. To
 * submit it takes a time of its own, which smaller heaps do not always get back: measured
 * beside a SWEEP_START that frees what is dead, the sweep's part of the pause was 1.03 to
 * 1.14 times as long with 1,200 to 8,192 spans on Linux 6.12, and 0.30 to 0.42 times with
 * 16,384 on 6.1 and 6.12. Documentation/io-uring.md has the figures.
 */
#define BACKGROUND_SPANS	16384u

/* ---- marking ---------------------------------------------------------------- */

/* The functions that mark roots return how many bytes they went through. */
static uint64_t mark_registered(struct gcheap *heap)
{
	uint64_t bytes = 0;
	size_t i;

	pthread_mutex_lock(&heap->lock);
	for (i = 0; i < heap->roots.count; i++) {
		const struct root *root = &heap->roots.all[i];

		switch (root->kind) {
		case ROOT_PRECISE:
			mark_slots(heap->marker, root->start, root->count);
			bytes += root->count * sizeof(void *);
			break;
		case ROOT_TYPED:
			mark_typed(heap->marker, root);
			bytes += root->count * view_type(&heap->view, root->type)->bytes;
			break;
		case ROOT_AMBIGUOUS:
			mark_ambiguous(heap->marker, root->start, root->count);
			bytes += root->count;
			break;
		}
	}
	pthread_mutex_unlock(&heap->lock);
	return bytes;
}

static uint64_t mark_frames(struct thread *thread)
{
	const uintptr_t *words = thread->fast.frames;
	uint64_t bytes = 0;
	size_t at, i;

	for (at = 0; at < thread->fast.frames_used; at += words[at]) {
		for (i = 0; i < frame_count(&words[at]); i++)
			mark_slots(thread->heap->marker, frame_variable(&words[at], i), 1);
		bytes += i * sizeof(void *);
	}
	return bytes;
}

static uint64_t mark_all(struct thread *thread, const char *sp, const struct stack *running,
			 struct mark_result *result)
{
	struct marker *marker = thread->heap->marker;
	uint64_t bytes;

	mark_begin(marker);
	bytes = mark_registered(thread->heap);
	bytes += mark_frames(thread);
	bytes += loaded_mark(thread);
	if (thread->heap->flags & GCHEAP_CONSERVATIVE_STACKS)
		bytes += stack_mark(thread, sp, running);
	mark_finish(marker, result);
	return bytes;
}

/* ---- a cycle ---------------------------------------------------------------- */

/*
 * The last cycle ended between MARK_START and SWEEP_START. What it marked may
 * not be marked through, or may have changed since: start again with no marks.
 */
static void marks_clear(struct gcheap *heap)
{
	uint64_t *marks = view_mark_bits(&heap->view);
	uint64_t pages = heap->view.ctrl->heap_pages;
	uint64_t page;

	/* Tables of free pages may have gone with their memory: nobody may write there. */
	for (page = 0; page < pages; page++) {
		if (GCHEAP_PAGE_KIND(heap->view.pages[page]) != GCHEAP_KIND_NONE)
			memset(&marks[page * 8], 0, 64);
	}
	memset(heap->view.page_marks, 0, (pages + 63) / 64 * 8);
}

static int mark_start(struct gcheap *heap)
{
	struct gcheap_mark_start start = { .size = sizeof(start) };
	int error;

	if (heap->view.ctrl->phase == GCHEAP_PHASE_MARK) {
		marks_clear(heap);
		return 0;
	}
	error = backend_request(heap->backend, GCHEAP_OP_MARK_START, &start);
	if (error)
		return error_set(error, "the backend did not start a cycle: %s", strerror(-error));
	return 0;
}

/*
 * Whether a worker may sweep, while the program goes on. Not when memory is wanted now,
 * nor where somebody relies on it that what is dead after a cycle is gone.
 */
static bool sweep_may_be_background(const struct gcheap *heap, uint32_t pressure)
{
	return heap->view.ctrl->counters.spans >= BACKGROUND_SPANS &&
	       pressure == GCHEAP_PRESSURE_NONE && !limit_is_exceeded(heap) &&
	       !heap_is_checked(heap) && !(heap->flags & GCHEAP_FAULT_FREED) &&
	       backend_can_sweep_in_background(heap->backend);
}

/* No worker took it: do what SWEEP_START would have done. What fails is done later. */
static void sweep_here(struct gcheap *heap, struct cycle *cycle)
{
	struct gcheap_reclaim reclaim = { .size = sizeof(reclaim), .max_pages = UINT64_MAX };
	uint64_t before = heap->view.ctrl->counters.freed_spans;

	backend_request(heap->backend, GCHEAP_OP_RECLAIM, &reclaim);
	cycle->freed_spans = heap->view.ctrl->counters.freed_spans - before;
}

static int sweep_start(struct gcheap *heap, struct cycle *cycle,
		       const struct mark_result *result, bool background)
{
	struct gcheap_sweep_start start = {
		.size = sizeof(start),
		.flags = background ? GCHEAP_SWEEP_START_LAZY : 0,
		.goal_bytes = pacer_goal(&heap->pacer, result->bytes, cycle->root_bytes,
					 result->span_bytes),
	};
	int error = backend_request(heap->backend, GCHEAP_OP_SWEEP_START, &start);

	if (error)
		return error_set(error, "the backend did not start the sweep: %s",
				 strerror(-error));
	__atomic_store_n(&heap->backend->is_sweep_lazy, background, __ATOMIC_RELEASE);
	cycle->freed_spans = start.out_freed_spans;
	cycle->is_sweep_background = background && backend_sweep_in_background(heap->backend);
	if (background && !cycle->is_sweep_background)
		sweep_here(heap, cycle);
	return 0;
}

static void cycle_count(struct gcheap *heap, struct cycle *cycle,
			const struct mark_result *result)
{
	struct gcheap_stats *stats = &heap->stats;
	uint64_t pause = cycle->flush_ns + cycle->mark_ns + cycle->sweep_ns;

	stats->cycles++;
	stats->live_bytes = result->bytes;
	stats->live_objects = result->objects;
	stats->mark_bytes_total += result->bytes;
	stats->mark_ns_total += cycle->mark_ns;
	stats->sweep_ns_total += cycle->sweep_ns;
	stats->pause_ns_total += pause;
	if (pause > stats->pause_ns_max)
		stats->pause_ns_max = pause;
	cycle->after_bytes = result->bytes;
	pacer_cycle_ended(&heap->pacer, result->bytes, cycle->root_bytes);
}

static void cycle_verify(struct gcheap *heap)
{
	if (!gcheap_verify(heap))
		return;
	fprintf(stderr, "gcheap: corrupted heap: found after cycle %llu\n",
		(unsigned long long)heap->stats.cycles);
	abort();
}

/*
 * A function of its own, so that all of the caller's frame, where the registers
 * are saved, lies above its frame.
 */
static __attribute__((noinline))
int collect_below(struct thread *thread, const char *entry, const struct stack *known,
		  bool background)
{
	const char *sp = __builtin_frame_address(0);
	struct gcheap *heap = thread->heap;
	struct mark_result result = { 0 };
	struct cycle cycle = { 0 };
	uint64_t flushed, marked;
	struct stack running;
	uint32_t pressure;
	int error;

	if (known)
		running = *known;
	if (known || stack_running(thread, sp, &running))
		frames_drop_ended(thread, entry, &running);
	else if (heap->flags & GCHEAP_CONSERVATIVE_STACKS)
		return stack_unknown(sp);
	if (thread->frames_lost.count)
		return error_set(-ENOMEM, "there was no memory for the table of frames: no cycle "
				 "can run before the block of GCHEAP_FRAME has ended");
	cycle.start_ns = clock_ns();
	pressure = pressure_cycle_begins(heap);
	error = flush_caches(thread);
	cycle.before_bytes = heap->pacer.live_bytes + heap->pacer.taken_bytes;
	if (!error)
		error = mark_start(heap);
	if (error)
		return error;
	flushed = clock_ns();
	cycle.flush_ns = flushed - cycle.start_ns;

	guard_reports(false);
	cycle.root_bytes = mark_all(thread, sp, &running, &result);
	guard_reports(true);
	marked = clock_ns();
	cycle.mark_ns = marked - flushed;

	background = background && sweep_may_be_background(heap, pressure);
	error = sweep_start(heap, &cycle, &result, background);
	if (error)
		return error;
	if (heap->guard_bytes)
		guard_sweep(heap);
	pressure_cycle_ended(heap, pressure);
	limit_keep(heap);
	cycle.sweep_ns = clock_ns() - marked;

	cycle_count(heap, &cycle, &result);
	if (heap->trace_gc)
		cycle_log(heap, &cycle);
	if (heap->flags & GCHEAP_VERIFY)
		cycle_verify(heap);
	return 0;
}

/*
 * With @background, the sweep need not have ended when it returns. @entry: what is below
 * it on the stack is the library's. @known: the stack that the thread is on, where the
 * caller has found it; else NULL.
 */
static __attribute__((noinline))
int collect_all(struct thread *thread, const char *entry, const struct stack *known,
		bool background)
{
	int error;

	/* Callee-saved registers may hold the only pointer: push them all. */
	__builtin_unwind_init();
	error = collect_below(thread, entry, known, background);
	/* No tail call: the frame must stand while the stack is scanned. */
	__asm__ volatile("" : : : "memory");
	return error;
}

__attribute__((noinline))
int collect_now(struct thread *thread)
{
	return collect_all(thread, __builtin_frame_address(0), NULL, false);
}

__attribute__((noinline))
int collect_before_alloc(struct thread *thread, uint64_t bytes)
{
	const char *sp = __builtin_frame_address(0);
	struct stack running = { NULL, NULL };
	int error;

	if (!pacer_is_due(&thread->heap->pacer, bytes) && !pressure_is_due(thread->heap))
		return 0;
	if (thread->heap->flags & GCHEAP_CONSERVATIVE_STACKS &&
	    !stack_running(thread, sp, &running))
		return stack_unknown(sp);
	error_save();
	error = collect_all(thread, sp, running.top ? &running : NULL, true);
	/* That lasts, and the heap would grow to the end of its reserve. */
	if (error && thread->frames_lost.count)
		return error;
	if (error)
		error_restore();
	return 0;
}

__attribute__((noinline))
int gcheap_collect(struct gcheap_thread *fast)
{
	struct thread *thread = (struct thread *)fast;
	int error;

	if (!thread)
		return error_set(-EINVAL, "the thread is NULL: attach one with "
				 "gcheap_thread_attach()");
	error = heap_check(thread->heap);
	return error ? error : collect_all(thread, __builtin_frame_address(0), NULL, false);
}
