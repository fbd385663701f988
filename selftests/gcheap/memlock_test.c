// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Memory of a heap whose owner has HEAP not mapped: it counts as pinned (VmPin), against
 * RLIMIT_MEMLOCK.
 */
#include <grp.h>
#include <sys/resource.h>

#include "../kselftest_harness.h"
#include "gcheap_selftest.h"

#define OBJECT		(1u << 20)
#define NOBODY		65534

FIXTURE(memlock) {
	struct machine before;
};

FIXTURE_SETUP(memlock)
{
	ASSERT_OK(machine_take(&self->before));
}

FIXTURE_TEARDOWN(memlock)
{
	EXPECT_TRUE(machine_back_to(&self->before));
}

static long long pinned_bytes(void)
{
	return text_number("/proc/self/status", "VmPin:") * 1024;
}

static int heap_map_only(struct test_heap *heap)
{
	heap->region[GCHEAP_REGION_HEAP] = region_map(heap, GCHEAP_REGION_HEAP,
						      PROT_READ | PROT_WRITE);
	return heap->region[GCHEAP_REGION_HEAP] ? 0 : -errno;
}

static void heap_unmap_only(struct test_heap *heap)
{
	munmap(heap->region[GCHEAP_REGION_HEAP], heap->reserve);
	heap->region[GCHEAP_REGION_HEAP] = NULL;
}

/* What it holds beside its tables. */
static __u64 held_bytes(const struct test_heap *heap)
{
	const volatile struct gcheap_ctrl *ctrl = heap_ctrl(heap);

	return ctrl->counters.resident_bytes + ctrl->counters.stock_bytes;
}

/* Opens a heap, and then has no privileges any more. */
static int nobody_opens(struct test_heap *heap, __u32 flags, __u64 limit)
{
	struct rlimit rlimit = { .rlim_cur = limit, .rlim_max = limit };
	int ret = heap_open_flags(heap, GCHEAP_LAYOUT_SPAN, SMALL_RESERVE, flags);

	if (ret)
		return ret;
	heap_unmap_only(heap);
	if (setrlimit(RLIMIT_MEMLOCK, &rlimit) || setgroups(0, NULL) || setgid(NOBODY) ||
	    setuid(NOBODY))
		return -errno;
	return 0;
}

#define MUST(expr) do { \
	if (!(expr)) { \
		fprintf(stderr, "# %s:%d: %s\n", __FILE__, __LINE__, #expr); \
		_exit(1); \
	} \
} while (0)

static void limit_of_zero(__u32 flags)
{
	struct gcheap_alloc_large large;
	struct gcheap_counters before, after;
	struct gcheap_grant grant;
	struct test_heap heap;

	MUST(!nobody_opens(&heap, flags, 0));
	MUST(!cmd_stats(heap.fd, &before));
	MUST(cmd_alloc_large(heap.fd, 0, OBJECT, &large) == -ENOMEM);
	MUST(cmd_take(heap.fd, 0, CLASS_64, &grant) == -ENOMEM);
	MUST(cmd_chunk_new(heap.fd, NULL) == -ENOMEM);
	MUST(!cmd_stats(heap.fd, &after));
	MUST(before.resident_bytes == after.resident_bytes && !after.in_use_pages);
	MUST(pinned_bytes() == 0);
	/* It is the mapping that was missing. */
	MUST(!heap_map_only(&heap));
	MUST(!cmd_alloc_large(heap.fd, 0, OBJECT, &large));
	MUST(!cmd_take(heap.fd, 0, CLASS_64, &grant));
	MUST(!cmd_chunk_new(heap.fd, NULL));
	MUST(pinned_bytes() == 0);
	memset(heap_mem(&heap, large.out_page), 1, OBJECT);
	_exit(0);
}

TEST_F(memlock, limit_of_zero_allows_nothing_that_is_not_mapped)
{
	for (int huge = 0; huge < 2; huge++) {
		pid_t child = fork();

		ASSERT_LE(0, child);
		if (!child)
			limit_of_zero(huge ? GCHEAP_SETUP_HUGE_PAGES : 0);
		EXPECT_EQ(0, child_wait(child));
	}
}

static void limit_of_4_mib(void)
{
	struct gcheap_alloc_large large[3];
	struct test_heap heap;

	MUST(!nobody_opens(&heap, 0, 4 * OBJECT));
	for (int i = 0; i < 3; i++) {
		MUST(!cmd_alloc_large(heap.fd, 0, OBJECT, &large[i]));
		MUST(pinned_bytes() == (long long)held_bytes(&heap));
		MUST(held_bytes(&heap) >= (i + 1ull) * OBJECT);
	}
	MUST(cmd_alloc_large(heap.fd, 0, 2 * OBJECT, NULL) == -ENOMEM);
	/* What is freed makes room. */
	MUST(!cmd_free_large(heap.fd, large[1].out_page));
	MUST(!cmd_free_large(heap.fd, large[2].out_page));
	MUST(!cmd_scavenge(heap.fd, ~0ull, NULL));
	MUST(pinned_bytes() == OBJECT);
	MUST(!cmd_alloc_large(heap.fd, 0, 2 * OBJECT, &large[1]));
	/* Mapped, it is pinned no more; unmapped, it is again, and is kept. */
	MUST(!heap_map_only(&heap));
	MUST(pinned_bytes() == 0);
	memset(heap_mem(&heap, large[0].out_page), 1, OBJECT);
	heap_unmap_only(&heap);
	MUST(pinned_bytes() == (long long)held_bytes(&heap));
	MUST(!heap_map_only(&heap));
	MUST(memory_is(heap_mem(&heap, large[0].out_page), 1, OBJECT));
	MUST(pinned_bytes() == 0);
	_exit(0);
}

TEST_F(memlock, limit_is_counted_up_to)
{
	pid_t child = fork();

	ASSERT_LE(0, child);
	if (!child)
		limit_of_4_mib();
	EXPECT_EQ(0, child_wait(child));
}

static void too_much_is_unmapped(__u32 flags)
{
	long long before = sysfs_number("object_bytes");
	struct gcheap_alloc_large large;
	struct test_heap heap;

	MUST(!nobody_opens(&heap, flags, 4 * OBJECT));
	MUST(!heap_map_only(&heap));
	MUST(!cmd_alloc_large(heap.fd, 0, 8 * OBJECT, &large));
	memset(heap_mem(&heap, large.out_page), 1, 8 * OBJECT);
	MUST(sysfs_number("object_bytes") - before >= 8 * OBJECT);
	heap_unmap_only(&heap);
	/* All of it is given back, though the process lives on; or the test hangs. */
	while (sysfs_number("object_bytes") != before || pinned_bytes())
		usleep(10000);
	MUST(cmd_stats(heap.fd, NULL) == -ENXIO);
	MUST(cmd_alloc_large(heap.fd, 0, OBJECT, NULL) == -ENXIO);
	MUST(cmd_mark_start(heap.fd, NULL) == -ENXIO);
	MUST(map_errno(heap.fd, heap.reserve, PROT_READ | PROT_WRITE, MAP_SHARED, 0) == ENXIO);
	/* The tables stay to be read. */
	MUST(heap_ctrl(&heap)->abi == GCHEAP_ABI);
	MUST(span_state(&heap, large.out_page) == GCHEAP_SPAN_LARGE);
	_exit(0);
}

TEST_F(memlock, limit_that_is_passed_by_munmap_costs_the_heap)
{
	for (int huge = 0; huge < 2; huge++) {
		pid_t child = fork();

		ASSERT_LE(0, child);
		if (!child)
			too_much_is_unmapped(huge ? GCHEAP_SETUP_HUGE_PAGES : 0);
		EXPECT_EQ(0, child_wait(child));
	}
}

/* One who may lock what he likes, as who runs this. */
TEST_F(memlock, limit_does_not_bind_the_privileged)
{
	struct rlimit before, none = { 0 };
	struct gcheap_alloc_large large, other;
	struct test_heap heap;

	ASSERT_EQ(0, getrlimit(RLIMIT_MEMLOCK, &before));
	ASSERT_OK(heap_open(&heap, GCHEAP_LAYOUT_SPAN, SMALL_RESERVE));
	none.rlim_max = before.rlim_max;
	ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &none));
	ASSERT_OK(cmd_alloc_large(heap.fd, 0, 8 * OBJECT, &large));
	memset(heap_mem(&heap, large.out_page), 5, 8 * OBJECT);
	EXPECT_EQ(0, pinned_bytes());
	heap_unmap_only(&heap);
	EXPECT_EQ((long long)held_bytes(&heap), pinned_bytes());
	ASSERT_OK(cmd_alloc_large(heap.fd, 0, 8 * OBJECT, &other));
	EXPECT_LE(16 * OBJECT, pinned_bytes());
	EXPECT_EQ((long long)held_bytes(&heap), pinned_bytes());
	/* What the shrinker takes is pinned no more. */
	ASSERT_OK(cmd_free_large(heap.fd, other.out_page));
	ASSERT_OK(text_write("/proc/sys/vm/drop_caches", "2"));
	EXPECT_GT(16 * OBJECT, pinned_bytes());
	EXPECT_EQ((long long)held_bytes(&heap), pinned_bytes());
	ASSERT_OK(heap_map_only(&heap));
	EXPECT_EQ(0, pinned_bytes());
	EXPECT_TRUE(memory_is(heap_mem(&heap, large.out_page), 5, 8 * OBJECT));
	/* A heap that ends unmapped leaves nothing. */
	heap_unmap_only(&heap);
	heap_close(&heap);
	EXPECT_EQ(0, pinned_bytes());
	ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &before));
}

TEST_HARNESS_MAIN
