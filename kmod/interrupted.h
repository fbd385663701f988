/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Whether long work should end early: see interrupted.c.
 */
#ifndef GCHEAP_INTERRUPTED_H
#define GCHEAP_INTERRUPTED_H

#include <linux/types.h>

bool interrupted(void);

#endif /* GCHEAP_INTERRUPTED_H */
