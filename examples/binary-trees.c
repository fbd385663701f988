// SPDX-License-Identifier: MIT
/*
 * binary-trees of the Benchmarks Game, on gcheap.
 *
 * It builds and drops many complete binary trees, a few large and a lot of small
 * ones, beside one tree that lives as long as the program: a stress test for
 * allocation and for collections that find little alive.
 *
 * The program's own output goes to stdout and is the same everywhere; the
 * collector's figures go to stderr. GCHEAP_BACKEND=device or local in the
 * environment chooses the heap, GCHEAP_TRACE=gc shows each cycle.
 *
 *	binary-trees [DEPTH]
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <gcheap.h>

#include "figures.h"

struct node {
	struct node *left, *right;
};

#define MIN_DEPTH	4
#define MAX_DEPTH	40

static struct gcheap *heap;
static struct gcheap_thread *thread;
static gcheap_type node_type;

/*
 * The tree that lives to the end. A variable outside the stack is a root only
 * when it is registered: see gcheap_root_add() below.
 */
static struct node *long_lived;

static _Noreturn void fail(void)
{
	fprintf(stderr, "binary-trees: %s\n", gcheap_error());
	gcheap_thread_detach(thread);
	gcheap_close(heap);
	exit(1);
}

/*
 * A collection may start in any gcheap_new(), and finds @node because it is in a
 * register or on the stack, which this heap's collector scans.
 */
static struct node *bottom_up_tree(int depth)
{
	struct node *node = gcheap_new(thread, node_type);

	if (!node)
		fail();
	if (depth > 0) {
		gcheap_store(thread, &node->left, bottom_up_tree(depth - 1));
		gcheap_store(thread, &node->right, bottom_up_tree(depth - 1));
	}
	return node;
}

static long item_check(const struct node *node)
{
	if (!node->left)
		return 1;
	return 1 + item_check(node->left) + item_check(node->right);
}

static void run(int max_depth)
{
	int depth;

	printf("stretch tree of depth %d\t check: %ld\n", max_depth + 1,
	       item_check(bottom_up_tree(max_depth + 1)));

	long_lived = bottom_up_tree(max_depth);
	for (depth = MIN_DEPTH; depth <= max_depth; depth += 2) {
		long trees = 1L << (max_depth - depth + MIN_DEPTH);
		long check = 0, i;

		for (i = 0; i < trees; i++)
			check += item_check(bottom_up_tree(depth));
		printf("%ld\t trees of depth %d\t check: %ld\n", trees, depth, check);
	}
	printf("long lived tree of depth %d\t check: %ld\n", max_depth, item_check(long_lived));
}

static int depth_argument(const char *text)
{
	char *end;
	long depth;

	errno = 0;
	depth = strtol(text, &end, 10);
	if (errno || end == text || *end || depth < 0 || depth > MAX_DEPTH) {
		fprintf(stderr, "usage: binary-trees [DEPTH]\nDEPTH is 0 to %d, 16 unless told\n",
			MAX_DEPTH);
		exit(2);
	}
	return depth > MIN_DEPTH + 2 ? (int)depth : MIN_DEPTH + 2;
}

int main(int argc, char **argv)
{
	double start = figures_seconds();
	int depth = depth_argument(argc > 1 ? argv[1] : "16");

	/* NULL: the default configuration; the environment may change it. */
	if (gcheap_open(NULL, &heap))
		fail();
	if (gcheap_thread_attach(heap, &thread))
		fail();
	/* The collector knows from this that a node is two pointers. */
	node_type = GCHEAP_TYPE(heap, struct node, left, right);
	if (!node_type)
		fail();
	if (gcheap_root_add(heap, &long_lived, 1))
		fail();

	run(depth);
	if (fflush(stdout)) {
		perror("binary-trees: stdout");
		return 1;
	}
	if (figures_print(stderr, heap, start))
		fail();

	gcheap_thread_detach(thread);
	gcheap_close(heap);
	return 0;
}
