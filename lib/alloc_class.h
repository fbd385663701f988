/* SPDX-License-Identifier: MIT */
/*
 * Allocation classes: from a type to the cache that its objects come from (alloc_class.c).
 */
#ifndef GCHEAP_LIB_ALLOC_CLASS_H
#define GCHEAP_LIB_ALLOC_CLASS_H

#include "cache.h"

/**
 * struct alloc_class - where objects of one key come from (alloc_class.c)
 * @key: of their own spans, or of those that all types share
 * @cache: the cache of single objects, and in own spans of arrays too; NULL: of
 *	arrays in mixed spans, each of which may have its own
 * @hash_next: in its bucket of the thread's table
 * @own_bytes: when so much was allocated in mixed spans between two flushes, it gets
 *	spans of its own
 * @mixed_bytes: how much was
 * @flush: the flush after which @mixed_bytes began
 * @first_type: of the types whose single objects come from here, linked by
 *	struct thread.type_next; 0: none
 * @is_mixed: @cache is not of @key, but of mixed spans
 */
struct alloc_class {
	struct cache_key key;
	struct cache *cache;
	struct alloc_class *hash_next;
	uint32_t own_bytes;
	uint32_t mixed_bytes;
	uint32_t flush;
	gcheap_type first_type : 31;
	gcheap_type is_mixed : 1;
};

/* The last one of arrays of a type and size class: saves computing the key. */
struct alloc_class_memo {
	gcheap_type type;
	uint32_t size_class;
	struct alloc_class *class;
};

/* Memory for allocation classes, which are never freed before their thread is. */
#define BLOCK_ALLOC_CLASSES	72u
struct alloc_class_block {
	struct alloc_class_block *next;
	struct alloc_class classes[BLOCK_ALLOC_CLASSES];
};

/**
 * alloc_class_of_type() - where single objects of a type come from
 * @thread: the calling mutator
 * @type: the type; the thread's tables have an entry for it
 * @record: its record
 * @size_class: of own spans, or of those that all types share
 *
 * Fills in the type's entries in the thread's tables.
 *
 * Return: the allocation class, whose @cache is not NULL; NULL when out of memory.
 */
struct alloc_class *alloc_class_of_type(struct thread *thread, gcheap_type type,
					const struct gcheap_type_record *record,
					uint32_t size_class);

/**
 * alloc_class_of_array() - where arrays of a type come from
 * @thread: the calling mutator
 * @type: the type
 * @record: its record
 * @size_class: as of alloc_class_of_type()
 *
 * Return: the allocation class; NULL when out of memory.
 */
struct alloc_class *alloc_class_of_array(struct thread *thread, gcheap_type type,
					 const struct gcheap_type_record *record,
					 uint32_t size_class);

/* The cache for @bytes of elements where it is mixed; NULL when out of memory. */
struct cache *alloc_class_mixed_cache(struct thread *thread, gcheap_type type,
				      const struct gcheap_type_record *record, uint64_t bytes);

/*
 * The cache that the inline functions may use for its objects: cache_no_slots where each has
 * to take the slow path.
 */
struct gcheap_cache_ *alloc_class_fast_cache(const struct thread *thread,
					     const struct alloc_class *class);

/* One that is mixed has allocated an object of @slot_bytes. */
void alloc_class_count(struct thread *thread, struct alloc_class *class, gcheap_type type,
		       uint32_t slot_bytes);

/* A flush is done: own spans for which there was little use are not any more. */
void alloc_classes_flushed(struct thread *thread);

/* Frees all of a thread. */
void alloc_classes_free(struct thread *thread);

#endif /* GCHEAP_LIB_ALLOC_CLASS_H */
