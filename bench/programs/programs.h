/* SPDX-License-Identifier: MIT */
/*
 * Whole programs, each on several allocators: what the parts share.
 *
 * A workload is written once (workloads.h), and compiled for each system with its own
 * calls inlined (gcheap.c, malloc.c, bdwgc.c). What it computes is returned and compared.
 */
#ifndef GCHEAP_BENCH_PROGRAMS_H
#define GCHEAP_BENCH_PROGRAMS_H

#include <stddef.h>
#include <stdint.h>

#include "../bench.h"

/**
 * struct workloads - the workloads, as one system runs them
 * @trees: binary-trees of the given depth; each of @threads makes all trees for itself
 * @gcbench: Boehm's GCBench
 * @list: a list of @nodes nodes, and half as many objects dropped beside it
 */
struct workloads {
	uint64_t (*trees)(unsigned int depth, unsigned int threads);
	uint64_t (*gcbench)(void);
	uint64_t (*list)(unsigned long nodes);
};

/* Each opens its system in the process that calls it, which does nothing else. */
const struct workloads *gcheap_workloads(void);
/* With a library of the system's own; NULL: the one that is installed. */
const struct workloads *mimalloc_workloads(const char *library);
const struct workloads *bdwgc_workloads(const char *library);
const struct workloads *libc_workloads(void);

#endif /* GCHEAP_BENCH_PROGRAMS_H */
