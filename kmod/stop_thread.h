/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * One thread that is stopped: the work that holds it, and what is told of it (stop_thread.c).
 */
#ifndef GCHEAP_STOP_THREAD_H
#define GCHEAP_STOP_THREAD_H

#include <linux/list.h>
#include <linux/refcount.h>
#include <linux/task_work.h>
#include <linux/wait.h>
#include <linux/xarray.h>

#include "module.h"

#define STOP_STATE	(TASK_KILLABLE | TASK_FREEZABLE)

/**
 * struct stopper - all stops of one address space
 * @node: in the list of all; under stoppers_lock
 * @mm: the address space; to be compared only
 * @heaps: how many heaps of it have had a stop; under stoppers_lock
 * @refs: one of those heaps together, one of each work that is queued
 * @threads: struct stop_thread by the number of the task; its lock is that of all below
 * @holder: whose stop it is, or the last was
 * @process: who has sent it
 * @last: number of the last stop that was begun
 * @active: the stop that holds threads; 0: none. Written under the lock
 * @stopping: a STOP is at work
 * @missing: how many threads it waits for at the moment
 * @deadline: in jiffies: when threads go on by themselves
 * @reported: where the one who stops waits for them
 * @resumed: where they wait
 */
struct stopper {
	struct list_head node;
	const struct mm_struct *mm;
	unsigned int heaps;
	refcount_t refs;
	struct xarray threads;
	const struct gcheap_heap *holder;
	const struct signal_struct *process;
	u64 last;
	u64 active;
	bool stopping;
	u32 missing;
	unsigned long deadline;
	wait_queue_head_t reported;
	wait_queue_head_t resumed;
};

/**
 * struct stop_thread - a thread that a STOP at work names, or whose work is queued
 * @work: the task work
 * @stopper: the stopper; a reference while @queued
 * @task: the thread; a reference while @named, and it cannot go while @queued
 * @index: in stopper.threads
 * @wanted: which stop wants it
 * @queued: it has yet to do the work
 * @named: by the STOP at work, which looks at it
 * @done: that need not wait for it any more
 * @answer: what is told of it
 *
 * All under the stopper's lock, but for @answer, which its thread writes before it is @done
 * and queued no more, or the one who stops, with it.
 */
struct stop_thread {
	struct callback_head work;
	struct stopper *stopper;
	struct task_struct *task;
	unsigned long index;
	u64 wanted;
	bool queued;
	bool named;
	bool done;
	struct gcheap_stopped answer;
};

/* Gives back a reference. */
void stopper_put(struct stopper *stopper);

/* With the stopper's lock held: ends a stop. Return: whether it held threads. */
bool stop_end(struct stopper *stopper, u64 number);

/* The task work, of the thread that runs it; or it is about to exit. */
void stop_work(struct callback_head *work);

/* Sees to it that a thread does its work before it is in user mode again. */
void stop_queue(struct stop_thread *thread, u64 number);

/* With the stopper's lock held: whether it sleeps in a system call; saves its registers then. */
bool stop_is_blocked(struct stop_thread *thread);

#endif /* GCHEAP_STOP_THREAD_H */
