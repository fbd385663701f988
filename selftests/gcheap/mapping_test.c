// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The mapped regions: where each is found, what the process may do to it, and
 * what an access to memory that was not handed out gets.
 */
#include <sys/syscall.h>

#include "../kselftest_harness.h"
#include "gcheap_selftest.h"
#include "gcheap_track.h"

#define PAGE	((size_t)4096)

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ	22
#define MADV_POPULATE_WRITE	23
#endif

static bool region_writable(enum gcheap_region region)
{
	return region_is_owners(region);
}

/* A layout that has the region. */
static __u32 region_layout(enum gcheap_region region)
{
	return region == GCHEAP_REGION_BITMAP ? GCHEAP_LAYOUT_BITMAP :
						GCHEAP_LAYOUT_SPAN;
}

static int region_prot(enum gcheap_region region)
{
	return region_writable(region) ? PROT_READ | PROT_WRITE : PROT_READ;
}

/* Whether the heap of a region has no contents for it on this machine. */
static bool region_is_empty(enum gcheap_region region)
{
	return region == GCHEAP_REGION_DIRTY && !tracking_works();
}

/* ---- each region, not mapped yet ------------------------------------------------ */

FIXTURE(region) {
	struct test_heap heap;
	size_t bytes;
	__u64 offset;
	int prot;
};

FIXTURE_VARIANT(region) {
	enum gcheap_region region;
};

FIXTURE_VARIANT_ADD(region, heap) {
	.region = GCHEAP_REGION_HEAP,
};

FIXTURE_VARIANT_ADD(region, pages) {
	.region = GCHEAP_REGION_PAGES,
};

FIXTURE_VARIANT_ADD(region, spans) {
	.region = GCHEAP_REGION_SPANS,
};

FIXTURE_VARIANT_ADD(region, types) {
	.region = GCHEAP_REGION_TYPES,
};

FIXTURE_VARIANT_ADD(region, marks) {
	.region = GCHEAP_REGION_MARKS,
};

FIXTURE_VARIANT_ADD(region, ctrl) {
	.region = GCHEAP_REGION_CTRL,
};

FIXTURE_VARIANT_ADD(region, dirty) {
	.region = GCHEAP_REGION_DIRTY,
};

FIXTURE_VARIANT_ADD(region, bitmap) {
	.region = GCHEAP_REGION_BITMAP,
};

FIXTURE_SETUP(region)
{
	self->heap.fd = device_open();
	ASSERT_LE(0, self->heap.fd);
	ASSERT_OK(heap_setup(&self->heap, region_layout(variant->region), 2 * SMALL_RESERVE));
	ASSERT_OK(cmd_alloc_large(self->heap.fd, 0, 1 << 20, NULL));
	self->bytes = self->heap.region_bytes[variant->region];
	self->offset = GCHEAP_REGION_OFFSET(variant->region);
	self->prot = region_prot(variant->region);
}

FIXTURE_TEARDOWN(region)
{
	heap_close(&self->heap);
}

#define test_err_mmap(err, ...) EXPECT_EQ(err, map_errno(self->heap.fd, __VA_ARGS__))

TEST_F(region, maps_at_its_offset_with_its_length)
{
	test_err_mmap(0, self->bytes, self->prot, MAP_SHARED, self->offset);
	test_err_mmap(0, self->bytes, PROT_READ, MAP_SHARED, self->offset);
	test_err_mmap(0, self->bytes, self->prot, MAP_SHARED_VALIDATE, self->offset);
}

TEST_F(region, maps_again_after_it_was_unmapped)
{
	for (int i = 0; i < 10; i++)
		test_err_mmap(0, self->bytes, self->prot, MAP_SHARED, self->offset);
}

TEST_F(region, maps_lazily_and_populated)
{
	test_err_mmap(0, self->bytes, self->prot, MAP_SHARED | MAP_NORESERVE, self->offset);
	test_err_mmap(0, self->bytes, self->prot, MAP_SHARED | MAP_POPULATE, self->offset);
}

TEST_F(region, test_err_private_mapping)
{
	test_err_mmap(EINVAL, self->bytes, self->prot, MAP_PRIVATE, self->offset);
	test_err_mmap(EINVAL, self->bytes, PROT_READ, MAP_PRIVATE, self->offset);
}

TEST_F(region, test_err_wrong_length)
{
	test_err_mmap(EINVAL, self->bytes + PAGE, self->prot, MAP_SHARED, self->offset);
	test_err_mmap(EINVAL, self->bytes * 2, self->prot, MAP_SHARED, self->offset);
	if (self->bytes > PAGE) {
		test_err_mmap(EINVAL, self->bytes - PAGE, self->prot, MAP_SHARED,
			      self->offset);
		test_err_mmap(EINVAL, PAGE, self->prot, MAP_SHARED, self->offset);
	}
}

TEST_F(region, test_err_wrong_offset)
{
	test_err_mmap(EINVAL, self->bytes, self->prot, MAP_SHARED, self->offset + PAGE);
	test_err_mmap(EINVAL, PAGE, self->prot, MAP_SHARED,
		      self->offset + self->bytes);
	test_err_mmap(EINVAL, self->bytes, self->prot, MAP_SHARED,
		      self->offset + (1ull << (GCHEAP_REGION_SHIFT - 1)));
	if (self->bytes > PAGE)
		test_err_mmap(EINVAL, self->bytes - PAGE, self->prot, MAP_SHARED,
			      self->offset + PAGE);
}

TEST_F(region, test_err_no_such_region)
{
	test_err_mmap(EINVAL, self->bytes, PROT_READ, MAP_SHARED,
		      GCHEAP_REGION_OFFSET(GCHEAP_REGIONS));
	test_err_mmap(EINVAL, self->bytes, PROT_READ, MAP_SHARED,
		      GCHEAP_REGION_OFFSET(1 << 20));
}

TEST_F(region, test_err_mapping_before_setup)
{
	int fd = device_open();

	ASSERT_LE(0, fd);
	EXPECT_EQ(ENXIO, map_errno(fd, self->bytes, self->prot, MAP_SHARED, self->offset));
	close(fd);
}

TEST_F(region, test_err_file_that_is_not_open_for_both)
{
	/* Nor can one that is: opening its name again makes another heap. */
	char path[64];
	int fd;

	EXPECT_EQ(-1, open(DEVICE, O_RDONLY));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, open(DEVICE, O_WRONLY));
	EXPECT_EQ(EINVAL, errno);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", self->heap.fd);
	fd = open(path, O_RDWR);
	ASSERT_LE(0, fd);
	EXPECT_EQ(ENXIO, map_errno(fd, self->bytes, self->prot, MAP_SHARED, self->offset));
	close(fd);
}

TEST_F(region, test_err_executable_mapping)
{
	test_err_mmap(EPERM, self->bytes, PROT_READ | PROT_EXEC, MAP_SHARED, self->offset);
}

/* ---- each region, mapped --------------------------------------------------------- */

FIXTURE(mapped) {
	struct test_heap heap;
	char *p;
	size_t bytes;
	int prot;
	char before[64];
};

FIXTURE_VARIANT(mapped) {
	enum gcheap_region region;
};

FIXTURE_VARIANT_ADD(mapped, heap) {
	.region = GCHEAP_REGION_HEAP,
};

FIXTURE_VARIANT_ADD(mapped, pages) {
	.region = GCHEAP_REGION_PAGES,
};

FIXTURE_VARIANT_ADD(mapped, spans) {
	.region = GCHEAP_REGION_SPANS,
};

FIXTURE_VARIANT_ADD(mapped, types) {
	.region = GCHEAP_REGION_TYPES,
};

FIXTURE_VARIANT_ADD(mapped, marks) {
	.region = GCHEAP_REGION_MARKS,
};

FIXTURE_VARIANT_ADD(mapped, ctrl) {
	.region = GCHEAP_REGION_CTRL,
};

FIXTURE_VARIANT_ADD(mapped, dirty) {
	.region = GCHEAP_REGION_DIRTY,
};

FIXTURE_VARIANT_ADD(mapped, bitmap) {
	.region = GCHEAP_REGION_BITMAP,
};

/* A place in the region that has contents. */
static char *mapped_content(const struct test_heap *heap, enum gcheap_region region)
{
	switch (region) {
	case GCHEAP_REGION_HEAP:
		return heap_mem(heap, 1);
	case GCHEAP_REGION_PAGES:
		return (char *)heap->region[region] + sizeof(__u64);
	case GCHEAP_REGION_SPANS:
		return (char *)heap->region[region] + sizeof(struct gcheap_span);
	case GCHEAP_REGION_TYPES:
		return (char *)heap->region[region] + sizeof(struct gcheap_type_record);
	default:
		return heap->region[region];
	}
}

FIXTURE_SETUP(mapped)
{
	struct gcheap_track track = { .flags = GCHEAP_TRACK_BITMAP };
	struct gcheap_alloc_large large;

	if (region_is_empty(variant->region))
		SKIP(return, "no write tracking on this machine");
	ASSERT_OK(heap_open(&self->heap, region_layout(variant->region), SMALL_RESERVE));
	test_cmd_type_words(2, 1, NULL);
	test_cmd_alloc_large(0, 1 << 20, &large);
	ASSERT_EQ(1, large.out_page);
	memset(heap_mem(&self->heap, 1), 0xa5, 1 << 20);
	memset(self->heap.region[GCHEAP_REGION_MARKS], 0x5a, PAGE);
	if (variant->region == GCHEAP_REGION_BITMAP)
		memset(self->heap.region[GCHEAP_REGION_BITMAP], 0x5b, PAGE);
	if (variant->region == GCHEAP_REGION_DIRTY) {
		test_cmd_alloc_large(1, (1 << 20) / 16, &large);
		memset(heap_mem(&self->heap, large.out_page), 1, 1 << 19);
		test_cmd_track(&track);
		ASSERT_EQ(64, track.out_dirty_pages);
	}
	self->p = self->heap.region[variant->region];
	self->bytes = self->heap.region_bytes[variant->region];
	self->prot = region_prot(variant->region);
	memcpy(self->before, mapped_content(&self->heap, variant->region),
	       sizeof(self->before));
}

/* Whatever the test tried, the region is where it was and holds what it held. */
FIXTURE_TEARDOWN(mapped)
{
	EXPECT_EQ(0, memcmp(self->before, mapped_content(&self->heap, variant->region),
			    sizeof(self->before)));
	EXPECT_EQ(0, munmap(self->p, self->bytes));
	self->heap.region[variant->region] = NULL;
	heap_close(&self->heap);
}

#define EXPECT_FAILS(err, expr) do { \
	EXPECT_TRUE(expr); \
	EXPECT_EQ(err, errno); \
} while (0)

TEST_F(mapped, can_be_protected_as_a_whole)
{
	EXPECT_EQ(0, mprotect(self->p, self->bytes, PROT_NONE));
	EXPECT_EQ(SIGSEGV, probe(self->p, false, NULL));
	EXPECT_EQ(0, mprotect(self->p, self->bytes, self->prot));
}

TEST_F(mapped, test_err_unmapping_of_a_part)
{
	if (self->bytes == PAGE)
		return;		/* one page has no parts */
	EXPECT_FAILS(EINVAL, munmap(self->p, PAGE) < 0);
	EXPECT_FAILS(EINVAL, munmap(self->p + self->bytes - PAGE, PAGE) < 0);
	EXPECT_FAILS(EINVAL, munmap(self->p + self->bytes / 2, PAGE) < 0);
}

TEST_F(mapped, test_err_protecting_a_part)
{
	if (self->bytes == PAGE)
		return;		/* one page has no parts */
	EXPECT_FAILS(EINVAL, mprotect(self->p, PAGE, PROT_NONE) < 0);
	EXPECT_FAILS(EINVAL, mprotect(self->p + self->bytes - PAGE, PAGE, PROT_NONE) < 0);
	EXPECT_FAILS(EINVAL, mprotect(self->p + self->bytes / 2, PAGE, PROT_NONE) < 0);
}

TEST_F(mapped, test_err_mapping_something_over_a_part)
{
	if (self->bytes == PAGE)
		return;		/* one page has no parts */
	EXPECT_EQ(MAP_FAILED, mmap(self->p + self->bytes / 2, PAGE, PROT_READ,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
}

TEST_F(mapped, test_err_growing)
{
	EXPECT_EQ(MAP_FAILED, mremap(self->p, self->bytes, self->bytes + PAGE, 0));
	EXPECT_EQ(MAP_FAILED, mremap(self->p, self->bytes, self->bytes * 2,
				     MREMAP_MAYMOVE));
}

TEST_F(mapped, test_err_shrinking)
{
	if (self->bytes == PAGE)
		return;		/* one page has no parts */
	EXPECT_EQ(MAP_FAILED, mremap(self->p, self->bytes, self->bytes / 2, 0));
	EXPECT_EQ(MAP_FAILED, mremap(self->p, self->bytes, PAGE, MREMAP_MAYMOVE));
}

TEST_F(mapped, test_err_moving)
{
	char *room = mmap(NULL, self->bytes, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	ASSERT_NE(MAP_FAILED, room);
	EXPECT_EQ(MAP_FAILED, mremap(self->p, self->bytes, self->bytes,
				     MREMAP_MAYMOVE | MREMAP_FIXED, room));
	EXPECT_EQ(MAP_FAILED, mremap(self->p, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
				     room));
}

TEST_F(mapped, test_err_remapping_other_pages)
{
	EXPECT_EQ(-1, syscall(SYS_remap_file_pages, self->p, self->bytes, 0, 1, 0));
	/* The kernel has unmapped it before it asked; it can be mapped again. */
	munmap(self->p, self->bytes);
	self->p = region_map(&self->heap, variant->region, self->prot);
	ASSERT_NE(NULL, self->p);
	self->heap.region[variant->region] = self->p;
	if (self->bytes > PAGE)
		EXPECT_EQ(-1, syscall(SYS_remap_file_pages, self->p, PAGE, 0,
				      GCHEAP_REGION_OFFSET(variant->region) / PAGE, 0));
}

TEST_F(mapped, test_err_duplicating_by_mremap)
{
	EXPECT_EQ(MAP_FAILED, mremap(self->p, 0, self->bytes, MREMAP_MAYMOVE));
#ifdef MREMAP_DONTUNMAP
	EXPECT_EQ(MAP_FAILED, mremap(self->p, self->bytes, self->bytes,
				     MREMAP_MAYMOVE | MREMAP_DONTUNMAP));
#endif
}

TEST_F(mapped, keeps_its_contents_when_told_that_they_are_not_needed)
{
	madvise(self->p, self->bytes, MADV_DONTNEED);
	madvise(self->p, self->bytes, MADV_FREE);
	madvise(self->p, self->bytes, MADV_REMOVE);
	madvise(self->p, self->bytes, MADV_PAGEOUT);
}

TEST_F(mapped, survives_being_populated_and_locked)
{
	madvise(self->p, self->bytes, MADV_POPULATE_READ);
	madvise(self->p, self->bytes, MADV_POPULATE_WRITE);
	if (!mlock(self->p, self->bytes))
		EXPECT_EQ(0, munlock(self->p, self->bytes));
}

TEST_F(mapped, is_not_inherited_by_fork)
{
	EXPECT_EQ(SIGSEGV, child_probe(self->p, false));
}

/* madvise() lets the process ask for it; it is of no use, and does no harm. */
TEST_F(mapped, is_not_reachable_in_a_child_that_was_to_inherit_it)
{
	char *content = mapped_content(&self->heap, variant->region);

	madvise(self->p, self->bytes, MADV_DOFORK);
	EXPECT_NE(0, child_probe(content, false));
	EXPECT_NE(0, child_probe(content, true));
}

TEST_F(mapped, unmaps_as_a_whole_and_maps_again_with_its_contents)
{
	ASSERT_EQ(0, munmap(self->p, self->bytes));
	EXPECT_EQ(SIGSEGV, probe(self->p, false, NULL));
	self->p = region_map(&self->heap, variant->region, self->prot);
	ASSERT_NE(NULL, self->p);
	self->heap.region[variant->region] = self->p;
}

/* ---- the regions that can only be read ------------------------------------------ */

FIXTURE(readonly) {
	struct test_heap heap;
	char *p;
	size_t bytes;
	__u64 offset;
};

FIXTURE_VARIANT(readonly) {
	enum gcheap_region region;
};

FIXTURE_VARIANT_ADD(readonly, pages) {
	.region = GCHEAP_REGION_PAGES,
};

FIXTURE_VARIANT_ADD(readonly, spans) {
	.region = GCHEAP_REGION_SPANS,
};

FIXTURE_VARIANT_ADD(readonly, types) {
	.region = GCHEAP_REGION_TYPES,
};

FIXTURE_VARIANT_ADD(readonly, ctrl) {
	.region = GCHEAP_REGION_CTRL,
};

FIXTURE_VARIANT_ADD(readonly, dirty) {
	.region = GCHEAP_REGION_DIRTY,
};

FIXTURE_SETUP(readonly)
{
	struct gcheap_track track = { .flags = GCHEAP_TRACK_BITMAP };

	if (region_is_empty(variant->region))
		SKIP(return, "no write tracking on this machine");
	ASSERT_OK(heap_open(&self->heap, GCHEAP_LAYOUT_SPAN, SMALL_RESERVE));
	test_cmd_type_words(2, 1, NULL);
	test_cmd_alloc_large(0, 1 << 20, NULL);
	if (variant->region == GCHEAP_REGION_DIRTY)
		test_cmd_track(&track);
	self->p = self->heap.region[variant->region];
	self->bytes = self->heap.region_bytes[variant->region];
	self->offset = GCHEAP_REGION_OFFSET(variant->region);
}

FIXTURE_TEARDOWN(readonly)
{
	heap_close(&self->heap);
}

TEST_F(readonly, test_err_writable_mapping)
{
	test_err_mmap(EACCES, self->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, self->offset);
	test_err_mmap(EACCES, self->bytes, PROT_WRITE, MAP_SHARED, self->offset);
}

TEST_F(readonly, test_err_write)
{
	siginfo_t info;

	EXPECT_EQ(SIGSEGV, probe(self->p, true, &info));
	EXPECT_EQ(SEGV_ACCERR, info.si_code);
}

TEST_F(readonly, test_err_mprotect_to_writable_later)
{
	EXPECT_FAILS(EACCES, mprotect(self->p, self->bytes, PROT_READ | PROT_WRITE) < 0);
	EXPECT_FAILS(EACCES, mprotect(self->p, self->bytes, PROT_WRITE) < 0);
	EXPECT_EQ(SIGSEGV, probe(self->p, true, NULL));
	/* Not by way of no access either. */
	EXPECT_EQ(0, mprotect(self->p, self->bytes, PROT_NONE));
	EXPECT_FAILS(EACCES, mprotect(self->p, self->bytes, PROT_READ | PROT_WRITE) < 0);
	EXPECT_EQ(0, mprotect(self->p, self->bytes, PROT_READ));
}

TEST_F(readonly, test_err_write_through_proc_mem)
{
	char byte = 0x77;
	int fd;

	fd = open("/proc/self/mem", O_RDWR);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-1, pwrite(fd, &byte, 1,
			     (off_t)mapped_content(&self->heap, variant->region)));
	close(fd);
}

TEST_HARNESS_MAIN
