// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* ALLOC_LARGE: spans of one object, and what a cycle does with them. */
#include <sys/sysinfo.h>

#include "../kselftest_harness.h"
#include "gcheap_selftest.h"

FIXTURE(large) {
	struct test_heap heap;
	struct gcheap_alloc_large object;
	struct gcheap_sweep_start swept;
	__u32 type;		/* three words, of which two are pointers */
};

FIXTURE_VARIANT(large) {
	__u32 layout;
};

FIXTURE_VARIANT_ADD(large, span_layout) {
	.layout = GCHEAP_LAYOUT_SPAN,
};

FIXTURE_VARIANT_ADD(large, header_layout) {
	.layout = GCHEAP_LAYOUT_HEADER,
};

FIXTURE_VARIANT_ADD(large, footer_layout) {
	.layout = GCHEAP_LAYOUT_FOOTER,
};

FIXTURE_VARIANT_ADD(large, bitmap_layout) {
	.layout = GCHEAP_LAYOUT_BITMAP,
};

FIXTURE_SETUP(large)
{
	ASSERT_OK(heap_open(&self->heap, variant->layout, 1ull << 30));
	test_cmd_type_words(3, 5, &self->type);
}

FIXTURE_TEARDOWN(large)
{
	EXPECT_EQ(NULL, heap_wrong(&self->heap)) {
		TH_LOG("%s", heap_wrong(&self->heap));
	}
	heap_close(&self->heap);
}

static char *object_mem(const struct test_heap *heap, const struct gcheap_alloc_large *object)
{
	return heap_mem(heap, object->out_page);
}

static void object_mark(const struct test_heap *heap, __u32 page)
{
	bit_set(mark_bits(heap), slot_bit(page, 0, 0));
	bit_set(page_marks(heap), page);
}

TEST_F(large, objects_of_many_sizes_have_a_span_of_their_own)
{
	static const __u64 sizes[] = {
		32769, 40960, 40961, 65536, 100000, 1 << 20, (1 << 20) + 1, 9999999,
	};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		char *mem;

		test_cmd_alloc_large(0, sizes[i], &self->object);
		ASSERT_RIGHT(large_wrong(&self->heap, &self->object, sizes[i], true));
		ASSERT_EQ(0, self->object.out_flags);
		ASSERT_EQ(0, self->object.out_reserved);
		mem = object_mem(&self->heap, &self->object);
		ASSERT_TRUE(memory_is(mem, 0, sizes[i]));
		memset(mem, 0x66, sizes[i]);
	}
}

TEST_F(large, objects_may_be_small)
{
	for (__u64 bytes = 1; bytes <= 8193; bytes *= 3) {
		test_cmd_alloc_large(0, bytes, &self->object);
		ASSERT_RIGHT(large_wrong(&self->heap, &self->object, bytes, true));
	}
}

TEST_F(large, objects_have_a_count_of_elements)
{
	static const __u64 counts[] = { 1, 1366, 100000 };

	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		test_cmd_alloc_large(self->type, counts[i], &self->object);
		ASSERT_RIGHT(large_wrong(&self->heap, &self->object, 24 * counts[i], false));
	}
}

TEST_F(large, objects_of_a_type_without_pointers_are_not_scanned)
{
	__u32 type;

	test_cmd_type_words(3, 0, &type);
	test_cmd_alloc_large(type, 5000, &self->object);
	ASSERT_RIGHT(large_wrong(&self->heap, &self->object, 120000, true));
}

TEST_F(large, objects_of_a_large_type_work)
{
	__u64 mask[1000] = { 7 };
	__u32 type;

	mask[999] = 1ull << 63;
	test_cmd_type_add(8 * 64000, 8, 8 * 64000, mask, "large", &type);
	test_cmd_alloc_large(type, 1, &self->object);
	ASSERT_RIGHT(large_wrong(&self->heap, &self->object, 512000, false));
}

TEST_F_TIMEOUT(large, object_of_256_mib_works, 60)
{
	const __u64 bytes = 256ull << 20;
	struct gcheap_counters counters;
	__u64 *mem;

	test_cmd_alloc_large(0, bytes, &self->object);
	ASSERT_RIGHT(large_wrong(&self->heap, &self->object, bytes, true));
	mem = (void *)object_mem(&self->heap, &self->object);
	for (__u64 i = 0; i < bytes / 8; i += 512) {
		ASSERT_EQ(0, mem[i]);
		mem[i] = i;
	}
	for (__u64 i = 0; i < bytes / 8; i += 512)
		ASSERT_EQ(i, mem[i]);
	test_cmd_stats(&counters);
	EXPECT_LE(bytes, counters.resident_bytes);
	EXPECT_EQ(bytes >> GCHEAP_PAGE_SHIFT, counters.in_use_pages);
	test_cmd_mark_start(NULL);
	test_cmd_sweep_start(&self->swept);
	EXPECT_EQ(1, self->swept.out_freed_spans);
	EXPECT_EQ(bytes >> GCHEAP_PAGE_SHIFT, self->swept.out_freed_pages);
	ASSERT_RIGHT(free_wrong(&self->heap, self->object.out_page,
				self->object.out_npages));
}

TEST_F(large, objects_are_counted)
{
	struct gcheap_counters before, after;

	test_cmd_stats(&before);
	for (int i = 0; i < 10; i++)
		test_cmd_alloc_large(0, 50000, NULL);
	test_cmd_stats(&after);
	EXPECT_EQ(before.large_objects + 10, after.large_objects);
	EXPECT_EQ(before.spans + 10, after.spans);
	EXPECT_EQ(before.in_use_pages + 70, after.in_use_pages);
	EXPECT_EQ(0, after.cached_spans);
}

/* ---- rules ------------------------------------------------------------------------ */

TEST_F(large, test_err_count_of_zero)
{
	test_err_alloc_large(EINVAL, 0, 0, NULL);
	test_err_alloc_large(EINVAL, self->type, 0, NULL);
}

TEST_F(large, test_err_type_unknown)
{
	test_err_alloc_large(EINVAL, 2, 1, NULL);
	test_err_alloc_large(EINVAL, GCHEAP_TYPES_MAX - 1, 1, NULL);
	test_err_alloc_large(EINVAL, GCHEAP_TYPES_MAX, 1, NULL);
	test_err_alloc_large(EINVAL, ~0u, 1, NULL);
}

TEST_F(large, test_err_count_that_overflows)
{
	test_err_alloc_large(EOVERFLOW, self->type, ~0ull, NULL);
	test_err_alloc_large(EOVERFLOW, self->type, ~0ull / 24 + 1, NULL);
	test_err_alloc_large(EOVERFLOW, self->type, (1ull << 61) + 1, NULL);
	/* No overflow, but more than any heap has. */
	test_err_alloc_large(EOVERFLOW, self->type, ~0ull / 24, NULL);
	test_err_alloc_large(EOVERFLOW, self->type, GCHEAP_RESERVE_MAX / 24 + 1, NULL);
	test_err_alloc_large(EOVERFLOW, 0, ~0ull, NULL);
	test_err_alloc_large(EOVERFLOW, 0, ~0ull - 8190, NULL);
	test_err_alloc_large(EOVERFLOW, 0, 1ull << 63, NULL);
	test_err_alloc_large(EOVERFLOW, 0, GCHEAP_RESERVE_MAX + 1, NULL);
}

TEST_F(large, test_err_object_larger_than_the_heap)
{
	test_err_alloc_large(ENOMEM, 0, self->heap.reserve, NULL);
	test_err_alloc_large(ENOMEM, 0, self->heap.reserve - 8191, NULL);
	test_err_alloc_large(ENOMEM, 0, self->heap.reserve + 1, NULL);
	test_err_alloc_large(ENOMEM, 0, 1ull << 32, NULL);
	test_err_alloc_large(ENOMEM, 0, (1ull << 45) >> 5, NULL);
	test_err_alloc_large(ENOMEM, 0, GCHEAP_RESERVE_MAX, NULL);
	test_cmd_alloc_large(0, 50000, NULL);
}

TEST_F(large, test_err_object_larger_than_the_machine)
{
	const __u64 bytes = GCHEAP_RESERVE_MAX / 2;
	struct sysinfo info;

	ASSERT_EQ(0, sysinfo(&info));
	if (info.totalram * info.mem_unit > bytes / 2)
		SKIP(return, "the machine has room for nearly any object");
	heap_close(&self->heap);
	ASSERT_OK(heap_open(&self->heap, variant->layout, GCHEAP_RESERVE_MAX));
	test_cmd_alloc_large(0, 50000, NULL);
	test_err_alloc_large(ENOMEM, 0, bytes, NULL);
	test_cmd_alloc_large(0, 50000, NULL);
}

/* ---- cycles ----------------------------------------------------------------------- */

TEST_F(large, objects_that_are_not_marked_are_freed)
{
	struct gcheap_alloc_large objects[20];

	for (int i = 0; i < 20; i++)
		test_cmd_alloc_large(i % 2 ? self->type : 0, 40000 * (i + 1), &objects[i]);
	test_cmd_mark_start(NULL);
	test_cmd_sweep_start(&self->swept);
	EXPECT_EQ(20, self->swept.out_freed_spans);
	EXPECT_EQ(0, self->swept.out_unswept_spans);
	for (int i = 0; i < 20; i++)
		ASSERT_RIGHT(free_wrong(&self->heap, objects[i].out_page,
					objects[i].out_npages));
	EXPECT_EQ(0, heap_ctrl(&self->heap)->counters.in_use_pages);
}

TEST_F(large, objects_that_are_marked_are_kept)
{
	struct gcheap_alloc_large objects[20];

	for (int i = 0; i < 20; i++) {
		test_cmd_alloc_large(self->type, 2000 * (i + 1), &objects[i]);
		memset(object_mem(&self->heap, &objects[i]), i + 1, 48000 * (i + 1));
	}
	for (int cycle = 0; cycle < 3; cycle++) {
		test_cmd_mark_start(NULL);
		for (int i = 0; i < 20; i += 3)
			object_mark(&self->heap, objects[i].out_page);
		test_cmd_sweep_start(&self->swept);
		EXPECT_EQ(cycle ? 0 : 13, self->swept.out_freed_spans);
		for (int i = 0; i < 20; i += 3) {
			ASSERT_RIGHT(large_wrong(&self->heap, &objects[i], 48000 * (i + 1),
						 false));
			ASSERT_TRUE(memory_is(object_mem(&self->heap, &objects[i]), i + 1,
					      48000 * (i + 1)));
		}
		ASSERT_RIGHT(heap_wrong(&self->heap));
	}
}

TEST_F(large, objects_in_used_pages_say_so)
{
	__u32 page;

	test_cmd_alloc_large(0, 1 << 20, &self->object);
	page = self->object.out_page;
	memset(object_mem(&self->heap, &self->object), 0x44, 1 << 20);
	test_cmd_mark_start(NULL);
	test_cmd_sweep_start(NULL);
	test_cmd_alloc_large(0, 1 << 19, &self->object);
	EXPECT_EQ(page, self->object.out_page);
	EXPECT_EQ(GCHEAP_GRANT_NEEDZERO, self->object.out_flags);
	EXPECT_TRUE(heap_span(&self->heap, page)->state & GCHEAP_SPAN_NEEDZERO);
	EXPECT_TRUE(memory_is(object_mem(&self->heap, &self->object), 0x44, 1 << 19));
}

TEST_F(large, objects_only_partly_in_used_pages_say_so_too)
{
	test_cmd_alloc_large(0, 100000, &self->object);
	memset(object_mem(&self->heap, &self->object), 0x44, 100000);
	test_cmd_mark_start(NULL);
	test_cmd_sweep_start(NULL);
	test_cmd_alloc_large(0, 2 << 20, &self->object);
	if (!self->object.out_flags)
		EXPECT_TRUE(memory_is(object_mem(&self->heap, &self->object), 0, 2 << 20));
}

TEST_F(large, objects_reuse_the_pages_of_small_ones)
{
	struct gcheap_grant grants[64];
	__u32 granted, pages[64];

	test_cmd_refill(0, CLASS_64, ~0u, NULL, 0, grants, 64, &granted);
	ASSERT_EQ(64, granted);
	for (int i = 0; i < 64; i++) {
		pages[i] = grants[i].page;
		span_fill(&self->heap, pages[i]);
	}
	test_cmd_give(pages, 64);
	test_cmd_mark_start(NULL);
	test_cmd_sweep_start(NULL);
	test_cmd_alloc_large(self->type, 64 * 8192 / 24, &self->object);
	EXPECT_EQ(pages[0], self->object.out_page);
	ASSERT_RIGHT(large_wrong(&self->heap, &self->object, 64 * 8192 / 24 * 24, false));
}

TEST_F(large, objects_of_one_marked_bit_but_no_page_mark_are_freed)
{
	test_cmd_alloc_large(0, 100000, &self->object);
	test_cmd_mark_start(NULL);
	bit_set(mark_bits(&self->heap), slot_bit(self->object.out_page, 0, 0));
	test_cmd_sweep_start(&self->swept);
	EXPECT_EQ(1, self->swept.out_freed_spans);
	/* And leave no bit behind where another object comes. */
	test_cmd_alloc_large(0, 100000, &self->object);
	ASSERT_RIGHT(large_wrong(&self->heap, &self->object, 100000, true));
}

TEST_F(large, request_may_stand_in_an_object)
{
	struct gcheap_alloc_large *request;

	test_cmd_alloc_large(0, 100000, &self->object);
	request = (void *)(object_mem(&self->heap, &self->object) + 8192 - 12);
	*request = (struct gcheap_alloc_large){ .size = sizeof(*request), .count = 90000 };
	ASSERT_OK(cmd_send(self->heap.fd, GCHEAP_OP_ALLOC_LARGE, request));
	self->object = *request;
	ASSERT_RIGHT(large_wrong(&self->heap, &self->object, 90000, true));
}

TEST_HARNESS_MAIN
