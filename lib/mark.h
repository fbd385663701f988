/* SPDX-License-Identifier: MIT */
/*
 * The markers: from roots to mark bits and page marks. Who runs a cycle has the first one, and
 * calls these functions; the others are threads that help it with what they are given.
 *
 * It works in batches of 32 objects: while it scans one batch, the objects of the next
 * are on their way to the cache. The pointers of a batch go to an edge buffer. A test of
 * the raw granule bit drops those to objects that are marked already; only the rest are
 * looked up, tested and set. A frontier of a single object (a list) is followed in
 * registers.
 */
#ifndef GCHEAP_LIB_MARK_H
#define GCHEAP_LIB_MARK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mark_count.h"

struct gcheap;
struct mark_kernel;
struct mark_share;
struct marker;
struct root;
struct slot;

/**
 * marker_create() - make the first marker of a heap
 * @heap: the heap
 * @markers: how many there may be; 0: as many as CPUs that the calling thread may use
 * @kernel: how they scan; NULL: as well as the CPU can
 * @marker: receives it
 *
 * Return: 0 or -ENOMEM, with gcheap_error() set.
 */
int marker_create(struct gcheap *heap, uint32_t markers, const struct mark_kernel *kernel,
		  struct marker **marker);
/* @is_here: this is not a child of fork(), where the others are not. */
void marker_destroy(struct marker *marker, bool is_here);
/*
 * Ends the others' threads, which come again when a cycle has work for them: while there are any,
 * the process does not end, though main() has called pthread_exit() and all its other threads have
 * ended. No cycle runs.
 */
void marker_send_home(struct marker *marker);

/*
 * Make the other markers' threads, if a cycle was long enough for them, or the heap is so large
 * that this one will be. No thread is stopped yet: malloc() is called.
 */
void mark_prepare(struct marker *marker);

/* Begin a cycle: MARK_START has been sent, no span is cached, and alloc bits are exact. */
void mark_begin(struct marker *marker);
/*
 * Roots. Each may drain when its buffers fill, and none can fail: what the markers' stacks have
 * no room for is kept as bits, or found again by the mark bits (mark_overflow.h). Those of 1 KiB
 * and more may be read later, at mark_gathered() at the latest (mark_piece.h).
 */
void mark_slots(struct marker *marker, void *const *slots, size_t n);
/* The same at once: they may change when this returns. For few. */
void mark_slots_here(struct marker *marker, void *const *slots, size_t n);
void mark_typed(struct marker *marker, const struct root *root);
void mark_ambiguous(struct marker *marker, const void *start, size_t bytes);
/* The same at once, by any marker: for pieces of roots. */
void mark_ambiguous_here(struct marker *marker, uint64_t start, uint64_t end);
/* What the object at an offset leads to, but not the object itself. */
void mark_from_object(struct marker *marker, uint64_t offset);
/* Whether the slot with a granule is marked, of all that was followed. */
bool mark_is_set(const struct marker *marker, uint64_t granule);
/* Follow everything. More may be marked then, and followed. */
void mark_follow(struct marker *marker);
/**
 * mark_watch() - be told of each object that becomes marked
 * @marker: the marker, which has followed all
 * @fn: is called with its slot once it is; it marks nothing. NULL: that is over
 * @arg: for @fn
 *
 * All marking is this thread's meanwhile, and takes some times as long: for what is little, or has
 * no other way.
 */
void mark_watch(struct marker *marker, void (*fn)(void *arg, const struct slot *slot), void *arg);
/* The same; then the result, and the cycle's marking is over. */
void mark_finish(struct marker *marker, struct mark_result *result);
/**
 * mark_shares() - what each marker has done in the last cycle
 * @marker: the first one
 * @shares: receives it
 * @max: room in @shares
 *
 * Return: how many markers there are, which may be more than @max.
 */
uint32_t mark_shares(const struct marker *marker, struct mark_share *shares, uint32_t max);
/* Bytes of memory that the markers keep. */
uint64_t marker_memory(const struct marker *marker);

#endif /* GCHEAP_LIB_MARK_H */
