// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What happens when a heap's owner ends: the heap's memory goes with it.
 *
 * A heap's memory belongs to the address space that made the heap. It all goes when that
 * address space ends, although others may still have the file open or mapped. It also
 * goes, and the heap is of no use any more, when the owner unmaps a heap that has more
 * than the owner may keep unmapped (memlock.c).
 */
#include <linux/jiffies.h>
#include <linux/sched/mm.h>
#include <linux/timer.h>
#include <linux/workqueue.h>

#include "compat.h"
#include "memlock.h"
#include "module.h"
#include "on_touch.h"
#include "owner.h"
#include "page_pool.h"
#include "pages.h"
#include "pressure.h"
#include "region_pages.h"

/**
 * owner_forsook() - give the memory of a heap back that its owner may not keep
 * @heap: the heap
 *
 * Context: may sleep; @heap->lock is held.
 */
void owner_forsook(struct gcheap_heap *heap)
{
	const struct gcheap_range all = { .npages = heap->core.heap_pages };

	if (!heap->live)
		return;
	pages_release(heap, &all, 1);
	pool_trim(heap, ULONG_MAX);
	memlock_update(heap);
}

/* Takes all pages of a heap from all address spaces, for ever. */
static void unmap_all(struct gcheap_heap *heap)
{
	unsigned int flags = fault_lock(heap);

	WRITE_ONCE(heap->ended, true);
	fault_unlock(heap, flags);
	/* No fault maps a page any more; some have. */
	unmap_mapping_range(heap->inode->i_mapping, 0, 0, 1);
}

/**
 * owner_ended() - free a heap's memory and tables
 * @heap: the heap, whose owner has ended; others may have mapped it
 *
 * Does nothing when that was done before, or when there was no SETUP.
 *
 * Context: may sleep; @heap->lock is held, or @heap is known to nobody else.
 */
void owner_ended(struct gcheap_heap *heap)
{
	if (!heap->live)
		return;
	heap->live = false;
	memlock_update(heap);
	unmap_all(heap);
	pressure_heap_end(heap);
	heap_destroy(&heap->core);
	on_touch_destroy(heap);
	pages_destroy(heap);
	region_pages_destroy(heap);
}

/*
 * When an address space ends that has regions mapped, region_close() of region.c
 * is told. One that has unmapped them all, and has passed the file on, is looked
 * at once a second until it ends or maps a region again. An mmu_notifier would be
 * told at once, but all page table changes of the process would have to ask it;
 * and to register it fails while a signal is pending.
 */
static void owner_look(struct work_struct *work)
{
	struct gcheap_heap *heap = container_of(to_delayed_work(work), struct gcheap_heap,
						owner_watch);

	if (!atomic_read(&heap->owner->mm_users)) {
		mutex_lock(&heap->lock);
		owner_ended(heap);
		mutex_unlock(&heap->lock);
		return;
	}
	if (READ_ONCE(heap->forsaken)) {
		mutex_lock(&heap->lock);
		owner_forsook(heap);
		mutex_unlock(&heap->lock);
	}
	if (!atomic_read(&heap->owner_maps))
		owner_watch(heap, HZ);
}

/**
 * owner_watch() - look later whether a heap's owner has ended
 * @heap: the heap, which has no region mapped by its owner, or could not be emptied
 * @delay: in jiffies
 *
 * Context: any that does not hold the last reference to the file.
 */
void owner_watch(struct gcheap_heap *heap, unsigned long delay)
{
	if (delay)
		delay = round_jiffies_relative(delay);
	mod_delayed_work(compat_unbound_wq(), &heap->owner_watch, delay);
}

/**
 * owner_init() - prepare a heap to have an owner
 * @heap: the heap, new
 */
void owner_init(struct gcheap_heap *heap)
{
	INIT_DELAYED_WORK(&heap->owner_watch, owner_look);
}

/**
 * owner_forget() - look at a heap's owner no more
 * @heap: the heap; no file of it is open or mapped
 *
 * Context: may sleep; no lock is held.
 */
void owner_forget(struct gcheap_heap *heap)
{
	cancel_delayed_work_sync(&heap->owner_watch);
}
