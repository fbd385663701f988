// SPDX-License-Identifier: MIT
/*
 * Stacks: native, declared, and on which one a thread is.
 */
#define _GNU_SOURCE
#include "stack.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

#include "error.h"
#include "guard.h"
#include "memory.h"
#include "thread.h"

/* ---- the native stack ----------------------------------------------------------- */

/* The stack pointer of the process's first instruction. */
extern void *__libc_stack_end __attribute__((weak));

static uintptr_t page_floor(uintptr_t at)
{
	return at & ~(uintptr_t)(sysconf(_SC_PAGESIZE) - 1);
}

/* Whether all pages from that of @low to that before @top are mapped. */
static bool range_is_mapped(const char *low, const char *top)
{
	unsigned char pages[256];
	uintptr_t start = page_floor((uintptr_t)low), end = page_floor((uintptr_t)top);
	uintptr_t most = sizeof(pages) * (uintptr_t)sysconf(_SC_PAGESIZE);

	for (; start < end; start += most) {
		uintptr_t bytes = end - start < most ? end - start : most;

		/* What it tells of the pages does not matter: it fails at a hole. */
		if (mincore((void *)start, bytes, pages))
			return false;
	}
	return true;
}

bool stack_byte_is_readable(const char *at)
{
	char byte;
	struct iovec to = { &byte, 1 };
	struct iovec from = { (void *)at, 1 };

	return process_vm_readv(getpid(), &to, 1, &from, 1, 0) != -1 || errno != EFAULT;
}

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ	22
#endif

const char *stack_readable_end(const char *low, const char *top)
{
	enum { PROBES = 64 };
	struct iovec from[PROBES];
	char read[PROBES];
	struct iovec to = { read, sizeof(read) };
	uintptr_t start = page_floor((uintptr_t)low);

	/* One call for all pages, since Linux 5.14; which page it is the others tell. */
	if (!madvise((void *)start, (uintptr_t)top - start, MADV_POPULATE_READ))
		return top;
	while (low < top) {
		unsigned long pages;
		ssize_t bytes;

		for (pages = 0; pages < PROBES && low < top; pages++) {
			from[pages] = (struct iovec) { (void *)low, 1 };
			low = (const char *)page_floor((uintptr_t)low + sysconf(_SC_PAGESIZE));
		}
		bytes = process_vm_readv(getpid(), &to, 1, from, pages, 0);
		/* Where nobody may ask, all is taken to be there. */
		if (bytes == -1 && errno != EFAULT)
			return top;
		if (bytes < (ssize_t)pages)
			return from[bytes < 0 ? 0 : bytes].iov_base;
	}
	return top;
}

/*
 * One past the main thread's stack, by the auxiliary vector: the program's file name is
 * the last thing on it, but for a word of zeros.
 */
static const char *main_stack_top(void)
{
	const char *name = (const char *)getauxval(AT_EXECFN);
	uintptr_t last = (uintptr_t)(&__libc_stack_end ? __libc_stack_end : NULL);

	if (name && (uintptr_t)name + strlen(name) > last)
		last = (uintptr_t)name + strlen(name);
	return last ? (const char *)page_floor(last + sysconf(_SC_PAGESIZE)) : NULL;
}

__attribute__((noinline))
int native_stack_find(struct native_stack *native)
{
	const char *sp = __builtin_frame_address(0);
	const char *main_top = main_stack_top();
	pthread_attr_t attr;
	size_t bytes;
	void *low;
	int error;

	*native = (struct native_stack) { 0 };
	/* Below the main thread's stack the kernel leaves a gap: no other reaches up to it. */
	if (main_top && sp < main_top && range_is_mapped(sp, main_top)) {
		*native = (struct native_stack) {
			(const char *)page_floor((uintptr_t)sp), main_top, true,
		};
		return 0;
	}
	error = pthread_getattr_np(pthread_self(), &attr);
	if (!error) {
		error = pthread_attr_getstack(&attr, &low, &bytes);
		pthread_attr_destroy(&attr);
	}
	if (error && (!main_top || getpid() != gettid()))
		return error_set(-error, "cannot find this thread's stack: the auxiliary vector "
				 "does not tell, and the C library, which reads /proc/self/maps "
				 "for the main thread, says: %s", strerror(error));
	/* The main thread, on another stack: what RLIMIT_STACK allows is not what is there. */
	if (error || (main_top && (const char *)low < main_top &&
		      main_top <= (const char *)low + bytes))
		*native = (struct native_stack) {
			main_top - sysconf(_SC_PAGESIZE), main_top, true,
		};
	else
		*native = (struct native_stack) { low, (const char *)low + bytes, false };
	/* Whoever gives a thread a stack may have put a guard page into it. */
	while (!native->grows && native->low < sp && !stack_byte_is_readable(native->low))
		native->low += sysconf(_SC_PAGESIZE);
	return 0;
}

static bool native_holds(struct native_stack *native, const char *at)
{
	if (at >= native->top)
		return false;
	if (at >= native->low)
		return true;
	if (!native->grows || !range_is_mapped(at, native->low))
		return false;
	native->low = (const char *)page_floor((uintptr_t)at);
	return true;
}

const char *native_stack_low(struct native_stack *native)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t mapped = page_floor((uintptr_t)native->low);
	uintptr_t step;

	if (!native->grows)
		return native->low;
	/* Go down in steps that double, then come back in steps that halve. */
	for (step = page; range_is_mapped((const char *)(mapped - step), (const char *)mapped);
	     step *= 2)
		mapped -= step;
	while ((step /= 2) >= page) {
		if (range_is_mapped((const char *)(mapped - step), (const char *)mapped))
			mapped -= step;
	}
	native->low = (const char *)mapped;
	return native->low;
}

/* ---- declared stacks -------------------------------------------------------------- */

/* The index of the first stack whose low end is above @at. */
static size_t stacks_above(const struct stacks *stacks, const char *at)
{
	size_t first = 0, end = stacks->count;

	while (first < end) {
		size_t middle = first + (end - first) / 2;

		if (stacks->all[middle].low <= at)
			first = middle + 1;
		else
			end = middle;
	}
	return first;
}

/*
 * The innermost declared stack that holds @at; NULL: none does. Stacks lie beside or
 * inside of each other: it is the one with the highest low end.
 */
static const struct stack *stacks_find(const struct stacks *stacks, const char *at)
{
	size_t i;

	for (i = stacks_above(stacks, at); i; i--) {
		if (at < stacks->all[i - 1].top)
			return &stacks->all[i - 1];
		/* Only a stack that has others inside of it can hold what they do not. */
		if (!stacks->nested)
			return NULL;
	}
	return NULL;
}

bool stack_part_holds(const struct stacks *stacks, const struct stack *part, const char *at)
{
	const struct stack *inner;

	if (at < part->low || at >= part->top)
		return false;
	inner = stacks_find(stacks, at);
	return !inner || (inner->low <= part->low && inner->top >= part->top);
}

static int stacks_room(struct stacks *stacks)
{
	size_t capacity = stacks->capacity ? stacks->capacity * 2 : 16;
	struct stack *all;

	if (stacks->count < stacks->capacity)
		return 0;
	all = memory_grow(stacks->all, capacity * sizeof(*all));
	if (!all)
		return error_set(-ENOMEM, "out of memory for %zu stacks", capacity);
	stacks->all = all;
	stacks->capacity = capacity;
	return 0;
}

int stacks_add(struct stacks *stacks, const struct stack *stack)
{
	size_t at = stacks_above(stacks, stack->low);
	size_t i;

	if (at && stacks->all[at - 1].low == stack->low)
		return error_set(-EEXIST, "a stack was declared at %p already", stack->low);
	for (i = at; i < stacks->count && stacks->all[i].low < stack->top; i++) {
		if (stacks->all[i].top > stack->top)
			return error_set(-EINVAL, "the stack at %p overlaps the one at %p",
					 stack->low, stacks->all[i].low);
	}
	for (i = at; i; i--) {
		if (stacks->all[i - 1].top > stack->low && stacks->all[i - 1].top < stack->top)
			return error_set(-EINVAL, "the stack at %p overlaps the one at %p",
					 stack->low, stacks->all[i - 1].low);
		if (!stacks->nested)
			break;
	}
	if (stacks_room(stacks))
		return -ENOMEM;
	if ((at < stacks->count && stacks->all[at].low < stack->top) ||
	    stacks_find(stacks, stack->low))
		stacks->nested = true;
	memmove(&stacks->all[at + 1], &stacks->all[at],
		(stacks->count - at) * sizeof(*stacks->all));
	stacks->all[at] = *stack;
	stacks->count++;
	return 0;
}

int stacks_remove(struct stacks *stacks, const char *low, const char *sp, struct stack *removed)
{
	size_t at = stacks_above(stacks, low);

	if (!at || stacks->all[at - 1].low != low)
		return -ENOENT;
	*removed = stacks->all[at - 1];
	if (stacks_find(stacks, sp) == &stacks->all[at - 1])
		return -EBUSY;
	memmove(&stacks->all[at - 1], &stacks->all[at],
		(stacks->count - at) * sizeof(*stacks->all));
	stacks->count--;
	return 0;
}

void stacks_destroy(struct stacks *stacks)
{
	memory_free(stacks->all);
}

/* ---- which one is it? ------------------------------------------------------------- */

void stack_of_signals(const char *sp, struct stack *found)
{
	const char *low;
	stack_t stack;

	if (sigaltstack(NULL, &stack) || !(stack.ss_flags & SS_ONSTACK))
		return;
	low = stack.ss_sp;
	if (sp >= low && sp < low + stack.ss_size)
		*found = (struct stack) { low, low + stack.ss_size };
}

bool stack_at(struct thread *thread, const char *sp, const struct stack *signal,
	      const struct native_stack *known, struct stack *found)
{
	struct gcheap *heap = thread->heap;
	const struct stack *declared;

	pthread_mutex_lock(&heap->lock);
	declared = stacks_find(&heap->stacks, sp);
	/* Either may lie inside of the other. */
	if (declared && (!signal->top || declared->low > signal->low ||
			 declared->top < signal->top))
		*found = *declared;
	else
		*found = *signal;
	pthread_mutex_unlock(&heap->lock);
	if (found->top)
		return true;
	if (known && known->top == thread->native.top && sp >= known->low && sp < known->top) {
		thread->native.low = known->low;
		*found = (struct stack) { known->low, known->top };
		return true;
	}
	if (!native_holds(&thread->native, sp))
		return false;
	*found = (struct stack) { native_stack_low(&thread->native), thread->native.top };
	return true;
}

bool stack_running(struct thread *thread, const char *sp, struct stack *running)
{
	struct stack signal = { NULL, NULL };

	/* The handle may be another thread's, by mistake. */
	if (!pthread_equal(thread->self, pthread_self()))
		return false;
	stack_of_signals(sp, &signal);
	return stack_at(thread, sp, &signal, NULL, running);
}

int stack_unknown(const void *sp)
{
	return error_set(-EINVAL, "the thread runs on another stack (at %p) than its own and those "
			 "that were declared: declare it with gcheap_stack_add(), or open the heap "
			 "without GCHEAP_CONSERVATIVE_STACKS and use frames; or the handle is "
			 "another thread's", sp);
}

/* ---- contexts --------------------------------------------------------------------- */

/*
 * Where a context that makecontext() has made returns to: a word at its stack's top. On
 * x86-64 it is at an odd multiple of 8, as return addresses of aligned stacks are.
 */
static uintptr_t context_mark;
#if defined(__x86_64__)
#define CONTEXT_STEP	16u
#else
#define CONTEXT_STEP	8u
#endif
static void context_nothing(void)
{
}

static void context_mark_find(void)
{
	/* Large ones: the caller may have little room. */
	static char stack[4096] __attribute__((aligned(16)));
	static ucontext_t context;

	if (getcontext(&context))
		return;
	context.uc_stack.ss_sp = stack;
	context.uc_stack.ss_size = sizeof(stack);
	context.uc_link = NULL;
	makecontext(&context, context_nothing, 0);
#if defined(__x86_64__)
	context_mark = *(const uintptr_t *)context.uc_mcontext.gregs[REG_RSP];
#elif defined(__aarch64__)
	context_mark = context.uc_mcontext.regs[30];
#endif
	/* They have registers of the caller's, which may lead to objects. */
	explicit_bzero(&context, sizeof(context));
	explicit_bzero(stack, sizeof(stack));
}

/*
 * One past what may have marks of contexts inside of a stack: makecontext() has put the
 * stack's own there, if it has made it and its function's arguments are in registers.
 */
static uintptr_t context_end(const char *top)
{
#if defined(__x86_64__)
	return (((uintptr_t)top - 8) & ~(uintptr_t)15) - 8;
#else
	return (uintptr_t)top;
#endif
}

void stack_context_find(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, context_mark_find);
}

/* Stacks are read whole, red zones between variables too, and while their threads are parked. */
__attribute__((no_sanitize("address"), no_sanitize("thread")))
bool stack_part_has_context(const char *low, const char *part_end, const char *top)
{
	uintptr_t at = (((uintptr_t)low + 7) & ~(uintptr_t)7) | (CONTEXT_STEP - 8);
	uintptr_t end = context_end(top);

	if (end > (uintptr_t)part_end)
		end = (uintptr_t)part_end;
	if (!context_mark)
		return false;
	/* To valgrind much of a stack was never written. */
	guard_reports(false);
	while (at + 8 <= end && *(const uintptr_t *)at != context_mark)
		at += CONTEXT_STEP;
	guard_reports(true);
	return at + 8 <= end;
}

bool stack_has_context(const char *sp, const char *top)
{
	stack_context_find();
	return stack_part_has_context(sp, top, top);
}

/* ---- AddressSanitizer's fake stack -------------------------------------------------- */

/*
 * With detect_stack_use_after_return AddressSanitizer keeps local variables in memory
 * of its own, and the real stack has the address of a function's part of it. These are
 * there where the program is instrumented.
 */

void *stack_fake(void)
{
	if (!__asan_get_current_fake_stack || !__asan_addr_is_in_fake_stack)
		return NULL;
	return __asan_get_current_fake_stack();
}

uintptr_t stack_real(uintptr_t at)
{
	void *fake = stack_fake();
	void *low, *end;
	void *real = fake ? __asan_addr_is_in_fake_stack(fake, (void *)at, &low, &end) : NULL;

	return real ? (uintptr_t)real : at;
}
