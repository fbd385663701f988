// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * HEAP in address spaces, in heaps of GCHEAP_SETUP_HUGE_PAGES.
 *
 * There are two ways to map a 2 MiB page by one entry. vmf_insert_pfn_pmd() makes an
 * entry that the memory manager does not know the page of: Linux 6.12 shows it neither
 * in RSS nor in smaps, both kernels lose its dirty bit, and nothing holds the page
 * until the TLBs are flushed. So the other way is taken, that of files with large
 * pages: ->fault() returns a part of a compound page, where no page table is, and the
 * memory manager maps the whole, by an entry that counts and holds a reference. The
 * mapping may not be VM_MIXEDMAP for that. So no pages can be inserted in batches:
 * those of 4 KiB are mapped by a page fault each.
 *
 * The memory manager maps the page when ->fault() has returned, and gcheap_heap.fault_lock
 * is not held any more. Thus the page is returned locked. Whoever takes a page away does
 * so under fault_lock, then waits for the page's lock, then unmaps (huge_settle()):
 * what a page fault has found before is mapped by then, and what comes later does not
 * find the page.
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
