// SPDX-License-Identifier: MIT
/*
 * Settings that a program may change while its heap is in use: when cycles start.
 *
 * The pacer is the cycles' (pacer.h): whoever changes it holds the world's lock, and waits
 * for a cycle that runs.
 */
#include <errno.h>

#include "entry.h"
#include "error.h"
#include "library.h"
#include "limit.h"
#include "world.h"

int gcheap_set_gc_percent(struct gcheap *heap, int32_t percent)
{
	LIBRARY_ENTRY;
	int error = heap_check(heap);

	if (error)
		return error;
	if (percent < -1)
		return error_set(-EINVAL, "gc_percent cannot be %d: 0 or more, or -1 for no cycle "
				 "by growth", percent);
	world_lock(heap);
	pacer_tune(&heap->pacer, percent, heap->pacer.memory_limit);
	world_unlock(heap);
	return 0;
}

int32_t gcheap_gc_percent(struct gcheap *heap)
{
	LIBRARY_ENTRY;
	int error = heap_check(heap);
	int32_t percent;

	if (error) {
		errno = -error;
		return -1;
	}
	world_lock(heap);
	percent = heap->pacer.gc_percent;
	world_unlock(heap);
	return percent;
}

int gcheap_set_memory_limit(struct gcheap *heap, uint64_t bytes)
{
	LIBRARY_ENTRY;
	int error = heap_check(heap);

	if (error)
		return error;
	world_lock(heap);
	pacer_tune(&heap->pacer, heap->pacer.gc_percent, bytes);
	/* What is free and too much goes now, and what is dead with the next cycle. */
	limit_keep(heap);
	world_unlock(heap);
	return 0;
}

uint64_t gcheap_memory_limit(struct gcheap *heap)
{
	LIBRARY_ENTRY;
	int error = heap_check(heap);
	uint64_t bytes;

	if (error) {
		errno = -error;
		return 0;
	}
	world_lock(heap);
	bytes = heap->pacer.memory_limit;
	world_unlock(heap);
	return bytes;
}

void gcheap_disable(struct gcheap *heap)
{
	LIBRARY_ENTRY;

	if (heap_check(heap))
		return;
	/* A cycle that somebody has begun is waited for: none runs when this returns. */
	world_lock(heap);
	__atomic_fetch_add(&heap->pacer.disabled, 1, __ATOMIC_RELAXED);
	world_unlock(heap);
}

void gcheap_enable(struct gcheap *heap)
{
	LIBRARY_ENTRY;

	if (heap_check(heap))
		return;
	world_lock(heap);
	if (heap->pacer.disabled)
		__atomic_fetch_sub(&heap->pacer.disabled, 1, __ATOMIC_RELAXED);
	else
		error_set(-EINVAL, "gcheap_enable() without a gcheap_disable(): cycles may start "
			  "already");
	world_unlock(heap);
}
