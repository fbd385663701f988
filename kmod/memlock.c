// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * This file counts what a heap has in memory while its owner has HEAP not mapped.
 *
 * Mapped pages count in RSS, which is how people and the OOM killer see who has the
 * memory. A heap's memory is never swapped, so that nobody could see or take what is not
 * mapped. The module therefore counts it as pinned (VmPin), against RLIMIT_MEMLOCK unless
 * the process has CAP_IPC_LOCK, as the kernel counts buffers that are registered with
 * io_uring or a network card.
 *
 *	a request	gets -ENOMEM if it wants more than the limit allows
 *	munmap()	cannot be refused. If the heap is over the limit after it, the
 *			module gives all memory of the heap back to the system:
 *			requests and mmap() get -ENXIO from then on
 *
 * madvise(MADV_DONTNEED) of HEAP is not seen here.
 */
#include <linux/capability.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>

#include "memlock.h"
#include "module.h"
#include "page_pool.h"

static long memlock_pages(struct gcheap_heap *heap)
{
	return atomic_long_read(&heap->resident_pages) + (long)pool_pages(heap);
}

/* Whether so many pages are too much for the calling owner. */
static bool over_memlock(long pages)
{
	return pages > (long)(rlimit(RLIMIT_MEMLOCK) >> PAGE_SHIFT) && !capable(CAP_IPC_LOCK);
}

/**
 * memlock_update() - count what is not mapped, or no more what was not
 * @heap: the heap, which has an owner
 *
 * Context: any.
 */
void memlock_update(struct gcheap_heap *heap)
{
	long pages;

	spin_lock(&heap->pinned_lock);
	pages = heap->live && !READ_ONCE(heap->base) ? memlock_pages(heap) : 0;
	atomic64_add(pages - heap->pinned_pages, &heap->owner->pinned_vm);
	heap->pinned_pages = pages;
	spin_unlock(&heap->pinned_lock);
}

/**
 * memlock_count() - a heap may have more memory, or less, than it had
 * @heap: the heap, which may have no owner yet
 *
 * Context: @heap->lock is held.
 */
void memlock_count(struct gcheap_heap *heap)
{
	lockdep_assert_held(&heap->lock);
	if (heap->live && !READ_ONCE(heap->base))
		memlock_update(heap);
}

/**
 * memlock_may() - whether a heap may have more memory
 * @heap: the heap, whose owner calls
 * @count: how many pages it wants
 *
 * Context: @heap->lock is held.
 */
bool memlock_may(struct gcheap_heap *heap, unsigned long count)
{
	unsigned long pool = pool_pages(heap);
	long others;

	if (READ_ONCE(heap->base))
		return true;
	others = atomic64_read(&heap->owner->pinned_vm) - READ_ONCE(heap->pinned_pages);
	return !over_memlock(others + memlock_pages(heap) + (long)(count - min(count, pool)));
}

/**
 * memlock_unmapped() - the owner has unmapped HEAP
 * @heap: the heap
 *
 * Context: the owner's mmap_lock is held, perhaps for reading only.
 * Return: whether it may not keep so much: its memory is to go.
 */
bool memlock_unmapped(struct gcheap_heap *heap)
{
	memlock_update(heap);
	if (!heap->pinned_pages || !over_memlock(atomic64_read(&heap->owner->pinned_vm)))
		return false;
	WRITE_ONCE(heap->forsaken, true);
	return true;
}
