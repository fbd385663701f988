/* SPDX-License-Identifier: MIT */
/*
 * The configuration that gcheap_open() was given: the environment overrides it, and it is
 * checked.
 */
#ifndef GCHEAP_LIB_CONFIG_H
#define GCHEAP_LIB_CONFIG_H

#include <stdbool.h>

#include <gcheap.h>

struct mark_kernel;

/* Who stops threads: the kernel if it can, or the signal; the kernel or nobody; the signal. */
enum settings_stop { STOP_AUTO, STOP_KERNEL, STOP_SIGNAL };

/**
 * struct settings - how to open a heap
 * @config: complete, with a reserve that is not 0
 * @any_reserve: nobody asked for a reserve of this size: a smaller one will do
 * @trace_gc: print a line a cycle
 * @uring: sweeps may run in the background, by io_uring
 * @kernel: how markers scan; NULL: as well as the CPU can
 * @stop: who stops threads
 * @guards: AddressSanitizer or valgrind, where there is one, is told what is in use
 */
struct settings {
	struct gcheap_config config;
	bool any_reserve;
	bool trace_gc;
	bool uring;
	bool guards;
	enum settings_stop stop;
	const struct mark_kernel *kernel;
};

/**
 * settings_read() - put the settings together
 * @config: the program's, or NULL
 * @settings: receives them
 *
 * Return: 0; -EINVAL, -E2BIG or -EOPNOTSUPP, with gcheap_error() set.
 */
int settings_read(const struct gcheap_config *config, struct settings *settings);

#endif /* GCHEAP_LIB_CONFIG_H */
