/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Page faults in HEAP, in heaps with 2 MiB pages: see fault_huge.c.
 */
#ifndef GCHEAP_FAULT_HUGE_H
#define GCHEAP_FAULT_HUGE_H

#include <linux/mm_types.h>

vm_fault_t fault_huge(struct vm_fault *vmf);

#endif /* GCHEAP_FAULT_HUGE_H */
