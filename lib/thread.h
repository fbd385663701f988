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
#include "stack.h"

#define THREAD_BUCKETS_SHIFT		8
#define THREAD_BUCKETS			(1u << THREAD_BUCKETS_SHIFT)
#define THREAD_ALLOC_CLASSES_SHIFT	11
#define THREAD_ALLOC_CLASSES		(1u << THREAD_ALLOC_CLASSES_SHIFT)
#define THREAD_MEMOS			128u
#define THREAD_SIZE_CLASSES		128u

/**
 * struct thread - one attached mutator
 * @fast: what the inline functions use; must be first
 * @heap: its heap
 * @self: who it is
 * @native: the stack that it was born with, if it was found
 * @tls_is_root: its thread-local storage is scanned
 * @frames_lost: frames for which there was no memory
 * @frames_reported: it was said that a frame's end was skipped
 * @type_alloc_classes: by type: of single objects; NULL: not made yet, or the type's
 *	objects are large. @fast.type_count entries, as @fast.types
 * @type_next: by type: the next one of the same allocation class; 0: none
 * @noscan_caches: by size class: for objects of which the heap knows nothing
 * @caches: all its caches
 * @free_caches: what allocation classes that went back to mixed spans have left
 * @filling: the cache that is being filled: a cycle may run meanwhile
 * @buckets: the caches by key
 * @alloc_classes: the allocation classes by key
 * @alloc_class_blocks: their memory
 * @alloc_class_used: how many of the first block are in use
 * @own_alloc_classes: how many could be mixed and have own spans
 * @flushes: how many there were
 * @memos: see struct alloc_class_memo
 * @blocks: memory of the caches
 */
struct thread {
	struct gcheap_thread fast;
	struct gcheap *heap;
	pthread_t self;
	struct native_stack native;
	bool tls_is_root;
	bool frames_reported;
	struct frames_lost frames_lost;
	struct alloc_class **type_alloc_classes;
	gcheap_type *type_next;
	struct cache *noscan_caches[THREAD_SIZE_CLASSES];
	struct cache *caches;
	struct cache *free_caches;
	struct cache *filling;
	struct cache *buckets[THREAD_BUCKETS];
	struct alloc_class *alloc_classes[THREAD_ALLOC_CLASSES];
	struct alloc_class_block *alloc_class_blocks;
	uint32_t alloc_class_used;
	uint32_t own_alloc_classes;
	uint32_t flushes;
	struct alloc_class_memo memos[THREAD_MEMOS];
	struct cache_block *blocks;
};

/* End a thread, its spans returned or lost with the heap already. */
void thread_free(struct thread *thread);

/* Bytes of library memory that a thread takes. */
uint64_t thread_memory(const struct thread *thread);

#endif /* GCHEAP_LIB_THREAD_H */
