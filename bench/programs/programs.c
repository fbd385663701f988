// SPDX-License-Identifier: MIT
/* link: -ldl */
/*
 * Whole programs on gcheap, mimalloc, bdwgc and the C library's malloc: binary-trees, also
 * with a tree a thread, GCBench, a long list. Wall time and peak resident memory; medians of
 * several rounds in which all systems take turns, each run in a process of its own.
 *
 *	programs [rounds] [depth] [list nodes]		5 18 10000000
 *
 * The newest mimalloc, bdwgc and Go run beside the installed ones where they are there
 * (../peers.h; ../go/go-peer.go is compiled with the newest Go). What each computes is
 * compared: a program that lost an object does not go unnoticed.
 */
#define _GNU_SOURCE
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "programs.h"
#include "../distance.h"
#include "../peers.h"

#define ROUNDS_MAX	32u

enum system_name { GCHEAP, MIMALLOC, MIMALLOC_NEWEST, BDWGC, BDWGC_NEWEST, GO, LIBC, SYSTEMS };

static const char *const system_names[SYSTEMS] = {
	"gcheap", "mimalloc", "mimalloc*", "bdwgc", "bdwgc*", "Go*", "libc",
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

/* @go: what the program in Go is told. */
static const struct {
	const char *name;
	uint64_t (*run)(const struct workloads *work);
	const char *go;
} programs[] = {
	{ "binary-trees", run_trees, "trees" },
	{ "binary-trees, 2 threads", run_trees_2, "trees-2" },
	{ "binary-trees - 2, 8 threads", run_trees_8, "trees-8" },
	{ "GCBench", run_gcbench, "gcbench" },
	{ "list", run_list, "list" },
};

#define PROGRAMS	(sizeof(programs) / sizeof(programs[0]))

/* Where the program in Go is. */
static char go_program[PEERS_PATH];

static int is_here(enum system_name system)
{
	switch (system) {
	case MIMALLOC_NEWEST:
		return newest_mimalloc() != NULL;
	case BDWGC_NEWEST:
		return newest_bdwgc() != NULL;
	case GO:
		return !access(go_program, X_OK);
	default:
		return 1;
	}
}

static const struct workloads *open_system(enum system_name system)
{
	switch (system) {
	case GCHEAP:
		return gcheap_workloads();
	case MIMALLOC:
	case MIMALLOC_NEWEST:
		return mimalloc_workloads(system == MIMALLOC ? NULL : newest_mimalloc());
	case BDWGC:
	case BDWGC_NEWEST:
		return bdwgc_workloads(system == BDWGC ? NULL : newest_bdwgc());
	default:
		return libc_workloads();
	}
}

/* The program in Go writes the same as child_run(). */
static void child_run_go(unsigned int program, int out)
{
	char words[2][32];

	snprintf(words[0], sizeof(words[0]), "%u", depth);
	snprintf(words[1], sizeof(words[1]), "%lu", list_nodes);
	dup2(out, STDOUT_FILENO);
	execl(go_program, go_program, programs[program].go, words[0], words[1], (char *)NULL);
	_exit(1);
}

static void child_run(unsigned int program, enum system_name system, int out)
{
	const struct workloads *work;
	struct result result;
	double begin;

	if (system == GO)
		child_run_go(program, out);
	work = open_system(system);
	begin = bench_ns();
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
	printf("   %5.2f %5.2f", median_ms[GCHEAP] / median_ms[MIMALLOC],
	       median_kib[GCHEAP] / median_kib[MIMALLOC]);
	if (is_here(MIMALLOC_NEWEST))
		printf("   %5.2f %5.2f", median_ms[GCHEAP] / median_ms[MIMALLOC_NEWEST],
		       median_kib[GCHEAP] / median_kib[MIMALLOC_NEWEST]);
	printf("\n");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	unsigned long rounds = bench_argument(argc, argv, 1, 5);
	unsigned int program, s;

	peers_begin(argv);
	peers_beside(go_program, "go-peer");
	depth = (unsigned int)bench_argument(argc, argv, 2, 18);
	list_nodes = bench_argument(argc, argv, 3, 10000000);
	if (!rounds || rounds > ROUNDS_MAX || depth < 8 || depth > 24)
		bench_fail("usage", "programs [rounds, 1 to 32] [depth, 8 to 24] [list nodes]");
	printf("programs: ms and MiB of resident memory, depth %u, list of %lu; "
	       "gcheap beside mimalloc%s; a cache line from one CPU to another: %.0f ns\n",
	       depth, list_nodes, is_here(MIMALLOC_NEWEST) ? " and mimalloc*" : "", distance());
	peers_print();
	printf("%-28s", "");
	for (s = 0; s < SYSTEMS; s++) {
		if (is_here((enum system_name)s))
			printf("  %12s", system_names[s]);
	}
	printf("   %5s %5s", "time", "mem");
	if (is_here(MIMALLOC_NEWEST))
		printf("   %5s %5s", "time*", "mem*");
	printf("\n");
	for (program = 0; program < PROGRAMS; program++)
		run_program(program, (unsigned int)rounds);
	return 0;
}
