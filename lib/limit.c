// SPDX-License-Identifier: MIT
/*
 * The memory limit, as far as it is about resident memory.
 *
 * The pacer has cycles start before what is live and what was taken since are more than
 * the limit. What a cycle frees is kept for what comes next, so that without more a heap
 * would stay as large as it ever was. So when object memory is more than the limit, free
 * memory beyond it is given back: at the end of a cycle, and after each request that got
 * memory, since a sweep frees some in between.
 *
 * This cannot go on in circles for nothing: what is given back is never more than the
 * heap has grown beyond its limit since the last time, or than a cycle has freed. If more
 * of a program is alive than its limit allows, all free memory is given back, a MiB or so
 * for each cycle, which is little beside the marking.
 */
#include "limit.h"

#include "backend/backend.h"
#include "library.h"

/* Bytes of object memory above the limit; 0: none, or there is no limit. */
static uint64_t limit_excess(const struct gcheap *heap)
{
	const struct gcheap_counters *counters = &heap->view.ctrl->counters;
	uint64_t limit = __atomic_load_n(&heap->pacer.memory_limit, __ATOMIC_RELAXED);
	uint64_t bytes;

	if (!limit)
		return 0;
	bytes = ctrl_load(&counters->resident_bytes) + ctrl_load(&counters->stock_bytes);
	return bytes > limit ? bytes - limit : 0;
}

bool limit_is_exceeded(const struct gcheap *heap)
{
	return limit_excess(heap);
}

void limit_keep(struct gcheap *heap)
{
	const struct gcheap_counters *counters = &heap->view.ctrl->counters;
	struct gcheap_scavenge scavenge = { .size = sizeof(scavenge) };

	scavenge.max_bytes = limit_excess(heap);
	if (!scavenge.max_bytes ||
	    !(ctrl_load(&counters->free_bytes) + ctrl_load(&counters->stock_bytes)))
		return;
	/* What cannot go now goes after the next request. */
	backend_request(heap->backend, GCHEAP_OP_SCAVENGE, &scavenge);
}
