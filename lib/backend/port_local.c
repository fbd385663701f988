// SPDX-License-Identifier: MIT
/*
 * The functions of port.h over the memory of a local backend.
 */
#define _GNU_SOURCE
#include "local.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../memory.h"
#include "../report.h"
#include "../uncancelled.h"

void *port_zalloc(size_t bytes)
{
	return memory_zalloc(bytes);
}

void port_free(void *memory)
{
	memory_free(memory);
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

void port_table_pages_free(struct heap *heap, enum gcheap_region region, u64 offset, u32 count)
{
	struct local_backend *local = local_of_heap(heap);
	u64 first = offset / PORT_TABLE_PAGE_BYTES;
	u32 i;

	for (i = 0; i < count; i++) {
		if (bit_clear_first(local->table_pages[region], first + i))
			heap->counters.table_bytes -= PORT_TABLE_PAGE_BYTES;
	}
	backend_drop_memory((char *)local->backend.regions[region] + offset,
			    (size_t)count * PORT_TABLE_PAGE_BYTES);
}

static char *heap_memory(const struct local_backend *local, u32 page)
{
	return (char *)local->backend.regions[GCHEAP_REGION_HEAP] +
	       ((size_t)page << GCHEAP_PAGE_SHIFT);
}

/* ---- pages without access ------------------------------------------------------ */

/*
 * Runs of closed pages are mappings of the system, as are the runs between them, and the
 * system has a limit for these, which is the program's: when it is reached, malloc()
 * fails. So closed runs take a quarter of it, two mappings each, and no more; then pages
 * lose their memory, and stay open.
 */
#define MAX_MAP_COUNT_PATH	"/proc/sys/vm/max_map_count"
#define MAX_MAP_COUNT_DEFAULT	65530u
#define CLOSED_RUN_SHARE	8u

u32 local_closed_runs_max(void)
{
	UNCANCELLED;
	unsigned int count = MAX_MAP_COUNT_DEFAULT;
	FILE *file = fopen(MAX_MAP_COUNT_PATH, "re");

	if (file) {
		if (fscanf(file, "%u", &count) != 1)
			count = MAX_MAP_COUNT_DEFAULT;
		fclose(file);
	}
	return count / CLOSED_RUN_SHARE;
}

static bool page_is_closed(const struct local_backend *local, u32 page)
{
	return local->closed[page / 64] >> page % 64 & 1;
}

/* How many more closed runs there are when the open pages [@page, @end) are closed. */
static int runs_by_closing(const struct local_backend *local, u32 page, u32 end)
{
	u64 pages = local->backend.region_bytes[GCHEAP_REGION_HEAP] >> GCHEAP_PAGE_SHIFT;
	/* Page 0 has no access ever, and is no page of the heap. */
	bool before = page_is_closed(local, page - 1);
	bool after = end < pages && page_is_closed(local, end);

	return 1 - before - after;
}

static void closed_runs_are_many(struct local_backend *local)
{
	if (local->refused_runs++)
		return;
	report("gcheap: GCHEAP_FAULT_FREED: %u runs of freed pages are without access, as many as "
	       "fit beside the program's own mappings: accesses to more freed memory will find "
	       "zeros and not fault (raise vm.max_map_count, now %u)\n",
	       local->closed_runs, local->closed_runs_max * CLOSED_RUN_SHARE);
}

static void open_run_close(struct local_backend *local, u32 page, u32 end)
{
	int more = runs_by_closing(local, page, end);

	if ((more > 0 && local->closed_runs >= local->closed_runs_max) ||
	    mprotect(heap_memory(local, page), (size_t)(end - page) << GCHEAP_PAGE_SHIFT,
		     PROT_NONE)) {
		closed_runs_are_many(local);
		return;
	}
	local->closed_runs += (u32)more;
	for (; page < end; page++)
		bit_set_first(local->closed, page);
}

/* Makes pages inaccessible, as far as there is room for that. */
static void memory_close(struct local_backend *local, u32 page, u32 npages)
{
	u32 end = page + npages;

	while (page < end) {
		u32 first = page;

		while (page < end && !page_is_closed(local, page))
			page++;
		if (page == first)
			page++;
		else
			open_run_close(local, first, page);
	}
}

/* Makes accessible what memory_close() made inaccessible. */
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
		local->closed_runs -= (u32)runs_by_closing(local, first, at);
	}
	return 0;
}

/* ---- memory of heap pages -------------------------------------------------------- */

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE	23
#endif

/*
 * Memory would come with the first touch of each system page, a fault each. One request for
 * many is several times cheaper, and what REFILL asks for is about to be touched. So the memory
 * of spans is made before, also of those that come next: up to the end of a step, when the
 * heap has reached so far for the first time, and is so large that a step is little of it.
 * A long run is a large object, of which nobody knows whether it will be touched.
 */
#define STEP_PAGES		((256u << 10) >> GCHEAP_PAGE_SHIFT)
#define STEPS_FROM_BYTES	(2u << 20)
#define LONG_RUN_PAGES		((1u << 20) >> GCHEAP_PAGE_SHIFT)

static void memory_make(struct heap *heap, u32 page, u32 end)
{
	struct local_backend *local = local_of_heap(heap);
	u64 heap_pages = local->backend.region_bytes[GCHEAP_REGION_HEAP] >> GCHEAP_PAGE_SHIFT;
	bool is_first = page >= local->reached;
	u32 make_end = end;

	if (end > local->reached)
		local->reached = end;
	if (local->cannot_make || end - page > LONG_RUN_PAGES || (is_first && end <= local->made))
		return;
	if (is_first && heap->counters.resident_bytes >= STEPS_FROM_BYTES &&
	    !(heap->flags & GCHEAP_SETUP_FAULT_FREED))
		make_end = (u32)min_t(u64, round_up(end, STEP_PAGES), heap_pages);
	/* Where it fails, each touch asks again. Linux before 5.14 cannot. */
	if (madvise(heap_memory(local, page), (size_t)(make_end - page) << GCHEAP_PAGE_SHIFT,
		    MADV_POPULATE_WRITE))
		local->cannot_make = errno == EINVAL;
	else if (is_first)
		local->made = make_end;
}

int port_populate(struct heap *heap, u32 page, u32 npages, bool *needzero)
{
	struct local_backend *local = local_of_heap(heap);
	u32 end = page + npages;
	bool is_new = false;
	u32 at;

	(void)needzero;		/* what was given back comes back as zeros */
	if (memory_open(local, page, npages))
		return -ENOMEM;
	for (at = page; at < end; at++) {
		if (bit_set_first(local->populated, at)) {
			heap->counters.resident_bytes += GCHEAP_PAGE_BYTES;
			is_new = true;
		}
	}
	if (is_new)
		memory_make(heap, page, end);
	return 0;
}

static void memory_drop(struct heap *heap, u32 page, u32 npages)
{
	struct local_backend *local = local_of_heap(heap);
	u32 end = page + npages;

	backend_drop_memory(heap_memory(local, page), (size_t)npages << GCHEAP_PAGE_SHIFT);
	for (; page < end; page++) {
		if (bit_clear_first(local->populated, page))
			heap->counters.resident_bytes -= GCHEAP_PAGE_BYTES;
	}
}

void port_depopulate(struct heap *heap, u32 page, u32 npages)
{
	struct local_backend *local = local_of_heap(heap);

	memory_drop(heap, page, npages);
	memory_close(local, page, npages);
}

/* Nobody is told of the pages that are touched: this backend does not count them. */
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

/* Memory is the system's to give, and not counted beforehand. */
bool port_may_populate(struct heap *heap, u32 npages)
{
	(void)heap;
	(void)npages;
	return true;
}

/* The process is killed, or told by a signal: memory that has failed is not looked for. */
bool port_broken(struct heap *heap, u32 page, u32 npages)
{
	(void)heap;
	(void)page;
	(void)npages;
	return false;
}

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
