// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The worker: one thread of lowest priority, so that it runs when a CPU is idle,
 * which has pages zeroed for the heaps that ask (stock.c).
 *
 * Heaps that ask are in a list, and served in turns, a batch each. The worker has no
 * reference to a heap: the one that it is serving stands in zero_serving, and whoever
 * ends a heap waits until it is not there. So a heap that was forgotten is safe from
 * the worker for good.
 */
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/list.h>
#include <linux/sched.h>
#include <linux/wait.h>

#include "module.h"

static DEFINE_SPINLOCK(zero_lock);		/* level 7: of all below */
static LIST_HEAD(zero_heaps);
static struct gcheap_heap *zero_serving;

static DECLARE_WAIT_QUEUE_HEAD(zero_work);	/* the worker waits for heaps */
static DECLARE_WAIT_QUEUE_HEAD(zero_served);	/* others wait for the worker */
static struct task_struct *zero_task;

/* The next heap to serve, or NULL. */
static struct gcheap_heap *zero_next(void)
{
	struct gcheap_heap *heap;

	spin_lock(&zero_lock);
	heap = list_first_entry_or_null(&zero_heaps, struct gcheap_heap, stock.zero_node);
	if (heap)
		list_del_init(&heap->stock.zero_node);
	zero_serving = heap;
	spin_unlock(&zero_lock);
	return heap;
}

static void zero_done(struct gcheap_heap *heap, bool more)
{
	spin_lock(&zero_lock);
	if (more && !heap->stock.zero_ended && list_empty(&heap->stock.zero_node))
		list_add_tail(&heap->stock.zero_node, &zero_heaps);
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
			zero_done(heap, stock_zero_some(heap));
			cond_resched();
		} else {
			wait_event_idle(zero_work, kthread_should_stop() ||
					!list_empty_careful(&zero_heaps));
		}
	}
	return 0;
}

/**
 * zero_kick() - have pages zeroed for a heap
 * @heap: the heap
 *
 * Context: any.
 */
void zero_kick(struct gcheap_heap *heap)
{
	bool idle = false;

	spin_lock(&zero_lock);
	if (!heap->stock.zero_ended && list_empty(&heap->stock.zero_node)) {
		idle = list_empty(&zero_heaps) && !zero_serving;
		list_add_tail(&heap->stock.zero_node, &zero_heaps);
	}
	spin_unlock(&zero_lock);
	if (idle)
		wake_up(&zero_work);
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
 * zero_forget() - do nothing for a heap any more
 * @heap: the heap
 *
 * Context: may sleep, for as long as a batch takes.
 */
void zero_forget(struct gcheap_heap *heap)
{
	spin_lock(&zero_lock);
	heap->stock.zero_ended = true;
	list_del_init(&heap->stock.zero_node);
	spin_unlock(&zero_lock);
	wait_event(zero_served, !zero_serves(heap));
}

/**
 * zero_start() - start the worker
 *
 * Return: 0 or a negative errno.
 */
int zero_start(void)
{
	zero_task = kthread_run(zero_main, NULL, "gcheap_zero");
	return PTR_ERR_OR_ZERO(zero_task);
}

/* Stops the worker; there are no heaps. */
void zero_stop(void)
{
	kthread_stop(zero_task);
}
