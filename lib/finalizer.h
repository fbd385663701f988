/* SPDX-License-Identifier: MIT */
/*
 * Functions that run when objects have died: finalizers, before their object is freed, and
 * cleanups, afterwards (finalizer.c).
 */
#ifndef GCHEAP_LIB_FINALIZER_H
#define GCHEAP_LIB_FINALIZER_H

#include <stdbool.h>
#include <stdint.h>

struct gcheap;
struct special;
struct thread;

/* In these the lock of the specials is held. */

/* Mark what is kept for them: arguments, and what is to run or runs. Return: how many bytes. */
uint64_t finalizers_mark(struct gcheap *heap);

/**
 * struct dead - finalizers whose objects are not marked
 * @first: linked by @next
 * @count: how many there are
 * @waited: how many of them have waited before
 * @outermost: those that may run; all that are left of @first then, linked in the same way
 */
struct dead {
	struct special *first;
	uint64_t count;
	uint64_t waited;
	struct special *outermost;
};

/**
 * finalizers_settle() - see which finalizers may run
 * @heap: the heap, in whose cycle all that roots lead to is marked
 * @dead: those of its dead objects
 *
 * What these objects lead to is marked. Those to which no other one leads may run, and are marked,
 * too. Nothing is queued yet.
 */
void finalizers_settle(struct gcheap *heap, struct dead *dead);

/* Queue those that may run. They are still in the table, but belong out of it. */
void finalizers_queue(struct gcheap *heap, const struct dead *dead);

/* Queue the cleanups of an object. Their entry belongs out of the table, or has left it. */
void cleanups_queue(struct gcheap *heap, struct special *first);

/* How long the first of the queue has waited; 0: it is empty. */
uint64_t finalizers_wait_ns(const struct gcheap *heap);

/* ---- without the lock ------------------------------------------------------------ */

/* Whether anything is queued. */
bool finalizers_any_queued(struct gcheap *heap);

/* Has the library's own thread look at the queue, if there is one (finalizer_thread.h). */
void finalizers_wake(struct gcheap *heap);

/**
 * finalizers_run() - run what is queued
 * @thread: the calling thread, or NULL
 * @quits: begin no further one when this is not 0
 *
 * Return: how many have run, or -EINVAL, with gcheap_error() set.
 */
int finalizers_run(struct thread *thread, const uint32_t *quits);

/* A thread detaches, perhaps in the middle of a finalizer: what runs there has ended. */
void finalizers_detach(const struct thread *thread);

#endif /* GCHEAP_LIB_FINALIZER_H */
