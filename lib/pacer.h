/* SPDX-License-Identifier: MIT */
/*
 * When to collect (pacer.c).
 */
#ifndef GCHEAP_LIB_PACER_H
#define GCHEAP_LIB_PACER_H

#include <stdbool.h>
#include <stdint.h>

/* A heap that cycles may start in by growth is not left without one for longer. */
#define PACER_IDLE_NS	((uint64_t)120 * 1000000000)

/**
 * struct pacer - when to collect
 * @gc_percent: growth that starts a cycle; negative: none does
 * @memory_limit: soft limit for live and taken bytes together, and for object memory
 *	(limit.c); 0: none
 * @disabled: so many have asked that no cycle starts by itself
 * @taken_bytes: allocated since the last cycle, as far as caches have told: each
 *	tells when it asks for more. What they were granted and hold back does not
 *	count, so that a program of many types with few objects each, which holds
 *	a span for each, is not collected for that
 * @trigger_bytes: a cycle starts before more than this is taken
 * @live_bytes: found by the last cycle
 * @root_bytes: that it went through
 * @cycle_ns: what a cycle costs: time for which the program stands still; 0: not known
 * @program_byte_ps: picoseconds in which the program takes a byte, cycles not counted
 * @ended_ns: when the last cycle ended, CLOCK_MONOTONIC; at first, when the heap was opened
 *
 * All threads add to @taken_bytes at any time, and read it, @trigger_bytes, @disabled,
 * @ended_ns and the two settings; who holds the world's lock writes these and all others.
 */
struct pacer {
	int32_t gc_percent;
	uint64_t memory_limit;
	uint32_t disabled;
	uint64_t taken_bytes;
	uint64_t trigger_bytes;
	uint64_t live_bytes;
	uint64_t root_bytes;
	uint64_t cycle_ns;
	uint64_t program_byte_ps;
	uint64_t ended_ns;
};

/**
 * struct pacer_cycle - what the pacer learns from a cycle
 * @begin_ns: when it began, CLOCK_MONOTONIC
 * @cost_ns: for so long the program stood still, or has until now
 * @live_bytes: what it found live
 * @root_bytes: what it went through to begin with
 */
struct pacer_cycle {
	uint64_t begin_ns;
	uint64_t cost_ns;
	uint64_t live_bytes;
	uint64_t root_bytes;
};

/* Counts what a thread has taken. Any thread may call it at any time. */
static inline void pacer_take(struct pacer *pacer, uint64_t bytes)
{
	__atomic_fetch_add(&pacer->taken_bytes, bytes, __ATOMIC_RELAXED);
}

/* Takes back what it counted, as far as it did since the last cycle. */
static inline void pacer_give_back(struct pacer *pacer, uint64_t bytes)
{
	uint64_t taken = __atomic_load_n(&pacer->taken_bytes, __ATOMIC_RELAXED);

	while (!__atomic_compare_exchange_n(&pacer->taken_bytes, &taken,
					    taken > bytes ? taken - bytes : 0, true,
					    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

static inline uint64_t pacer_taken(const struct pacer *pacer)
{
	return __atomic_load_n(&pacer->taken_bytes, __ATOMIC_RELAXED);
}

/* Whether no cycle may start by itself. */
static inline bool pacer_is_disabled(const struct pacer *pacer)
{
	return __atomic_load_n(&pacer->disabled, __ATOMIC_RELAXED);
}

/* Sets the first trigger. */
void pacer_init(struct pacer *pacer, int32_t gc_percent, uint64_t memory_limit, uint64_t now_ns);
/* Other settings from now on. */
void pacer_tune(struct pacer *pacer, int32_t gc_percent, uint64_t memory_limit);
/* Whether a cycle should run before @bytes more are taken. */
bool pacer_is_due(const struct pacer *pacer, uint64_t bytes);
/* Whether it is the memory limit that decides when the next one starts. */
bool pacer_is_by_limit(const struct pacer *pacer);
/* Whether one should run because the last is long ago; @now_ns may be of a coarse clock. */
bool pacer_is_idle(const struct pacer *pacer, uint64_t now_ns);
/*
 * The size that the heap, in spans of @span_bytes, will have when the next cycle starts:
 * that is what SWEEP_START wants to know. 0: no cycle starts by growth or by a limit.
 */
uint64_t pacer_goal(const struct pacer *pacer, const struct pacer_cycle *cycle,
		    uint64_t span_bytes);
/* A cycle has ended: sets the next trigger. */
void pacer_cycle_ended(struct pacer *pacer, const struct pacer_cycle *cycle);

#endif /* GCHEAP_LIB_PACER_H */
