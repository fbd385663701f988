/* SPDX-License-Identifier: MIT */
/*
 * A shadow of the objects in a heap: what each holds and where it points, kept outside of
 * the heap, so that a test can tell which objects a cycle has to leave and what must be in
 * them.
 *
 * Several threads may work on one model: each node has an owner, who alone changes it and
 * its object. Nodes are checked, and those of dead objects dropped, while nobody works.
 */
#ifndef GCHEAP_LIBRARY_TEST_MODEL_H
#define GCHEAP_LIBRARY_TEST_MODEL_H

#include "library_test.h"
#include "model_roots.h"

#define MODEL_OWNERS		8u
#define MODEL_NODES		4096u	/* of an owner */
#define MODEL_GROUPS		12u	/* of roots, of an owner */
#define MODEL_ROOTS		(MODEL_GROUPS * MODEL_GROUP)
#define MODEL_NONE		UINT32_MAX

/* What an object is. */
enum model_kind {
	MODEL_NODE,	/* a struct with a few pointers */
	MODEL_RECORDS,	/* an array of these */
	MODEL_TABLE,	/* an array of pointers */
	MODEL_LEAF,
	MODEL_KINDS
};

/**
 * struct model_edge - where a pointer leads
 * @node: the number of the node; MODEL_NONE: it is NULL
 * @offset: so many bytes behind the object's first
 */
struct model_edge {
	uint32_t node;
	uint32_t offset;
};

#define MODEL_NOWHERE	((struct model_edge) { MODEL_NONE, 0 })

/**
 * struct model_node - one object
 * @object: its address; NULL: there is none of this number
 * @kind: what it is
 * @count: elements
 * @bytes: its length
 * @edges: its pointers, in the order of their addresses
 * @edge_count: how many
 * @mark: the walk that has found it last
 */
struct model_node {
	char *object;
	enum model_kind kind;
	uint32_t count;
	size_t bytes;
	struct model_edge *edges;
	uint32_t edge_count;
	uint32_t mark;
};

/**
 * struct model_owner - what one thread has
 * @groups: its roots
 * @root_edges: where they lead
 * @free: numbers of its nodes that are not in use
 * @free_count: how many
 * @allocated: objects that it has allocated, in all
 * @random: its random numbers
 */
struct model_owner {
	struct model_group groups[MODEL_GROUPS];
	struct model_edge root_edges[MODEL_ROOTS];
	uint32_t free[MODEL_NODES];
	uint32_t free_count;
	uint64_t allocated;
	uint64_t random;
};

/**
 * struct model - a heap's objects
 * @heap: the heap
 * @node_type: of MODEL_NODE and MODEL_RECORDS
 * @table_type: of MODEL_TABLE
 * @root_type: of roots that are typed
 * @nodes: all; those of owner i begin at i * MODEL_NODES
 * @owners: who owns them
 * @walk: number of the last walk
 * @stack: for walks
 */
struct model {
	struct gcheap *heap;
	gcheap_type node_type;
	gcheap_type table_type;
	gcheap_type root_type;
	struct model_node *nodes;
	struct model_owner *owners;
	uint32_t walk;
	uint32_t *stack;
};

void model_init(struct model *model, struct gcheap *heap, uint64_t seed);
void model_destroy(struct model *model);

/**
 * model_step() - do something at random
 * @model: the model
 * @owner: the calling thread's
 * @thread: the calling thread, attached to the model's heap
 *
 * Makes an object and keeps it, sets or clears a pointer in an object or a root, or has
 * roots be of another kind. Return: what went wrong; NULL: nothing.
 */
const char *model_step(struct model *model, uint32_t owner, struct gcheap_thread *thread);

/* A pointer of the owner's becomes one of another's roots, who waits meanwhile. */
const char *model_share(struct model *model, uint32_t from, uint32_t to);

/**
 * model_check() - compare the heap with its model
 * @model: the model; nobody works on it
 * @reachable: receives how many objects the roots lead to, and how many are roots; their content
 *	was compared
 *
 * Drops the nodes that no root leads to. Return: what is wrong; NULL: nothing.
 */
const char *model_check(struct model *model, uint64_t *reachable);

/* Where an edge leads. */
void *model_address(const struct model *model, struct model_edge edge);

/* A number below @end. */
uint32_t model_random(struct model_owner *owner, uint32_t end);

/* From 2 to @most + 1, small ones more often. */
uint32_t model_random_length(struct model_owner *owner, uint32_t most);

#endif /* GCHEAP_LIBRARY_TEST_MODEL_H */
