/* SPDX-License-Identifier: MIT */
/*
 * The marker: from roots to mark bits and page marks. One thread for now.
 *
 * It works in batches of 32 objects: while it scans one batch, the objects of the next
 * are on their way to the cache. The pointers of a batch go to an edge buffer. A test of
 * the raw granule bit drops those to objects that are marked already; only the rest are
 * looked up, tested and set. A frontier of a single object (a list) is followed in
 * registers.
 */
#ifndef GCHEAP_LIB_MARK_H
#define GCHEAP_LIB_MARK_H

#include <stddef.h>
#include <stdint.h>

#include "mark_count.h"

struct gcheap;
struct marker;
struct root;

int marker_create(struct gcheap *heap, struct marker **marker);
void marker_destroy(struct marker *marker);

/* Begin a cycle: MARK_START has been sent, no span is cached, and alloc bits are exact. */
void mark_begin(struct marker *marker);
/*
 * Roots. Each may drain when its buffers fill, and none can fail: without memory the
 * marker's stack overflows into a rescan of the mark bits.
 */
void mark_slots(struct marker *marker, void *const *slots, size_t n);
void mark_typed(struct marker *marker, const struct root *root);
void mark_ambiguous(struct marker *marker, const void *start, size_t bytes);
/* Follow everything; then the result. */
void mark_finish(struct marker *marker, struct mark_result *result);
/* Bytes of memory that the marker keeps. */
uint64_t marker_memory(const struct marker *marker);

#endif /* GCHEAP_LIB_MARK_H */
