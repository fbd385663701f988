// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Stops threads of a process for its collector, and tells their registers. What is done to one
 * thread is in stop_thread.c.
 *
 * Nobody waits for ever: parked threads go on when the time of the stop is over, when the
 * process closes a descriptor of the heap, and when it is being killed or executes another
 * program. Whoever has stopped them hears of it from RESUME. Only the first of these
 * happens if the process gets SIGSTOP meanwhile: then the one who stopped stands still, and
 * SIGSTOP waits for the parked.
 *
 * Stops have numbers, and a work knows which stop wants it. If that has ended when the thread
 * comes to it, it does nothing. As a work cannot be taken back, the next stop uses it
 * again: a thread has one at most. A work holds a reference to the module, so that it
 * cannot be unloaded while a thread sleeps that was stopped once.
 *
 * All stops of an address space go by one struct stopper, whichever heap they are by, and one
 * stop excludes another: two collectors that wait for each other's threads would never end.
 */
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pid.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/wait.h>
#include <linux/xarray.h>

#include "interrupted.h"
#include "module.h"
#include "stop.h"
#include "stop_thread.h"

#if defined(GCHEAP_HAVE_TASK_WORK_ADD) && defined(CONFIG_X86_64)

#define STOP_WAIT_MS	1000u	/* when the request does not say */
#define STOP_HOLD_MS	10000u
#define STOP_LOOK_NS	(50 * NSEC_PER_USEC) /* first look at who has not reported */
#define STOP_LOOK_MAX_NS	(2 * NSEC_PER_MSEC)

/* Threads that never are in user mode. */
#ifdef PF_USER_WORKER
#define STOP_NOT_USERS	(PF_KTHREAD | PF_IO_WORKER | PF_USER_WORKER)
#else
#define STOP_NOT_USERS	(PF_KTHREAD | PF_IO_WORKER)
#endif

static DEFINE_MUTEX(stoppers_lock);
static LIST_HEAD(stoppers);
static bool stop_was_used;

/* That of the caller's address space. */
static struct stopper *stopper_get(struct gcheap_heap *heap)
{
	/* Pairs with smp_store_release() below. */
	struct stopper *stopper = smp_load_acquire(&heap->stopper);
	struct stopper *other;

	if (stopper)
		return stopper;
	stopper = kzalloc(sizeof(*stopper), GCHEAP_GFP);
	if (!stopper)
		return NULL;
	stopper->mm = heap->owner;
	refcount_set(&stopper->refs, 1);
	xa_init(&stopper->threads);
	init_waitqueue_head(&stopper->reported);
	init_waitqueue_head(&stopper->resumed);

	mutex_lock(&stoppers_lock);
	if (heap->stopper)
		goto free;
	list_for_each_entry(other, &stoppers, node) {
		if (other->mm == heap->owner)
			goto share;
	}
	list_add(&stopper->node, &stoppers);
	other = stopper;
	stopper = NULL;
share:
	other->heaps++;
	/* Pairs with smp_load_acquire() above and in stop_resume() and stop_break(). */
	smp_store_release(&heap->stopper, other);
free:
	mutex_unlock(&stoppers_lock);
	kfree(stopper);
	return heap->stopper;
}

/* Sets the number of a new stop, which is not active yet. */
static int stop_begin(struct stopper *stopper, const struct gcheap_heap *heap, u64 *number)
{
	int error = 0;

	xa_lock(&stopper->threads);
	if (stopper->stopping ||
	    (stopper->active && time_before(jiffies, stopper->deadline))) {
		error = -EBUSY;
	} else {
		stop_end(stopper, stopper->active);
		stopper->stopping = true;
		stopper->holder = heap;
		stopper->process = current->signal;
		stopper->missing = 0;
		*number = ++stopper->last;
	}
	xa_unlock(&stopper->threads);
	return error;
}

/* A thread by its number, with a reference; or an ERR_PTR(). */
static struct task_struct *task_of(u32 tid)
{
	struct task_struct *task;

	rcu_read_lock();
	task = pid_task(find_vpid(tid), PIDTYPE_PID);
	if (task && same_thread_group(task, current))
		get_task_struct(task);
	else
		task = NULL;
	rcu_read_unlock();
	if (!task)
		return ERR_PTR(-ESRCH);
	if (task != current && !(task->flags & STOP_NOT_USERS))
		return task;
	put_task_struct(task);
	return ERR_PTR(-EINVAL);
}

/* Finds or makes what is known of a thread; -EINVAL: it was named before. */
static struct stop_thread *stop_name(struct stopper *stopper, u32 tid)
{
	struct task_struct *task = task_of(tid);
	struct stop_thread *thread, *fresh;
	int error;

	if (IS_ERR(task))
		return ERR_CAST(task);
	fresh = kzalloc(sizeof(*fresh), GCHEAP_GFP);
	error = -ENOMEM;
	if (!fresh)
		goto put_task;
	fresh->stopper = stopper;
	fresh->task = task;
	fresh->index = task_pid_nr(task);
	fresh->named = true;
	init_task_work(&fresh->work, stop_work);

	xa_lock(&stopper->threads);
	thread = xa_load(&stopper->threads, fresh->index);
	if (!thread) {
		error = __xa_insert(&stopper->threads, fresh->index, fresh, GCHEAP_GFP);
		/* Only another of this request can have come in between: there is none. */
		thread = fresh;
	} else if (thread->named) {
		error = -EINVAL;
	} else if (thread->task != task) {
		/* A thread with a work has got another number by execve(). */
		error = -ESRCH;
	} else {
		error = 0;
		thread->named = true;
	}
	xa_unlock(&stopper->threads);
	if (error || thread != fresh)
		kfree(fresh);
	if (!error)
		return thread;
put_task:
	put_task_struct(task);
	return ERR_PTR(error);
}

/* Looks at who has not reported. Return: how many are neither stopped nor gone. */
static u32 stop_look(struct stopper *stopper, struct stop_thread **threads, u32 count)
{
	u32 missing = 0, i;

	xa_lock(&stopper->threads);
	for (i = 0; i < count; i++) {
		struct stop_thread *thread = threads[i];

		if (thread->done)
			continue;
		if (READ_ONCE(thread->task->flags) & PF_EXITING)
			thread->answer.state = GCHEAP_STOP_GONE;
		else if (stop_is_blocked(thread))
			thread->answer.state = GCHEAP_STOP_BLOCKED;
		thread->done = thread->answer.state != GCHEAP_STOP_RUNNING;
		missing += !thread->done;
	}
	stopper->missing = missing;
	xa_unlock(&stopper->threads);
	return missing;
}

/* Return: 0, -EINTR, or -ETIMEDOUT after @ms milliseconds. */
static int stop_wait(struct stopper *stopper, struct stop_thread **threads, u32 count, u32 ms)
{
	const unsigned long until = jiffies + msecs_to_jiffies(ms);
	u64 pause = STOP_LOOK_NS;
	DEFINE_WAIT(wait);
	int error = 0;

	for (;;) {
		ktime_t time = ns_to_ktime(pause);

		prepare_to_wait(&stopper->reported, &wait, STOP_STATE);
		if (!stop_look(stopper, threads, count))
			break;
		error = -ETIMEDOUT;
		if (time_after(jiffies, until))
			break;
		schedule_hrtimeout(&time, HRTIMER_MODE_REL);
		error = -EINTR;
		if (interrupted())
			break;
		error = 0;
		/* Those that run in the kernel do not report that they go to sleep there. */
		pause = min_t(u64, 2 * pause, STOP_LOOK_MAX_NS);
	}
	finish_wait(&stopper->reported, &wait);
	return error;
}

/* The answers. */
static int stop_tell(struct stop_thread **threads, const u32 *tids, struct gcheap_stop *stop)
{
	void __user *user = u64_to_user_ptr(stop->stopped);
	u32 i;

	stop->out_blocked = 0;
	stop->out_gone = 0;
	for (i = 0; i < stop->count; i++, user += stop->stopped_bytes) {
		struct gcheap_stopped *answer = &threads[i]->answer;
		size_t bytes = offsetof(struct gcheap_stopped, vector);

		/*
		 * Of one that is too late, its own thread may just be writing there. Pairs
		 * with smp_store_release() in stop_work().
		 */
		if (!smp_load_acquire(&threads[i]->done)) {
			const u32 head[] = { tids[i], GCHEAP_STOP_RUNNING };

			if (clear_user(user, bytes) || copy_to_user(user, head, sizeof(head)))
				return -EFAULT;
			continue;
		}
		answer->tid = tids[i];
		if (answer->state == GCHEAP_STOP_USER)
			bytes += answer->vector_bytes;
		stop->out_blocked += answer->state == GCHEAP_STOP_BLOCKED;
		stop->out_gone += answer->state == GCHEAP_STOP_GONE;
		if (copy_to_user(user, answer, bytes))
			return -EFAULT;
	}
	return 0;
}

static int stop_check(const struct gcheap_stop *stop)
{
	if (stop->flags)
		return -EOPNOTSUPP;
	if (stop->count > GCHEAP_STOP_MAX)
		return -EOVERFLOW;
	if (stop->wait_ms > GCHEAP_STOP_WAIT_MAX || stop->hold_ms > GCHEAP_STOP_HOLD_MAX)
		return -EINVAL;
	if (!stop->count)
		return 0;
	if (stop->stopped_bytes < sizeof(struct gcheap_stopped) ||
	    stop->stopped_bytes > GCHEAP_STOPPED_MAX || stop->stopped_bytes % sizeof(u64))
		return -EINVAL;
	if (!access_ok(u64_to_user_ptr(stop->stopped), (size_t)stop->count * stop->stopped_bytes))
		return -EFAULT;
	return 0;
}

/* Stops threads that are known, and tells of them. */
static int stop_run(struct stopper *stopper, struct stop_thread **threads, const u32 *tids,
		    struct gcheap_stop *stop, u64 number)
{
	const u32 wait_ms = stop->wait_ms ?: STOP_WAIT_MS;
	const u32 hold_ms = stop->hold_ms ?: STOP_HOLD_MS;
	int error, fault;
	u32 i;

	xa_lock(&stopper->threads);
	WRITE_ONCE(stopper->deadline, jiffies + msecs_to_jiffies(wait_ms + hold_ms));
	WRITE_ONCE(stopper->active, number);
	xa_unlock(&stopper->threads);

	for (i = 0; i < stop->count; i++)
		stop_queue(threads[i], number);
	error = stop_wait(stopper, threads, stop->count, wait_ms);
	fault = error == -EINTR ? 0 : stop_tell(threads, tids, stop);
	return fault ?: error;
}

/**
 * stop_threads() - GCHEAP_OP_STOP: stop threads of the caller's process
 * @heap: a heap of it
 * @stop: the request
 *
 * Context: may sleep; no lock is held.
 * Return:
 * * 0		- they are stopped
 * * -EINVAL	- a number out of range, or a thread that cannot be named
 * * -ESRCH	- no such thread
 * * -EOVERFLOW	- too many
 * * -EOPNOTSUPP - unknown flag
 * * -EFAULT	- an array cannot be accessed
 * * -EBUSY	- the address space has a stop
 * * -ENOMEM	- out of memory
 * * -ETIMEDOUT	- they did not stop in time
 * * -EINTR	- a fatal signal arrived
 */
int stop_threads(struct gcheap_heap *heap, struct gcheap_stop *stop)
{
	int error = stop_check(stop);
	struct stop_thread **threads;
	struct stopper *stopper;
	u32 named = 0, i;
	u64 number;
	u32 *tids;

	if (error)
		return error;
	stopper = stopper_get(heap);
	if (!stopper)
		return -ENOMEM;
	threads = kvmalloc_array(stop->count + 1, sizeof(*threads) + sizeof(*tids), GCHEAP_GFP);
	if (!threads)
		return -ENOMEM;
	tids = (u32 *)(threads + stop->count);
	error = -EFAULT;
	if (copy_from_user(tids, u64_to_user_ptr(stop->tids), stop->count * sizeof(*tids)))
		goto free_threads;
	error = stop_begin(stopper, heap, &number);
	if (error)
		goto free_threads;

	WRITE_ONCE(stop_was_used, true);
	for (named = 0; named < stop->count; named++) {
		threads[named] = stop_name(stopper, tids[named]);
		error = PTR_ERR_OR_ZERO(threads[named]);
		if (error)
			break;
	}
	if (!error)
		error = stop_run(stopper, threads, tids, stop, number);
	stop->out_stop = number;

	xa_lock(&stopper->threads);
	stopper->missing = 0;
	stopper->stopping = false;
	if (error)
		stop_end(stopper, number);
	else if (stopper->active != number)
		error = -ETIMEDOUT;
	for (i = 0; i < named; i++) {
		struct stop_thread *thread = threads[i];

		threads[i] = (void *)thread->task;
		thread->named = false;
		if (thread->queued)
			continue;
		__xa_erase(&stopper->threads, thread->index);
		kfree(thread);
	}
	xa_unlock(&stopper->threads);
	for (i = 0; i < named; i++)
		put_task_struct((struct task_struct *)threads[i]);
free_threads:
	kvfree(threads);
	return error;
}

/**
 * stop_resume() - GCHEAP_OP_RESUME: let stopped threads go on
 * @heap: the heap that has stopped them
 * @resume: the request
 *
 * Context: may sleep.
 * Return:
 * * 0		- they go on, and have been stopped until now
 * * -EINVAL	- there was no such stop
 * * -EOPNOTSUPP - unknown flag
 * * -EBUSY	- it has not stopped them yet
 * * -ETIMEDOUT	- they have gone on before
 */
int stop_resume(struct gcheap_heap *heap, const struct gcheap_resume *resume)
{
	/* Pairs with smp_store_release() in stopper_get(). */
	struct stopper *stopper = smp_load_acquire(&heap->stopper);
	int error = 0;

	if (resume->flags)
		return -EOPNOTSUPP;
	if (!stopper)
		return -EINVAL;
	xa_lock(&stopper->threads);
	if (!resume->stop || resume->stop > stopper->last)
		error = -EINVAL;
	else if (stopper->active == resume->stop && stopper->holder != heap)
		error = -EINVAL;
	else if (stopper->stopping && stopper->last == resume->stop)
		error = -EBUSY;
	else if (!stop_end(stopper, resume->stop))
		error = -ETIMEDOUT;
	xa_unlock(&stopper->threads);
	return error;
}

/**
 * stop_break() - end a stop, as the process that has made it closes a descriptor
 * @heap: the heap that it was by
 *
 * Not for others that close theirs: a child that shares the address space does so before
 * it executes another program.
 *
 * Context: any that may take spinlocks.
 */
void stop_break(struct gcheap_heap *heap)
{
	/* Pairs with smp_store_release() in stopper_get(). */
	struct stopper *stopper = smp_load_acquire(&heap->stopper);

	if (!stopper)
		return;
	xa_lock(&stopper->threads);
	if (stopper->holder == heap && stopper->process == current->signal)
		stop_end(stopper, stopper->active);
	xa_unlock(&stopper->threads);
}

/**
 * stop_forget() - end what a heap has stopped, for it is going away
 * @heap: the heap, which nobody has open
 *
 * Context: may sleep; no lock is held.
 */
void stop_forget(struct gcheap_heap *heap)
{
	struct stopper *stopper = heap->stopper;

	if (!stopper)
		return;
	xa_lock(&stopper->threads);
	if (stopper->holder == heap) {
		stop_end(stopper, stopper->active);
		stopper->holder = NULL;
	}
	xa_unlock(&stopper->threads);
	mutex_lock(&stoppers_lock);
	heap->stopper = NULL;
	if (--stopper->heaps) {
		mutex_unlock(&stoppers_lock);
		return;
	}
	list_del(&stopper->node);
	mutex_unlock(&stoppers_lock);
	stopper_put(stopper);
}

/**
 * stop_exit() - wait for threads to leave the module
 *
 * They have given their references to it back, but may still have an instruction or two to
 * do in it. They do not sleep there.
 *
 * Context: may sleep; the module is about to be unloaded.
 */
void stop_exit(void)
{
	if (stop_was_used)
		synchronize_rcu_tasks();
}

/**
 * stop_works() - whether threads can be stopped
 */
bool stop_works(void)
{
	return true;
}

#else /* the kernel does not let modules, or nobody has seen to this processor's registers */

int stop_threads(struct gcheap_heap *heap, struct gcheap_stop *stop)
{
	return -EOPNOTSUPP;
}

int stop_resume(struct gcheap_heap *heap, const struct gcheap_resume *resume)
{
	return -EOPNOTSUPP;
}

void stop_break(struct gcheap_heap *heap)
{
}

void stop_forget(struct gcheap_heap *heap)
{
}

void stop_exit(void)
{
}

bool stop_works(void)
{
	return false;
}

#endif
