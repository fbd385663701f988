/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The door by ioctl(): see ioctl.c.
 */
#ifndef GCHEAP_IOCTL_H
#define GCHEAP_IOCTL_H

#include <linux/types.h>

struct file;

long gcheap_ioctl(struct file *file, unsigned int cmd, unsigned long arg);

#endif /* GCHEAP_IOCTL_H */
