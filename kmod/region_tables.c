// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * How the tables are mapped.
 *
 * They are VM_PFNMAP mappings: their pages live as long as the heap, or until
 * region_pages_remove() has unmapped them, and nobody needs a reference to one. ->fault()
 * maps them as they are touched.
 *
 * BITMAP is as MARKS the owner's to write; other processes see it where they see HEAP, whose
 * objects it tells apart as heap bits and type words inside HEAP do in other layouts.
 *
 * MARKS can be read in its whole length, since a marker looks at the bits of any address
 * in the heap's range. A hole, where no table page is, reads as the zero page and cannot
 * be written. gcheap_heap.fault_lock sees to it that the zero page does not stay mapped
 * when a table page comes: see region_pages_make(). Pages of MARKS and BITMAP may go
 * again when nothing is left in what they speak of.
 */
#include "compat.h"
#include "region.h"
#include "region_pages.h"
#include "region_tables.h"

/* Table pages that one fault maps, if they exist: an aligned 64 KiB. */
#define TABLE_AROUND	16u

/*
 * vm_page_prot is read-only because of ->pfn_mkwrite(); writable mappings of MARKS
 * and BITMAP shall not fault at the first write to each page.
 */
static vm_fault_t table_insert(struct vm_area_struct *vma, unsigned long index,
			       struct page *page)
{
	return vmf_insert_pfn_prot(vma, vma->vm_start + (index << PAGE_SHIFT),
				   page_to_pfn(page), vm_get_page_prot(vma->vm_flags));
}

/* The zero page where no table page of MARKS is. */
static vm_fault_t table_insert_hole(struct vm_fault *vmf, struct gcheap_heap *heap)
{
	struct vm_area_struct *vma = vmf->vma;

	lockdep_assert_held(&heap->fault_lock);
	heap->holes_mapped = true;
	return vmf_insert_pfn_prot(vma, vmf->address, page_to_pfn(ZERO_PAGE(vmf->address)),
				   vm_get_page_prot(vma->vm_flags & ~VM_WRITE));
}

static vm_fault_t table_fault_any(struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;
	struct gcheap_heap *heap = vma_heap(vma);
	enum gcheap_region region = vma_region(vma);
	unsigned long index = vmf->pgoff - vma->vm_pgoff;
	unsigned long first, last, i;
	struct page *page;
	vm_fault_t ret;

	page = region_pages_find(heap, region, index);
	if (!page) {
		if (region != GCHEAP_REGION_MARKS || vmf->flags & FAULT_FLAG_WRITE)
			return VM_FAULT_SIGBUS;
		return table_insert_hole(vmf, heap);
	}
	ret = table_insert(vma, index, page);

	first = max(vmf->address & ~(TABLE_AROUND * PAGE_SIZE - 1), vma->vm_start);
	first = (first - vma->vm_start) >> PAGE_SHIFT;
	last = min(first + TABLE_AROUND, vma_pages(vma)) - 1;
	xa_for_each_range(&heap->tables[region], i, page, first, last) {
		if (ret != VM_FAULT_NOPAGE)
			break;
		if (i != index)
			ret = table_insert(vma, i, page);
	}
	return ret;
}

static vm_fault_t table_fault(struct vm_fault *vmf)
{
	struct gcheap_heap *heap = vma_heap(vmf->vma);
	unsigned int flags;
	vm_fault_t ret;

	if (!region_pages_may_go(vma_region(vmf->vma)))
		return table_fault_any(vmf);
	if (vma_make_table(vmf))
		return VM_FAULT_OOM;
	/* Its pages may go: see region_pages_remove(). */
	flags = fault_lock(heap);
	ret = table_fault_any(vmf);
	fault_unlock(heap, flags);
	return ret;
}

/*
 * A write to a page that is mapped read-only: a hole, or a table page that was
 * mapped while the region was mprotect()ed. If that is being taken away, its entry is
 * no more the same when the memory manager is about to make it writable.
 */
static vm_fault_t table_pfn_mkwrite(struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;
	unsigned long index = vmf->pgoff - vma->vm_pgoff;
	struct page *page = region_pages_find(vma_heap(vma), vma_region(vma), index);

	if (!page)
		return VM_FAULT_SIGBUS;
	/* The hole has been filled just now: fault again. */
	if (pte_pfn(vmf->orig_pte) != page_to_pfn(page))
		return VM_FAULT_NOPAGE;
	return 0;
}

/*
 * For debuggers, which cannot reach the pages of such a mapping by themselves. They
 * keep the mapping's address space alive.
 */
static int table_access_any(struct vm_area_struct *vma, unsigned long addr, void *buf, int len,
			    int write)
{
	unsigned long offset = addr - vma->vm_start;
	struct page *page;

	if (write)
		return -EACCES;
	len = min_t(unsigned long, len, PAGE_SIZE - offset_in_page(offset));
	page = region_pages_find(vma_heap(vma), vma_region(vma), offset >> PAGE_SHIFT);
	if (page)
		memcpy(buf, page_address(page) + offset_in_page(offset), len);
	else if (vma_region(vma) == GCHEAP_REGION_MARKS)
		memset(buf, 0, len);
	else
		return -EIO;
	return len;
}

static int table_access(struct vm_area_struct *vma, unsigned long addr, void *buf, int len,
			int write)
{
	struct gcheap_heap *heap = vma_heap(vma);
	unsigned int flags = fault_lock(heap);
	int ret = table_access_any(vma, addr, buf, len, write);

	fault_unlock(heap, flags);
	return ret;
}

static const struct vm_operations_struct table_vm_ops = {
	.open = region_open,
	.close = region_close,
	.may_split = region_may_split,
	.mremap = region_mremap,
	.fault = table_fault,
	.map_pages = region_map_pages,
	.pfn_mkwrite = table_pfn_mkwrite,
	.access = table_access,
};

/* A process that looks: its tables end with the owner, its address space does not. */
static vm_fault_t foreign_table_fault(struct vm_fault *vmf)
{
	struct gcheap_heap *heap = vma_heap(vmf->vma);
	unsigned int flags;
	vm_fault_t ret;

	if (vma_make_table(vmf))
		return VM_FAULT_OOM;
	flags = fault_lock(heap);
	ret = heap->ended ? VM_FAULT_SIGBUS : table_fault_any(vmf);
	fault_unlock(heap, flags);
	return ret;
}

static int foreign_table_access(struct vm_area_struct *vma, unsigned long addr, void *buf,
				int len, int write)
{
	struct gcheap_heap *heap = vma_heap(vma);
	unsigned int flags = fault_lock(heap);
	int ret = heap->ended ? -EIO : table_access_any(vma, addr, buf, len, write);

	fault_unlock(heap, flags);
	return ret;
}

static const struct vm_operations_struct foreign_table_vm_ops = {
	.open = look_open,
	.close = look_close,
	.may_split = region_may_split,
	.mremap = region_mremap,
	.fault = foreign_table_fault,
	.map_pages = region_map_pages,
	.access = foreign_table_access,
};

/* Whether the owner writes to a table. */
static bool table_is_writable(enum gcheap_region region)
{
	return region == GCHEAP_REGION_MARKS || region == GCHEAP_REGION_BITMAP;
}

/**
 * region_tables_mmap() - map a table for the owner
 * @region: which
 * @vma: the mapping to be, of the whole region
 *
 * Return: 0; -EACCES: asks for PROT_WRITE on a region that can only be read.
 */
int region_tables_mmap(enum gcheap_region region, struct vm_area_struct *vma)
{
	unsigned long clear = VM_MAYEXEC;

	if (!table_is_writable(region)) {
		if (vma->vm_flags & VM_WRITE)
			return -EACCES;
		clear |= VM_MAYWRITE;
	}
	compat_vm_flags_mod(vma, VM_PFNMAP | VM_DONTEXPAND | VM_DONTCOPY | VM_DONTDUMP, clear);
	vma->vm_ops = &table_vm_ops;
	atomic_inc(&vma_heap(vma)->owner_maps);
	return 0;
}

/**
 * region_tables_look() - map a table for a process that looks
 * @vma: the mapping to be, of the whole region; look_begin() has counted it
 */
void region_tables_look(struct vm_area_struct *vma)
{
	compat_vm_flags_mod(vma, VM_PFNMAP | LOOK_VM_FLAGS, VM_MAYWRITE | VM_MAYEXEC);
	vma->vm_ops = &foreign_table_vm_ops;
}
