/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The table of operations: see ops.c.
 */
#ifndef GCHEAP_OPS_H
#define GCHEAP_OPS_H

#include "op.h"

extern const struct op ops[GCHEAP_OPS];

#endif /* GCHEAP_OPS_H */
