/* SPDX-License-Identifier: MIT */
/*
 * The library's view of one heap, shared by all its files.
 *
 * Files of lib/, each on those above it in the list:
 *	error		gcheap_error()
 *	clock		clock_ns()
 *	wipe_on_fork	memory that a child of fork() sees as zeros
 *	backend/	device, local: requests and regions; ring: sweeps in the background
 *	view		a heap's mapped regions
 *	address		from an address to its span, slot and bits
 *	layout/		where pointer metadata lives; typed pointers
 *	roots		registered roots; loaded: memory that the program loader knows
 *	slot_bits	a span's free slots from its alloc bits
 *	guard		what AddressSanitizer and valgrind know of the heap's memory
 *	cache		thread caches of slots; alloc_class: which cache a type has
 *	mark		the marker
 *	pacer		when to collect
 *	pressure	what to do when the system is short of memory
 *	limit		what to do when the heap is larger than its memory limit
 *	frame, stack	local roots; the stacks of a thread
 *	collect, cycle_log	a cycle: flush, mark, sweep; its line on stderr
 *	thread, alloc	attached threads; allocation
 *	barrier		what copies and clears will owe a collector beside the program
 *	inspect		find, pointer masks, stats; bad_pointer: where an address leads instead
 *	trim		giving free memory back
 *	verify		consistency of the whole heap; verify_write: of a new object
 *	type		type registration
 *	environment, config, open	configuration and environment; life of a heap
 *
 * Threads: one mutator is attached at a time, and all that allocates or collects
 * is called by it. Roots and types may be added by any thread: struct gcheap.lock
 * guards the roots and the declared stacks, and a backend serialises its requests.
 *
 * After fork() the child has no heap: its regions are not there. Every function
 * that touches them, or sends a request, asks heap_check() first; the inline
 * functions cannot, and therefore find caches without free slots in the child.
 */
#ifndef GCHEAP_LIB_LIBRARY_H
#define GCHEAP_LIB_LIBRARY_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <gcheap.h>
#include <linux/gcheap.h>

#include "view.h"

struct backend;
struct layout;
struct marker;
struct thread;

/**
 * struct root - registered roots
 * @start: what gcheap_root_add*() was given
 * @count: slots, elements or bytes, by @kind
 * @type: of typed roots
 * @mask: of typed roots whose type may have none: their own; else NULL
 * @mask_bytes: its length
 * @kind: how to read it
 * @next: in its bucket: the index of the next one, plus 1; 0: none. Of those with one
 *	address a later one comes first
 */
struct root {
	const void *start;
	size_t count;
	gcheap_type type;
	const uint64_t *mask;
	uint64_t mask_bytes;
	enum root_kind {
		ROOT_PRECISE,
		ROOT_TYPED,
		ROOT_AMBIGUOUS,
	} kind;
	size_t next;
};

/**
 * struct roots - the registered roots of a heap
 * @all: array, in no order
 * @count: how many
 * @capacity: room in @all, a power of two
 * @buckets: @capacity of them, by address: the index of the first root, plus 1
 * @mask_bytes: memory of the roots' own masks
 */
struct roots {
	struct root *all;
	size_t count, capacity;
	size_t *buckets;
	uint64_t mask_bytes;
};

/* A stack: [@low, @top). */
struct stack {
	const char *low;
	const char *top;
};

/**
 * struct stacks - the stacks that a program has declared
 * @all: array, by rising @low
 * @count: how many
 * @capacity: room in @all
 * @nested: there may be some inside of others; none overlaps another otherwise
 */
struct stacks {
	struct stack *all;
	size_t count, capacity;
	bool nested;
};

/**
 * struct pacer - when to collect
 * @gc_percent: growth that starts a cycle; negative: none does
 * @memory_limit: soft limit for live and taken bytes together, and for object memory
 *	(limit.c); 0: none
 * @taken_bytes: allocated since the last cycle, as far as caches have told: each
 *	tells when it asks for more. What they were granted and hold back does not
 *	count, so that a program of many types with few objects each, which holds
 *	a span for each, is not collected for that
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

/* Variants of a size class's spans: without and with heap bits at their tail. */
#define SLOT_BITS_VARIANTS	2

/**
 * struct gcheap - one heap
 * @view: the mapped regions
 * @backend: who answers requests
 * @layout: where pointer metadata lives
 * @flags: GCHEAP_* of the configuration
 * @trace_gc: print a line a cycle on stderr
 * @guard_bytes: guards (guard.h): what each object has behind it; 0: there are none
 * @lock: guards @roots and @stacks
 * @roots: registered roots
 * @stacks: declared stacks
 * @program_is_root: what the loader has mapped for writing is scanned
 * @pacer: when to collect
 * @pressure_seen: the number of events in CTRL that was acted on
 * @thread: the attached mutator, or NULL
 * @marker: kept between cycles
 * @owner_mark: memory that fork() wipes: not 0 in the process that opened the
 *	heap, 0 in a child of fork()
 * @slot_bits: by variant and size class: the pattern of a span's slots in a bit
 *	table; made on first use
 * @stats: figures that the library itself counts. @allocated_objects and
 *	@allocated_bytes lack what the caches have handed out since their last
 *	flush: cache_allocated() (thread.h) adds it
 * @verify_random: GCHEAP_VERIFY: where the next object is looked into
 * @opened_ns: when it was opened, CLOCK_MONOTONIC
 */
struct gcheap {
	struct view view;
	struct backend *backend;
	const struct layout *layout;
	uint32_t flags;
	bool trace_gc;
	uint32_t guard_bytes;
	pthread_mutex_t lock;
	struct roots roots;
	struct stacks stacks;
	bool program_is_root;
	struct pacer pacer;
	uint32_t pressure_seen;
	struct thread *thread;
	struct marker *marker;
	const uint32_t *owner_mark;
	uint64_t *slot_bits[SLOT_BITS_VARIANTS][128];
	struct gcheap_stats stats;
	uint64_t verify_random;
	uint64_t opened_ns;
};

/* ---- open.c ----------------------------------------------------------------- */

/**
 * heap_check() - may this process use the heap?
 * @heap: a heap, or NULL
 *
 * Return: 0; -EINVAL @heap is NULL; -EPERM this is a child of the process that
 * opened it. gcheap_error() is set.
 */
int heap_check(const struct gcheap *heap);

/* Whether each allocation goes the slow way, to be checked or guarded. */
static inline bool heap_is_checked(const struct gcheap *heap)
{
	return heap->flags & GCHEAP_VERIFY || heap->guard_bytes;
}

/* The same without an error message, for a heap that is not NULL. */
bool heap_is_here(const struct gcheap *heap);

/**
 * heap_type() - find a type
 * @heap: a heap that heap_check() has passed
 * @type: any number
 *
 * Return: its record, or NULL when no such type is registered.
 */
const struct gcheap_type_record *heap_type(const struct gcheap *heap, gcheap_type type);

/* ---- pacer.c ---------------------------------------------------------------- */

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

/* ---- roots.c ---------------------------------------------------------------- */

/* Forgets all roots; the heap may be a parent process's. */
void roots_destroy(struct roots *roots);

/* ---- pressure.c ------------------------------------------------------------- */

/* Whether a cycle should run because the kernel wants memory. */
bool pressure_is_due(struct gcheap *heap);
/* A cycle begins: the level of pressure that it answers to. */
uint32_t pressure_cycle_begins(struct gcheap *heap);
/* It has freed what was dead: gives memory back if that was the wish. */
void pressure_cycle_ended(struct gcheap *heap, uint32_t level);

/* ---- limit.c ---------------------------------------------------------------- */

/* Whether object memory is more than the heap's memory limit. */
bool limit_is_exceeded(const struct gcheap *heap);
/* Gives free memory back, if there is any, until the rest is within the limit. */
void limit_keep(struct gcheap *heap);

/* ---- collect.c -------------------------------------------------------------- */

/**
 * collect_before_alloc() - collect if it is time to
 * @thread: the calling mutator
 * @bytes: how much it is about to take
 *
 * A cycle that fails is no reason to fail the allocation: it is tried again. On a stack
 * that is not known, and while frames are lost, every cycle would fail, and the heap grow
 * until it is full.
 *
 * Return: 0; a cycle is due, and -EINVAL the thread is on an unknown stack, or -ENOMEM
 * there was no memory for a frame, with gcheap_error() set.
 */
int collect_before_alloc(struct thread *thread, uint64_t bytes);

/**
 * collect_now() - run a full cycle
 * @thread: the calling mutator
 *
 * Return: 0 or a negative errno, with gcheap_error() set. After an error nothing
 * has been freed that the cycle did not find dead, and the heap is in use as
 * before; its caches may be empty.
 */
int collect_now(struct thread *thread);

#endif /* GCHEAP_LIB_LIBRARY_H */
