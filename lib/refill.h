/* SPDX-License-Identifier: MIT */
/*
 * Refilling caches (refill.c).
 */
#ifndef GCHEAP_LIB_REFILL_H
#define GCHEAP_LIB_REFILL_H

struct cache;
struct thread;

/**
 * refill_cache() - give a cache without free slots a window with some
 * @thread: whose
 * @cache: one of its caches
 *
 * May collect.
 *
 * Return: 0; a negative errno, with gcheap_error() set.
 */
int refill_cache(struct thread *thread, struct cache *cache);

#endif /* GCHEAP_LIB_REFILL_H */
