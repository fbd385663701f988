/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The only way from the heap's logic to the world around it.
 *
 * kmod/core is compiled twice: into the kernel module, and into the library as
 * the local backend. It includes common/, its own headers, and nothing else. The
 * functions below are defined once for each world: in kmod/port.c over kernel
 * memory and lib/backend/port_local.c over anonymous memory.
 */
#ifndef GCHEAP_CORE_PORT_H
#define GCHEAP_CORE_PORT_H

#include "base.h"

struct heap;

/**
 * port_zalloc() - allocate zeroed memory for the heap's private tables
 * @bytes: how much
 *
 * Context: may sleep. In the kernel the memory is charged to the caller's
 * memory cgroup.
 * Return: the memory, aligned to 16 bytes, or NULL.
 */
void *port_zalloc(size_t bytes);

/**
 * port_free() - free what port_zalloc() gave
 * @memory: the memory, or NULL
 */
void port_free(void *memory);

#define PORT_TABLE_PAGE_BYTES	4096u

/**
 * port_table_page() - find a page of a mapped table, or make it
 * @heap: the heap
 * @region: any enum gcheap_region but GCHEAP_REGION_HEAP
 * @offset: byte offset in the region, a multiple of PORT_TABLE_PAGE_BYTES
 *
 * A new page is zeroed, and visible to the process in the region's mapping from
 * now on. It stays at its address until the heap is destroyed, or until
 * port_table_pages_free().
 *
 * Context: may sleep; the heap's lock is held.
 * Return: its address here, or NULL when out of memory.
 */
void *port_table_page(struct heap *heap, enum gcheap_region region, u64 offset);

/**
 * port_table_pages_free() - free pages of a mapped table
 * @heap: the heap
 * @region: GCHEAP_REGION_TYPES, GCHEAP_REGION_MARKS or GCHEAP_REGION_BITMAP
 * @offset: of the first, as in port_table_page()
 * @count: how many; those that have not been made are passed over
 *
 * The process can no longer see them: it finds what it finds where none was ever made.
 *
 * Context: may sleep; the heap's lock is held. In the kernel, memory may be being
 * reclaimed: none is allocated.
 */
void port_table_pages_free(struct heap *heap, enum gcheap_region region, u64 offset, u32 count);

/**
 * port_populate() - back heap pages with memory
 * @heap: the heap
 * @page: first heap page
 * @npages: how many
 * @needzero: set to true, and never to false, when a new page may have old data of
 *	this same heap; else all new pages are zero
 *
 * Pages that are backed already stay as they are.
 *
 * Context: may sleep; the heap's lock is held.
 * Return: 0, -ENOMEM, or -EINTR when a fatal signal arrived. After an error no page
 * is backed that was not before.
 */
int port_populate(struct heap *heap, u32 page, u32 npages, bool *needzero);

/**
 * port_may_populate() - whether there may be memory for so much at all
 * @heap: the heap
 * @npages: how many heap pages
 *
 * So that not all of the machine's memory is taken to find that it is not enough.
 *
 * Context: the heap's lock is held.
 */
bool port_may_populate(struct heap *heap, u32 npages);

/**
 * port_depopulate() - end the backing of heap pages
 * @heap: the heap
 * @page: first heap page
 * @npages: how many; none of them belongs to a span in use
 *
 * An access to them fails from now on. The port may keep the memory for the next
 * port_populate() of any pages of this heap.
 *
 * Context: may sleep; the heap's lock is held.
 */
void port_depopulate(struct heap *heap, u32 page, u32 npages);

/**
 * port_lazy() - begin or end to back heap pages as they are touched
 * @heap: the heap
 * @page: first heap page
 * @npages: how many; to end, all that it began with
 * @lazy: begin or end
 *
 * When it begins, the pages have no memory; what they get is zero. When it has
 * ended, a touch gets none any more, but what has come stays, until
 * port_depopulate().
 *
 * Context: may sleep; the heap's lock is held.
 * Return: 0; -ENOMEM, which only a begin can return.
 */
int port_lazy(struct heap *heap, u32 page, u32 npages, bool lazy);

/**
 * port_release() - give the memory of heap pages to the system
 * @heap: the heap
 * @ranges: heap pages, none of which belongs to a span; in any order, but ranges
 *	that follow each other, up or down, are done as one
 * @count: length of @ranges
 *
 * Context: may sleep; the heap's lock is held.
 * Return: how many bytes were given.
 */
u64 port_release(struct heap *heap, const struct gcheap_range *ranges, u32 count);

/**
 * port_trim() - give memory to the system that the port keeps for the heap
 * @heap: the heap
 * @max_bytes: stop when so much was given
 *
 * Of memory that backs no heap page; see port_depopulate().
 *
 * Context: may sleep; the heap's lock is held.
 * Return: how many bytes were given.
 */
u64 port_trim(struct heap *heap, u64 max_bytes);

/**
 * port_broken() - whether the memory of heap pages has failed
 * @heap: the heap; the port has set @has_broken
 * @page: first heap page
 * @npages: how many
 *
 * Memory that the port keeps for these pages counts, too, where it cannot be accessed
 * now but would be the one that port_populate() makes accessible.
 *
 * Context: the heap's lock is held.
 * Return: whether that of one of them has.
 */
bool port_broken(struct heap *heap, u32 page, u32 npages);

/**
 * port_counters() - bring those of the heap's counters up to date that the port keeps
 * @heap: the heap
 *
 * Context: the heap's lock is held.
 */
void port_counters(struct heap *heap);

/**
 * port_cpus() - how many CPUs there may ever be
 *
 * Return: the number, at most BIT_INDEX_MAX; 0: keep no caches by CPU.
 */
u32 port_cpus(void);

/**
 * port_cpu() - the CPU that this runs on
 *
 * A hint: it may be another one by the time that the caller looks.
 *
 * Return: a number below port_cpus().
 */
u32 port_cpu(void);

/**
 * port_interrupted() - called in long loops: let others run
 *
 * Context: may sleep.
 * Return: true when the caller has received a fatal signal and should end its
 * work early, in a consistent state.
 */
bool port_interrupted(void);

#endif /* GCHEAP_CORE_PORT_H */
