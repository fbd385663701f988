// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * REFILL: from validation to the spans that are handed out and taken back.
 */
#include "refill.h"

#include "central.h"
#include "page_runs.h"
#include "port.h"
#include "reclaim.h"
#include "sweep.h"

/* REFILL sweeps at most so many full spans in search of a free slot. */
#define REFILL_SWEEP_TRIES	128u

/* And so many to learn whether a central is sparse: a cache's usual batch. */
#define REFILL_SWEEP_AHEAD	32u

/* Less is not worth to be allocated from first: what one busy cache takes. */
#define CENTRAL_SPARSE_BYTES	BIT(18)

/* But thousands of centrals together shall not hold back more than this. */
#define CENTRALS_SPARSE_BYTES	BIT(25)

/* ---- validation ------------------------------------------------------------- */

/*
 * While the list is walked, a cached span's unused @next marks it as seen, so
 * that a page that stands twice is found without a table.
 */
static int returns_check(struct heap *heap, const u32 *returns, u32 count)
{
	int error = 0;
	u32 i;

	for (i = 0; i < count; i++) {
		struct gcheap_span *span;

		if (!returns[i] || returns[i] >= heap->heap_pages) {
			error = -EINVAL;
			break;
		}
		span = heap_span(heap, heap_page_nospec(heap, returns[i]));
		if (span_state(span) != GCHEAP_SPAN_CACHED || span->next) {
			error = -EINVAL;
			break;
		}
		span->next = returns[i];
	}
	while (i--)
		heap_span(heap, returns[i])->next = 0;
	return error;
}

int heap_refill_check(const struct heap *heap, const struct gcheap_refill *refill)
{
	if (refill->flags & ~GCHEAP_REFILL_MIXED)
		return -EOPNOTSUPP;
	if (refill->flags & GCHEAP_REFILL_MIXED && heap->layout != GCHEAP_LAYOUT_SPAN)
		return -EINVAL;
	if (refill->return_count > GCHEAP_REFILL_MAX || refill->grant_count > GCHEAP_REFILL_MAX)
		return -EOVERFLOW;
	return refill->want_bytes && !refill->grant_count ? -EINVAL : 0;
}

/* ---- spans out ---------------------------------------------------------------- */

static u32 take_from_pages(struct heap *heap, struct central *central,
			   struct gcheap_grant *grants, u32 most, bool grow)
{
	u32 npages = size_class_pages[SPAN_CLASS_SIZE(central->key.span_class)];
	bool needzero;
	u32 count, page, i;

	reclaim_for(heap, npages);
	page = page_run_alloc_some(heap, npages, most, &count, grow, &needzero);
	if (!page)
		return 0;
	/* For those that came with the first, too. */
	reclaim_spend(heap, npages * count);
	for (i = 0; i < count; i++) {
		span_init_small(heap, page, &central->key, needzero);
		grants[i].page = page;
		page += npages;
	}
	return count;
}

static bool take_is_sparse(const struct heap *heap, const struct central *central)
{
	u32 slot_bytes = size_class_bytes[SPAN_CLASS_SIZE(central->key.span_class)];
	u64 free_slots = central->free_slots[central_swept_lists(heap)];
	u32 least = min_t(u32, CENTRAL_SPARSE_BYTES, CENTRALS_SPARSE_BYTES / heap->centrals.count);

	return free_slots * slot_bytes >= least &&
	       free_slots > central->used_slots[central_swept_lists(heap)];
}

static u32 take_from_swept(struct heap *heap, struct central *central,
			   struct gcheap_grant *grant)
{
	u32 page = central_take(heap, central);

	if (!page)
		return 0;
	grant->page = page;
	return 1;
}

/*
 * Takes spans with free slots into a thread's cache, at most @most, and puts their page
 * numbers into @grants; from the first of these that has any:
 *
 *	1. a swept span with free slots, if the central is sparse
 *	2. free pages, as many spans as follow each other
 *	3. a swept span with free slots
 *	4. an unswept one, swept now
 *	5. free pages after growing the heap
 *
 * Empty spans are faster to allocate from than spans with holes. But a class
 * whose spans each keep a few objects alive would eat the pages that all others
 * free, which would have to grow: hence the first rule. A central is sparse when
 * more of its slots are free than used, and at least CENTRAL_SPARSE_BYTES, or its
 * part of CENTRALS_SPARSE_BYTES where there are many. To know that, some unswept
 * spans are swept with each call.
 *
 * Return: how many were taken; 0: out of memory or of reserve.
 */
static u32 take_some(struct heap *heap, struct central *central, struct gcheap_grant *grants,
		     u32 most)
{
	u32 count = 0;
	u32 i;

	for (i = 0; i < REFILL_SWEEP_AHEAD && sweep_one(heap, central); i++)
		;
	if (take_is_sparse(heap, central))
		count = take_from_swept(heap, central, grants);
	if (!count)
		count = take_from_pages(heap, central, grants, most, false);
	if (!count)
		count = take_from_swept(heap, central, grants);
	for (i = 0; !count && i < REFILL_SWEEP_TRIES; i++) {
		if (!sweep_one(heap, central))
			break;
		count = take_from_swept(heap, central, grants);
		/* The span may have been without an object after all. */
		if (!count)
			count = take_from_pages(heap, central, grants, most, false);
	}
	if (!count)
		count = take_from_pages(heap, central, grants, most, true);
	if (!count && sweep_make_room(heap)) {
		count = take_from_swept(heap, central, grants);
		if (!count)
			count = take_from_pages(heap, central, grants, most, true);
	}
	return count;
}

/* Fills in what a grant tells of its span; returns the bytes of the free slots. */
static u64 grant_describe(struct heap *heap, struct gcheap_grant *grant)
{
	const struct gcheap_span *span = heap_span(heap, grant->page);

	grant->free_slots = span->slots - span->allocated;
	grant->slots = span->slots;
	grant->flags = span->state & GCHEAP_SPAN_NEEDZERO ? GCHEAP_GRANT_NEEDZERO : 0;
	return (u64)grant->free_slots * size_class_bytes[SPAN_CLASS_SIZE(span->span_class)];
}

/* Takes spans until they have @want bytes free, or @most spans; how many. */
static u32 take_wanted(struct heap *heap, struct central *central, u64 want, u32 most,
		       struct gcheap_grant *grants)
{
	u32 size_class = SPAN_CLASS_SIZE(central->key.span_class);
	u32 span_bytes = (u32)size_class_pages[size_class] << GCHEAP_PAGE_SHIFT;
	u64 bytes = 0;
	u32 granted = 0;

	while (granted < most && bytes < want) {
		u64 spans = DIV_ROUND_UP(want - bytes, span_bytes);
		u32 end = granted + take_some(heap, central, grants + granted,
					      (u32)min_t(u64, spans, most - granted));

		if (end == granted)
			break;
		while (granted < end)
			bytes += grant_describe(heap, &grants[granted++]);
	}
	if (granted)
		sweep_in_proportion(heap, bytes);
	return granted;
}

/* ---- the request -------------------------------------------------------------- */

int heap_refill(struct heap *heap, struct gcheap_refill *refill,
		const u32 *returns, struct gcheap_grant *grants)
{
	u32 granted = 0;
	u32 i;
	int error;

	error = returns_check(heap, returns, refill->return_count);
	if (error)
		return error;
	if (refill->want_bytes) {
		struct central *central;
		struct span_key key;

		error = central_key_make(heap, refill->type, refill->size_class,
					 refill->flags, &key);
		if (error)
			return error;
		central = central_get(heap, &key);
		if (central)
			granted = take_wanted(heap, central, refill->want_bytes,
					      refill->grant_count, grants);
		if (!granted)
			return -ENOMEM;
	}
	for (i = 0; i < refill->return_count; i++)
		central_give(heap, returns[i]);
	refill->out_granted = granted;
	heap->counters.refills++;
	heap->counters.refilled_spans += granted;
	return 0;
}
