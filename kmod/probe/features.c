// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What kernels have, or do not: one question each, which the answer is yes to when this
 * compiles. Kbuild asks them all for the kernel that the module is built for, and makes
 * probed.h of the answers, with GCHEAP_HAVE_X for PROBE_X. compat.h is who looks at them.
 *
 * What compiles may still not be for modules: a question whose first comment says
 * "exported: NAME" is also answered no where no file of symbols beside the kernel's build has
 * the name.
 *
 * No part of the module. To ask another question, write it here.
 */
#include <linux/list_lru.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/shrinker.h>
#include <linux/task_work.h>
#include <linux/types.h>
#include <linux/workqueue.h>

#ifdef PROBE_VM_FLAGS_MOD
/* Flags of a mapping are changed by functions that check the lock. */
static inline void probe(struct vm_area_struct *vma)
{
	vm_flags_mod(vma, 0, 0);
}
#endif

#ifdef PROBE_VMA_START_WRITE
/* Page faults of a mapping may hold its own lock instead of mmap_lock. */
static inline void probe(struct vm_area_struct *vma)
{
	vma_start_write(vma);
}
#endif

#ifdef PROBE_PTE_MKWRITE_NOVMA
/* pte_mkwrite() is about shadow stacks, too. */
static inline pte_t probe(pte_t pte)
{
	return pte_mkwrite_novma(pte);
}
#endif

#ifdef PROBE_LARGE_MAPCOUNT
/* How many entries map a large folio is counted, instead of being added up. */
static inline int probe(struct folio *folio)
{
	return atomic_read(&folio->_large_mapcount);
}
#endif

#ifdef PROBE_MEMORY_FAILURE_STATS
/* How much memory of a node has failed is counted. */
static inline unsigned long probe(struct pglist_data *node)
{
	return node->mf_stats.total;
}
#endif

#ifdef PROBE_MM_GET_UNMAPPED_AREA
/* For the caller's address space. */
static inline unsigned long probe(struct file *file)
{
	return mm_get_unmapped_area(file, 0ul, 0ul, 0ul, 0ul);
}
#endif

#ifdef PROBE_MM_GET_UNMAPPED_AREA_OF
/* For any. */
static inline unsigned long probe(struct mm_struct *mm, struct file *file)
{
	return mm_get_unmapped_area(mm, file, 0ul, 0ul, 0ul, 0ul);
}
#endif

#ifdef PROBE_IO_URING_CMD_H
#include <linux/io_uring/cmd.h>
#endif

#ifdef PROBE_IO_URING_SQE_CMD
/* It is a function of the submission queue entry. */
#include <linux/io_uring/cmd.h>

static inline const void *probe(const struct io_uring_sqe *sqe)
{
	return io_uring_sqe_cmd(sqe);
}
#endif

#ifdef PROBE_IO_URING_SQE_CMD_TYPED
/* It is a macro that wants the type, too. */
#include <linux/io_uring/cmd.h>

static inline const u64 *probe(const struct io_uring_sqe *sqe)
{
	return io_uring_sqe_cmd(sqe, u64);
}
#endif

#ifdef PROBE_SHRINKER_ALLOC
/* The kernel allocates shrinkers. */
static inline struct shrinker *probe(void)
{
	return shrinker_alloc(0, "probe");
}
#endif

#ifdef PROBE_LIST_LRU_ADD_OBJ
/* What finds node and memory cgroup of an object has a name of its own. */
static inline bool probe(struct list_lru *lru, struct list_head *item)
{
	return list_lru_add_obj(lru, item);
}
#endif

#ifdef PROBE_LIST_LRU_WALK_LOCK
/* The function that is called for each object gets the lock. */
typedef enum lru_status (*walk_with_lock)(struct list_head *item, struct list_lru_one *list,
					 spinlock_t *lock, void *arg);

static inline list_lru_walk_cb probe(walk_with_lock walk)
{
	return walk;
}
#endif

#ifdef PROBE_MEMDESC_FLAGS
/* A page's flags are in a struct. */
static inline unsigned long probe(struct page *page)
{
	return page->flags.f;
}
#endif

#ifdef PROBE_SYSTEM_DFL_WQ
/* The queue for work that runs anywhere has a new name, and complains of the old one. */
static inline struct workqueue_struct *probe(void)
{
	return system_dfl_wq;
}
#endif

#ifdef PROBE_TASK_WORK_ADD
/* exported: task_work_add. Upstream keeps it to itself; distributions do not. */
static inline int probe(struct task_struct *task, struct callback_head *work)
{
	return task_work_add(task, work, TWA_RESUME);
}
#endif

#ifdef PROBE_SCHED_DELAYED
/* A task that sleeps may still be in a queue of those that run. */
static inline bool probe(const struct task_struct *task)
{
	return task->se.sched_delayed;
}
#endif
