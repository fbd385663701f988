/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * REFILL: the one request that a thread sends again and again. It takes spans with
 * free slots of one key for the thread's cache, and gives back those that the cache
 * has used up.
 */
#ifndef GCHEAP_CORE_REFILL_H
#define GCHEAP_CORE_REFILL_H

#include "heap.h"

/**
 * heap_refill_check() - validate the numbers of a REFILL, by which its arrays are bounded
 * @heap: the heap
 * @refill: the request
 */
int heap_refill_check(const struct heap *heap, const struct gcheap_refill *refill);

/**
 * heap_refill() - take spans, then take back those returned
 * @heap: the heap
 * @refill: a request that heap_refill_check() has passed; receives @out_granted
 * @returns: copy of its list of pages
 * @grants: room for @refill->grant_count
 *
 * Return: 0; -EINVAL or -ENOMEM, and nothing has changed.
 */
int heap_refill(struct heap *heap, struct gcheap_refill *refill,
		const u32 *returns, struct gcheap_grant *grants);

#endif /* GCHEAP_CORE_REFILL_H */
