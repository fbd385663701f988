// SPDX-License-Identifier: MIT
/*
 * The workloads on bdwgc, which finds all roots by itself.
 */
#define GC_THREADS
#define GC_NO_THREAD_REDIRECTS
#include <dlfcn.h>
#include <gc/gc.h>

#include "programs.h"

static void *(*do_malloc)(size_t bytes);
static void *(*do_malloc_atomic)(size_t bytes);
static int (*do_stack_base)(struct GC_stack_base *base);
static int (*do_register)(const struct GC_stack_base *base);
static int (*do_unregister)(void);

static inline void *known(void *object)
{
	if (!object)
		bench_fail("bdwgc", "out of memory");
	return object;
}

/* Numbers come as they are. */
static void *array_new(size_t bytes)
{
	void *array = known(do_malloc_atomic(bytes));

	memset(array, 0, bytes);
	return array;
}

static void thread_begin(void)
{
	struct GC_stack_base base;

	if (do_stack_base(&base) || do_register(&base))
		bench_fail("bdwgc", "a thread is not known");
}

#define NEW_TREE()		((struct tree *)known(do_malloc(sizeof(struct tree))))
#define NEW_NODE()		((struct node *)known(do_malloc(sizeof(struct node))))
#define NEW_ARRAY(bytes)	array_new(bytes)
#define FREE(p)			((void)(p))
#define IS_COLLECTED		1
#define THREAD_BEGIN()		thread_begin()
#define THREAD_END()		do_unregister()
#define BLOCK_BEGIN()		((void)0)
#define BLOCK_END()		((void)0)
#define KEEP(variable)		((void)(variable))

#include "workloads.h"

const struct workloads *bdwgc_workloads(const char *library)
{
	void (*init)(void) = GC_init, (*allow)(void) = GC_allow_register_threads;
	void *handle;

	do_malloc = GC_malloc;
	do_malloc_atomic = GC_malloc_atomic;
	do_stack_base = GC_get_stack_base;
	do_register = GC_register_my_thread;
	do_unregister = GC_unregister_my_thread;
	if (library) {
		handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
		if (!handle)
			bench_fail(library, dlerror());
		*(void **)&do_malloc = symbol_of(handle, "GC_malloc");
		*(void **)&do_malloc_atomic = symbol_of(handle, "GC_malloc_atomic");
		*(void **)&do_stack_base = symbol_of(handle, "GC_get_stack_base");
		*(void **)&do_register = symbol_of(handle, "GC_register_my_thread");
		*(void **)&do_unregister = symbol_of(handle, "GC_unregister_my_thread");
		*(void **)&init = symbol_of(handle, "GC_init");
		*(void **)&allow = symbol_of(handle, "GC_allow_register_threads");
	}
	init();
	allow();
	return &workloads;
}
