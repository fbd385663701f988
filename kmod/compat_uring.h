/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * This file hides the differences between kernels in what uring.c uses: see compat.h. It
 * stands alone because no other file needs the kernel's headers of io_uring.
 */
#ifndef GCHEAP_COMPAT_URING_H
#define GCHEAP_COMPAT_URING_H

#include <linux/gcheap.h>

#include "probed.h"

#ifdef GCHEAP_HAVE_IO_URING_CMD_H
#include <linux/io_uring/cmd.h>
#else
#include <linux/io_uring.h>
#endif

/* The bytes of a submission queue entry that are the command's own. */
static inline const struct gcheap_uring_cmd *
compat_uring_payload(const struct io_uring_cmd *cmd)
{
#ifdef GCHEAP_HAVE_IO_URING_SQE_CMD_TYPED
	return io_uring_sqe_cmd(cmd->sqe, struct gcheap_uring_cmd);
#elif defined(GCHEAP_HAVE_IO_URING_SQE_CMD)
	return io_uring_sqe_cmd(cmd->sqe);
#else
	return (const struct gcheap_uring_cmd *)cmd->cmd;
#endif
}

#endif /* GCHEAP_COMPAT_URING_H */
