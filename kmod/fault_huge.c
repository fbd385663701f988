// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * How HEAP is mapped in heaps of GCHEAP_SETUP_HUGE_PAGES.
 *
 * There are two ways to map a 2 MiB page by one entry. vmf_insert_pfn_pmd() makes an
 * entry that the memory manager does not know the page of: Linux 6.12 shows it neither in
 * RSS nor in smaps, 6.1 and 6.12 lose its dirty bit, and nothing holds the page until the
 * TLBs are flushed. So this file goes the other way, that of files with large pages:
 * where no page table is, ->fault() returns a part of a compound page, and the memory
 * manager maps the whole, by an entry that counts and holds a reference. It does so only
 * in a mapping that is not VM_MIXEDMAP, and only VM_MIXEDMAP takes pages in batches:
 * therefore each page of 4 KiB in such a heap is mapped by a page fault of its own.
 *
 * The memory manager maps the page when ->fault() has returned, and
 * gcheap_heap.fault_lock is not held any more. So ->fault() returns the page locked.
 * Whoever takes a page away does so under fault_lock, then waits for the page's lock,
 * then unmaps the page (huge_settle()): a page fault that has found the page before has
 * mapped it by then, and a later one does not find it.
 */
#include <linux/pagemap.h>

#include "fault.h"
#include "fault_huge.h"
#include "huge.h"
#include "module.h"
#include "trace.h"
#include "vma.h"

/* Gives a page to the memory manager for it to map. */
static vm_fault_t fault_hand_out(struct gcheap_heap *heap, struct vm_fault *vmf,
				 struct page *page)
{
	bool owner = vmf->vma->vm_mm == heap->owner;

	/* The memory manager cannot be given one: it would look for the page's file. */
	if (PageHWPoison(page))
		return VM_FAULT_HWPOISON;
	/* Others who map the block do so under its lock: the entry is what it is. */
	lock_page(page);
	if (PageCompound(page)) {
		pmd_t pmd = READ_ONCE(*vmf->pmd);

		/* Another thread was faster. */
		if (!pmd_none(pmd) && pmd_leaf(pmd)) {
			unlock_page(page);
			return VM_FAULT_NOPAGE;
		}
		/*
		 * What was there has just gone. The memory manager would allocate a page
		 * table with the page locked, and reclaim may wait for that lock.
		 */
		if (pmd_none(pmd) && !vmf->prealloc_pte) {
			unlock_page(page);
			return VM_FAULT_NOPAGE;
		}
		/*
		 * Where a page table is, the memory manager maps a part. The table is made
		 * while nobody can map the whole, and reclaims nothing under fault_lock.
		 */
		if (!huge_fault_begin(heap, vmf->pgoff, owner, !pmd_none(pmd)) &&
		    pmd_none(pmd) && vma_make_table(vmf)) {
			unlock_page(page);
			return VM_FAULT_OOM;
		}
	}
	get_page(page);
	vmf->page = page;
	return VM_FAULT_LOCKED;
}

/**
 * fault_huge() - ->fault() of HEAP
 * @vmf: the fault
 *
 * Context: as any page fault.
 * Return: VM_FAULT_LOCKED; VM_FAULT_NOPAGE another thread was faster; VM_FAULT_SIGBUS
 * there is no memory; VM_FAULT_HWPOISON it has failed; VM_FAULT_OOM none for a page table.
 */
vm_fault_t fault_huge(struct vm_fault *vmf)
{
	struct gcheap_heap *heap = vmf->vma->vm_file->private_data;
	struct page *page;
	unsigned int flags;
	vm_fault_t ret;

	flags = fault_lock(heap);
	page = fault_page(heap, vmf, &flags);
	ret = page ? fault_hand_out(heap, vmf, page) : VM_FAULT_SIGBUS;
	fault_unlock(heap, flags);
	if (ret == VM_FAULT_OOM || READ_ONCE(heap->populating) == current)
		return ret;
	trace_gcheap_fault(heap->id, vmf, page && ret != VM_FAULT_HWPOISON);
	if (page && ret != VM_FAULT_HWPOISON)
		atomic64_inc(&heap->faults);
	else
		atomic64_inc(&heap->bad_faults);
	return ret;
}
