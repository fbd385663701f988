// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Write tracking: which heap pages were written.
 *
 * A TRACK request looks at the pages of spans with pointers, in the order of their
 * addresses, reports those that were written and makes them clean; an arena at a time,
 * after each of which the TLBs are flushed once (tlb.c). It takes the memory for its
 * answer before it makes a page clean, and if it cannot write the answer, it has these
 * pages count as written again (track_take_back()). When it runs out of room for its
 * answer it stops before the first page that it cannot report.
 *
 * The program's threads may go on writing meanwhile, and no write is lost. A page is made
 * clean, then the TLBs are flushed, then the owner reads the page. A write before the
 * flush is there to be read; one after it makes the page dirty again.
 *
 * In a heap of GCHEAP_SETUP_SNAPSHOTS, pages can be write-protected, too. The first
 * write to such a page is a page fault, and DIRTY has its bit before the write is
 * done (track_written()). No page fault may be half done while a request protects
 * pages or writes in DIRTY: it holds mmap_lock for writing, which page faults of
 * such a heap hold for reading, or the lock of their VMA.
 */
#include <linux/bits.h>
#include <linux/mmap_lock.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "compat.h"
#include "extents.h"
#include "module.h"
#include "op.h"
#include "tlb.h"
#include "track.h"
#include "track_answer.h"
#include "track_harvest.h"
#include "track_selftest.h"
#include "vma.h"

#define PIECE_PAGES	ARENA_PAGES	/* heap pages */

#define TRACK_FLAGS	(GCHEAP_TRACK_BITMAP | GCHEAP_TRACK_PEEK | GCHEAP_TRACK_PROTECT)

/* Pages that the request could not report count as written again. */
static void track_take_back(struct gcheap_heap *heap, const struct track_answer *answer)
{
	const unsigned int shift = GCHEAP_PAGE_SHIFT - PAGE_SHIFT;
	u32 i;

	for (i = 0; i < answer->count; i++) {
		const struct gcheap_range *range = answer->ranges + i;
		unsigned long at = (unsigned long)range->page << shift;
		unsigned long end = at + ((unsigned long)range->npages << shift);

		for (; at < end; at++) {
			struct page *page = pages_find(heap, at);

			if (page)
				SetPageDirty(page);
		}
		cond_resched();
	}
}

/* ---- spans ------------------------------------------------------------------ */

static bool span_is_tracked(const struct gcheap_span *span)
{
	switch (span_state(span)) {
	case GCHEAP_SPAN_CENTRAL:
	case GCHEAP_SPAN_CACHED:
	case GCHEAP_SPAN_LARGE:
		return !SPAN_CLASS_NOSCAN(span->span_class);
	case GCHEAP_SPAN_CHUNK:
		return true;
	default:
		return false;
	}
}

/* The first page from @page on where a span with objects begins, or @end. */
static u32 next_object_span(struct heap *core, u32 page, u32 end)
{
	u32 base;

	while ((base = arena_next_in_use(core, round_down(page, 64u))) < end) {
		u64 spans = heap_arena(core, base)->in_use[arena_offset(base) / 64];

		if (base < page)
			spans &= ~0ull << page % 64;
		if (spans)
			return min(base + (u32)__ffs64(spans), end);
		page = base + 64;
	}
	return end;
}

/* The same with chunks, which are aligned, and not among the spans with objects. */
static u32 next_span(struct heap *core, u32 page, u32 end)
{
	u32 at;

	/* As a rule there is one right behind the last. */
	if (page < end && span_is_tracked(heap_span(core, page)))
		return page;
	end = next_object_span(core, page, end);
	if (!core->counters.chunks)
		return end;
	for (at = round_up(page, CHUNK_PAGES); at < end; at += CHUNK_PAGES) {
		if (span_state(heap_span(core, at)) == GCHEAP_SPAN_CHUNK)
			return at;
	}
	return end;
}

/* Hands the tracked part of the range to harvest_run(), in pieces as long as can be. */
static void harvest_spans(struct harvest *harvest)
{
	struct heap *core = &harvest->heap->core;
	u32 end = harvest->end;
	u32 page = harvest->page;
	u32 run = 0, run_end = 0;
	u32 passed = 0;

	/* The range may begin inside a span. */
	if (page < end && span_state(heap_span(core, page)) == GCHEAP_SPAN_INNER)
		page = heap_span(core, page)->first_page;

	for (page = next_span(core, page, end); page < end;
	     page = next_span(core, page, end)) {
		const struct gcheap_span *span = heap_span(core, page);
		u32 first = max(page, harvest->page);

		page += span->npages;
		if (!span_is_tracked(span)) {
			/* Others may run; to end early, harvest_run() looks for a signal. */
			if (++passed % 4096 == 0)
				cond_resched();
			continue;
		}
		if (first != run_end) {
			if (!harvest_run(harvest, run, run_end))
				return;
			run = first;
		}
		run_end = min(page, end);
	}
	harvest_run(harvest, run, run_end);
}

/* ---- the request ------------------------------------------------------------ */

static int track_check(const struct gcheap_heap *heap, const struct gcheap_track *track)
{
	u32 heap_pages = heap->core.heap_pages;

	if (track->flags & ~TRACK_FLAGS || !track_works())
		return -EOPNOTSUPP;
	if (track->flags & GCHEAP_TRACK_PROTECT) {
		if (!(heap->core.flags & GCHEAP_SETUP_SNAPSHOTS))
			return -EOPNOTSUPP;
		if (track->flags != GCHEAP_TRACK_PROTECT)
			return -EINVAL;
	} else if (!(track->flags & GCHEAP_TRACK_BITMAP) && !track->range_count) {
		return -EINVAL;
	}
	if (track->range_count > GCHEAP_TRACK_RANGES_MAX)
		return -EOVERFLOW;
	if (track->page > heap_pages || track->npages > heap_pages - track->page)
		return -EINVAL;
	return 0;
}

/*
 * Takes mmap_lock. With @exclusive, or when the region is not mapped, for writing:
 * page faults of the region, and munmap() of it, are wholly done then or have not
 * begun. When it is not mapped nothing can be flushed by this request, but munmap()
 * has flushed.
 */
static int track_lock(struct harvest *harvest, bool exclusive)
{
	struct mm_struct *mm = harvest->mm;
	struct vm_area_struct *vma;

	if (!exclusive) {
		if (mmap_read_lock_killable(mm))
			return -EINTR;
		vma = vma_of_owner(harvest->heap);
		if (vma) {
			harvest->base = vma->vm_start;
			return 0;
		}
		mmap_read_unlock(mm);
	}
	if (mmap_write_lock_killable(mm))
		return -EINTR;
	harvest->exclusive = true;
	vma = vma_of_owner(harvest->heap);
	if (vma) {
		compat_vma_start_write(vma);
		harvest->base = vma->vm_start;
	}
	return 0;
}

static void track_unlock(struct harvest *harvest)
{
	if (harvest->exclusive)
		mmap_write_unlock(harvest->mm);
	else
		mmap_read_unlock(harvest->mm);
}

/* Fills in the outputs of @track and @harvest->answer. */
static int track_harvest(struct harvest *harvest, struct gcheap_track *track)
{
	struct gcheap_heap *heap = harvest->heap;
	struct track_answer *answer = &harvest->answer;
	int error;

	error = track_lock(harvest, heap->core.flags & GCHEAP_SETUP_SNAPSHOTS);
	if (error)
		return error;
	tlb_change_begin(harvest->mm);
	harvest_spans(harvest);
	tlb_change_end(harvest->mm, heap->inode->i_mapping, region_pgoff(GCHEAP_REGION_HEAP),
		       harvest->flush && harvest->base);
	track->out_end = harvest->end;
	if (harvest->stopped)
		track->out_end = harvest->at >> (GCHEAP_PAGE_SHIFT - PAGE_SHIFT);
	if (answer->bitmap || harvest->protect)
		track_bits_clear(heap, answer->bits_done, track->out_end);
	track_unlock(harvest);

	track->out_range_count = answer->count;
	track->out_dirty_pages = answer->dirty_pages;
	return 0;
}

/* Takes all that the answer needs, before any page is made clean. */
static int track_begin(struct gcheap_heap *heap, struct gcheap_track *track,
		       struct track_work *work)
{
	void __user *user_ranges = u64_to_user_ptr(track->ranges);
	u32 heap_pages = heap->core.heap_pages;
	int error;

	error = track_check(heap, track);
	if (error)
		return error;
	work->page = (u32)array_index_nospec(track->page, heap_pages + 1);
	work->end = heap_pages;
	if (track->npages)
		work->end = (u32)array_index_nospec(track->page + track->npages, heap_pages + 1);
	if (track->range_count) {
		/* Two ranges have a page between them. */
		work->max = min(track->range_count, (work->end - work->page) / 2 + 1);
		if (clear_user(user_ranges, work->max * sizeof(*work->ranges)))
			return -EFAULT;
		work->ranges = kvmalloc_array(work->max, sizeof(*work->ranges), GCHEAP_GFP);
		if (!work->ranges)
			return -ENOMEM;
	}
	if (track->flags & (GCHEAP_TRACK_BITMAP | GCHEAP_TRACK_PROTECT)) {
		error = track_make_bits(heap);
		if (error)
			return error;
	}
	work->begun = true;
	return 0;
}

/**
 * op_track() - GCHEAP_OP_TRACK: which pages were written, and re-arm
 * @heap: the heap
 * @args: struct gcheap_track
 * @progress: the answer so far
 *
 * Pieces end where arenas do, so that no 2 MiB page is in two of them. What the heap
 * grows by meanwhile is for the next request.
 *
 * Return:
 * * 0		- done up to @out_end
 * * -EINVAL	- a range that is not in the heap, nowhere to write the answer, or
 *		  GCHEAP_TRACK_PROTECT with another flag
 * * -EOPNOTSUPP - unknown flag, writes cannot be tracked on this machine, or
 *		  GCHEAP_TRACK_PROTECT in a heap without GCHEAP_SETUP_SNAPSHOTS
 * * -EOVERFLOW	- too long an array
 * * -EFAULT	- @ranges cannot be written
 * * -ENOMEM	- out of memory
 * * -EINTR	- interrupted; done up to @out_end
 */
int op_track(struct gcheap_heap *heap, union op_args *args,
	     struct progress *progress)
{
	struct gcheap_track *track = &args->track;
	struct track_work *work = &progress->track;
	struct harvest harvest;
	int error;

	lockdep_assert_held(&heap->lock);
	if (!work->begun) {
		/* What is answered when it is interrupted before it has done anything. */
		track->out_range_count = 0;
		track->out_dirty_pages = 0;
		track->out_end = track->page;
		error = track_begin(heap, track, work);
		if (error)
			return error;
	}
	harvest = (struct harvest){
		.heap = heap,
		.mm = current->mm,
		.page = work->page,
		.end = min(round_down(work->page, PIECE_PAGES) + PIECE_PAGES, work->end),
		.rearm = !(track->flags & GCHEAP_TRACK_PEEK),
		.protect = track->flags & GCHEAP_TRACK_PROTECT,
		.answer = {
			.heap = heap,
			.ranges = work->ranges,
			.count = track->out_range_count,
			.max = work->max,
			.bitmap = track->flags & GCHEAP_TRACK_BITMAP,
			.bits_done = work->page,
			.dirty_pages = track->out_dirty_pages,
		},
	};
	error = track_harvest(&harvest, track);
	if (error)
		return error;
	work->any = true;
	work->page = track->out_end;
	return harvest.stopped || work->page >= work->end ? 0 : OP_MORE;
}

/**
 * op_track_end() - the answer of a TRACK that has ended
 * @heap: the heap
 * @args: struct gcheap_track
 * @progress: of op_track()
 * @error: what it returned, or why there is no other piece
 *
 * Return: what the request returns.
 */
int op_track_end(struct gcheap_heap *heap, union op_args *args,
		 struct progress *progress, int error)
{
	struct gcheap_track *track = &args->track;
	struct track_work *work = &progress->track;
	struct track_answer answer = {
		.ranges = work->ranges,
		.count = track->out_range_count,
	};

	if (work->any && (!error || error == -EINTR)) {
		heap->core.counters.tracks++;
		heap->core.counters.dirty_pages += track->out_dirty_pages;
		if (copy_to_user(u64_to_user_ptr(track->ranges), answer.ranges,
				 answer.count * sizeof(*answer.ranges)))
			error = -EFAULT;
	}
	if (work->any && error && error != -EINTR && heap->live)
		track_take_back(heap, &answer);
	kvfree(work->ranges);
	work->ranges = NULL;
	return error;
}
