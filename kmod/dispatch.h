/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * One request: see dispatch.c.
 */
#ifndef GCHEAP_DISPATCH_H
#define GCHEAP_DISPATCH_H

#include <linux/compiler_types.h>
#include <linux/types.h>

struct gcheap_heap;

int dispatch_request(struct gcheap_heap *heap, u32 number, void __user *user, bool nowait);

#endif /* GCHEAP_DISPATCH_H */
