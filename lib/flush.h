/* SPDX-License-Identifier: MIT */
/*
 * Flushing caches (flush.c).
 */
#ifndef GCHEAP_LIB_FLUSH_H
#define GCHEAP_LIB_FLUSH_H

struct thread;

/**
 * flush_caches() - return all cached spans to the backend
 * @thread: whose
 *
 * Return: 0 or a negative errno: spans are still cached then, and the next REFILL
 * or flush returns them. No cache has a window either way, and all alloc bits are
 * up to date.
 */
int flush_caches(struct thread *thread);

#endif /* GCHEAP_LIB_FLUSH_H */
