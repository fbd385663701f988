// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What kmod/core asks of the kernel. See core/port.h.
 */
#include <linux/slab.h>
#include <linux/smp.h>

#include "huge.h"
#include "interrupted.h"
#include "module.h"
#include "on_touch.h"
#include "page_pool.h"
#include "pages.h"
#include "poison.h"
#include "region_pages.h"

void *port_zalloc(size_t bytes)
{
	return kvzalloc(bytes, GCHEAP_GFP);
}

void port_free(void *memory)
{
	kvfree(memory);
}

void *port_table_page(struct heap *core, enum gcheap_region region, u64 offset)
{
	struct gcheap_heap *heap = gcheap_heap_of(core);
	unsigned long index = offset >> PAGE_SHIFT;
	struct page *page;

	page = region_pages_find(heap, region, index);
	if (!page)
		page = region_pages_make(heap, region, index);
	return page ? page_address(page) : NULL;
}

void port_table_pages_free(struct heap *core, enum gcheap_region region, u64 offset, u32 count)
{
	region_pages_remove(gcheap_heap_of(core), region, offset >> PAGE_SHIFT, count);
}

int port_populate(struct heap *core, u32 page, u32 npages, bool *needzero)
{
	return pages_populate(gcheap_heap_of(core), (unsigned long)page << HEAP_PAGE_SHIFT,
			      (unsigned long)npages << HEAP_PAGE_SHIFT, needzero);
}

bool port_may_populate(struct heap *core, u32 npages)
{
	return (u64)npages << HEAP_PAGE_SHIFT <= totalram_pages();
}

void port_depopulate(struct heap *core, u32 page, u32 npages)
{
	pages_depopulate(gcheap_heap_of(core), (unsigned long)page << HEAP_PAGE_SHIFT,
			 (unsigned long)npages << HEAP_PAGE_SHIFT);
}

int port_lazy(struct heap *core, u32 page, u32 npages, bool lazy)
{
	struct gcheap_heap *heap = gcheap_heap_of(core);
	unsigned long first = (unsigned long)page << HEAP_PAGE_SHIFT;
	unsigned long count = (unsigned long)npages << HEAP_PAGE_SHIFT;
	int error = 0;

	if (!lazy)
		on_touch_end(heap, first);
	else
		error = on_touch_begin(heap, first, count);
	if (lazy && !error && huge_allowed(heap))
		huge_on_touch_begin(heap, first, first + count);
	return error;
}

u64 port_release(struct heap *core, const struct gcheap_range *ranges, u32 count)
{
	return (u64)pages_release(gcheap_heap_of(core), ranges, count) << PAGE_SHIFT;
}

u64 port_trim(struct heap *core, u64 max_bytes)
{
	u64 pages = min_t(u64, DIV_ROUND_UP_ULL(max_bytes, PAGE_SIZE), ULONG_MAX);

	return (u64)pool_trim(gcheap_heap_of(core), pages) << PAGE_SHIFT;
}

bool port_broken(struct heap *core, u32 page, u32 npages)
{
	unsigned long first = (unsigned long)page << HEAP_PAGE_SHIFT;

	return poison_in_pages(gcheap_heap_of(core), first,
			       first + ((unsigned long)npages << HEAP_PAGE_SHIFT));
}

void port_counters(struct heap *core)
{
	pages_counters(gcheap_heap_of(core));
}

u32 port_cpus(void)
{
	return nr_cpu_ids;
}

u32 port_cpu(void)
{
	return raw_smp_processor_id();
}

bool port_interrupted(void)
{
	return interrupted();
}
