/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Page table entries of an address space: see entries.c.
 */
#ifndef GCHEAP_ENTRIES_H
#define GCHEAP_ENTRIES_H

#include <linux/mm.h>

/* How many pages one page table maps. */
#define ENTRIES_PER_TABLE	(PMD_SIZE >> PAGE_SHIFT)

pmd_t *entries_pmd(struct mm_struct *mm, unsigned long addr);
pte_t *entries_lock(struct mm_struct *mm, unsigned long addr, spinlock_t **lock);
pte_t *entries_lock_another(struct mm_struct *mm, unsigned long addr,
			    spinlock_t *first, spinlock_t **lock);
void entries_unlock(spinlock_t *lock);
void entries_unlock_another(spinlock_t *first, spinlock_t *lock);
bool entries_try_again(int error, unsigned int *tries);

#endif /* GCHEAP_ENTRIES_H */
