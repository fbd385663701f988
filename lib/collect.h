/* SPDX-License-Identifier: MIT */
/*
 * A collection (collect.c).
 */
#ifndef GCHEAP_LIB_COLLECT_H
#define GCHEAP_LIB_COLLECT_H

#include <stdint.h>

struct gcheap;
struct thread;

/**
 * collect_before_alloc() - collect if it is time to
 * @thread: the calling mutator
 * @bytes: how much it is about to take
 *
 * A cycle that fails is no reason to fail the allocation: it is tried again. On a stack
 * that is not known, and while frames are lost, every cycle would fail, and the heap grow
 * until it is full.
 *
 * Return: 0; a cycle is due, and -EINVAL the thread is on an unknown stack, or -ENOMEM
 * there was no memory for a frame, with gcheap_error() set.
 */
int collect_before_alloc(struct thread *thread, uint64_t bytes);

/**
 * collect_for_memory() - run a full cycle because the backend has no memory
 * @thread: the calling mutator
 *
 * Return: 0 or a negative errno, with gcheap_error() set; -ENOMEM also where no cycle may
 * start by itself. After an error nothing has been freed that the cycle did not find dead,
 * and the heap is in use as before; its caches may be empty.
 */
int collect_for_memory(struct thread *thread);

/*
 * Whether all roots can be read, by @self, the calling thread's handle or NULL, while all others
 * rest: 0; else what a cycle would miss, with gcheap_error() set.
 */
int collect_roots_are_known(const struct gcheap *heap, const struct thread *self);

#endif /* GCHEAP_LIB_COLLECT_H */
