// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Mixed spans of the SPAN layout, and heaps of GCHEAP_SETUP_RECORD_TYPES: what
 * REFILL hands out, and what it refuses.
 */
#include "../kselftest_harness.h"
#include "gcheap_selftest.h"

/* No free page is left, so that what REFILL finds is a span that it has. */
#define test_use_up_pages() do { \
	const struct gcheap_ctrl *ctrl_ = heap_ctrl(&self->heap); \
	struct gcheap_alloc_large large_; \
\
	while (ctrl_->counters.in_use_pages + 1 < ctrl_->heap_pages) \
		test_cmd_alloc_large(0, 1, &large_); \
} while (0)

/* ---- mixed spans ------------------------------------------------------------------- */

FIXTURE(mixed) {
	struct test_heap heap;
	struct gcheap_grant grant;
	__u32 types[2];		/* of two words, with different masks */
};

FIXTURE_SETUP(mixed)
{
	ASSERT_OK(heap_open(&self->heap, GCHEAP_LAYOUT_SPAN, SMALL_RESERVE));
	test_cmd_type_words(2, 1, &self->types[0]);
	test_cmd_type_words(2, 2, &self->types[1]);
}

FIXTURE_TEARDOWN(mixed)
{
	EXPECT_EQ(NULL, heap_wrong(&self->heap)) {
		TH_LOG("%s", heap_wrong(&self->heap));
	}
	heap_close(&self->heap);
}

#define test_take_mixed(type, class) \
	ASSERT_OK(cmd_take_flags(self->heap.fd, GCHEAP_REFILL_MIXED, type, class, &self->grant))
#define test_err_mixed(err, type, class) \
	test_err(err, cmd_take_flags(self->heap.fd, GCHEAP_REFILL_MIXED, type, class, \
				     &self->grant))

TEST_F(mixed, spans_are_of_the_kinds_of_the_header_layout)
{
	for (__u32 class = SIZE_CLASS_MIN; class < SIZE_CLASSES; class++) {
		__u32 kind = size_classes[class].bytes <= GCHEAP_HEAP_BITS_MAX ?
			     GCHEAP_KIND_HEAP_BITS : GCHEAP_KIND_HEADER;

		test_take_mixed(self->types[0], class);
		ASSERT_RIGHT(span_of_kind_wrong(&self->heap, &self->grant, class, false, kind));
		ASSERT_EQ(0, heap_span(&self->heap, self->grant.page)->type);
		ASSERT_EQ(0, heap_span(&self->heap, self->grant.page)->ptr_mask);
	}
}

TEST_F(mixed, spans_of_bytes_are_those_of_bytes)
{
	__u32 noscan;

	test_cmd_type_words(8, 0, &noscan);
	test_take_mixed(noscan, CLASS_64);
	ASSERT_RIGHT(span_wrong(&self->heap, &self->grant, CLASS_64, true));
	test_take_mixed(0, CLASS_64);
	ASSERT_RIGHT(span_wrong(&self->heap, &self->grant, CLASS_64, true));
}

TEST_F(mixed, spans_are_shared_by_all_types_and_by_no_span_of_a_type)
{
	struct gcheap_grant own;
	__u32 page;

	test_take_mixed(self->types[0], CLASS_64);
	page = self->grant.page;
	test_cmd_take(self->types[0], CLASS_64, &own);
	slot_alloc(&self->heap, page, 7);
	slot_alloc(&self->heap, own.page, 7);
	test_use_up_pages();
	test_cmd_give(&page, 1);
	test_cmd_give(&own.page, 1);
	test_take_mixed(self->types[1], CLASS_64);
	EXPECT_EQ(page, self->grant.page);
	test_cmd_take(self->types[0], CLASS_64, &self->grant);
	EXPECT_EQ(own.page, self->grant.page);
}

TEST_F(mixed, test_err_slots_too_small_for_the_type_and_its_header)
{
	__u8 mask = 1;
	__u32 type;

	test_cmd_type_words(128, 1, &type);
	test_cmd_take(type, CLASS_1024, &self->grant);
	test_err_mixed(EINVAL, type, CLASS_1024);
	test_cmd_type_words(127, 1, &type);
	test_take_mixed(type, CLASS_1024);
	test_cmd_type_add(1024 - 128, 128, 8, &mask, "fits", &type);
	test_take_mixed(type, CLASS_1024);
	test_cmd_type_add(512, 512, 8, &mask, "does not", &type);
	test_err_mixed(EINVAL, type, CLASS_576);
	test_err_mixed(EINVAL, 99, CLASS_576);
	test_err_mixed(EINVAL, self->types[0], SIZE_CLASSES);
}

/* ---- heaps that record types, and other layouts -------------------------------------- */

FIXTURE(record_types) {
	struct test_heap heap;
	struct gcheap_grant grant;
	__u32 type;		/* one word, a pointer */
	__u32 noscan;		/* one word, none */
};

FIXTURE_VARIANT(record_types) {
	__u32 layout;
	__u32 small;		/* kind of spans of objects up to 512 bytes */
	__u32 big;		/* of larger ones */
	__u32 noscan;		/* of either without pointers */
};

FIXTURE_VARIANT_ADD(record_types, span_layout) {
	.layout = GCHEAP_LAYOUT_SPAN,
	.small = GCHEAP_KIND_MASK,
	.big = GCHEAP_KIND_TYPE,
	.noscan = GCHEAP_KIND_TYPE,
};

FIXTURE_VARIANT_ADD(record_types, header_layout) {
	.layout = GCHEAP_LAYOUT_HEADER,
	.small = GCHEAP_KIND_HEADER,
	.big = GCHEAP_KIND_HEADER,
	.noscan = GCHEAP_KIND_HEADER,
};

FIXTURE_VARIANT_ADD(record_types, footer_layout) {
	.layout = GCHEAP_LAYOUT_FOOTER,
	.small = GCHEAP_KIND_FOOTER,
	.big = GCHEAP_KIND_FOOTER,
	.noscan = GCHEAP_KIND_FOOTER,
};

FIXTURE_VARIANT_ADD(record_types, bitmap_layout) {
	.layout = GCHEAP_LAYOUT_BITMAP,
	.small = GCHEAP_KIND_BITMAP,
	.big = GCHEAP_KIND_BITMAP,
	.noscan = GCHEAP_KIND_BITMAP,
};

FIXTURE_SETUP(record_types)
{
	ASSERT_OK(heap_open_flags(&self->heap, variant->layout, SMALL_RESERVE,
				  GCHEAP_SETUP_RECORD_TYPES));
	test_cmd_type_words(1, 1, &self->type);
	test_cmd_type_words(1, 0, &self->noscan);
}

FIXTURE_TEARDOWN(record_types)
{
	EXPECT_EQ(NULL, heap_wrong(&self->heap)) {
		TH_LOG("%s", heap_wrong(&self->heap));
	}
	heap_close(&self->heap);
}

TEST_F(record_types, spans_tell_the_type_or_have_room_for_type_words)
{
	for (__u32 class = SIZE_CLASS_MIN; class < SIZE_CLASSES; class++) {
		bool small = size_classes[class].bytes <= GCHEAP_HEAP_BITS_MAX;
		bool span = variant->layout == GCHEAP_LAYOUT_SPAN;

		test_cmd_take(self->type, class, &self->grant);
		ASSERT_RIGHT(span_of_kind_wrong(&self->heap, &self->grant, class, false,
						small ? variant->small : variant->big));
		ASSERT_EQ(span ? self->type : 0, heap_span(&self->heap, self->grant.page)->type);
		test_cmd_take(self->noscan, class, &self->grant);
		ASSERT_RIGHT(span_of_kind_wrong(&self->heap, &self->grant, class, true,
						variant->noscan));
		ASSERT_EQ(span ? self->noscan : 0, heap_span(&self->heap, self->grant.page)->type);
		test_cmd_take(0, class, &self->grant);
		ASSERT_RIGHT(span_of_kind_wrong(&self->heap, &self->grant, class, true,
						GCHEAP_KIND_NOSCAN));
	}
}

TEST_F(record_types, types_with_the_same_mask_have_no_span_in_common_that_tells_the_type)
{
	const bool span = variant->layout == GCHEAP_LAYOUT_SPAN;
	__u32 other, page;

	test_cmd_type_words(1, 1, &other);
	test_cmd_take(self->type, CLASS_64, &self->grant);
	page = self->grant.page;
	EXPECT_EQ(span ? self->type : 0, heap_span(&self->heap, page)->type);
	EXPECT_EQ(span ? 0xff : 0, heap_span(&self->heap, page)->ptr_mask);
	slot_alloc(&self->heap, page, 0);
	test_use_up_pages();
	test_cmd_give(&page, 1);
	test_cmd_take(other, CLASS_64, &self->grant);
	EXPECT_EQ(!span, self->grant.page == page);
	EXPECT_EQ(span ? other : 0, heap_span(&self->heap, self->grant.page)->type);
	EXPECT_EQ(span ? 0xff : 0, heap_span(&self->heap, self->grant.page)->ptr_mask);
}

TEST_F(record_types, test_err_slots_too_small_for_the_type_word)
{
	const int err = variant->layout == GCHEAP_LAYOUT_SPAN ? 0 : -EINVAL;

	for (__u64 mask = 0; mask < 2; mask++) {
		__u32 type;

		test_cmd_type_words(2, mask, &type);
		EXPECT_EQ(err, cmd_take(self->heap.fd, type, CLASS_16, &self->grant));
		EXPECT_OK(cmd_take(self->heap.fd, type, CLASS_24, &self->grant));
		test_cmd_type_words(64, mask, &type);
		EXPECT_EQ(err, cmd_take(self->heap.fd, type, CLASS_512, &self->grant));
		EXPECT_OK(cmd_take(self->heap.fd, type, CLASS_576, &self->grant));
	}
	/* A header is in a mixed span of the SPAN layout, too. */
	if (variant->layout == GCHEAP_LAYOUT_SPAN) {
		test_err_mixed(EINVAL, self->type, SIZE_CLASSES);
		test_take_mixed(self->type, CLASS_16);
		ASSERT_RIGHT(span_of_kind_wrong(&self->heap, &self->grant, CLASS_16, false,
						GCHEAP_KIND_HEADER));
		test_take_mixed(self->noscan, CLASS_16);
		ASSERT_RIGHT(span_of_kind_wrong(&self->heap, &self->grant, CLASS_16, true,
						GCHEAP_KIND_HEADER));
	}
}

TEST_F(record_types, test_err_mixed_spans_in_other_layouts)
{
	if (variant->layout == GCHEAP_LAYOUT_SPAN) {
		test_take_mixed(self->type, CLASS_64);
		return;
	}
	test_err_mixed(EINVAL, self->type, CLASS_64);
	test_err_mixed(EINVAL, 0, CLASS_64);
}

TEST_HARNESS_MAIN
