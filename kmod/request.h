/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * One request: see request.c.
 */
#ifndef GCHEAP_REQUEST_H
#define GCHEAP_REQUEST_H

#include <linux/compiler_types.h>
#include <linux/types.h>

struct gcheap_heap;

int request_handle(struct gcheap_heap *heap, u32 op, void __user *user, bool nowait);

#endif /* GCHEAP_REQUEST_H */
