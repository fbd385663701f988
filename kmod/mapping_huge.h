/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Page faults in HEAP, in heaps with 2 MiB pages: see mapping_huge.c.
 */
#ifndef GCHEAP_MAPPING_HUGE_H
#define GCHEAP_MAPPING_HUGE_H

#include <linux/mm_types.h>

vm_fault_t mapping_huge_fault(struct vm_fault *vmf);

#endif /* GCHEAP_MAPPING_HUGE_H */
