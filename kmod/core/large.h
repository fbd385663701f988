/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * ALLOC_LARGE works in pieces: an object may be as large as the reserve, and other
 * requests shall not wait until all of its memory is there.
 *
 * While an object is being made its pages belong to nobody: they are not free, no span
 * has them, and their PAGES entries are 0, so that no request and no marker finds them.
 * They become a span in one step at the end. Until then the request can undo all it has
 * done.
 */
#ifndef GCHEAP_CORE_LARGE_H
#define GCHEAP_CORE_LARGE_H

#include "heap.h"

/* There is more to do. No errno is positive. */
#define LARGE_MORE	1

enum large_phase {
	LARGE_CHECK,		/* nothing was done yet */
	LARGE_RECLAIM,		/* dead spans are freed, to have room */
	LARGE_FIND,
	LARGE_BACK,		/* the pages get memory; for a lazy object, lose it */
	LARGE_TABLES,		/* and tables, where the heap grows */
	LARGE_DESCRIBE,		/* and descriptors, but for the first */
	LARGE_SWEEP,		/* in proportion to what is handed out */
	LARGE_FINISH,
	LARGE_UNDO,		/* there is no memory: the pages are given back */
	LARGE_ROOM,		/* the sweep is finished, to have room */
	LARGE_ENDED,
};

/**
 * struct large_tables - the tables that another ALLOC_LARGE, which has made the heap grow,
 *	has yet to make, and that are made for it
 * @at: made up to here
 * @dropped: heap.tables_dropped then: if it has changed, some may be gone
 */
struct large_tables {
	u32 at;
	u32 dropped;
};

/**
 * struct large_work - an object that is being made
 * @phase: enum large_phase
 * @page: first page of its run; 0: it has none
 * @npages: how many it is to have
 * @taken: how many the run has: more where the heap grows by whole pages of tables
 * @done: how many of them the phase has done
 * @old_end: end of the heap before it grew for it
 * @new_end: and after; 0: it did not. As long as @heap_pages is less, tables are being made
 * @tables: LARGE_FIND: tables that are made for another object
 * @share: spans that are still to be swept
 * @bytes: size of the object
 * @made: one bit a page: it had no memory before; NULL: all had
 * @lazy: its memory comes as it is touched
 * @used_before: the pages may have been used
 * @needzero: their memory may hold old data
 * @described: pages of it may have descriptors
 * @holds_mask: the type's mask is held for it
 * @room: LARGE_ROOM was tried
 * @any: and has done something
 * @error: what the request fails with when LARGE_UNDO is through; 0: it does not
 */
struct large_work {
	enum large_phase phase;
	u32 page;
	u32 npages;
	u32 taken;
	u32 done;
	u32 old_end;
	u32 new_end;
	struct large_tables tables;
	u64 share;
	u64 bytes;
	u64 *made;
	bool lazy;
	bool used_before;
	bool needzero;
	bool described;
	bool holds_mask;
	bool room;
	bool any;
	int error;
};

/**
 * large_alloc_some() - a piece of ALLOC_LARGE
 * @heap: the heap
 * @alloc: the request, the same for all pieces; the last one fills in its outputs
 * @work: zero before the first piece
 * @pages: how many heap pages' worth of work to do, about
 *
 * Between pieces other requests may be done.
 *
 * Return: LARGE_MORE; 0: the object is made; or a negative errno: large_alloc_undo()
 * has to be called.
 */
int large_alloc_some(struct heap *heap, struct gcheap_alloc_large *alloc,
		     struct large_work *work, u32 pages);

/**
 * large_alloc_undo() - a piece of the way back, from wherever the request is
 * @heap: the heap
 * @alloc: the request
 * @work: of large_alloc_some()
 * @pages: how many heap pages' worth of work to do, about
 *
 * Return: LARGE_MORE; 0: nothing is left of the request.
 */
int large_alloc_undo(struct heap *heap, const struct gcheap_alloc_large *alloc,
		     struct large_work *work, u32 pages);

/* Whether the heap cannot grow before large_tables_some() has made tables. */
static inline bool large_tables_lack(const struct heap *heap)
{
	return heap->heap_pages != heap->page_heap.end;
}

/**
 * large_tables_some() - make some of the tables that large_tables_lack() speaks of
 * @heap: the heap
 * @tables: zero before the first call
 * @pages: for so many heap pages
 *
 * Between two calls other requests may be done. There is but one object at a time whose
 * pages have none: when that fails, the heap becomes as long as it was, or the pages have
 * their tables, and are free as any.
 *
 * Return: LARGE_MORE; 0: none lack; -ENOMEM; -EINTR.
 */
int large_tables_some(struct heap *heap, struct large_tables *tables, u32 pages);

/* large_alloc_undo() for a heap that is gone, and all that the request had with it. */
void large_alloc_forget(struct large_work *work);

#endif /* GCHEAP_CORE_LARGE_H */
