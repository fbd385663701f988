// SPDX-License-Identifier: MIT
/*
 * The workloads on gcheap, with conservative stacks, as a program's first version has them.
 */
#include <gcheap.h>

#include "programs.h"

static struct gcheap *heap;
static __thread struct gcheap_thread *thread;
static gcheap_type tree_type, node_type;

static void fail(void)
{
	bench_fail("gcheap", gcheap_error());
}

static inline void *known(void *object)
{
	if (!object)
		fail();
	return object;
}

static void attach(void)
{
	if (gcheap_thread_attach(heap, &thread))
		fail();
}

static void keep(void *variable)
{
	if (gcheap_root_add(heap, variable, 1))
		fail();
}

#define NEW_TREE()		((struct tree *)known(gcheap_new(thread, tree_type)))
#define NEW_NODE()		((struct node *)known(gcheap_new(thread, node_type)))
#define NEW_ARRAY(bytes)	known(gcheap_new_leaf(thread, bytes))
#define FREE(p)			((void)(p))
#define IS_COLLECTED		1
#define THREAD_BEGIN()		attach()
#define THREAD_END()		gcheap_thread_detach(thread)
#define BLOCK_BEGIN()		gcheap_park(thread)
#define BLOCK_END()		gcheap_unpark(thread)
#define KEEP(variable)		keep(&(variable))

#include "workloads.h"

const struct workloads *gcheap_workloads(void)
{
	if (gcheap_open(NULL, &heap))
		fail();
	attach();
	tree_type = GCHEAP_TYPE(heap, struct tree, left, right);
	node_type = GCHEAP_TYPE(heap, struct node, left, right);
	if (!tree_type || !node_type)
		fail();
	return &workloads;
}
