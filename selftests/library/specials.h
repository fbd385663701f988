/* SPDX-License-Identifier: MIT */
/*
 * What the tests of specials share. They reach behind the public interface, but call nothing
 * there: they look at the table, break it, and take its memory away.
 */
#ifndef GCHEAP_LIBRARY_SPECIALS_H
#define GCHEAP_LIBRARY_SPECIALS_H

#include <sys/resource.h>

#include "library_test.h"

#include "address.h"
#include "library.h"

/* The heap is sound; or the report of gcheap_verify() has these words. */
void assert_sound(struct gcheap *heap);
void assert_broken(struct gcheap *heap, const char *words);

/* How many entries its table has. */
uint64_t specials_of(struct gcheap *heap);

#define WORKERS_MAX	16

/**
 * run_workers() - have threads of their own work while this one runs cycles
 * @fixture: the heap, which is looked through after each cycle
 * @work: what each does; it returns NULL, or what went wrong
 * @workers: its arguments, one behind the other
 * @worker_bytes: size of each
 * @count: how many; at most WORKERS_MAX
 * @cycles: how many are run
 */
void run_workers(struct fixture *fixture, void *(*work)(void *arg), void *workers,
		 size_t worker_bytes, int count, int cycles);

/**
 * struct starved - memory that was taken away
 * @pool: from whom
 * @had: what it had
 * @limit: what the process might have
 */
struct starved {
	struct pool *pool;
	struct pool had;
	struct rlimit limit;
};

/* From here on a pool has no piece, and gets no memory: as short as can be. */
void starve(struct starved *starved, struct pool *pool);
void feed(struct starved *starved);

/* The two pools of a table, one after the other, for each of which @action is refused. */
#define assert_refused_without_memory(heap, action)				\
	do {									\
		struct specials *table_ = &(heap)->specials;			\
		struct pool *pools_[2] = { &table_->records, &table_->tree.nodes };	\
		struct starved starved_;					\
		int error_, which_;						\
										\
		for (which_ = 0; which_ < 2; which_++) {			\
			starve(&starved_, pools_[which_]);			\
			error_ = (action);					\
			feed(&starved_);					\
			assert_refused(error_, ENOMEM, "memory");		\
		}								\
	} while (0)

#endif /* GCHEAP_LIBRARY_SPECIALS_H */
