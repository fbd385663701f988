/* SPDX-License-Identifier: MIT */
/*
 * The world: a heap's attached threads, and how they are stopped for a cycle (world.c).
 *
 *	runs	the thread is in the program, or in a function of the library that it called
 *	rests	it waits in the library, or has promised by gcheap_park() not to touch the
 *		heap. Its stack, registers and frames are noted, and its caches are nobody's:
 *		who holds the world's lock may read and flush them
 *
 * Who runs a cycle takes the world's lock, asks all others to rest, waits until they do,
 * and wakes them when it is done. A thread looks whether it is asked to in
 * gcheap_safepoint(), before each REFILL and each large object, and before it runs on after
 * a rest. It rests as well while it waits for the lock, so that of two that want a cycle
 * one gets it, and the other finds it done.
 *
 * One thread of the system may be attached to several heaps. While it works for one, or waits
 * for one, it rests for the others (rest.h): two that collect two heaps never wait for each
 * other.
 *
 *	collector			another thread
 *	stop = 1			state = rests
 *	(all see it)			(all see it)
 *	look at state			look at stop
 *
 * Of the two looks one at least sees the other's store: either the collector finds the
 * thread at rest, or the thread finds that it is waited for.
 *
 * Lock order: world, then the heap's lock, then the backend's own.
 */
#ifndef GCHEAP_LIB_WORLD_H
#define GCHEAP_LIB_WORLD_H

#include <stdbool.h>

#include "library.h"

struct thread;

/**
 * world_choose_signal() - have a signal for threads that do not stop by themselves
 * @wanted: its number; 0: any that is free; negative: none
 *
 * There is one for the process, which stays. Return: 0; -EBUSY @wanted is somebody else's, or
 * another one was chosen before, with gcheap_error() set.
 */
int world_choose_signal(int wanted);

/* Puts a thread on its heap's list, and on the calling system thread's. */
void world_attach(struct thread *thread);

/* Takes it off its heap's. The world's lock is held, and its caches are flushed. */
void world_detach(struct thread *thread);

/*
 * Takes a heap's world lock: nobody else runs a cycle, attaches, or detaches. Whoever is
 * attached to the heap rests while it waits.
 */
void world_lock(struct gcheap *heap);
void world_unlock(struct gcheap *heap);

/**
 * world_stop() - have all other threads of a heap rest
 * @heap: whose world's lock is held
 * @self: the calling thread's handle, which goes on; or NULL
 */
void world_stop(struct gcheap *heap, const struct thread *self);

/**
 * struct world_wait - how the stop of a heap's threads goes
 * @heap: the heap
 * @self: the calling thread's handle, or NULL
 * @begin_ns: when it began
 * @patience_ns: how long the next try waits for threads that do not come
 * @has_complained: one of them was named on stderr
 * @by_kernel: the kernel stops those that do not come by themselves, without the signal
 */
struct world_wait {
	struct gcheap *heap;
	const struct thread *self;
	uint64_t begin_ns;
	uint64_t patience_ns;
	bool has_complained;
	bool by_kernel;
};

/*
 * The parts of world_stop(), for who takes a lock that threads may have outside of the library:
 * begin; try with the lock, until a try returns true; and before each other try pause without.
 *
 * A thread may be late because it waits, in the library, for what another one has that a signal
 * has stopped: memory, the loader. So in a pause those go on that a signal has stopped.
 */
void world_stop_begin(struct world_wait *wait, struct gcheap *heap, const struct thread *self);
bool world_stop_try(struct world_wait *wait);
void world_stop_pause(struct world_wait *wait);

/*
 * Whether the stacks of all threads at rest but @self are known: 0 or -EINVAL, with
 * gcheap_error() set.
 */
int world_stacks_are_known(const struct gcheap *heap, const struct thread *self);

/* Has them run again. */
void world_start(struct gcheap *heap, const struct thread *self);

/*
 * Rests if one of the calling thread's heaps asks for it, whichever it works for: it could do so
 * for long. None of its handles is in a state that a flush of its caches would break.
 */
void world_poll(void);

#endif /* GCHEAP_LIB_WORLD_H */
