// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Want of memory in what is not a request: open, mmap, page faults, reads and writes
 * by system calls, and fork. As in fail_nth_test.c, the n-th allocation fails for each
 * n until there is no n-th one.
 *
 * Skipped where the kernel has no fault injection.
 */
#include <sys/syscall.h>

#include "../kselftest_harness.h"
#include "gcheap_selftest.h"
#include "heap_states.h"
#include "fault_injection.h"

#define CALLS_MOST	4000	/* a walk that is still not at its end goes in circles */

FIXTURE(fail_call) {
	struct machine before;
	struct heap_state state;
};

FIXTURE_SETUP(fail_call)
{
	if (!injection_init())
		SKIP(return, "no fault injection in this kernel");
	ASSERT_OK(machine_take(&self->before));
	ASSERT_OK(heap_state_build(HEAP_STATE_USED, &self->state));
	copies_fail(true);
}

FIXTURE_TEARDOWN(fail_call)
{
	ASSERT_RIGHT(heap_wrong(&self->state.heap));
	EXPECT_TRUE(memory_is(heap_mem(&self->state.heap, self->state.lasting), 0x5c,
			      HEAP_STATE_LASTING_BYTES));
	EXPECT_OK(cmd_alloc_large(self->state.heap.fd, 0, 1 << 20, NULL));
	heap_state_destroy(&self->state);
	EXPECT_TRUE(machine_back_to(&self->before));
}

TEST_F_TIMEOUT(fail_call, to_open_leaves_nothing, 300)
{
	bool fired = true;
	unsigned int n;

	for (n = 1; fired; n++) {
		int fd, err;

		ASSERT_GT(CALLS_MOST, n);
		nth_set(n);
		fd = open(DEVICE, O_RDWR | O_CLOEXEC);
		err = errno;
		fired = nth_fired();
		if (fd < 0) {
			EXPECT_TRUE(fired && (err == ENOMEM || err == EFAULT)) {
				TH_LOG("n %u: errno %d", n, err);
			}
		} else {
			close(fd);
		}
	}
	TH_LOG("%u ways to fail", n - 2);
}

TEST_F_TIMEOUT(fail_call, to_map_a_region_leaves_nothing, 600)
{
	struct test_heap *heap = &self->state.heap;

	for (int r = 0; r < GCHEAP_REGIONS; r++) {
		int prot = PROT_READ;
		bool fired = true;
		unsigned int n;

		if (!heap->region_bytes[r])
			continue;
		if (region_is_owners(r))
			prot |= PROT_WRITE;
		ASSERT_EQ(0, munmap(heap->region[r], heap->region_bytes[r]));
		heap->region[r] = NULL;
		for (n = 1; fired; n++) {
			int err;

			ASSERT_GT(CALLS_MOST, n);
			nth_set(n);
			heap->region[r] = region_map(heap, r, prot);
			err = errno;
			fired = nth_fired();
			if (!heap->region[r]) {
				EXPECT_TRUE(fired && err == ENOMEM) {
					TH_LOG("region %d, n %u: errno %d", r, n, err);
				}
			} else if (fired) {
				munmap(heap->region[r], heap->region_bytes[r]);
			}
		}
	}
}

/* A read(2) into memory, and a load from it, with nothing mapped there yet. */
TEST_F_TIMEOUT(fail_call, to_fault_memory_in_is_repeated, 600)
{
	struct test_heap *heap = &self->state.heap;
	const __u32 page = self->state.large[0];
	int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);

	ASSERT_LE(0, zero);
	for (int how = 0; how < 2; how++) {
		bool fired = true;

		for (unsigned int n = 1; fired; n++) {
			char *at = heap_mem(heap, page) + 4096;
			ssize_t bytes = 0;
			int err = 0;

			ASSERT_GT(CALLS_MOST, n);
			/* By another page table, which has to be made too. */
			ASSERT_EQ(0, munmap(heap_mem(heap, 0), heap->reserve));
			heap->region[GCHEAP_REGION_HEAP] =
				region_map(heap, GCHEAP_REGION_HEAP, PROT_READ | PROT_WRITE);
			ASSERT_NE(NULL, heap->region[GCHEAP_REGION_HEAP]);
			at = heap_mem(heap, page) + 4096;
			nth_set(n);
			if (how) {
				bytes = read(zero, at, 100);
				err = errno;
			} else {
				(void)*(volatile char *)at;
			}
			fired = nth_fired();
			EXPECT_TRUE(bytes >= 0 || (fired && err == EFAULT)) {
				TH_LOG("n %u: errno %d", n, err);
			}
			EXPECT_EQ(how && bytes == 100 ? 0 : 0x33, at[0]);
			memset(at, 0x33, 100);
			EXPECT_TRUE(memory_is(at - 4096, 0x33, 8192));
		}
	}
	close(zero);
}

/* ---- lazy objects ----------------------------------------------------------------------- */

#define LAZY_AROUND	(64u << 10)	/* bytes that a touch makes, if it can */

/*
 * The first touch of a part of a lazy object: by a load, or by read(2). It works, by what
 * there is still to be had or because it is repeated; or it gets SIGBUS, or EFAULT. The
 * next touch works, and what is touched is zero.
 */
TEST_F_TIMEOUT(fail_call, to_make_memory_for_a_lazy_object_is_an_error_of_the_touch, 600)
{
	struct test_heap *heap = &self->state.heap;
	int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	unsigned int refused = 0;

	ASSERT_LE(0, zero);
	for (int how = 0; how < 2; how++) {
		bool fired = true;

		for (unsigned int n = 1; fired; n++) {
			struct gcheap_alloc_large large;
			int ret, err;
			char *at;

			ASSERT_GT(CALLS_MOST, n);
			/* Its page tables are there or not, by turns. */
			ASSERT_OK(cmd_alloc_large_flags(heap->fd, GCHEAP_ALLOC_LAZY, 0, 8 << 20,
							&large));
			ASSERT_OK(cmd_scavenge(heap->fd, ~0ull, NULL));
			at = heap_mem(heap, large.out_page) + (5 << 20);
			nth_set(n);
			if (how) {
				ret = (int)read(zero, at, 100);
				err = errno;
			} else {
				ret = probe(at, false, NULL);
				err = 0;
			}
			fired = nth_fired();
			if (ret != (how ? 100 : 0)) {
				refused++;
				EXPECT_TRUE(fired && (how ? ret < 0 && err == EFAULT :
							    ret == SIGBUS)) {
					TH_LOG("n %u: %d, errno %d", n, ret, err);
				}
			}
			ASSERT_RIGHT(heap_wrong(heap));
			EXPECT_EQ(0, probe(at, true, NULL));
			EXPECT_TRUE(memory_is(at - LAZY_AROUND, 0, LAZY_AROUND));
			ASSERT_OK(cmd_free_large(heap->fd, large.out_page));
		}
	}
	TH_LOG("%u touches refused", refused);
	close(zero);
}

/* No page is to be had at all, but the page table is there. */
TEST_F(fail_call, to_make_any_page_for_a_lazy_object_is_sigbus)
{
	struct test_heap *heap = &self->state.heap;
	struct gcheap_counters before, after;
	int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	struct gcheap_alloc_large large;
	ssize_t bytes;
	char *at;
	int err;

	ASSERT_LE(0, zero);
	ASSERT_OK(cmd_alloc_large_flags(heap->fd, GCHEAP_ALLOC_LAZY, 0, 8 << 20, &large));
	at = (char *)(((uintptr_t)heap_mem(heap, large.out_page) + (4 << 20)) & -(2ul << 20));
	ASSERT_EQ(0, probe(at, true, NULL));
	at += 1 << 20;
	ASSERT_OK(cmd_scavenge(heap->fd, ~0ull, NULL));
	ASSERT_OK(cmd_stats(heap->fd, &before));
	ASSERT_TRUE(failure_begin(FAIL_PAGES, 1));
	bytes = read(zero, at, 1);
	err = errno;
	failure_end(FAIL_PAGES);
	EXPECT_EQ(-1, bytes);
	EXPECT_EQ(EFAULT, err);
	ASSERT_OK(cmd_stats(heap->fd, &after));
	EXPECT_EQ(before.resident_bytes, after.resident_bytes);
	EXPECT_EQ(before.bad_faults + 1, after.bad_faults);
	EXPECT_EQ(0, probe(at, true, NULL));
	EXPECT_EQ(1, read(zero, at + 4096, 1));
	ASSERT_OK(cmd_free_large(heap->fd, large.out_page));
	close(zero);
}

/* ---- marks, fork --------------------------------------------------------------------- */

TEST_F_TIMEOUT(fail_call, to_read_marks_is_repeated, 300)
{
	struct test_heap *heap = &self->state.heap;
	bool fired = true;

	for (unsigned int n = 1; fired; n++) {
		volatile char *end;

		ASSERT_GT(CALLS_MOST, n);
		ASSERT_EQ(0, munmap(heap->region[GCHEAP_REGION_MARKS],
				    heap->region_bytes[GCHEAP_REGION_MARKS]));
		heap->region[GCHEAP_REGION_MARKS] =
			region_map(heap, GCHEAP_REGION_MARKS, PROT_READ | PROT_WRITE);
		ASSERT_NE(NULL, heap->region[GCHEAP_REGION_MARKS]);
		end = (char *)marks_at(heap, heap->region_bytes[GCHEAP_REGION_MARKS]);
		nth_set(n);
		EXPECT_EQ(0, end[-1]);
		fired = nth_fired();
	}
}

TEST_F_TIMEOUT(fail_call, to_fork_leaves_the_heap_to_its_owner, 600)
{
	bool fired = true;

	for (unsigned int n = 1; fired; n += n < 100 ? 1 : n / 50) {
		pid_t child;
		int err;

		ASSERT_GT(100 * CALLS_MOST, n);
		nth_set(n);
		/* No allocation of the C library's own. */
		child = (pid_t)syscall(SYS_fork);
		if (!child)
			_exit(0);
		err = errno;
		fired = nth_fired();
		if (child < 0) {
			EXPECT_TRUE(fired && (err == ENOMEM || err == EAGAIN)) {
				TH_LOG("n %u: errno %d", n, err);
			}
		} else {
			EXPECT_EQ(0, child_wait(child));
		}
	}
}

TEST_HARNESS_MAIN
