// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The door by io_uring: each request is also a command of IORING_OP_URING_CMD.
 *
 * No command is ever held open: it is done when the function below returns, and its
 * result is never positive. Linux 6.1 needs both: it never cancels a held command, so
 * that a process that has one cannot end, and it loses the completion of a command that
 * ends with a positive result in a worker.
 *
 * io_uring first asks to have a command done at once, in the task that submits it
 * or in the thread that polls the ring (IO_URING_F_NONBLOCK). ops.c knows which
 * are short enough. For the others the answer is -EAGAIN, io_uring copies the
 * submission queue entry, and a worker of the same process comes here again.
 */
#include <linux/bits.h>

#include "compat_uring.h"
#include "dispatch.h"
#include "module.h"
#include "uring.h"

/* The others are the kernel's own, as that it has asked before. */
#define URING_USER_FLAGS	GENMASK(23, 0)

/* Beyond these bytes an entry has nothing of ours, also in rings of large entries. */
static_assert(sizeof(struct gcheap_uring_cmd) == 16);

/**
 * gcheap_uring_cmd() - a request by io_uring
 * @cmd: the command; its cmd_op is enum gcheap_op, its payload struct
 *	gcheap_uring_cmd, in memory that the process may be writing to
 * @issue_flags: IO_URING_F_*
 *
 * Return: 0; -ENOTTY unknown request; -EINVAL a reserved field is not zero;
 * -EOPNOTSUPP a flag of commands; -EAGAIN for a worker; else see <linux/gcheap.h>.
 */
int gcheap_uring_cmd(struct io_uring_cmd *cmd, unsigned int issue_flags)
{
	const struct gcheap_uring_cmd *payload = compat_uring_payload(cmd);
	u64 request = READ_ONCE(payload->request);

	if (cmd->flags & URING_USER_FLAGS)
		return -EOPNOTSUPP;
	if (READ_ONCE(payload->reserved))
		return -EINVAL;
	return dispatch_request(cmd->file->private_data, cmd->cmd_op, u64_to_user_ptr(request),
				issue_flags & IO_URING_F_NONBLOCK);
}
