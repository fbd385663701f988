// SPDX-License-Identifier: MIT
/*
 * Refilling a cache, with spans that the backend grants for those that it takes back.
 *
 * A REFILL asks for one span at first, then for twice as much each time up to
 * CACHE_WANT_MAX, so that a busy cache sends one request for 256 KiB of objects and a
 * type with few objects holds one span. A flush, which each cycle does, sets it to a
 * quarter of what the cache took since the last.
 */
#include "refill.h"

#include <errno.h>
#include <string.h>

#include "backend/backend.h"
#include "collect.h"
#include "error.h"
#include "hooks.h"
#include "layout/layout.h"
#include "limit.h"
#include "size_classes.h"
#include "thread.h"

static int refill_send(struct thread *thread, struct cache *cache)
{
	const struct cache_key *key = &cache->key;
	struct gcheap_refill refill = {
		.size = sizeof(refill),
		.flags = key->shared && thread->heap->layout->own_spans ? GCHEAP_REFILL_MIXED : 0,
		.type = cache->type,
		.size_class = key->size_class,
		.want_bytes = cache->want_bytes,
		.return_count = cache->exhausted_count,
		.grant_count = CACHE_SPANS_MAX,
		.returns = (uintptr_t)cache->exhausted,
		.grants = (uintptr_t)cache->stock,
	};
	uint64_t bytes = 0;
	uint32_t i;
	int error;

	error = backend_request(thread->heap->backend, GCHEAP_OP_REFILL, &refill);
	if (error)
		return error;
	cache->exhausted_count = 0;
	cache->stock_next = 0;
	cache->stock_end = refill.out_granted;
	for (i = 0; i < refill.out_granted; i++)
		bytes += (uint64_t)cache->stock[i].free_slots * size_class_bytes[key->size_class];
	cache->granted_bytes += bytes;
	if (cache->want_bytes < CACHE_WANT_MAX)
		cache->want_bytes = cache->want_bytes * 2 < CACHE_WANT_MAX ?
				    cache->want_bytes * 2 : CACHE_WANT_MAX;
	return 0;
}

/* The cache has no span: take some. */
static int refill_spans(struct thread *thread, struct cache *cache)
{
	int error;

	/* All that was granted has been taken, or this cache would have a span. */
	pacer_take(&thread->heap->pacer, cache->granted_bytes - cache->paced_bytes);
	cache->paced_bytes = cache->granted_bytes;
	/* A cycle may flush this cache: what it has to return is looked at after. */
	error = collect_before_alloc(thread, cache->want_bytes);
	if (error)
		return error;
	error = refill_send(thread, cache);
	if (error == -ENOMEM) {
		/* Why there can be no cycle is what a person must know. */
		if (collect_for_memory(thread))
			return -ENOMEM;
		error = refill_send(thread, cache);
	}
	if (error == -ENOMEM && hooks_out_of_memory(thread, cache->want_bytes) &&
	    !collect_for_memory(thread))
		error = refill_send(thread, cache);
	if (!heap_is_here(thread->heap))
		return heap_check(thread->heap);
	if (error == -ENOMEM)
		return error_set(error, "out of memory: the heap's reserve, a memory limit or the "
				 "machine has no room for %u bytes of objects; raise the limit or "
				 "drop references", cache->want_bytes);
	if (error)
		return error_set(error, "the backend refused a refill: %s", strerror(-error));
	limit_keep(thread->heap);
	return 0;
}

int refill_cache(struct thread *thread, struct cache *cache)
{
	int error;

	/* In a child of fork() the cache is zeros and must stay so. */
	if (!heap_is_here(thread->heap))
		return heap_check(thread->heap);
	if (thread_hindrance(thread))
		return error_set(-EINVAL, "%s", thread_hindrance(thread));
	while (!cache_open_window(thread, cache)) {
		thread->filling = cache;
		error = refill_spans(thread, cache);
		thread->filling = NULL;
		if (error)
			return error;
	}
	return 0;
}
