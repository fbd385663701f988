/* SPDX-License-Identifier: MIT */
/*
 * GCHEAP_TRACE=gc: one line a cycle on stderr.
 */
#ifndef GCHEAP_LIB_CYCLE_LOG_H
#define GCHEAP_LIB_CYCLE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "mark_team.h"

struct gcheap;

/* Markers whose shares are told one by one. */
#define CYCLE_MARKERS	16u

/**
 * struct cycle - what is known of one collection
 * @start_ns: when it started, CLOCK_MONOTONIC
 * @stop_ns: time until all threads rested
 * @flush_ns: time to flush the caches and in MARK_START
 * @mark_ns: time to mark
 * @markers: how many markers there were
 * @shares: what each has done; the first is the thread that ran the cycle
 * @sweep_ns: time in SWEEP_START
 * @root_bytes: roots, frames and stack that it went through
 * @before_bytes: live and taken bytes when it started
 * @after_bytes: live bytes
 * @freed_spans: spans freed by page marks
 * @is_sweep_background: they are being freed now
 */
struct cycle {
	uint64_t start_ns;
	uint64_t stop_ns;
	uint64_t flush_ns;
	uint64_t mark_ns;
	uint32_t markers;
	struct mark_share shares[CYCLE_MARKERS];
	uint64_t sweep_ns;
	uint64_t root_bytes;
	uint64_t before_bytes;
	uint64_t after_bytes;
	uint64_t freed_spans;
	bool is_sweep_background;
};

/* Prints a cycle that has just ended and been counted in heap->stats. */
void cycle_log(const struct gcheap *heap, const struct cycle *cycle);

#endif /* GCHEAP_LIB_CYCLE_LOG_H */
