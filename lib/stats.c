// SPDX-License-Identifier: MIT
/*
 * A heap's figures: what the library counts, what the backend counts, and how much memory
 * the parts of the library take.
 */
#include <errno.h>
#include <string.h>

#include "backend/backend.h"
#include "error.h"
#include "library.h"
#include "mark.h"
#include "thread.h"

static void stats_collect(const struct gcheap *heap, struct gcheap_stats *stats)
{
	const struct gcheap_counters *counters = &heap->view.ctrl->counters;
	uint64_t pages = counters->heap_pages;

	*stats = heap->stats;
	stats->mapped_bytes = pages << GCHEAP_PAGE_SHIFT;
	stats->resident_bytes = counters->resident_bytes;
	/* Page 0 exists and is nobody's. */
	if (pages)
		pages -= 1 + counters->in_use_pages + counters->quarantined_pages;
	stats->free_bytes = pages << GCHEAP_PAGE_SHIFT;
	stats->metadata_bytes = counters->table_bytes + marker_memory(heap->marker) +
				heap->roots.capacity *
				(sizeof(struct root) + sizeof(size_t)) +
				heap->roots.mask_bytes +
				heap->stacks.capacity * sizeof(struct stack) + sizeof(*heap);
	stats->swept_spans = counters->swept_spans;
	stats->freed_spans = counters->freed_spans;
	stats->requests = heap->backend->requests;
	if (heap->thread) {
		cache_allocated(heap->thread, &stats->allocated_objects, &stats->allocated_bytes);
		stats->metadata_bytes += thread_memory(heap->thread);
	}
}

int gcheap_stats_get(struct gcheap *heap, struct gcheap_stats *out)
{
	struct gcheap_stats stats;
	size_t size;
	int error = heap_check(heap);

	if (error)
		return error;
	if (!out)
		return error_set(-EINVAL, "the figures to fill in are NULL");
	size = out->size;
	if (size < offsetof(struct gcheap_stats, live_bytes))
		return error_set(-EINVAL, "set size to sizeof(struct gcheap_stats) before calling "
				 "gcheap_stats(): it is %zu", size);
	/* A program may have been compiled with another version's struct. */
	if (size > sizeof(stats)) {
		memset((char *)out + sizeof(stats), 0, size - sizeof(stats));
		size = sizeof(stats);
	}
	stats_collect(heap, &stats);
	stats.size = out->size;
	memcpy(out, &stats, size);
	return 0;
}

int gcheap_stats(struct gcheap *heap, struct gcheap_stats *out)
{
	return gcheap_stats_get(heap, out);
}
