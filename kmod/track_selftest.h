/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Whether writes can be tracked: see track_selftest.c.
 */
#ifndef GCHEAP_TRACK_SELFTEST_H
#define GCHEAP_TRACK_SELFTEST_H

#include <linux/types.h>

void track_init(void);
bool track_works(void);

#endif /* GCHEAP_TRACK_SELFTEST_H */
