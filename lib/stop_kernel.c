// SPDX-License-Identifier: MIT
/*
 * Stops of threads by the module: GCHEAP_IOC_STOP and GCHEAP_IOC_RESUME.
 *
 * From STOP to RESUME nothing here, nor in what a cycle does, takes memory or a lock of the C
 * library, which a thread that is held may have, and nobody closes a descriptor of the heap, which
 * would end the stop. A thread in the library may have locks of the library: it is not kept there.
 */
#include "stop_kernel.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "backend/backend.h"
#include "clock.h"
#include "entry.h"
#include "error.h"
#include "memory.h"
#include "stack.h"
#include "stop_signal.h"
#include "thread.h"

/* Bytes below the stack pointer that a function may use; the module knows x86-64 alone. */
#define RED_ZONE	128u

/* How long the kernel may wait for one that sleeps in a page fault, with the others held. */
#define WAIT_MS		100u
/*
 * RESUME tells too late that the kernel has let threads go on. So it is given all the time that it
 * takes, and a stop that has lasted half of that counts as broken.
 */
#define HOLD_MS		GCHEAP_STOP_HOLD_MAX
#define HOLD_SURE_NS	((uint64_t)HOLD_MS / 2 * 1000 * 1000)

bool stop_kernel_use(struct gcheap *heap)
{
	heap->world.holding.is_used = heap->backend->features & GCHEAP_FEATURE_STOP;
	return heap->world.holding.is_used;
}

bool stop_kernel_is_used(const struct gcheap *heap)
{
	return heap->world.holding.is_used;
}

void stop_kernel_free(struct gcheap *heap)
{
	memory_free(heap->world.holding.stopped);
}

/* ---- signal handlers' stacks ------------------------------------------------------- */

/*
 * Which stack a thread has for signal handlers, it alone can ask. Where that lies on a stack that
 * is known, as an array of a function does, what the handler has interrupted is below it, and would
 * not be scanned. So whoever runs a handler there is left to the signal. The kernel has put a frame
 * there: a return address, which is the C library's for all handlers, and the context.
 */
static uintptr_t restorer_find(void)
{
	struct {
		uintptr_t handler, flags, restorer, mask;
	} action = { 0 };

#if defined(__x86_64__)
	if (syscall(SYS_rt_sigaction, stop_signal_number(), NULL, &action, sizeof(action.mask)))
		return 0;
#endif
	return action.restorer;
}

/* Stacks are read whole, red zones between variables too. */
__attribute__((no_sanitize("address"), no_sanitize("thread")))
static bool has_signal_stack(const char *sp, const char *top, uintptr_t restorer)
{
	const uintptr_t *word = (const uintptr_t *)(((uintptr_t)sp + 7) & ~(uintptr_t)7);
	const uintptr_t *end = (const uintptr_t *)(top - offsetof(ucontext_t, uc_mcontext)) - 1;

	for (; restorer && word < end; word++) {
		const stack_t *stack = &((const ucontext_t *)(word + 1))->uc_stack;

		if (*word == restorer &&
		    (uintptr_t)word - (uintptr_t)stack->ss_sp < stack->ss_size)
			return true;
	}
	return false;
}

/* ---- a thread ---------------------------------------------------------------------- */

/* Notes where it is, as the signal's handler does. False: that is not known for certain. */
static bool thread_note(struct thread *thread, const struct gcheap_stopped *stopped,
			uintptr_t restorer)
{
	const struct stack none = { NULL, NULL };
	struct rest *rest = &thread->rest;

	_Static_assert(sizeof(stopped->registers) <= sizeof(rest->registers), "there is room");
	rest->held = stopped;
	rest->is_anywhere = true;
	rest->sp = (const char *)(uintptr_t)stopped->sp - RED_ZONE;
	memcpy(rest->registers, stopped->registers, sizeof(stopped->registers));
	if (thread->entry->entries != thread->entries)
		thread->is_holding = false;
	thread->entries = thread->entry->entries;
	return stack_at(thread, rest->sp, &none, NULL, &rest->stack) &&
	       !has_signal_stack(rest->sp, rest->stack.top, restorer);
}

static void thread_forget(struct thread *thread)
{
	thread->rest.is_anywhere = false;
	memset(thread->rest.registers, 0, sizeof(thread->rest.registers));
}

/* ---- all ----------------------------------------------------------------------------- */

static bool holding_room(struct holding *holding, uint32_t count)
{
	uint32_t room = holding->room ? holding->room : 4;
	char *memory;

	if (count <= holding->room)
		return true;
	while (room < count)
		room *= 2;
	memory = memory_zalloc(room * (sizeof(*holding->stopped) + sizeof(*holding->tids)));
	if (!memory)
		return false;
	memory_free(holding->stopped);
	holding->stopped = (struct gcheap_stopped *)memory;
	holding->tids = (uint32_t *)(holding->stopped + room);
	holding->room = room;
	return true;
}

/* Names those that run, in the order of the heap's list. False: no memory. */
static bool name_running(struct gcheap *heap, const struct thread *self, uint32_t *named)
{
	struct holding *holding = &heap->world.holding;
	const struct thread *thread;
	uint32_t count = 0;

	for (thread = heap->world.threads; thread; thread = thread->next)
		count++;
	if (!holding_room(holding, count))
		return false;
	count = 0;
	for (thread = heap->world.threads; thread; thread = thread->next) {
		if (thread != self && thread_is_running(thread))
			holding->tids[count++] = (uint32_t)thread->tid;
	}
	*named = count;
	return true;
}

static int send_stop(struct gcheap *heap, uint32_t count)
{
	struct holding *holding = &heap->world.holding;
	struct gcheap_stop stop = {
		.size = sizeof(stop),
		.tids = (uintptr_t)holding->tids,
		.stopped = (uintptr_t)holding->stopped,
		.count = count,
		.stopped_bytes = sizeof(*holding->stopped),
		.wait_ms = WAIT_MS,
		.hold_ms = HOLD_MS,
	};
	int error;

	holding->begin_ns = clock_ns();
	error = backend_request(heap->backend, GCHEAP_OP_STOP, &stop);
	if (!error)
		holding->stop = stop.out_stop;
	return error;
}

/* Return: whether the threads have been held until now. */
static bool send_resume(struct gcheap *heap)
{
	struct holding *holding = &heap->world.holding;
	struct gcheap_resume resume = { .size = sizeof(resume), .stop = holding->stop };

	holding->stop = 0;
	return !backend_request(heap->backend, GCHEAP_OP_RESUME, &resume);
}

/* What the kernel says of a thread: *@at is the first that was not asked for yet. NULL: nothing. */
static const struct gcheap_stopped *answer_of(const struct holding *holding,
					      const struct thread *thread, uint32_t count,
					      uint32_t *at)
{
	if (*at == count || holding->tids[*at] != (uint32_t)thread->tid)
		return NULL;
	return &holding->stopped[(*at)++];
}

/* Whether all are where they may be kept. */
static enum stop_kernel look(struct gcheap *heap, const struct thread *self, uint32_t count,
			     struct thread **late)
{
	enum stop_kernel result = STOP_KERNEL_HOLDS;
	struct thread *thread;
	uint32_t at = 0;

	for (thread = heap->world.threads; thread; thread = thread->next) {
		const struct gcheap_stopped *stopped = answer_of(&heap->world.holding, thread,
								 count, &at);

		if (thread == self)
			continue;
		if (stopped && stopped->state != GCHEAP_STOP_USER &&
		    stopped->state != GCHEAP_STOP_BLOCKED)
			return STOP_KERNEL_CANNOT;
		/*
		 * It may have locks, also when it has come to rest meanwhile; or it rested and
		 * wanted to go on, and finds that it must not.
		 */
		if (stopped ? thread->entry->depth : thread_is_running(thread)) {
			result = STOP_KERNEL_WAITS;
			*late = thread;
		}
		if (stopped && thread->entry->depth && thread_is_running(thread))
			thread->entry->asked = 1;
	}
	return result;
}

static enum stop_kernel note_all(struct gcheap *heap, const struct thread *self, uint32_t count)
{
	uintptr_t restorer = restorer_find();
	struct thread *thread;
	uint32_t at = 0;

	for (thread = heap->world.threads; thread; thread = thread->next) {
		const struct gcheap_stopped *stopped = answer_of(&heap->world.holding, thread,
								 count, &at);

		if (thread == self || !stopped || !thread_is_running(thread))
			continue;
		if (!thread_note(thread, stopped, restorer))
			return STOP_KERNEL_CANNOT;
	}
	return STOP_KERNEL_HOLDS;
}

enum stop_kernel stop_kernel_try(struct gcheap *heap, const struct thread *self,
				 struct thread **late)
{
	enum stop_kernel result;
	uint32_t count;
	int error;

	if (!name_running(heap, self, &count))
		return STOP_KERNEL_CANNOT;
	/* They have just come to rest by themselves. */
	if (!count)
		return STOP_KERNEL_WAITS;
	error = send_stop(heap, count);
	if (error)
		return error == -EBUSY ? STOP_KERNEL_IS_BUSY : STOP_KERNEL_CANNOT;
	result = look(heap, self, count, late);
	if (result == STOP_KERNEL_HOLDS)
		result = note_all(heap, self, count);
	if (result != STOP_KERNEL_HOLDS)
		stop_kernel_end(heap);
	return result;
}

static bool is_sure(const struct holding *holding)
{
	return clock_ns() - holding->begin_ns < HOLD_SURE_NS;
}

int stop_kernel_check(struct gcheap *heap)
{
	struct holding *holding = &heap->world.holding;

	if (!holding->stop || is_sure(holding))
		return 0;
	holding->is_used = false;
	return error_set(-ETIMEDOUT, "the threads were stopped for more than %u seconds, and the "
			 "kernel may have let them go on: nothing was freed; from here on a signal "
			 "stops them, as with GCHEAP_STOP=signal", HOLD_MS / 2 / 1000);
}

void stop_kernel_end(struct gcheap *heap)
{
	struct holding *holding = &heap->world.holding;
	struct thread *thread;
	bool sure;

	if (!holding->stop)
		return;
	sure = is_sure(holding);
	for (thread = heap->world.threads; thread; thread = thread->next) {
		if (!thread->rest.held)
			continue;
		/* One that may have gone on may just be noting where it is itself. */
		if (sure)
			thread_forget(thread);
		thread->rest.held = NULL;
	}
	if (!send_resume(heap) || !sure)
		holding->is_used = false;
}
