// SPDX-License-Identifier: MIT
/*
 * The workloads on allocators that free by hand: mimalloc and the C library's. Both are
 * called by pointers, as shared libraries are anyway.
 */
#include "programs.h"
#include "../peers.h"

static void *(*do_calloc)(size_t n, size_t bytes);
static void (*do_free)(void *p);

static inline void *known(void *object)
{
	if (!object)
		bench_fail("malloc", "out of memory");
	return object;
}

#define NEW_TREE()		((struct tree *)known(do_calloc(1, sizeof(struct tree))))
#define NEW_NODE()		((struct node *)known(do_calloc(1, sizeof(struct node))))
#define NEW_ARRAY(bytes)	known(do_calloc(1, bytes))
#define FREE(p)			do_free(p)
#define IS_COLLECTED		0
#define THREAD_BEGIN()		((void)0)
#define THREAD_END()		((void)0)
#define BLOCK_BEGIN()		((void)0)
#define BLOCK_END()		((void)0)
#define KEEP(variable)		((void)(variable))

#include "workloads.h"

const struct workloads *mimalloc_workloads(const char *library)
{
	struct mimalloc mi = mimalloc_open(library);

	do_calloc = mi.calloc;
	do_free = mi.free;
	return &workloads;
}

const struct workloads *libc_workloads(void)
{
	do_calloc = calloc;
	do_free = free;
	return &workloads;
}
