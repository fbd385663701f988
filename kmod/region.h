/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What all mappings of regions share: see region.c.
 */
#ifndef GCHEAP_REGION_H
#define GCHEAP_REGION_H

#include "module.h"
#include "vma.h"

/* Flags of each mapping of a process that looks. */
#define LOOK_VM_FLAGS	(VM_DONTEXPAND | VM_DONTCOPY | VM_DONTDUMP)

void region_open(struct vm_area_struct *vma);
void region_close(struct vm_area_struct *vma);
int look_begin(struct gcheap_heap *heap);
void look_open(struct vm_area_struct *vma);
void look_close(struct vm_area_struct *vma);
int region_may_split(struct vm_area_struct *vma, unsigned long addr);
int region_mremap(struct vm_area_struct *vma);
vm_fault_t region_map_pages(struct vm_fault *vmf, pgoff_t start, pgoff_t end);

#endif /* GCHEAP_REGION_H */
