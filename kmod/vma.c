// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * This file maps pages of HEAP, and unmaps them.
 *
 * A request maps the pages that it makes in batches, in the mapping of the owner, who
 * sends it; page faults map all others (fault.c). Pages are unmapped from all mappings of
 * HEAP together, those of other processes too: the inode of the heap knows all of them.
 *
 * region_mmap.c decides which mappings there may be, memlock.c what becomes of a heap
 * that is not mapped.
 */
#include <linux/mm.h>

#include "compat.h"
#include "entries.h"
#include "module.h"
#include "vma.h"

/**
 * vma_of_owner() - find the owner's mapping of HEAP
 * @heap: the heap
 *
 * Context: the caller is the owner, and holds its mmap_lock.
 * Return: the mapping, or NULL when the region is not mapped.
 */
struct vm_area_struct *vma_of_owner(struct gcheap_heap *heap)
{
	unsigned long base = READ_ONCE(heap->base);
	struct vm_area_struct *vma = base ? vma_lookup(current->mm, base) : NULL;

	/* Each heap's files have a mapping of their own; and its owner looks at it by these. */
	if (!vma || !vma->vm_file || vma->vm_file->f_mapping != heap->inode->i_mapping)
		return NULL;
	return vma_region(vma) == GCHEAP_REGION_HEAP ? vma : NULL;
}

static int pte_nothing(pte_t *ptep, unsigned long addr, void *data)
{
	return 0;
}

/**
 * vma_make_table() - make the page table that is to have the entry of a fault
 * @vmf: the fault
 *
 * Before gcheap_heap.fault_lock is taken, where that can be: what is allocated under it
 * may not reclaim memory, and may be of the reserve that reclaim itself lives on.
 *
 * Context: a page fault. Where an entry for 2 MiB may come, the page's lock is held.
 * Return: 0 or -ENOMEM.
 */
int vma_make_table(struct vm_fault *vmf)
{
	unsigned int tries = 0;
	int error;

	if (!pmd_none(READ_ONCE(*vmf->pmd)))
		return 0;
	do {
		error = apply_to_page_range(vmf->vma->vm_mm, vmf->address & PAGE_MASK, PAGE_SIZE,
					    pte_nothing, NULL);
	} while (entries_try_again(error, &tries));
	return error;
}

/*
 * New pages have been mapped in a heap of GCHEAP_SETUP_SNAPSHOTS, from @addr on, where
 * nothing was before. Such a mapping maps pages read-only. These are in no snapshot: they
 * become writable, so that the first write is no page fault.
 */
static void pages_make_writable(struct vm_area_struct *vma, unsigned long addr,
				unsigned long count)
{
	unsigned long end = addr + (count << PAGE_SHIFT);
	spinlock_t *lock;	/* the page table's */
	pte_t *ptep;

	if (!(vma->vm_flags & VM_WRITE))
		return;
	while (addr < end) {
		unsigned long next = pmd_addr_end(addr, end);

		ptep = entries_lock(vma->vm_mm, addr, &lock);
		for (; ptep && addr < next; addr += PAGE_SIZE, ptep++) {
			pte_t pte = ptep_get(ptep);

			if (pte_present(pte))
				set_pte_at(vma->vm_mm, addr, ptep, compat_pte_mkwrite(pte));
		}
		if (ptep)
			entries_unlock(lock);
		addr = next;
	}
}

/* Maps pages from @addr on, except where some are mapped already. */
static int insert_pages(struct vm_area_struct *vma, unsigned long addr, struct page **pages,
			unsigned long count)
{
	bool snapshots = vma_heap(vma)->core.flags & GCHEAP_SETUP_SNAPSHOTS;
	unsigned int tries = 0;

	while (count) {
		unsigned long left = count;
		unsigned long done;
		int error;

		error = vm_insert_pages(vma, addr, pages, &left);
		if (snapshots)
			pages_make_writable(vma, addr, count - left);
		if (error && error != -EBUSY && !entries_try_again(error, &tries))
			return error == -EFAULT ? -ENOMEM : error;
		done = count - left + (error == -EBUSY);
		addr += done << PAGE_SHIFT;
		pages += done;
		count -= done;
	}
	return 0;
}

/**
 * vma_map_pages() - map pages of object memory for the calling owner
 * @heap: the heap
 * @index: number of the first page in the HEAP region
 * @pages: the pages
 * @count: how many
 *
 * Does nothing when the region is not mapped.
 *
 * Context: may sleep; @heap->lock is held.
 * Return: 0; -ENOMEM no memory for page tables; -EINTR a fatal signal.
 */
int vma_map_pages(struct gcheap_heap *heap, unsigned long index,
		  struct page **pages, unsigned long count)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	int error = 0;

	lockdep_assert_held(&heap->lock);
	if (mmap_read_lock_killable(mm))
		return -EINTR;
	vma = vma_of_owner(heap);
	if (vma)
		error = insert_pages(vma, vma->vm_start + (index << PAGE_SHIFT), pages, count);
	mmap_read_unlock(mm);
	return error;
}

/**
 * vma_unmap_pages() - unmap pages of object memory from all address spaces
 * @heap: the heap
 * @first: number of the first page in the HEAP region
 * @end: the page after the last
 *
 * Context: may sleep. No page fault finds the pages any more; one may have before.
 */
void vma_unmap_pages(struct gcheap_heap *heap, unsigned long first, unsigned long end)
{
	unmap_mapping_pages(heap->inode->i_mapping, region_pgoff(GCHEAP_REGION_HEAP) + first,
			    end - first, false);
}
