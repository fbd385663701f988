// SPDX-License-Identifier: MIT
/*
 * The world: who is attached, who rests, and for whom.
 */
#include "world.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "entry.h"
#include "error.h"
#include "late.h"
#include "rest.h"
#include "stack.h"
#include "stop_kernel.h"
#include "stop_signal.h"
#include "thread.h"

#define NOINLINE	__attribute__((noinline))

/* ---- the lock ------------------------------------------------------------------ */

static NOINLINE void lock_wait(struct gcheap *heap)
{
	rest_begin(NULL, __builtin_frame_address(0));
	pthread_mutex_lock(&heap->world.lock);
	/* Who holds the lock is not asked to rest for this heap, but may be for others. */
	rest_end();
}

NOINLINE void world_lock(struct gcheap *heap)
{
	if (!pthread_mutex_trylock(&heap->world.lock))
		return;
	/* Callee-saved registers may hold the only pointer: push them all. */
	__builtin_unwind_init();
	lock_wait(heap);
	/* No tail call: the frame must stand while the stack is scanned. */
	__asm__ volatile("" : : : "memory");
}

void world_unlock(struct gcheap *heap)
{
	pthread_mutex_unlock(&heap->world.lock);
}

/* ---- stopping all others --------------------------------------------------------- */

/* A thread that has a moment comes by itself; a signal costs it a few microseconds. */
#define WAIT_QUIETLY_NS		((uint64_t)20 * 1000)
/* For who does not come others wait so long at first, and twice as long each time ... */
#define PATIENCE_NS		((uint64_t)100 * 1000 * 1000)
/* ... up to so long. */
#define PATIENCE_MOST_NS	((uint64_t)10 * 1000 * 1000 * 1000)
/* When a signal could not be sent, it is tried again. */
#define WAIT_SEND_NS		((uint64_t)1000 * 1000)
/* Who is in the library leaves it soon; those held go on for so long, and then twice as long ... */
#define WAIT_HOLD_NS		((uint64_t)20 * 1000)
/* ... up to so long. */
#define WAIT_HOLD_MOST_NS	((uint64_t)2 * 1000 * 1000)
/* So long the kernel may be busy with another heap's stop before this one goes by the signal. */
#define WAIT_BUSY_NS		((uint64_t)10 * 1000 * 1000)
/* After so long somebody should know. */
#define COMPLAIN_NS		((uint64_t)1000 * 1000 * 1000)

static void ask_all(const struct world_wait *wait)
{
	struct thread *thread;

	for (thread = wait->heap->world.threads; thread; thread = thread->next) {
		if (thread == wait->self)
			continue;
		thread->rest.is_signalled = false;
		__atomic_store_n(&thread->fast.stop, 1, __ATOMIC_SEQ_CST);
	}
}

/* One that runs still; NULL: all rest. */
static struct thread *any_running(const struct world_wait *wait)
{
	struct thread *thread = wait->heap->world.threads;

	while (thread && (thread == wait->self || !thread_is_running(thread)))
		thread = thread->next;
	return thread;
}

/* To all at once: of threads that share a processor, each stops as soon as it is its turn. */
static void signal_all(const struct world_wait *wait)
{
	struct thread *thread;

	for (thread = wait->heap->world.threads; thread; thread = thread->next) {
		if (thread != wait->self && !thread->rest.is_signalled && thread_is_running(thread))
			thread->rest.is_signalled = stop_signal_send(thread);
	}
}

static void complain(struct world_wait *wait, const struct thread *thread)
{
	const struct late late = {
		.tid = thread->tid,
		.signal = stop_signal_is_used(wait->heap) ? stop_signal_number() : 0,
		.is_unsent = !wait->by_kernel && !thread->rest.is_signalled,
		.entry = thread->entry,
	};

	wait->has_complained = true;
	late_report(&late);
}

/*
 * Has the kernel hold all that run; or none, and then @late is one to be waited for. When it does
 * not do it, this stop goes by the signal.
 */
static bool hold_all(struct world_wait *wait, struct thread **late)
{
	switch (stop_kernel_try(wait->heap, wait->self, late)) {
	case STOP_KERNEL_HOLDS:
		return true;
	case STOP_KERNEL_IS_BUSY:
		wait->by_kernel = clock_ns() - wait->begin_ns < WAIT_BUSY_NS;
		return false;
	case STOP_KERNEL_WAITS:
		return false;
	default:
		wait->by_kernel = false;
		return false;
	}
}

/* Until @end, or the time to complain. */
static bool wait_for_all(struct world_wait *wait, uint64_t end)
{
	uint64_t hold_ns = WAIT_HOLD_NS;
	struct thread *thread;
	uint64_t now, most;
	bool signals;

	while ((thread = any_running(wait))) {
		if (wait->by_kernel && hold_all(wait, &thread))
			break;
		signals = !wait->by_kernel && stop_signal_is_used(wait->heap);
		if (signals)
			signal_all(wait);
		now = clock_ns();
		if (!wait->has_complained && now >= wait->begin_ns + COMPLAIN_NS)
			complain(wait, thread);
		if (now >= end)
			return false;
		most = end - now;
		if (!wait->has_complained && wait->begin_ns + COMPLAIN_NS - now < most)
			most = wait->begin_ns + COMPLAIN_NS - now;
		if (signals && !thread->rest.is_signalled && most > WAIT_SEND_NS)
			most = WAIT_SEND_NS;
		if (wait->by_kernel && hold_ns < most)
			most = hold_ns;
		if (hold_ns < WAIT_HOLD_MOST_NS)
			hold_ns *= 2;
		rest_word_wait(&thread->rest.state, THREAD_RUNS, most);
	}
	return true;
}

/* On which stacks threads are that a signal stopped: their handlers take no lock to find out. */
static void stacks_find(const struct world_wait *wait)
{
	struct thread *thread;

	for (thread = wait->heap->world.threads; thread; thread = thread->next) {
		struct rest *rest = &thread->rest;
		struct stack found = { NULL, NULL };

		/* Of those that the kernel holds it is known. */
		if (thread == wait->self || !rest->is_anywhere || rest->held)
			continue;
		stack_at(thread, rest->sp, &rest->stack, NULL, &found);
		rest->stack = found;
	}
}

/*
 * What the caller has in registers may be all that leads to an object of another of its heaps.
 * It is on the stack above this function's frame, and up to @frame, which will be gone.
 */
static NOINLINE __attribute__((no_sanitize("address")))
void others_begin(struct gcheap *heap, const uintptr_t *frame)
{
	const uintptr_t *words = __builtin_frame_address(0);
	struct thread *thread;
	size_t i;

	for (thread = rest_own_threads; thread; thread = thread->own_next) {
		if (thread->is_parked || thread->heap == heap)
			continue;
		for (i = 0; i < REST_REGISTERS && words + i <= frame; i++)
			thread->rest.registers[i] = words[i];
	}
	rest_begin(heap, (const char *)frame);
}

NOINLINE void world_stop_begin(struct world_wait *wait, struct gcheap *heap,
			       const struct thread *self)
{
	*wait = (struct world_wait) {
		.heap = heap, .self = self, .begin_ns = clock_ns(), .patience_ns = PATIENCE_NS,
		.by_kernel = stop_kernel_is_used(heap),
	};
	/* For the other heaps that the calling thread is attached to. */
	__builtin_unwind_init();
	others_begin(heap, __builtin_frame_address(0));
	__asm__ volatile("" : : : "memory");
}

bool world_stop_try(struct world_wait *wait)
{
	uint64_t begin = clock_ns();

	ask_all(wait);
	while (any_running(wait) && clock_ns() - begin < WAIT_QUIETLY_NS)
		rest_relax();
	if (!wait_for_all(wait, begin + wait->patience_ns))
		return false;
	stacks_find(wait);
	return true;
}

void world_stop_pause(struct world_wait *wait)
{
	struct thread *late = any_running(wait);
	struct thread *thread;

	for (thread = wait->heap->world.threads; thread; thread = thread->next) {
		if (thread == wait->self || thread_is_running(thread) || !thread->rest.is_anywhere)
			continue;
		__atomic_store_n(&thread->fast.stop, 0, __ATOMIC_SEQ_CST);
		rest_word_wake(&thread->fast.stop);
	}
	if (late)
		rest_word_wait(&late->rest.state, THREAD_RUNS, wait->patience_ns / 2);
	if (wait->patience_ns < PATIENCE_MOST_NS)
		wait->patience_ns *= 2;
}

void world_stop(struct gcheap *heap, const struct thread *self)
{
	const struct thread *first = heap->world.threads;
	struct world_wait wait;

	/* Who waits for nobody is soon done: the others of its heaps can wait for it. */
	if (!first || (first == self && !first->next))
		return;
	world_stop_begin(&wait, heap, self);
	while (!world_stop_try(&wait))
		world_stop_pause(&wait);
}

int world_stacks_are_known(const struct gcheap *heap, const struct thread *self)
{
	const struct thread *thread;

	for (thread = heap->world.threads; thread; thread = thread->next) {
		if (thread != self && !thread->rest.stack.top)
			return error_set(-EINVAL, "thread %d rests on another stack (at %p) than "
					 "its own and those that were declared: declare it with "
					 "gcheap_stack_add(), or open the heap without "
					 "GCHEAP_CONSERVATIVE_STACKS and use frames", thread->tid,
					 (const void *)thread->rest.sp);
	}
	return 0;
}

void world_start(struct gcheap *heap, const struct thread *self)
{
	struct thread *thread;

	for (thread = heap->world.threads; thread; thread = thread->next) {
		if (thread == self)
			continue;
		__atomic_store_n(&thread->fast.stop, 0, __ATOMIC_SEQ_CST);
		rest_word_wake(&thread->fast.stop);
	}
	stop_kernel_end(heap);
	rest_end();
	for (thread = rest_own_threads; thread; thread = thread->own_next) {
		if (!thread->is_parked)
			memset(thread->rest.registers, 0, sizeof(thread->rest.registers));
	}
}

/* ---- the signal ------------------------------------------------------------------- */

/* A handler found the thread in the library, which it leaves now. */
static NOINLINE void leave(void)
{
	__builtin_unwind_init();
	entry_state.depth++;
	entry_state.asked = 0;
	world_poll();
	entry_state.depth--;
	__asm__ volatile("" : : : "memory");
}

int world_choose_signal(int wanted)
{
	return stop_signal_choose(wanted, leave);
}

/* ---- the program's side ----------------------------------------------------------- */

static NOINLINE void poll_rest(void)
{
	rest_begin(NULL, __builtin_frame_address(0));
	rest_end();
}

/* Whether a cycle of one of the calling thread's heaps wants it at rest. */
static bool is_asked(void)
{
	const struct thread *thread = rest_own_threads;

	/* In the child of a fork() nobody asks, whatever was asked before it. */
	while (thread && (!__atomic_load_n(&thread->fast.stop, __ATOMIC_RELAXED) ||
			  thread->is_parked || !heap_is_here(thread->heap)))
		thread = thread->own_next;
	return thread;
}

NOINLINE void world_poll(void)
{
	if (!is_asked())
		return;
	__builtin_unwind_init();
	poll_rest();
	__asm__ volatile("" : : : "memory");
}

/* Whether a handle can be used: it is one, of a heap that is here. */
static bool thread_is_usable(const struct thread *thread)
{
	return thread && heap_is_here(thread->heap);
}

void gcheap_safepoint_slow_(struct gcheap_thread *fast)
{
	LIBRARY_ENTRY;
	struct thread *thread = (struct thread *)fast;

	if (thread_is_usable(thread) && !thread->is_parked)
		world_poll();
}

/* @frame: of gcheap_park(), which is gone when the thread is parked: it is copied. */
static NOINLINE __attribute__((no_sanitize("address")))
void park_below(struct thread *thread, const uintptr_t *frame)
{
	const uintptr_t *words = __builtin_frame_address(0);
	uintptr_t *registers = thread->rest.registers;
	int error = errno;
	size_t i;

	for (i = 0; i < REST_REGISTERS && words <= frame; i++)
		registers[i] = *words++;
	thread->is_parked = true;
	rest_note(thread, (const char *)frame);
	rest_publish(thread);
	/* What the program was about to say of its own last call. */
	errno = error;
}

NOINLINE void gcheap_park(struct gcheap_thread *fast)
{
	LIBRARY_ENTRY;
	struct thread *thread = (struct thread *)fast;

	if (!thread_is_usable(thread) || thread->is_parked)
		return;
	/* Those that the caller finds unchanged when this returns are in this frame. */
	__builtin_unwind_init();
	park_below(thread, __builtin_frame_address(0));
	__asm__ volatile("" : : : "memory");
}

static NOINLINE void unpark_below(struct thread *thread)
{
	rest_begin(NULL, __builtin_frame_address(0));
	thread->is_parked = false;
	rest_end();
}

NOINLINE void gcheap_unpark(struct gcheap_thread *fast)
{
	LIBRARY_ENTRY;
	struct thread *thread = (struct thread *)fast;

	if (!thread_is_usable(thread) || !thread->is_parked)
		return;
	__builtin_unwind_init();
	unpark_below(thread);
	__asm__ volatile("" : : : "memory");
	memset(thread->rest.registers, 0, sizeof(thread->rest.registers));
}

/* ---- who is attached ---------------------------------------------------------------- */

void world_attach(struct thread *thread)
{
	struct world *world = &thread->heap->world;

	world_lock(thread->heap);
	thread->next = world->threads;
	__atomic_store_n(&world->threads, thread, __ATOMIC_RELEASE);
	world_unlock(thread->heap);
	rest_own_add(thread);
}

void world_detach(struct thread *thread)
{
	struct thread **link = &thread->heap->world.threads;

	while (*link != thread)
		link = &(*link)->next;
	*link = thread->next;
}
