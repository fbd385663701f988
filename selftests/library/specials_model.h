/* SPDX-License-Identifier: MIT */
/*
 * A shadow of a heap's objects and of what is special about them: finalizers, cleanups, weak
 * references, ephemerons, weak maps, pins. It is outside of the heap, and knows what each cycle has
 * to do.
 *
 * A hook of the heap's, when a cycle begins and all threads are stopped, works out which objects
 * live, which finalizers and cleanups are queued, which references are cleared, and which weak maps
 * and keys go, and changes the shadow so (specials_cycle.c). So it is exact in whatever cycle, and
 * what threads find between two must be as it says: functions that run, references that lead to
 * their objects, what maps have, what is alive.
 *
 * Heaps have no conservative stacks: then cycles run only while each thread waits in the library,
 * or is parked. Between the call that changes the heap and the stores that change the shadow none
 * can run.
 *
 * Several workers, one a thread, each with an owner's part. An owner's nodes have pointers that it
 * alone changes. What is special about a node any worker may change that has it in a root, with the
 * guard of the node's owner. It parks while it waits for that, since who has it may wait for a
 * cycle. Weak maps any worker may use, with the lock of the owner that has made them.
 */
#ifndef GCHEAP_LIBRARY_SPECIALS_MODEL_H
#define GCHEAP_LIBRARY_SPECIALS_MODEL_H

#include <pthread.h>

#include "library_test.h"

#define SHADOW_OWNERS		8u
#define SHADOW_NODES		8192u	/* of an owner */
#define SHADOW_ROOTS		64u	/* of an owner */
#define SHADOW_HELD		1024u	/* weak references of an owner that were not given back */
#define SHADOW_PINS		16u	/* of an owner */
#define SHADOW_CLEANUPS		3u	/* of a node */
#define SHADOW_EPHEMERONS	3u	/* of a node */
#define SHADOW_MAPS		16u	/* of an owner */
#define SHADOW_KEYS		48u	/* of a weak map */
#define SHADOW_ACTIONS		65536u
#define SHADOW_NONE		UINT32_MAX
/* Predictions that are kept until their cycle has ended. */
#define SHADOW_CYCLES		64u

/* What an object is. */
enum shadow_kind {
	SHADOW_STRUCTS,	/* one or more structs with pointers */
	SHADOW_LEAF,
	SHADOW_WEAK,	/* a weak reference */
};

/* Where a pointer leads: so many bytes behind a node's first one; SHADOW_NONE: it is NULL. */
struct shadow_edge {
	uint32_t node;
	uint32_t offset;
};

/**
 * struct shadow_node - one object
 * @object: its address; NULL: there is none of this number
 * @kind: what it is
 * @count: of structs: how many
 * @bytes: its length
 * @edges: its pointers, in the order of their addresses
 * @edge_count: how many
 * @edge_room: how many there is room for
 * @born: when its owner made it, in objects
 * @mark: the last walk that has found it, an even number if roots led to it, else one more
 * @waited: so many cycles have found it dead, with a finalizer that could not be queued
 * @pins: how often it is pinned
 * @finalizer: its finalizer's action
 * @queued: the same of one that waits to run, or runs
 * @cleanups: actions
 * @ephemerons: values that live while it does
 * @weak: nodes of the references to it, of the short kind and the long one
 * @target: of references: where it leads; SHADOW_NONE: it was cleared
 * @holders: of references: how often it was asked for and not given back
 * @guard: of references: the owner of what it leads to
 * @is_long: of references
 * @arguments: the first of the cleanups that are queued, and have it for argument
 * @maps: how many weak maps it owns, and @map_keys: in how many it is a key, when that was last
 *	counted
 */
struct shadow_node {
	char *object;
	enum shadow_kind kind;
	uint32_t count;
	uint32_t bytes;
	struct shadow_edge *edges;
	uint32_t edge_count;
	uint32_t edge_room;
	uint32_t born;
	uint32_t mark;
	uint32_t waited;
	uint32_t pins;
	uint32_t finalizer;
	uint32_t queued;
	uint32_t cleanups[SHADOW_CLEANUPS];
	struct shadow_edge ephemerons[SHADOW_EPHEMERONS];
	uint32_t weak[2];
	uint32_t target;
	uint32_t holders;
	uint32_t guard;
	bool is_long;
	uint32_t arguments;
	uint32_t maps;
	uint32_t map_keys;
};

/* A key of a weak map. SHADOW_NONE: its value is no pointer, but the word that is the offset. */
struct shadow_entry {
	uint32_t key;
	struct shadow_edge value;
};

/**
 * struct shadow_map - a weak map
 * @map: its handle; NULL: there is none
 * @node: the object that owns it; SHADOW_NONE: none does
 * @count: how many keys it has
 * @entries: these, in any order
 */
struct shadow_map {
	struct gcheap_weak_map *map;
	uint32_t node;
	uint32_t count;
	struct shadow_entry entries[SHADOW_KEYS];
};

enum shadow_state {
	SHADOW_FREE,
	SHADOW_SET,
	SHADOW_QUEUED,
	SHADOW_RUNNING,
};

/**
 * struct shadow_action - a function that is to run
 * @state: how far it has come
 * @is_cleanup: else it is a finalizer
 * @node: of which object; of cleanups: while it is set
 * @argument: where its argument leads; SHADOW_NONE: to this struct
 * @cycle: which has queued it
 * @next: the next one that is free, or that has the same argument
 */
struct shadow_action {
	enum shadow_state state;
	bool is_cleanup;
	uint32_t node;
	struct shadow_edge argument;
	uint64_t cycle;
	uint32_t next;
};

/* What one thread has. */
struct shadow_owner {
	void *roots[SHADOW_ROOTS];
	struct shadow_edge root_edges[SHADOW_ROOTS];
	uint32_t free[SHADOW_NODES];	/* numbers that no node has */
	uint32_t free_count;
	uint32_t end;			/* numbers from here on were never in use */
	uint32_t held[SHADOW_HELD];
	uint32_t held_count;
	uint32_t pinned[SHADOW_PINS];
	uint32_t pinned_count;
	uint32_t born;
	uint64_t random;
	pthread_mutex_t guard;
	struct shadow_map maps[SHADOW_MAPS];	/* that it has made */
	pthread_mutex_t maps_lock;		/* of these */
};

/* How much of what can happen did. */
struct shadow_counts {
	uint64_t rounds;	/* of checks */
	uint64_t finalized, waited, resurrected, cleaned, removed, freed;
	uint64_t cleared_short, cleared_long, cleared_before, weak_got, unstuck;
	uint64_t kept, kept_by_dead;	/* values: by keys alone; by keys that finalizers keep */
	/* Values that were kept by maps; so, with keys or owners that finalizers keep. */
	uint64_t map_kept, map_kept_by_dead;
	uint64_t keys_died, keys_removed, keys_left;	/* the last: when the owner of a map died */
	uint64_t maps_died, maps_freed, map_got;
	/* At a time: dead with a finalizer; alive with one; and so on. */
	uint64_t most_dead, most_finalizers, most_cleanups, most_weak, most_ephemerons;
	uint64_t most_maps, most_keys;
};

/* What a cycle must find to be alive. */
struct shadow_prediction {
	uint64_t cycle;
	uint64_t live;
};

/**
 * struct shadow - a heap's objects, and what is special about them
 * @heap: the heap
 * @type: of structs
 * @calm: how long-lived things are
 * @nodes: those of owner i begin at i * SHADOW_NODES
 * @owners: who owns them
 * @actions: all that there may be
 * @actions_lock: of those that are free, and of lists of arguments
 * @actions_free: the first that is free
 * @actions_end: those from here on were never in use
 * @queued: how many are queued
 * @walk: number of the last walk, even
 * @marking: the number that nodes get now
 * @stack: of nodes to go on from
 * @depth: how many
 * @live: nodes found alive
 * @is_over: the cycle is, whose work is looked at
 * @cycle: how many cycles have begun
 * @predictions: of the last ones
 * @counts: what has happened
 * @error: the first thing that went wrong; NULL: nothing
 */
struct shadow {
	struct gcheap *heap;
	gcheap_type type;
	uint32_t calm;
	struct shadow_node *nodes;
	struct shadow_owner *owners;
	struct shadow_action *actions;
	pthread_mutex_t actions_lock;
	uint32_t actions_free;
	uint32_t actions_end;
	uint32_t queued;
	uint32_t walk;
	uint32_t marking;
	uint32_t *stack;
	uint32_t depth;
	uint64_t live;
	bool is_over;
	uint64_t cycle;
	struct shadow_prediction predictions[SHADOW_CYCLES];
	struct shadow_counts counts;
	const char *error;
};

/**
 * struct shadow_worker - a thread that works
 * @shadow: on what
 * @owner: with whose part
 * @thread: its handle
 * @depth: how many functions run in each other
 * @is_draining: it alone runs what is queued, and sees to the order
 * @last_cycle: of what has run then: the cycle that had queued it
 * @last_object: the object
 */
struct shadow_worker {
	struct shadow *shadow;
	uint32_t owner;
	struct gcheap_thread *thread;
	uint32_t depth;
	bool is_draining;
	uint64_t last_cycle;
	const char *last_object;
};

/* @calm: one in so many of the steps that cut parts of the graph off does; 1 or more */
void shadow_init(struct shadow *shadow, struct gcheap *heap, uint64_t seed, uint32_t calm);
/* The heap was closed. */
void shadow_destroy(struct shadow *shadow);
void shadow_failed(struct shadow *shadow, const char *error);
uint32_t shadow_random(struct shadow_worker *worker, uint32_t end);

/* The calling thread is this worker: functions that run in it need to know. */
void shadow_worker_begin(struct shadow_worker *worker);

/* Does something at random. */
void shadow_step(struct shadow_worker *worker);

/* ---- while nobody else works ------------------------------------------------------------ */

/* A pointer in a root of an owner becomes one of another's roots. */
void shadow_share(struct shadow *shadow, uint32_t from, uint32_t root, uint32_t to, uint32_t place);

/* Runs what is queued: exactly that, and in order. */
void shadow_drain(struct shadow_worker *worker);

/* Drops most of an owner's roots, and its pins. */
void shadow_drop(struct shadow_worker *worker);

/* Takes finalizers away from objects that form cycles, or lead to such, or resurrects them. */
void shadow_unstick(struct shadow_worker *worker);

/*
 * Compares the heap with its shadow, right after a cycle. @checked: receives how many objects were
 * looked at.
 */
void shadow_check(struct shadow_worker *worker, uint64_t *checked);

/* ---- cycles, objects ---------------------------------------------------------------------- */

/* Has the hook called. */
void shadow_hook(struct shadow *shadow);

/* Whether an object is as it was made, and its pointers lead where they should. */
const char *shadow_content(const struct shadow *shadow, uint32_t number);

void shadow_enqueue(struct shadow *shadow, uint32_t action);
/* The node of a number is no more. */
void shadow_bury(struct shadow *shadow, uint32_t number);

/* While nobody else works: compares weak maps with what the shadow has, and counts them. */
void shadow_maps_check(const struct shadow_worker *worker);

static inline void *shadow_address(const struct shadow *shadow, struct shadow_edge edge)
{
	return edge.node == SHADOW_NONE ? NULL : shadow->nodes[edge.node].object + edge.offset;
}

/* In a loop over all nodes that there are. */
#define shadow_each(shadow, owner, number)					\
	for (owner = 0; owner < SHADOW_OWNERS; owner++)				\
		for (number = owner * SHADOW_NODES;				\
		     number < owner * SHADOW_NODES + (shadow)->owners[owner].end; number++)	\
			if ((shadow)->nodes[number].object)

#endif /* GCHEAP_LIBRARY_SPECIALS_MODEL_H */
