// SPDX-License-Identifier: MIT
/*
 * When to collect, by what it costs.
 *
 * A cycle starts when the program has taken gc_percent of what the last cycle found live:
 * marking costs in proportion to what is live, so that the cost an allocated byte is
 * bounded. For little live data that is too early: what a cycle costs beside it (stop,
 * roots, requests), and marking itself where the program allocates fast, is measured, and
 * the program may take so much that cycles are a small part of its time:
 *
 *	least growth = cost of a cycle / cost that an allocated byte may have for it
 *
 * where an allocated byte may cost PACER_SHARE of what the program itself spends on it
 * (the time between two cycles by the bytes taken meanwhile), and PACER_BYTE_PS always,
 * because that is what it costs not to collect: a program that drops what it allocates
 * and is collected often reuses memory that is still in its core's cache. Measured on a
 * core with 2 MiB of second-level cache, ns an object of 64 and 1024 bytes allocated and
 * dropped, cycles included, by trigger:
 *
 *	1 MiB	3.9	45
 *	2 MiB	4.4	54
 *	4 MiB	4.6	65
 *
 * The least growth is PACER_MIN to PACER_MAX, and with little live data no more than
 * PACER_PER_WORK times that. gc_percent scales these two.
 *
 * The memory limit lowers the trigger, but not so far that cycles take more than half of
 * the time: a program whose live data alone is over its limit goes on, slower, rather
 * than in a loop of cycles that find nothing (Go's rule for GOMEMLIMIT). With a limit and
 * gc_percent -1, cycles start by the limit alone; with neither, on request and when
 * memory runs out.
 *
 * A heap whose program takes little is collected all the same when it has not been for
 * PACER_IDLE_NS, unless cycles do not start by growth: what it dropped goes back.
 */
#include "pacer.h"

#define PACER_MIN		((uint64_t)1 << 20)
#define PACER_MAX		((uint64_t)24 << 20)
/* Of live data, roots included; PACER_MAX_LEAST is granted always. */
#define PACER_PER_WORK		3
#define PACER_MAX_LEAST		((uint64_t)4 << 20)

/* Picoseconds of a cycle that each allocated byte may cost. */
#define PACER_BYTE_PS		15
/* The part of the program's own time for a byte that it may cost, if that is more. */
#define PACER_SHARE		8

/* What is believed before there was a cycle: a nanosecond a byte. */
#define PACER_FIRST_PS		1000
/* Fewer bytes tell nothing of how fast the program takes them. */
#define PACER_TELLING_BYTES	((uint64_t)256 << 10)

static uint64_t clamp(uint64_t value, uint64_t least, uint64_t most)
{
	return value < least ? least : value > most ? most : value;
}

/* @bytes times gc_percent / 100; divided first, so that no product overflows. */
static uint64_t pacer_percent(const struct pacer *pacer, uint64_t bytes)
{
	return bytes / 100 * (uint32_t)pacer->gc_percent;
}

/* The least growth that pays for the next cycle. */
static uint64_t pacer_least(const struct pacer *pacer)
{
	uint64_t work = pacer->live_bytes + pacer->root_bytes;
	uint64_t most = PACER_MAX;
	uint64_t byte_ps = pacer->program_byte_ps / PACER_SHARE;

	if (work < PACER_MAX / PACER_PER_WORK)
		most = clamp(work * PACER_PER_WORK, PACER_MAX_LEAST, PACER_MAX);
	most = pacer_percent(pacer, most);
	if (byte_ps < PACER_BYTE_PS)
		byte_ps = PACER_BYTE_PS;
	/* No cycle costs the 5 hours from which on this overflows. */
	return clamp(pacer->cycle_ns * 1000 / byte_ps, PACER_MIN, most > PACER_MIN ? most :
		     PACER_MIN);
}

/* How much may be taken if the heap shall not exceed its limit; see the top. */
static uint64_t pacer_room(const struct pacer *pacer)
{
	uint64_t room = 0;
	uint64_t half_of_the_time = pacer->cycle_ns * 1000 / (pacer->program_byte_ps + 1);

	if (pacer->memory_limit > pacer->live_bytes)
		room = pacer->memory_limit - pacer->live_bytes;
	if (room < half_of_the_time)
		room = half_of_the_time;
	return room < PACER_MIN ? PACER_MIN : room;
}

static uint64_t pacer_trigger(const struct pacer *pacer)
{
	uint64_t trigger = UINT64_MAX;

	if (pacer->gc_percent >= 0) {
		uint64_t least = pacer_least(pacer);

		trigger = pacer_percent(pacer, pacer->live_bytes);
		if (trigger < least)
			trigger = least;
	}
	if (pacer->memory_limit) {
		uint64_t room = pacer_room(pacer);

		if (trigger > room)
			trigger = room;
	}
	return trigger;
}

void pacer_tune(struct pacer *pacer, int32_t gc_percent, uint64_t memory_limit)
{
	uint64_t trigger;

	__atomic_store_n(&pacer->gc_percent, gc_percent, __ATOMIC_RELAXED);
	__atomic_store_n(&pacer->memory_limit, memory_limit, __ATOMIC_RELAXED);
	trigger = pacer_trigger(pacer);
	__atomic_store_n(&pacer->trigger_bytes, trigger, __ATOMIC_RELAXED);
}

void pacer_init(struct pacer *pacer, int32_t gc_percent, uint64_t memory_limit, uint64_t now_ns)
{
	*pacer = (struct pacer) { .program_byte_ps = PACER_FIRST_PS, .ended_ns = now_ns };
	pacer_tune(pacer, gc_percent, memory_limit);
}

bool pacer_is_due(const struct pacer *pacer, uint64_t bytes)
{
	uint64_t taken = pacer_taken(pacer);
	uint64_t trigger = __atomic_load_n(&pacer->trigger_bytes, __ATOMIC_RELAXED);

	/* One object larger than the trigger: what was just collected is not again. */
	return taken && (taken >= trigger || bytes > trigger - taken);
}

bool pacer_is_by_limit(const struct pacer *pacer)
{
	return pacer->memory_limit && pacer->trigger_bytes == pacer_room(pacer);
}

bool pacer_is_idle(const struct pacer *pacer, uint64_t now_ns)
{
	uint64_t ended_ns = __atomic_load_n(&pacer->ended_ns, __ATOMIC_RELAXED);

	/* A coarse clock may be behind the one that the cycle's end was read from. */
	return __atomic_load_n(&pacer->gc_percent, __ATOMIC_RELAXED) >= 0 &&
	       pacer_taken(pacer) && now_ns > ended_ns &&
	       now_ns - ended_ns >= PACER_IDLE_NS;
}

/* One cycle that was interrupted by who knows what counts twice at most. */
static uint64_t moderate(uint64_t before, uint64_t now)
{
	if (before && now > 2 * before)
		now = 2 * before;
	return before ? (before + now) / 2 : now;
}

static void pacer_learn(struct pacer *pacer, const struct pacer_cycle *cycle)
{
	uint64_t program_ns = cycle->begin_ns > pacer->ended_ns ?
			      cycle->begin_ns - pacer->ended_ns : 0;
	uint64_t taken = pacer_taken(pacer);

	pacer->live_bytes = cycle->live_bytes;
	pacer->root_bytes = cycle->root_bytes;
	pacer->cycle_ns = moderate(pacer->cycle_ns, cycle->cost_ns);
	/* A program that waits for something has time: it is the fast ones that count. */
	if (taken >= PACER_TELLING_BYTES) {
		uint64_t byte_ps = program_ns * 1000 / taken;

		pacer->program_byte_ps = byte_ps < pacer->program_byte_ps ? byte_ps :
					 moderate(pacer->program_byte_ps, byte_ps);
	}
}

uint64_t pacer_goal(const struct pacer *pacer, const struct pacer_cycle *cycle,
		    uint64_t span_bytes)
{
	struct pacer next = *pacer;
	uint64_t trigger, goal;

	pacer_learn(&next, cycle);
	trigger = pacer_trigger(&next);
	if (trigger == UINT64_MAX || __builtin_add_overflow(span_bytes, trigger, &goal))
		return 0;
	return goal;
}

void pacer_cycle_ended(struct pacer *pacer, const struct pacer_cycle *cycle)
{
	uint64_t trigger;

	pacer_learn(pacer, cycle);
	trigger = pacer_trigger(pacer);
	__atomic_store_n(&pacer->taken_bytes, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&pacer->ended_ns, cycle->begin_ns + cycle->cost_ns, __ATOMIC_RELAXED);
	__atomic_store_n(&pacer->trigger_bytes, trigger, __ATOMIC_RELAXED);
}
