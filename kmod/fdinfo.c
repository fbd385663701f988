// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * A heap's figures in /proc/PID/fdinfo/FD, for whoever may read that: one line
 * each, "gcheap-name:<tab>value", memory in KiB as DRM's fdinfo has it. The names
 * of counters are those of struct gcheap_counters, without _bytes.
 *
 * The figures are those of CTRL: exact between requests. A reader waits for no lock but a
 * spinlock, so that it can look at a heap which is busy, or whose owner is stopped in a
 * request.
 */
#include <linux/seq_file.h>

#include "fdinfo.h"
#include "module.h"

struct figure {
	const char *name;
	size_t offset;
	bool is_bytes;
};

#define BYTES(name)	{ #name, offsetof(struct gcheap_counters, name##_bytes), true }
#define COUNT(name)	{ #name, offsetof(struct gcheap_counters, name), false }

static const struct figure figures[] = {
	BYTES(resident),
	BYTES(table),
	BYTES(free),
	BYTES(stock),
	BYTES(huge),
	BYTES(zeroed),
	BYTES(released),
	COUNT(heap_pages),
	COUNT(in_use_pages),
	COUNT(spans),
	COUNT(cached_spans),
	COUNT(unswept_spans),
	COUNT(swept_spans),
	COUNT(freed_spans),
	COUNT(freed_unread_spans),
	COUNT(refills),
	COUNT(refilled_spans),
	COUNT(large_objects),
	COUNT(types),
	COUNT(reclaimed_pages),
	COUNT(chunks),
	COUNT(quarantined_pages),
	COUNT(faults),
	COUNT(bad_faults),
	COUNT(tracks),
	COUNT(dirty_pages),
};

static const char *const layout_names[] = {
	[GCHEAP_LAYOUT_SPAN] = "span",
	[GCHEAP_LAYOUT_HEADER] = "header",
	[GCHEAP_LAYOUT_FOOTER] = "footer",
	[GCHEAP_LAYOUT_BITMAP] = "bitmap",
};

static const char *const pressure_names[] = {
	[GCHEAP_PRESSURE_NONE] = "none",
	[GCHEAP_PRESSURE_LOW] = "low",
	[GCHEAP_PRESSURE_HIGH] = "high",
	[GCHEAP_PRESSURE_LIMIT] = "limit",
};

/**
 * fdinfo_show() - ->show_fdinfo()
 * @seq: where to
 * @file: the heap's file
 */
void fdinfo_show(struct seq_file *seq, struct file *file)
{
	struct gcheap_heap *heap = file->private_data;
	struct gcheap_ctrl ctrl = {};
	const char *state = "new";
	size_t i;

	spin_lock(&heap->pressure.lock);
	if (heap->pressure.ctrl) {
		state = "live";
		/* A request may be publishing: each figure is of before or after it. */
		data_race(memcpy(&ctrl, heap->pressure.ctrl, sizeof(ctrl)));
	} else if (heap->pressure.ended) {
		state = "ended";
	}
	spin_unlock(&heap->pressure.lock);

	seq_printf(seq, "gcheap-heap:\t%u\n", heap->id);
	seq_printf(seq, "gcheap-state:\t%s\n", state);
	if (!ctrl.abi)
		return;
	seq_printf(seq, "gcheap-layout:\t%s\n", layout_names[ctrl.layout]);
	seq_printf(seq, "gcheap-reserve:\t%llu KiB\n",
		   heap->region_bytes[GCHEAP_REGION_HEAP] >> 10);
	seq_printf(seq, "gcheap-phase:\t%s\n", ctrl.phase == GCHEAP_PHASE_MARK ? "mark" : "idle");
	seq_printf(seq, "gcheap-generation:\t%u\n", ctrl.generation);
	seq_printf(seq, "gcheap-pressure:\t%s\n", pressure_names[ctrl.pressure]);
	seq_printf(seq, "gcheap-pressure_sequence:\t%u\n", ctrl.pressure_sequence);
	seq_printf(seq, "gcheap-lost:\t%lu KiB\n",
		   atomic_long_read(&heap->lost_pages) << (PAGE_SHIFT - 10));
	for (i = 0; i < ARRAY_SIZE(figures); i++) {
		u64 value = *(u64 *)((char *)&ctrl.counters + figures[i].offset);

		if (figures[i].is_bytes)
			seq_printf(seq, "gcheap-%s:\t%llu KiB\n", figures[i].name, value >> 10);
		else
			seq_printf(seq, "gcheap-%s:\t%llu\n", figures[i].name, value);
	}
}
