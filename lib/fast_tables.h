/* SPDX-License-Identifier: MIT */
/*
 * The tables in which a thread's inline functions find the cache of a type, of an array and of
 * a leaf (fast_tables.c).
 *
 *	types[type]		one object
 *	arrays[type].caches[n]	an array of n elements, up to GCHEAP_ARRAY_MAX_ bytes
 *	leaves[entry]		a leaf, by its size
 *
 * An entry leads to a cache's part in use, or to cache_no_slots: then the slow path is taken,
 * which finds a cache and may enter it here.
 *
 * An array's table is made with the first array of its type that has a cache to be entered. It
 * takes 8 bytes for each number of elements: 1 KiB at most, or 8 KiB of single bytes.
 */
#ifndef GCHEAP_LIB_FAST_TABLES_H
#define GCHEAP_LIB_FAST_TABLES_H

#include <gcheap.h>
#include <linux/gcheap.h>

struct thread;

/* Makes the tables by type long enough for all types that exist: 0 or -ENOMEM. */
int fast_tables_grow(struct thread *thread);

/**
 * fast_tables_enter_array() - have the inline functions find arrays' cache
 * @thread: the calling mutator
 * @type: of the elements
 * @record: its record
 * @n: how many
 * @cache: where its arrays of @n elements come from, beginning with this one
 *
 * Nothing is done for longer arrays, or where there is no memory for a table: these take the
 * slow path.
 */
void fast_tables_enter_array(struct thread *thread, gcheap_type type,
			     const struct gcheap_type_record *record, uint64_t n,
			     struct gcheap_cache_ *cache);

/* Entries of a cache part that was abandoned lead to the other one from now on. */
void fast_tables_redirect(struct thread *thread);

/* Arrays' entries of caches that are leaving have no slots any more. */
void fast_tables_forget_leaving(struct thread *thread);

/* Frees all that are not in the thread itself. */
void fast_tables_free(struct thread *thread);

#endif /* GCHEAP_LIB_FAST_TABLES_H */
