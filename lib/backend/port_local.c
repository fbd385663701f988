// SPDX-License-Identifier: MIT
/*
 * The functions of port.h over the memory of a local backend.
 */
#include "local.h"

#include <stdlib.h>
#include <sys/mman.h>

void *port_zalloc(size_t bytes)
{
	return calloc(1, bytes);
}

void port_free(void *memory)
{
	free(memory);
}

/* Sets a bit; true: it was clear. */
static bool bit_set_first(u64 *bits, u64 bit)
{
	bool first = !(bits[bit / 64] >> bit % 64 & 1);

	bits[bit / 64] |= BIT_ULL(bit % 64);
	return first;
}

/* Clears a bit; true: it was set. */
static bool bit_clear_first(u64 *bits, u64 bit)
{
	bool first = bits[bit / 64] >> bit % 64 & 1;

	bits[bit / 64] &= ~BIT_ULL(bit % 64);
	return first;
}

void *port_table_page(struct heap *heap, enum gcheap_region region, u64 offset)
{
	struct local_backend *local = local_of_heap(heap);

	if (bit_set_first(local->table_pages[region], offset / PORT_TABLE_PAGE_BYTES))
		heap->counters.table_bytes += PORT_TABLE_PAGE_BYTES;
	return (char *)local->backend.regions[region] + offset;
}

/* Memory comes with the first touch: this only counts. */
int port_populate(struct heap *heap, u32 page, u32 npages, bool *needzero)
{
	struct local_backend *local = local_of_heap(heap);
	u32 end = page + npages;

	(void)needzero;		/* what was given back comes back as zeros */
	for (; page < end; page++) {
		if (bit_set_first(local->populated, page))
			heap->counters.resident_bytes += GCHEAP_PAGE_BYTES;
	}
	return 0;
}

void port_depopulate(struct heap *heap, u32 page, u32 npages)
{
	struct local_backend *local = local_of_heap(heap);
	u32 end = page + npages;

	for (; page < end; page++) {
		if (!bit_clear_first(local->populated, page))
			continue;
		madvise((char *)local->backend.regions[GCHEAP_REGION_HEAP] +
			((size_t)page << GCHEAP_PAGE_SHIFT), GCHEAP_PAGE_BYTES, MADV_DONTNEED);
		heap->counters.resident_bytes -= GCHEAP_PAGE_BYTES;
	}
}

u64 port_release(struct heap *heap, const struct gcheap_range *ranges, u32 count)
{
	u64 before = heap->counters.resident_bytes;
	u32 i;

	for (i = 0; i < count; i++)
		port_depopulate(heap, ranges[i].page, ranges[i].npages);
	heap->counters.released_bytes += before - heap->counters.resident_bytes;
	return before - heap->counters.resident_bytes;
}

/* There is no memory but that of heap pages. */
u64 port_trim(struct heap *heap, u64 max_bytes)
{
	(void)heap;
	(void)max_bytes;
	return 0;
}

/* They are kept where they belong. */
void port_counters(struct heap *heap)
{
	(void)heap;
}

bool port_interrupted(void)
{
	return false;
}
