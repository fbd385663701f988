// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Shortage of memory: what the owner of a heap is told of it.
 *
 * A heap has a level of pressure and a sequence number, published in CTRL. The
 * level goes up by events: a request of the heap that failed for want of memory.
 * It stays until the owner has done something about it: SWEEP_START or SCAVENGE
 * make it none. Meanwhile the file polls as EPOLLPRI, and each event wakes who
 * polls, also one that did not raise the level: with EPOLLET an event is seen each
 * time. Others who hold the file may poll it too. When the heap has ended, for its
 * owner has, the file polls as EPOLLHUP.
 *
 * The figures have a spinlock of their own, so that events can come whatever the
 * heap is doing.
 */
#include "module.h"
#include "trace.h"

static DEFINE_MUTEX(heaps_lock);
static LIST_HEAD(heaps);
static u32 heaps_last_id;	/* under heaps_lock */

/* ---- the level -------------------------------------------------------------------- */

/* Under @heap->pressure.lock. */
static void pressure_publish(struct heap_pressure *pressure)
{
	if (!pressure->ctrl)
		return;
	WRITE_ONCE(pressure->ctrl->pressure, pressure->level);
	/* Who sees the new number sees the level, or one that came after it. */
	smp_store_release(&pressure->ctrl->pressure_sequence, pressure->sequence);
}

/* An event of this level. */
static void pressure_raise(struct gcheap_heap *heap, u32 level)
{
	struct heap_pressure *pressure = &heap->pressure;

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
	struct heap_pressure *pressure = &heap->pressure;

	spin_lock(&pressure->lock);
	if (pressure->level) {
		WRITE_ONCE(pressure->level, GCHEAP_PRESSURE_NONE);
		pressure_publish(pressure);
		trace_gcheap_pressure(heap->id, pressure->level, pressure->sequence);
	}
	spin_unlock(&pressure->lock);
}

/**
 * pressure_request_end() - note what a request says about memory
 * @heap: the heap
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
}

/**
 * pressure_poll() - ->poll(): EPOLLPRI under pressure, EPOLLHUP after the heap's end
 * @file: the heap's file
 * @wait: the poll table
 */
__poll_t pressure_poll(struct file *file, struct poll_table_struct *wait)
{
	struct gcheap_heap *heap = file->private_data;
	struct heap_pressure *pressure = &heap->pressure;
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
}

/**
 * pressure_heap_open() - give a heap its number, and put it on the list
 * @heap: the heap, complete
 */
void pressure_heap_open(struct gcheap_heap *heap)
{
	mutex_lock(&heaps_lock);
	heap->id = ++heaps_last_id;
	list_add_tail(&heap->all, &heaps);
	mutex_unlock(&heaps_lock);
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
 * Context: as gcheap_heap_empty().
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
	mutex_unlock(&heaps_lock);
}
