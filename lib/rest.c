// SPDX-License-Identifier: MIT
/*
 * Rest: how a thread says that it does not touch a heap, and waits until it may again.
 */
#define _GNU_SOURCE
#include "rest.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "frame.h"
#include "stack.h"
#include "thread.h"

/* Looks before a thread that waits for another goes to sleep. */
#define SPINS	200u

__thread struct thread *rest_own_threads __attribute__((tls_model("initial-exec")));

/* ---- waiting for a word ------------------------------------------------------- */

void rest_word_wait(uint32_t *word, uint32_t value, uint64_t ns)
{
	struct timespec time = { .tv_sec = (time_t)(ns / 1000000000),
				 .tv_nsec = (long)(ns % 1000000000) };

	/* It has changed, a signal has come, or it was for nothing: the caller looks. */
	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, ns ? &time : NULL, NULL, 0);
}

void rest_word_wake(uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void word_wait_while(uint32_t *word, uint32_t value)
{
	unsigned int i;

	for (i = 0; i < SPINS; i++) {
		if (__atomic_load_n(word, __ATOMIC_SEQ_CST) != value)
			return;
		rest_relax();
	}
	while (__atomic_load_n(word, __ATOMIC_SEQ_CST) == value)
		rest_word_wait(word, value, 0);
}

/* ---- rest ---------------------------------------------------------------------- */

/* @signal, @known: as stack_at() has them. */
static bool note(struct thread *thread, const char *sp, const struct stack *signal,
		 const struct native_stack *known)
{
	struct rest *rest = &thread->rest;

	/* It is in the library, where no inline function is in the middle of anything. */
	thread->is_holding = false;
	rest->sp = sp;
	/* The handle may be another thread's, by mistake. */
	if (pthread_equal(thread->self, pthread_self()) &&
	    stack_at(thread, sp, signal, known, &rest->stack)) {
		frames_drop_ended(thread, sp, &rest->stack);
		return true;
	}
	rest->stack = (struct stack) { NULL, NULL };
	return false;
}

bool rest_note(struct thread *thread, const char *sp)
{
	struct stack signal = { NULL, NULL };

	stack_of_signals(sp, &signal);
	return note(thread, sp, &signal, NULL);
}

void rest_publish(struct thread *thread)
{
	thread->is_resting = true;
	__atomic_store_n(&thread->rest.state, THREAD_RESTS, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&thread->fast.stop, __ATOMIC_SEQ_CST))
		rest_word_wake(&thread->rest.state);
}

void rest_begin(const struct gcheap *heap, const char *sp)
{
	struct stack signal = { NULL, NULL };
	const struct native_stack *known = NULL;
	struct thread *thread;
	int error = errno;

	stack_of_signals(sp, &signal);
	for (thread = rest_own_threads; thread; thread = thread->own_next) {
		if (thread->is_parked || thread->heap == heap || !heap_is_here(thread->heap))
			continue;
		note(thread, sp, &signal, known);
		/* How far down the stack goes is asked for one of many heaps alone. */
		if (thread->rest.stack.top && thread->rest.stack.top == thread->native.top)
			known = &thread->native;
		rest_publish(thread);
	}
	errno = error;
}

static bool ends_with_others(const struct thread *thread)
{
	return thread->is_resting && !thread->is_parked;
}

/*
 * Has all run, or none: returns one that a cycle wants at rest. To wait for that with others
 * running already could wait for a thread that waits for those.
 */
static struct thread *end_all(void)
{
	struct thread *thread, *asked = NULL;

	for (thread = rest_own_threads; thread; thread = thread->own_next) {
		if (ends_with_others(thread))
			__atomic_store_n(&thread->rest.state, THREAD_RUNS, __ATOMIC_SEQ_CST);
	}
	for (thread = rest_own_threads; thread; thread = thread->own_next) {
		if (ends_with_others(thread) &&
		    __atomic_load_n(&thread->fast.stop, __ATOMIC_SEQ_CST))
			asked = thread;
	}
	for (thread = rest_own_threads; thread; thread = thread->own_next) {
		if (!ends_with_others(thread))
			continue;
		if (asked)
			rest_publish(thread);
		else
			thread->is_resting = false;
	}
	return asked;
}

void rest_end(void)
{
	struct thread *asked;
	int error = errno;

	while ((asked = end_all()))
		word_wait_while(&asked->fast.stop, 1);
	errno = error;
}

/* ---- the calling thread's handles --------------------------------------------------- */

struct thread *rest_self(const struct gcheap *heap)
{
	struct thread *thread = rest_own_threads;

	while (thread && thread->heap != heap)
		thread = thread->own_next;
	return thread;
}

void rest_own_remove(const struct thread *thread)
{
	struct thread **link = &rest_own_threads;

	while (*link && *link != thread)
		link = &(*link)->own_next;
	if (*link)
		*link = thread->own_next;
}

void rest_own_reap(void)
{
	struct thread **link = &rest_own_threads;

	while (*link) {
		struct thread *thread = *link;

		if (!__atomic_load_n(&thread->is_orphan, __ATOMIC_ACQUIRE)) {
			link = &thread->own_next;
			continue;
		}
		*link = thread->own_next;
		heap_put(thread->heap);
		free(thread->fast.frames);
		free(thread);
	}
}

void rest_own_add(struct thread *thread)
{
	rest_own_reap();
	thread->own_next = rest_own_threads;
	rest_own_threads = thread;
}
