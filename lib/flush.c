// SPDX-License-Identifier: MIT
/*
 * Flushing a thread's caches: all their spans go back to the backend.
 */
#include "flush.h"

#include <errno.h>
#include <string.h>

#include "backend/backend.h"
#include "error.h"
#include "fast_tables.h"
#include "thread.h"

/* Returned at a time: for so few the module needs no memory, which it may not get. */
#define RETURNS_MAX	(CACHE_SPANS_MAX * 2)

_Static_assert(CACHE_SPANS_MAX * 2 <= GCHEAP_REFILL_MAX, "a batch has room for two caches");

static int send_returns(struct thread *thread, uint32_t *pages, uint32_t count)
{
	struct gcheap_refill refill = {
		.size = sizeof(refill),
		.return_count = count,
		.returns = (uintptr_t)pages,
	};
	int error = 0;

	if (count)
		error = backend_request(thread->heap->backend, GCHEAP_OP_REFILL, &refill);
	if (error)
		return error_set(error, "the backend did not take spans back: %s",
				 strerror(-error));
	return 0;
}

static void abandon_caches(struct thread *thread)
{
	struct cache *cache;

	for (cache = thread->caches; cache; cache = cache->next) {
		if (!thread->is_holding)
			memset(cache->held, 0, sizeof(cache->held));
		cache_abandon(cache);
	}
	fast_tables_redirect(thread);
	thread->is_holding = true;
}

int flush_caches(struct thread *thread)
{
	uint32_t pages[RETURNS_MAX];
	struct cache *first = thread->caches;
	struct cache *cache;
	uint32_t count = 0;

	if (!heap_is_here(thread->heap))
		return heap_check(thread->heap);
	thread->flushes++;
	/* Where each object is checked, inline functions take no slots. */
	if (thread->rest.is_anywhere && !heap_is_checked(thread->heap))
		abandon_caches(thread);
	for (cache = thread->caches; cache; cache = cache->next)
		cache_retire(thread, cache);

	/* Batches of whole caches: @first is the first of the batch in @pages. */
	for (cache = thread->caches;; cache = cache->next) {
		if (!cache || count + cache->exhausted_count > RETURNS_MAX) {
			int error = send_returns(thread, pages, count);

			if (error)
				return error;
			for (; first != cache; first = first->next)
				first->exhausted_count = 0;
			count = 0;
		}
		if (!cache)
			break;
		memcpy(pages + count, cache->exhausted,
		       cache->exhausted_count * sizeof(*pages));
		count += cache->exhausted_count;
	}
	/* What an inline function may be in the middle of is not another class's. */
	if (!thread->rest.is_anywhere)
		alloc_classes_flushed(thread);
	return 0;
}
