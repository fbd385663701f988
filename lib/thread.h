/* SPDX-License-Identifier: MIT */
/*
 * Attached threads (thread.c), with what the files that allocate and collect keep for each:
 * its caches (cache.h), its allocation classes (alloc_class.h) and its frames (frame.h).
 */
#ifndef GCHEAP_LIB_THREAD_H
#define GCHEAP_LIB_THREAD_H

#include "alloc_class.h"
#include "cache.h"
#include "frame.h"
#include "library.h"
#include "loaded.h"
#include "stack.h"

#define THREAD_BUCKETS_SHIFT		8
#define THREAD_BUCKETS			(1u << THREAD_BUCKETS_SHIFT)
#define THREAD_ALLOC_CLASSES_SHIFT	11
#define THREAD_ALLOC_CLASSES		(1u << THREAD_ALLOC_CLASSES_SHIFT)
#define THREAD_MEMOS			128u
#define THREAD_SIZE_CLASSES		128u

struct entry_state;
struct gcheap_stopped;

/* Whether a thread's stack, frames and caches may be looked at (world.h). */
enum thread_state { THREAD_RUNS, THREAD_RESTS };

/* Words of the frame of a function that saves all registers of its caller's. */
#define REST_REGISTERS	64u

/**
 * struct rest - where a thread can be read while it rests
 * @state: an enum thread_state; who waits for the thread waits for this word to change
 * @is_anywhere: a signal or the kernel stopped it, wherever it was in the program: perhaps in the
 *	middle of an inline function
 * @sp: its stack is read from here up
 * @stack: the stack that it is on; @top is NULL: on none that is known. Of a thread that a
 *	signal stopped, the stack of signal handlers, until the collector has looked which it is
 * @is_signalled: the collector's: the signal was sent
 * @held: the collector's: the kernel has stopped it (stop_kernel.h), and tells this of it; NULL: it
 *	has not. The thread itself does not know, and its @state is that it runs
 * @has_contexts: the collector's: its stack leads to others that nobody has declared
 * @registers: what it had in registers when it parked, or when it was stopped anywhere; else
 *	zeros, and they lie above @sp
 * @vector: when a signal stopped it: where the kernel has saved its vector registers; else NULL.
 *	At a call there is nothing in them
 * @vector_bytes: the length of that
 */
struct rest {
	uint32_t state;
	bool is_anywhere;
	bool is_signalled;
	bool has_contexts;
	const struct gcheap_stopped *held;
	const char *sp;
	struct stack stack;
	uintptr_t registers[REST_REGISTERS];
	const void *vector;
	size_t vector_bytes;
};

/**
 * struct thread - one attached mutator
 * @fast: what the inline functions use; must be first
 * @heap: its heap, with a reference while it is an orphan
 * @number: no other attachment of the process has it, though its handle may be in the same memory
 * @is_of_library: it is the library's own (finalizer_thread.h)
 * @is_orphan: another thread has closed the heap: what is left is its own thread's to free,
 *	which may be reading it
 * @next: of the heap's threads
 * @own_next: of the same system thread's
 * @self: who it is
 * @tid: the same for people and the kernel
 * @entry: whether it is in the library; who has it held may write there
 * @pointer: the thread pointer, where thread-local storage is found from
 * @rest: where it can be read
 * @is_resting: it rests, as far as it itself knows: the same as @rest.state, but that it does
 *	not change while the thread waits to run again
 * @is_parked: gcheap_park() was called, and gcheap_unpark() not yet
 * @entries: how often it had been in the library when it was last stopped anywhere
 * @is_in_hook: the heap has called a function of the program by it (hooks.h)
 * @is_holding: it has not been in the library since it was stopped in the middle of the
 *	program: slots of its caches are held (cache.h)
 * @native: the stack that it was born with, if it was found
 * @tls_is_root: its thread-local storage is scanned
 * @tls_table: where other threads find that
 * @frames_lost: frames for which there was no memory
 * @frames_reported: it was said that a frame's end was skipped
 * @array_next: by type, as @fast.arrays: links those that have a table
 * @array_first: the first type that has one; 0: none
 * @type_alloc_classes: by type: of single objects; NULL: not made yet, or the type's
 *	objects are large. @fast.type_count entries, as @fast.types
 * @type_next: by type: the next one of the same allocation class; 0: none
 * @noscan_caches: by size class: for objects of which the heap knows nothing
 * @caches: all its caches
 * @free_caches: what allocation classes that went back to mixed spans have left
 * @making: a large object that is being zeroed, or NULL: a root, with anything in it, for cycles
 *	that run meanwhile
 * @filling: the cache that is being filled: a cycle may run meanwhile
 * @buckets: the caches by key
 * @alloc_classes: the allocation classes by key
 * @alloc_class_blocks: their memory
 * @alloc_class_used: how many of the first block are in use
 * @own_alloc_classes: how many could be mixed and have own spans
 * @flushes: how many there were
 * @memos: see struct alloc_class_memo
 * @blocks: memory of the caches
 * @memory_bytes: what all its tables take, for who asks for figures
 */
struct thread {
	struct gcheap_thread fast;
	struct gcheap *heap;
	uint64_t number;
	bool is_of_library;
	bool is_orphan;
	struct thread *next;
	struct thread *own_next;
	pthread_t self;
	pid_t tid;
	struct entry_state *entry;
	uintptr_t pointer;
	struct rest rest;
	bool is_resting;
	bool is_parked;
	bool is_in_hook;
	bool is_holding;
	unsigned int entries;
	struct native_stack native;
	bool tls_is_root;
	struct tls_table tls_table;
	bool frames_reported;
	struct frames_lost frames_lost;
	gcheap_type *array_next;
	gcheap_type array_first;
	struct alloc_class **type_alloc_classes;
	gcheap_type *type_next;
	struct cache *noscan_caches[THREAD_SIZE_CLASSES];
	struct cache *caches;
	struct cache *free_caches;
	char *making;
	struct cache *filling;
	struct cache *buckets[THREAD_BUCKETS];
	struct alloc_class *alloc_classes[THREAD_ALLOC_CLASSES];
	struct alloc_class_block *alloc_class_blocks;
	uint32_t alloc_class_used;
	uint32_t own_alloc_classes;
	uint32_t flushes;
	struct alloc_class_memo memos[THREAD_MEMOS];
	struct cache_block *blocks;
	uint64_t memory_bytes;
};

/* Whether a cycle of its heap has to wait for it. */
static inline bool thread_is_running(const struct thread *thread)
{
	return !thread->rest.held &&
	       __atomic_load_n(&thread->rest.state, __ATOMIC_SEQ_CST) == THREAD_RUNS;
}

#define THREAD_IS_IN_HOOK	"a hook may not do that (struct gcheap_hooks): have it done " \
				"when it has returned"

/* Why a thread may neither allocate nor collect now, for people; NULL: it may. */
static inline const char *thread_hindrance(const struct thread *thread)
{
	if (thread->is_parked)
		return "the thread is parked: call gcheap_unpark() before it allocates or collects";
	return thread->is_in_hook ? THREAD_IS_IN_HOOK : NULL;
}

/* The calling thread is the library's own, for this heap; NULL: not any more. */
void thread_serve(const struct gcheap *heap);

/* Whether it is, attached or not. */
bool thread_serves(const struct gcheap *heap);

/* Whether threads of the program are attached to a heap. The world's lock is held. */
bool thread_any_of_program(const struct gcheap *heap);

/* The calling thread is about to end: detaches it from all heaps. */
void thread_end_self(void);

/* End a thread, its spans returned or lost with the heap already. */
void thread_free(struct thread *thread);

/* The calling thread's tables take so many bytes more. */
static inline void thread_count_memory(struct thread *thread, size_t bytes)
{
	__atomic_fetch_add(&thread->memory_bytes, bytes, __ATOMIC_RELAXED);
}

#endif /* GCHEAP_LIB_THREAD_H */
