/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Page faults in HEAP: see fault.c.
 */
#ifndef GCHEAP_FAULT_H
#define GCHEAP_FAULT_H

#include <linux/mm_types.h>

struct gcheap_heap;

struct page *fault_page(struct gcheap_heap *heap, struct vm_fault *vmf,
			unsigned int *flags);
vm_fault_t fault_heap(struct vm_fault *vmf);
vm_fault_t fault_first_write(struct vm_fault *vmf);
void fault_count(struct gcheap_heap *heap);

#endif /* GCHEAP_FAULT_H */
