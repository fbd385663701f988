/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Scavenging: giving the memory of free pages back to the system.
 *
 * A free page keeps its memory, so that it can be used again without a fault and
 * without zeroing. It is given back when the owner asks (SCAVENGE), when the
 * system asks, when memory is short for a request of this very heap, and in the
 * background when the heap is larger than what its next cycle will need.
 *
 * Pages are released from the highest address down, as in Go: allocation takes
 * the lowest, so that those at the top will be needed last. They are collected
 * in batches of ranges, as long as they can be, for one port_release() each.
 */
#ifndef GCHEAP_CORE_SCAVENGE_H
#define GCHEAP_CORE_SCAVENGE_H

#include "heap.h"

/* Ranges for one port_release(), and pages in them: between two, a signal is looked for. */
#define SCAVENGE_RANGES	1024u
#define SCAVENGE_PAGES	16384u		/* 128 MiB */

/* What is given back at a time when there is no memory for a table. */
#define SCAVENGE_TABLE_BYTES	(256u << 10)

/**
 * scavenge() - give free memory back, and tell how much that was
 * @heap: the heap
 * @max_bytes: stop when so much was given back
 * @bytes: set to how much was given back
 * @tables: set to the bytes of tables, which do not count for @max_bytes
 *
 * What the port keeps for the heap goes first, then memory of free pages. Allocates no
 * memory.
 *
 * Return: 0, or -EINTR when a fatal signal ended it early.
 */
int scavenge(struct heap *heap, u64 max_bytes, u64 *bytes, u64 *tables);

/**
 * heap_scavenge_some() - the same, for whoever wants memory and not figures
 * @heap: the heap
 * @max_bytes: stop when so much was given back
 *
 * Context: may sleep; the heap's lock is held. Allocates no memory.
 * Return: how many bytes were given back, of tables too.
 */
u64 heap_scavenge_some(struct heap *heap, u64 max_bytes);

/**
 * heap_scavenge_excess() - how much free memory the heap should give back in time
 * @heap: the heap
 *
 * Go's rule: retained is the goal of the next cycle and a tenth; what spans in use
 * and free pages have above that is more than the heap will need.
 *
 * Context: the heap's lock is held.
 * Return: bytes; 0 as long as the owner has not told its goal.
 */
u64 heap_scavenge_excess(const struct heap *heap);

#endif /* GCHEAP_CORE_SCAVENGE_H */
