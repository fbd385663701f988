// SPDX-License-Identifier: MIT
/*
 * Attached threads.
 */
#define _GNU_SOURCE
#include "thread.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arena_record.h"
#include "entry.h"
#include "error.h"
#include "fast_tables.h"
#include "finalizer.h"
#include "flush.h"
#include "frame.h"
#include "mark.h"
#include "rest.h"
#include "world.h"

/* ---- a system thread ends ----------------------------------------------------- */

static pthread_once_t end_once = PTHREAD_ONCE_INIT;
static pthread_key_t end_key;
static int end_error;

void thread_end_self(void)
{
	struct thread *thread;

	/* It may have ended in a hook, so that functions of the library never returned. */
	entry_state.depth = 0;
	rest_own_reap();
	while ((thread = rest_own_threads)) {
		thread->is_in_hook = false;
		gcheap_thread_detach(&thread->fast);
	}
}

static void end_detach(void *unused)
{
	(void)unused;
	thread_end_self();
}

static void end_init(void)
{
	end_error = -pthread_key_create(&end_key, end_detach);
}

/* From here on the end of the calling thread detaches it, if it has not done so. */
static int end_is_noticed(void)
{
	int error;

	pthread_once(&end_once, end_init);
	error = end_error ? end_error : -pthread_setspecific(end_key, &end_key);
	if (error)
		return error_set(error, "no key of the C library is left to notice a thread's end "
				 "with: %s", strerror(-error));
	return 0;
}

/* ---- threads of the library's own ---------------------------------------------- */

static __thread const struct gcheap *served __attribute__((tls_model("initial-exec")));
static __thread pid_t served_in __attribute__((tls_model("initial-exec")));

void thread_serve(const struct gcheap *heap)
{
	served = heap;
	served_in = getpid();
}

bool thread_serves(const struct gcheap *heap)
{
	/* In a child of fork() another heap may be where that one was. */
	return served == heap && served && served_in == getpid();
}

/* ---- attach and detach ----------------------------------------------------------- */

int gcheap_thread_attach(struct gcheap *heap, struct gcheap_thread **out)
{
	LIBRARY_ENTRY;
	static uint64_t attached;
	struct thread *thread;
	unsigned int i;
	int error = heap_check(heap);

	if (error)
		return error;
	if (!out)
		return error_set(-EINVAL, "gcheap_thread_attach: thread is NULL");
	if (rest_self(heap))
		return error_set(-EBUSY, "this thread is attached to the heap already");
	thread = calloc(1, sizeof(*thread));
	if (!thread)
		return error_set(-ENOMEM, "out of memory for a thread's tables");
	thread->heap = heap;
	thread->number = __atomic_add_fetch(&attached, 1, __ATOMIC_RELAXED);
	thread->self = pthread_self();
	thread->tid = gettid();
	thread->is_of_library = thread_serves(heap);
	thread->entry = &entry_state;
	thread->pointer = loaded_thread_pointer();
	thread->memory_bytes = sizeof(*thread);
	for (i = 0; i < GCHEAP_LEAVES_; i++)
		thread->fast.leaves[i] = &cache_no_slots;
	error = native_stack_find(&thread->native);
	/* Without conservative stacks, it only tells which frames have ended. */
	if (error && heap->flags & GCHEAP_CONSERVATIVE_STACKS)
		goto free_thread;
	error = frames_init(thread);
	if (error)
		goto free_thread;
	error = end_is_noticed();
	if (error)
		goto free_frames;
	world_attach(thread);
	*out = &thread->fast;
	return 0;

free_frames:
	free(thread->fast.frames);
free_thread:
	free(thread);
	return error;
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
	fast_tables_free(thread);
	alloc_classes_free(thread);
	/* Another system thread has it on its list, and may be looking at it for another heap. */
	if (!pthread_equal(thread->self, pthread_self()) && heap_is_here(thread->heap)) {
		__atomic_fetch_add(&thread->heap->references, 1, __ATOMIC_RELAXED);
		__atomic_store_n(&thread->is_orphan, true, __ATOMIC_RELEASE);
		return;
	}
	rest_own_remove(thread);
	free(thread->fast.frames);
	free(thread);
}

bool thread_any_of_program(const struct gcheap *heap)
{
	const struct thread *thread = heap->world.threads;

	while (thread && thread->is_of_library)
		thread = thread->next;
	return thread;
}

struct gcheap_thread *gcheap_thread_self(struct gcheap *heap)
{
	struct thread *thread = heap ? rest_self(heap) : NULL;

	return thread ? &thread->fast : NULL;
}

void gcheap_thread_detach(struct gcheap_thread *fast)
{
	LIBRARY_ENTRY;
	struct thread *thread = (struct thread *)fast;
	struct gcheap *heap;
	bool is_last;
	int error = errno;

	if (!thread)
		return;
	heap = thread->heap;
	if (!pthread_equal(thread->self, pthread_self()) && heap_is_here(heap)) {
		errno = -error_set(-EINVAL, "a thread is detached by itself: this is another one's "
				   "handle");
		return;
	}
	if (thread->is_in_hook && heap_is_here(heap)) {
		errno = -error_set(-EINVAL, THREAD_IS_IN_HOOK);
		return;
	}
	if (!heap_is_here(heap)) {
		/* Nobody else is in the child of a fork(), and the lock may be held for good. */
		world_detach(thread);
		thread_free(thread);
		return;
	}
	gcheap_unpark(fast);
	finalizers_detach(thread);
	world_lock(heap);
	/*
	 * Spans that the backend did not take back would stay cached, and no sweep could
	 * begin. It takes them, but from a process that is being killed.
	 */
	flush_caches(thread);
	arenas_detach(thread);
	world_detach(thread);
	/* Perhaps no thread of the program is left, and the process is to end. */
	is_last = !thread_any_of_program(heap);
	if (is_last)
		marker_send_home(heap->marker);
	world_unlock(heap);
	if (is_last && !thread->is_of_library)
		finalizers_wake(heap);
	thread_free(thread);
	errno = error;
}
