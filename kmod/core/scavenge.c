// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Scavenging: giving the memory of free pages back to the system.
 */
#include "heap.h"

int heap_scavenge(struct heap *heap, struct gcheap_scavenge *scavenge)
{
	return scavenge->size && heap->ctrl ? -EOPNOTSUPP : -EINVAL;
}
