/* SPDX-License-Identifier: MIT */
/*
 * One heap, as the files of the library share it, and what they all ask of it.
 *
 * Which file is above which: Documentation/layers.
 *
 * Threads: each that allocates is attached, and has caches of its own; what they share is
 * counted by atomics, or guarded by a lock. The world's lock (world.h) is held by who runs
 * a cycle, looks at other threads' caches, attaches or detaches; struct gcheap.lock guards
 * the roots and the declared stacks, which any thread may add, and one of their own the
 * specials (special.h); a backend serialises its requests.
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

#include "arena_chunk.h"
#include "hooks.h"
#include "pacer.h"
#include "roots.h"
#include "slot_bits.h"
#include "special.h"
#include "stack.h"
#include "view.h"

struct backend;
struct gcheap_stopped;
struct layout;
struct marker;
struct thread;

/**
 * struct holding - threads that the kernel holds (stop_kernel.h)
 * @is_used: it stops those of this heap that do not come to rest by themselves
 * @room: of how many threads it can tell at once
 * @stopped: what it tells; the library's own memory (memory.h)
 * @tids: which threads it is asked to stop; the same memory
 * @stop: the number of the stop that holds threads now; 0: there is none
 * @begin_ns: before that was asked for
 */
struct holding {
	bool is_used;
	uint32_t room;
	struct gcheap_stopped *stopped;
	uint32_t *tids;
	uint64_t stop;
	uint64_t begin_ns;
};

/**
 * struct world - a heap's threads (world.h)
 * @lock: of all of this; who runs a cycle holds it
 * @threads: those that are attached, linked by struct thread.next
 * @holding: those of them that the kernel holds
 */
struct world {
	pthread_mutex_t lock;
	struct thread *threads;
	struct holding holding;
};

/**
 * struct finalizer_thread - the library's own thread that runs finalizers (finalizer_thread.h)
 * @is_there: there is one; who closes the heap waits for this word to be 0
 * @work: it is to look at the queue; it waits for this word
 * @quits: there will be none any more
 * @was_made: there was one
 * @thread: the last one. This and the one before are its own to write
 */
struct finalizer_thread {
	uint32_t is_there;
	uint32_t work;
	uint32_t quits;
	bool was_made;
	pthread_t thread;
};

/**
 * struct gcheap - one heap
 * @view: the mapped regions
 * @backend: who answers requests
 * @layout: where pointer metadata lives
 * @flags: GCHEAP_* of the configuration
 * @stop_by_signal: threads that do not come to rest by themselves are stopped by a signal
 * @trace_gc: print a line a cycle on stderr
 * @guard_bytes: guards (guard.h): what each object has behind it; 0: there are none
 * @lock: guards @roots and @stacks
 * @roots: registered roots
 * @stacks: declared stacks
 * @specials: what is special about single objects
 * @arenas: user arenas
 * @finalizer_thread: who runs what these have queued
 * @probe: the key of the object of which the next cycle tells whether roots reach it; 0: none
 * @probe_is_reached: what the last one told
 * @hooks: functions of the program that it calls
 * @program_is_root: what the loader has mapped for writing is scanned
 * @pacer: when to collect
 * @pressure_seen: the number of events in CTRL that was acted on
 * @world: the attached mutators
 * @marker: kept between cycles
 * @references: one of the program, until it is closed, and one of each handle that another
 *	thread had then: that thread may just be looking where it stands with this heap
 * @is_closed: only the handles lead here
 * @owner_mark: memory that fork() wipes: not 0 in the process that opened the
 *	heap, 0 in a child of fork()
 * @slot_bits: where the slots of spans have their bits
 * @stats: figures that the library itself counts, but for what was allocated; cycles write
 *	them
 * @allocated_objects: handed out in all, without what caches have since their last flush,
 *	which cache_allocated() adds. All threads add to it
 * @allocated_bytes: of these
 * @verify_random: GCHEAP_VERIFY: where the next object is looked into
 * @opened_ns: when it was opened, CLOCK_MONOTONIC
 * @cycle_cpu_ns: processor time of the process in all cycles; counted with @trace_gc alone
 */
struct gcheap {
	struct view view;
	struct backend *backend;
	const struct layout *layout;
	uint32_t flags;
	bool stop_by_signal;
	bool trace_gc;
	uint32_t guard_bytes;
	pthread_mutex_t lock;
	struct roots roots;
	struct stacks stacks;
	struct specials specials;
	struct arenas arenas;
	struct finalizer_thread finalizer_thread;
	uint64_t probe;
	bool probe_is_reached;
	struct hooks hooks;
	bool program_is_root;
	struct pacer pacer;
	uint32_t pressure_seen;
	struct world world;
	struct marker *marker;
	uint32_t references;
	bool is_closed;
	uint32_t *owner_mark;
	struct slot_bits slot_bits;
	struct gcheap_stats stats;
	uint64_t allocated_objects;
	uint64_t allocated_bytes;
	uint64_t verify_random;
	uint64_t opened_ns;
	uint64_t cycle_cpu_ns;
};

/* A heap of zeros that is here, with one reference; NULL: no memory. */
struct gcheap *heap_alloc(void);
/* Gives a reference back. */
void heap_put(struct gcheap *heap);

/**
 * heap_check() - may this process use the heap?
 * @heap: a heap, or NULL
 *
 * Return: 0; -EINVAL @heap is NULL, or closed, or the caller is in a hook's cycle_begins(); -EPERM
 * this is a child of the process that opened it. gcheap_error() is set.
 */
int heap_check(const struct gcheap *heap);

/* Whether the calling thread is in a hook's cycle_begins(), of a heap that is not NULL. */
bool heap_is_beginning(const struct gcheap *heap);

/* heap_check() without an error message, for a heap that is not NULL. */
bool heap_is_here(const struct gcheap *heap);

/* Whether each allocation goes the slow way, to be checked or guarded. */
static inline bool heap_is_checked(const struct gcheap *heap)
{
	return heap->flags & GCHEAP_VERIFY || heap->guard_bytes;
}

/**
 * heap_type() - find a type
 * @heap: a heap that heap_check() has passed
 * @type: any number
 *
 * Return: its record, or NULL when no such type is registered.
 */
const struct gcheap_type_record *heap_type(const struct gcheap *heap, gcheap_type type);

#endif /* GCHEAP_LIB_LIBRARY_H */
