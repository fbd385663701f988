/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The door by io_uring: see uring.c.
 */
#ifndef GCHEAP_URING_H
#define GCHEAP_URING_H

#include <linux/types.h>

struct io_uring_cmd;

int gcheap_uring_cmd(struct io_uring_cmd *cmd, unsigned int issue_flags);

#endif /* GCHEAP_URING_H */
