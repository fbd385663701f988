/* SPDX-License-Identifier: MIT */
/*
 * An ordered table: numbers, and a pointer for each (special_tree.c). Who calls has a lock.
 *
 *	               +------------------+
 *	root           | 0 | 400 | 900    |	the least key below each child, or less;
 *	               +-|----|------|----+	that of the first is not looked at
 *	                 v    v      v
 *	leaves         [3 7 9]-[400 512]-[900 ...]	keys and values, in order
 */
#ifndef GCHEAP_LIB_SPECIAL_TREE_H
#define GCHEAP_LIB_SPECIAL_TREE_H

#include <stdbool.h>
#include <stdint.h>

#include "pool.h"

#define TREE_FANOUT	62u

/**
 * struct tree_node - a leaf, or what leads to such
 * @count: entries
 * @prev: of leaves: the one before
 * @next: of leaves: the one behind
 * @end: of leaves: keys below this, and not below its first, belong here. It may be less than that
 *	of the next one
 * @keys: in ascending order
 * @values: of a leaf, for each key; of others the children
 */
struct tree_node {
	uint64_t count;
	struct tree_node *prev, *next;
	uint64_t end;
	uint64_t keys[TREE_FANOUT];
	void *values[TREE_FANOUT];
};

/**
 * struct tree - an ordered table
 * @root: the node at the top; NULL: there is no entry
 * @height: of the root above the leaves
 * @first: the first leaf
 * @recent: the leaf of the last entry that was added or found; or NULL
 * @count: entries
 * @nodes: memory of the nodes
 */
struct tree {
	struct tree_node *root;
	uint32_t height;
	struct tree_node *first;
	struct tree_node *recent;
	uint64_t count;
	struct pool nodes;
};

/* Where an entry is. */
struct tree_place {
	struct tree_node *leaf;
	uint64_t index;
};

static inline void tree_init(struct tree *tree)
{
	*tree = (struct tree) { .nodes = { .piece_bytes = sizeof(struct tree_node) } };
}

void tree_destroy(struct tree *tree);

/* The entry with a key. False: there is none. */
bool tree_find(struct tree *tree, uint64_t key, struct tree_place *place);

/*
 * The first entry whose key is @key or more, and the last before that; a leaf of NULL where there
 * is none.
 */
void tree_around(struct tree *tree, uint64_t key, struct tree_place *before,
		 struct tree_place *from);

/* From an entry to the next; a leaf of NULL behind the last. */
static inline void tree_next(struct tree_place *place)
{
	if (++place->index < place->leaf->count)
		return;
	place->leaf = place->leaf->next;
	place->index = 0;
}

/* Adds an entry whose key has none. False: there is no memory, and nothing has changed. */
bool tree_insert(struct tree *tree, uint64_t key, void *value);

/* Takes the entry with a key out, which there is. */
void tree_remove(struct tree *tree, uint64_t key);

/*
 * Takes all entries out whose value is NULL, which somebody who went through the leaves has set,
 * and gives memory back. Needs none.
 */
void tree_compact(struct tree *tree);

/* Whether keys ascend, inner nodes lead to their leaves, and all entries are counted. */
bool tree_is_sound(const struct tree *tree);

#endif /* GCHEAP_LIB_SPECIAL_TREE_H */
