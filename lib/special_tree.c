// SPDX-License-Identifier: MIT
/*
 * An ordered table, a B+ tree. Entries that are added in ascending order fill their leaves, and
 * what was last touched is tried first: who goes through objects in the order of their addresses
 * seldom starts at the root.
 *
 * Nodes that are full are split on the way down, before anything is added: an insertion that
 * finds no memory leaves a tree that has the same entries.
 */
#include "special_tree.h"

#include <string.h>

/* A leaf with fewer entries joins a neighbour, and both together are not fuller than that. */
#define JOIN_BELOW	(TREE_FANOUT / 4)
#define JOINED_MAX	(TREE_FANOUT / 4 * 3)

/* Levels of inner nodes: each has at least two children when it is made. */
#define HEIGHT_MAX	48u

/* How many keys of a node are below @key. */
static uint64_t keys_below(const struct tree_node *node, uint64_t key)
{
	uint64_t low = 0, left = node->count;

	while (left) {
		uint64_t half = left / 2;

		if (node->keys[low + half] < key) {
			low += half + 1;
			left -= half + 1;
		} else {
			left = half;
		}
	}
	return low;
}

/*
 * The child that has @key, or would have it. What is below all others goes to the first, whose own
 * key may be more than that.
 */
static uint64_t child_of(const struct tree_node *node, uint64_t key)
{
	uint64_t low = 0, left = node->count - 1;

	while (left) {
		uint64_t half = (left + 1) / 2;

		if (node->keys[low + half] <= key) {
			low += half;
			left -= half;
		} else {
			left = half - 1;
		}
	}
	return low;
}

static struct tree_node *leaf_of(const struct tree *tree, uint64_t key)
{
	struct tree_node *node = tree->root;
	uint32_t level;

	for (level = tree->height; level; level--)
		node = node->values[child_of(node, key)];
	return node;
}

/* Whether a key is in a leaf, or nowhere. */
static bool leaf_spans(const struct tree_node *leaf, uint64_t key)
{
	return leaf && leaf->keys[0] <= key && key < leaf->end;
}

/* ---- looking up -------------------------------------------------------------- */

bool tree_find(struct tree *tree, uint64_t key, struct tree_place *place)
{
	struct tree_node *leaf = tree->recent;

	if (!tree->root)
		return false;
	if (!leaf_spans(leaf, key))
		leaf = leaf_of(tree, key);
	place->leaf = leaf;
	place->index = keys_below(leaf, key);
	if (place->index == leaf->count || leaf->keys[place->index] != key)
		return false;
	tree->recent = leaf;
	return true;
}

void tree_around(struct tree *tree, uint64_t key, struct tree_place *before,
		 struct tree_place *from)
{
	struct tree_node *leaf;
	uint64_t index;

	*before = (struct tree_place) { .leaf = NULL };
	*from = *before;
	if (!tree->root)
		return;
	leaf = leaf_spans(tree->recent, key) ? tree->recent : leaf_of(tree, key);
	tree->recent = leaf;
	index = keys_below(leaf, key);
	if (index)
		*before = (struct tree_place) { .leaf = leaf, .index = index - 1 };
	else if (leaf->prev)
		*before = (struct tree_place) { leaf->prev, leaf->prev->count - 1 };
	if (index < leaf->count)
		*from = (struct tree_place) { .leaf = leaf, .index = index };
	else if (leaf->next)
		*from = (struct tree_place) { .leaf = leaf->next, .index = 0 };
}

/* ---- adding -------------------------------------------------------------------- */

static void node_open(struct tree_node *node, uint64_t at)
{
	memmove(&node->keys[at + 1], &node->keys[at], (node->count - at) * sizeof(*node->keys));
	memmove(&node->values[at + 1], &node->values[at],
		(node->count - at) * sizeof(*node->values));
	node->count++;
}

static void node_close(struct tree_node *node, uint64_t at)
{
	node->count--;
	memmove(&node->keys[at], &node->keys[at + 1], (node->count - at) * sizeof(*node->keys));
	memmove(&node->values[at], &node->values[at + 1],
		(node->count - at) * sizeof(*node->values));
}

static void leaf_link_behind(struct tree_node *leaf, struct tree_node *new)
{
	new->prev = leaf;
	new->next = leaf->next;
	if (leaf->next)
		leaf->next->prev = new;
	leaf->next = new;
}

/*
 * Moves a part of a full child to a new node behind it: half, or where keys ascend the last one
 * alone, so that nodes stay full.
 */
static bool split(struct tree *tree, struct tree_node *parent, uint64_t at, bool is_leaf,
		  bool ascends)
{
	struct tree_node *child = parent->values[at];
	struct tree_node *new = pool_alloc(&tree->nodes);
	uint64_t kept = ascends ? TREE_FANOUT - 1 : TREE_FANOUT / 2;

	if (!new)
		return false;
	*new = (struct tree_node) { .count = TREE_FANOUT - kept };
	memcpy(new->keys, &child->keys[kept], new->count * sizeof(*new->keys));
	memcpy(new->values, &child->values[kept], new->count * sizeof(*new->values));
	child->count = kept;
	if (is_leaf) {
		leaf_link_behind(child, new);
		new->end = child->end;
		child->end = new->keys[0];
	}
	node_open(parent, at + 1);
	parent->keys[at + 1] = new->keys[0];
	parent->values[at + 1] = new;
	return true;
}

static bool root_make(struct tree *tree)
{
	struct tree_node *root = pool_alloc(&tree->nodes);

	if (!root)
		return false;
	*root = (struct tree_node) { .end = UINT64_MAX };
	tree->root = root;
	tree->first = root;
	tree->height = 0;
	return true;
}

static bool root_raise(struct tree *tree)
{
	struct tree_node *root = pool_alloc(&tree->nodes);

	if (!root)
		return false;
	*root = (struct tree_node) { .count = 1 };
	root->keys[0] = tree->root->keys[0];
	root->values[0] = tree->root;
	tree->root = root;
	tree->height++;
	return true;
}

/* The leaf that a new key goes to, with room; NULL: there is no memory. */
static struct tree_node *leaf_with_room(struct tree *tree, uint64_t key)
{
	struct tree_node *node;
	bool is_end = true;
	uint32_t level;

	if (tree->root->count == TREE_FANOUT && !root_raise(tree))
		return NULL;
	node = tree->root;
	for (level = tree->height; level; level--) {
		uint64_t at = child_of(node, key);
		struct tree_node *child = node->values[at];

		is_end &= at == node->count - 1;
		if (child->count == TREE_FANOUT) {
			if (!split(tree, node, at, level == 1,
				   (is_end || level == 1) &&
				   key > child->keys[TREE_FANOUT - 1]))
				return NULL;
			at += key >= node->keys[at + 1];
		}
		node = node->values[at];
	}
	return node;
}

bool tree_insert(struct tree *tree, uint64_t key, void *value)
{
	struct tree_node *leaf = tree->recent;
	uint64_t at;

	if (!tree->root && !root_make(tree))
		return false;
	if (!leaf_spans(leaf, key) || leaf->count == TREE_FANOUT)
		leaf = leaf_with_room(tree, key);
	if (!leaf)
		return false;
	at = keys_below(leaf, key);
	node_open(leaf, at);
	leaf->keys[at] = key;
	leaf->values[at] = value;
	if (key >= leaf->end)
		leaf->end = key + 1;
	tree->recent = leaf;
	tree->count++;
	return true;
}

/* ---- taking out ---------------------------------------------------------------- */

static void leaf_free(struct tree *tree, struct tree_node *leaf)
{
	if (leaf->prev)
		leaf->prev->next = leaf->next;
	else
		tree->first = leaf->next;
	if (leaf->next)
		leaf->next->prev = leaf->prev;
	if (tree->recent == leaf)
		tree->recent = NULL;
	pool_free(&tree->nodes, leaf);
}

static void leaf_append(struct tree_node *leaf, const struct tree_node *from)
{
	memcpy(&leaf->keys[leaf->count], from->keys, from->count * sizeof(*leaf->keys));
	memcpy(&leaf->values[leaf->count], from->values, from->count * sizeof(*leaf->values));
	leaf->count += from->count;
	leaf->end = from->end;
}

/* Whether two neighbours below one parent became one: the child @at, and that behind it. */
static bool leaves_join(struct tree *tree, struct tree_node *parent, uint64_t at)
{
	struct tree_node *leaf, *next;

	if (at + 1 >= parent->count)
		return false;
	leaf = parent->values[at];
	next = parent->values[at + 1];
	if (leaf->count + next->count > JOINED_MAX)
		return false;
	leaf_append(leaf, next);
	leaf_free(tree, next);
	node_close(parent, at + 1);
	return true;
}

void tree_remove(struct tree *tree, uint64_t key)
{
	struct tree_node *path[HEIGHT_MAX];
	uint64_t ways[HEIGHT_MAX];
	struct tree_node *node = tree->root;
	uint32_t level;

	for (level = tree->height; level; level--) {
		path[level] = node;
		ways[level] = child_of(node, key);
		node = node->values[ways[level]];
	}
	node_close(node, keys_below(node, key));
	tree->count--;
	if (node->count) {
		if (tree->height && node->count < JOIN_BELOW &&
		    !leaves_join(tree, path[1], ways[1]) && ways[1])
			leaves_join(tree, path[1], ways[1] - 1);
	} else {
		leaf_free(tree, node);
		for (level = 1; level <= tree->height; level++) {
			node_close(path[level], ways[level]);
			if (path[level]->count)
				break;
			pool_free(&tree->nodes, path[level]);
		}
		if (level > tree->height)
			tree->root = NULL;
	}
	if (!tree->root)
		tree->height = 0;
	while (tree->height && tree->root->count == 1) {
		node = tree->root;
		tree->root = node->values[0];
		tree->height--;
		pool_free(&tree->nodes, node);
	}
}

/* ---- many at once --------------------------------------------------------------- */

/* Frees the nodes above the leaves. */
static void inner_free(struct tree *tree, struct tree_node *node, uint32_t level)
{
	uint64_t i;

	if (!level)
		return;
	for (i = 0; i < node->count; i++)
		inner_free(tree, node->values[i], level - 1);
	pool_free(&tree->nodes, node);
}

/*
 * Makes them anew. No more are needed than were freed: on each level there are fewer children, and
 * all nodes are full.
 */
static void inner_make(struct tree *tree)
{
	struct tree_node *below = tree->first;

	tree->height = 0;
	while (below && (tree->height ? below->prev : below->next)) {
		struct tree_node *nodes = NULL, *node = NULL, *next;

		/* Those of a level above the leaves are linked by @prev meanwhile. */
		for (; below; below = next) {
			next = tree->height ? below->prev : below->next;
			if (tree->height)
				below->prev = NULL;
			if (!node || node->count == TREE_FANOUT) {
				struct tree_node *new = pool_alloc(&tree->nodes);

				*new = (struct tree_node) { .count = 0 };
				if (node)
					node->prev = new;
				else
					nodes = new;
				node = new;
			}
			node->keys[node->count] = below->keys[0];
			node->values[node->count++] = below;
		}
		below = nodes;
		tree->height++;
	}
	tree->root = below;
}

static void leaf_filter(struct tree_node *leaf)
{
	uint64_t kept = 0, i;

	for (i = 0; i < leaf->count; i++) {
		leaf->keys[kept] = leaf->keys[i];
		leaf->values[kept] = leaf->values[i];
		kept += !!leaf->values[i];
	}
	leaf->count = kept;
}

void tree_compact(struct tree *tree)
{
	struct tree_node *leaf, *next;
	bool is_other = false;

	for (leaf = tree->first; leaf; leaf = next) {
		struct tree_node *prev = leaf->prev;
		uint64_t before = leaf->count;

		next = leaf->next;
		leaf_filter(leaf);
		tree->count -= before - leaf->count;
		if (leaf->count && (!prev || prev->count + leaf->count > JOINED_MAX))
			continue;
		if (!is_other)
			inner_free(tree, tree->root, tree->height);
		is_other = true;
		if (leaf->count)
			leaf_append(prev, leaf);
		leaf_free(tree, leaf);
	}
	if (is_other)
		inner_make(tree);
}

void tree_destroy(struct tree *tree)
{
	pool_destroy(&tree->nodes);
	tree_init(tree);
}

/* ---- soundness -------------------------------------------------------------------- */

/* @leaf: the next one that there must be. */
static bool node_is_sound(const struct tree_node *node, uint32_t level, uint64_t least,
			  uint64_t end, const struct tree_node **leaf)
{
	uint64_t i;

	if (!node->count || node->count > TREE_FANOUT)
		return false;
	for (i = 0; i < node->count; i++) {
		uint64_t from = i || !level ? node->keys[i] : least;
		uint64_t to = i + 1 < node->count ? node->keys[i + 1] : end;

		if (from < least || from >= to)
			return false;
		if (level && !node_is_sound(node->values[i], level - 1, from, to, leaf))
			return false;
	}
	if (level)
		return true;
	if (node != *leaf || (node->next && node->next->prev != node))
		return false;
	if (node->end <= node->keys[node->count - 1] || node->end > end)
		return false;
	*leaf = node->next;
	return true;
}

bool tree_is_sound(const struct tree *tree)
{
	const struct tree_node *leaf = tree->first;
	uint64_t count = 0;

	if (!tree->root)
		return !tree->first && !tree->count;
	if (!node_is_sound(tree->root, tree->height, 0, UINT64_MAX, &leaf) || leaf)
		return false;
	for (leaf = tree->first; leaf; leaf = leaf->next)
		count += leaf->count;
	return count == tree->count;
}
