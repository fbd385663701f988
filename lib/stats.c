// SPDX-License-Identifier: MIT
/*
 * A heap's figures: what the library counts, what the backend counts, and how much memory
 * the parts of the library take.
 */
#include <errno.h>
#include <string.h>

#include "backend/backend.h"
#include "entry.h"
#include "error.h"
#include "finalizer.h"
#include "library.h"
#include "mark.h"
#include "thread.h"
#include "world.h"

/* What the tables of roots, stacks and specials take. */
static uint64_t tables_memory(struct gcheap *heap, struct gcheap_stats *stats)
{
	uint64_t bytes;

	pthread_mutex_lock(&heap->lock);
	bytes = heap->roots.capacity * (sizeof(struct root) + sizeof(size_t)) +
		heap->roots.mask_bytes + heap->stacks.capacity * sizeof(struct stack);
	pthread_mutex_unlock(&heap->lock);
	specials_lock(heap);
	bytes += pool_memory(&heap->specials.records) + pool_memory(&heap->specials.tree.nodes) +
		 heap->specials.map_bytes;
	stats->specials = heap->specials.tree.count;
	stats->finalizers_queued = heap->specials.queued - heap->specials.begun;
	stats->finalizers_run = heap->specials.ended;
	stats->finalizer_wait_ns = finalizers_wait_ns(heap);
	stats->finalizer_cycles = heap->specials.cyclic;
	specials_unlock(heap);
	return bytes;
}

/* The world's lock is held. */
static void stats_collect(struct gcheap *heap, struct gcheap_stats *stats)
{
	const struct gcheap_counters *counters = &heap->view.ctrl->counters;
	uint64_t pages = ctrl_load(&counters->heap_pages);
	const struct thread *thread;

	*stats = heap->stats;
	stats->mapped_bytes = pages << GCHEAP_PAGE_SHIFT;
	stats->resident_bytes = ctrl_load(&counters->resident_bytes);
	/* Page 0 exists and is nobody's. */
	if (pages)
		pages -= 1 + ctrl_load(&counters->in_use_pages) +
			 ctrl_load(&counters->quarantined_pages);
	stats->free_bytes = pages << GCHEAP_PAGE_SHIFT;
	stats->metadata_bytes = ctrl_load(&counters->table_bytes) + marker_memory(heap->marker) +
				tables_memory(heap, stats) + sizeof(*heap);
	stats->swept_spans = ctrl_load(&counters->swept_spans);
	stats->freed_spans = ctrl_load(&counters->freed_spans);
	arenas_lock(heap);
	stats->arena_chunks = heap->arenas.used_chunks;
	stats->arena_live_bytes = heap->arenas.live_bytes;
	stats->metadata_bytes += pool_memory(&heap->arenas.records);
	arenas_unlock(heap);
	stats->requests = __atomic_load_n(&heap->backend->requests, __ATOMIC_RELAXED);
	stats->allocated_objects = __atomic_load_n(&heap->allocated_objects, __ATOMIC_RELAXED);
	stats->allocated_bytes = __atomic_load_n(&heap->allocated_bytes, __ATOMIC_RELAXED);
	for (thread = heap->world.threads; thread; thread = thread->next) {
		cache_allocated(thread, &stats->allocated_objects, &stats->allocated_bytes);
		stats->metadata_bytes += __atomic_load_n(&thread->memory_bytes, __ATOMIC_RELAXED);
	}
}

/* No release's struct is longer: a size that is not set writes no further. */
#define STATS_BYTES_MAX		4096u

int gcheap_stats_get(struct gcheap *heap, struct gcheap_stats *out)
{
	LIBRARY_ENTRY;
	struct gcheap_stats stats;
	size_t size;
	int error = heap_check(heap);

	if (error)
		return error;
	if (!out)
		return error_set(-EINVAL, "the figures to fill in are NULL");
	size = out->size;
	if (size < offsetof(struct gcheap_stats, live_bytes) || size > STATS_BYTES_MAX)
		return error_set(-EINVAL, "set size to sizeof(struct gcheap_stats) before calling "
				 "gcheap_stats(): it is %zu", size);
	/* A program may have been compiled with another version's struct. */
	if (size > sizeof(stats)) {
		memset((char *)out + sizeof(stats), 0, size - sizeof(stats));
		size = sizeof(stats);
	}
	world_lock(heap);
	stats_collect(heap, &stats);
	world_unlock(heap);
	stats.size = out->size;
	memcpy(out, &stats, size);
	return 0;
}

int gcheap_stats(struct gcheap *heap, struct gcheap_stats *out)
{
	return gcheap_stats_get(heap, out);
}
