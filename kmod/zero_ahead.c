// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Zeroing pages ahead of demand.
 *
 * A worker zeroes old pages of a heap's pool, and allocates others and zeroes them. For
 * each page that requests have needed it makes one ready at most, so that it stops when
 * they do. It makes no more ready than the parameter zero_ahead_bytes and a share of the
 * heap. It allocates on behalf of the memory cgroup that made the last request, never
 * near the cgroup's limit, and reclaims memory from nobody.
 *
 * The worker is one thread of lowest priority, so that it runs when a CPU is idle.
 *
 * Heaps that ask are in a list, and served in turns, a batch each. The worker has no
 * reference to a heap: the one that it is serving stands in zero_serving, and whoever
 * ends a heap waits until it is not there. So a heap that was forgotten is safe from
 * the worker for good.
 */
#include <linux/err.h>
#include <linux/highmem.h>
#include <linux/kthread.h>
#include <linux/list.h>
#include <linux/moduleparam.h>
#include <linux/sched.h>
#include <linux/wait.h>

#include "compat.h"
#include "frames.h"
#include "module.h"
#include "page_pool.h"
#include "zero_ahead.h"

#define ZERO_SHARE	8u	/* of the heap */
#define ZERO_BATCH	16u	/* pages that are zeroed before others may wait */

static unsigned long zero_ahead_bytes = 4ul << 20;
module_param(zero_ahead_bytes, ulong, 0644);
MODULE_PARM_DESC(zero_ahead_bytes,
		 "Most memory to zero for a heap ahead of demand, in bytes; 0: zero none");

static DEFINE_SPINLOCK(zero_lock);		/* level 7: of all below */
static LIST_HEAD(zero_heaps);
static struct gcheap_heap *zero_serving;

static DECLARE_WAIT_QUEUE_HEAD(zero_work);	/* the worker waits for heaps */
static DECLARE_WAIT_QUEUE_HEAD(zero_served);	/* others wait for the worker */
static struct task_struct *zero_task;

/* ---- what it does for a heap -------------------------------------------------- */

/* How many zeroed pages a heap should have in the pool. */
static unsigned long ahead_limit(const struct gcheap_heap *heap)
{
	return min_t(unsigned long, READ_ONCE(zero_ahead_bytes) >> PAGE_SHIFT,
		     atomic_long_read(&heap->resident_pages) / ZERO_SHARE);
}

/* How many pages to allocate ahead now; @pool->lock is held. */
static unsigned long ahead_pages(const struct gcheap_heap *heap)
{
	const struct gcheap_pool *pool = &heap->pool;
	unsigned long limit = ahead_limit(heap);
	unsigned long have = pool->zeroed_pages + pool->dirty_pages;

	return min(pool->demand, limit - min(limit, have));
}

/* Zeroes old pages. Return: whether there were any. */
static bool zero_old(struct gcheap_heap *heap)
{
	unsigned long count, trims;
	struct page *page;
	LIST_HEAD(pages);
	LIST_HEAD(bad);

	count = pool_take_oldest(heap, &pages, ZERO_BATCH, &trims);
	if (!count)
		return false;
	count -= frames_drop_failed(&pages, &bad);
	frames_release(heap, &bad);
	list_for_each_entry(page, &pages, lru)
		clear_highpage(page);
	pool_put_ahead(heap, &pages, count, trims);
	return true;
}

/*
 * Allocates a block ahead. A small one: as many pages of a large one would be zeroed
 * in one go, while others may wait for this CPU. Return: whether there was need, and
 * memory.
 */
static bool zero_new(struct gcheap_heap *heap)
{
	const unsigned long count = BIT(FRAMES_SMALL_ORDER);
	struct gcheap_pool *pool = &heap->pool;
	struct mem_cgroup *memcg;
	unsigned long trims;
	LIST_HEAD(pages);
	bool made;

	spin_lock(&pool->lock);
	made = ahead_pages(heap) >= count;
	trims = pool->trims;
	memcg = compat_memcg_get(pool->memcg);
	spin_unlock(&pool->lock);

	made = made && compat_memcg_margin(memcg, NULL) >= 4 * FRAMES_SLACK;
	if (made) {
		struct mem_cgroup *old = set_active_memcg(memcg);

		made = !frames_alloc(heap, FRAMES_SMALL_ORDER, 0, &pages);
		set_active_memcg(old);
	}
	compat_memcg_put(memcg);
	spin_lock(&pool->lock);
	/* Where there is no memory now, wait for the next request. */
	pool->demand = made ? pool->demand - min(pool->demand, count) : 0;
	spin_unlock(&pool->lock);
	if (made)
		pool_put_ahead(heap, &pages, count, trims);
	return made;
}

/* Works ahead of demand, for a short while. Return: whether there may be more to do. */
static bool zero_some(struct gcheap_heap *heap)
{
	if (!READ_ONCE(zero_ahead_bytes))
		return false;
	return zero_old(heap) || zero_new(heap);
}

/* ---- the worker ----------------------------------------------------------------- */

/* The next heap to serve, or NULL. */
static struct gcheap_heap *zero_next(void)
{
	struct gcheap_heap *heap;

	spin_lock(&zero_lock);
	heap = list_first_entry_or_null(&zero_heaps, struct gcheap_heap, pool.zero_node);
	if (heap)
		list_del_init(&heap->pool.zero_node);
	zero_serving = heap;
	spin_unlock(&zero_lock);
	return heap;
}

static void zero_done(struct gcheap_heap *heap, bool more)
{
	spin_lock(&zero_lock);
	if (more && !heap->pool.zero_ended && list_empty(&heap->pool.zero_node))
		list_add_tail(&heap->pool.zero_node, &zero_heaps);
	zero_serving = NULL;
	spin_unlock(&zero_lock);
	/* The heap may be gone now. */
	wake_up_all(&zero_served);
}

static int zero_main(void *unused)
{
	set_user_nice(current, MAX_NICE);
	while (!kthread_should_stop()) {
		struct gcheap_heap *heap = zero_next();

		if (heap) {
			zero_done(heap, zero_some(heap));
			cond_resched();
		} else {
			wait_event_idle(zero_work, kthread_should_stop() ||
					!list_empty(&zero_heaps));
		}
	}
	return 0;
}

/**
 * zero_ahead_kick() - have pages zeroed for a heap
 * @heap: the heap
 *
 * Context: any.
 */
void zero_ahead_kick(struct gcheap_heap *heap)
{
	bool idle = false;

	spin_lock(&zero_lock);
	if (!heap->pool.zero_ended && list_empty(&heap->pool.zero_node)) {
		idle = list_empty(&zero_heaps) && !zero_serving;
		list_add_tail(&heap->pool.zero_node, &zero_heaps);
	}
	spin_unlock(&zero_lock);
	if (idle)
		wake_up(&zero_work);
}

/**
 * zero_ahead_demand() - a request has been served: have pages for the next one
 * @heap: the heap
 *
 * Context: may sleep; called by the task whose memory cgroup pays.
 */
void zero_ahead_demand(struct gcheap_heap *heap)
{
	struct gcheap_pool *pool = &heap->pool;
	struct mem_cgroup *memcg;
	bool kick;

	if (!READ_ONCE(zero_ahead_bytes))
		return;
	memcg = compat_memcg_get_other(READ_ONCE(pool->memcg));
	spin_lock(&pool->lock);
	if (memcg)
		swap(memcg, pool->memcg);
	/* What is too much is forgotten: the demand was long ago, or cannot be met. */
	pool->demand = min(pool->demand, ahead_limit(heap));
	/* Not for each of a few pages: to wake the worker costs as much as some of them. */
	kick = ahead_pages(heap) >= max(BIT(FRAMES_SMALL_ORDER), ahead_limit(heap) / 2);
	spin_unlock(&pool->lock);
	compat_memcg_put(memcg);
	if (kick)
		zero_ahead_kick(heap);
}

/* ---- life ------------------------------------------------------------------------ */

/**
 * zero_ahead_init() - prepare a heap to have pages zeroed
 * @heap: the heap, new
 */
void zero_ahead_init(struct gcheap_heap *heap)
{
	INIT_LIST_HEAD(&heap->pool.zero_node);
}

static bool zero_serves(struct gcheap_heap *heap)
{
	bool serves;

	spin_lock(&zero_lock);
	serves = zero_serving == heap;
	spin_unlock(&zero_lock);
	return serves;
}

/**
 * zero_ahead_end() - do nothing for a heap any more
 * @heap: the heap
 *
 * Context: may sleep, for as long as a batch takes.
 */
void zero_ahead_end(struct gcheap_heap *heap)
{
	spin_lock(&zero_lock);
	heap->pool.zero_ended = true;
	list_del_init(&heap->pool.zero_node);
	spin_unlock(&zero_lock);
	wait_event(zero_served, !zero_serves(heap));
	compat_memcg_put(heap->pool.memcg);
	heap->pool.memcg = NULL;
}

/**
 * zero_ahead_start() - start the worker
 *
 * Return: 0 or a negative errno.
 */
int zero_ahead_start(void)
{
	zero_task = kthread_run(zero_main, NULL, "gcheap_zero");
	return PTR_ERR_OR_ZERO(zero_task);
}

/* Stops the worker; there are no heaps. */
void zero_ahead_stop(void)
{
	kthread_stop(zero_task);
}
