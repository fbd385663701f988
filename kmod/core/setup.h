/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What SETUP makes and the last close destroys.
 */
#ifndef GCHEAP_CORE_SETUP_H
#define GCHEAP_CORE_SETUP_H

#include "heap.h"

/**
 * heap_setup_check() - validate a SETUP request, and answer what does not depend
 *	on the heap
 * @setup: the request; @reserve_bytes is replaced by the default where it is 0,
 *	and the outputs are filled
 * @flags: GCHEAP_SETUP_* that the caller can do, but for those that are the
 *	logic's own: GCHEAP_SETUP_RECORD_TYPES
 * @features: GCHEAP_FEATURE_* that it adds to those of every port
 *
 * Return: 0, -EINVAL or -EOPNOTSUPP.
 */
int heap_setup_check(struct gcheap_setup *setup, u32 flags, u64 features);

/**
 * heap_init() - make a heap
 * @heap: zeroed memory, of which the port's functions can find what they need
 * @setup: a request that heap_setup_check() has passed
 *
 * Return: 0 or -ENOMEM, and nothing is left to free then but the table pages
 * that the port has made.
 */
int heap_init(struct heap *heap, const struct gcheap_setup *setup);

/* Frees all of a heap but its table pages and memory, which are the port's. */
void heap_destroy(struct heap *heap);

#endif /* GCHEAP_CORE_SETUP_H */
