// SPDX-License-Identifier: MIT
/*
 * Hooks: functions of the program that are called when a cycle begins and ends, and when an
 * allocation finds no memory.
 *
 * They stay until the heap is closed, so that they are called without a lock. While one runs, its
 * thread is in the middle of something: its caches are flushed, and one of them may be about to be
 * filled. What would change them is refused (thread_hindrance()).
 */
#include "hooks.h"

#include <errno.h>
#include <string.h>

#include "cycle_log.h"
#include "entry.h"
#include "error.h"
#include "finalizer_thread.h"
#include "library.h"
#include "mark.h"
#include "mark_piece.h"
#include "memory.h"
#include "rest.h"
#include "thread.h"
#include "world.h"

/* Fields of the first release. */
#define HOOKS_BYTES_MIN		sizeof(struct gcheap_hooks)
/* No release's struct is longer. */
#define HOOKS_BYTES_MAX		4096u

/**
 * struct hook - hooks that were added together
 * @next: those that were added after them
 * @hooks: what the program gave
 */
struct hook {
	struct hook *next;
	struct gcheap_hooks hooks;
};

static struct hook *hook_load(struct hook *const *link)
{
	return __atomic_load_n(link, __ATOMIC_ACQUIRE);
}

void hooks_destroy(struct hooks *hooks)
{
	struct hook *hook = hooks->first;

	while (hook) {
		struct hook *next = hook->next;

		memory_free(hook);
		hook = next;
	}
	hooks->first = NULL;
}

static int hooks_check(const struct gcheap *heap, const struct gcheap_hooks *hooks)
{
	const unsigned char *bytes = (const unsigned char *)hooks;
	const struct thread *self;
	int error = heap_check(heap);
	size_t i;

	if (error)
		return error;
	self = rest_self(heap);
	if (self && self->is_in_hook)
		return error_set(-EINVAL, THREAD_IS_IN_HOOK);
	if (!hooks)
		return error_set(-EINVAL, "the hooks to add are NULL");
	if (hooks->size < HOOKS_BYTES_MIN || hooks->size > HOOKS_BYTES_MAX)
		return error_set(-EINVAL, "gcheap_hooks.size is %zu: set it to sizeof(struct "
				 "gcheap_hooks)", hooks->size);
	for (i = sizeof(*hooks); i < hooks->size; i++) {
		if (bytes[i])
			return error_set(-E2BIG, "gcheap_hooks is of a newer libgcheap than this "
					 "one (%s), and uses a field that it does not have",
					 gcheap_version());
	}
	if (!hooks->cycle_begins && !hooks->cycle_ends && !hooks->out_of_memory)
		return error_set(-EINVAL, "gcheap_hooks has no function to call");
	return 0;
}

int gcheap_hooks_add(struct gcheap *heap, const struct gcheap_hooks *hooks)
{
	LIBRARY_ENTRY;
	struct hook **link;
	struct hook *hook;
	int error = hooks_check(heap, hooks);

	if (error)
		return error;
	hook = memory_zalloc(sizeof(*hook));
	if (!hook)
		return error_set(-ENOMEM, "out of memory for a heap's hooks");
	hook->hooks = *hooks;
	hook->hooks.size = sizeof(hook->hooks);
	world_lock(heap);
	for (link = &heap->hooks.first; *link; link = &(*link)->next)
		;
	__atomic_store_n(link, hook, __ATOMIC_RELEASE);
	world_unlock(heap);
	return 0;
}

void hooks_cycle_begins(struct gcheap *heap, struct thread *thread)
{
	const struct hook *hook;

	thread->is_in_hook = true;
	__atomic_store_n(&heap->hooks.beginning, thread->entry, __ATOMIC_RELAXED);
	for (hook = heap->hooks.first; hook; hook = hook->next) {
		if (hook->hooks.cycle_begins)
			hook->hooks.cycle_begins(heap, hook->hooks.arg);
	}
	__atomic_store_n(&heap->hooks.beginning, NULL, __ATOMIC_RELAXED);
	thread->is_in_hook = false;
}

int gcheap_hook_mark(struct gcheap *heap, void *const *slots, size_t n)
{
	int error;

	if (!heap || !heap_is_beginning(heap)) {
		error = heap_check(heap);
		return error ? error :
			error_set(-EINVAL, "gcheap_hook_mark() is for a hook's cycle_begins(): "
				  "use gcheap_root_add() elsewhere");
	}
	if ((!slots && n) || n > SIZE_MAX / sizeof(*slots))
		return error_set(-EINVAL, "%zu slots at %p are no memory", n,
				 (const void *)slots);
	mark_slots(heap->marker, slots, n);
	/* They may be on the stack of the hook. */
	mark_gathered(heap->marker);
	return 0;
}

void hooks_note(struct gcheap *heap, const struct cycle *cycle)
{
	uint64_t trigger = heap->pacer.trigger_bytes;

	if (!heap->hooks.first)
		return;
	heap->hooks.ended = (struct gcheap_cycle) {
		.size = sizeof(struct gcheap_cycle),
		.number = heap->stats.cycles,
		.reason = (enum gcheap_cycle_reason)cycle->reason,
		.markers = cycle->markers,
		.start_ns = cycle->start_ns - heap->opened_ns,
		.stop_ns = cycle->stop_ns,
		.flush_ns = cycle->flush_ns,
		.roots_ns = cycle->roots_ns,
		.mark_ns = cycle->mark_ns - cycle->roots_ns,
		.sweep_ns = cycle->sweep_ns,
		.root_bytes = cycle->root_bytes,
		.before_bytes = cycle->before_bytes,
		.live_bytes = heap->stats.live_bytes,
		.live_objects = heap->stats.live_objects,
		.goal_bytes = trigger == UINT64_MAX ? trigger : heap->pacer.live_bytes + trigger,
		.freed_spans = cycle->is_sweep_background ? UINT64_MAX : cycle->freed_spans,
	};
}

static void cycle_ended(struct thread *thread, const struct gcheap_cycle *cycle)
{
	struct gcheap *heap = thread->heap;
	const struct hook *hook;

	thread->is_in_hook = true;
	for (hook = hook_load(&heap->hooks.first); hook; hook = hook_load(&hook->next)) {
		if (hook->hooks.cycle_ends)
			hook->hooks.cycle_ends(heap, cycle, hook->hooks.arg);
	}
	thread->is_in_hook = false;
}

void hooks_unlock_world(struct thread *thread)
{
	struct gcheap *heap = thread->heap;
	struct gcheap_cycle ended = heap->hooks.ended;

	heap->hooks.ended.size = 0;
	world_unlock(heap);
	finalizer_thread_call(heap);
	if (ended.size)
		cycle_ended(thread, &ended);
}

bool hooks_out_of_memory(struct thread *thread, uint64_t bytes)
{
	struct gcheap *heap = thread->heap;
	const struct hook *hook;
	bool any = false;

	thread->is_in_hook = true;
	for (hook = hook_load(&heap->hooks.first); hook; hook = hook_load(&hook->next)) {
		if (!hook->hooks.out_of_memory)
			continue;
		hook->hooks.out_of_memory(heap, bytes, hook->hooks.arg);
		any = true;
	}
	thread->is_in_hook = false;
	/* One may have called fork(). */
	return any && heap_is_here(heap);
}
