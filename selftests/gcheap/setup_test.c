// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * SETUP, and the rules that hold for every request: how a struct's size, flags
 * and reserved fields are checked, and that a request that fails changes nothing.
 */
#include "../kselftest_harness.h"
#include "gcheap_selftest.h"

#define KERNEL_ADDRESS	((void *)0xffff888000000000ul)

/* ---- SETUP ------------------------------------------------------------------ */

FIXTURE(setup) {
	struct test_heap heap;
	struct gcheap_setup request;
};

FIXTURE_SETUP(setup)
{
	self->heap.fd = device_open();
	ASSERT_LE(0, self->heap.fd);
	self->request = (struct gcheap_setup){
		.size = sizeof(self->request),
		.reserve_bytes = SMALL_RESERVE,
	};
}

FIXTURE_TEARDOWN(setup)
{
	heap_close(&self->heap);
}

#define test_cmd_setup(heap_, layout, reserve) \
	ASSERT_OK(heap_setup(heap_, layout, reserve))
/* It fails, and the file is no heap after it. */
#define test_err_setup(err) test_err_send(err, GCHEAP_OP_SETUP, &self->request)

TEST_F(setup, tells_abi_features_and_regions)
{
	const __u64 reserve = SMALL_RESERVE;
	const __u64 npages = reserve >> GCHEAP_PAGE_SHIFT;
	const __u64 *bytes = self->request.out_region_bytes;

	memset(self->request.out_region_bytes, 0xff, sizeof(self->request.out_region_bytes));
	ASSERT_OK(cmd_send(self->heap.fd, GCHEAP_OP_SETUP, &self->request));
	EXPECT_EQ(GCHEAP_ABI, self->request.out_abi);
	EXPECT_EQ(0, self->request.out_reserved);
	EXPECT_TRUE(self->request.out_features & GCHEAP_FEATURE_LAYOUT_SPAN);
	EXPECT_TRUE(self->request.out_features & GCHEAP_FEATURE_LAYOUT_HEADER);
	EXPECT_TRUE(self->request.out_features & GCHEAP_FEATURE_LAYOUT_FOOTER);
	EXPECT_TRUE(self->request.out_features & GCHEAP_FEATURE_LAYOUT_BITMAP);
	EXPECT_EQ(reserve, bytes[GCHEAP_REGION_HEAP]);
	EXPECT_EQ(npages * 8, bytes[GCHEAP_REGION_PAGES]);
	EXPECT_EQ(npages * sizeof(struct gcheap_span), bytes[GCHEAP_REGION_SPANS]);
	EXPECT_EQ(GCHEAP_TYPES_BYTES, bytes[GCHEAP_REGION_TYPES]);
	EXPECT_EQ(GCHEAP_MARKS_BYTES(reserve), bytes[GCHEAP_REGION_MARKS]);
	EXPECT_LE(sizeof(struct gcheap_ctrl), bytes[GCHEAP_REGION_CTRL]);
	EXPECT_EQ(0, bytes[GCHEAP_REGION_CTRL] % 4096);
	/* What this module does not have, and what no module has yet. */
	for (int r = GCHEAP_REGION_BITMAP; r < GCHEAP_REGIONS_MAX; r++)
		EXPECT_EQ(0, bytes[r]);
}

TEST_F(setup, of_no_reserve_gets_the_default)
{
	test_cmd_setup(&self->heap, GCHEAP_LAYOUT_SPAN, 0);
	EXPECT_EQ(GCHEAP_RESERVE_DEFAULT, self->heap.reserve);
}

TEST_F(setup, of_the_largest_reserve_can_be_mapped)
{
	test_cmd_setup(&self->heap, GCHEAP_LAYOUT_SPAN, GCHEAP_RESERVE_MAX);
	EXPECT_EQ(GCHEAP_RESERVE_MAX, self->heap.reserve);
	ASSERT_OK(heap_map(&self->heap));
	EXPECT_OK(cmd_alloc_large(self->heap.fd, 0, 100000, NULL));
	ASSERT_RIGHT(heap_wrong(&self->heap));
}

TEST_F(setup, of_any_number_of_arenas_works)
{
	test_cmd_setup(&self->heap, GCHEAP_LAYOUT_HEADER, 7ull * GCHEAP_ARENA_BYTES);
	EXPECT_EQ(7ull * GCHEAP_ARENA_BYTES, self->heap.reserve);
	EXPECT_EQ(GCHEAP_MARKS_BYTES(self->heap.reserve),
		  self->heap.region_bytes[GCHEAP_REGION_MARKS]);
	ASSERT_OK(heap_map(&self->heap));
}

TEST_F(setup, makes_an_empty_heap)
{
	struct gcheap_counters counters;

	test_cmd_setup(&self->heap, GCHEAP_LAYOUT_HEADER, SMALL_RESERVE);
	ASSERT_OK(heap_map(&self->heap));
	test_cmd_stats(&counters);
	EXPECT_EQ(0, counters.spans);
	EXPECT_EQ(0, counters.in_use_pages);
	EXPECT_EQ(0, counters.types);
	EXPECT_EQ(GCHEAP_ABI, heap_ctrl(&self->heap)->abi);
	EXPECT_EQ(GCHEAP_LAYOUT_HEADER, heap_ctrl(&self->heap)->layout);
	EXPECT_EQ(GCHEAP_PHASE_IDLE, heap_ctrl(&self->heap)->phase);
	EXPECT_GT(2, heap_ctrl(&self->heap)->mark_table);
	ASSERT_RIGHT(heap_wrong(&self->heap));
}

TEST_F(setup, a_second_time_is_refused)
{
	struct gcheap_setup request = self->request;

	test_cmd_setup(&self->heap, GCHEAP_LAYOUT_SPAN, SMALL_RESERVE);
	ASSERT_OK(heap_map(&self->heap));
	self->request.layout = GCHEAP_LAYOUT_HEADER;
	request.layout = GCHEAP_LAYOUT_HEADER;
	test_err_setup(EBUSY);
	/* The outputs are not written. */
	EXPECT_EQ(0, memcmp(&request, &self->request, sizeof(request)));
	EXPECT_EQ(GCHEAP_LAYOUT_SPAN, heap_ctrl(&self->heap)->layout);
}

TEST_F(setup, works_after_one_that_failed)
{
	self->request.reserve_bytes = 1;
	test_err_setup(EINVAL);
	test_cmd_setup(&self->heap, GCHEAP_LAYOUT_SPAN, SMALL_RESERVE);
}

TEST_F(setup, test_err_reserve_below_the_minimum)
{
	self->request.reserve_bytes = GCHEAP_RESERVE_MIN / 2;
	test_err_setup(EINVAL);
	self->request.reserve_bytes = 1;
	test_err_setup(EINVAL);
}

TEST_F(setup, test_err_reserve_above_the_maximum)
{
	self->request.reserve_bytes = GCHEAP_RESERVE_MAX + GCHEAP_ARENA_BYTES;
	test_err_setup(EINVAL);
	self->request.reserve_bytes = 1ull << 63;
	test_err_setup(EINVAL);
	self->request.reserve_bytes = ~0ull & ~(__u64)(GCHEAP_ARENA_BYTES - 1);
	test_err_setup(EINVAL);
}

TEST_F(setup, test_err_reserve_that_is_no_multiple_of_an_arena)
{
	self->request.reserve_bytes = 2 * GCHEAP_RESERVE_MIN + 4096;
	test_err_setup(EINVAL);
	self->request.reserve_bytes = GCHEAP_RESERVE_MAX - 1;
	test_err_setup(EINVAL);
}

TEST_F(setup, test_err_unknown_layout)
{
	self->request.layout = GCHEAP_LAYOUT_BITMAP + 1;
	test_err_setup(EOPNOTSUPP);
	self->request.layout = ~0u;
	test_err_setup(EOPNOTSUPP);
}

TEST_F(setup, test_err_unknown_ioctl)
{
	union any_request request = { .size = sizeof(request) };

	test_err_send(ENOTTY, GCHEAP_OPS, &request);
	test_err_send(ENOTTY, 255, &request);
	test_cmd_setup(&self->heap, GCHEAP_LAYOUT_SPAN, SMALL_RESERVE);
	ASSERT_OK(heap_map(&self->heap));
	test_err_send(ENOTTY, GCHEAP_OPS, &request);
	test_err_send(ENOTTY, 255, &request);
	test_err_send(ENOTTY, GCHEAP_OPS, NULL);
}

TEST_F(setup, test_err_wrong_ioctl_type)
{
	struct gcheap_heap_stats stats = { .size = sizeof(stats) };

	test_cmd_setup(&self->heap, GCHEAP_LAYOUT_SPAN, SMALL_RESERVE);
	EXPECT_EQ(-1, ioctl(self->heap.fd, _IO(GCHEAP_IOC_TYPE + 1, GCHEAP_OP_STATS),
			    &stats));
	EXPECT_EQ(ENOTTY, errno);
	/* The number of a request has neither size nor direction. */
	EXPECT_EQ(-1, ioctl(self->heap.fd,
			    _IOWR(GCHEAP_IOC_TYPE, GCHEAP_OP_STATS, struct gcheap_heap_stats),
			    &stats));
	EXPECT_EQ(ENOTTY, errno);
	EXPECT_EQ(-1, ioctl(self->heap.fd, 0, &stats));
	EXPECT_EQ(ENOTTY, errno);
}

/* Requests of other devices and files that a program sends here by mistake. */
TEST_F(setup, test_err_requests_of_others)
{
	struct gcheap_heap_stats stats = { .size = sizeof(stats) };

	test_cmd_setup(&self->heap, GCHEAP_LAYOUT_SPAN, SMALL_RESERVE);
	for (unsigned int nr = 0; nr < GCHEAP_OPS; nr++) {
		/* NS_GET_USERNS of <linux/nsfs.h> and its neighbours: also remoteproc's. */
		EXPECT_EQ(-1, ioctl(self->heap.fd, _IO(0xb7, nr), &stats));
		EXPECT_EQ(ENOTTY, errno);
		/* TCGETS of a terminal and its neighbours. */
		EXPECT_EQ(-1, ioctl(self->heap.fd, _IO('T', nr), &stats));
		EXPECT_EQ(ENOTTY, errno);
	}
}

TEST_F(setup, of_a_shorter_counters_struct_in_stats_still_works)
{
	struct gcheap_heap_stats stats = {
		.size = offsetof(struct gcheap_heap_stats, out_counters.spans),
		.out_counters.spans = 0x5a5a,
	};

	test_cmd_setup(&self->heap, GCHEAP_LAYOUT_SPAN, SMALL_RESERVE);
	ASSERT_OK(cmd_alloc_large(self->heap.fd, 0, 100000, NULL));
	ASSERT_OK(cmd_send(self->heap.fd, GCHEAP_OP_STATS, &stats));
	EXPECT_EQ(13, stats.out_counters.in_use_pages);
	EXPECT_EQ(0x5a5a, stats.out_counters.spans);
}

TEST_F(setup, test_err_any_request_before_it)
{
	union any_request request;
	struct gcheap_grant grant;

	for (unsigned int op = 0; op < GCHEAP_OPS; op++) {
		if (op == GCHEAP_OP_SETUP)
			continue;
		request_valid(op, &request, &grant);
		test_err_send(ENXIO, op, &request);
		/* And it has not made the file a heap. */
		test_err_send(ENXIO, op, &request);
	}
}

TEST_F(setup, test_err_reserved_field_that_is_not_zero)
{
	static const struct {
		unsigned int op;
		size_t offset;
	} fields[] = {
		{ GCHEAP_OP_SETUP, offsetof(struct gcheap_setup, reserved) },
		{ GCHEAP_OP_ALLOC_LARGE, offsetof(struct gcheap_alloc_large, reserved) },
	};
	union any_request request;
	struct gcheap_grant grant;

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		for (int byte = 0; byte < 4; byte++) {
			request_valid(fields[i].op, &request, &grant);
			request.bytes[fields[i].offset + byte] = 1 << byte;
			test_err_send(EINVAL, fields[i].op, &request);
		}
		if (fields[i].op == GCHEAP_OP_SETUP) {
			test_cmd_setup(&self->heap, GCHEAP_LAYOUT_SPAN, SMALL_RESERVE);
			ASSERT_OK(heap_map(&self->heap));
		}
	}
}

/* ---- rules of all requests ---------------------------------------------------- */

FIXTURE(request) {
	struct test_heap heap;
	union any_request valid;
	struct gcheap_grant grant;
	struct gcheap_range range;
};

FIXTURE_VARIANT(request) {
	unsigned int op;
};

FIXTURE_VARIANT_ADD(request, setup) {
	.op = GCHEAP_OP_SETUP,
};

FIXTURE_VARIANT_ADD(request, type_add) {
	.op = GCHEAP_OP_TYPE_ADD,
};

FIXTURE_VARIANT_ADD(request, refill) {
	.op = GCHEAP_OP_REFILL,
};

FIXTURE_VARIANT_ADD(request, alloc_large) {
	.op = GCHEAP_OP_ALLOC_LARGE,
};

FIXTURE_VARIANT_ADD(request, mark_start) {
	.op = GCHEAP_OP_MARK_START,
};

FIXTURE_VARIANT_ADD(request, sweep_start) {
	.op = GCHEAP_OP_SWEEP_START,
};

FIXTURE_VARIANT_ADD(request, sweep) {
	.op = GCHEAP_OP_SWEEP,
};

FIXTURE_VARIANT_ADD(request, stats) {
	.op = GCHEAP_OP_STATS,
};

FIXTURE_VARIANT_ADD(request, free_large) {
	.op = GCHEAP_OP_FREE_LARGE,
};

FIXTURE_VARIANT_ADD(request, reclaim) {
	.op = GCHEAP_OP_RECLAIM,
};

FIXTURE_VARIANT_ADD(request, scavenge) {
	.op = GCHEAP_OP_SCAVENGE,
};

FIXTURE_VARIANT_ADD(request, chunk_new) {
	.op = GCHEAP_OP_CHUNK_NEW,
};

FIXTURE_VARIANT_ADD(request, chunk_free) {
	.op = GCHEAP_OP_CHUNK_FREE,
};

FIXTURE_VARIANT_ADD(request, chunk_ready) {
	.op = GCHEAP_OP_CHUNK_READY,
};

FIXTURE_VARIANT_ADD(request, track) {
	.op = GCHEAP_OP_TRACK,
};

FIXTURE_VARIANT_ADD(request, stop) {
	.op = GCHEAP_OP_STOP,
};

FIXTURE_VARIANT_ADD(request, resume) {
	.op = GCHEAP_OP_RESUME,
};

/* A heap with some objects, on which the request would work. */
FIXTURE_SETUP(request)
{
	struct gcheap_stop stop = { .size = sizeof(stop) };
	struct gcheap_alloc_large large;
	struct gcheap_chunk_new chunk;
	int ret;

	self->heap.fd = device_open();
	ASSERT_LE(0, self->heap.fd);
	request_valid(variant->op, &self->valid, &self->grant);
	if (variant->op == GCHEAP_OP_SETUP)
		return;
	test_cmd_setup(&self->heap, GCHEAP_LAYOUT_SPAN, SMALL_RESERVE);
	ASSERT_OK(heap_map(&self->heap));
	test_cmd_alloc_large(0, 50000, &large);
	switch (variant->op) {
	case GCHEAP_OP_SWEEP_START:
		test_cmd_mark_start(NULL);
		break;
	case GCHEAP_OP_FREE_LARGE:
		self->valid.free_large.page = large.out_page;
		break;
	case GCHEAP_OP_CHUNK_FREE:
	case GCHEAP_OP_CHUNK_READY:
		test_cmd_chunk_new(&chunk);
		self->valid.chunk_free.page = chunk.out_page;
		if (variant->op == GCHEAP_OP_CHUNK_READY)
			test_cmd_chunk_free(chunk.out_page);
		break;
	case GCHEAP_OP_TRACK:
		/* Where the answer goes: there are no flags then. */
		self->valid.track.flags = 0;
		self->valid.track.ranges = (uintptr_t)&self->range;
		self->valid.track.range_count = 1;
		ret = cmd_send(self->heap.fd, variant->op, &self->valid);
		if (ret == -EOPNOTSUPP)
			SKIP(return, "no write tracking");
		break;
	case GCHEAP_OP_STOP:
	case GCHEAP_OP_RESUME:
		/* Of no threads. */
		ret = cmd_send(self->heap.fd, GCHEAP_OP_STOP, &stop);
		if (ret == -EOPNOTSUPP)
			SKIP(return, "threads cannot be stopped");
		ASSERT_OK(ret);
		self->valid.resume.stop = stop.out_stop;
		if (variant->op == GCHEAP_OP_RESUME)
			break;
		ASSERT_OK(cmd_send(self->heap.fd, GCHEAP_OP_RESUME, &self->valid));
		request_valid(variant->op, &self->valid, &self->grant);
		break;
	}
}

FIXTURE_TEARDOWN(request)
{
	heap_close(&self->heap);
}

TEST_F(request, that_is_valid_works)
{
	ASSERT_OK(cmd_send(self->heap.fd, variant->op, &self->valid));
	EXPECT_EQ(request_bytes(variant->op), self->valid.size);
	EXPECT_EQ(0, self->valid.flags);
}

TEST_F(request, test_err_size_too_small)
{
	static const __u32 sizes[] = { 0, 1, 4, 7 };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		self->valid.size = sizes[i];
		test_err_send(EINVAL, variant->op, &self->valid);
	}
}

TEST_F(request, test_err_size_too_small_at_the_end_of_memory)
{
	__u32 *size = memory_before_hole(sizeof(*size));

	ASSERT_NE(NULL, size);
	*size = sizeof(*size);
	test_err_send(EINVAL, variant->op, size);
}

TEST_F(request, that_is_longer_works_with_a_tail_of_zeros)
{
	self->valid.size += 8;
	ASSERT_OK(cmd_send(self->heap.fd, variant->op, &self->valid));
}

TEST_F(request, that_is_much_longer_works_with_a_tail_of_zeros)
{
	self->valid.size = sizeof(self->valid);
	ASSERT_OK(cmd_send(self->heap.fd, variant->op, &self->valid));
}

TEST_F(request, test_err_tail_that_is_not_zero)
{
	__u32 bytes = self->valid.size;

	self->valid.size = bytes + 8;
	self->valid.bytes[bytes] = 1;
	test_err_send(E2BIG, variant->op, &self->valid);
	self->valid.bytes[bytes] = 0;
	self->valid.bytes[bytes + 7] = 0x80;
	test_err_send(E2BIG, variant->op, &self->valid);
	self->valid.bytes[bytes + 7] = 0;
	self->valid.size = sizeof(self->valid);
	self->valid.bytes[sizeof(self->valid) - 1] = 1;
	test_err_send(E2BIG, variant->op, &self->valid);
	/* What is beyond the size is nobody's business. */
	self->valid.size = bytes;
	ASSERT_OK(cmd_send(self->heap.fd, variant->op, &self->valid));
}

TEST_F(request, test_err_size_of_gigabytes)
{
	self->valid.size = ~0u;
	test_err_send(E2BIG, variant->op, &self->valid);
	self->valid.size = 1u << 20;
	test_err_send(E2BIG, variant->op, &self->valid);
}

TEST_F(request, test_err_unknown_flags)
{
	for (int bit = 0; bit < 32; bit++) {
		self->valid.flags = 1u << bit;
		if (!(self->valid.flags & request_flags(variant->op)))
			test_err_send(EOPNOTSUPP, variant->op, &self->valid);
	}
	self->valid.flags = ~0u;
	test_err_send(EOPNOTSUPP, variant->op, &self->valid);
}

TEST_F(request, test_err_struct_at_a_bad_address)
{
	char *hole = memory_before_hole(8);

	ASSERT_NE(NULL, hole);
	test_err_send(EFAULT, variant->op, NULL);
	test_err_send(EFAULT, variant->op, (void *)8);
	test_err_send(EFAULT, variant->op, hole + 8);
	test_err_send(EFAULT, variant->op, KERNEL_ADDRESS);
	test_err_send(EFAULT, variant->op, (void *)-8l);
	test_err_send(EFAULT, variant->op, (void *)(1ul << 63));
}

TEST_F(request, test_err_struct_that_ends_in_a_hole)
{
	__u32 bytes = self->valid.size;

	for (__u32 present = 4; present < bytes; present += 4) {
		char *at = memory_before_hole(present);

		ASSERT_NE(NULL, at);
		memcpy(at, &self->valid, present);
		test_err_send(EFAULT, variant->op, at);
	}
}

TEST_F(request, test_err_tail_that_ends_in_a_hole)
{
	__u32 bytes = self->valid.size;
	char *at = memory_before_hole(bytes);

	ASSERT_NE(NULL, at);
	self->valid.size += 8;
	memcpy(at, &self->valid, bytes);
	test_err_send(EFAULT, variant->op, at);
}

TEST_F(request, test_err_struct_in_readonly_memory)
{
	void *at = memory_readonly(&self->valid, sizeof(self->valid));

	ASSERT_NE(NULL, at);
	test_err_send(EFAULT, variant->op, at);
	/* It would have worked, and it still does. */
	ASSERT_OK(cmd_send(self->heap.fd, variant->op, &self->valid));
}

TEST_F(request, at_any_alignment_works)
{
	char *at = memory_before_hole(self->valid.size + 3);

	ASSERT_NE(NULL, at);
	memcpy(at, &self->valid, self->valid.size);
	ASSERT_OK(cmd_send(self->heap.fd, variant->op, at));
}

/* An older program's struct: the kernel must not write fields it has not got. */
TEST_F(request, that_is_shorter_gets_no_more_than_its_size)
{
	__u32 bytes = self->valid.size;

	for (__u32 size = 8; size < bytes; size += 4) {
		union any_request request = self->valid;
		int ret;

		request.size = size;
		memset(request.bytes + size, 0x5a, sizeof(request) - size);
		ret = cmd_send(self->heap.fd, variant->op, &request);
		EXPECT_TRUE(ret == 0 || ret == -EINVAL) {
			TH_LOG("size %u: errno %d", size, -ret);
		}
		EXPECT_EQ(size, request.size);
		EXPECT_TRUE(memory_is(request.bytes + size, 0x5a, sizeof(request) - size)) {
			TH_LOG("size %u: written beyond", size);
		}
		/* It has been done, and cannot be done twice. */
		if (!ret && variant->op != GCHEAP_OP_STATS)
			break;
	}
}

TEST_F(request, does_not_write_to_its_inputs)
{
	union any_request before = self->valid;

	ASSERT_OK(cmd_send(self->heap.fd, variant->op, &self->valid));
	EXPECT_EQ(0, memcmp(&before, &self->valid, 8));
	/* Nor beyond its size. */
	EXPECT_TRUE(memory_is(self->valid.bytes + self->valid.size, 0,
			      sizeof(self->valid) - self->valid.size));
}

TEST_HARNESS_MAIN
