// SPDX-License-Identifier: MIT
/*
 * Frames: what the inline functions of <gcheap.h> leave to do.
 */
#include "frame.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

size_t frames_drop(struct thread *thread, size_t at, const struct stack *part)
{
	uintptr_t *words = thread->fast.frames;
	size_t to = at;
	size_t dropped = 0;
	size_t count;

	pthread_mutex_lock(&thread->heap->lock);
	for (; at < thread->fast.frames_used; at += count) {
		count = words[at];
		if (stack_part_holds(&thread->heap->stacks, part,
				     (const char *)stack_real(frame_place(&words[at])))) {
			dropped++;
			continue;
		}
		memmove(&words[to], &words[at], count * sizeof(*words));
		to += count;
	}
	pthread_mutex_unlock(&thread->heap->lock);
	thread->fast.frames_used = to;
	return dropped;
}

static void report_skipped(struct thread *thread)
{
	if (!(thread->heap->flags & GCHEAP_VERIFY) || thread->frames_reported)
		return;
	thread->frames_reported = true;
	fprintf(stderr, "gcheap: a function with GCHEAP_FRAME returned, or was left by longjmp(), "
		"without GCHEAP_FRAME_END: its variables are no roots any more; use "
		"GCHEAP_FRAME_AUTO, or gcheap_frame_save() and gcheap_frame_restore()\n");
}

/* Whether an entry of the running stack is of a block that was left. */
__attribute__((no_sanitize("address")))
static bool frame_has_ended(const struct thread *thread, const uintptr_t *entry, const char *sp)
{
	const struct gcheap_frame_ *frame = (const struct gcheap_frame_ *)frame_place(entry);

	return (const char *)stack_real((uintptr_t)frame) < sp || frame->thread != &thread->fast;
}

/* The first such entry from @at on; @frames_used: there is none. */
static size_t frames_ended(const struct thread *thread, size_t at, const char *sp,
			   const struct stack *running)
{
	const uintptr_t *words = thread->fast.frames;

	for (; at < thread->fast.frames_used; at += words[at]) {
		const char *place = (const char *)stack_real(frame_place(&words[at]));

		if (stack_part_holds(&thread->heap->stacks, running, place) &&
		    frame_has_ended(thread, &words[at], sp))
			break;
	}
	return at;
}

void frames_drop_ended(struct thread *thread, const char *sp, const struct stack *running)
{
	uintptr_t *words = thread->fast.frames;
	size_t at, end;

	pthread_mutex_lock(&thread->heap->lock);
	at = frames_ended(thread, 0, sp, running);
	/* On an undeclared stack inside of this one, those below are suspended. */
	if (at != thread->fast.frames_used && stack_has_context(sp, running->top))
		at = thread->fast.frames_used;
	if (at != thread->fast.frames_used)
		report_skipped(thread);
	while (at != thread->fast.frames_used) {
		end = at + words[at];
		memmove(&words[at], &words[end],
			(thread->fast.frames_used - end) * sizeof(*words));
		thread->fast.frames_used -= end - at;
		at = frames_ended(thread, at, sp, running);
	}
	pthread_mutex_unlock(&thread->heap->lock);
}

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

static bool frames_grow(struct thread *thread, size_t count)
{
	size_t room = thread->fast.frames_room * 2;
	uintptr_t *words;

	if (count <= thread->fast.frames_room - thread->fast.frames_used)
		return true;
	words = realloc(thread->fast.frames, room * sizeof(*words));
	if (!words)
		return false;
	thread->fast.frames = words;
	thread->fast.frames_room = room;
	return true;
}

/*
 * The table is full, or the newest entry is not of an outer block of this stack: it may
 * be one that was skipped, a nested block's of this function, or another stack's.
 */
void gcheap_frame_begin_slow_(struct gcheap_frame_ *frame, struct gcheap_thread *fast,
			      void *const *slots, size_t count)
{
	const char *sp = __builtin_frame_address(0);
	struct thread *thread = (struct thread *)fast;
	size_t total = count + GCHEAP_FRAME_WORDS_;
	bool is_full = total > fast->frames_room - fast->frames_used;
	size_t at = frames_find(thread, frame, !is_full);
	struct stack stack;
	uintptr_t *entry;

	/* The same block again: what was added since its last time has ended. */
	if (at != fast->frames_used) {
		stack = part_here(thread, sp, (const char *)stack_real((uintptr_t)frame));
		frames_drop(thread, at, &stack);
	}
	if (is_full && stack_running(thread, sp, &stack))
		frames_drop_ended(thread, sp, &stack);
	frame->thread = fast;
	frame->is_lost = !frames_grow(thread, total);
	if (frame->is_lost) {
		thread->frames_lost++;
		return;
	}
	entry = fast->frames + fast->frames_used;
	entry[0] = total;
	memcpy(&entry[1], slots, count * sizeof(*slots));
	entry[total - 2] = (uintptr_t)frame;
	entry[total - 1] = total;
	fast->frames_used += total;
}

/* Inner blocks were left without their end, or this one has ended already. */
void gcheap_frame_end_slow_(struct gcheap_frame_ *frame)
{
	const char *sp = __builtin_frame_address(0);
	struct thread *thread = (struct thread *)frame->thread;
	size_t at = frames_find(thread, frame, false);
	struct stack part;

	if (frame->is_lost) {
		frame->is_lost = false;
		thread->frames_lost--;
	} else if (at != thread->fast.frames_used) {
		part = part_here(thread, sp, (const char *)stack_real((uintptr_t)frame));
		frames_drop(thread, at, &part);
	}
}

struct gcheap_frame_ *gcheap_frame_save(struct gcheap_thread *fast)
{
	const char *sp = __builtin_frame_address(0);
	struct thread *thread = (struct thread *)fast;
	const uintptr_t *words;
	struct stack running;
	size_t end;

	if (!thread) {
		error_set(-EINVAL, "the thread is NULL: attach one with gcheap_thread_attach()");
		return NULL;
	}
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

void gcheap_frame_restore(struct gcheap_thread *fast, struct gcheap_frame_ *saved)
{
	const char *sp = __builtin_frame_address(0);
	struct thread *thread = (struct thread *)fast;
	struct stack stack;
	size_t at = 0;

	if (!thread) {
		error_set(-EINVAL, "the thread is NULL: attach one with gcheap_thread_attach()");
		return;
	}
	if (saved) {
		at = frames_find(thread, saved, false);
		if (at != fast->frames_used)
			at += fast->frames[at];
	}
	if (!stack_running(thread, sp, &stack))
		stack = (struct stack) { sp, saved ? (const char *)saved :
						     (const char *)UINTPTR_MAX };
	frames_drop(thread, at, &stack);
}
