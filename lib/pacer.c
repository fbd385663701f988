// SPDX-License-Identifier: MIT
/*
 * When to collect.
 *
 * A cycle starts when the program has taken gc_percent of what the last cycle
 * found live, but not before it has taken PACER_MIN: marking costs in proportion
 * to what is live, so the cost an allocated byte is bounded, and a small heap
 * recycles memory that is still in the processor's cache.
 *
 * The memory limit lowers the trigger, down to PACER_LIMIT_MIN: a program whose
 * live data alone is over its limit goes on, slower, rather than in a loop of
 * cycles that find nothing. With a limit and gc_percent -1, cycles start by the
 * limit alone; with neither, on request and when memory runs out.
 */
#include "heap.h"

#define PACER_MIN	((uint64_t)4 << 20)
#define PACER_LIMIT_MIN	((uint64_t)1 << 20)

static uint64_t pacer_trigger(const struct pacer *pacer)
{
	uint64_t trigger = UINT64_MAX;

	if (pacer->gc_percent >= 0) {
		/* Divided first: no product of a live heap and a percentage overflows. */
		trigger = pacer->live_bytes / 100 * (uint32_t)pacer->gc_percent;
		if (trigger < PACER_MIN)
			trigger = PACER_MIN;
	}
	if (pacer->memory_limit) {
		uint64_t room = 0;

		if (pacer->memory_limit > pacer->live_bytes)
			room = pacer->memory_limit - pacer->live_bytes;
		if (room < PACER_LIMIT_MIN)
			room = PACER_LIMIT_MIN;
		if (trigger > room)
			trigger = room;
	}
	return trigger;
}

void pacer_init(struct pacer *pacer, int32_t gc_percent, uint64_t memory_limit)
{
	*pacer = (struct pacer) { .gc_percent = gc_percent, .memory_limit = memory_limit };
	pacer->trigger_bytes = pacer_trigger(pacer);
}

bool pacer_is_due(const struct pacer *pacer, uint64_t bytes)
{
	uint64_t granted = pacer->granted_bytes;

	/* One object larger than the trigger: what was just collected is not again. */
	return granted && (granted >= pacer->trigger_bytes ||
			   bytes > pacer->trigger_bytes - granted);
}

void pacer_cycle_ended(struct pacer *pacer, uint64_t live_bytes)
{
	pacer->live_bytes = live_bytes;
	pacer->granted_bytes = 0;
	pacer->trigger_bytes = pacer_trigger(pacer);
}
