/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Write tracking: see track.c.
 */
#ifndef GCHEAP_TRACK_H
#define GCHEAP_TRACK_H

#include "op.h"

int op_track(struct gcheap_heap *heap, union op_args *args,
	     struct progress *progress);
int op_track_end(struct gcheap_heap *heap, union op_args *args,
		 struct progress *progress, int error);

#endif /* GCHEAP_TRACK_H */
