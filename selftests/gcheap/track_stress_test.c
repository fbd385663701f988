// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Write tracking while others never stop writing: no write is ever lost.
 *
 * Threads, or another process, count up words all over the heap. The test keeps a
 * copy, as a collector keeps what it has scanned: it asks TRACK which pages were
 * written, and copies those. Now and then the writers stop, and after one more TRACK
 * the copy must be the same as the heap: a page that was written and not reported
 * differs.
 */
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/uio.h>

#include "../kselftest_harness.h"
#include "gcheap_selftest.h"
#include "gcheap_track.h"

#define PAGE	4096u
#define PAGES	256u			/* of the tracked object */
#define WORDS	(2 * PAGES)		/* one a page of 4 KiB */
#define CHECKS	rounds_here(20)		/* times that the writers stop */
#define WRITES	(250000ull * CHECKS)	/* at least, of the program's own threads */
#define COPIES	25			/* at least: between two checks */

/**
 * struct stress - what everybody works on
 * @heap: the heap
 * @page: first heap page of the object
 * @words: its words, one a page, 512 apart
 * @copy: those that were scanned
 * @pause: writers shall stop
 * @paused: how many have
 * @stop: for good
 * @writes: done by all
 */
struct stress {
	struct test_heap *heap;
	__u32 page;
	volatile __u64 *words;
	__u64 copy[WORDS];
	volatile bool pause;
	volatile int paused;
	volatile bool stop;
	__u64 writes;
};

/* Called by each writer now and then: whether to go on. */
static bool writer_goes_on(struct stress *stress, __u64 *writes)
{
	__atomic_fetch_add(&stress->writes, *writes, __ATOMIC_RELAXED);
	*writes = 0;
	if (!stress->pause)
		return !stress->stop;
	__atomic_fetch_add(&stress->paused, 1, __ATOMIC_SEQ_CST);
	while (stress->pause && !stress->stop)
		sched_yield();
	__atomic_fetch_sub(&stress->paused, 1, __ATOMIC_SEQ_CST);
	return !stress->stop;
}

static void *store_main(void *data)
{
	struct stress *stress = data;
	__u64 writes = 0;
	struct rng rng;

	rng_init(&rng, (uintptr_t)&rng);
	do {
		for (int i = 0; i < 64; i++, writes++)
			__atomic_fetch_add(stress->words + rng_below(&rng, WORDS) * 512, 1,
					   __ATOMIC_RELAXED);
	} while (writer_goes_on(stress, &writes));
	return NULL;
}

/* By a system call: words of the upper half, which the other writers leave alone. */
static void *read_main(void *data)
{
	struct stress *stress = data;
	__u64 writes = 0, value = 0;
	struct rng rng;
	int ends[2];

	if (pipe(ends))
		return "pipe";
	rng_init(&rng, (uintptr_t)&rng);
	do {
		void *word = (void *)(stress->words + rng_below(&rng, WORDS) * 512 + 1);

		value++;
		if (write(ends[1], &value, 8) != 8 || read(ends[0], word, 8) != 8)
			return "a system call into the heap fails";
		writes++;
	} while (writer_goes_on(stress, &writes));
	close(ends[0]);
	close(ends[1]);
	return NULL;
}

/* Takes page table entries away, which loses no data. */
static void *zap_main(void *data)
{
	struct stress *stress = data;
	__u64 none = 0;
	struct rng rng;

	rng_init(&rng, (uintptr_t)&rng);
	do {
		__u32 n = rng_below(&rng, WORDS);

		if (madvise((void *)(stress->words + n * 512), PAGE * (1 + rng_below(&rng, 4)),
			    MADV_DONTNEED) && errno != ENOMEM)
			return "madvise";
	} while (writer_goes_on(stress, &none));
	return NULL;
}

static void *fork_main(void *data)
{
	struct stress *stress = data;
	__u64 none = 0;

	do {
		pid_t child = fork();

		if (!child)
			_exit(0);
		if (child < 0 || child_wait(child))
			return "fork";
	} while (writer_goes_on(stress, &none));
	return NULL;
}

/* Copies what is reported. Returns what is wrong, or NULL. */
static const char *stress_scan(struct stress *stress, struct report *report)
{
	if (report_take(stress->heap, report))
		return "TRACK";
	for (__u32 i = 0; i < report->count; i++) {
		const struct gcheap_range *range = &report->ranges[i];

		for (__u32 p = range->page; p < range->page + range->npages; p++)
			for (__u32 half = 0; half < 2; half++) {
				__u32 n = (p - stress->page) * 2 + half;

				stress->copy[n] = stress->words[n * 512] +
						  (stress->words[n * 512 + 1] << 32);
			}
	}
	return NULL;
}

static const char *stress_check(struct stress *stress, struct report *report)
{
	const char *wrong = stress_scan(stress, report);

	for (__u32 n = 0; n < WORDS && !wrong; n++)
		if (stress->copy[n] != stress->words[n * 512] +
				       (stress->words[n * 512 + 1] << 32))
			wrong = "a write is lost";
	return wrong;
}

static void writers_pause(struct stress *stress, int writers)
{
	stress->pause = true;
	while (stress->paused < writers)
		sched_yield();
}

static void writers_resume(struct stress *stress)
{
	stress->pause = false;
	while (stress->paused)
		sched_yield();
}

/*
 * A heap with these flags of SETUP, and the tracked object in it: 0; -EOPNOTSUPP on
 * machines where it cannot be; or another negative errno.
 */
static int stress_open(struct stress *stress, struct test_heap *heap, __u32 flags)
{
	struct gcheap_alloc_large gone, large;
	__u32 type;
	int ret = tracking_works() ? tracked_open(heap, flags) : -EOPNOTSUPP;

	if (ret)
		return ret;
	ret = cmd_type_words(heap->fd, 16, 1, &type);
	/* Up to where 2 MiB pages begin. */
	ret = ret ?: cmd_alloc_large(heap->fd, 0, (PAGES - 1) * 8192, NULL);
	ret = ret ?: cmd_alloc_large(heap->fd, 0, 8192, &gone);
	ret = ret ?: cmd_alloc_large(heap->fd, type, PAGES * 64, &large);
	if (ret)
		return ret;
	stress->heap = heap;
	stress->page = large.out_page;
	stress->words = (volatile __u64 *)heap_mem(heap, large.out_page);
	return flags & GCHEAP_SETUP_FAULT_FREED ? cmd_free_large(heap->fd, gone.out_page) : 0;
}

/* ---- threads --------------------------------------------------------------------- */

FIXTURE(stress) {
	struct test_heap heap;
	struct stress stress;
	struct report report;
};

FIXTURE_VARIANT(stress) {
	void *(*writers[3])(void *data);
	__u32 flags;
};

FIXTURE_VARIANT_ADD(stress, one_thread) {
	.writers = { store_main },
};

FIXTURE_VARIANT_ADD(stress, two_threads) {
	.writers = { store_main, store_main },
};

FIXTURE_VARIANT_ADD(stress, system_calls) {
	.writers = { store_main, read_main },
};

FIXTURE_VARIANT_ADD(stress, pages_unmapped) {
	.writers = { store_main, read_main, zap_main },
};

FIXTURE_VARIANT_ADD(stress, forks) {
	.writers = { store_main, fork_main },
};

FIXTURE_VARIANT_ADD(stress, snapshots) {
	.flags = GCHEAP_SETUP_SNAPSHOTS,
	.writers = { store_main, read_main, zap_main },
};

FIXTURE_VARIANT_ADD(stress, huge_pages) {
	.flags = GCHEAP_SETUP_HUGE_PAGES,
	.writers = { store_main, read_main },
};

FIXTURE_VARIANT_ADD(stress, huge_pages_unmapped) {
	.flags = GCHEAP_SETUP_HUGE_PAGES,
	.writers = { store_main, read_main, zap_main },
};

/* A part is gone: the rest is mapped by the page. */
FIXTURE_VARIANT_ADD(stress, huge_pages_split) {
	.flags = GCHEAP_SETUP_HUGE_PAGES | GCHEAP_SETUP_FAULT_FREED,
	.writers = { store_main, read_main, zap_main },
};

FIXTURE_VARIANT_ADD(stress, huge_pages_of_one_thread) {
	.flags = GCHEAP_SETUP_HUGE_PAGES,
	.writers = { store_main },
};

FIXTURE_SETUP(stress)
{
	int ret = stress_open(&self->stress, &self->heap, variant->flags);

	if (ret == -EOPNOTSUPP)
		SKIP(return, "no write tracking of such heaps on this machine");
	ASSERT_OK(ret);
}

FIXTURE_TEARDOWN(stress)
{
	if (self->heap.fd)
		heap_close(&self->heap);
}

TEST_F_TIMEOUT(stress, loses_no_write, 300)
{
	struct stress *stress = &self->stress;
	__u64 writes = variant->writers[1] ? WRITES / 20 : WRITES;
	__u64 requests = 0, dirty = 0;
	const char *wrong = NULL;
	pthread_t threads[3];
	int writers = 0;

	for (; writers < 3 && variant->writers[writers]; writers++)
		ASSERT_EQ(0, pthread_create(&threads[writers], NULL, variant->writers[writers],
					    stress));
	for (__u64 check = 0; check < CHECKS && !wrong; check++) {
		for (int i = 0; !wrong && (i < COPIES ||
					   stress->writes < writes * (check + 1) / CHECKS); i++) {
			wrong = stress_scan(stress, &self->report);
			requests++;
			dirty += self->report.pages;
		}
		writers_pause(stress, writers);
		if (!wrong)
			wrong = stress_check(stress, &self->report);
		writers_resume(stress);
	}
	stress->stop = true;
	for (int i = 0; i < writers; i++) {
		void *failed = NULL;

		pthread_join(threads[i], &failed);
		EXPECT_EQ(NULL, failed) {
			TH_LOG("%s", (char *)failed);
		}
	}
	ASSERT_RIGHT(wrong);
	/* Otherwise this was no test. */
	EXPECT_LT(100, dirty);
	TH_LOG("%llu writes, %llu requests, %llu pages dirty", (unsigned long long)stress->writes,
	       (unsigned long long)requests, (unsigned long long)dirty);
}

/* ---- another process, whose writes no page table entry tells of ------------------- */

FIXTURE(stress_by_others) {
	struct test_heap heap;
	struct stress stress;
	struct report report;
};

FIXTURE_VARIANT(stress_by_others) {
	__u32 flags;
};

FIXTURE_VARIANT_ADD(stress_by_others, plain) {
	.flags = 0,
};

FIXTURE_VARIANT_ADD(stress_by_others, huge_pages) {
	.flags = GCHEAP_SETUP_HUGE_PAGES,
};

FIXTURE_SETUP(stress_by_others)
{
	int ret = stress_open(&self->stress, &self->heap, variant->flags);

	if (ret == -EOPNOTSUPP)
		SKIP(return, "no write tracking of such heaps on this machine");
	ASSERT_OK(ret);
}

FIXTURE_TEARDOWN(stress_by_others)
{
	if (self->heap.fd)
		heap_close(&self->heap);
}

TEST_F_TIMEOUT(stress_by_others, loses_no_write, 300)
{
	struct stress *stress = &self->stress;
	pid_t owner = getpid(), child;
	int go[2], done[2];
	char byte = 0;

	ASSERT_EQ(0, pipe(go));
	ASSERT_EQ(0, pipe(done));
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		struct rng rng;
		__u64 value = 0;

		rng_init(&rng, 7);
		while (read(go[0], &byte, 1) == 1 && byte == 'g') {
			for (int i = 0; i < 500; i++) {
				struct iovec here = { .iov_base = &value, .iov_len = 8 };
				struct iovec there = {
					.iov_base = (void *)(stress->words +
							     rng_below(&rng, WORDS) * 512),
					.iov_len = 8,
				};

				value++;
				if (process_vm_writev(owner, &here, 1, &there, 1, 0) != 8)
					_exit(1);
			}
			if (write(done[1], &byte, 1) != 1)
				_exit(2);
		}
		_exit(0);
	}
	fcntl(done[0], F_SETFL, O_NONBLOCK);
	for (int check = 0; check < CHECKS; check++) {
		ASSERT_EQ(1, write(go[1], "g", 1));
		while (read(done[0], &byte, 1) != 1)
			ASSERT_RIGHT(stress_scan(stress, &self->report));
		ASSERT_RIGHT(stress_check(stress, &self->report));
	}
	ASSERT_EQ(1, write(go[1], "e", 1));
	EXPECT_EQ(0, child_wait(child));
}

TEST_HARNESS_MAIN
