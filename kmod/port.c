// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What kmod/core asks of the kernel. See core/port.h.
 */
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "module.h"

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

	page = tables_find(heap, region, index);
	if (!page)
		page = tables_make(heap, region, index);
	return page ? page_address(page) : NULL;
}

int port_populate(struct heap *core, u32 page, u32 npages)
{
	const unsigned int shift = GCHEAP_PAGE_SHIFT - PAGE_SHIFT;

	return pages_populate(gcheap_heap_of(core), (unsigned long)page << shift,
			      (unsigned long)npages << shift);
}

void port_depopulate(struct heap *core, u32 page, u32 npages)
{
	const unsigned int shift = GCHEAP_PAGE_SHIFT - PAGE_SHIFT;

	pages_depopulate(gcheap_heap_of(core), (unsigned long)page << shift,
			 (unsigned long)npages << shift);
}

/*
 * A worker of io_uring is told by a notification that its work has been cancelled,
 * its ring been closed, or its process is about to exit; a signal comes in the last
 * case only, and not always. The thread that polls a submission queue gets
 * notifications for other reasons, and is no worker.
 */
bool port_interrupted(void)
{
	cond_resched();
	if (current->flags & PF_IO_WORKER && current->worker_private &&
	    test_thread_flag(TIF_NOTIFY_SIGNAL))
		return true;
	return fatal_signal_pending(current);
}
