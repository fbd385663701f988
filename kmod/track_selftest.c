// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Whether this machine does what write tracking relies on.
 *
 * The memory manager happens to flush the TLBs for one page when another is unmapped, and
 * does not promise it (tlb.c). A kernel that does not would lose writes without a sign.
 * So the module tries it when it loads, with a page in the address space of the process
 * that loads it, which maps a file of the module's for this time:
 *
 *	1. the page is written: its page table entry is dirty, also in the TLB
 *	2. the entry is made clean, the TLB is not flushed, the page is written
 *	   again: if the entry stays clean, this is a machine that can lose writes, and
 *	   one where the next step proves something
 *	3. the entry is made clean, the TLB is flushed as a TRACK request does, the page
 *	   is written again: the entry must be dirty
 *
 * It does so many times, then again with a kernel thread that writes, in the same address
 * space, on another processor. If step 3 fails once, or step 2 never leaves an entry
 * clean, the module does not track writes: SETUP does not offer the feature, and the
 * kernel log says why.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/anon_inodes.h>
#include <linux/completion.h>
#include <linux/file.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/moduleparam.h>
#include <linux/preempt.h>
#include <linux/uaccess.h>

#include "compat.h"
#include "entries.h"
#include "inode.h"
#include "tlb.h"
#include "track_selftest.h"

#define PROOF_ROUNDS	32u
#define PROOF_TIMEOUT	(10 * HZ)	/* for the other processor to write a word */

/* The pages of the file: the guard, which is never populated, and the one that is written. */
#define PROOF_GUARD	0u
#define PROOF_PAGE	1u
#define PROOF_PAGES	2u

enum {
	TRACK_OFF,
	TRACK_IF_PROVEN,
	TRACK_UNFLUSHED,	/* for tests of the proof: leave the flush out */
	TRACK_UNFLUSHED_THERE,	/* only while another processor writes */
};

static unsigned int track = TRACK_IF_PROVEN;
module_param(track, uint, 0444);
MODULE_PARM_DESC(track, "Write tracking: 0 off, 1 if it is proven to work when the module loads; 2, 3 for tests: leave the flush out, or only that of other processors, so that the proof fails");

static DECLARE_COMPLETION(track_tried);
static bool track_proven;

enum proof_turn {
	PROOF_IDLE,
	PROOF_WRITE,
	PROOF_FAILED,
};

/**
 * struct proof - what is tried
 * @mm: the address space
 * @mapping: of the file
 * @addr: where the page is that is written
 * @flush: whether to flush when that is what the proof is about
 * @turn: enum proof_turn: what the thread has to do, or has done
 */
struct proof {
	struct mm_struct *mm;
	struct address_space *mapping;
	unsigned long addr;
	bool flush;
	atomic_t turn;
};

/* ---- one page --------------------------------------------------------------- */

/* The page's entry, with its page table locked; NULL: it is not mapped any more. */
static pte_t *proof_entry(struct proof *proof, spinlock_t **lock)
{
	pte_t *ptep = entries_lock(proof->mm, proof->addr, lock);

	if (ptep && !pte_present(ptep_get(ptep))) {
		entries_unlock(*lock);
		ptep = NULL;
	}
	return ptep;
}

static void proof_clean(struct proof *proof, bool flush)
{
	spinlock_t *lock;	/* the page table's */
	pte_t *ptep;

	mmap_read_lock(proof->mm);
	tlb_change_begin(proof->mm);
	ptep = proof_entry(proof, &lock);
	if (ptep) {
		pte_t pte = ptep_get(ptep);

		while (!entries_replace(ptep, &pte, pte_mkclean(pte)))
			;
		entries_unlock(lock);
	}
	tlb_change_end(proof->mm, proof->mapping, PROOF_GUARD, flush && proof->flush);
	mmap_read_unlock(proof->mm);
}

static bool proof_is_dirty(struct proof *proof)
{
	bool dirty = false;
	spinlock_t *lock;	/* the page table's */
	pte_t *ptep;

	mmap_read_lock(proof->mm);
	ptep = proof_entry(proof, &lock);
	if (ptep) {
		dirty = pte_dirty(ptep_get(ptep));
		entries_unlock(lock);
	}
	mmap_read_unlock(proof->mm);
	return dirty;
}

/* ---- the writer ------------------------------------------------------------- */

static bool proof_write_here(struct proof *proof)
{
	return !put_user(1, (int __user *)proof->addr);
}

static int proof_thread(void *data)
{
	struct proof *proof = data;

	kthread_use_mm(proof->mm);
	while (!kthread_should_stop()) {
		/* Pairs with the release in proof_write_there(). */
		if (atomic_read_acquire(&proof->turn) == PROOF_WRITE)
			atomic_set_release(&proof->turn, proof_write_here(proof) ? PROOF_IDLE :
										   PROOF_FAILED);
		cond_resched();
		cpu_relax();
	}
	kthread_unuse_mm(proof->mm);
	return 0;
}

static bool proof_write_there(struct proof *proof)
{
	unsigned long end = jiffies + PROOF_TIMEOUT;
	int turn;

	/* Pairs with the acquire in proof_thread(), and that one's release with this one's. */
	atomic_set_release(&proof->turn, PROOF_WRITE);
	while ((turn = atomic_read_acquire(&proof->turn)) == PROOF_WRITE) {
		if (time_after(jiffies, end))
			return false;
		cond_resched();
		cpu_relax();
	}
	return turn == PROOF_IDLE;
}

/* ---- the proof -------------------------------------------------------------- */

/* Return: NULL, or why not. */
static const char *proof_rounds(struct proof *proof, bool (*write)(struct proof *proof))
{
	bool stale = false;
	unsigned int i;

	for (i = 0; i < PROOF_ROUNDS; i++) {
		if (!write(proof))
			return "the page to try it with cannot be written";
		proof_clean(proof, false);
		if (!write(proof))
			return "the page to try it with cannot be written";
		if (!proof_is_dirty(proof))
			stale = true;

		/* It may be cached as dirty or not, and shall be. */
		proof_clean(proof, true);
		if (!write(proof))
			return "the page to try it with cannot be written";
		proof_clean(proof, true);
		if (!write(proof))
			return "the page to try it with cannot be written";
		if (!proof_is_dirty(proof))
			return "the TLBs are not flushed";
	}
	return stale ? NULL : "whether the TLBs are flushed cannot be seen";
}

static const char *proof_on_another_cpu(struct proof *proof)
{
	unsigned int cpu = cpumask_any_but(cpu_online_mask, raw_smp_processor_id());
	struct task_struct *thread;
	const char *why;

	if (cpu >= nr_cpu_ids)
		return NULL;
	thread = kthread_create_on_node(proof_thread, proof, cpu_to_node(cpu), "gcheap_track");
	if (IS_ERR(thread))
		return "no thread to try it with";
	kthread_bind(thread, cpu);
	wake_up_process(thread);
	proof->flush = track != TRACK_UNFLUSHED_THERE;
	why = proof_rounds(proof, proof_write_there);
	kthread_stop(thread);
	return why;
}

static const char *proof_run(struct proof *proof, struct page *page)
{
	struct vm_area_struct *vma;
	const char *why;
	int error = -EINVAL;

	mmap_read_lock(proof->mm);
	vma = vma_lookup(proof->mm, proof->addr);
	if (vma && vma->vm_file && vma->vm_file->f_mapping == proof->mapping)
		error = vm_insert_page(vma, proof->addr, page);
	mmap_read_unlock(proof->mm);
	if (error)
		return "no page to try it with";

	/* The other processor shall stay another one. */
	migrate_disable();
	proof->flush = track != TRACK_UNFLUSHED;
	why = proof_rounds(proof, proof_write_here);
	if (!why)
		why = proof_on_another_cpu(proof);
	migrate_enable();
	return why;
}

static const struct vm_operations_struct proof_vm_ops = {};

static int proof_mmap(struct file *file, struct vm_area_struct *vma)
{
	compat_vm_flags_mod(vma, VM_MIXEDMAP | VM_DONTEXPAND | VM_DONTCOPY, 0);
	vma->vm_ops = &proof_vm_ops;
	return 0;
}

static const struct file_operations proof_fops = {
	.owner = THIS_MODULE,
	.mmap = proof_mmap,
};

/* Return: NULL, or why writes cannot be tracked. */
static const char *track_prove(void)
{
	struct proof proof = { .mm = current->mm };
	const char *why = "no memory to try it with";
	struct inode *inode;
	unsigned long start;
	struct page *page;
	struct file *file;

	if (!IS_ENABLED(CONFIG_X86_64))
		return "it is not made for this processor";
	if (!proof.mm)
		return "no address space to try it with";
	page = alloc_page(GFP_HIGHUSER | __GFP_ZERO);
	if (!page)
		return why;
	inode = gcheap_inode_new();
	if (IS_ERR(inode))
		goto free_page;
	file = anon_inode_getfile("[gcheap-track]", &proof_fops, NULL, O_RDWR);
	if (IS_ERR(file))
		goto free_inode;
	file->f_mapping = inode->i_mapping;
	proof.mapping = inode->i_mapping;

	start = vm_mmap(file, 0, PROOF_PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	if (IS_ERR_VALUE(start))
		goto put_file;
	proof.addr = start + PROOF_PAGE * PAGE_SIZE;
	why = proof_run(&proof, page);
	vm_munmap(start, PROOF_PAGES * PAGE_SIZE);
put_file:
	file->f_mapping = file_inode(file)->i_mapping;
	fput(file);
free_inode:
	gcheap_inode_free(inode);
free_page:
	put_page(page);
	return why;
}

/**
 * track_init() - find out whether writes can be tracked
 *
 * Context: may sleep; a process that loads the module.
 */
void track_init(void)
{
	const char *why = track == TRACK_OFF ? "so says the module's parameter" : track_prove();

	if (why)
		pr_warn("write tracking is off: %s\n", why);
	else
		WRITE_ONCE(track_proven, true);
	complete_all(&track_tried);
}

/**
 * track_works() - whether writes can be tracked
 *
 * Context: may sleep, until track_init() is done.
 */
bool track_works(void)
{
	wait_for_completion(&track_tried);
	return READ_ONCE(track_proven);
}
