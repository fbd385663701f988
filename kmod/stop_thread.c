// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * A thread that a collector stops, from both sides.
 *
 * Each thread gets a task work, which it does before it is in user mode the next time
 * (TWA_RESUME: no signal, and no system call returns for it). There it saves its registers,
 * reports, and waits for RESUME. A thread that sleeps in a system call does not even wake:
 *
 *	whoever stops			the thread's way back to user mode
 *	A. adds the work, and sets	C. somebody wakes it, under its pi_lock
 *	   TIF_NOTIFY_RESUME
 *	B. under its pi_lock, finds	D. it leaves the kernel, reads the flag, and does
 *	   it asleep			   the work
 *
 * A thread that is in no queue of those that run gets into one by C only. When B has found it
 * so, C comes after B, as both hold pi_lock, so the flag that D reads was set before: there is
 * no way around the work. Until then its registers do not change, as they are on its kernel
 * stack. Vector registers are another matter: whoever entered the kernel by a system call is
 * in a function that has nothing in them, by the rules of calls, but one that sleeps in an
 * exception may have pointers there, as memcpy() has. It is waited for, and so is one that
 * runs in the kernel.
 *
 * Who parks holds no lock, as the way back to user mode is where nobody does. Who sleeps in a
 * system call may hold some; but that goes on, and lets go of them. So the one who stops may
 * wait for locks, page faults too, while the others are stopped.
 */
#include <linux/compiler.h>
#include <linux/elf.h>
#include <linux/ptrace.h>
#include <linux/regset.h>
#include <linux/sched/signal.h>
#include <linux/sched/task_stack.h>
#include <linux/slab.h>

#include "compat.h"
#include "stop_thread.h"

#if defined(GCHEAP_HAVE_TASK_WORK_ADD) && defined(CONFIG_X86_64)

/* ---- its own side ---------------------------------------------------------------- */

static void save_registers(struct gcheap_stopped *answer, const struct pt_regs *regs)
{
	const unsigned long all[] = {
		regs->ax, regs->bx, regs->cx, regs->dx, regs->si, regs->di, regs->bp, regs->r8,
		regs->r9, regs->r10, regs->r11, regs->r12, regs->r13, regs->r14, regs->r15,
	};

	static_assert(ARRAY_SIZE(all) <= GCHEAP_STOP_REGISTERS);
	answer->sp = regs->sp;
	answer->ip = regs->ip;
	answer->flags = regs->flags;
	memcpy(answer->registers, all, sizeof(all));
}

/* Those of the caller, who is about to return to user mode. */
static void save_vector(struct gcheap_stopped *answer)
{
	const unsigned int notes[] = { NT_X86_XSTATE, NT_PRFPREG };
	const struct user_regset_view *view = task_user_regset_view(current);
	unsigned int i, n;

	for (n = 0; n < ARRAY_SIZE(notes); n++) {
		for (i = 0; i < view->n; i++) {
			int bytes;

			if (view->regsets[i].core_note_type != notes[n])
				continue;
			bytes = regset_get(current, &view->regsets[i], sizeof(answer->vector),
					   answer->vector);
			if (bytes > 0) {
				answer->vector_bytes = bytes;
				return;
			}
		}
	}
}

void stopper_put(struct stopper *stopper)
{
	if (refcount_dec_and_test(&stopper->refs)) {
		xa_destroy(&stopper->threads);
		kfree(stopper);
	}
}

bool stop_end(struct stopper *stopper, u64 number)
{
	if (!number || stopper->active != number)
		return false;
	/* Pairs with the look in stop_park(), which comes after it is in the queue. */
	WRITE_ONCE(stopper->active, 0);
	wake_up_all(&stopper->resumed);
	return true;
}

/* Until the stop ends. */
static void stop_park(struct stopper *stopper, u64 number)
{
	DEFINE_WAIT(wait);

	for (;;) {
		long left;

		prepare_to_wait(&stopper->resumed, &wait, STOP_STATE);
		if (READ_ONCE(stopper->active) != number || fatal_signal_pending(current))
			break;
		left = (long)(READ_ONCE(stopper->deadline) - jiffies);
		if (left <= 0) {
			xa_lock(&stopper->threads);
			stop_end(stopper, number);
			xa_unlock(&stopper->threads);
			break;
		}
		schedule_timeout(left);
	}
	finish_wait(&stopper->resumed, &wait);
}

void stop_work(struct callback_head *work)
{
	struct stop_thread *thread = container_of(work, struct stop_thread, work);
	struct stopper *stopper = thread->stopper;
	const bool exits = current->flags & PF_EXITING;
	u64 number, saved = 0;
	bool wanted;

	xa_lock(&stopper->threads);
	for (;;) {
		number = thread->wanted;
		wanted = number && number == stopper->active;
		if (!wanted || exits || thread->done || saved == number)
			break;
		/*
		 * Nobody else touches it, as this thread is not asleep; but the next stop
		 * may, when this one has ended. Then it is done again.
		 */
		xa_unlock(&stopper->threads);
		save_registers(&thread->answer, current_pt_regs());
		save_vector(&thread->answer);
		saved = number;
		xa_lock(&stopper->threads);
	}
	if (wanted && !thread->done) {
		thread->answer.state = exits ? GCHEAP_STOP_GONE : GCHEAP_STOP_USER;
		/* Pairs with smp_load_acquire() in stop_tell(). */
		smp_store_release(&thread->done, true);
		if (stopper->missing && !--stopper->missing)
			wake_up(&stopper->reported);
	}
	thread->queued = false;
	if (!thread->named) {
		__xa_erase(&stopper->threads, thread->index);
		kfree(thread);
	}
	xa_unlock(&stopper->threads);

	if (wanted && !exits)
		stop_park(stopper, number);
	stopper_put(stopper);
	/* stop_exit() waits for what follows. */
	module_put(THIS_MODULE);
}

/* ---- the side of who stops it ---------------------------------------------------- */

void stop_queue(struct stop_thread *thread, u64 number)
{
	struct stopper *stopper = thread->stopper;
	bool queue;

	xa_lock(&stopper->threads);
	memset(&thread->answer, 0, offsetof(struct gcheap_stopped, vector));
	thread->wanted = number;
	thread->done = false;
	queue = !thread->queued;
	thread->queued = true;
	xa_unlock(&stopper->threads);
	/* Where it is queued, the flag is set, or the thread is just about to do it. */
	if (!queue)
		return;
	__module_get(THIS_MODULE);
	refcount_inc(&stopper->refs);
	if (!task_work_add(thread->task, &thread->work, TWA_RESUME))
		return;
	/* It is past the last work of its life. */
	xa_lock(&stopper->threads);
	thread->queued = false;
	thread->done = true;
	thread->answer.state = GCHEAP_STOP_GONE;
	xa_unlock(&stopper->threads);
	stopper_put(stopper);
	module_put(THIS_MODULE);
}

bool stop_is_blocked(struct stop_thread *thread)
{
	const unsigned int awake = TASK_WAKING | TASK_NEW | TASK_DEAD;
	struct task_struct *task = thread->task;
	bool blocked = false;
	unsigned long flags;
	unsigned int state;

	raw_spin_lock_irqsave(&task->pi_lock, flags);
	state = READ_ONCE(task->__state);
	if (state != TASK_RUNNING && !(state & awake) && compat_task_is_dequeued(task)) {
		const struct pt_regs *regs = task_pt_regs(task);

		/* The number of the system call, or that there is none. */
		blocked = (long)regs->orig_ax != -1;
		if (blocked)
			save_registers(&thread->answer, regs);
	}
	raw_spin_unlock_irqrestore(&task->pi_lock, flags);
	return blocked;
}

#endif
