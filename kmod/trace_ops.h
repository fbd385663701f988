/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * One place that reports all requests: see trace_ops.c.
 */
#ifndef GCHEAP_TRACE_OPS_H
#define GCHEAP_TRACE_OPS_H

#include "op.h"

u64 trace_op_begin(u32 op);
void trace_op_end(struct gcheap_heap *heap, u32 op, const union op_args *args,
		  int error, u64 begin);

#endif /* GCHEAP_TRACE_OPS_H */
