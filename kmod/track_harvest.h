/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Write tracking in page tables: see track_harvest.c.
 */
#ifndef GCHEAP_TRACK_HARVEST_H
#define GCHEAP_TRACK_HARVEST_H

#include "harvest.h"

bool harvest_run(struct harvest *harvest, u32 page, u32 end);

#endif /* GCHEAP_TRACK_HARVEST_H */
