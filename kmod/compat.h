/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Differences between kernel versions, all of them: the other files of this
 * folder are written against the functions below and Linux 6.12. That is why tests
 * of LINUX_VERSION_CODE, to which checkpatch objects, stand here.
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
#include <linux/version.h>
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 7, 0)
#include <linux/io_uring/cmd.h>
#else
#include <linux/io_uring.h>
#endif

/* Since 6.3, flags of a mapping are changed by functions that check the lock. */
static inline void compat_vm_flags_mod(struct vm_area_struct *vma,
				       unsigned long set, unsigned long clear)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
	vm_flags_mod(vma, set, clear);
#else
	vma->vm_flags = (vma->vm_flags | set) & ~clear;
#endif
}

/*
 * Since 6.4, page faults of a mapping may hold its own lock instead of mmap_lock.
 * With mmap_lock held for writing, waits for them; later ones want mmap_lock.
 */
static inline void compat_vma_start_write(struct vm_area_struct *vma)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
	vma_start_write(vma);
#endif
}

/* Since 6.6, pte_mkwrite() is about shadow stacks, too. */
static inline pte_t compat_pte_mkwrite(pte_t pte)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 6, 0)
	return pte_mkwrite_novma(pte);
#else
	return pte_mkwrite(pte);
#endif
}

/*
 * How many entries of page tables map @page, or for the first page of a compound
 * one, it or pages of it. Before, an entry for the whole counts for each page, too.
 */
static inline int compat_page_maps(struct page *page)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 11, 0)
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
 * Kernels before 6.3 keep no count that a module may read: there it differs each minute.
 */
static inline unsigned long compat_memory_failures(void)
{
#if !defined(CONFIG_MEMORY_FAILURE)
	return 0;
#elif LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
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
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 10, 0)
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

/* The bytes of a submission queue entry that are the command's own. */
static inline const void *compat_uring_payload(const struct io_uring_cmd *cmd)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 6, 0)
	return io_uring_sqe_cmd(cmd->sqe);
#else
	return cmd->cmd;
#endif
}

/* Since 6.7, the kernel allocates shrinkers. */
struct compat_shrinker {
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 7, 0)
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
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 7, 0)
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
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 7, 0)
	shrinker_free(compat->shrinker);
#else
	unregister_shrinker(&compat->shrinker);
#endif
}

static inline struct shrinker *compat_shrinker(struct compat_shrinker *compat)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 7, 0)
	return compat->shrinker;
#else
	return &compat->shrinker;
#endif
}

/* Since 6.8, those that find node and memory cgroup of an object have another name. */
static inline bool compat_list_lru_add(struct list_lru *lru, struct list_head *item)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0)
	return list_lru_add_obj(lru, item);
#else
	return list_lru_add(lru, item);
#endif
}

static inline bool compat_list_lru_del(struct list_lru *lru, struct list_head *item)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0)
	return list_lru_del_obj(lru, item);
#else
	return list_lru_del(lru, item);
#endif
}

#endif /* GCHEAP_COMPAT_H */
