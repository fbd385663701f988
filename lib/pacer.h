/* SPDX-License-Identifier: MIT */
/*
 * When to collect (pacer.c).
 */
#ifndef GCHEAP_LIB_PACER_H
#define GCHEAP_LIB_PACER_H

#include <stdbool.h>
#include <stdint.h>

/**
 * struct pacer - when to collect
 * @gc_percent: growth that starts a cycle; negative: none does
 * @memory_limit: soft limit for live and taken bytes together, and for object memory
 *	(limit.c); 0: none
 * @taken_bytes: allocated since the last cycle, as far as caches have told: each
 *	tells when it asks for more. What they were granted and hold back does not
 *	count, so that a program of many types with few objects each, which holds
 *	a span for each, is not collected for that. All threads add to it; the others are
 *	set by cycles, while no other thread runs
 * @trigger_bytes: a cycle starts before more than this is taken
 * @live_bytes: found by the last cycle
 */
struct pacer {
	int32_t gc_percent;
	uint64_t memory_limit;
	uint64_t taken_bytes;
	uint64_t trigger_bytes;
	uint64_t live_bytes;
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

/* Sets the first trigger. */
void pacer_init(struct pacer *pacer, int32_t gc_percent, uint64_t memory_limit);
/* Whether a cycle should run before @bytes more are taken. */
bool pacer_is_due(const struct pacer *pacer, uint64_t bytes);
/*
 * The size that the heap will have when the next cycle starts, if this one goes
 * through @root_bytes and finds @live_bytes, in spans of @span_bytes: that is what
 * SWEEP_START wants to know. 0: no cycle starts by growth or by a limit.
 */
uint64_t pacer_goal(const struct pacer *pacer, uint64_t live_bytes, uint64_t root_bytes,
		    uint64_t span_bytes);
/* A cycle went through @root_bytes and found @live_bytes: sets the next trigger. */
void pacer_cycle_ended(struct pacer *pacer, uint64_t live_bytes, uint64_t root_bytes);

#endif /* GCHEAP_LIB_PACER_H */
