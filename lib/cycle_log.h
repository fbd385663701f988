/* SPDX-License-Identifier: MIT */
/*
 * GCHEAP_TRACE=gc: one line a cycle on stderr.
 */
#ifndef GCHEAP_LIB_CYCLE_LOG_H
#define GCHEAP_LIB_CYCLE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include <gcheap.h>

#include "mark_team.h"

struct gcheap;

/* Markers whose shares are told one by one. */
#define CYCLE_MARKERS	16u

/**
 * enum cycle_reason - why a cycle runs
 * @CYCLE_NONE: none should
 * @CYCLE_REQUEST: the program asked for it
 * @CYCLE_GROWTH: the heap has grown by gc_percent, or by as much as pays for a cycle
 * @CYCLE_LIMIT: it would be more than the memory limit
 * @CYCLE_PRESSURE: the system is short of memory
 * @CYCLE_MEMORY: an allocation found no memory
 * @CYCLE_IDLE: the last one is long ago
 */
enum cycle_reason {
	CYCLE_NONE,
	CYCLE_REQUEST = GCHEAP_CYCLE_REQUEST,
	CYCLE_GROWTH = GCHEAP_CYCLE_GROWTH,
	CYCLE_LIMIT = GCHEAP_CYCLE_LIMIT,
	CYCLE_PRESSURE = GCHEAP_CYCLE_PRESSURE,
	CYCLE_MEMORY = GCHEAP_CYCLE_MEMORY,
	CYCLE_IDLE = GCHEAP_CYCLE_IDLE,
};

/**
 * struct cycle - what is known of one collection
 * @reason: why it runs
 * @start_ns: when it started, CLOCK_MONOTONIC
 * @stop_ns: time until all threads rested
 * @flush_ns: time to flush the caches and in MARK_START
 * @mark_ns: time to mark
 * @markers: how many markers there were
 * @shares: what each has done; the first is the thread that ran the cycle
 * @roots_ns: of that, until what is to be read of roots was read
 * @sweep_ns: time in SWEEP_START
 * @root_bytes: roots, frames and stack that it went through
 * @before_bytes: live and taken bytes when it started
 * @after_bytes: live bytes
 * @arena_bytes: of these, in chunks of user arenas
 * @freed_spans: spans freed by page marks
 * @is_sweep_background: they are being freed now; before that, whether they may
 */
struct cycle {
	enum cycle_reason reason;
	uint64_t start_ns;
	uint64_t stop_ns;
	uint64_t flush_ns;
	uint64_t mark_ns;
	uint32_t markers;
	struct mark_share shares[CYCLE_MARKERS];
	uint64_t roots_ns;
	uint64_t sweep_ns;
	uint64_t root_bytes;
	uint64_t before_bytes;
	uint64_t after_bytes;
	uint64_t arena_bytes;
	uint64_t freed_spans;
	bool is_sweep_background;
};

/* Prints a cycle that has just ended and been counted in heap->stats. */
void cycle_log(const struct gcheap *heap, const struct cycle *cycle);

#endif /* GCHEAP_LIB_CYCLE_LOG_H */
