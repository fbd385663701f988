// SPDX-License-Identifier: MIT
/*
 * Attached threads.
 */
#define _GNU_SOURCE
#include "thread.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "flush.h"
#include "frame.h"

int gcheap_thread_attach(struct gcheap *heap, struct gcheap_thread **out)
{
	struct thread *nobody = NULL;
	struct thread *thread;
	unsigned int i;
	int error = heap_check(heap);

	if (error)
		return error;
	if (!out)
		return error_set(-EINVAL, "gcheap_thread_attach: thread is NULL");
	thread = calloc(1, sizeof(*thread));
	if (!thread)
		return error_set(-ENOMEM, "out of memory for a thread's tables");
	thread->heap = heap;
	thread->self = pthread_self();
	for (i = 0; i < GCHEAP_LEAVES_; i++)
		thread->fast.leaves[i] = &cache_no_slots;
	error = native_stack_find(&thread->native);
	/* Without conservative stacks, it only tells which frames have ended. */
	if (error && heap->flags & GCHEAP_CONSERVATIVE_STACKS) {
		free(thread);
		return error;
	}
	error = frames_init(thread);
	if (error) {
		free(thread);
		return error;
	}
	if (!__atomic_compare_exchange_n(&heap->thread, &nobody, thread, false,
					 __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
		free(thread->fast.frames);
		free(thread);
		return error_set(-EBUSY, "another thread is attached to this heap: detach it first "
				 "(one mutator at a time for now)");
	}
	*out = &thread->fast;
	return 0;
}

__attribute__((noinline))
void thread_free(struct thread *thread)
{
	frames_leave(thread, __builtin_frame_address(0));
	while (thread->blocks) {
		struct cache_block *block = thread->blocks;

		thread->blocks = block->next;
		cache_block_free(block);
	}
	free(thread->fast.frames);
	free(thread->fast.types);
	free(thread->type_alloc_classes);
	free(thread->type_next);
	alloc_classes_free(thread);
	free(thread);
}

uint64_t thread_memory(const struct thread *thread)
{
	return sizeof(*thread) + cache_blocks_memory(thread) + alloc_classes_memory(thread) +
	       thread->fast.type_count * (sizeof(*thread->fast.types) +
					  sizeof(*thread->type_alloc_classes) +
					  sizeof(*thread->type_next)) +
	       thread->fast.frames_room * sizeof(*thread->fast.frames);
}

void gcheap_thread_detach(struct gcheap_thread *fast)
{
	struct thread *thread = (struct thread *)fast;
	struct gcheap *heap;

	if (!thread)
		return;
	heap = thread->heap;
	/*
	 * Spans that the backend did not take back would stay cached, and no sweep could
	 * begin. It takes them, but from a process that is being killed.
	 */
	flush_caches(thread);
	__atomic_store_n(&heap->thread, NULL, __ATOMIC_RELEASE);
	thread_free(thread);
}

void gcheap_safepoint_slow_(struct gcheap_thread *thread)
{
	/* Nobody but the mutator collects yet: there is nothing to stop for. */
	__atomic_store_n(&thread->stop, 0, __ATOMIC_RELAXED);
}
