/* SPDX-License-Identifier: MIT */
/*
 * What benchmarks run beside: bdwgc and mimalloc, each as this machine has it installed, and
 * the newest, which `scripts/setup peers` has unpacked into the cache. Each is opened by its
 * file in a process that opens no other: two versions of a library in one process would call
 * each other, and a collector would read its neighbour's tables.
 *
 * GCHEAP_BENCH_MIMALLOC and GCHEAP_BENCH_LIBGC name other libraries than the newest; with
 * nothing in them, only what is installed is measured.
 */
#ifndef GCHEAP_BENCH_PEERS_H
#define GCHEAP_BENCH_PEERS_H

#include <dlfcn.h>
#include <gc/gc.h>
#include <gnu/libc-version.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

#define PEERS_PATH	4096u

/* ---- where they are ------------------------------------------------------------------ */

/* Writes the path of a file of the newest peers to @path; returns whether it is there. */
static inline int peers_file(char path[PEERS_PATH], const char *file)
{
	const char *cache = getenv("GCHEAP_CACHE");
	const char *shared = getenv("XDG_CACHE_HOME");
	const char *home = getenv("HOME");
	int length = -1;

	if (cache && *cache)
		length = snprintf(path, PEERS_PATH, "%s/peers/%s", cache, file);
	else if (shared && *shared)
		length = snprintf(path, PEERS_PATH, "%s/gcheap/peers/%s", shared, file);
	else if (home)
		length = snprintf(path, PEERS_PATH, "%s/.cache/gcheap/peers/%s", home, file);
	return length > 0 && (unsigned int)length < PEERS_PATH && !access(path, R_OK);
}

static inline const char *peers_newest(char path[PEERS_PATH], const char *variable,
				       const char *file)
{
	const char *other = getenv(variable);

	if (other)
		return *other ? other : NULL;
	return peers_file(path, file) ? path : NULL;
}

/* The libraries of the newest peers; NULL: there is none. */
static inline const char *newest_mimalloc(void)
{
	static char path[PEERS_PATH];

	return peers_newest(path, "GCHEAP_BENCH_MIMALLOC", "mimalloc/library");
}

static inline const char *newest_bdwgc(void)
{
	static char path[PEERS_PATH];

	return peers_newest(path, "GCHEAP_BENCH_LIBGC", "libgc/library");
}

/* The path of a program that was built beside this one, whether it is there or not. */
static inline void peers_beside(char path[PEERS_PATH], const char *name)
{
	const char *self = getenv("BENCH_SELF");
	ssize_t length;
	char *slash;

	if (self)
		length = snprintf(path, PEERS_PATH, "%s", self);
	else
		length = readlink("/proc/self/exe", path, PEERS_PATH - 1);
	path[length > 0 && length < (ssize_t)PEERS_PATH ? length : 0] = '\0';
	slash = strrchr(path, '/');
	if (slash && strlen(name) < PEERS_PATH - (size_t)(slash + 1 - path))
		strcpy(slash + 1, name);
}

/*
 * Where the newest bdwgc was linked with a later libc than this machine has, runs the program
 * once more, with that: for all systems, so that they differ by nothing else. First thing in
 * main().
 */
static inline void peers_begin(char **argv)
{
	char loader[PEERS_PATH], libc[PEERS_PATH], self[PEERS_PATH];
	char **again;
	size_t n = 0;
	ssize_t length;

	if (getenv("BENCH_SELF") || getenv("GCHEAP_BENCH_LIBGC") ||
	    !peers_file(libc, "libgc/libc") ||
	    !peers_file(loader, "libgc/libc/ld-linux-x86-64.so.2"))
		return;
	length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	while (argv[n])
		n++;
	again = calloc(n + 5, sizeof(*again));
	if (length <= 0 || !again)
		return;
	self[length] = '\0';
	again[0] = loader;
	again[1] = (char *)"--library-path";
	again[2] = libc;
	again[3] = self;
	memcpy(again + 4, argv + 1, n * sizeof(*again));
	setenv("BENCH_SELF", self, 1);
	execv(loader, again);
	bench_fail(loader, "cannot be run");
}

/* ---- opened --------------------------------------------------------------------------- */

static inline void *peer_open(const char *library)
{
	void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);

	if (!handle)
		bench_fail(library, dlerror());
	return handle;
}

/* A function of a library that was opened: it is there, or the program ends. */
static inline void *peer_symbol(void *handle, const char *name)
{
	void *symbol = dlsym(handle, name);

	if (!symbol)
		bench_fail(name, dlerror());
	return symbol;
}

/**
 * struct mimalloc - mimalloc's functions, by the names that it has
 */
struct mimalloc {
	void *(*malloc)(size_t bytes);
	void *(*calloc)(size_t n, size_t bytes);
	void (*free)(void *p);
	int (*version)(void);
};

/* @library: NULL: the one that is installed. */
static inline struct mimalloc mimalloc_open(const char *library)
{
	void *handle = peer_open(library ? library : "libmimalloc.so.2");
	struct mimalloc mi;

	*(void **)&mi.malloc = peer_symbol(handle, "mi_malloc");
	*(void **)&mi.calloc = peer_symbol(handle, "mi_calloc");
	*(void **)&mi.free = peer_symbol(handle, "mi_free");
	*(void **)&mi.version = peer_symbol(handle, "mi_version");
	return mi;
}

/**
 * struct bdwgc - bdwgc's functions, by the names that it has
 */
struct bdwgc {
	void *(*malloc)(size_t bytes);
	void *(*malloc_atomic)(size_t bytes);
	int (*get_stack_base)(struct GC_stack_base *base);
	int (*register_my_thread)(const struct GC_stack_base *base);
	int (*unregister_my_thread)(void);
	void (*set_on_collection_event)(GC_on_collection_event_proc event);
	void (*disable)(void);
	void (*enable)(void);
	int (*is_disabled)(void);
	void (*gcollect)(void);
	size_t (*get_heap_size)(void);
	size_t (*get_free_bytes)(void);
	unsigned int (*get_version)(void);
};

/* @library: as above. @markers: 0: as many as it takes by itself. */
static inline struct bdwgc bdwgc_open(const char *library, unsigned int markers)
{
	void *handle = peer_open(library ? library : "libgc.so.1");
	void (*set_markers)(unsigned int n), (*init)(void), (*allow)(void);
	struct bdwgc gc;

	*(void **)&set_markers = peer_symbol(handle, "GC_set_markers_count");
	*(void **)&init = peer_symbol(handle, "GC_init");
	*(void **)&allow = peer_symbol(handle, "GC_allow_register_threads");
	*(void **)&gc.malloc = peer_symbol(handle, "GC_malloc");
	*(void **)&gc.malloc_atomic = peer_symbol(handle, "GC_malloc_atomic");
	*(void **)&gc.get_stack_base = peer_symbol(handle, "GC_get_stack_base");
	*(void **)&gc.register_my_thread = peer_symbol(handle, "GC_register_my_thread");
	*(void **)&gc.unregister_my_thread = peer_symbol(handle, "GC_unregister_my_thread");
	*(void **)&gc.set_on_collection_event =
		peer_symbol(handle, "GC_set_on_collection_event");
	*(void **)&gc.disable = peer_symbol(handle, "GC_disable");
	*(void **)&gc.enable = peer_symbol(handle, "GC_enable");
	*(void **)&gc.is_disabled = peer_symbol(handle, "GC_is_disabled");
	*(void **)&gc.gcollect = peer_symbol(handle, "GC_gcollect");
	*(void **)&gc.get_heap_size = peer_symbol(handle, "GC_get_heap_size");
	*(void **)&gc.get_free_bytes = peer_symbol(handle, "GC_get_free_bytes");
	*(void **)&gc.get_version = peer_symbol(handle, "GC_get_version");
	if (markers)
		set_markers(markers);
	init();
	allow();
	return gc;
}

/* A thread that the program has made with pthread_create(). */
static inline void bdwgc_register(const struct bdwgc *gc)
{
	struct GC_stack_base base;

	if (gc->get_stack_base(&base) || gc->register_my_thread(&base))
		bench_fail("bdwgc", "a thread is not known");
}

/* ---- which they are ------------------------------------------------------------------- */

/* What a library says of its version: opened in a process that ends at once. */
static inline void peer_version(char text[32], const char *name, const char *library)
{
	int pipes[2];
	ssize_t length;

	snprintf(text, 32, "%s", name);
	fflush(stdout);
	if (pipe(pipes))
		return;
	if (!fork()) {
		char version[32];
		int n;

		if (strcmp(name, "mimalloc")) {
			unsigned int v = bdwgc_open(library, 1).get_version();

			n = snprintf(version, sizeof(version), "%s %u.%u.%u", name, v >> 16,
				     v >> 8 & 0xff, v & 0xff);
		} else {
			int v = mimalloc_open(library).version();

			/* 3 digits up to 2.x, 2 for each part from then on. */
			n = v < 10000 ? snprintf(version, sizeof(version), "%s %d.%d.%d", name,
						 v / 100, v / 10 % 10, v % 10) :
				snprintf(version, sizeof(version), "%s %d.%d.%d", name, v / 10000,
					 v / 100 % 100, v % 100);
		}
		_exit(write(pipes[1], version, (size_t)n) != n);
	}
	close(pipes[1]);
	length = read(pipes[0], text, 31);
	text[length > 0 ? length : 0] = '\0';
	close(pipes[0]);
}

/* One line: which versions are measured, and with which libc. */
static inline void peers_print(void)
{
	char text[32];

	peer_version(text, "mimalloc", NULL);
	printf("peers: %s", text);
	if (newest_mimalloc()) {
		peer_version(text, "mimalloc", newest_mimalloc());
		printf(", * %s", text);
	}
	peer_version(text, "bdwgc", NULL);
	printf(", %s", text);
	if (newest_bdwgc()) {
		peer_version(text, "bdwgc", newest_bdwgc());
		printf(", * %s", text);
	}
	printf("; libc %s%s\n", gnu_get_libc_version(),
	       newest_mimalloc() && newest_bdwgc() ? "" :
	       "; no newest of all: scripts/setup peers");
}

#endif /* GCHEAP_BENCH_PEERS_H */
