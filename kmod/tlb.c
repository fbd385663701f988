// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * This file flushes the TLBs of an address space after its page table entries were
 * changed one by one: made clean (track_harvest.c), or moved (unmap.c).
 *
 * No function that flushes is exported to modules. But when two threads change the page
 * tables of an address space together, the memory manager flushes all of it where one of
 * them is done, whatever that one changed; mm_struct.tlb_flush_pending counts them. So
 * this file counts as one of them while its caller changes entries, and then has the
 * memory manager unmap a page that was never mapped. The memory manager does not promise
 * that it flushes then: track_selftest.c tries it when the module loads.
 */
#include <linux/mm.h>
#include <linux/mm_inline.h>

#include "tlb.h"

/**
 * tlb_change_begin() - before page table entries are made clean, or moved
 * @mm: the address space; its mmap_lock is held until tlb_change_end()
 */
void tlb_change_begin(struct mm_struct *mm)
{
	inc_tlb_flush_pending(mm);
}

/**
 * tlb_change_end() - after page table entries were made clean, or moved
 * @mm: the address space
 * @mapping: of a file that is mapped there
 * @guard: number of a page of it that is never populated
 * @flush: whether there is something to flush
 */
void tlb_change_end(struct mm_struct *mm, struct address_space *mapping, pgoff_t guard,
		    bool flush)
{
	if (flush)
		unmap_mapping_pages(mapping, guard, 1, false);
	dec_tlb_flush_pending(mm);
}
