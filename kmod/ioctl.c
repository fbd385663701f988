// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The door by ioctl(). The compat door is the same: no struct of a request has a
 * field whose size or place depends on the caller's word size.
 */
#include "dispatch.h"
#include "ioctl.h"
#include "module.h"

/**
 * gcheap_ioctl() - a request by ioctl()
 * @file: the heap's file
 * @cmd: GCHEAP_IOC_*
 * @arg: address of the request's struct
 *
 * Return: 0; -ENOTTY unknown request; else see <linux/gcheap.h>.
 */
long gcheap_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	u32 op = _IOC_NR(cmd);

	if (cmd != GCHEAP_IOC(op))
		return -ENOTTY;
	return dispatch_request(file->private_data, op, (void __user *)arg, false);
}
