/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Pages of HEAP in mappings, and out of them: see vma.c.
 */
#ifndef GCHEAP_VMA_H
#define GCHEAP_VMA_H

#include <linux/mm.h>

#include "module.h"

static inline enum gcheap_region vma_region(const struct vm_area_struct *vma)
{
	return vma->vm_pgoff >> (GCHEAP_REGION_SHIFT - PAGE_SHIFT);
}

static inline struct gcheap_heap *vma_heap(const struct vm_area_struct *vma)
{
	return vma->vm_file->private_data;
}

struct vm_area_struct *vma_of_owner(struct gcheap_heap *heap);
int vma_make_table(struct vm_fault *vmf);
int vma_map_pages(struct gcheap_heap *heap, unsigned long index,
		  struct page **pages, unsigned long count);
void vma_unmap_pages(struct gcheap_heap *heap, unsigned long first, unsigned long end);

#endif /* GCHEAP_VMA_H */
