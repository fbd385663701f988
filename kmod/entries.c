// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * This file finds page table entries in an address space, and locks their page table.
 *
 * The kernel has a walk of its own over the entries that are there, but not all kernels
 * export it. This one walks one page table at a time, and its caller looks at as many
 * entries of it as it wants.
 *
 * The page tables above live as long as the mapping whose addresses they are about, which
 * mmap_lock keeps. A page table of entries may go under a reader of mmap_lock: on kernels
 * with CONFIG_PT_RECLAIM, MADV_DONTNEED frees one that it has emptied. So the walk looks
 * at its place again when it holds the page table's lock; until then RCU keeps the page
 * table's memory.
 */
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>

#include "entries.h"

#define ENTRIES_TRIES	16u

/**
 * entries_pmd() - the entry that maps the 2 MiB around an address
 * @mm: the address space
 * @addr: an address in one of its mappings
 *
 * Context: @mm's mmap_lock is held.
 * Return: the entry; NULL where nothing is mapped for a gigabyte.
 */
pmd_t *entries_pmd(struct mm_struct *mm, unsigned long addr)
{
	pgd_t *pgd = pgd_offset(mm, addr);
	p4d_t *p4d;
	pud_t *pud;

	if (pgd_none(READ_ONCE(*pgd)))
		return NULL;
	p4d = p4d_offset(pgd, addr);
	if (p4d_none(READ_ONCE(*p4d)))
		return NULL;
	pud = pud_offset(p4d, addr);
	return pud_none(READ_ONCE(*pud)) ? NULL : pmd_offset(pud, addr);
}

/*
 * Sparse cannot follow a lock that is taken only where another is not the same, and is
 * held by the caller on return: it is told nothing of these.
 */
static void table_lock(spinlock_t *lock, spinlock_t *first)
{
	if (lock == first)
		return;
	spin_lock_nested(lock, first ? SINGLE_DEPTH_NESTING : 0);
	__release(lock);
}

static void table_unlock(spinlock_t *lock, spinlock_t *first)
{
	if (lock == first)
		return;
	__acquire(lock);
	spin_unlock(lock);
}

static void tables_keep(void)
{
	rcu_read_lock();
	__release(RCU);
}

static void tables_let_go(void)
{
	__acquire(RCU);
	rcu_read_unlock();
}

/**
 * entries_lock_another() - lock a page table while another is locked
 * @mm: the address space
 * @addr: an address in one of its mappings
 * @first: the lock of the other one, of the same address space; NULL: there is none
 * @lock: receives the lock for entries_unlock_another(). It may be @first: some kernels
 *	have one lock for all
 *
 * Context: @mm's mmap_lock is held. In an RCU read-side critical section until it is
 * unlocked. Of two page tables, nobody else locks one of the module's while it
 * holds another: only threads that hold the heap's lock do.
 * Return: the entry of @addr, with those that follow in its page table right behind it;
 * NULL: there is no page table, and nothing is locked.
 */
pte_t *entries_lock_another(struct mm_struct *mm, unsigned long addr, spinlock_t *first,
			    spinlock_t **lock)
{
	pmd_t *place = entries_pmd(mm, addr);
	pmd_t pmd;

	/* Page tables are in memory that is always mapped for the kernel. */
	BUILD_BUG_ON(IS_ENABLED(CONFIG_HIGHPTE));
	if (!place)
		return NULL;
	tables_keep();
	for (;;) {
		pmd = READ_ONCE(*place);
		/* Nothing, a huge page, or what a page fault will find to be broken. */
		if (pmd_none(pmd) || !pmd_present(pmd) || pmd_leaf(pmd) || pmd_bad(pmd)) {
			tables_let_go();
			return NULL;
		}
		*lock = pte_lockptr(mm, &pmd);
		table_lock(*lock, first);
		if (pmd_same(pmd, READ_ONCE(*place)))
			return pte_offset_kernel(&pmd, addr);
		table_unlock(*lock, first);
	}
}

/**
 * entries_lock() - lock the page table of an address
 * @mm: the address space
 * @addr: an address in one of its mappings
 * @lock: receives the lock for entries_unlock()
 *
 * Context: as entries_lock_another().
 * Return: as entries_lock_another().
 */
pte_t *entries_lock(struct mm_struct *mm, unsigned long addr, spinlock_t **lock)
{
	return entries_lock_another(mm, addr, NULL, lock);
}

/**
 * entries_unlock_another() - undo entries_lock_another()
 * @first: the lock that stays
 * @lock: the other's, or the same
 */
void entries_unlock_another(spinlock_t *first, spinlock_t *lock)
{
	table_unlock(lock, first);
	tables_let_go();
}

/**
 * entries_unlock() - undo entries_lock()
 * @lock: what it gave
 */
void entries_unlock(spinlock_t *lock)
{
	entries_unlock_another(NULL, lock);
}

/**
 * entries_try_again() - whether to try again to have a page mapped
 * @error: what the memory manager said
 * @tries: how often that has been so, 0 at first
 *
 * It makes a page table where none is, then locks it. When it has been taken away in
 * between (see above), it says that there is no memory, or no such address. No
 * memory may be the truth as well; but it is not likely to be taken away each time.
 */
bool entries_try_again(int error, unsigned int *tries)
{
	return IS_ENABLED(CONFIG_PT_RECLAIM) && (error == -ENOMEM || error == -EFAULT) &&
	       ++*tries < ENTRIES_TRIES && !fatal_signal_pending(current);
}
