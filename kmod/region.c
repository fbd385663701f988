// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What holds for all mappings of regions, the owner's and those of other processes.
 * region_mmap.c says which mappings there may be.
 *
 * The module refuses what it does not expect a process to do to a mapping: this file
 * refuses to split and to move it, VM_DONTEXPAND and VM_DONTCOPY keep it from growing and
 * from a child.
 *
 * A process that holds the file and is not the owner may look: its mappings are
 * read-only for ever, it may have several of each region, and no request looks at
 * them. How many there are in all is bounded. They outlive the owner, whose memory
 * goes when its address space goes. So their faults look at gcheap_heap.ended, under
 * fault_lock: once owner_ended() has set it and zapped all mappings, no page comes
 * back to one.
 */
#include <linux/jiffies.h>
#include <linux/moduleparam.h>
#include <linux/sched/mm.h>

#include "compat.h"
#include "memlock.h"
#include "owner.h"
#include "region.h"

/* ---- all regions ------------------------------------------------------------ */

/* Every access to a copy of a mapping that fork() has made fails. */
static vm_fault_t dead_fault(struct vm_fault *vmf)
{
	return VM_FAULT_SIGSEGV;
}

static const struct vm_operations_struct dead_vm_ops = {
	.fault = dead_fault,
};

/*
 * Makes a copy one where nothing can be reached: by fork(), when the process has
 * undone VM_DONTCOPY by MADV_DOFORK. The page tables are copied before or after
 * this, depending on the kernel: with all of the region's emptied there is nothing
 * to copy, and nothing was. The original faults in again what it needs; that cannot
 * be done now, as fork() holds its mmap_lock.
 */
static void region_kill(struct vm_area_struct *vma)
{
	vma->vm_ops = &dead_vm_ops;
	/* There are no copies of it, but where they are asked for. */
	compat_vm_flags_mod(vma, VM_DONTCOPY, 0);
	unmap_mapping_pages(vma_heap(vma)->inode->i_mapping, vma->vm_pgoff, vma_pages(vma),
			    false);
}

/**
 * region_open() - ->open() of the owner's mappings
 * @vma: a copy
 *
 * Called by fork(), and by mremap() for the short life of a copy that it cannot keep.
 *
 * Context: mmap_lock is held for writing.
 */
void region_open(struct vm_area_struct *vma)
{
	struct gcheap_heap *heap = vma_heap(vma);

	if (vma->vm_mm != heap->owner) {
		region_kill(vma);
		return;
	}
	atomic_inc(&heap->owner_maps);
	if (vma_region(vma) == GCHEAP_REGION_HEAP)
		atomic_inc(&heap->heap_maps);
}

/**
 * region_close() - ->close() of the owner's mappings
 * @vma: what goes
 *
 * With no user left the address space itself ends: the owner has exited or
 * executed another program. It has no page tables any more, and cannot fault or
 * send a request. That is also why the lock, which comes before mmap_lock, is free
 * as a rule. Whoever else may hold it, as one that reads statistics, does not wait for
 * this address space.
 *
 * Context: mmap_lock is held, perhaps for reading only.
 */
void region_close(struct vm_area_struct *vma)
{
	struct gcheap_heap *heap = vma_heap(vma);
	bool last = atomic_dec_and_test(&heap->owner_maps);

	bool unmapped = vma_region(vma) == GCHEAP_REGION_HEAP &&
			atomic_dec_and_test(&heap->heap_maps);

	if (unmapped)
		WRITE_ONCE(heap->base, 0);

	if (atomic_read(&vma->vm_mm->mm_users)) {
		if (unmapped && memlock_unmapped(heap))
			owner_watch(heap, 0);
		/* The memory of a forsaken heap goes at once. */
		if (last)
			owner_watch(heap, READ_ONCE(heap->forsaken) ? 0 : HZ);
	} else if (mutex_trylock(&heap->lock)) {
		owner_ended(heap);
		mutex_unlock(&heap->lock);
	} else {
		owner_watch(heap, 0);
	}
}

/* ---- those of processes that look --------------------------------------------- */

/*
 * What takes memory away from a heap has to visit each mapping of it, while the heap's
 * lock is held. So a process that may only look could make the owner's requests as slow as it
 * likes, were there no bound.
 */
static unsigned int look_maps = 128;
module_param(look_maps, uint, 0644);
MODULE_PARM_DESC(look_maps,
		 "Most mappings of one heap by processes that are not its owner; 0: no limit");

/**
 * look_begin() - count a mapping of a process that is not the owner
 * @heap: the heap
 *
 * Context: any.
 * Return: 0; -ENOSPC: there are too many, and it was not counted.
 */
int look_begin(struct gcheap_heap *heap)
{
	unsigned int most = READ_ONCE(look_maps);
	unsigned int count = atomic_inc_return(&heap->look_maps);

	if (!most || count <= most)
		return 0;
	atomic_dec(&heap->look_maps);
	return -ENOSPC;
}

/**
 * look_open() - ->open() of the mappings of processes that look
 * @vma: a copy
 *
 * Called as region_open() is. fork() cannot be refused: one too many is one where
 * nothing can be reached, but for pages whose entries were copied with it. A copy is not
 * copied further, unless that is asked for again.
 *
 * Context: mmap_lock is held for writing.
 */
void look_open(struct vm_area_struct *vma)
{
	compat_vm_flags_mod(vma, VM_DONTCOPY, 0);
	if (look_begin(vma_heap(vma)))
		vma->vm_ops = &dead_vm_ops;
}

/**
 * look_close() - ->close() of the mappings of processes that look
 * @vma: what goes
 *
 * Context: mmap_lock is held, perhaps for reading only.
 */
void look_close(struct vm_area_struct *vma)
{
	atomic_dec(&vma_heap(vma)->look_maps);
}

/* ---- all of them -------------------------------------------------------------- */

/**
 * region_may_split() - ->may_split() of all mappings
 * @vma: what would be split
 * @addr: where
 *
 * Return: -EINVAL.
 */
int region_may_split(struct vm_area_struct *vma, unsigned long addr)
{
	return -EINVAL;
}

/**
 * region_mremap() - ->mremap() of all mappings
 * @vma: the copy elsewhere
 *
 * Return: -EINVAL.
 */
int region_mremap(struct vm_area_struct *vma)
{
	return -EINVAL;
}

/**
 * region_map_pages() - ->map_pages() of all mappings, which does nothing
 * @vmf: the fault
 * @start: the first page that could be mapped
 * @end: the last
 *
 * Without one, 6.12 takes mmap_lock for each fault.
 *
 * Return: 0: ->fault() is to do it.
 */
vm_fault_t region_map_pages(struct vm_fault *vmf, pgoff_t start, pgoff_t end)
{
	return 0;
}
