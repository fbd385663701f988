// SPDX-License-Identifier: MIT
/*
 * The functions of port.h over the memory of a local backend.
 */
#define _GNU_SOURCE
#include "local.h"

#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

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

void port_table_page_free(struct heap *heap, enum gcheap_region region, u64 offset)
{
	struct local_backend *local = local_of_heap(heap);

	bit_clear_first(local->table_pages[region], offset / PORT_TABLE_PAGE_BYTES);
	madvise((char *)local->backend.regions[region] + offset, PORT_TABLE_PAGE_BYTES,
		MADV_DONTNEED);
	heap->counters.table_bytes -= PORT_TABLE_PAGE_BYTES;
}

static char *heap_memory(const struct local_backend *local, u32 page)
{
	return (char *)local->backend.regions[GCHEAP_REGION_HEAP] +
	       ((size_t)page << GCHEAP_PAGE_SHIFT);
}

/* Makes accessible what port_depopulate() made inaccessible. */
static int memory_open(struct local_backend *local, u32 page, u32 npages)
{
	u32 end = page + npages;
	u32 at = page;

	while (at < end) {
		u32 first = at;

		while (at < end && bit_clear_first(local->closed, at))
			at++;
		if (at == first) {
			at++;
			continue;
		}
		/* The system may have no room for one more mapping. */
		if (mprotect(heap_memory(local, first),
			     (size_t)(at - first) << GCHEAP_PAGE_SHIFT, PROT_READ | PROT_WRITE)) {
			while (at-- > first)
				bit_set_first(local->closed, at);
			return -ENOMEM;
		}
	}
	return 0;
}

/* Memory comes with the first touch: this counts. */
int port_populate(struct heap *heap, u32 page, u32 npages, bool *needzero)
{
	struct local_backend *local = local_of_heap(heap);
	u32 end = page + npages;
	u32 at;

	(void)needzero;		/* what was given back comes back as zeros */
	if (memory_open(local, page, npages))
		return -ENOMEM;
	for (at = page; at < end; at++) {
		if (bit_set_first(local->populated, at))
			heap->counters.resident_bytes += GCHEAP_PAGE_BYTES;
	}
	return 0;
}

static void memory_drop(struct heap *heap, u32 page, u32 npages)
{
	struct local_backend *local = local_of_heap(heap);
	u32 end = page + npages;

	madvise(heap_memory(local, page), (size_t)npages << GCHEAP_PAGE_SHIFT, MADV_DONTNEED);
	for (; page < end; page++) {
		if (bit_clear_first(local->populated, page))
			heap->counters.resident_bytes -= GCHEAP_PAGE_BYTES;
	}
}

void port_depopulate(struct heap *heap, u32 page, u32 npages)
{
	struct local_backend *local = local_of_heap(heap);
	u32 end = page + npages;

	memory_drop(heap, page, npages);
	/* Where there is no room for one more mapping, accesses find zeros. */
	if (mprotect(heap_memory(local, page), (size_t)npages << GCHEAP_PAGE_SHIFT, PROT_NONE))
		return;
	for (; page < end; page++)
		bit_set_first(local->closed, page);
}

/* What is touched is not counted: nobody is told. */
int port_lazy(struct heap *heap, u32 page, u32 npages, bool lazy)
{
	return lazy ? memory_open(local_of_heap(heap), page, npages) : 0;
}

/* Free pages stay accessible: thousands of them would each take a mapping. */
u64 port_release(struct heap *heap, const struct gcheap_range *ranges, u32 count)
{
	u64 before = heap->counters.resident_bytes;
	u32 i;

	for (i = 0; i < count; i++)
		memory_drop(heap, ranges[i].page, ranges[i].npages);
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

u32 port_cpus(void)
{
	static u32 cpus;
	long count = __atomic_load_n(&cpus, __ATOMIC_RELAXED);

	if (!count) {
		count = sysconf(_SC_NPROCESSORS_CONF);
		if (count < 1 || count > (long)BIT_INDEX_MAX)
			count = 1;
		__atomic_store_n(&cpus, (u32)count, __ATOMIC_RELAXED);
	}
	return (u32)count;
}

u32 port_cpu(void)
{
	int cpu = sched_getcpu();

	return cpu < 0 ? 0 : (u32)cpu % port_cpus();
}

bool port_interrupted(void)
{
	return false;
}
