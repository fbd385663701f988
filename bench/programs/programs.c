// SPDX-License-Identifier: MIT
/* link: -lgc -lmimalloc -ldl */
/*
 * Whole programs on gcheap, mimalloc, bdwgc and the C library's malloc: binary-trees, also
 * with a tree a thread, GCBench, a long list. Wall time and peak resident memory; medians of
 * several rounds in which all systems take turns, each run in a process of its own.
 *
 *	programs [rounds] [depth] [list nodes]		5 18 10000000
 *
 * Further versions of the peers run beside those that the program is linked with:
 * GCHEAP_BENCH_MIMALLOC and GCHEAP_BENCH_LIBGC name their libraries. What each computes
 * is compared: a program that lost an object does not go unnoticed.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "programs.h"
#include "../distance.h"

#define ROUNDS_MAX	32u

enum system_name { GCHEAP, MIMALLOC, MIMALLOC_LATER, BDWGC, BDWGC_LATER, LIBC, SYSTEMS };

static const char *const system_names[SYSTEMS] = {
	"gcheap", "mimalloc", "mimalloc*", "bdwgc", "bdwgc*", "libc",
};

/**
 * struct result - what one run has told
 * @sum: what it computed
 * @ns: how long it took, without opening
 */
struct result {
	uint64_t sum;
	double ns;
};

static unsigned int depth;
static unsigned long list_nodes;

static uint64_t run_trees(const struct workloads *work)
{
	return work->trees(depth, 1);
}

static uint64_t run_trees_2(const struct workloads *work)
{
	return work->trees(depth, 2);
}

static uint64_t run_trees_8(const struct workloads *work)
{
	return work->trees(depth - 2, 8);
}

static uint64_t run_gcbench(const struct workloads *work)
{
	return work->gcbench();
}

static uint64_t run_list(const struct workloads *work)
{
	return work->list(list_nodes);
}

static const struct {
	const char *name;
	uint64_t (*run)(const struct workloads *work);
} programs[] = {
	{ "binary-trees", run_trees },
	{ "binary-trees, 2 threads", run_trees_2 },
	{ "binary-trees - 2, 8 threads", run_trees_8 },
	{ "GCBench", run_gcbench },
	{ "list", run_list },
};

#define PROGRAMS	(sizeof(programs) / sizeof(programs[0]))

void *symbol_of(void *library, const char *name)
{
	void *symbol = dlsym(library, name);

	if (!symbol)
		bench_fail(name, dlerror());
	return symbol;
}

static const char *later(enum system_name system)
{
	const char *library = getenv(system == MIMALLOC_LATER ? "GCHEAP_BENCH_MIMALLOC" :
				     "GCHEAP_BENCH_LIBGC");

	return library && *library ? library : NULL;
}

static int is_here(enum system_name system)
{
	return (system != MIMALLOC_LATER && system != BDWGC_LATER) || later(system);
}

static const struct workloads *open_system(enum system_name system)
{
	switch (system) {
	case GCHEAP:
		return gcheap_workloads();
	case MIMALLOC:
	case MIMALLOC_LATER:
		return mimalloc_workloads(system == MIMALLOC ? NULL : later(system));
	case BDWGC:
	case BDWGC_LATER:
		return bdwgc_workloads(system == BDWGC ? NULL : later(system));
	default:
		return libc_workloads();
	}
}

static void child_run(unsigned int program, enum system_name system, int out)
{
	const struct workloads *work = open_system(system);
	double begin = bench_ns();
	struct result result;

	result.sum = programs[program].run(work);
	result.ns = bench_ns() - begin;
	if (write(out, &result, sizeof(result)) != sizeof(result))
		_exit(1);
	_exit(0);
}

/* Returns peak resident KiB. */
static double run_once(unsigned int program, enum system_name system, struct result *result)
{
	struct rusage usage;
	int pipes[2], status;
	ssize_t bytes;
	pid_t child;

	fflush(stdout);
	if (pipe(pipes))
		bench_fail("pipe", "no descriptors");
	child = fork();
	if (child < 0)
		bench_fail("fork", "no process");
	if (!child) {
		close(pipes[0]);
		child_run(program, system, pipes[1]);
	}
	close(pipes[1]);
	bytes = read(pipes[0], result, sizeof(*result));
	close(pipes[0]);
	if (wait4(child, &status, 0, &usage) != child || status || bytes != sizeof(*result))
		bench_fail(system_names[system], "did not end well");
	return (double)usage.ru_maxrss;
}

static void run_program(unsigned int program, unsigned int rounds)
{
	double ms[SYSTEMS][ROUNDS_MAX], kib[SYSTEMS][ROUNDS_MAX];
	double median_ms[SYSTEMS] = { 0 }, median_kib[SYSTEMS] = { 0 };
	uint64_t sum = 0;
	unsigned int r, s;

	for (r = 0; r < rounds; r++) {
		for (s = 0; s < SYSTEMS; s++) {
			struct result result;

			if (!is_here((enum system_name)s))
				continue;
			kib[s][r] = run_once(program, (enum system_name)s, &result);
			ms[s][r] = result.ns / 1e6;
			if (sum && result.sum != sum)
				bench_fail(system_names[s], "computed something else");
			sum = result.sum;
		}
	}
	printf("%-28s", programs[program].name);
	for (s = 0; s < SYSTEMS; s++) {
		if (!is_here((enum system_name)s))
			continue;
		median_ms[s] = bench_median(ms[s], rounds);
		median_kib[s] = bench_median(kib[s], rounds);
		printf("  %6.0f %5.0f", median_ms[s], median_kib[s] / 1024);
	}
	printf("   %5.2f %5.2f\n", median_ms[GCHEAP] / median_ms[MIMALLOC],
	       median_kib[GCHEAP] / median_kib[MIMALLOC]);
}

int main(int argc, char **argv)
{
	unsigned long rounds = bench_argument(argc, argv, 1, 5);
	unsigned int program, s;

	depth = (unsigned int)bench_argument(argc, argv, 2, 18);
	list_nodes = bench_argument(argc, argv, 3, 10000000);
	if (!rounds || rounds > ROUNDS_MAX || depth < 8 || depth > 24)
		bench_fail("usage", "programs [rounds, 1 to 32] [depth, 8 to 24] [list nodes]");
	printf("programs: ms and MiB of resident memory, depth %u, list of %lu; "
	       "gcheap beside mimalloc; a cache line from one CPU to another: %.0f ns\n%-28s",
	       depth, list_nodes, distance(), "");
	for (s = 0; s < SYSTEMS; s++) {
		if (is_here((enum system_name)s))
			printf("  %12s", system_names[s]);
	}
	printf("   %5s %5s\n", "time", "mem");
	for (program = 0; program < PROGRAMS; program++)
		run_program(program, (unsigned int)rounds);
	return 0;
}
