// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Pages of HEAP in mappings, and out of them.
 */
#include <linux/mm.h>

#include "module.h"
#include "vma.h"

/**
 * pages_unmap() - unmap pages of object memory from all address spaces
 * @heap: the heap
 * @first: number of the first page in the HEAP region
 * @end: the page after the last
 *
 * Context: may sleep. No page fault finds the pages any more; one may have before.
 */
void pages_unmap(struct gcheap_heap *heap, unsigned long first, unsigned long end)
{
	unmap_mapping_pages(heap->inode->i_mapping, region_pgoff(GCHEAP_REGION_HEAP) + first,
			    end - first, false);
}
