// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Whether the task that sends a request should end its work early. Long loops of the
 * module ask here, and so do those of kmod/core, by way of port.c.
 */
#include <linux/sched.h>
#include <linux/sched/signal.h>

#include "interrupted.h"

/**
 * interrupted() - let others run, and find out whether to end early
 *
 * A worker of io_uring is told by a notification that its work has been cancelled,
 * its ring been closed, or its process is about to exit; a signal comes in the last
 * case only, and not always. The thread that polls a submission queue gets
 * notifications for other reasons, and is no worker.
 *
 * Context: may sleep.
 * Return: whether the caller has received a fatal signal, or nobody wants to know its
 * result any more.
 */
bool interrupted(void)
{
	cond_resched();
	if (current->flags & PF_IO_WORKER && current->worker_private &&
	    test_thread_flag(TIF_NOTIFY_SIGNAL))
		return true;
	return fatal_signal_pending(current);
}
