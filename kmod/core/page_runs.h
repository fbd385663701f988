/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Runs of heap pages as spans and chunks want them. page_runs.c takes a run from the page
 * heap, and lets the heap grow where it may. It gives the run memory, and takes that of
 * other free pages where there is no more. It makes the tables that speak of the run, and
 * hands out no memory that has failed.
 *
 * A run goes back by page_heap_free(): its pages keep their memory.
 */
#ifndef GCHEAP_CORE_PAGE_RUNS_H
#define GCHEAP_CORE_PAGE_RUNS_H

#include "heap.h"

/* The heap grows by this many pages at least: 1 MiB, one page of SPANS. */
#define HEAP_GROW_PAGES	128u

/**
 * page_run_alloc_some() - take several equal runs that follow each other
 * @heap: the heap
 * @npages: length of one
 * @most: take no more than this
 * @count: set to how many were taken
 * @grow: whether the heap may grow for them
 * @needzero: set to whether their memory may hold old data
 *
 * The runs are backed by memory.
 *
 * Return: the first one's first page; 0: there is none, or no memory for one.
 */
u32 page_run_alloc_some(struct heap *heap, u32 npages, u32 most, u32 *count, bool grow,
			bool *needzero);

/**
 * page_run_alloc_aligned() - take the pages of a chunk
 * @heap: the heap
 * @needzero: set to whether its memory was used before
 *
 * The heap grows where it must. The CHUNK_PAGES pages, aligned to their length,
 * are backed by memory.
 *
 * Return: the first page; 0: no reserve is left, or no memory.
 */
u32 page_run_alloc_aligned(struct heap *heap, bool *needzero);

/**
 * page_run_is_sound() - look whether memory of a run has failed
 * @heap: the heap
 * @page: first page; the run is taken, and about to be handed out
 * @npages: its length
 *
 * If so, the run gives its memory up, and where the same would come again, as that of a
 * 2 MiB page of which other parts are in use, the page is retired.
 *
 * Return: false: the run is no more taken, and there may be another.
 */
bool page_run_is_sound(struct heap *heap, u32 page, u32 npages);

/**
 * page_run_tables_ensure() - make tables, for which free pages give up their memory if need be
 * @heap: the heap
 * @page: first of the heap pages that they speak of
 * @npages: how many
 *
 * Return: as arena_tables_ensure().
 */
int page_run_tables_ensure(struct heap *heap, u32 page, u32 npages);

/**
 * page_run_tables_again() - make tables of a run that were given back
 * @heap: the heap
 * @page: its first page; the run is taken
 * @npages: its length; what the heap is about to grow over is passed over
 *
 * Return: 0; -ENOMEM; -EINTR.
 */
int page_run_tables_again(struct heap *heap, u32 page, u32 npages);

/**
 * page_run_populate() - back those pages of a run that have no memory
 * @heap: the heap
 * @page: its first page; the run is taken
 * @npages: its length
 * @needzero: told whether those that have may hold old data; receives it for all
 *
 * Return: 0; -ENOMEM; -EINTR. After an error no page is backed that was not before.
 */
int page_run_populate(struct heap *heap, u32 page, u32 npages, bool *needzero);

/**
 * page_run_depopulate() - end the backing of pages that are not free
 * @heap: the heap
 * @page: first page
 * @npages: how many
 */
void page_run_depopulate(struct heap *heap, u32 page, u32 npages);

/**
 * page_run_end_lazy() - the same for a run that got its memory as it was touched
 * @heap: the heap
 * @page: its first page; it is still taken, and its span no more in use
 * @npages: its length
 */
void page_run_end_lazy(struct heap *heap, u32 page, u32 npages);

#endif /* GCHEAP_CORE_PAGE_RUNS_H */
