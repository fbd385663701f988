// SPDX-License-Identifier: MIT
/*
 * The log of cycles: in the manner of Go's GODEBUG=gctrace=1,
 *
 *	gc 3 @0.120s 4%: 0.01+1.2+0.03 ms, 8->4 MiB, 10 MiB goal, 1234 spans freed, device
 *
 *	gc 3			number of the cycle
 *	@0.120s			since the heap was opened
 *	4%			of that time spent in cycles so far, this one included
 *	0.01+1.2+0.03 ms	until the other threads had stopped, flushing caches and
 *				MARK_START; marking; SWEEP_START. The heap's threads are
 *				stopped for all three
 *	8->4 MiB		bytes of slots in use at the start (found live by the
 *				last cycle, and taken since); found live by this one
 *	10 MiB goal		at which the next cycle starts; - if none will
 *	1234 spans freed	because no object in them was marked; "swept in the
 *				background" when nobody knows yet how many these are
 *	device			the backend
 */
#include "cycle_log.h"

#include <stdio.h>

#include "backend/backend.h"
#include "clock.h"
#include "library.h"
#include "report.h"

/* One write, so that lines of several processes do not mix. */
#define LINE_BYTES	256

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

void cycle_log(const struct gcheap *heap, const struct cycle *cycle)
{
	uint64_t open_ns = clock_ns() - heap->opened_ns;
	char flush[24], mark[24], sweep[24], before[24], after[24], goal[24] = "-";
	char freed[40] = "swept in the background";
	char line[LINE_BYTES];

	print_ms(flush, sizeof(flush), cycle->stop_ns + cycle->flush_ns);
	print_ms(mark, sizeof(mark), cycle->mark_ns);
	print_ms(sweep, sizeof(sweep), cycle->sweep_ns);
	print_mib(before, sizeof(before), cycle->before_bytes);
	print_mib(after, sizeof(after), cycle->after_bytes);
	if (heap->pacer.trigger_bytes != UINT64_MAX)
		print_mib(goal, sizeof(goal), heap->pacer.live_bytes + heap->pacer.trigger_bytes);
	if (!cycle->is_sweep_background)
		snprintf(freed, sizeof(freed), "%llu spans freed",
			 (unsigned long long)cycle->freed_spans);
	snprintf(line, sizeof(line),
		 "gc %llu @%.3fs %.0f%%: %s+%s+%s ms, %s->%s MiB, %s MiB goal, %s, %s\n",
		 (unsigned long long)heap->stats.cycles, (double)open_ns / 1e9,
		 open_ns ? 100.0 * (double)heap->stats.pause_ns_total / (double)open_ns : 0.0,
		 flush, mark, sweep, before, after, goal, freed,
		 heap->backend->ops->kind == GCHEAP_BACKEND_DEVICE ? "device" : "local");
	report("%s", line);
}
