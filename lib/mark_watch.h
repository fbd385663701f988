/* SPDX-License-Identifier: MIT */
/*
 * Marking while somebody is told of each object: what takes the place of the hot loop then
 * (mark_watch.c). mark.h has mark_watch() itself, and mark_filter.c tells.
 */
#ifndef GCHEAP_LIB_MARK_WATCH_H
#define GCHEAP_LIB_MARK_WATCH_H

#include "mark_edge.h"

/* What mark_drain() does. */
void mark_drain_watched(struct marker *marker);

#endif /* GCHEAP_LIB_MARK_WATCH_H */
