// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Write tracking: which heap pages were written.
 */
#include "module.h"

int request_track(struct gcheap_heap *heap, union request_args *args)
{
	return -EOPNOTSUPP;
}
