// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The regions in address spaces: the owner's, and those of processes that look. What
 * holds for all of them, and HEAP; the tables are mapping_tables.c's.
 *
 * HEAP is a VM_MIXEDMAP mapping of ordinary, reference-counted pages: direct I/O,
 * debuggers and core dumps find them there, and they count in the process's RSS. How they
 * get there, vma.c and fault.c tell.
 *
 * What the process could do to a mapping that the module does not expect is
 * refused: splitting and moving here, growing and fork by VM_DONTEXPAND and
 * VM_DONTCOPY.
 *
 * A process that holds the file and is not the owner may look: its mappings are
 * read-only for ever, it may have several of each region, and no request looks at
 * them. How many there are in all is bounded. They outlive the owner, whose memory
 * goes when its address space goes. So their faults look at gcheap_heap.ended, under
 * fault_lock: once mapping_end() has set it and zapped all mappings, no page comes
 * back to one.
 */
#include <linux/jiffies.h>
#include <linux/moduleparam.h>
#include <linux/nospec.h>
#include <linux/sched/mm.h>

#include "compat.h"
#include "fault.h"
#include "mapping.h"

static unsigned long region_length(const struct gcheap_heap *heap, enum gcheap_region region)
{
	return PAGE_ALIGN(heap->region_bytes[region]);
}

/* ---- all regions ------------------------------------------------------------ */

/* What a copy of a mapping is that fork() has made. */
static vm_fault_t dead_fault(struct vm_fault *vmf)
{
	return VM_FAULT_SIGSEGV;
}

const struct vm_operations_struct dead_vm_ops = {
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
 * as a rule. Who else may hold it, as one that reads statistics, does not wait for
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
		if (unmapped)
			memlock_unmapped(heap);
		/* The memory of a forsaken heap goes at once. */
		if (last)
			gcheap_watch_owner(heap, READ_ONCE(heap->forsaken) ? 0 : HZ);
	} else if (mutex_trylock(&heap->lock)) {
		gcheap_heap_empty(heap);
		mutex_unlock(&heap->lock);
	} else {
		gcheap_watch_owner(heap, 0);
	}
}

/* ---- those of processes that look --------------------------------------------- */

/*
 * What takes memory away from a heap has to visit each mapping of it, while the heap's
 * lock is held. So who may only look could make the owner's requests as slow as he
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

/**
 * mapping_end() - take all pages of a heap from all address spaces, for ever
 * @heap: the heap, whose owner has ended
 *
 * Context: may sleep; @heap->lock is held, or @heap is known to nobody else.
 */
void mapping_end(struct gcheap_heap *heap)
{
	unsigned int flags = heap_fault_lock(heap);

	WRITE_ONCE(heap->ended, true);
	heap_fault_unlock(heap, flags);
	/* No fault maps a page any more; some have. */
	unmap_mapping_range(heap->inode->i_mapping, 0, 0, 1);
}

/* ---- HEAP ------------------------------------------------------------------- */

static const struct vm_operations_struct heap_vm_ops = {
	.open = region_open,
	.close = region_close,
	.may_split = region_may_split,
	.mremap = region_mremap,
	.fault = fault_heap,
	.map_pages = region_map_pages,
};

/* In a heap of GCHEAP_SETUP_HUGE_PAGES. */
static const struct vm_operations_struct heap_huge_vm_ops = {
	.open = region_open,
	.close = region_close,
	.may_split = region_may_split,
	.mremap = region_mremap,
	.fault = mapping_huge_fault,
	.map_pages = region_map_pages,
};

static const struct vm_operations_struct foreign_heap_huge_vm_ops = {
	.open = look_open,
	.close = look_close,
	.may_split = region_may_split,
	.mremap = region_mremap,
	.fault = mapping_huge_fault,
	.map_pages = region_map_pages,
};

/* In a heap of GCHEAP_SETUP_SNAPSHOTS. */
static const struct vm_operations_struct heap_snapshot_vm_ops = {
	.open = region_open,
	.close = region_close,
	.may_split = region_may_split,
	.mremap = region_mremap,
	.fault = fault_heap,
	.map_pages = region_map_pages,
	.page_mkwrite = fault_first_write,
};

static const struct vm_operations_struct foreign_heap_vm_ops = {
	.open = look_open,
	.close = look_close,
	.may_split = region_may_split,
	.mremap = region_mremap,
	.fault = fault_heap,
	.map_pages = region_map_pages,
};

/* ---- mmap() ----------------------------------------------------------------- */

/* Of a mapping of HEAP. What has 2 MiB pages is as any file's that has: mapping_huge.c. */
static unsigned long heap_vm_flags(const struct gcheap_heap *heap)
{
	return heap_is_huge(heap) ? 0 : VM_MIXEDMAP;
}

static int heap_mmap(struct gcheap_heap *heap, struct vm_area_struct *vma)
{
	if (READ_ONCE(heap->forsaken))
		return -ENXIO;
	if (atomic_cmpxchg(&heap->heap_maps, 0, 1))
		return -EBUSY;
	WRITE_ONCE(heap->base, vma->vm_start);
	memlock_update(heap);
	compat_vm_flags_mod(vma, heap_vm_flags(heap) | VM_DONTEXPAND | VM_DONTCOPY, VM_MAYEXEC);
	if (heap_is_huge(heap))
		vma->vm_ops = &heap_huge_vm_ops;
	else if (heap->core.flags & GCHEAP_SETUP_SNAPSHOTS)
		vma->vm_ops = &heap_snapshot_vm_ops;
	else
		vma->vm_ops = &heap_vm_ops;
	atomic_inc(&heap->owner_maps);
	return 0;
}

/* A mapping of a process that is not the owner. */
static int foreign_mmap(struct gcheap_heap *heap, enum gcheap_region region,
			struct vm_area_struct *vma)
{
	int error = look_begin(heap);

	if (error)
		return error;
	if (region != GCHEAP_REGION_HEAP) {
		mapping_tables_look(vma);
		return 0;
	}
	compat_vm_flags_mod(vma, heap_vm_flags(heap) | MAPPING_OF_LOOKER,
			    VM_MAYWRITE | VM_MAYEXEC);
	vma->vm_ops = heap_is_huge(heap) ? &foreign_heap_huge_vm_ops : &foreign_heap_vm_ops;
	return 0;
}

/* Whether a process that is not the owner may map a region, and map it so. */
static bool foreign_may(const struct gcheap_heap *heap, enum gcheap_region region,
			const struct vm_area_struct *vma)
{
	if (vma->vm_flags & (VM_WRITE | VM_EXEC))
		return false;
	if (region == GCHEAP_REGION_HEAP || region == GCHEAP_REGION_BITMAP)
		return heap->core.flags & GCHEAP_SETUP_SHARE_READ;
	return region != GCHEAP_REGION_MARKS;
}

/**
 * mapping_mmap() - map a region
 * @file: the heap's file
 * @vma: the mapping to be: shared, of exactly one region
 *
 * Return:
 * * 0		- mapped
 * * -ENXIO	- there was no SETUP yet, the owner has ended, or it has unmapped HEAP when
 *		  that had more than RLIMIT_MEMLOCK allows
 * * -EPERM	- the caller is not the heap's owner and asks for what only that may
 *		  map, or asks for PROT_EXEC
 * * -EINVAL	- not shared, no region's offset or not its whole length, or an
 *		  address of HEAP that is not aligned to an arena
 * * -EACCES	- asks for PROT_WRITE on a region that can only be read
 * * -EBUSY	- HEAP is mapped already
 * * -ENOSPC	- the caller is not the heap's owner, and such processes have as many
 *		  mappings of it as they may
 */
int mapping_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct gcheap_heap *heap = file->private_data;
	/* Pairs with smp_store_release() in request_setup(). */
	struct mm_struct *owner = smp_load_acquire(&heap->owner);
	unsigned long region = vma->vm_pgoff >> (GCHEAP_REGION_SHIFT - PAGE_SHIFT);
	bool foreign = owner != vma->vm_mm;

	/* When it ends after this, faults find it out. */
	if (!owner || READ_ONCE(heap->ended))
		return -ENXIO;
	if (region >= GCHEAP_REGIONS || vma->vm_pgoff != region_pgoff(region))
		return -EINVAL;
	region = array_index_nospec(region, GCHEAP_REGIONS);
	if (foreign && !foreign_may(heap, region, vma))
		return -EPERM;
	if (!(vma->vm_flags & VM_SHARED) ||
	    vma->vm_end - vma->vm_start != region_length(heap, region))
		return -EINVAL;
	if (vma->vm_flags & VM_EXEC)
		return -EPERM;
	if (region == GCHEAP_REGION_HEAP && !IS_ALIGNED(vma->vm_start, GCHEAP_ARENA_BYTES))
		return -EINVAL;
	if (foreign)
		return foreign_mmap(heap, region, vma);
	return region == GCHEAP_REGION_HEAP ? heap_mmap(heap, vma) :
					      mapping_tables_mmap(region, vma);
}

/**
 * mapping_get_unmapped_area() - choose the address of a region
 * @file: the heap's file
 * @addr: the caller's wish, or 0
 * @len: length of the mapping
 * @pgoff: which region
 * @flags: MAP_*
 *
 * HEAP must start at a multiple of the arena size.
 *
 * Return: the address, or a negative errno.
 */
unsigned long mapping_get_unmapped_area(struct file *file, unsigned long addr,
					unsigned long len, unsigned long pgoff,
					unsigned long flags)
{
	const unsigned long align = GCHEAP_ARENA_BYTES;
	unsigned long found;

	if (pgoff != region_pgoff(GCHEAP_REGION_HEAP) || flags & MAP_FIXED || len + align < len)
		return compat_get_unmapped_area(file, addr, len, pgoff, flags);
	if (addr) {
		found = compat_get_unmapped_area(file, addr, len, pgoff, flags);
		if (IS_ERR_VALUE(found) || IS_ALIGNED(found, align))
			return found;
	}
	found = compat_get_unmapped_area(file, 0, len + align, pgoff, flags);
	return IS_ERR_VALUE(found) ? found : ALIGN(found, align);
}
