// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * mmap(): which regions a process may map, how, and where.
 *
 * HEAP is a VM_MIXEDMAP mapping of ordinary, reference-counted pages: direct I/O,
 * debuggers and core dumps find them there, and they count in the process's RSS. vma.c
 * and fault.c map them. In heaps with 2 MiB pages it is another kind of mapping: see
 * fault_huge.c. region_tables.c maps the tables.
 */
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/nospec.h>

#include "compat.h"
#include "fault.h"
#include "fault_huge.h"
#include "memlock.h"
#include "module.h"
#include "region.h"
#include "region_mmap.h"
#include "region_tables.h"

static unsigned long region_length(const struct gcheap_heap *heap, enum gcheap_region region)
{
	return PAGE_ALIGN(heap->region_bytes[region]);
}

/* ---- HEAP ------------------------------------------------------------------- */

static const struct vm_operations_struct region_heap_vm_ops = {
	.open = region_open,
	.close = region_close,
	.may_split = region_may_split,
	.mremap = region_mremap,
	.fault = fault_heap,
	.map_pages = region_map_pages,
};

/* In a heap of GCHEAP_SETUP_HUGE_PAGES. */
static const struct vm_operations_struct region_heap_huge_vm_ops = {
	.open = region_open,
	.close = region_close,
	.may_split = region_may_split,
	.mremap = region_mremap,
	.fault = fault_huge,
	.map_pages = region_map_pages,
};

static const struct vm_operations_struct foreign_heap_huge_vm_ops = {
	.open = look_open,
	.close = look_close,
	.may_split = region_may_split,
	.mremap = region_mremap,
	.fault = fault_huge,
	.map_pages = region_map_pages,
};

/* In a heap of GCHEAP_SETUP_SNAPSHOTS. */
static const struct vm_operations_struct region_heap_snapshot_vm_ops = {
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

/* Of a mapping of HEAP. What has 2 MiB pages is as any file's that has: fault_huge.c. */
static unsigned long region_heap_flags(const struct gcheap_heap *heap)
{
	return huge_allowed(heap) ? 0 : VM_MIXEDMAP;
}

static int region_heap_mmap(struct gcheap_heap *heap, struct vm_area_struct *vma)
{
	if (READ_ONCE(heap->forsaken))
		return -ENXIO;
	if (atomic_cmpxchg(&heap->heap_maps, 0, 1))
		return -EBUSY;
	WRITE_ONCE(heap->base, vma->vm_start);
	memlock_update(heap);
	compat_vm_flags_mod(vma, region_heap_flags(heap) | VM_DONTEXPAND | VM_DONTCOPY, VM_MAYEXEC);
	if (huge_allowed(heap))
		vma->vm_ops = &region_heap_huge_vm_ops;
	else if (heap->core.flags & GCHEAP_SETUP_SNAPSHOTS)
		vma->vm_ops = &region_heap_snapshot_vm_ops;
	else
		vma->vm_ops = &region_heap_vm_ops;
	atomic_inc(&heap->owner_maps);
	return 0;
}

/* ---- any region ------------------------------------------------------------- */

/* A mapping of a process that is not the owner. */
static int region_foreign_mmap(struct gcheap_heap *heap, enum gcheap_region region,
			       struct vm_area_struct *vma)
{
	int error = look_begin(heap);

	if (error)
		return error;
	if (region != GCHEAP_REGION_HEAP) {
		region_tables_look(vma);
		return 0;
	}
	compat_vm_flags_mod(vma, region_heap_flags(heap) | LOOK_VM_FLAGS,
			    VM_MAYWRITE | VM_MAYEXEC);
	vma->vm_ops = huge_allowed(heap) ? &foreign_heap_huge_vm_ops : &foreign_heap_vm_ops;
	return 0;
}

/* Whether a process that is not the owner may map a region, and map it so. */
static bool region_foreign_may(const struct gcheap_heap *heap, enum gcheap_region region,
			       const struct vm_area_struct *vma)
{
	if (vma->vm_flags & (VM_WRITE | VM_EXEC))
		return false;
	if (region == GCHEAP_REGION_HEAP || region == GCHEAP_REGION_BITMAP)
		return heap->core.flags & GCHEAP_SETUP_SHARE_READ;
	return region != GCHEAP_REGION_MARKS;
}

/**
 * region_mmap() - map a region
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
int region_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct gcheap_heap *heap = file->private_data;
	/* Pairs with smp_store_release() in op_setup(). */
	struct mm_struct *owner = smp_load_acquire(&heap->owner);
	unsigned long region = vma->vm_pgoff >> (GCHEAP_REGION_SHIFT - PAGE_SHIFT);
	bool foreign = owner != vma->vm_mm;

	/* When it ends after this, faults find it out. */
	if (!owner || READ_ONCE(heap->ended))
		return -ENXIO;
	if (region >= GCHEAP_REGIONS || vma->vm_pgoff != region_pgoff(region))
		return -EINVAL;
	region = array_index_nospec(region, GCHEAP_REGIONS);
	if (foreign && !region_foreign_may(heap, region, vma))
		return -EPERM;
	if (!(vma->vm_flags & VM_SHARED) ||
	    vma->vm_end - vma->vm_start != region_length(heap, region))
		return -EINVAL;
	if (vma->vm_flags & VM_EXEC)
		return -EPERM;
	if (region == GCHEAP_REGION_HEAP && !IS_ALIGNED(vma->vm_start, GCHEAP_ARENA_BYTES))
		return -EINVAL;
	if (foreign)
		return region_foreign_mmap(heap, region, vma);
	return region == GCHEAP_REGION_HEAP ? region_heap_mmap(heap, vma) :
					      region_tables_mmap(region, vma);
}

/**
 * region_get_unmapped_area() - choose the address of a region
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
unsigned long region_get_unmapped_area(struct file *file, unsigned long addr,
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
