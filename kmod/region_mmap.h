/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * mmap(): see region_mmap.c.
 */
#ifndef GCHEAP_REGION_MMAP_H
#define GCHEAP_REGION_MMAP_H

struct file;
struct vm_area_struct;

int region_mmap(struct file *file, struct vm_area_struct *vma);
unsigned long region_get_unmapped_area(struct file *file, unsigned long addr,
				       unsigned long len, unsigned long pgoff,
				       unsigned long flags);

#endif /* GCHEAP_REGION_MMAP_H */
