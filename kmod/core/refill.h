/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * REFILL: the one request that a thread sends again and again. It takes spans with
 * free slots of one key for the thread's cache, and gives back those that the cache
 * has used up.
 */
#ifndef GCHEAP_CORE_REFILL_H
#define GCHEAP_CORE_REFILL_H

#include "heap.h"
#include "span.h"

/**
 * heap_refill_check() - validate a REFILL and the pages that it returns
 * @heap: the heap
 * @refill: the request
 * @returns: copy of its list of pages, or NULL to look at the numbers only
 * @key: the key of the spans wanted, when @returns is not NULL
 */
int heap_refill_check(struct heap *heap, const struct gcheap_refill *refill,
		      const u32 *returns, struct span_key *key);

/**
 * heap_refill() - take spans, then take back those returned
 * @heap: the heap
 * @refill: a request that heap_refill_check() has passed; receives @out_granted
 * @returns: copy of its list of pages
 * @grants: room for @refill->grant_count
 * @key: from heap_refill_check()
 *
 * Return: 0; -ENOMEM and nothing has changed.
 */
int heap_refill(struct heap *heap, struct gcheap_refill *refill,
		const u32 *returns, struct gcheap_grant *grants,
		const struct span_key *key);

#endif /* GCHEAP_CORE_REFILL_H */
