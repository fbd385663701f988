// SPDX-License-Identifier: MIT
/*
 * The library's own thread that runs finalizers.
 *
 * There is one of a heap at most. It is made when something is queued, and is attached like any
 * thread of the program; while it has nothing to do it is parked, and cycles do not wait for it. It
 * ends when the heap is closed, when no thread of the program is attached any more, and when a
 * finalizer ends it: whoever queues something then, or its own end, makes another one.
 *
 *	is_there	1 from before it is made until it has detached: only one can be made at a
 *			time, and who closes the heap waits for 0
 *	work		1: look at the queue. Set behind what is queued, cleared before a look, so
 *			that none is missed
 *	quits		set for good by close. Who has set is_there looks at it once more: either
 *			close sees that word, or this one is seen
 *
 * Each joins the one before it, and close the last.
 */
#define _GNU_SOURCE
#include "finalizer_thread.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "entry.h"
#include "finalizer.h"
#include "rest.h"
#include "stop_signal.h"
#include "thread.h"
#include "world.h"

/* 15 characters at most. */
#define NAME	"gcheap-finalize"

/**
 * struct run - one life of the thread, on its stack
 * @heap: whose finalizers it runs
 * @pid: the process that it was made in; in a child of fork() nothing of the heap is touched
 * @failed: it could not do its work: that is left to the thread which a later cycle makes
 * @returned: no function that it ran has ended it
 */
struct run {
	struct gcheap *heap;
	pid_t pid;
	bool failed;
	bool returned;
};

/* ---- the words ------------------------------------------------------------------------ */

static bool quits(const struct finalizer_thread *state)
{
	return __atomic_load_n(&state->quits, __ATOMIC_SEQ_CST);
}

static void release(struct finalizer_thread *state)
{
	__atomic_store_n(&state->is_there, 0, __ATOMIC_SEQ_CST);
	rest_word_wake(&state->is_there);
}

/* The caller may make the thread, and nobody else. */
static bool claim(struct finalizer_thread *state)
{
	uint32_t none = 0;

	if (!__atomic_compare_exchange_n(&state->is_there, &none, 1, 0, __ATOMIC_SEQ_CST,
					 __ATOMIC_SEQ_CST))
		return false;
	if (!quits(state))
		return true;
	release(state);
	return false;
}

/* ---- the thread ------------------------------------------------------------------------- */

/* Its handle; NULL: it could not be attached. */
static struct thread *self_attach(struct gcheap *heap)
{
	struct thread *thread = rest_self(heap);
	struct gcheap_thread *fast;

	if (thread)
		return thread;
	/* It is new, or a finalizer has detached it. */
	return gcheap_thread_attach(heap, &fast) ? NULL : (struct thread *)fast;
}

/* Whether there is nobody any more for whom to wait for work. */
static bool is_alone(struct gcheap *heap)
{
	LIBRARY_ENTRY;
	bool is;

	world_lock(heap);
	is = !thread_any_of_program(heap);
	world_unlock(heap);
	return is;
}

static void wait_for_work(struct thread *thread)
{
	struct finalizer_thread *state = &thread->heap->finalizer_thread;

	gcheap_park(&thread->fast);
	while (!__atomic_load_n(&state->work, __ATOMIC_SEQ_CST))
		rest_word_wait(&state->work, 0, 0);
	gcheap_unpark(&thread->fast);
}

/* Runs what is queued, and waits for more. False: it is to end. */
static bool work(struct run *run)
{
	struct gcheap *heap = run->heap;
	struct finalizer_thread *state = &heap->finalizer_thread;
	struct thread *thread = self_attach(heap);

	run->failed = !thread;
	if (!thread)
		return false;
	/* A finalizer may have parked it. */
	gcheap_unpark(&thread->fast);
	__atomic_store_n(&state->work, 0, __ATOMIC_SEQ_CST);
	run->failed = finalizers_run(thread, &state->quits) < 0;
	if (run->failed || getpid() != run->pid || quits(state))
		return false;
	if (rest_self(heap) != thread || finalizers_any_queued(heap))
		return true;
	if (is_alone(heap))
		return false;
	wait_for_work(thread);
	return !quits(state);
}

static void thread_make(struct gcheap *heap);

/* Also when a function that it ran has ended it. */
static void thread_ended(void *arg)
{
	struct run *run = arg;
	struct gcheap *heap = run->heap;
	struct finalizer_thread *state = &heap->finalizer_thread;

	thread_end_self();
	/* The parent's thread is another one. */
	if (getpid() != run->pid)
		return;
	if (!run->returned)
		__atomic_store_n(&state->work, 1, __ATOMIC_SEQ_CST);
	thread_serve(NULL);
	release(state);
	/* For what was queued since, or is left. Close waits for the end of this thread, too. */
	if (!run->failed && __atomic_load_n(&state->work, __ATOMIC_SEQ_CST))
		thread_make(heap);
}

static void stop_signal_allow(void)
{
	sigset_t set;

	if (!stop_signal_number())
		return;
	sigemptyset(&set);
	sigaddset(&set, stop_signal_number());
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void *thread_main(void *arg)
{
	struct run run = { .heap = arg, .pid = getpid() };
	struct finalizer_thread *state = &run.heap->finalizer_thread;

	if (state->was_made)
		pthread_join(state->thread, NULL);
	state->thread = pthread_self();
	state->was_made = true;
	thread_serve(run.heap);
	pthread_cleanup_push(thread_ended, &run);
	/* A finalizer that computes is stopped like the program. */
	stop_signal_allow();
	pthread_setname_np(pthread_self(), NAME);
	while (work(&run))
		;
	run.returned = true;
	pthread_cleanup_pop(1);
	return NULL;
}

/*
 * Signals are blocked there that another thread of the program can have as well. Those that tell of
 * what a function does there are not: the kernel ends the process where they are blocked, and who
 * would report a bug is not asked.
 */
static void signals_choose(sigset_t *blocked)
{
	static const int own[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS };
	size_t i;

	sigfillset(blocked);
	for (i = 0; i < sizeof(own) / sizeof(*own); i++)
		sigdelset(blocked, own[i]);
}

/* Unless there is one. Its stack is as large as others'. */
static void thread_make(struct gcheap *heap)
{
	struct finalizer_thread *state = &heap->finalizer_thread;
	sigset_t blocked, before;
	pthread_t thread;

	if (!claim(state))
		return;
	signals_choose(&blocked);
	pthread_sigmask(SIG_SETMASK, &blocked, &before);
	if (pthread_create(&thread, NULL, thread_main, heap))
		release(state);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* ---- the others' side --------------------------------------------------------------------- */

void finalizer_thread_call_slow(struct gcheap *heap)
{
	int error = errno;

	/* A hook, or whatever else ran meanwhile, may have called fork(). */
	if (!heap_is_here(heap) || !finalizers_any_queued(heap))
		return;
	finalizers_wake(heap);
	thread_make(heap);
	errno = error;
}

bool finalizer_thread_is_self(const struct gcheap *heap)
{
	return thread_serves(heap);
}

static __attribute__((noinline)) void wait_at_rest(struct finalizer_thread *state)
{
	rest_begin(NULL, __builtin_frame_address(0));
	while (__atomic_load_n(&state->is_there, __ATOMIC_SEQ_CST))
		rest_word_wait(&state->is_there, 1, 0);
	if (state->was_made)
		pthread_join(state->thread, NULL);
	rest_end();
}

__attribute__((noinline))
void finalizer_thread_end(struct gcheap *heap)
{
	struct finalizer_thread *state = &heap->finalizer_thread;

	__atomic_store_n(&state->quits, 1, __ATOMIC_SEQ_CST);
	finalizers_wake(heap);
	/* What runs there may collect: what the caller has in registers is found in this frame. */
	__builtin_unwind_init();
	wait_at_rest(state);
	__asm__ volatile("" : : : "memory");
}
