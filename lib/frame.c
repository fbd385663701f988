// SPDX-License-Identifier: MIT
/*
 * Frames: what the inline functions of <gcheap.h> leave to do.
 */
#include "frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "entry.h"
#include "error.h"
#include "report.h"
#include "stack.h"
#include "thread.h"

#define FRAMES_WORDS	256u

int frames_init(struct thread *thread)
{
	thread->fast.frames = malloc(FRAMES_WORDS * sizeof(uintptr_t));
	if (!thread->fast.frames)
		return error_set(-ENOMEM, "out of memory for a thread's tables");
	thread->fast.frames_room = FRAMES_WORDS;
	return 0;
}

/* ---- which ones have ended ------------------------------------------------------------ */

/* Whether the block of an entry was left: @sp is in no block that was not. */
__attribute__((no_sanitize("address")))
static bool frame_has_ended(const struct thread *thread, const uintptr_t *entry, const char *sp)
{
	const struct gcheap_frame_ *frame = (const struct gcheap_frame_ *)frame_place(entry);

	return (const char *)stack_real((uintptr_t)frame) < sp ||
	       frame->thread != &thread->fast || frame->number != frame_number(entry);
}

/* Whether that is so, and it is on a part of a stack. The heap's lock is held. */
static bool has_ended_on(const struct thread *thread, const uintptr_t *entry,
			 const struct stack *part, const char *sp)
{
	const char *place = (const char *)stack_real(frame_place(entry));

	return stack_part_holds(&thread->heap->stacks, part, place) &&
	       frame_has_ended(thread, entry, sp);
}

/* Takes such out, from the entry at @at on. Returns how many. The heap's lock is held. */
static size_t drop_ended_on(struct thread *thread, size_t at, const struct stack *part,
			    const char *sp)
{
	uintptr_t *words = thread->fast.frames;
	size_t to = at;
	size_t dropped = 0;
	size_t count;

	for (; at < thread->fast.frames_used; at += count) {
		count = words[at];
		if (has_ended_on(thread, &words[at], part, sp)) {
			dropped++;
			continue;
		}
		memmove(&words[to], &words[at], count * sizeof(*words));
		to += count;
	}
	thread->fast.frames_used = to;
	return dropped;
}

size_t frames_drop(struct thread *thread, size_t at, const struct stack *part)
{
	size_t dropped;

	pthread_mutex_lock(&thread->heap->lock);
	dropped = drop_ended_on(thread, at, part, (const char *)UINTPTR_MAX);
	pthread_mutex_unlock(&thread->heap->lock);
	return dropped;
}

static void report_skipped(struct thread *thread)
{
	if (!(thread->heap->flags & GCHEAP_VERIFY) || thread->frames_reported)
		return;
	thread->frames_reported = true;
	report("gcheap: a function with GCHEAP_FRAME returned, or was left by longjmp(), without "
	       "GCHEAP_FRAME_END: its variables are no roots any more; use GCHEAP_FRAME_AUTO, or "
	       "gcheap_frame_save() and gcheap_frame_restore()\n");
}

/* ---- those that were lost --------------------------------------------------------------- */

static void frame_lose(struct thread *thread, struct gcheap_frame_ *frame)
{
	struct frames_lost *lost = &thread->frames_lost;
	uintptr_t place = stack_real((uintptr_t)frame);

	frame->is_lost = true;
	if (!lost->count++) {
		*lost = (struct frames_lost) { 1, frame->number, place, place };
		return;
	}
	if (place < lost->low)
		lost->low = place;
	if (place > lost->high)
		lost->high = place;
}

static void frame_lost_ended(struct thread *thread, struct gcheap_frame_ *frame)
{
	frame->is_lost = false;
	if (thread->frames_lost.count)
		thread->frames_lost.count--;
}

/*
 * Blocks on a part of a stack that began after the one of @number have ended: if all that
 * are lost are of these, none is. The heap's lock is held.
 */
static void lost_have_ended(struct thread *thread, const struct stack *part, uintptr_t number)
{
	const struct stacks *stacks = &thread->heap->stacks;
	struct frames_lost *lost = &thread->frames_lost;
	size_t i;

	if (!lost->count || lost->first <= number ||
	    !stack_part_holds(stacks, part, (const char *)lost->low) ||
	    !stack_part_holds(stacks, part, (const char *)lost->high))
		return;
	/* Some may be on a stack that lies between. */
	for (i = 0; i < stacks->count; i++) {
		uintptr_t low = (uintptr_t)stacks->all[i].low;

		if (low > lost->low && low <= lost->high)
			return;
	}
	lost->count = 0;
}

void frames_drop_ended(struct thread *thread, const char *sp, const struct stack *running)
{
	const struct stack left = { running->low, sp };
	const uintptr_t *words = thread->fast.frames;
	size_t at = 0;

	pthread_mutex_lock(&thread->heap->lock);
	while (at < thread->fast.frames_used && !has_ended_on(thread, &words[at], running, sp))
		at += words[at];
	/* On an undeclared stack inside of this one, those below are suspended. */
	if ((at < thread->fast.frames_used || thread->frames_lost.count) &&
	    !stack_has_context(sp, running->top)) {
		if (drop_ended_on(thread, at, running, sp))
			report_skipped(thread);
		lost_have_ended(thread, &left, 0);
	}
	pthread_mutex_unlock(&thread->heap->lock);
}

/* ---- those that outlive their thread ------------------------------------------------------ */

/* Whose frames are those of threads that have gone: it has no entry for any. */
static struct gcheap_thread frames_nobody;

/* Whether an address is on a stack that can be read; @known: the last one that was found. */
static bool place_is_known(struct thread *thread, const char *place, struct stack *known)
{
	if (place >= known->low && place < known->top)
		return true;
	/* Whoever had the heap's lock at the fork has it for good. */
	if (heap_is_here(thread->heap))
		return stack_running(thread, place, known);
	return place >= thread->native.low && place < thread->native.top;
}

__attribute__((no_sanitize("address")))
void frames_leave(struct thread *thread, const char *sp)
{
	const uintptr_t *words = thread->fast.frames;
	struct stack running, known = { NULL, NULL };
	size_t at;

	/* Only this thread knows its stacks; those of one that has ended may be gone. */
	if (!pthread_equal(thread->self, pthread_self()))
		return;
	if (heap_is_here(thread->heap) && stack_running(thread, sp, &running))
		frames_drop_ended(thread, sp, &running);
	for (at = 0; at < thread->fast.frames_used; at += words[at]) {
		struct gcheap_frame_ *frame = (struct gcheap_frame_ *)frame_place(&words[at]);

		if (place_is_known(thread, (const char *)stack_real((uintptr_t)frame), &known) &&
		    !frame_has_ended(thread, &words[at], NULL))
			frame->thread = &frames_nobody;
	}
}

/* ---- begin and end ---------------------------------------------------------------------- */

/*
 * The part of the stack that an end may clear of frames that were added later: all of the
 * stack that the thread is on. Of one that nobody has declared only what is known to be
 * on it, from the stack pointer to @last.
 */
static struct stack part_here(struct thread *thread, const char *sp, const char *last)
{
	struct stack running;

	if (stack_running(thread, sp, &running) && last >= running.low && last < running.top &&
	    !stack_has_context(sp, running.top))
		return running;
	return (struct stack) { sp, last + 1 };
}

/*
 * The newest entry with a place; @frames_used: there is none. With @nearby the search
 * ends at an outer block of the same stack.
 */
static size_t frames_find(const struct thread *thread, const void *place, bool nearby)
{
	const uintptr_t *words = thread->fast.frames;
	size_t end = thread->fast.frames_used;

	while (end) {
		size_t at = end - words[end - 1];

		if (words[end - 2] == (uintptr_t)place)
			return at;
		if (nearby && words[end - 2] > (uintptr_t)place)
			break;
		end = at;
	}
	return thread->fast.frames_used;
}

/* The entry of a block that has not ended; @frames_used: it has none. */
static size_t frames_find_live(const struct thread *thread, const struct gcheap_frame_ *frame)
{
	const uintptr_t *words = thread->fast.frames;
	size_t end;

	for (end = thread->fast.frames_used; end; end -= words[end - 1]) {
		if (words[end - 3] == frame->number)
			return end - words[end - 1];
	}
	return thread->fast.frames_used;
}

/*
 * The same block again, or another one in the same place as an old one: its entry at @at
 * goes, and all beside and after it whose blocks are known to have ended. What is newer
 * need not have: the old one may be of a function that has returned, and the newer one of
 * the function that runs.
 */
static void frames_drop_again(struct thread *thread, const char *sp, size_t at,
			      struct gcheap_frame_ *frame)
{
	struct stack part = part_here(thread, sp, (const char *)stack_real((uintptr_t)frame));
	const uintptr_t *words = thread->fast.frames;

	frame->number = 0;
	pthread_mutex_lock(&thread->heap->lock);
	while (at && has_ended_on(thread, &words[at - words[at - 1]], &part, sp))
		at -= words[at - 1];
	drop_ended_on(thread, at, &part, sp);
	pthread_mutex_unlock(&thread->heap->lock);
}

static bool frames_grow(struct thread *thread, size_t count)
{
	size_t room = thread->fast.frames_room * 2;
	uintptr_t *words;

	if (count <= thread->fast.frames_room - thread->fast.frames_used)
		return true;
	words = realloc(thread->fast.frames, room * sizeof(*words));
	if (!words)
		return false;
	thread_count_memory(thread, (room - thread->fast.frames_room) * sizeof(*words));
	thread->fast.frames = words;
	thread->fast.frames_room = room;
	return true;
}

/*
 * The table is full, or the newest entry is not of an outer block of this stack: it may
 * be one that was skipped, a nested block's of this function, or another stack's.
 */
__attribute__((noinline))
void gcheap_frame_begin_slow_(struct gcheap_frame_ *frame, struct gcheap_thread *fast,
			      void *const *slots, size_t count)
{
	LIBRARY_ENTRY;
	const char *sp = __builtin_frame_address(0);
	struct thread *thread = (struct thread *)fast;
	size_t total = count + GCHEAP_FRAME_WORDS_;
	struct stack stack;
	uintptr_t *entry;
	size_t at;

	frame->thread = fast;
	frame->number = 0;
	frame->is_lost = false;
	/* Whoever had the heap's lock at the fork has it for good. No cycle runs here. */
	if (!heap_is_here(thread->heap))
		return;
	at = frames_find(thread, frame, true);
	if (at != fast->frames_used)
		frames_drop_again(thread, sp, at, frame);
	if (total > fast->frames_room - fast->frames_used && stack_running(thread, sp, &stack))
		frames_drop_ended(thread, sp, &stack);
	frame->number = ++fast->frames_begun;
	if (!frames_grow(thread, total)) {
		frame_lose(thread, frame);
		return;
	}
	entry = fast->frames + fast->frames_used;
	entry[0] = total;
	memcpy(&entry[1], slots, count * sizeof(*slots));
	entry[total - 3] = frame->number;
	entry[total - 2] = (uintptr_t)frame;
	entry[total - 1] = total;
	fast->frames_used += total;
}

/* Takes the entry at @at out, and no other. */
static void frame_take_out(struct thread *thread, size_t at)
{
	uintptr_t *words = thread->fast.frames;
	size_t end;

	if (at == thread->fast.frames_used)
		return;
	end = at + words[at];
	thread->fast.frames_used -= words[at];
	memmove(&words[at], &words[end], (thread->fast.frames_used - at) * sizeof(*words));
}

/*
 * Whether a block's entry is the newest of the stack that it is on, which the thread runs
 * on: those behind it are of suspended ones.
 */
static bool is_newest_here(struct thread *thread, const char *sp, size_t at)
{
	const uintptr_t *words = thread->fast.frames;
	const char *place = (const char *)stack_real(frame_place(&words[at]));
	struct stack running;
	bool is_newest = true;

	if (!stack_running(thread, sp, &running) || place < running.low || place >= running.top)
		return false;
	pthread_mutex_lock(&thread->heap->lock);
	for (at += words[at]; is_newest && at < thread->fast.frames_used; at += words[at]) {
		place = (const char *)stack_real(frame_place(&words[at]));
		is_newest = !stack_part_holds(&thread->heap->stacks, &running, place);
	}
	pthread_mutex_unlock(&thread->heap->lock);
	return is_newest;
}

/*
 * Inner blocks were left without their end, or this one has ended already, or its thread
 * has detached, or a frame of another stack is newer.
 */
__attribute__((noinline))
void gcheap_frame_end_slow_(struct gcheap_frame_ *frame)
{
	LIBRARY_ENTRY;
	const char *sp = __builtin_frame_address(0);
	struct thread *thread = (struct thread *)frame->thread;
	struct stack part;
	size_t at;

	if (frame->thread == &frames_nobody)
		return;
	at = frames_find_live(thread, frame);
	if (!heap_is_here(thread->heap)) {
		frame_take_out(thread, at);
	} else if (frame->is_lost) {
		frame_lost_ended(thread, frame);
	} else if (at == thread->fast.frames_used) {
		return;
	} else if (!thread->frames_lost.count && is_newest_here(thread, sp, at)) {
		/* Without a look at the stack above: a generator's caller ends many so. */
		frame_take_out(thread, at);
	} else {
		part = part_here(thread, sp, (const char *)stack_real((uintptr_t)frame));
		frames_drop(thread, at, &part);
		pthread_mutex_lock(&thread->heap->lock);
		lost_have_ended(thread, &part, frame->number);
		pthread_mutex_unlock(&thread->heap->lock);
	}
}

/* ---- longjmp() ---------------------------------------------------------------------------- */

static bool thread_is_usable(const struct thread *thread)
{
	if (!thread) {
		error_set(-EINVAL, "the thread is NULL: attach one with gcheap_thread_attach()");
		return false;
	}
	return !heap_check(thread->heap);
}

__attribute__((noinline))
struct gcheap_frame_ *gcheap_frame_save(struct gcheap_thread *fast)
{
	LIBRARY_ENTRY;
	const char *sp = __builtin_frame_address(0);
	struct thread *thread = (struct thread *)fast;
	const uintptr_t *words;
	struct stack running;
	size_t end;

	if (!thread_is_usable(thread))
		return NULL;
	words = fast->frames;
	if (!stack_running(thread, sp, &running))
		return fast->frames_used ? (struct gcheap_frame_ *)words[fast->frames_used - 2] :
					   NULL;
	/* The newest of this stack. */
	for (end = fast->frames_used; end; end -= words[end - 1]) {
		uintptr_t place = stack_real(words[end - 2]);

		if (place >= (uintptr_t)sp && place < (uintptr_t)running.top)
			return (struct gcheap_frame_ *)words[end - 2];
	}
	return NULL;
}

__attribute__((noinline))
void gcheap_frame_restore(struct gcheap_thread *fast, struct gcheap_frame_ *saved)
{
	LIBRARY_ENTRY;
	const char *sp = __builtin_frame_address(0);
	struct thread *thread = (struct thread *)fast;
	struct stack stack, left;
	size_t at = 0;

	if (!thread_is_usable(thread))
		return;
	/* Nobody knows which frames are of a stack that was not declared. */
	if (!stack_running(thread, sp, &stack) || stack_has_context(sp, stack.top))
		return;
	if (saved) {
		at = frames_find(thread, saved, false);
		if (at == fast->frames_used)
			return;
		at += fast->frames[at];
	}
	frames_drop(thread, at, &stack);
	/* Of those that were lost, some may have been there when it was saved. */
	left = (struct stack) { stack.low, sp };
	pthread_mutex_lock(&thread->heap->lock);
	lost_have_ended(thread, &left, 0);
	pthread_mutex_unlock(&thread->heap->lock);
}
