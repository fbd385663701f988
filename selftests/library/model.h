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

#define MODEL_OWNERS		8u
#define MODEL_NODES		4096u	/* of an owner */
#define MODEL_ROOTS		48u	/* of an owner */
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
 * @roots: memory that is a root of the heap
 * @root_edges: what is in it
 * @free: numbers of its nodes that are not in use
 * @free_count: how many
 * @random: its random numbers
 */
struct model_owner {
	void *roots[MODEL_ROOTS];
	struct model_edge root_edges[MODEL_ROOTS];
	uint32_t free[MODEL_NODES];
	uint32_t free_count;
	uint64_t random;
};

/**
 * struct model - a heap's objects
 * @heap: the heap
 * @node_type: of MODEL_NODE and MODEL_RECORDS
 * @table_type: of MODEL_TABLE
 * @nodes: all; those of owner i begin at i * MODEL_NODES
 * @owners: who owns them
 * @walk: number of the last walk
 * @stack: for walks
 */
struct model {
	struct gcheap *heap;
	gcheap_type node_type;
	gcheap_type table_type;
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
 * Makes an object and keeps it, sets or clears a pointer in an object or a root. Return:
 * what went wrong; NULL: nothing.
 */
const char *model_step(struct model *model, uint32_t owner, struct gcheap_thread *thread);

/* A pointer of the owner's becomes one of another's roots, who waits meanwhile. */
void model_share(struct model *model, uint32_t from, uint32_t to);

/**
 * model_check() - compare the heap with its model
 * @model: the model; nobody works on it
 * @reachable: receives how many objects the roots lead to; their content was compared
 *
 * Drops the nodes that no root leads to. Return: what is wrong; NULL: nothing.
 */
const char *model_check(struct model *model, uint64_t *reachable);

#endif /* GCHEAP_LIBRARY_TEST_MODEL_H */
