// SPDX-License-Identifier: MIT
/*
 * Soak: heaps at work for a long time, in a memory cgroup that is always about full.
 *
 *	soak [SECONDS [SEED [LIMIT_MIB]]]
 *
 * Four processes, with a heap of each layout, build and drop objects and compare all
 * that is alive with a model. A fifth takes and gives anonymous memory and files of a
 * tmpfs in the same cgroup, as long as there is some room, and the heaps fill the
 * cgroup to its limit again and again. At the end nobody was killed, and the module
 * holds as much memory as before. Without the device, or without cgroups, the program
 * does what it can.
 *
 * Output is TAP. What the processes do follows from SEED; what the memory cgroup does
 * to them, from time too.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "model.h"

#define CGROUP		"/sys/fs/cgroup/gcheap_soak"
#define SYSFS		"/sys/class/misc/gcheap/"
#define MIB		(1ull << 20)
#define LIMIT_BYTES	(128 * MIB)	/* unless told otherwise */
#define LIVE_BYTES	(16 * MIB)	/* of each heap */
#define NEIGHBOUR_ROOM	(16 * MIB)	/* what it leaves for the others */
#define MUTATORS	4

static unsigned long long limit_bytes = LIMIT_BYTES;

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static int file_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));

	if (fd >= 0)
		close(fd);
	return n < 0 ? -1 : 0;
}

/* The number after a word at the start of a line, or the file's number; -1: none. */
static long long file_number(const char *path, const char *word)
{
	long long number = -1;
	char line[256];
	FILE *file = fopen(path, "r");

	while (file && fgets(line, sizeof(line), file)) {
		if (!strncmp(line, word, strlen(word))) {
			number = atoll(line + strlen(word));
			break;
		}
	}
	if (file)
		fclose(file);
	return number;
}

static bool cgroup_make(void)
{
	char limit[32];

	snprintf(limit, sizeof(limit), "%llu", limit_bytes);
	file_write("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	rmdir(CGROUP);
	if (mkdir(CGROUP, 0755) || file_write(CGROUP "/memory.max", limit))
		return false;
	file_write(CGROUP "/memory.swap.max", "0");
	return true;
}

/* ---- the processes -------------------------------------------------------------------- */

static int mutate(int number, double end, uint64_t seed)
{
	static const enum gcheap_layout layouts[MUTATORS] = {
		GCHEAP_LAYOUT_SPAN, GCHEAP_LAYOUT_HEADER, GCHEAP_LAYOUT_FOOTER,
		GCHEAP_LAYOUT_BITMAP,
	};
	struct model *model = model_open(layouts[number], seed + (uint64_t)number, LIVE_BYTES);
	struct model_figures did;

	while (now() < end) {
		for (int i = 0; i < 256; i++)
			model_step(model);
	}
	model_close(model, &did);
	printf("# heap %d: %llu steps, %llu objects, %llu chunks, %llu refused, %llu events, "
	       "%llu objects compared in %llu checks\n", number, (unsigned long long)did.steps,
	       (unsigned long long)did.objects, (unsigned long long)did.chunks,
	       (unsigned long long)did.refused, (unsigned long long)did.events,
	       (unsigned long long)did.checked, (unsigned long long)did.checks);
	fflush(stdout);
	return did.objects && did.checks > 1 ? 0 : 1;
}

static long long cgroup_room(void)
{
	long long used = file_number(CGROUP "/memory.current", "");

	return used < 0 ? 0 : (long long)limit_bytes - used;
}

/* Takes 1 MiB at a time, by turns as anonymous memory and as a file. */
static int neighbour(double end, uint64_t seed)
{
	enum { PIECES = 64 };
	char *pieces[PIECES] = { 0 };
	const size_t bytes = MIB;
	unsigned int taken = 0;

	srandom((unsigned int)seed);
	while (now() < end) {
		unsigned int p = (unsigned int)random() % PIECES;

		if (pieces[p]) {
			munmap(pieces[p], bytes);
			pieces[p] = NULL;
		} else if (cgroup_room() > (long long)NEIGHBOUR_ROOM) {
			int fd = p % 2 ? memfd_create("soak", 0) : -1;

			if (fd >= 0 && ftruncate(fd, (off_t)bytes))
				return 1;
			pieces[p] = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
					 fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, fd, 0);
			if (fd >= 0)
				close(fd);
			if (pieces[p] == MAP_FAILED)
				return 1;
			memset(pieces[p], 1, bytes);
			taken++;
		}
		usleep(1000);
	}
	printf("# neighbour: took 1 MiB %u times\n", taken);
	fflush(stdout);
	return 0;
}

/* ---- all of them ---------------------------------------------------------------------- */

static unsigned int test_number;
static bool failed;

static void ok(bool good, const char *what)
{
	printf("%sok %u - %s\n", good ? "" : "not ", ++test_number, what);
	if (!good)
		failed = true;
}

struct totals {
	long long heaps, object_bytes, table_bytes;
};

static struct totals totals_take(void)
{
	return (struct totals) {
		.heaps = file_number(SYSFS "heaps", ""),
		.object_bytes = file_number(SYSFS "object_bytes", ""),
		.table_bytes = file_number(SYSFS "table_bytes", ""),
	};
}

/* What the kernel does after an exit, it may do a moment later. */
static bool totals_back_to(struct totals before)
{
	for (int i = 0; i < 100; i++) {
		struct totals after = totals_take();

		if (!memcmp(&before, &after, sizeof(after)))
			return true;
		usleep(100000);
	}
	return false;
}

static bool child_ended_well(pid_t child)
{
	int status;

	if (waitpid(child, &status, 0) != child)
		return false;
	if (WIFSIGNALED(status))
		printf("# killed by signal %d\n", WTERMSIG(status));
	return status == 0;
}

int main(int argc, char **argv)
{
	double seconds = argc > 1 ? atof(argv[1]) : 20;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL);
	bool limited;
	struct totals before = totals_take();
	double end = now() + seconds;
	pid_t children[MUTATORS + 1];
	int i;

	if (argc > 3)
		limit_bytes = strtoull(argv[3], NULL, 0) * MIB;
	limited = cgroup_make();
	printf("TAP version 13\n1..%d\n# soak %g %llu, %s a memory cgroup\n", MUTATORS + 3, seconds,
	       (unsigned long long)seed, limited ? "in" : "without");
	fflush(stdout);
	for (i = 0; i <= MUTATORS; i++) {
		children[i] = fork();
		if (children[i] < 0)
			return 1;
		if (children[i])
			continue;
		if (limited && file_write(CGROUP "/cgroup.procs", "0"))
			_exit(1);
		_exit(i < MUTATORS ? mutate(i, end, seed) : limited ? neighbour(end, seed) : 0);
	}
	ok(child_ended_well(children[0]), "heap of layout SPAN agrees with its model");
	ok(child_ended_well(children[1]), "heap of layout HEADER agrees with its model");
	ok(child_ended_well(children[2]), "heap of layout FOOTER agrees with its model");
	ok(child_ended_well(children[3]), "heap of layout BITMAP agrees with its model");
	ok(child_ended_well(children[MUTATORS]), "a neighbour that takes memory goes on");
	ok(!limited || file_number(CGROUP "/memory.events", "oom_kill ") == 0,
	   "nobody was killed for want of memory");
	ok(totals_back_to(before), "all memory came back");
	if (limited) {
		printf("# the memory cgroup was at its limit %lld times, its peak was %lld MiB\n",
		       file_number(CGROUP "/memory.events", "max "),
		       file_number(CGROUP "/memory.peak", "") >> 20);
		rmdir(CGROUP);
	}
	return failed;
}
