/* SPDX-License-Identifier: MIT */
/*
 * Who points to an object (holders.c): what was found (holders_list.c), and the roots that are
 * looked through (holders_roots.c). All threads of the heap are stopped meanwhile.
 */
#ifndef GCHEAP_LIB_HOLDERS_H
#define GCHEAP_LIB_HOLDERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <gcheap.h>

struct holder_name;
struct thread;

/**
 * struct holders - who points to one object
 * @heap: whose it is
 * @obj: what was asked for
 * @self: the calling thread's handle; NULL: it has none, or is parked
 * @start: the first byte of the object's slot, as a number
 * @bytes: the slot's length
 * @error: what went wrong
 * @all: what was found; a root while the program sees it
 * @count: how many
 * @capacity: room in @all
 * @names: theirs
 * @name: of the holders that are found now; NULL: not made yet
 */
struct holders {
	struct gcheap *heap;
	const void *obj;
	struct thread *self;
	uint64_t start;
	uint64_t bytes;
	int error;
	struct gcheap_holder *all;
	size_t count, capacity;
	struct holder_name *names;
	const char *name;
};

/* A word that is a pointer, where a cycle takes all for such. */
static inline bool holders_leads(const struct holders *holders, const void *word)
{
	return (uint64_t)(uintptr_t)word - holders->start < holders->bytes;
}

/**
 * holders_add() - note a holder
 * @holders: where; without memory its @error is set, and nothing more is noted
 * @kind: what it is
 * @slot: the word, or NULL
 * @pointer: what is there
 * @name: for people; lasts as long as @holders
 *
 * Return: it, to be completed; NULL.
 */
struct gcheap_holder *holders_add(struct holders *holders, enum gcheap_holder_kind kind,
				  const void *slot, const void *pointer, const char *name);

/*
 * A name for holders, made as printf() does. The same is returned until @holders->name is NULL
 * again. NULL: @holders->error is set.
 */
const char *holders_name(struct holders *holders, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Such a name: what is said of a thread, which is stopped, then its number and name. */
const char *holders_thread_name(struct holders *holders, const char *what,
				const struct thread *thread);

/* Gives all memory back. */
void holders_drop(struct holders *holders);

/* Looks through all roots. */
void holders_read_roots(struct holders *holders);

#endif /* GCHEAP_LIB_HOLDERS_H */
