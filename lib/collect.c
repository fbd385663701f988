// SPDX-License-Identifier: MIT
/*
 * A collection: stop, flush, mark, sweep, start. The caller is one of the heap's threads.
 *
 *	stop		all other threads rest (world.h)
 *	flush		the threads' spans go back, so that all alloc bits are exact:
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
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "arena_record.h"
#include "backend/backend.h"
#include "clock.h"
#include "cycle_log.h"
#include "entry.h"
#include "ephemeron.h"
#include "error.h"
#include "finalizer.h"
#include "flush.h"
#include "frame.h"
#include "guard.h"
#include "hooks.h"
#include "limit.h"
#include "loaded.h"
#include "mark.h"
#include "mark_piece.h"
#include "pin.h"
#include "pressure.h"
#include "report.h"
#include "rest.h"
#include "specials.h"
#include "stack_mark.h"
#include "stop_kernel.h"
#include "thread.h"
#include "verify.h"
#include "world.h"

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
	mark_gathered(heap->marker);
	pthread_mutex_unlock(&heap->lock);
	return bytes;
}

static uint64_t mark_frames(const struct thread *thread)
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

/* What a thread is about to use, which was stopped in the middle of that. */
static void mark_held(const struct thread *thread)
{
	const struct view *view = &thread->heap->view;
	const struct cache *cache;
	void *making = thread->making;
	unsigned int i;

	mark_slots_here(thread->heap->marker, &making, 1);
	for (cache = thread->caches; thread->is_holding && cache; cache = cache->next) {
		for (i = 0; i < 2; i++) {
			void *slot = view->base + cache->held[i];

			if (cache->held[i])
				mark_slots_here(thread->heap->marker, &slot, 1);
		}
	}
}

static void mark_roots(struct gcheap *heap, struct cycle *cycle)
{
	uint64_t begin = clock_ns();
	const struct thread *thread;
	uint64_t bytes;

	bytes = mark_registered(heap) + pins_mark(heap) + finalizers_mark(heap);
	for (thread = heap->world.threads; thread; thread = thread->next) {
		bytes += mark_frames(thread);
		mark_held(thread);
	}
	bytes += loaded_mark(heap);
	if (heap->flags & GCHEAP_CONSERVATIVE_STACKS)
		bytes += stack_mark(heap);
	cycle->root_bytes = bytes;
	cycle->roots_ns = clock_ns() - begin;
}

/* All that roots lead to is known: what becomes of the rest? */
static int mark_specials(struct gcheap *heap)
{
	int error;

	if (!heap->probe && !specials_may_die(heap))
		return 0;
	mark_follow(heap->marker);
	/* Threads that went on meanwhile may have moved what leads to an object. */
	error = stop_kernel_check(heap);
	if (error)
		return error;
	ephemerons_settle(heap);
	if (heap->probe) {
		/* A free slot's mark bit is set meanwhile. */
		heap->probe_is_reached = mark_is_set(heap->marker, special_granule(heap->probe)) &&
					 view_bit(view_alloc_bits(&heap->view),
						  special_granule(heap->probe));
	}
	return specials_settle(heap);
}

static int mark_all(struct gcheap *heap, struct thread *self, struct cycle *cycle,
		    struct mark_result *result)
{
	int error;

	arena_chunks_begin(heap);
	mark_begin(heap->marker);
	hooks_cycle_begins(heap, self);
	mark_roots(heap, cycle);
	error = mark_specials(heap);
	mark_finish(heap->marker, result);
	result->bytes += arena_chunks_live(heap);
	return error;
}

/* ---- a cycle ---------------------------------------------------------------- */

/*
 * The last cycle ended between MARK_START and SWEEP_START. What it marked may
 * not be marked through, or may have changed since: start again with no marks.
 */
static void marks_clear(struct gcheap *heap)
{
	uint64_t *marks = view_mark_bits(&heap->view);
	uint64_t pages = ctrl_load(&heap->view.ctrl->heap_pages);
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

/* Whether somebody relies on it that what is dead after a cycle is gone. */
static bool heap_is_exact(const struct gcheap *heap)
{
	return heap_is_checked(heap) || heap->flags & GCHEAP_FAULT_FREED;
}

/* Whether a worker may sweep, while the program goes on: not when memory is wanted now. */
static bool sweep_may_be_background(const struct gcheap *heap, uint32_t pressure)
{
	return pressure == GCHEAP_PRESSURE_NONE && !limit_is_exceeded(heap) && !heap_is_exact(heap);
}

/* No worker took it: do what SWEEP_START would have done. What fails is done later. */
static void sweep_here(struct gcheap *heap, struct cycle *cycle)
{
	struct gcheap_reclaim reclaim = { .size = sizeof(reclaim), .max_pages = UINT64_MAX };
	uint64_t before = heap->view.ctrl->counters.freed_spans;

	backend_request(heap->backend, GCHEAP_OP_RECLAIM, &reclaim);
	cycle->freed_spans = heap->view.ctrl->counters.freed_spans - before;
}

/* What the pacer learns, as far as it is known. */
static struct pacer_cycle cycle_for_pacer(const struct cycle *cycle,
					  const struct mark_result *result)
{
	return (struct pacer_cycle) {
		.begin_ns = cycle->start_ns,
		.cost_ns = cycle->stop_ns + cycle->flush_ns + cycle->mark_ns + cycle->sweep_ns,
		.live_bytes = result->bytes,
		.root_bytes = cycle->root_bytes,
	};
}

static int sweep_start(struct gcheap *heap, struct cycle *cycle,
		       const struct mark_result *result, bool background)
{
	struct pacer_cycle paced = cycle_for_pacer(cycle, result);
	struct gcheap_sweep_start start = {
		.size = sizeof(start),
		.flags = background ? GCHEAP_SWEEP_START_LAZY : 0,
		.goal_bytes = pacer_goal(&heap->pacer, &paced, result->span_bytes),
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
	struct pacer_cycle paced = cycle_for_pacer(cycle, result);
	uint64_t pause = paced.cost_ns;

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
	cycle->arena_bytes = heap->arenas.live_bytes;
	pacer_cycle_ended(&heap->pacer, &paced);
}

static void cycle_verify(struct gcheap *heap)
{
	if (!verify_stopped(heap) || stop_kernel_check(heap))
		return;
	report("gcheap: corrupted heap: found after cycle %llu\n",
	       (unsigned long long)heap->stats.cycles);
	abort();
}

int collect_roots_are_known(const struct gcheap *heap, const struct thread *self)
{
	const struct thread *thread;

	for (thread = heap->world.threads; thread; thread = thread->next) {
		if (thread->frames_lost.count)
			return error_set(-ENOMEM, "there was no memory for the table of frames: no "
					 "cycle can run before the block of GCHEAP_FRAME has ended");
	}
	if (!loaded_is_known(heap, self))
		return error_set(-EOPNOTSUPP, "with this C library only the thread that added its "
				 "thread-local storage finds it: let it run the cycle, or attach no "
				 "other");
	if (heap->flags & GCHEAP_CONSERVATIVE_STACKS)
		return world_stacks_are_known(heap, self);
	return 0;
}

static int flush_all(struct gcheap *heap)
{
	struct thread *thread;

	for (thread = heap->world.threads; thread; thread = thread->next) {
		int error = flush_caches(thread);

		if (error)
			return error;
	}
	return 0;
}

/* Whether what is dead need not all be gone when the program goes on. */
static bool reason_is_of_growth(enum cycle_reason reason)
{
	return reason == CYCLE_GROWTH || reason == CYCLE_LIMIT || reason == CYCLE_PRESSURE ||
	       reason == CYCLE_IDLE;
}

/*
 * Until the sweep has begun. The lock of the specials is held: threads that are not attached wait
 * with what they say of objects until it is known which of these live.
 */
static int cycle_run_locked(struct gcheap *heap, struct thread *self, struct cycle *cycle,
			    struct mark_result *result)
{
	uint32_t pressure = pressure_cycle_begins(heap);
	uint64_t stopped = clock_ns();
	uint64_t flushed, marked;
	int error = flush_all(heap);

	cycle->stop_ns = stopped - cycle->start_ns;
	cycle->before_bytes = heap->pacer.live_bytes + pacer_taken(&heap->pacer);
	if (!error)
		error = mark_start(heap);
	if (error)
		return error;
	flushed = clock_ns();
	cycle->flush_ns = flushed - stopped;

	guard_reports(false);
	error = mark_all(heap, self, cycle, result);
	cycle->markers = mark_shares(heap->marker, cycle->shares, CYCLE_MARKERS);
	guard_reports(true);
	marked = clock_ns();
	cycle->mark_ns = marked - flushed;

	if (!error)
		error = stop_kernel_check(heap);
	if (error)
		return error;
	/* What has died may be gone when the sweep begins. */
	arenas_settle(heap);
	error = sweep_start(heap, cycle, result, cycle->is_sweep_background &&
			    sweep_may_be_background(heap, pressure));
	if (error)
		return error;
	if (heap->guard_bytes)
		guard_sweep(heap);
	pressure_cycle_ended(heap, pressure);
	limit_keep(heap);
	cycle->sweep_ns = clock_ns() - marked;
	return 0;
}

/* All other threads rest, and the caller's own is noted. */
static int cycle_run(struct gcheap *heap, struct thread *self, struct cycle *cycle)
{
	struct mark_result result = { 0 };
	int error;

	specials_lock(heap);
	error = cycle_run_locked(heap, self, cycle, &result);
	specials_trim(&heap->specials);
	specials_unlock(heap);
	if (error)
		return error;
	cycle_count(heap, cycle, &result);
	if (heap->flags & GCHEAP_VERIFY)
		cycle_verify(heap);
	return 0;
}

/**
 * struct stopped - a cycle, for who stops the threads for it
 * @thread: that which runs it
 * @cycle: what the log says
 * @error: how it went
 */
struct stopped {
	struct thread *thread;
	struct cycle *cycle;
	int error;
};

static void run_stopped(void *arg)
{
	struct stopped *stopped = arg;
	struct gcheap *heap = stopped->thread->heap;
	/* What the process uses from here on, markers included, the cycle does. */
	uint64_t cpu_ns = heap->trace_gc ? clock_process_ns() : 0;

	stopped->error = collect_roots_are_known(heap, stopped->thread);
	if (!stopped->error)
		stopped->error = cycle_run(heap, stopped->thread, stopped->cycle);
	if (heap->trace_gc)
		heap->cycle_cpu_ns += clock_process_ns() - cpu_ns;
}

/*
 * A function of its own, so that all of the caller's frame, where the registers are saved,
 * lies above its frame. @entry: what is below it on the stack is the library's. The world's
 * lock is held.
 */
static __attribute__((noinline))
int collect_below(struct thread *thread, const char *entry, enum cycle_reason reason)
{
	const char *sp = __builtin_frame_address(0);
	struct gcheap *heap = thread->heap;
	struct cycle cycle = { .reason = reason, .start_ns = clock_ns() };
	struct stopped stopped = { .thread = thread, .cycle = &cycle };

	if (!rest_note(thread, entry) && heap->flags & GCHEAP_CONSERVATIVE_STACKS)
		return stack_unknown(sp);
	thread->rest.sp = sp;
	/* A ring takes locks of the C library, which threads that are stopped may have. */
	cycle.is_sweep_background = reason_is_of_growth(reason) && !heap_is_exact(heap) &&
				    ctrl_load(&heap->view.ctrl->counters.spans) >=
				    BACKGROUND_SPANS &&
				    backend_can_sweep_in_background(heap->backend);
	mark_prepare(heap->marker);
	loaded_stop(heap, thread, run_stopped, &stopped);
	if (stopped.error)
		return stopped.error;
	arena_chunks_swept(heap);
	if (heap->trace_gc)
		cycle_log(heap, &cycle);
	hooks_note(heap, &cycle);
	return 0;
}

static __attribute__((noinline))
int collect_all(struct thread *thread, const char *entry, enum cycle_reason reason)
{
	int error;

	/* Callee-saved registers may hold the only pointer: push them all. */
	__builtin_unwind_init();
	error = collect_below(thread, entry, reason);
	/* No tail call: the frame must stand while the stack is scanned. */
	__asm__ volatile("" : : : "memory");
	return error;
}

__attribute__((noinline))
int collect_for_memory(struct thread *thread)
{
	const char *entry = __builtin_frame_address(0);
	int error;

	if (pacer_is_disabled(&thread->heap->pacer))
		return error_set(-ENOMEM, "out of memory, and no cycle may make room: the program "
				 "has called gcheap_disable(), and not gcheap_enable() yet");
	world_lock(thread->heap);
	error = collect_all(thread, entry, CYCLE_MEMORY);
	/* The kernel did not hold the threads long enough: the signal does. */
	if (error == -ETIMEDOUT)
		error = collect_all(thread, entry, CYCLE_MEMORY);
	hooks_unlock_world(thread);
	/* A hook may have called fork(). */
	return heap_is_here(thread->heap) ? error : heap_check(thread->heap);
}

/* Whether one should run before @bytes more are taken. */
static bool cycle_is_due(struct gcheap *heap, uint64_t bytes)
{
	return !pacer_is_disabled(&heap->pacer) &&
	       (pacer_is_due(&heap->pacer, bytes) || pressure_is_due(heap) ||
		pacer_is_idle(&heap->pacer, clock_coarse_ns()));
}

/* Why; the world's lock is held. */
static enum cycle_reason cycle_reason(struct gcheap *heap, uint64_t bytes)
{
	if (!cycle_is_due(heap, bytes))
		return CYCLE_NONE;
	if (pacer_is_due(&heap->pacer, bytes))
		return pacer_is_by_limit(&heap->pacer) ? CYCLE_LIMIT : CYCLE_GROWTH;
	return pressure_is_due(heap) ? CYCLE_PRESSURE : CYCLE_IDLE;
}

__attribute__((noinline))
int collect_before_alloc(struct thread *thread, uint64_t bytes)
{
	const char *entry = __builtin_frame_address(0);
	struct gcheap *heap = thread->heap;
	enum cycle_reason reason;
	int error = 0;

	world_poll();
	if (!cycle_is_due(heap, bytes))
		return 0;
	error_save();
	world_lock(heap);
	/* While this thread waited, another one may have run the cycle. */
	reason = cycle_reason(heap, bytes);
	if (reason)
		error = collect_all(thread, entry, reason);
	hooks_unlock_world(thread);
	if (!heap_is_here(heap))
		return heap_check(heap);
	/* These last, and the heap would grow to the end of its reserve. */
	if (error == -EINVAL || (error && thread->frames_lost.count))
		return error;
	if (error)
		error_restore();
	return 0;
}

/* Whether a thread of the program may run a cycle. */
static int thread_can_collect(const struct thread *thread)
{
	int error;

	if (!thread)
		return error_set(-EINVAL, "the thread is NULL: attach one with "
				 "gcheap_thread_attach()");
	error = heap_check(thread->heap);
	if (!error && thread_hindrance(thread))
		error = error_set(-EINVAL, "%s", thread_hindrance(thread));
	return error;
}

__attribute__((noinline))
int gcheap_collect(struct gcheap_thread *fast)
{
	LIBRARY_ENTRY;
	struct thread *thread = (struct thread *)fast;
	const char *entry = __builtin_frame_address(0);
	int error = thread_can_collect(thread);

	if (error)
		return error;
	world_lock(thread->heap);
	error = collect_all(thread, entry, CYCLE_REQUEST);
	hooks_unlock_world(thread);
	return error;
}

__attribute__((noinline))
int gcheap_is_reachable(struct gcheap_thread *fast, const void *obj)
{
	LIBRARY_ENTRY;
	struct thread *thread = (struct thread *)fast;
	const char *entry = __builtin_frame_address(0);
	struct gcheap *heap;
	uint64_t key;
	int error = thread_can_collect(thread);

	if (error)
		return error;
	heap = thread->heap;
	world_lock(heap);
	error = special_begin(heap, obj, &key);
	if (!error) {
		specials_unlock(heap);
		heap->probe = key;
		error = collect_all(thread, entry, CYCLE_REQUEST);
		heap->probe = 0;
	}
	if (!error)
		error = heap->probe_is_reached;
	hooks_unlock_world(thread);
	return error;
}
