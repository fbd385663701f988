/* SPDX-License-Identifier: MIT */
/*
 * A thread of the library's own that runs finalizers and cleanups, in heaps of
 * GCHEAP_FINALIZER_THREAD (finalizer_thread.c).
 */
#ifndef GCHEAP_LIB_FINALIZER_THREAD_H
#define GCHEAP_LIB_FINALIZER_THREAD_H

#include "library.h"

/*
 * Has what may be queued run: wakes the thread, or makes it. The caller holds no lock, and has
 * stopped nobody. That it cannot be made is no error: a later call tries again.
 */
void finalizer_thread_call_slow(struct gcheap *heap);

static inline void finalizer_thread_call(struct gcheap *heap)
{
	if (heap->flags & GCHEAP_FINALIZER_THREAD)
		finalizer_thread_call_slow(heap);
}

/*
 * Ends it for good, when what it runs now has returned. The calling thread rests while it waits.
 * The heap is this process's.
 */
void finalizer_thread_end(struct gcheap *heap);

/* Whether it is the calling thread, attached or not. */
bool finalizer_thread_is_self(const struct gcheap *heap);

#endif /* GCHEAP_LIB_FINALIZER_THREAD_H */
