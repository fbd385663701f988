// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Open and close: the life of a heap.
 *
 *	open		a struct gcheap_heap that is not a heap yet
 *	SETUP		a heap, owned by the caller's address space (operations.c)
 *	the owner ends	its memory is freed when the address space goes, by exit,
 *			exec or a signal, though another process may still have
 *			the file open or mapped: its mappings fault from then on,
 *			and its requests get -EPERM as before
 *	release		the last descriptor and mapping are gone: all is freed
 */
#include <linux/jiffies.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/timer.h>
#include <linux/workqueue.h>

#include "compat.h"
#include "inode.h"
#include "module.h"
#include "pages.h"
#include "totals.h"

/* ---- the owner's end ------------------------------------------------------- */

/*
 * When an address space ends that has regions mapped, region_close() of mapping.c
 * is told. One that has unmapped them all, and has passed the file on, is looked
 * at once a second until it ends or maps a region again. An mmu_notifier would be
 * told at once, but all page table changes of the process would have to ask it;
 * and to register it fails while a signal is pending.
 */
static void owner_watch(struct work_struct *work)
{
	struct gcheap_heap *heap = container_of(to_delayed_work(work), struct gcheap_heap,
						owner_watch);

	if (!atomic_read(&heap->owner->mm_users)) {
		mutex_lock(&heap->lock);
		gcheap_heap_empty(heap);
		mutex_unlock(&heap->lock);
		return;
	}
	if (READ_ONCE(heap->forsaken)) {
		mutex_lock(&heap->lock);
		memlock_release(heap);
		mutex_unlock(&heap->lock);
	}
	if (!atomic_read(&heap->owner_maps))
		gcheap_watch_owner(heap, HZ);
}

/**
 * gcheap_watch_owner() - look later whether a heap's owner has ended
 * @heap: the heap, which has no region mapped by its owner, or could not be emptied
 * @delay: in jiffies
 *
 * Context: any that does not hold the last reference to the file.
 */
void gcheap_watch_owner(struct gcheap_heap *heap, unsigned long delay)
{
	if (delay)
		delay = round_jiffies_relative(delay);
	mod_delayed_work(compat_unbound_wq(), &heap->owner_watch, delay);
}

static int gcheap_open(struct inode *inode, struct file *file)
{
	struct gcheap_heap *heap;
	int error;

	/* Shared mappings need both, also those that are only read. */
	if ((file->f_mode & (FMODE_READ | FMODE_WRITE)) != (FMODE_READ | FMODE_WRITE))
		return -EINVAL;

	heap = kvzalloc(sizeof(*heap), GCHEAP_GFP);
	if (!heap)
		return -ENOMEM;
	mutex_init(&heap->lock);
	mutex_init(&heap->fault_lock);
	spin_lock_init(&heap->pinned_lock);
	INIT_DELAYED_WORK(&heap->owner_watch, owner_watch);
	tables_init(heap);
	pages_init(heap);
	pressure_heap_init(heap);

	heap->inode = gcheap_inode_new();
	if (IS_ERR(heap->inode)) {
		error = PTR_ERR(heap->inode);
		goto free_heap;
	}

	error = pressure_heap_open(heap);
	if (error)
		goto free_inode;

	file->private_data = heap;
	file->f_mapping = heap->inode->i_mapping;
	/* Writing to memory is no writing to the device's node. */
	file->f_mode |= FMODE_NOCMTIME;
	atomic_long_inc(&gcheap_heaps);
	gcheap_debugfs_open(heap);
	return nonseekable_open(inode, file);

free_inode:
	gcheap_inode_free(heap->inode);
free_heap:
	kvfree(heap);
	return error;
}

/**
 * gcheap_heap_empty() - free a heap's memory and tables
 * @heap: the heap, whose owner has ended; others may have mapped it
 *
 * Does nothing when that was done before, or when there was no SETUP.
 *
 * Context: may sleep; @heap->lock is held, or @heap is known to nobody else.
 */
void gcheap_heap_empty(struct gcheap_heap *heap)
{
	if (!heap->live)
		return;
	heap->live = false;
	memlock_update(heap);
	mapping_end(heap);
	pressure_heap_end(heap);
	heap_destroy(&heap->core);
	lazy_destroy(heap);
	pages_destroy(heap);
	tables_destroy(heap);
}

static int gcheap_release(struct inode *inode, struct file *file)
{
	struct gcheap_heap *heap = file->private_data;

	gcheap_debugfs_release(heap);
	pressure_heap_release(heap);
	cancel_delayed_work_sync(&heap->owner_watch);
	gcheap_heap_empty(heap);
	if (heap->owner)
		mmdrop(heap->owner);
	gcheap_inode_free(heap->inode);
	kvfree(heap);
	atomic_long_dec(&gcheap_heaps);
	return 0;
}

const struct file_operations gcheap_fops = {
	.owner = THIS_MODULE,
	.open = gcheap_open,
	.release = gcheap_release,
	.unlocked_ioctl = gcheap_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.uring_cmd = gcheap_uring_cmd,
	.mmap = mapping_mmap,
	.get_unmapped_area = mapping_get_unmapped_area,
	.poll = pressure_poll,
	.show_fdinfo = fdinfo_show,
};
