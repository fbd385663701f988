/* SPDX-License-Identifier: MIT */
/*
 * The library's view of one heap, shared by all its files.
 *
 * Files of lib/, each on those above it in the list:
 *	error		gcheap_error()
 *	backend/	device, local: requests and regions
 *	layout/		where pointer metadata lives; typed pointers
 *	view		from an address to its span, slot and bits
 *	roots		registered roots
 *	cache, alloc	thread caches of slots; allocation
 *	mark		the marker
 *	collect		a cycle: flush, mark, sweep; when to start one; the trace
 *	inspect		find, pointer masks, stats
 *	verify		consistency of the whole heap
 *	type		type registration
 *	open		configuration, environment, life of a heap
 */
#ifndef GCHEAP_LIB_HEAP_H
#define GCHEAP_LIB_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <gcheap.h>
#include <linux/gcheap.h>

struct backend;
struct layout;
struct marker;
struct thread;

/**
 * struct view - the mapped regions of a heap, and arithmetic on them
 * @base: start of the HEAP region, aligned to an arena
 * @reserve_bytes: its length
 * @pages: PAGES
 * @spans: SPANS
 * @types: TYPES, by byte offset
 * @marks: the two bit tables
 * @page_marks: one bit a heap page
 * @ctrl: CTRL
 */
struct view {
	char *base;
	uint64_t reserve_bytes;
	const uint64_t *pages;
	const struct gcheap_span *spans;
	const char *types;
	uint64_t *marks[2];
	uint64_t *page_marks;
	const struct gcheap_ctrl *ctrl;
};

/**
 * struct root - registered roots
 * @start: what gcheap_root_add*() was given
 * @count: slots, elements or bytes, by @kind
 * @type: of typed roots
 * @kind: how to read it
 */
struct root {
	const void *start;
	size_t count;
	gcheap_type type;
	enum root_kind {
		ROOT_PRECISE,
		ROOT_TYPED,
		ROOT_AMBIGUOUS,
	} kind;
};

/**
 * struct roots - the registered roots of a heap
 * @all: array
 * @count: how many
 * @capacity: room in @all
 */
struct roots {
	struct root *all;
	size_t count, capacity;
};

/**
 * struct pacer - when to collect
 * @gc_percent: growth that starts a cycle; negative: only on request
 * @memory_limit: soft limit in bytes; 0: none
 * @granted_bytes: bytes of slots and large objects taken since the last cycle
 * @trigger_bytes: a cycle starts before more than this is taken
 * @live_bytes: found by the last cycle
 */
struct pacer {
	int32_t gc_percent;
	uint64_t memory_limit;
	uint64_t granted_bytes;
	uint64_t trigger_bytes;
	uint64_t live_bytes;
};

/**
 * struct gcheap - one heap
 * @view: the mapped regions
 * @backend: who answers requests
 * @layout: where pointer metadata lives
 * @flags: GCHEAP_* of the configuration
 * @trace_gc: print a line a cycle on stderr
 * @roots: registered roots
 * @pacer: when to collect
 * @thread: the attached mutator, or NULL
 * @marker: kept between cycles
 * @owner_pid: who opened it: after fork the child has no heap
 * @slot_bits: by size class and variant: the pattern of a span's slots in a bit
 *	table; made on first use
 * @stats: figures that the library itself counts
 */
struct gcheap {
	struct view view;
	struct backend *backend;
	const struct layout *layout;
	uint32_t flags;
	bool trace_gc;
	struct roots roots;
	struct pacer pacer;
	struct thread *thread;
	struct marker *marker;
	int owner_pid;
	uint64_t *slot_bits[2][128];
	struct gcheap_stats stats;
	uint64_t opened_ns;
};

/* ---- error.c ---------------------------------------------------------------- */

/* Sets this thread's gcheap_error() line and returns @error (a negative errno). */
int error_set(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same for functions that return NULL: sets errno too. */
void *error_null(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- collect.c -------------------------------------------------------------- */

/* Before @bytes more are taken: collect if it is time to. Caller: a mutator. */
void collect_before_alloc(struct thread *thread, uint64_t bytes);
/* A full cycle now. 0 or a negative errno. */
int collect_now(struct thread *thread);

#endif /* GCHEAP_LIB_HEAP_H */
