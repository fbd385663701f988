/* SPDX-License-Identifier: MIT */
/*
 * The workloads, for a system that has defined before it includes this, once:
 *
 *	NEW_TREE(), NEW_NODE(), NEW_ARRAY(bytes)	a struct tree, a struct node, numbers;
 *							all zeroed
 *	FREE(p)						it is not needed any more
 *	IS_COLLECTED					FREE() does nothing: do not walk trees for it
 *	THREAD_BEGIN(), THREAD_END()			around what a further thread does
 *	BLOCK_BEGIN(), BLOCK_END()			around what waits for others
 *	KEEP(variable)					a static variable is a root
 *
 * Each thread's pointers are on its stack, or in a variable that is kept.
 */
#include <pthread.h>

struct tree {
	struct tree *left, *right;
};

struct node {
	struct node *left, *right;
	int i, j;
};

#define THREADS_MAX	16u

/* ---- binary-trees ----------------------------------------------------------------------- */

static struct tree *tree_make(unsigned int depth)
{
	struct tree *tree = NEW_TREE();

	if (depth) {
		tree->left = tree_make(depth - 1);
		tree->right = tree_make(depth - 1);
	}
	return tree;
}

static uint64_t tree_count(const struct tree *tree)
{
	return tree->left ? 1 + tree_count(tree->left) + tree_count(tree->right) : 1;
}

static void tree_free(struct tree *tree)
{
	if (IS_COLLECTED)
		return;
	if (tree->left) {
		tree_free(tree->left);
		tree_free(tree->right);
	}
	FREE(tree);
}

static uint64_t trees_all(unsigned int depth)
{
	struct tree *tree = tree_make(depth + 1);
	uint64_t sum = tree_count(tree);
	struct tree *long_lived;
	unsigned int d;

	tree_free(tree);
	long_lived = tree_make(depth);
	for (d = 4; d <= depth; d += 2) {
		uint64_t i, n = (uint64_t)1 << (depth - d + 4);

		for (i = 0; i < n; i++) {
			tree = tree_make(d);
			sum += tree_count(tree);
			tree_free(tree);
		}
	}
	sum += tree_count(long_lived);
	tree_free(long_lived);
	return sum;
}

struct trees_part {
	pthread_t self;
	unsigned int depth;
	uint64_t sum;
};

static void *trees_thread(void *arg)
{
	struct trees_part *part = arg;

	THREAD_BEGIN();
	part->sum = trees_all(part->depth);
	THREAD_END();
	return NULL;
}

static uint64_t trees(unsigned int depth, unsigned int threads)
{
	struct trees_part parts[THREADS_MAX];
	uint64_t sum = 0;
	unsigned int i;

	if (threads == 1)
		return trees_all(depth);
	for (i = 0; i < threads && i < THREADS_MAX; i++) {
		parts[i].depth = depth;
		if (pthread_create(&parts[i].self, NULL, trees_thread, &parts[i]))
			bench_fail("trees", "no thread");
	}
	BLOCK_BEGIN();
	for (i = 0; i < threads && i < THREADS_MAX; i++) {
		pthread_join(parts[i].self, NULL);
		sum += parts[i].sum;
	}
	BLOCK_END();
	return sum;
}

/* ---- GCBench ---------------------------------------------------------------------------- */

#define STRETCH_DEPTH	18u
#define LONG_DEPTH	16u
#define ARRAY_NUMBERS	500000u
#define DEPTH_MIN	4u
#define DEPTH_MAX	16u

static struct node *node_make(unsigned int depth)
{
	struct node *left, *right, *node;

	if (!depth)
		return NEW_NODE();
	left = node_make(depth - 1);
	right = node_make(depth - 1);
	node = NEW_NODE();
	node->left = left;
	node->right = right;
	return node;
}

/* From the root down: each node is a root's before it has children. */
static void node_populate(unsigned int depth, struct node *node)
{
	if (!depth)
		return;
	node->left = NEW_NODE();
	node->right = NEW_NODE();
	node_populate(depth - 1, node->left);
	node_populate(depth - 1, node->right);
}

static uint64_t node_count(const struct node *node)
{
	return node ? 1 + node_count(node->left) + node_count(node->right) : 0;
}

static void node_free(struct node *node)
{
	if (IS_COLLECTED || !node)
		return;
	node_free(node->left);
	node_free(node->right);
	FREE(node);
}

static uint64_t tree_size(unsigned int depth)
{
	return ((uint64_t)1 << (depth + 1)) - 1;
}

static uint64_t gcbench(void)
{
	struct node *node = node_make(STRETCH_DEPTH);
	struct node *long_lived = NEW_NODE();
	uint64_t sum = 0;
	unsigned int depth;
	double *array;
	uint64_t i;

	node_free(node);
	node_populate(LONG_DEPTH, long_lived);
	array = NEW_ARRAY(ARRAY_NUMBERS * sizeof(double));
	for (i = 0; i < ARRAY_NUMBERS / 2; i++)
		array[i] = 1.0 / (double)(i + 1);
	for (depth = DEPTH_MIN; depth <= DEPTH_MAX; depth += 2) {
		uint64_t n = 2 * tree_size(STRETCH_DEPTH) / tree_size(depth);

		for (i = 0; i < n; i++) {
			node = NEW_NODE();
			node_populate(depth, node);
			sum += node->left != NULL;
			node_free(node);
		}
		for (i = 0; i < n; i++) {
			node = node_make(depth);
			sum += node->left != NULL;
			node_free(node);
		}
	}
	sum += node_count(long_lived);
	if (array[1000] != 1.0 / 1001)
		bench_fail("gcbench", "the array has changed");
	FREE(array);
	node_free(long_lived);
	return sum;
}

/* ---- a long list ------------------------------------------------------------------------ */

static struct tree *list_head;

static uint64_t list(unsigned long nodes)
{
	const struct tree *tree;
	uint64_t sum = 0;
	unsigned long i;

	KEEP(list_head);
	for (i = 0; i < nodes; i++) {
		struct tree *head = NEW_TREE();

		head->left = list_head;
		list_head = head;
		if (i % 2) {
			struct tree *garbage = NEW_TREE();

			garbage->left = head;
			FREE(garbage);
		}
	}
	for (tree = list_head; tree; tree = tree->left)
		sum++;
	while (!IS_COLLECTED && list_head) {
		struct tree *next = list_head->left;

		FREE(list_head);
		list_head = next;
	}
	return sum;
}

static const struct workloads workloads = { trees, gcbench, list };
