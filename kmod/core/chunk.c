// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Chunks of user arenas, and the quarantine.
 */
#include "heap.h"

int heap_chunk_new(struct heap *heap, struct gcheap_chunk_new *request)
{
	return request->size && heap->ctrl ? -EOPNOTSUPP : -EINVAL;
}

int heap_chunk_free(struct heap *heap, struct gcheap_chunk_free *request)
{
	return request->size && heap->ctrl ? -EOPNOTSUPP : -EINVAL;
}

int heap_chunk_ready(struct heap *heap, struct gcheap_chunk_ready *request)
{
	return request->size && heap->ctrl ? -EOPNOTSUPP : -EINVAL;
}
