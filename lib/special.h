/* SPDX-License-Identifier: MIT */
/*
 * The table of specials: what a heap knows of single objects beside their types (special.c).
 *
 * An object has one of each kind at most. The table has them in the order of their objects'
 * addresses, and the page specials of MARKS say which spans have any: one bit a heap page, set at a
 * span's first page. What is without any is never looked for there.
 *
 * A key is a number that orders them:
 *
 *	63          45 44                     5 4        3       0
 *	+-------------+------------------------+--------+---------+
 *	| 0           | offset from the base   | shared | kind    |
 *	+-------------+------------------------+--------+---------+
 *
 * The offset is that of the slot, or of an object that may share its slot, that of the object.
 *
 * Locking: struct specials.lock guards all of this, and any thread may take it. Who runs a cycle
 * takes it when all others have stopped, and keeps it until the sweep has begun: until then nobody
 * finds, adds or removes anything, or looks at bits that change their meaning. Lock order: world,
 * this, the heap's lock.
 */
#ifndef GCHEAP_LIB_SPECIAL_H
#define GCHEAP_LIB_SPECIAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "pool.h"
#include "slots.h"
#include "special_tree.h"

struct gcheap;
struct gcheap_weak_map;
struct owned;
struct thread;

/**
 * enum special_kind - what is special about an object
 * @SPECIAL_PIN: it was pinned: a root, which gcheap_free() refuses
 * @SPECIAL_UNCOLLECTABLE: it was allocated so: a root until it is freed
 * @SPECIAL_FINALIZER: a function is to run before it is freed
 * @SPECIAL_CLEANUP: functions are to run after it has died; the first of them
 * @SPECIAL_WEAK: a weak reference leads to it, which is cleared before finalizers run
 * @SPECIAL_WEAK_LONG: the same, but it is cleared when the object is freed
 * @SPECIAL_EPHEMERON: values are kept as long as it lives; the first of them
 * @SPECIAL_MAP: weak maps live as long as it does; the first of them
 */
enum special_kind {
	SPECIAL_PIN,
	SPECIAL_UNCOLLECTABLE,
	SPECIAL_FINALIZER,
	SPECIAL_CLEANUP,
	SPECIAL_WEAK,
	SPECIAL_WEAK_LONG,
	SPECIAL_EPHEMERON,
	SPECIAL_MAP,
};

/* Whether objects with such an entry may die: with others they are roots. */
#define SPECIAL_IS_MORTAL(kind)	((kind) >= SPECIAL_FINALIZER)

#define SPECIAL_KIND_BITS	4u
#define SPECIAL_KIND(key)	((enum special_kind)((key) & 15))
#define SPECIAL_SHARED		(1ull << SPECIAL_KIND_BITS)
#define SPECIAL_OFFSET_SHIFT	(SPECIAL_KIND_BITS + 1)
#define SPECIAL_OFFSET(key)	((key) >> SPECIAL_OFFSET_SHIFT)
/* The first key of an object, and the first that is another's. */
#define SPECIAL_FIRST(key)	((key) & ~15ull)
#define SPECIAL_END(key)	(SPECIAL_FIRST(key) + 16)

/* A place in a list that ends where it begins. */
struct special_link {
	struct special_link *next, *prev;
};

/**
 * struct special - one entry of the table, or what was one and is to run
 * @link: in a list; first
 * @key: its key
 * @object: as the program knows it
 * @count: of pins: how many there are; of weak references: how many have it
 * @finalize: of finalizers: the function
 * @cleanup: of cleanups: the function
 * @map: of ephemerons: the weak map that it is in, or NULL; of maps: the map
 * @argument: for the function; the weak reference; the value of an ephemeron
 * @queued_ns: when it was queued, CLOCK_MONOTONIC
 * @is_queued: it was; of weak references: it has left the table
 * @has_waited: of finalizers: in an earlier cycle its object was dead, and another one led to it
 * @is_cyclic: in the last one it led to itself
 * @before: of ephemerons and maps: the one whose @next it is, or NULL
 * @next: of cleanups, ephemerons and maps in the table: the next one of the object; of finalizers
 *	in a cycle: of dead objects
 * @thread: of one that runs: who runs it
 */
struct special {
	struct special_link link;
	uint64_t key;
	void *object;
	union {
		uint64_t count;
		void (*finalize)(void *object, void *argument);
		void (*cleanup)(void *argument);
		struct gcheap_weak_map *map;
	};
	void *argument;
	union {
		struct {
			uint64_t queued_ns : 61;
			uint64_t is_queued : 1;
			uint64_t has_waited : 1;
			uint64_t is_cyclic : 1;
		};
		struct special *before;
	};
	union {
		struct special *next;
		const struct thread *thread;
	};
};

/**
 * struct specials - a heap's table, and what is to run
 * @lock: of all of this
 * @tree: by key
 * @records: memory of the entries, one size for all kinds
 * @mortal: how many entries are of kinds whose objects may die
 * @roots: a list of those whose objects are roots
 * @arguments: those whose arguments lead into the heap, which are roots; weak references that
 *	somebody has
 * @ephemerons: those of kinds ephemeron and map, but for @ready and @settled
 * @ready: of these, those whose objects a cycle has marked
 * @settled: and those for which it has marked what they keep, too
 * @maps: all weak maps
 * @map_bytes: memory of their tables
 * @queue: what is to run, in order; it is a root, too
 * @running: what runs
 * @queued: how many were queued, since the heap was opened
 * @begun: how many of them have begun to run
 * @ended: how many have come to their end
 * @cyclic: how many dead objects were found by the last cycle that lead to themselves
 */
struct specials {
	pthread_mutex_t lock;
	struct tree tree;
	struct pool records;
	uint64_t mortal;
	struct special_link roots;
	struct special_link arguments;
	struct special_link ephemerons;
	struct special_link ready;
	struct special_link settled;
	struct special_link maps;
	uint64_t map_bytes;
	struct special_link queue;
	struct special_link running;
	uint64_t queued;
	uint64_t begun;
	uint64_t ended;
	uint64_t cyclic;
};

void specials_init(struct specials *specials);
/* Gives memory back that nobody uses. The lock is held. */
void specials_trim(struct specials *specials);
/* Gives all memory back; the heap may be a parent process's. */
void specials_destroy(struct specials *specials);

void specials_lock(struct gcheap *heap);
void specials_unlock(struct gcheap *heap);

/**
 * special_begin() - take the lock, and find an object of which something special is to be said
 * @heap: the heap, or NULL
 * @obj: where it begins
 * @key: receives its key, less the kind
 *
 * Return: 0; -EINVAL @heap is none, or no object begins there; -EPERM the heap is a parent's.
 * gcheap_error() is set then, and the lock not taken.
 */
int special_begin(struct gcheap *heap, const void *obj, uint64_t *key);

/* An object's key, less the kind. */
uint64_t special_key(const struct owned *owned, const void *obj, const struct gcheap *heap);

/* The granule of its slot's bits. */
static inline uint64_t special_granule(uint64_t key)
{
	/* Slots that are shared begin with a granule. */
	if (key & SPECIAL_SHARED)
		return SPECIAL_OFFSET(key) >> GCHEAP_GRANULE_SHIFT;
	return granule_of(SPECIAL_OFFSET(key));
}

/* ---- with the lock ------------------------------------------------------------ */

/* The entry with a key; NULL: there is none. */
struct special *special_find(struct gcheap *heap, uint64_t key);

/*
 * A new entry with a key that has none, on no list, and of zeros but for its key and object;
 * NULL: no memory.
 */
struct special *special_add(struct gcheap *heap, uint64_t key, void *obj);

/* Takes an entry out of the table, and off the list that it may be on. The record stays. */
void special_take(struct gcheap *heap, struct special *special);

/* The same, and frees it. */
void special_remove(struct gcheap *heap, struct special *special);

/* Has @other, of the same key, in the place of an entry, in the table and on its list. */
void special_replace(struct gcheap *heap, struct special *special, struct special *other);

/*
 * The entries of an object, one after the other: that with @key or the next; NULL: there is none
 * below @end.
 */
struct special *special_next(struct gcheap *heap, uint64_t key, uint64_t end);

/* Whether a span may have entries. */
bool special_span_has_any(const struct gcheap *heap, uint64_t first_page);

/* ---- lists ----------------------------------------------------------------------- */

static inline void special_list_init(struct special_link *list)
{
	list->next = list;
	list->prev = list;
}

static inline bool special_list_is_empty(const struct special_link *list)
{
	return list->next == list;
}

static inline void special_link_add(struct special_link *list, struct special_link *link)
{
	link->next = list;
	link->prev = list->prev;
	list->prev->next = link;
	list->prev = link;
}

static inline void special_list_add(struct special_link *list, struct special *special)
{
	special_link_add(list, &special->link);
}

/* From the list that it is on, if any. */
static inline void special_link_remove(struct special_link *link)
{
	if (!link->next)
		return;
	link->next->prev = link->prev;
	link->prev->next = link->next;
	*link = (struct special_link) { NULL, NULL };
}

static inline void special_list_remove(struct special *special)
{
	special_link_remove(&special->link);
}

/* The first of a list, which is not empty. */
static inline struct special *special_list_first(const struct special_link *list)
{
	return (struct special *)list->next;
}

/* Puts what @from has behind what @list has, and empties it. */
static inline void special_list_append(struct special_link *list, struct special_link *from)
{
	if (special_list_is_empty(from))
		return;
	from->next->prev = list->prev;
	list->prev->next = from->next;
	from->prev->next = list;
	list->prev = from->prev;
	special_list_init(from);
}

#endif /* GCHEAP_LIB_SPECIAL_H */
