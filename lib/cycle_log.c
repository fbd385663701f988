// SPDX-License-Identifier: MIT
/*
 * The log of cycles, a line each, in the manner of Go's GODEBUG=gctrace=1:
 *
 *	gc 3 growth @0.120s 4%: stop 0.01 flush 0.02 roots 0.01 mark 1.2 sweep 0.03 ms,
 *	8->4->10 MiB, 1234 spans freed, device
 *
 *	gc 3		number of the cycle
 *	growth		why it ran: request, growth, limit, pressure, memory, idle
 *	@0.120s		since the heap was opened
 *	4%		of the processor time that the process has used, the part spent in
 *			cycles so far, this one included
 *	stop		until the other threads had stopped
 *	flush		flushing caches and MARK_START
 *	roots		reading roots
 *	mark		marking what they lead to; after it, where several markers had a part
 *			in that, "by 2 (1.2 0.9)": for how long each of them
 *	sweep		SWEEP_START, in the thread that ran the cycle, and the giving back of
 *			what is dead, if no worker does. The heap's threads are stopped for all
 *			five. Spans in which something lives are swept later, one by one, by
 *			whoever takes them, or by the worker: that is in no line
 *	8->4->10 MiB	bytes of slots in use at the start (found live by the last cycle,
 *			and taken since); found live by this one; at which the next cycle
 *			starts, - if none will
 *	1234 spans freed	in that time, because no object in them was marked; "swept by a
 *			kernel worker" when one does all of the sweep while the program goes
 *			on, and nobody knows yet how many these are, or how long it takes
 *	device		the backend
 */
#include "cycle_log.h"

#include <stdio.h>

#include "backend/backend.h"
#include "clock.h"
#include "library.h"
#include "report.h"

/* One write, so that lines of several processes do not mix. */
#define LINE_BYTES	1024

/* Two digits that count: 0.012, 1.2, 120. */
static void print_ms(char *buffer, size_t bytes, uint64_t ns)
{
	double ms = (double)ns / 1e6;

	snprintf(buffer, bytes, "%.*f", ms < 0.1 ? 3 : ms < 1 ? 2 : ms < 10 ? 1 : 0, ms);
}

static void print_mib(char *buffer, size_t bytes, uint64_t n)
{
	double mib = (double)n / (1 << 20);

	snprintf(buffer, bytes, "%.*f", mib < 10 ? 1 : 0, mib);
}

static const char *reason_name(enum cycle_reason reason)
{
	static const char *const names[] = {
		[CYCLE_NONE] = "none", [CYCLE_REQUEST] = "request", [CYCLE_GROWTH] = "growth",
		[CYCLE_LIMIT] = "limit", [CYCLE_PRESSURE] = "pressure",
		[CYCLE_MEMORY] = "memory", [CYCLE_IDLE] = "idle",
	};

	return names[reason];
}

static unsigned int share_percent(const struct gcheap *heap)
{
	uint64_t process_ns = clock_process_ns();

	if (!process_ns)
		return 0;
	return (unsigned int)(100.0 * (double)heap->cycle_cpu_ns / (double)process_ns + 0.5);
}

/* By whom, if not by one marker alone. */
static void print_markers(char *buffer, size_t bytes, const struct cycle *cycle)
{
	uint32_t markers = 0, i;
	size_t at;

	for (i = 0; i < cycle->markers && i < CYCLE_MARKERS; i++)
		markers += cycle->shares[i].ns != 0;
	buffer[0] = 0;
	if (markers < 2)
		return;
	at = (size_t)snprintf(buffer, bytes, " by %u (", markers);
	for (i = 0; i < cycle->markers && i < CYCLE_MARKERS; i++) {
		char ms[24];

		if (!cycle->shares[i].ns)
			continue;
		print_ms(ms, sizeof(ms), cycle->shares[i].ns);
		at += (size_t)snprintf(buffer + at, bytes - at, "%s%s", buffer[at - 1] == '(' ?
				       "" : " ", ms);
	}
	snprintf(buffer + at, bytes - at, ")");
}

/* How much of it is in user arenas, where there are any. */
static void print_arenas(char *buffer, size_t bytes, uint64_t n)
{
	char mib[24];

	buffer[0] = 0;
	if (!n)
		return;
	print_mib(mib, sizeof(mib), n);
	snprintf(buffer, bytes, " (%s in arenas)", mib);
}

void cycle_log(const struct gcheap *heap, const struct cycle *cycle)
{
	uint64_t open_ns = clock_ns() - heap->opened_ns;
	char stop[24], flush[24], roots[24], mark[24], sweep[24];
	char before[24], after[24], goal[24] = "-";
	char markers[CYCLE_MARKERS * 24 + 24];
	char arenas[48];
	char freed[40] = "swept by a kernel worker";
	char line[LINE_BYTES];

	print_ms(stop, sizeof(stop), cycle->stop_ns);
	print_ms(flush, sizeof(flush), cycle->flush_ns);
	print_ms(roots, sizeof(roots), cycle->roots_ns);
	print_ms(mark, sizeof(mark), cycle->mark_ns - cycle->roots_ns);
	print_markers(markers, sizeof(markers), cycle);
	print_ms(sweep, sizeof(sweep), cycle->sweep_ns);
	print_mib(before, sizeof(before), cycle->before_bytes);
	print_mib(after, sizeof(after), cycle->after_bytes);
	print_arenas(arenas, sizeof(arenas), cycle->arena_bytes);
	if (heap->pacer.trigger_bytes != UINT64_MAX)
		print_mib(goal, sizeof(goal), heap->pacer.live_bytes + heap->pacer.trigger_bytes);
	if (!cycle->is_sweep_background)
		snprintf(freed, sizeof(freed), "%llu spans freed",
			 (unsigned long long)cycle->freed_spans);
	snprintf(line, sizeof(line),
		 "gc %llu %s @%.3fs %u%%: stop %s flush %s roots %s mark %s%s sweep %s ms, "
		 "%s->%s->%s MiB%s, %s, %s\n",
		 (unsigned long long)heap->stats.cycles, reason_name(cycle->reason),
		 (double)open_ns / 1e9, share_percent(heap), stop, flush, roots, mark, markers,
		 sweep, before, after, goal, arenas, freed,
		 heap->backend->ops->kind == GCHEAP_BACKEND_DEVICE ? "device" : "local");
	report("%s", line);
}
