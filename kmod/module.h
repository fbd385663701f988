/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The state that the module's files share: one open heap, and the order of its locks.
 *
 * Each file has a header of its own beside this one. A file calls only those below it;
 * Documentation/layers has the order.
 *
 * Lock order:
 *
 *	1. gcheap_heap.lock		each request, from its first look at the
 *					heap to its last; long ones let go of it
 *					between pieces of their work. io_uring may
 *					hold locks of its ring around all
 *	2. mm_struct.mmap_lock		taken by requests that map pages or copy
 *					to and from user space; held by the memory
 *					manager around ->mmap(), ->close() and
 *					->fault() (->fault(): or a VMA's lock)
 *	   slack_locks			of frames.c: near the limit of a memory cgroup,
 *					around one allocation
 *	3. gcheap_heap.fault_lock	page faults, and whoever takes a page away
 *					from them
 *	4. a page's lock		in a heap with 2 MiB pages: page faults hold
 *					it until the page is mapped
 *	5. i_mmap_rwsem			taken inside unmap_mapping_pages()
 *	6. gcheap_pool.lock, pressure.lock, gcheap_heap.pinned_lock	spinlocks
 *	7. the worker's list		a spinlock, in zero_ahead.c
 *
 * The locks of stop.c are taken with none of these held, and these with none of them.
 *
 * Memory reclaim, which any allocation may turn to, takes fault_lock to release
 * pages. So whoever holds it must not reclaim: fault_lock() sees to that.
 * gcheap_heap.lock is only tried there.
 *
 * The list of all heaps has a mutex of its own, see pressure.c; nothing else is
 * locked when it is taken.
 *
 * So ->mmap(), ->close() and ->fault() must never wait for gcheap_heap.lock. They look
 * things up without it: the two kinds of pages in xarrays, the rest in fields that do not
 * change once @owner is set.
 */
#ifndef GCHEAP_MODULE_H
#define GCHEAP_MODULE_H

#include <linux/atomic.h>
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/rbtree.h>
#include <linux/sched/mm.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "core.h"

/*
 * All memory that a request asks for is charged to its caller, and a request
 * fails rather than have the OOM killer look for a victim.
 */
#define GCHEAP_GFP	(GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL | __GFP_NOWARN)

/**
 * struct gcheap_pool - pages that belong to a heap and are mapped nowhere
 * @lock: of all but @zero_node and @zero_ended, which are zero_ahead.c's
 * @zeroed: pages that are zero
 * @dirty: pages with old data of the heap
 * @zeroed_pages: length of @zeroed
 * @dirty_pages: length of @dirty
 * @blocks: 2 MiB pages with old data
 * @block_count: length of @blocks
 * @demand: pages to have ahead at most, for as many were needed
 * @trims: how often the pool was given back
 * @memcg: what pages ahead are charged to, with a reference; may be NULL
 * @zero_node: in the worker's list; empty: not there
 * @zero_ended: the heap is going away
 */
struct gcheap_pool {
	spinlock_t lock;		/* level 6 */
	struct list_head zeroed;
	struct list_head dirty;
	unsigned long zeroed_pages;
	unsigned long dirty_pages;
	struct list_head blocks;
	unsigned long block_count;
	unsigned long demand;
	unsigned long trims;
	struct mem_cgroup *memcg;
	struct list_head zero_node;
	bool zero_ended;
};

/**
 * struct pressure - what the owner of a heap is told about memory; pressure.c
 * @lock: guards the rest, but for @wait; level 6
 * @level: enum gcheap_pressure
 * @sequence: as in struct gcheap_ctrl
 * @ctrl: where both are published; NULL before SETUP, and when the heap has ended
 * @ended: there was a SETUP, and the heap is gone
 * @wait: who polls the file
 * @scavenger: gives back what the heap has above its goal
 * @member: how reclaim finds the heap
 * @chosen: by the shrinker, while it runs
 */
struct pressure {
	spinlock_t lock;		/* level 6 */
	u32 level;
	u32 sequence;
	struct gcheap_ctrl *ctrl;
	bool ended;
	wait_queue_head_t wait;
	struct delayed_work scavenger;
	struct pressure_member *member;
	bool chosen;
};

/**
 * struct gcheap_heap - one open file, which SETUP makes a heap
 * @core: the heap's logic; used under @lock
 * @lock: serialises requests
 * @waiting: how many requests wait for @lock
 * @turns: how many have had it; written under it
 * @fault_lock: page faults, and who takes a page away from them; see extents.c
 * @owner: the address space that may send requests and map regions; NULL before
 *	SETUP, and never changed after. Set with release when the fields it
 *	makes valid (@region_bytes, @core) are
 * @live: @core has been initialised and not been destroyed
 * @id: number of the heap since the module was loaded: what people know it by
 * @all: place in the list of all heaps; see pressure.c
 * @pressure: shortage of memory
 * @debugfs: its folder; NULL or an error: there is none
 * @inode: its mapping has all mappings of the regions, and those of no other heap
 * @region_bytes: length of each region
 * @tables: pages of each mapped table, by page index in the region
 * @extents: object memory, by extent number; see pages.c
 * @on_touch: see on_touch.c; under @fault_lock
 * @pool: pages beside those
 * @resident_pages: how many pages the extents have
 * @whole_blocks: how many 2 MiB pages they have of which no part was taken away
 * @populating: who has its new 2 MiB pages mapped now, which is no page fault of the
 *	program; written under @lock
 * @released_pages: how many were given to the system
 * @zeroed_pages: how many were zeroed ahead of demand
 * @held_pages: all that counts for the limits: extents, pool and tables
 * @ended: @owner has ended: nobody may map a page; set under @fault_lock
 * @owner_watch: see owner.c
 * @owner_maps: mappings of regions in @owner
 * @heap_maps: of these, of HEAP; more than one only inside mremap()
 * @look_maps: mappings of regions in other address spaces
 * @base: address of the HEAP region in @owner; 0: not mapped
 * @pinned_lock: of @pinned_pages
 * @pinned_pages: how many pages count as pinned in @owner; see memlock.c
 * @forsaken: the owner has unmapped more than it may keep so: the heap is of no use
 * @holes_mapped: a hole of MARKS was read; under @fault_lock
 * @faults: page faults in HEAP that found memory
 * @bad_faults: page faults in HEAP where there was none
 * @failures_seen: of memory of the machine, when the heap was looked at last; see poison.c
 * @stopper: who stops threads of @owner; NULL before the first STOP; see stop.c
 * @lost_pages: how many pages of the heap have failed and left it, or could not be
 *	given back with others that have
 */
struct gcheap_heap {
	struct heap core;
	struct mutex lock;		/* level 1 */
	atomic_t waiting;
	unsigned int turns;
	struct mutex fault_lock;	/* level 3 */
	struct mm_struct *owner;
	bool live;
	u32 id;
	struct list_head all;
	struct pressure pressure;
	struct dentry *debugfs;
	struct inode *inode;
	u64 region_bytes[GCHEAP_REGIONS];
	struct xarray tables[GCHEAP_REGIONS];
	struct xarray extents;
	struct rb_root on_touch;
	struct gcheap_pool pool;
	atomic_long_t resident_pages;
	atomic_long_t whole_blocks;
	struct task_struct *populating;
	atomic_long_t released_pages;
	atomic_long_t zeroed_pages;
	atomic_long_t held_pages;
	bool ended;
	struct delayed_work owner_watch;
	atomic_t owner_maps;
	atomic_t heap_maps;
	atomic_t look_maps;
	unsigned long base;
	spinlock_t pinned_lock;		/* level 6 */
	long pinned_pages;
	bool forsaken;
	bool holes_mapped;
	atomic64_t faults;
	atomic64_t bad_faults;
	unsigned long failures_seen;
	struct stopper *stopper;
	atomic_long_t lost_pages;
};

#define HEAP_PAGE_SHIFT	(GCHEAP_PAGE_SHIFT - PAGE_SHIFT) /* pages in a heap page */

static inline struct gcheap_heap *gcheap_heap_of(struct heap *core)
{
	return container_of(core, struct gcheap_heap, core);
}

/* Whether it may have 2 MiB pages; does not change after SETUP. */
static inline bool huge_allowed(const struct gcheap_heap *heap)
{
	return heap->core.flags & GCHEAP_SETUP_HUGE_PAGES;
}

/* The page offset of a region in the file. */
static inline pgoff_t region_pgoff(enum gcheap_region region)
{
	return (pgoff_t)(GCHEAP_REGION_OFFSET(region) >> PAGE_SHIFT);
}

/* Returns flags for fault_unlock(). Until then, allocations do not reclaim. */
static inline unsigned int fault_lock(struct gcheap_heap *heap)
{
	mutex_lock(&heap->fault_lock);
	return memalloc_noreclaim_save();
}

static inline void fault_unlock(struct gcheap_heap *heap, unsigned int flags)
{
	memalloc_noreclaim_restore(flags);
	mutex_unlock(&heap->fault_lock);
}

#endif /* GCHEAP_MODULE_H */
