/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Page table entries of an address space: see entries.c.
 */
#ifndef GCHEAP_ENTRIES_H
#define GCHEAP_ENTRIES_H

#include <linux/mm.h>

/* How many pages one page table maps. */
#define ENTRIES_PER_TABLE	(PMD_SIZE >> PAGE_SHIFT)

/*
 * Replaces a page table entry if it is still @old, in one step even beside the
 * processor, which sets the dirty bit; if it is not, @old becomes what it is.
 */
static inline bool entries_replace(pte_t *ptep, pte_t *old, pte_t new)
{
#ifdef CONFIG_X86_64
	return try_cmpxchg(&ptep->pte, &old->pte, new.pte);
#else
	return false;	/* never called: track_init() has turned tracking off */
#endif
}

/* The same for the entry of a huge page, which is to become clean. */
static inline void entries_pmd_clean(pmd_t *pmd)
{
#ifdef CONFIG_X86_64
	pmd_t old = READ_ONCE(*pmd);

	while (!try_cmpxchg(&pmd->pmd, &old.pmd, pmd_mkclean(old).pmd))
		;
#endif
}

pmd_t *entries_pmd(struct mm_struct *mm, unsigned long addr);
pte_t *entries_lock(struct mm_struct *mm, unsigned long addr, spinlock_t **lock);
pte_t *entries_lock_another(struct mm_struct *mm, unsigned long addr,
			    spinlock_t *first, spinlock_t **lock);
void entries_unlock(spinlock_t *lock);
void entries_unlock_another(spinlock_t *first, spinlock_t *lock);
bool entries_try_again(int error, unsigned int *tries);

#endif /* GCHEAP_ENTRIES_H */
