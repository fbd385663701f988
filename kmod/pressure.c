// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Shortage of memory: what heaps give back, and what their owners are told of it.
 *
 * Memory of free heap pages and of the pool goes back to the system by three ways:
 *
 *	request		SCAVENGE, when the owner says so
 *	background	in time, what a heap has above its goal and a tenth
 *	shrinker	when the system reclaims memory, or a memory cgroup at its limit
 *			does: from all heaps in turn that were opened in it
 *
 * A heap has a level of pressure and a sequence number, published in CTRL. The
 * level goes up by events:
 *
 *	LOW	the shrinker has taken some of the heap's free memory
 *	HIGH	the shrinker has been asked for more than all heaps have free
 *	LIMIT	a request of the heap has failed for want of memory
 *
 * It stays until the owner has done something about it: SWEEP_START or SCAVENGE make it
 * none. Meanwhile the file polls as EPOLLPRI. Each event wakes whoever polls, also one
 * that does not raise the level, so that a poller with EPOLLET sees every event. Others
 * who hold the file may poll it too. When the heap has ended with its owner, the file
 * polls as EPOLLHUP.
 *
 * The figures have a spinlock of their own, so that events can come whatever the
 * heap is doing.
 *
 * Locking: heaps_lock guards the list of all heaps. The shrinker may be called wherever
 * memory is allocated, thus with any lock held but fault_lock: it never just waits for
 * heaps_lock or for a heap. Where the allocation may fail, as the module's own may, it
 * passes by heaps that are busy; where the OOM killer of a memory cgroup would come
 * instead, it tries again and again, for a short while.
 *
 * A memory cgroup that reclaims asks this shrinker only if it has an object on a list of
 * type list_lru; the kernel knows no other way. So each heap has a small object there,
 * charged to the memory cgroup of whoever opened it, which says no more than which heap
 * it is.
 */
#include <linux/ktime.h>
#include <linux/sizes.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "compat.h"
#include "frames.h"
#include "memlock.h"
#include "module.h"
#include "page_pool.h"
#include "pressure.h"
#include "trace.h"

/*
 * Background: a piece of at most so much is given back, then nothing for 99 times as
 * long as that took: it has 1 % of a CPU, as Go's scavenger. It begins a moment after
 * memory became free, which may soon be wanted again, and leaves alone what is not
 * worth it.
 */
#define SCAVENGE_PIECE		((u32)SZ_1M)
#define SCAVENGE_LEAST		((u32)SZ_64K)
#define SCAVENGE_REST		99u		/* times the work */
#define SCAVENGE_DELAY		(HZ / 10)
#define SCAVENGE_BUSY_DELAY	(HZ / 50)	/* when the heap is locked */

/*
 * The shrinker counts one page in so many of those in use as a page that it could
 * have: they say that heaps without free memory can be asked for it too, by HIGH. The
 * less the system finds elsewhere, the larger a share of what is counted it asks for.
 */
#define SHRINK_COLLECTABLE	8u

/* How long it tries for a lock where it may: as long as some requests take. */
#define SHRINK_PATIENCE		(HZ / 10)

static DEFINE_MUTEX(heaps_lock);
static LIST_HEAD(heaps);
static u32 heaps_last_id;	/* under heaps_lock */

/**
 * struct pressure_member - a heap as the kernel's reclaim sees it
 * @lru: place in heaps_lru
 * @heap: the heap
 */
struct pressure_member {
	struct list_head lru;
	struct gcheap_heap *heap;
};

static struct kmem_cache *members_cache;
static struct list_lru heaps_lru;
static struct compat_shrinker heaps_shrinker;

/* ---- the level -------------------------------------------------------------------- */

/* Under @heap->pressure.lock. */
static void pressure_publish(struct pressure *pressure)
{
	if (!pressure->ctrl)
		return;
	WRITE_ONCE(pressure->ctrl->pressure, pressure->level);
	/* Whoever sees the new number sees the level, or one that came after it. */
	smp_store_release(&pressure->ctrl->pressure_sequence, pressure->sequence);
}

/* An event of this level. */
static void pressure_raise(struct gcheap_heap *heap, u32 level)
{
	struct pressure *pressure = &heap->pressure;

	spin_lock(&pressure->lock);
	if (pressure->level < level)
		WRITE_ONCE(pressure->level, level);
	pressure->sequence++;
	pressure_publish(pressure);
	trace_gcheap_pressure(heap->id, pressure->level, pressure->sequence);
	spin_unlock(&pressure->lock);
	wake_up_interruptible_poll(&pressure->wait, EPOLLPRI);
}

/* The owner has done something about it. */
static void pressure_reset(struct gcheap_heap *heap)
{
	struct pressure *pressure = &heap->pressure;

	spin_lock(&pressure->lock);
	if (pressure->level) {
		WRITE_ONCE(pressure->level, GCHEAP_PRESSURE_NONE);
		pressure_publish(pressure);
		trace_gcheap_pressure(heap->id, pressure->level, pressure->sequence);
	}
	spin_unlock(&pressure->lock);
}

/* ---- background ------------------------------------------------------------------- */

static void scavenge_piece(struct gcheap_heap *heap, u64 excess, unsigned long *delay)
{
	u64 max_bytes = min_t(u64, excess, SCAVENGE_PIECE);
	u64 begin = ktime_get_ns();
	u64 bytes = heap_scavenge_some(&heap->core, max_bytes);
	u64 ns = ktime_get_ns() - begin;

	heap_publish(&heap->core);
	trace_gcheap_scavenge(heap->id, GCHEAP_SCAVENGE_BACKGROUND, max_bytes, bytes,
			      heap->core.counters.free_bytes + heap->core.counters.stock_bytes,
			      0, ns);
	/* Where nothing can be had, the next request may change it. */
	if (bytes && heap_scavenge_excess(&heap->core) >= SCAVENGE_LEAST)
		*delay = max(nsecs_to_jiffies(ns * SCAVENGE_REST), 1ul);
}

/*
 * Only tries for the lock: whoever empties the heap holds it, and release waits for
 * this to end.
 */
static void scavenge_work(struct work_struct *work)
{
	struct pressure *pressure =
		container_of(to_delayed_work(work), struct pressure, scavenger);
	struct gcheap_heap *heap = container_of(pressure, struct gcheap_heap, pressure);
	unsigned long delay = 0;
	u64 excess;

	if (mutex_trylock(&heap->lock)) {
		excess = heap->live ? heap_scavenge_excess(&heap->core) : 0;
		if (excess >= SCAVENGE_LEAST)
			scavenge_piece(heap, excess, &delay);
		memlock_count(heap);
		mutex_unlock(&heap->lock);
	} else {
		delay = SCAVENGE_BUSY_DELAY;
	}
	if (delay)
		queue_delayed_work(compat_unbound_wq(), &pressure->scavenger, delay);
}

/**
 * pressure_request_end() - note what a request says about memory
 * @heap: the heap, its figures published
 * @op: the operation
 * @error: what it returns
 *
 * Context: @heap->lock is held.
 */
void pressure_request_end(struct gcheap_heap *heap, u32 op, int error)
{
	if (!heap->live)
		return;
	if (error == -ENOMEM)
		pressure_raise(heap, GCHEAP_PRESSURE_LIMIT);
	else if (!error && (op == GCHEAP_OP_SWEEP_START || op == GCHEAP_OP_SCAVENGE))
		pressure_reset(heap);
	if (!delayed_work_pending(&heap->pressure.scavenger) &&
	    heap_scavenge_excess(&heap->core) >= SCAVENGE_LEAST)
		queue_delayed_work(compat_unbound_wq(), &heap->pressure.scavenger, SCAVENGE_DELAY);
}

/* ---- the shrinker ------------------------------------------------------------------ */

/* Pages of memory that a heap could give back at once; a guess while it is busy. */
static unsigned long pressure_spare(const struct gcheap_heap *heap)
{
	if (READ_ONCE(heap->pressure.ended))
		return 0;
	return (unsigned long)(READ_ONCE(heap->core.counters.free_bytes) >> PAGE_SHIFT) +
	       pool_pages(heap);
}

static unsigned long pressure_collectable(const struct gcheap_heap *heap)
{
	u64 pages = READ_ONCE(heap->core.counters.in_use_pages);

	/* It has been asked already. */
	if (READ_ONCE(heap->pressure.level) >= GCHEAP_PRESSURE_HIGH ||
	    READ_ONCE(heap->pressure.ended))
		return 0;
	return (unsigned long)(pages << (GCHEAP_PAGE_SHIFT - PAGE_SHIFT)) / SHRINK_COLLECTABLE;
}

static void member_count(struct list_head *item, void *arg)
{
	struct gcheap_heap *heap = container_of(item, struct pressure_member, lru)->heap;

	*(unsigned long *)arg += pressure_spare(heap) + pressure_collectable(heap);
}

static void member_choose(struct list_head *item, void *arg)
{
	container_of(item, struct pressure_member, lru)->heap->pressure.chosen = true;
}

COMPAT_LIST_LRU_WALK(count_member, member_count)
COMPAT_LIST_LRU_WALK(choose_member, member_choose)

/* Calls @walk for each heap that was opened in the memory cgroup, and on the node. */
static void walk_members(struct shrink_control *control, list_lru_walk_cb walk, void *arg)
{
	unsigned long most = ULONG_MAX;

	list_lru_walk_one(&heaps_lru, control->nid, control->memcg, walk, arg, &most);
}

/*
 * Until when (jiffies) to try for a lock: where the OOM killer of a memory cgroup is the
 * alternative, some requests' time; else not at all.
 */
static unsigned long shrink_patience(const struct shrink_control *control)
{
	if (control->gfp_mask & (__GFP_NORETRY | __GFP_RETRY_MAYFAIL) ||
	    compat_memcg_margin(NULL, NULL) >= FRAMES_SLACK ||
	    compat_memcg_margin(control->memcg, NULL) >= FRAMES_SLACK)
		return jiffies;
	return jiffies + SHRINK_PATIENCE;
}

/*
 * Takes a lock, by trying, until @end (jiffies) at most. Whoever holds it may be waiting
 * for what this task holds.
 */
static bool shrink_trylock(struct mutex *lock, unsigned long end)
{
	while (!mutex_trylock(lock)) {
		if (time_after_eq(jiffies, end))
			return false;
		schedule_timeout_uninterruptible(1);
	}
	return true;
}

/* Not SHRINK_EMPTY: that would mean that a heap must be opened to have some again. */
static unsigned long shrink_count(struct shrinker *shrinker, struct shrink_control *control)
{
	unsigned long count = 0;

	if (!shrink_trylock(&heaps_lock, shrink_patience(control)))
		return 0;
	if (!list_empty(&heaps))
		walk_members(control, count_member, &count);
	mutex_unlock(&heaps_lock);
	return count;
}

/* Gives back up to @wanted pages of a heap; how many. */
static unsigned long shrink_heap(struct gcheap_heap *heap, unsigned long wanted,
				 unsigned long end)
{
	u64 begin, bytes = 0;

	if (!shrink_trylock(&heap->lock, pressure_spare(heap) ? end : jiffies))
		return 0;
	if (heap->live) {
		begin = ktime_get_ns();
		bytes = heap_scavenge_some(&heap->core, (u64)wanted << PAGE_SHIFT);
		heap_publish(&heap->core);
		trace_gcheap_scavenge(heap->id, GCHEAP_SCAVENGE_SHRINKER,
				      (u64)wanted << PAGE_SHIFT, bytes,
				      heap->core.counters.free_bytes +
				      heap->core.counters.stock_bytes, 0,
				      ktime_get_ns() - begin);
		memlock_count(heap);
	}
	mutex_unlock(&heap->lock);
	if (bytes)
		pressure_raise(heap, GCHEAP_PRESSURE_LOW);
	return (unsigned long)(bytes >> PAGE_SHIFT);
}

static unsigned long shrink_scan(struct shrinker *shrinker, struct shrink_control *control)
{
	unsigned long wanted = control->nr_to_scan;
	struct gcheap_heap *heap, *next;
	const unsigned long end = shrink_patience(control);
	unsigned long given = 0;
	LIST_HEAD(done);

	if (!shrink_trylock(&heaps_lock, end))
		return SHRINK_STOP;
	if (!list_empty(&heaps))
		walk_members(control, choose_member, NULL);
	/* A heap that has given goes to the end of the list: the next time others come first. */
	list_for_each_entry_safe(heap, next, &heaps, all) {
		if (!heap->pressure.chosen || given >= wanted)
			continue;
		given += shrink_heap(heap, wanted - given, end);
		list_move_tail(&heap->all, &done);
	}
	list_splice_tail(&done, &heaps);
	list_for_each_entry(heap, &heaps, all) {
		if (heap->pressure.chosen && given < wanted && pressure_collectable(heap))
			pressure_raise(heap, GCHEAP_PRESSURE_HIGH);
		heap->pressure.chosen = false;
	}
	mutex_unlock(&heaps_lock);
	return given ? given : SHRINK_STOP;
}

/**
 * pressure_poll() - ->poll(): EPOLLPRI under pressure, EPOLLHUP after the heap's end
 * @file: the heap's file
 * @wait: the poll table
 */
__poll_t pressure_poll(struct file *file, struct poll_table_struct *wait)
{
	struct gcheap_heap *heap = file->private_data;
	struct pressure *pressure = &heap->pressure;
	__poll_t events = 0;

	poll_wait(file, &pressure->wait, wait);
	if (READ_ONCE(pressure->level))
		events |= EPOLLPRI;
	if (READ_ONCE(pressure->ended))
		events |= EPOLLHUP;
	return events;
}

/* ---- life of a heap ---------------------------------------------------------------- */

/**
 * pressure_heap_init() - prepare a heap
 * @heap: new
 */
void pressure_heap_init(struct gcheap_heap *heap)
{
	INIT_LIST_HEAD(&heap->all);
	spin_lock_init(&heap->pressure.lock);
	init_waitqueue_head(&heap->pressure.wait);
	INIT_DELAYED_WORK(&heap->pressure.scavenger, scavenge_work);
}

/**
 * pressure_heap_open() - give a heap its number, and let reclaim find it
 * @heap: the heap, complete
 *
 * Return: 0 or -ENOMEM.
 */
int pressure_heap_open(struct gcheap_heap *heap)
{
	struct pressure_member *member;

	member = kmem_cache_alloc_lru(members_cache, &heaps_lru, GCHEAP_GFP);
	if (!member)
		return -ENOMEM;
	INIT_LIST_HEAD(&member->lru);
	member->heap = heap;
	heap->pressure.member = member;
	mutex_lock(&heaps_lock);
	heap->id = ++heaps_last_id;
	list_add_tail(&heap->all, &heaps);
	compat_list_lru_add(&heaps_lru, &member->lru);
	mutex_unlock(&heaps_lock);
	return 0;
}

/**
 * pressure_heap_start() - SETUP has made a heap of it
 * @heap: the heap; its CTRL is there
 *
 * Context: @heap->lock is held.
 */
void pressure_heap_start(struct gcheap_heap *heap)
{
	spin_lock(&heap->pressure.lock);
	heap->pressure.ctrl = heap->core.ctrl;
	pressure_publish(&heap->pressure);
	spin_unlock(&heap->pressure.lock);
}

/**
 * pressure_heap_end() - its memory and tables are about to go
 * @heap: the heap
 *
 * Context: as owner_ended().
 */
void pressure_heap_end(struct gcheap_heap *heap)
{
	spin_lock(&heap->pressure.lock);
	heap->pressure.ctrl = NULL;
	WRITE_ONCE(heap->pressure.level, GCHEAP_PRESSURE_NONE);
	WRITE_ONCE(heap->pressure.ended, true);
	spin_unlock(&heap->pressure.lock);
	wake_up_interruptible_poll(&heap->pressure.wait, EPOLLHUP);
}

/**
 * pressure_heap_release() - its file goes: nobody here will touch it any more
 * @heap: the heap
 *
 * Context: may sleep; no lock is held.
 */
void pressure_heap_release(struct gcheap_heap *heap)
{
	mutex_lock(&heaps_lock);
	list_del_init(&heap->all);
	compat_list_lru_del(&heaps_lru, &heap->pressure.member->lru);
	mutex_unlock(&heaps_lock);
	kmem_cache_free(members_cache, heap->pressure.member);
	cancel_delayed_work_sync(&heap->pressure.scavenger);
}

/* ---- life of the module ------------------------------------------------------------ */

/**
 * pressure_init() - make the shrinker
 *
 * Return: 0 or -ENOMEM.
 */
int pressure_init(void)
{
	int error;

	members_cache = KMEM_CACHE(pressure_member, SLAB_ACCOUNT);
	if (!members_cache)
		return -ENOMEM;
	error = compat_shrinker_register(&heaps_shrinker, "gcheap",
					 SHRINKER_MEMCG_AWARE | SHRINKER_NUMA_AWARE,
					 shrink_count, shrink_scan);
	if (error)
		goto destroy_cache;
	/* The shrinker has its number now; it does not look here while there is no heap. */
	error = list_lru_init_memcg(&heaps_lru, compat_shrinker(&heaps_shrinker));
	if (error)
		goto unregister;
	return 0;

unregister:
	compat_shrinker_unregister(&heaps_shrinker);
destroy_cache:
	kmem_cache_destroy(members_cache);
	return error;
}

void pressure_exit(void)
{
	compat_shrinker_unregister(&heaps_shrinker);
	list_lru_destroy(&heaps_lru);
	kmem_cache_destroy(members_cache);
}
