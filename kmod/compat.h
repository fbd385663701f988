/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * This file hides the differences between kernels, all but those of io_uring
 * (compat_uring.h): the other files of this folder call the functions below, and are
 * written for Linux 6.12. The code never asks for a kernel's version, because
 * distributions take newer features into older kernels. The build tries what a kernel has
 * (probe/features.c), and GCHEAP_HAVE_X says that it has X.
 */
#ifndef GCHEAP_COMPAT_H
#define GCHEAP_COMPAT_H

#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/page_counter.h>
#include <linux/sched.h>
#include <linux/list_lru.h>
#include <linux/shrinker.h>
#include <linux/workqueue.h>

#include "probed.h"

/* Where flags of a mapping are changed by functions, these check the lock. */
static inline void compat_vm_flags_mod(struct vm_area_struct *vma,
				       unsigned long set, unsigned long clear)
{
#ifdef GCHEAP_HAVE_VM_FLAGS_MOD
	vm_flags_mod(vma, set, clear);
#else
	vma->vm_flags = (vma->vm_flags | set) & ~clear;
#endif
}

/*
 * On some kernels, page faults of a mapping may hold its own lock instead of mmap_lock.
 * With mmap_lock held for writing, waits for them; later ones want mmap_lock.
 */
static inline void compat_vma_start_write(struct vm_area_struct *vma)
{
#ifdef GCHEAP_HAVE_VMA_START_WRITE
	vma_start_write(vma);
#endif
}

/* Where pte_mkwrite() is about shadow stacks, too, another is not. */
static inline pte_t compat_pte_mkwrite(pte_t pte)
{
#ifdef GCHEAP_HAVE_PTE_MKWRITE_NOVMA
	return pte_mkwrite_novma(pte);
#else
	return pte_mkwrite(pte);
#endif
}

/*
 * How many entries of page tables map @page, or for the first page of a compound
 * one, it or pages of it. Where the kernel does not count them, an entry for the whole
 * is counted by each page, too.
 */
static inline int compat_page_maps(struct page *page)
{
#ifdef GCHEAP_HAVE_LARGE_MAPCOUNT
	return folio_mapcount(page_folio(page));
#else
	const int nr = compound_nr(page);
	int entire = 0, maps = 0, i;

	if (nr > 1)
		entire = compound_mapcount(page);
	for (i = 0; i < nr; i++)
		maps += atomic_read(&page[i]._mapcount) + 1;
	/* When it changes meanwhile, rather too few. */
	if (nr > 1)
		entire = max(entire, compound_mapcount(page));
	return maps - (nr - 1) * entire;
#endif
}

/*
 * Differs from one time to the next when memory of the machine has failed in between.
 * Where the kernel keeps no count that a module may read, it differs each minute.
 */
static inline unsigned long compat_memory_failures(void)
{
#if !defined(CONFIG_MEMORY_FAILURE)
	return 0;
#elif defined(GCHEAP_HAVE_MEMORY_FAILURE_STATS)
	unsigned long failures = 0;
	int node;

	for_each_online_node(node)
		failures += READ_ONCE(NODE_DATA(node)->mf_stats.total);
	return failures;
#else
	return jiffies / (60 * HZ);
#endif
}

/* What the memory manager would choose without our ->get_unmapped_area(). */
static inline unsigned long compat_get_unmapped_area(struct file *file, unsigned long addr,
						     unsigned long len, unsigned long pgoff,
						     unsigned long flags)
{
#ifdef GCHEAP_HAVE_MM_GET_UNMAPPED_AREA
	return mm_get_unmapped_area(file, addr, len, pgoff, flags);
#elif defined(GCHEAP_HAVE_MM_GET_UNMAPPED_AREA_OF)
	return mm_get_unmapped_area(current->mm, file, addr, len, pgoff, flags);
#else
	return current->mm->get_unmapped_area(file, addr, len, pgoff, flags);
#endif
}

/**
 * compat_memcg_margin() - pages that a memory cgroup still lacks to its limit, or
 *	that of the ancestor which is nearest to its own
 * @memcg: the cgroup; NULL: the caller's
 * @limit: set to what is the same for all whom that limit binds, and not NULL; may be
 *	NULL
 *
 * No function that tells this is exported, so the counters are read, which the
 * kernel's headers declare.
 *
 * Return: the number of pages; ULONG_MAX where nothing limits the cgroup.
 */
static inline unsigned long compat_memcg_margin(struct mem_cgroup *memcg,
						const void **limit)
{
	unsigned long margin = ULONG_MAX;
#ifdef CONFIG_MEMCG
	struct page_counter *counter;

	rcu_read_lock();
	if (!memcg)
		memcg = mem_cgroup_from_task(current);
	for (counter = memcg ? &memcg->memory : NULL; counter; counter = counter->parent) {
		unsigned long max = READ_ONCE(counter->max);
		unsigned long used = page_counter_read(counter);

		if (max - min(used, max) >= margin)
			continue;
		margin = max - min(used, max);
		if (limit)
			*limit = counter;
	}
	rcu_read_unlock();
#endif
	return margin;
}

/* The caller's memory cgroup, with a reference; NULL when it is @known, or none. */
static inline struct mem_cgroup *compat_memcg_get_other(struct mem_cgroup *known)
{
#ifdef CONFIG_MEMCG
	bool same;

	rcu_read_lock();
	same = mem_cgroup_from_task(current) == known;
	rcu_read_unlock();
	return same || !current->mm ? NULL : get_mem_cgroup_from_mm(current->mm);
#else
	return NULL;
#endif
}

/* One more reference to what may be NULL. */
static inline struct mem_cgroup *compat_memcg_get(struct mem_cgroup *memcg)
{
#ifdef CONFIG_MEMCG
	if (memcg)
		css_get(&memcg->css);
#endif
	return memcg;
}

static inline void compat_memcg_put(struct mem_cgroup *memcg)
{
#ifdef CONFIG_MEMCG
	if (memcg)
		css_put(&memcg->css);
#endif
}

/* Some kernels allocate shrinkers, for others they are part of what their owner has. */
struct compat_shrinker {
#ifdef GCHEAP_HAVE_SHRINKER_ALLOC
	struct shrinker *shrinker;
#else
	struct shrinker shrinker;
#endif
};

/* 0 or a negative errno. */
static inline int compat_shrinker_register(struct compat_shrinker *compat, const char *name,
					   unsigned int flags,
					   unsigned long (*count)(struct shrinker *shrinker,
								  struct shrink_control *control),
					   unsigned long (*scan)(struct shrinker *shrinker,
								 struct shrink_control *control))
{
#ifdef GCHEAP_HAVE_SHRINKER_ALLOC
	compat->shrinker = shrinker_alloc(flags, "%s", name);
	if (!compat->shrinker)
		return -ENOMEM;
	compat->shrinker->count_objects = count;
	compat->shrinker->scan_objects = scan;
	shrinker_register(compat->shrinker);
	return 0;
#else
	compat->shrinker.count_objects = count;
	compat->shrinker.scan_objects = scan;
	compat->shrinker.seeks = DEFAULT_SEEKS;
	compat->shrinker.flags = flags;
	return register_shrinker(&compat->shrinker, "%s", name);
#endif
}

static inline void compat_shrinker_unregister(struct compat_shrinker *compat)
{
#ifdef GCHEAP_HAVE_SHRINKER_ALLOC
	shrinker_free(compat->shrinker);
#else
	unregister_shrinker(&compat->shrinker);
#endif
}

static inline struct shrinker *compat_shrinker(struct compat_shrinker *compat)
{
#ifdef GCHEAP_HAVE_SHRINKER_ALLOC
	return compat->shrinker;
#else
	return &compat->shrinker;
#endif
}

/* Those that find node and memory cgroup of an object by themselves. */
static inline bool compat_list_lru_add(struct list_lru *lru, struct list_head *item)
{
#ifdef GCHEAP_HAVE_LIST_LRU_ADD_OBJ
	return list_lru_add_obj(lru, item);
#else
	return list_lru_add(lru, item);
#endif
}

static inline bool compat_list_lru_del(struct list_lru *lru, struct list_head *item)
{
#ifdef GCHEAP_HAVE_LIST_LRU_ADD_OBJ
	return list_lru_del_obj(lru, item);
#else
	return list_lru_del(lru, item);
#endif
}

/*
 * Defines a function for list_lru_walk_one(), which skips what it is called for, from one
 * that looks at the object alone. Some kernels give it the list's lock, too.
 */
#ifdef GCHEAP_HAVE_LIST_LRU_WALK_LOCK
#define COMPAT_LIST_LRU_WALK(name, look)						\
	static enum lru_status name(struct list_head *item, struct list_lru_one *list,	\
				    spinlock_t *lock, void *arg)			\
	{										\
		look(item, arg);							\
		return LRU_SKIP;							\
	}
#else
#define COMPAT_LIST_LRU_WALK(name, look)						\
	static enum lru_status name(struct list_head *item, struct list_lru_one *list,	\
				    void *arg)						\
	{										\
		look(item, arg);							\
		return LRU_SKIP;							\
	}
#endif

/* Flags of a page: one bit for each PG_x. */
static inline unsigned long compat_page_flags(const struct page *page)
{
#ifdef GCHEAP_HAVE_MEMDESC_FLAGS
	return READ_ONCE(page->flags.f);
#else
	return READ_ONCE(page->flags);
#endif
}

/*
 * Whether a task is in no queue of those that run, or only for the sake of its share of time.
 * Its pi_lock is held.
 */
static inline bool compat_task_is_dequeued(const struct task_struct *task)
{
#ifdef GCHEAP_HAVE_SCHED_DELAYED
	if (READ_ONCE(task->se.sched_delayed))
		return true;
#endif
	return !READ_ONCE(task->on_rq);
}

/* The queue of work that is bound to no processor. */
static inline struct workqueue_struct *compat_unbound_wq(void)
{
#ifdef GCHEAP_HAVE_SYSTEM_DFL_WQ
	return system_dfl_wq;
#else
	return system_unbound_wq;
#endif
}

#endif /* GCHEAP_COMPAT_H */
