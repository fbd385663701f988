/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Flushing the TLBs after page table entries were changed one by one: see tlb.c.
 */
#ifndef GCHEAP_TLB_H
#define GCHEAP_TLB_H

#include <linux/mm.h>

void tlb_change_begin(struct mm_struct *mm);
void tlb_change_end(struct mm_struct *mm, struct address_space *mapping, pgoff_t guard,
		    bool flush);

#endif /* GCHEAP_TLB_H */
