// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Open and close: the life of a heap.
 *
 *	open		a struct gcheap_heap that is not a heap yet
 *	SETUP		a heap, owned by the caller's address space (ops.c)
 *	the owner ends	its memory is freed when the address space goes, by exit,
 *			exec or a signal, though another process may still have
 *			the file open or mapped: its mappings fault from then on,
 *			and its requests get -EPERM as before
 *	release		the last descriptor and mapping are gone: all is freed
 */
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "debugfs.h"
#include "fdinfo.h"
#include "file.h"
#include "inode.h"
#include "ioctl.h"
#include "module.h"
#include "owner.h"
#include "pages.h"
#include "pressure.h"
#include "region_mmap.h"
#include "region_pages.h"
#include "stop.h"
#include "totals.h"
#include "uring.h"

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
	owner_init(heap);
	region_pages_init(heap);
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

/* A descriptor is closed; there may be others. */
static int gcheap_flush(struct file *file, fl_owner_t id)
{
	stop_break(file->private_data);
	return 0;
}

static int gcheap_release(struct inode *inode, struct file *file)
{
	struct gcheap_heap *heap = file->private_data;

	gcheap_debugfs_release(heap);
	pressure_heap_release(heap);
	stop_forget(heap);
	owner_forget(heap);
	owner_ended(heap);
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
	.flush = gcheap_flush,
	.release = gcheap_release,
	.unlocked_ioctl = gcheap_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.uring_cmd = gcheap_uring_cmd,
	.mmap = region_mmap,
	.get_unmapped_area = region_get_unmapped_area,
	.poll = pressure_poll,
	.show_fdinfo = fdinfo_show,
};
