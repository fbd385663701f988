// SPDX-License-Identifier: MIT
/*
 * The world: who is attached, who rests, and for whom.
 */
#define _GNU_SOURCE
#include "world.h"

#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "clock.h"
#include "entry.h"
#include "error.h"
#include "frame.h"
#include "late.h"
#include "stack.h"
#include "thread.h"

#define NOINLINE	__attribute__((noinline))

/* Looks before a thread that waits for another goes to sleep. */
#define SPINS	200u

/*
 * The calling system thread's handles, of all heaps, linked by struct thread.own_next. The
 * signal's handler reads them, where the loader must not be called to find them.
 */
static __thread struct thread *own_threads __attribute__((tls_model("initial-exec")));

/* ---- waiting for a word ------------------------------------------------------- */

/* At most @ns nanoseconds; 0: for as long as it takes. */
static void word_wait(uint32_t *word, uint32_t value, uint64_t ns)
{
	struct timespec time = { .tv_sec = (time_t)(ns / 1000000000),
				 .tv_nsec = (long)(ns % 1000000000) };

	/* It has changed, a signal has come, or it was for nothing: the caller looks. */
	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, ns ? &time : NULL, NULL, 0);
}

static void word_wake(uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void cpu_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static void word_wait_while(uint32_t *word, uint32_t value)
{
	unsigned int i;

	for (i = 0; i < SPINS; i++) {
		if (__atomic_load_n(word, __ATOMIC_SEQ_CST) != value)
			return;
		cpu_relax();
	}
	while (__atomic_load_n(word, __ATOMIC_SEQ_CST) == value)
		word_wait(word, value, 0);
}

/* ---- rest ---------------------------------------------------------------------- */

bool world_note(struct thread *thread, const char *sp)
{
	struct rest *rest = &thread->rest;

	/* It is in the library, where no inline function is in the middle of anything. */
	thread->is_holding = false;
	rest->sp = sp;
	if (stack_running(thread, sp, &rest->stack)) {
		frames_drop_ended(thread, sp, &rest->stack);
		return true;
	}
	rest->stack = (struct stack) { NULL, NULL };
	return false;
}

static void rest_begin(struct thread *thread, const char *sp)
{
	int error = errno;

	world_note(thread, sp);
	__atomic_store_n(&thread->rest.state, THREAD_RESTS, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&thread->fast.stop, __ATOMIC_SEQ_CST))
		word_wake(&thread->rest.state);
	errno = error;
}

static void rest_end(struct thread *thread)
{
	int error = errno;

	for (;;) {
		__atomic_store_n(&thread->rest.state, THREAD_RUNS, __ATOMIC_SEQ_CST);
		if (!__atomic_load_n(&thread->fast.stop, __ATOMIC_SEQ_CST))
			break;
		__atomic_store_n(&thread->rest.state, THREAD_RESTS, __ATOMIC_SEQ_CST);
		word_wake(&thread->rest.state);
		word_wait_while(&thread->fast.stop, 1);
	}
	errno = error;
}

/* ---- several heaps ------------------------------------------------------------- */

/* For all of the calling system thread's heaps but @heap: those not parked rest. */
static void others_begin(const struct gcheap *heap, const char *sp)
{
	struct thread *thread;

	for (thread = own_threads; thread; thread = thread->own_next) {
		if (thread->heap && thread->heap != heap && heap_is_here(thread->heap) &&
		    !thread->is_parked)
			rest_begin(thread, sp);
	}
}

static void others_end(const struct gcheap *heap)
{
	struct thread *thread;

	for (thread = own_threads; thread; thread = thread->own_next) {
		if (thread->heap && thread->heap != heap && heap_is_here(thread->heap) &&
		    !thread->is_parked)
			rest_end(thread);
	}
}

struct thread *world_self(const struct gcheap *heap)
{
	struct thread *thread = own_threads;

	while (thread && thread->heap != heap)
		thread = thread->own_next;
	return thread;
}

/* ---- the lock ------------------------------------------------------------------ */

static NOINLINE void lock_wait(struct gcheap *heap, struct thread *self)
{
	const char *sp = __builtin_frame_address(0);

	if (self)
		rest_begin(self, sp);
	others_begin(heap, sp);
	pthread_mutex_lock(&heap->world.lock);
	/* Who holds the lock is not asked to rest. */
	if (self)
		__atomic_store_n(&self->rest.state, THREAD_RUNS, __ATOMIC_SEQ_CST);
	others_end(heap);
}

NOINLINE void world_lock(struct gcheap *heap)
{
	struct thread *self;

	if (!pthread_mutex_trylock(&heap->world.lock))
		return;
	/* Callee-saved registers may hold the only pointer: push them all. */
	__builtin_unwind_init();
	self = world_self(heap);
	lock_wait(heap, self && !self->is_parked ? self : NULL);
	/* No tail call: the frame must stand while the stack is scanned. */
	__asm__ volatile("" : : : "memory");
}

void world_unlock(struct gcheap *heap)
{
	pthread_mutex_unlock(&heap->world.lock);
}

/* ---- the signal --------------------------------------------------------------------- */

/* The signal; 0: none is used, and threads stop by themselves alone. */
static int stop_signal;

/* From SIGRTMIN: debuggers, profilers and other libraries take the first ones. */
#define SIGNAL_FIRST	5

bool world_stops_by_signal(const struct gcheap *heap)
{
	return stop_signal && heap->stop_by_signal && heap->flags & GCHEAP_CONSERVATIVE_STACKS;
}

/* Bytes below the stack pointer that a function may use. */
#if defined(__x86_64__)
#define RED_ZONE	128u
#else
#define RED_ZONE	0u
#endif

static const char *context_stack_pointer(const ucontext_t *context)
{
#if defined(__x86_64__)
	return (const char *)context->uc_mcontext.gregs[REG_RSP];
#elif defined(__aarch64__)
	return (const char *)context->uc_mcontext.sp;
#else
	(void)context;
	return NULL;
#endif
}

static void context_registers(const ucontext_t *context, uintptr_t *registers)
{
#if defined(__x86_64__)
	_Static_assert(sizeof(context->uc_mcontext.gregs) <= REST_REGISTERS * sizeof(uintptr_t),
		       "there is room");
	memcpy(registers, context->uc_mcontext.gregs, sizeof(context->uc_mcontext.gregs));
#elif defined(__aarch64__)
	memcpy(registers, context->uc_mcontext.regs, sizeof(context->uc_mcontext.regs));
#else
	(void)context;
	(void)registers;
#endif
}

/* Stops a thread in the middle of the program, in the handler, until it may go on. */
static void stop_here(struct thread *thread, const ucontext_t *context)
{
	struct rest *rest = &thread->rest;

	/* The table of frames may be in the middle of a change: it is only read. */
	rest->sp = context_stack_pointer(context) - RED_ZONE;
	if (!stack_running(thread, rest->sp, &rest->stack))
		rest->stack = (struct stack) { NULL, NULL };
	context_registers(context, rest->registers);
	if (entry_state.entries != thread->entries)
		thread->is_holding = false;
	thread->entries = entry_state.entries;
	rest->is_anywhere = true;
	__atomic_store_n(&rest->state, THREAD_RESTS, __ATOMIC_SEQ_CST);
	word_wake(&rest->state);
	rest_end(thread);
	rest->is_anywhere = false;
	memset(rest->registers, 0, sizeof(rest->registers));
}

static void stop_handler(int number, siginfo_t *info, void *context)
{
	struct thread *thread;
	int error = errno;

	(void)number;
	(void)info;
	if (entry_state.depth) {
		entry_state.asked = 1;
		return;
	}
	for (thread = own_threads; thread; thread = thread->own_next) {
		if (thread->heap && heap_is_here(thread->heap) && !thread->is_parked &&
		    world_stops_by_signal(thread->heap) &&
		    __atomic_load_n(&thread->fast.stop, __ATOMIC_SEQ_CST))
			stop_here(thread, context);
	}
	errno = error;
}

/* A handler found the thread in the library, which it leaves now. */
static NOINLINE void leave(void)
{
	struct thread *thread;

	__builtin_unwind_init();
	entry_state.depth++;
	entry_state.asked = 0;
	for (thread = own_threads; thread; thread = thread->own_next) {
		if (thread->heap && heap_is_here(thread->heap) && !thread->is_parked &&
		    world_stops_by_signal(thread->heap))
			world_poll(thread);
	}
	entry_state.depth--;
	__asm__ volatile("" : : : "memory");
}

/* Whether nobody in the process has a handler for a signal, and now the library has. */
static bool signal_take(int number)
{
	struct sigaction action = {
		.sa_sigaction = stop_handler,
		.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK,
	};
	struct sigaction old;

	sigfillset(&action.sa_mask);
	if (sigaction(number, NULL, &old) || old.sa_flags & SA_SIGINFO ||
	    old.sa_handler != SIG_DFL)
		return false;
	return !sigaction(number, &action, NULL);
}

int world_choose_signal(int wanted)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	int error = 0;
	int number;

#if !defined(__x86_64__) && !defined(__aarch64__)
	/* Where registers are in a context is not known. */
	return 0;
#endif
	if (wanted < 0)
		return 0;
	pthread_mutex_lock(&lock);
	entry_leave = leave;
	if (stop_signal && wanted && stop_signal != wanted)
		error = error_set(-EBUSY, "signal %d stops the threads of this process already, it "
				  "cannot be %d", stop_signal, wanted);
	else if (!stop_signal && wanted && !signal_take(wanted))
		error = error_set(-EBUSY, "signal %d, which was to stop threads, has a handler "
				  "already: choose another one", wanted);
	else if (!stop_signal && wanted)
		stop_signal = wanted;
	for (number = SIGRTMIN + SIGNAL_FIRST; !error && !stop_signal && number <= SIGRTMAX;
	     number++) {
		if (signal_take(number))
			stop_signal = number;
	}
	pthread_mutex_unlock(&lock);
	return error;
}

/* ---- stopping all others --------------------------------------------------------- */

/* A thread that has a moment comes by itself; a signal costs it a few microseconds. */
#define WAIT_QUIETLY_NS		((uint64_t)20 * 1000)
/* Then it is asked, and again for as long as it does not come. */
#define WAIT_SIGNAL_NS		((uint64_t)100 * 1000 * 1000)
/* After so long somebody should know. */
#define WAIT_COMPLAIN_NS	((uint64_t)1000 * 1000 * 1000)

static void wait_for(struct thread *thread)
{
	uint32_t *state = &thread->rest.state;
	uint64_t begin = clock_ns();
	bool has_complained = false;
	uint64_t waited;

	while (__atomic_load_n(state, __ATOMIC_SEQ_CST) == THREAD_RUNS) {
		waited = clock_ns() - begin;
		if (waited < WAIT_QUIETLY_NS) {
			cpu_relax();
			continue;
		}
		if (world_stops_by_signal(thread->heap))
			syscall(SYS_tgkill, getpid(), thread->tid, stop_signal);
		if (waited > WAIT_COMPLAIN_NS && !has_complained) {
			has_complained = true;
			late_report(thread->tid);
		}
		word_wait(state, THREAD_RUNS, WAIT_SIGNAL_NS);
	}
}

static NOINLINE void stop_wait(struct gcheap *heap, const struct thread *self)
{
	struct thread *thread;

	others_begin(heap, __builtin_frame_address(0));
	for (thread = heap->world.threads; thread; thread = thread->next) {
		if (thread != self)
			__atomic_store_n(&thread->fast.stop, 1, __ATOMIC_SEQ_CST);
	}
	for (thread = heap->world.threads; thread; thread = thread->next) {
		if (thread != self)
			wait_for(thread);
	}
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

NOINLINE void world_stop(struct gcheap *heap, const struct thread *self)
{
	/* For the other heaps that the calling thread is attached to. */
	__builtin_unwind_init();
	stop_wait(heap, self);
	__asm__ volatile("" : : : "memory");
}

void world_start(struct gcheap *heap, const struct thread *self)
{
	struct thread *thread;

	for (thread = heap->world.threads; thread; thread = thread->next) {
		if (thread == self)
			continue;
		__atomic_store_n(&thread->fast.stop, 0, __ATOMIC_SEQ_CST);
		word_wake(&thread->fast.stop);
	}
	others_end(heap);
}

/* ---- the program's side ----------------------------------------------------------- */

static NOINLINE void poll_rest(struct thread *thread)
{
	const char *sp = __builtin_frame_address(0);

	others_begin(thread->heap, sp);
	rest_begin(thread, sp);
	rest_end(thread);
	others_end(thread->heap);
}

NOINLINE void world_poll(struct thread *thread)
{
	if (!__atomic_load_n(&thread->fast.stop, __ATOMIC_RELAXED))
		return;
	__builtin_unwind_init();
	poll_rest(thread);
	__asm__ volatile("" : : : "memory");
}

/* Whether a handle can be used: it is one, of a heap that is here. */
static bool thread_is_usable(const struct thread *thread)
{
	return thread && thread->heap && heap_is_here(thread->heap);
}

void gcheap_safepoint_slow_(struct gcheap_thread *fast)
{
	LIBRARY_ENTRY;
	struct thread *thread = (struct thread *)fast;

	if (thread_is_usable(thread) && !thread->is_parked)
		world_poll(thread);
}

/* @frame: of gcheap_park(), which is gone when the thread is parked: it is copied. */
static NOINLINE __attribute__((no_sanitize("address")))
void park_below(struct thread *thread, const uintptr_t *frame)
{
	const uintptr_t *words = __builtin_frame_address(0);
	uintptr_t *registers = thread->rest.registers;
	size_t i;

	for (i = 0; i < REST_REGISTERS && words <= frame; i++)
		registers[i] = *words++;
	thread->is_parked = true;
	rest_begin(thread, (const char *)frame);
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

void gcheap_unpark(struct gcheap_thread *fast)
{
	LIBRARY_ENTRY;
	struct thread *thread = (struct thread *)fast;

	if (!thread_is_usable(thread) || !thread->is_parked)
		return;
	rest_end(thread);
	memset(thread->rest.registers, 0, sizeof(thread->rest.registers));
	thread->is_parked = false;
}

/* ---- who is attached ---------------------------------------------------------------- */

struct thread *world_own_first(void)
{
	return own_threads;
}

void world_own_remove(const struct thread *thread)
{
	struct thread **link = &own_threads;

	while (*link && *link != thread)
		link = &(*link)->own_next;
	if (*link)
		*link = thread->own_next;
}

/* Handles of heaps that another thread has closed. */
static void own_reap(void)
{
	struct thread **link = &own_threads;

	while (*link) {
		struct thread *thread = *link;

		if (__atomic_load_n(&thread->heap, __ATOMIC_ACQUIRE)) {
			link = &thread->own_next;
			continue;
		}
		*link = thread->own_next;
		free(thread);
	}
}

void world_attach(struct thread *thread)
{
	struct world *world = &thread->heap->world;

	own_reap();
	world_lock(thread->heap);
	thread->next = world->threads;
	__atomic_store_n(&world->threads, thread, __ATOMIC_RELEASE);
	world_unlock(thread->heap);
	thread->own_next = own_threads;
	own_threads = thread;
}

void world_detach(struct thread *thread)
{
	struct thread **link = &thread->heap->world.threads;

	while (*link != thread)
		link = &(*link)->next;
	*link = thread->next;
}
