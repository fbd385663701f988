// SPDX-License-Identifier: MIT
/*
 * The workloads on bdwgc, which finds all roots by itself.
 */
#include "programs.h"
#include "../peers.h"

static struct bdwgc gc;

static inline void *known(void *object)
{
	if (!object)
		bench_fail("bdwgc", "out of memory");
	return object;
}

/* Numbers come as they are. */
static void *array_new(size_t bytes)
{
	void *array = known(gc.malloc_atomic(bytes));

	memset(array, 0, bytes);
	return array;
}

#define NEW_TREE()		((struct tree *)known(gc.malloc(sizeof(struct tree))))
#define NEW_NODE()		((struct node *)known(gc.malloc(sizeof(struct node))))
#define NEW_ARRAY(bytes)	array_new(bytes)
#define FREE(p)			((void)(p))
#define IS_COLLECTED		1
#define THREAD_BEGIN()		bdwgc_register(&gc)
#define THREAD_END()		gc.unregister_my_thread()
#define BLOCK_BEGIN()		((void)0)
#define BLOCK_END()		((void)0)
#define KEEP(variable)		((void)(variable))

#include "workloads.h"

const struct workloads *bdwgc_workloads(const char *library)
{
	gc = bdwgc_open(library, 0);
	return &workloads;
}
