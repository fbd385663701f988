// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The page reclaimer: dead spans that a lazy SWEEP_START has left.
 */
#include "heap.h"

int heap_reclaim(struct heap *heap, struct gcheap_reclaim *reclaim)
{
	return reclaim->size && heap->ctrl ? -EOPNOTSUPP : -EINVAL;
}
