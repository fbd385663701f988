/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The page reclaimer: finds dead spans by the page marks alone, 64 heap pages a
 * word, without reading a mark bit, and frees them.
 *
 * SWEEP_START sets it to the heap's start. An eager one walks the whole heap at once; a
 * lazy one leaves the walk to those who need pages. As in Go, an allocation of n pages
 * does not make the heap larger before n pages of dead spans have been freed for it, or
 * the walk has come to its end: so the heap grows by what is allocated less what has
 * died, and no allocation pays for more than it takes. If a word frees more pages than
 * were needed, or the sweep of single spans frees some meanwhile, the rest is credit for
 * later allocations.
 *
 * A span that was made since SWEEP_START has no page mark, also where a marked one has
 * been. Its descriptor has the current sweep generation, and so has that of every span
 * that was swept since: the reclaimer takes none of these for dead. As descriptors have
 * only 16 bits of the generation, reclaim_begin() keeps large spans, which are not swept,
 * from growing as old as that.
 *
 * The process can write the page marks, also between two steps of the walk. All it can
 * reach by that is the end of spans of its own that are not cached.
 */
#ifndef GCHEAP_CORE_RECLAIM_H
#define GCHEAP_CORE_RECLAIM_H

#include "heap.h"

/* At SWEEP_START, the generation just stepped: begin at the heap's start. */
void reclaim_begin(struct heap *heap);

/* Set @dead_pages, by the page marks and the average length of a span. */
void reclaim_estimate(struct heap *heap);

/* Whether there can be no dead span any more but those with a page mark. */
bool reclaim_is_done(const struct heap *heap);

/**
 * reclaim_walk() - free dead spans
 * @heap: the heap
 * @max_spans: stop after so many
 * @max_pages: stop when so many pages were freed
 * @spans: how many spans were freed
 *
 * Ends before that at the heap's end, where reclaim_is_done(), or with a fatal
 * signal.
 *
 * Return: how many pages were freed.
 */
u64 reclaim_walk(struct heap *heap, u64 max_spans, u64 max_pages, u64 *spans);

/* The sweep of single spans has freed one: credit, while the walk is not done. */
void reclaim_add_credit(struct heap *heap, u64 pages);

/* Before @npages are allocated: walk until there is credit for them. */
void reclaim_for(struct heap *heap, u32 npages);

/*
 * The same in pieces, of about @most pages freed. Return: whether there is not enough
 * credit yet, and more to walk.
 */
bool reclaim_for_some(struct heap *heap, u32 npages, u32 most);

/* They have been: take them from the credit, after walking for what it lacks. */
void reclaim_spend(struct heap *heap, u32 npages);

#endif /* GCHEAP_CORE_RECLAIM_H */
