// SPDX-License-Identifier: MIT
/*
 * Write tracking beside what plain Linux has for anonymous memory: 64 MiB, of which a
 * quarter is written between two looks at it.
 *
 *	gcheap		TRACK of one object with pointers, with the bitmap in DIRTY
 *	PAGEMAP_SCAN	userfaultfd in its asynchronous write-protect mode (since 6.7)
 *	soft-dirty	/proc/self/pagemap and /proc/self/clear_refs
 *	mprotect	PROT_READ, and a handler of SIGSEGV that takes it away page by page
 *
 * Arming is done with all memory written before. Collecting tells what was written,
 * and arms again. A first write is one to a page that is armed, all of it: page fault
 * and handler, too; the second one to the same page tells what the memory and the TLB
 * take for themselves.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/userfaultfd.h>

#include "device_bench.h"

#define PAGE		4096ul
#define BYTES		(64ul << 20)
#define PAGES		(BYTES / PAGE)
#define SIGNAL_PAGES	1024ul		/* for mprotect, which takes long */

/* The kernel headers may be older than the kernel. */
#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_UNPOPULATED	(1 << 13)
#define UFFD_FEATURE_WP_ASYNC		(1 << 15)
#endif

struct scan_region {
	uint64_t start;
	uint64_t end;
	uint64_t categories;
};

struct scan_arg {
	uint64_t size;
	uint64_t flags;
	uint64_t start;
	uint64_t end;
	uint64_t walk_end;
	uint64_t vec;
	uint64_t vec_len;
	uint64_t max_pages;
	uint64_t category_inverted;
	uint64_t category_mask;
	uint64_t category_anyof_mask;
	uint64_t return_mask;
};

#define SCAN			_IOWR('f', 16, struct scan_arg)
#define SCAN_WP_MATCHING	1ull
#define SCAN_CHECK_WPASYNC	2ull
#define SCAN_IS_WRITTEN		2ull

#define PAGEMAP_SOFT_DIRTY	(1ull << 55)

/**
 * struct tracker - one way to track writes
 * @name: for people
 * @memory: BYTES, all of it tracked
 * @arm: begin, or begin again
 * @collect: how many pages of 4 KiB were written; begins again
 * @pages: how many pages of @memory to use
 */
struct tracker {
	const char *name;
	char *memory;
	void (*arm)(void);
	size_t (*collect)(void);
	size_t pages;
	double arm_us[BENCH_ROUNDS_MAX];
	double collect_us[BENCH_ROUNDS_MAX];
	double first_ns[BENCH_ROUNDS_MAX];
	double second_ns[BENCH_ROUNDS_MAX];
	double added_ns[BENCH_ROUNDS_MAX];	/* by being the first */
};

static char *anonymous(void)
{
	char *memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);

	if (memory == MAP_FAILED)
		bench_die("mmap");
	/* Pages of 4 KiB on both sides. */
	madvise(memory, BYTES, MADV_NOHUGEPAGE);
	memset(memory, 1, BYTES);
	return memory;
}

/* ---- gcheap ----------------------------------------------------------------------- */

static struct bench_heap heap;
static uint32_t heap_first;

static size_t gcheap_collect(void)
{
	struct gcheap_track track = {
		.flags = GCHEAP_TRACK_BITMAP,
	};

	bench_request(&heap, GCHEAP_OP_TRACK, &track, sizeof(track));
	return track.out_dirty_pages * (GCHEAP_PAGE_BYTES / PAGE);
}

static void gcheap_arm(void)
{
	gcheap_collect();
}

static void gcheap_open(struct tracker *tracker)
{
	uint64_t mask = 1;
	struct gcheap_type_add type = {
		.bytes = 64,
		.ptr_bytes = 8,
		.align = 8,
		.ptr_mask = (uintptr_t)&mask,
	};
	struct gcheap_alloc_large large = { .count = BYTES / 64 };

	bench_heap_open(&heap, 4 * GCHEAP_ARENA_BYTES, 0);
	if (!(heap.features & GCHEAP_FEATURE_TRACK)) {
		errno = EOPNOTSUPP;
		bench_die("write tracking");
	}
	bench_request(&heap, GCHEAP_OP_TYPE_ADD, &type, sizeof(type));
	large.type = type.out_type;
	bench_request(&heap, GCHEAP_OP_ALLOC_LARGE, &large, sizeof(large));
	heap_first = large.out_page;
	tracker->memory = heap.region[GCHEAP_REGION_HEAP] +
			  ((size_t)heap_first << GCHEAP_PAGE_SHIFT);
	memset(tracker->memory, 1, BYTES);
}

/* ---- userfaultfd ------------------------------------------------------------------ */

static char *scanned;
static int pagemap;
static struct scan_region regions[PAGES];

static size_t scan_collect(void)
{
	struct scan_arg arg = {
		.size = sizeof(arg),
		.flags = SCAN_WP_MATCHING | SCAN_CHECK_WPASYNC,
		.start = (uintptr_t)scanned,
		.end = (uintptr_t)scanned + BYTES,
		.vec = (uintptr_t)regions,
		.vec_len = PAGES,
		.category_mask = SCAN_IS_WRITTEN,
		.return_mask = SCAN_IS_WRITTEN,
	};
	size_t pages = 0;
	int i, count = ioctl(pagemap, SCAN, &arg);

	if (count < 0)
		bench_die("PAGEMAP_SCAN");
	for (i = 0; i < count; i++)
		pages += (regions[i].end - regions[i].start) / PAGE;
	return pages;
}

static void scan_arm(void)
{
	scan_collect();
}

/* Whether there is such a thing. */
static bool scan_open(struct tracker *tracker)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED,
	};
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_WP };
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api))
		return false;
	scanned = anonymous();
	range.range.start = (uintptr_t)scanned;
	range.range.len = BYTES;
	if (ioctl(fd, UFFDIO_REGISTER, &range))
		bench_die("UFFDIO_REGISTER");
	tracker->memory = scanned;
	return true;
}

/* ---- soft-dirty ------------------------------------------------------------------- */

static char *soft;
static int clear_refs;
static uint64_t entries[PAGES];

static void soft_arm(void)
{
	if (pwrite(clear_refs, "4", 1, 0) != 1)
		bench_die("clear_refs");
}

static size_t soft_collect(void)
{
	off_t at = (off_t)((uintptr_t)soft / PAGE * sizeof(*entries));
	size_t pages = 0, i;

	if (pread(pagemap, entries, sizeof(entries), at) != (ssize_t)sizeof(entries))
		bench_die("pagemap");
	for (i = 0; i < PAGES; i++)
		pages += !!(entries[i] & PAGEMAP_SOFT_DIRTY);
	soft_arm();
	return pages;
}

static bool soft_open(struct tracker *tracker)
{
	clear_refs = open("/proc/self/clear_refs", O_WRONLY);
	if (clear_refs < 0)
		bench_die("/proc/self/clear_refs");
	soft = anonymous();
	tracker->memory = soft;
	soft_arm();
	if (soft_collect())
		return false;
	soft[0] = 2;
	return soft_collect() == 1;
}

/* ---- mprotect --------------------------------------------------------------------- */

static char *guarded;
static bool guarded_dirty[PAGES];

static void guarded_write(int signal, siginfo_t *info, void *context)
{
	size_t page = (size_t)((char *)info->si_addr - guarded) / PAGE;

	(void)signal;
	(void)context;
	if (page >= PAGES || mprotect(guarded + page * PAGE, PAGE, PROT_READ | PROT_WRITE))
		_exit(3);
	guarded_dirty[page] = true;
}

static void mprotect_arm(void)
{
	memset(guarded_dirty, 0, sizeof(guarded_dirty));
	if (mprotect(guarded, BYTES, PROT_READ))
		bench_die("mprotect");
}

static size_t mprotect_collect(void)
{
	size_t pages = 0, i;

	for (i = 0; i < PAGES; i++)
		pages += guarded_dirty[i];
	mprotect_arm();
	return pages;
}

static void mprotect_open(struct tracker *tracker)
{
	struct sigaction action = { .sa_sigaction = guarded_write, .sa_flags = SA_SIGINFO };

	guarded = anonymous();
	tracker->memory = guarded;
	sigaction(SIGSEGV, &action, NULL);
}

/* ---- the rounds ------------------------------------------------------------------- */

/* Writes to a quarter of the pages, two that follow each other of each eight. */
static double write_quarter(const struct tracker *tracker)
{
	double start = bench_ns();
	size_t i;

	for (i = 0; i < tracker->pages; i += i % 8 ? 7 : 1)
		*(volatile char *)(tracker->memory + i * PAGE + 64) = 3;
	return (bench_ns() - start) / (double)(tracker->pages / 4);
}

static void measure(struct tracker *tracker, size_t round)
{
	double start;
	size_t found;

	if (tracker->pages == PAGES)
		memset(tracker->memory, (int)round, BYTES);
	start = bench_ns();
	tracker->arm();
	tracker->arm_us[round] = (bench_ns() - start) / 1000;

	tracker->first_ns[round] = write_quarter(tracker);
	tracker->second_ns[round] = write_quarter(tracker);
	tracker->added_ns[round] = tracker->first_ns[round] - tracker->second_ns[round];
	start = bench_ns();
	found = tracker->collect();
	tracker->collect_us[round] = (bench_ns() - start) / 1000;
	if (found != tracker->pages / 4) {
		fprintf(stderr, "%s: %zu pages found, %zu written\n", tracker->name, found,
			tracker->pages / 4);
		exit(1);
	}
}

static void compare(struct tracker *ours, struct tracker *theirs, size_t rounds, bool goals)
{
	char what[80];

	snprintf(what, sizeof(what), "arm 64 MiB, all written; %s", theirs->name);
	bench_compare(what, ours->arm_us, theirs->arm_us, rounds, "us", 0);
	snprintf(what, sizeof(what), "collect and arm, a quarter written; %s", theirs->name);
	bench_compare(what, ours->collect_us, theirs->collect_us, rounds, "us", goals ? 0.5 : 0);
	snprintf(what, sizeof(what), "first write to a page; %s", theirs->name);
	bench_compare(what, ours->first_ns, theirs->first_ns, rounds, "ns", goals ? 0.1 : 0);
	snprintf(what, sizeof(what), "the same, less what the second takes; %s", theirs->name);
	bench_compare(what, ours->added_ns, theirs->added_ns, rounds, "ns", 0);
}

int main(void)
{
	static struct tracker ours = {
		.name = "gcheap", .arm = gcheap_arm, .collect = gcheap_collect, .pages = PAGES,
	};
	static struct tracker scan = {
		.name = "PAGEMAP_SCAN", .arm = scan_arm, .collect = scan_collect, .pages = PAGES,
	};
	static struct tracker soft_dirty = {
		.name = "soft-dirty", .arm = soft_arm, .collect = soft_collect, .pages = PAGES,
	};
	static struct tracker signals = {
		.name = "mprotect", .arm = mprotect_arm, .collect = mprotect_collect,
		.pages = SIGNAL_PAGES,
	};
	size_t rounds = bench_rounds();
	bool has_scan, has_soft;
	size_t round;

	pagemap = open("/proc/self/pagemap", O_RDONLY);
	if (pagemap < 0)
		bench_die("/proc/self/pagemap");
	gcheap_open(&ours);
	has_scan = scan_open(&scan);
	has_soft = soft_open(&soft_dirty);
	mprotect_open(&signals);
	/* soft-dirty last: it makes all of the process fault. */
	for (round = 0; round < rounds; round++) {
		measure(&ours, round);
		if (has_scan)
			measure(&scan, round);
		measure(&signals, round);
	}
	if (has_scan)
		compare(&ours, &scan, rounds, true);
	else
		printf("this kernel has no asynchronous write protection by userfaultfd\n");
	compare(&ours, &signals, rounds, false);

	for (round = 0; has_soft && round < rounds; round++) {
		measure(&ours, round);
		measure(&soft_dirty, round);
	}
	if (has_soft)
		compare(&ours, &soft_dirty, rounds, !has_scan);
	else
		printf("this kernel has no soft-dirty bits\n");
	bench_heap_close(&heap);
	return 0;
}
