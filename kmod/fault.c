// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Page faults in HEAP.
 *
 * A page fault happens where a page exists and is not mapped: after munmap() and mmap(),
 * or after MADV_DONTNEED, which loses no data. It happens at the first touch of a page of
 * a lazy object, which is made here; and, in a heap of GCHEAP_SETUP_SNAPSHOTS, at the
 * first write to a page. An access where there is no memory gets SIGBUS.
 *
 * In heaps with 2 MiB pages, too, this file finds the page; fault_huge.c maps it.
 */
#include <linux/mm.h>
#include <linux/pagemap.h>

#include "entries.h"
#include "extents.h"
#include "fault.h"
#include "module.h"
#include "on_touch.h"
#include "page_batch.h"
#include "page_pool.h"
#include "trace.h"
#include "track_answer.h"
#include "vma.h"

#define PAGES_AROUND	16u	/* pages that a fault maps, or in a lazy object makes: 64 KiB */

/* The pages of the aligned 64 KiB around @index that are of the object. */
static void fault_range(unsigned long index, unsigned long *first, unsigned long *end)
{
	*first = max(*first, round_down(index, PAGES_AROUND));
	*end = min(*end, round_down(index, PAGES_AROUND) + PAGES_AROUND);
}

/*
 * Has memory for a page fault in a lazy object, of pages @first ... @end - 1: it goes into
 * the heap's pool, where fault_make() finds it. fault_lock is not held. Return: 0 or
 * -ENOMEM.
 */
static int fault_prepare(struct gcheap_heap *heap, unsigned long index,
			 unsigned long first, unsigned long end)
{
	struct page_batch batch;
	int error;

	fault_range(index, &first, &end);
	if (!extent_make(heap, index))
		return -ENOMEM;
	batch_begin(&batch, heap, end - first);
	error = batch_ensure(&batch, end - first);
	/* Around it is a favour. */
	if (error)
		error = batch_ensure(&batch, 1);
	batch_end(&batch);
	return error;
}

/*
 * Makes the page that a fault in a lazy object needs, and the object's other pages in the
 * aligned 64 KiB around it too, if the heap has them in the pool. All of them are zero. They
 * are not mapped. fault_lock is held, under which the caller has seen that there is such an
 * object. Return: 0; -EAGAIN: drop the lock, call fault_prepare(), and look again.
 */
static int fault_make(struct gcheap_heap *heap, unsigned long index, unsigned long first,
		      unsigned long end)
{
	struct extent *extent = extent_find(heap, index);
	unsigned long at = index;
	unsigned int made = 0;

	lockdep_assert_held(&heap->fault_lock);
	fault_range(index, &first, &end);
	if (!extent)
		return -EAGAIN;
	/* First the page that is needed, then the others. */
	do {
		struct page **slot = &extent->pages[at % EXTENT_PAGES];
		struct page *page;

		if (!*slot) {
			page = pool_take_zeroed(heap);
			if (!page)
				break;
			WRITE_ONCE(*slot, page);
			made++;
		}
		at = at + 1 < end ? at + 1 : first;
	} while (at != index);
	extent->present += made;
	pages_account(heap, made);
	return extent->pages[index % EXTENT_PAGES] ? 0 : -EAGAIN;
}

/**
 * fault_page() - find the page of a fault in HEAP
 * @heap: the heap
 * @vmf: the fault
 * @flags: of fault_lock(), which is held, and may be dropped meanwhile
 *
 * Makes it in a lazy object, but not for one who looks: that is charged to whoever
 * touches.
 *
 * Context: may sleep.
 * Return: the page; NULL: there is no memory.
 */
struct page *fault_page(struct gcheap_heap *heap, struct vm_fault *vmf,
			unsigned int *flags)
{
	bool may_make = vmf->vma->vm_mm == heap->owner;
	unsigned long first, end;
	struct page *page;
	int error;

	for (;;) {
		if (heap->ended)
			return NULL;
		page = pages_find(heap, vmf->pgoff);
		if (page || !may_make || !on_touch_find(heap, vmf->pgoff, &first, &end))
			return page;
		if (!fault_make(heap, vmf->pgoff, first, end))
			continue;
		fault_unlock(heap, *flags);
		error = fault_prepare(heap, vmf->pgoff, first, end);
		*flags = fault_lock(heap);
		if (error)
			return NULL;
	}
}

/**
 * fault_heap() - ->fault() of HEAP, without 2 MiB pages
 * @vmf: the fault
 *
 * Maps the page, and those beside it that are there.
 *
 * Context: as any page fault.
 * Return: VM_FAULT_NOPAGE; VM_FAULT_SIGBUS there is no memory; VM_FAULT_HWPOISON it has
 * failed; VM_FAULT_OOM none for a page table.
 */
vm_fault_t fault_heap(struct vm_fault *vmf)
{
	struct gcheap_heap *heap = vma_heap(vmf->vma);
	unsigned long index = vmf->pgoff;	/* the region is the file's first */
	unsigned long first = round_down(index, PAGES_AROUND);
	unsigned int flags;
	struct page *page;
	unsigned int tries = 0;
	u32 mapped = 0;
	unsigned long i;
	int error;

	if (vma_make_table(vmf))
		return VM_FAULT_OOM;
	flags = fault_lock(heap);
	page = fault_page(heap, vmf, &flags);
	if (!page || PageHWPoison(page)) {
		fault_unlock(heap, flags);
		trace_gcheap_fault(heap->id, vmf, mapped);
		atomic64_inc(&heap->bad_faults);
		return page ? VM_FAULT_HWPOISON : VM_FAULT_SIGBUS;
	}
	do {
		error = vm_insert_page(vmf->vma, vmf->address, page);
	} while (entries_try_again(error, &tries));
	mapped += !error;

	/* What is beside it will be touched too. The region's length is a multiple of this. */
	for (i = first; !error && i < first + PAGES_AROUND; i++) {
		page = i == index ? NULL : pages_find(heap, i);
		if (page && !PageHWPoison(page))
			mapped += !vm_insert_page(vmf->vma,
						  vmf->vma->vm_start + (i << PAGE_SHIFT), page);
	}
	fault_unlock(heap, flags);
	trace_gcheap_fault(heap->id, vmf, mapped);
	atomic64_inc(&heap->faults);

	/* -EBUSY: another thread was faster. */
	return error && error != -EBUSY ? vmf_error(error) : VM_FAULT_NOPAGE;
}

/**
 * fault_first_write() - ->page_mkwrite() of HEAP, in a heap of GCHEAP_SETUP_SNAPSHOTS
 * @vmf: the first write to a page that is mapped read-only
 *
 * Context: as any page fault.
 * Return: VM_FAULT_LOCKED: so that the memory manager does not take the page for one
 * that has left its file.
 */
vm_fault_t fault_first_write(struct vm_fault *vmf)
{
	lock_page(vmf->page);
	track_written(vma_heap(vmf->vma), vmf->pgoff);
	return VM_FAULT_LOCKED;
}

/**
 * fault_count() - bring the figures about page faults up to date
 * @heap: the heap
 *
 * Context: @heap->lock is held.
 */
void fault_count(struct gcheap_heap *heap)
{
	lockdep_assert_held(&heap->lock);
	heap->core.counters.faults = atomic64_read(&heap->faults);
	heap->core.counters.bad_faults = atomic64_read(&heap->bad_faults);
}
