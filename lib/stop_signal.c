// SPDX-License-Identifier: MIT
/*
 * The signal that stops threads in the middle of the program.
 *
 * Its handler takes no lock: whoever has one may wait for what this thread has. It notes where
 * the thread is, and leaves it to the collector to find out on which stack that is.
 */
#define _GNU_SOURCE
#include "stop_signal.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "entry.h"
#include "error.h"
#include "rest.h"
#include "stack.h"
#include "thread.h"

/* 0: none is used, and threads stop by themselves alone. */
static int stop_signal;

/* From SIGRTMIN: debuggers, profilers and other libraries take the first ones. */
#define SIGNAL_FIRST	5

/* What the kernel saves of an x86-64 processor's vector registers: <asm/sigcontext.h>. */
#define VECTOR_BYTES		512u
#define VECTOR_END_BYTES	48u
#define VECTOR_MAGIC		0x46505853u

int stop_signal_number(void)
{
	return stop_signal;
}

bool stop_signal_is_used(const struct gcheap *heap)
{
	return stop_signal && heap->stop_by_signal && heap->flags & GCHEAP_CONSERVATIVE_STACKS;
}

bool stop_signal_send(const struct thread *thread)
{
	/* It may have ended already: it was detached then. */
	return !syscall(SYS_tgkill, getpid(), thread->tid, stop_signal) || errno != EAGAIN;
}

/* ---- the handler -------------------------------------------------------------------- */

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

/*
 * Where the kernel has put vector registers: compilers move pairs of pointers by them, and so does
 * memmove(). On x86-64 what is saved of them follows the 512 bytes that all processors have; the
 * last of these say how far.
 */
static void context_vector(const ucontext_t *context, struct rest *rest)
{
#if defined(__x86_64__)
	const struct {
		uint32_t magic, extended_bytes;
		uint64_t features;
		uint32_t bytes;
	} *end;
	const char *start = (const char *)context->uc_mcontext.fpregs;

	rest->vector = start;
	rest->vector_bytes = start ? VECTOR_BYTES : 0;
	if (!start)
		return;
	end = (const void *)(start + VECTOR_BYTES - VECTOR_END_BYTES);
	if (end->magic == VECTOR_MAGIC && end->bytes > VECTOR_BYTES)
		rest->vector_bytes = end->bytes;
#elif defined(__aarch64__)
	rest->vector = context->uc_mcontext.__reserved;
	rest->vector_bytes = sizeof(context->uc_mcontext.__reserved);
#else
	(void)context;
	(void)rest;
#endif
}

/* Notes where a thread is in the middle of the program. */
static void note_here(struct thread *thread, const ucontext_t *context, const struct stack *signal)
{
	struct rest *rest = &thread->rest;

	/* The table of frames may be in the middle of a change: it is only read. */
	rest->sp = context_stack_pointer(context) - RED_ZONE;
	rest->stack = *signal;
	context_registers(context, rest->registers);
	context_vector(context, rest);
	if (entry_state.entries != thread->entries)
		thread->is_holding = false;
	thread->entries = entry_state.entries;
	rest->is_anywhere = true;
}

/* Whether a signal may stop the calling thread for a handle's heap. */
static bool may_stop(const struct thread *thread)
{
	return !thread->is_parked && heap_is_here(thread->heap) &&
	       stop_signal_is_used(thread->heap);
}

static bool is_asked(void)
{
	const struct thread *thread;

	for (thread = rest_own_threads; thread; thread = thread->own_next) {
		/* Who asks has the world's lock: the heap is there. */
		if (__atomic_load_n(&thread->fast.stop, __ATOMIC_SEQ_CST) && may_stop(thread))
			return true;
	}
	return false;
}

static void stop_here(const ucontext_t *context)
{
	struct stack signal = { NULL, NULL };
	struct thread *thread;

	stack_of_signals(context_stack_pointer(context), &signal);
	for (thread = rest_own_threads; thread; thread = thread->own_next) {
		if (!may_stop(thread))
			continue;
		note_here(thread, context, &signal);
		rest_publish(thread);
	}
	rest_end();
	for (thread = rest_own_threads; thread; thread = thread->own_next) {
		if (!thread->rest.is_anywhere)
			continue;
		thread->rest.is_anywhere = false;
		memset(thread->rest.registers, 0, sizeof(thread->rest.registers));
		thread->rest.vector = NULL;
		thread->rest.vector_bytes = 0;
	}
}

static void stop_handler(int number, siginfo_t *info, void *context)
{
	int error = errno;

	(void)number;
	(void)info;
	if (entry_state.depth) {
		entry_state.asked = 1;
	} else {
		/* Whoever stops it here by other means (stop_kernel.h) leaves it alone. */
		entry_state.depth++;
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
		if (is_asked())
			stop_here(context);
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
		entry_state.depth--;
	}
	errno = error;
}

/* ---- which one it is ------------------------------------------------------------------ */

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

int stop_signal_choose(int wanted, void (*leave)(void))
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
	__atomic_store_n(&entry_leave, leave, __ATOMIC_RELAXED);
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
