/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The table of operations: see operations.c.
 */
#ifndef GCHEAP_OPERATIONS_H
#define GCHEAP_OPERATIONS_H

#include "op.h"

extern const struct request requests[GCHEAP_OPS];

#endif /* GCHEAP_OPERATIONS_H */
