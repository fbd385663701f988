// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * 32-bit programs: the system calls of one, by which all requests and mappings work as
 * by those of this program.
 */
#include "../kselftest_harness.h"
#include "gcheap_selftest.h"

#ifdef __x86_64__
/* An ioctl() as a 32-bit program sends it: 0 or a negative errno. */
static int ioctl32(int fd, unsigned int op, __u32 arg)
{
	long ret = 54;	/* ioctl's number there */

	asm volatile("int $0x80"
		     : "+a"(ret)
		     : "b"((long)fd), "c"((long)GCHEAP_IOC(op)), "d"((long)arg)
		     : "memory", "r8", "r9", "r10", "r11");
	return (int)ret;
}

/* Whether the kernel runs 32-bit programs at all. */
static bool has_32bit(void)
{
	pid_t child = fork();

	if (!child) {
		signal(SIGSEGV, SIG_DFL);
		_exit(ioctl32(-1, 0, 0) != -EBADF);
	}
	return !child_wait(child);
}

/* What a valid request is answered. */
static int answer(unsigned int op, __u64 features)
{
	if (op != GCHEAP_OP_STOP && op != GCHEAP_OP_RESUME)
		return 0;
	if (!(features & GCHEAP_FEATURE_STOP))
		return -EOPNOTSUPP;
	/* There is no such stop: it would have a number that nobody foresees. */
	return op == GCHEAP_OP_RESUME ? -EINVAL : 0;
}

FIXTURE(bits32) {
	struct test_heap heap;		/* not set up */
};

FIXTURE_VARIANT(bits32) {
	__u32 layout;
};

FIXTURE_VARIANT_ADD(bits32, span_layout) {
	.layout = GCHEAP_LAYOUT_SPAN,
};

FIXTURE_VARIANT_ADD(bits32, header_layout) {
	.layout = GCHEAP_LAYOUT_HEADER,
};

FIXTURE_VARIANT_ADD(bits32, footer_layout) {
	.layout = GCHEAP_LAYOUT_FOOTER,
};

FIXTURE_VARIANT_ADD(bits32, bitmap_layout) {
	.layout = GCHEAP_LAYOUT_BITMAP,
};

FIXTURE_SETUP(bits32)
{
	if (!has_32bit())
		SKIP(return, "the kernel runs no 32-bit programs");
	self->heap.fd = device_open();
	ASSERT_LE(0, self->heap.fd);
}

FIXTURE_TEARDOWN(bits32)
{
	EXPECT_EQ(NULL, heap_wrong(&self->heap)) {
		TH_LOG("%s", heap_wrong(&self->heap));
	}
	heap_close(&self->heap);
}

TEST_F(bits32, programs_can_send_all_requests)
{
	union any_request *request;
	struct gcheap_grant *grant;
	__u32 at;	/* a 32-bit address */
	__u64 features = 0;
	__u32 page = 0;

	request = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)request);
	grant = (void *)(request + 1);
	at = (__u32)(uintptr_t)request;

	for (unsigned int op = 0; op < GCHEAP_OPS; op++) {
		if (op == GCHEAP_OP_FREE_LARGE) {
			request_valid(GCHEAP_OP_ALLOC_LARGE, request, grant);
			ASSERT_EQ(0, ioctl32(self->heap.fd, GCHEAP_OP_ALLOC_LARGE, at));
			page = request->alloc_large.out_page;
		}
		request_valid(op, request, grant);
		if (op == GCHEAP_OP_SETUP)
			request->setup.layout = variant->layout;
		if (op == GCHEAP_OP_FREE_LARGE)
			request->free_large.page = page;
		if (op == GCHEAP_OP_CHUNK_FREE)
			request->chunk_free.page = page;
		if (op == GCHEAP_OP_CHUNK_READY)
			request->chunk_ready.page = page;
		ASSERT_EQ(answer(op, features), ioctl32(self->heap.fd, op, at)) {
			TH_LOG("request %u", op);
		}
		if (op == GCHEAP_OP_CHUNK_NEW)
			page = request->chunk_new.out_page;
		if (op == GCHEAP_OP_SETUP) {
			features = request->setup.out_features;
			self->heap.layout = request->setup.layout;
			self->heap.reserve = request->setup.reserve_bytes;
			memcpy(self->heap.region_bytes, request->setup.out_region_bytes,
			       sizeof(self->heap.region_bytes));
			ASSERT_OK(heap_map(&self->heap));
		}
		if (op == GCHEAP_OP_TYPE_ADD)
			EXPECT_EQ(1, request->type_add.out_type);
		if (op == GCHEAP_OP_REFILL) {
			EXPECT_EQ(1, request->refill.out_granted);
			ASSERT_RIGHT(span_wrong(&self->heap, grant, CLASS_16, true));
			test_cmd_give(&grant->page, 1);
		}
	}
	request_valid(GCHEAP_OP_SWEEP_START, request, grant);
	EXPECT_EQ(-EINVAL, ioctl32(self->heap.fd, GCHEAP_OP_SWEEP_START, at));
	EXPECT_EQ(-EFAULT, ioctl32(self->heap.fd, GCHEAP_OP_STATS, 0));
	EXPECT_EQ(-ENOTTY, ioctl32(self->heap.fd, GCHEAP_OPS, at));
}

/* A mmap2() as a 32-bit program sends it: the address or a negative errno. */
static long mmap32(size_t bytes, int prot, int fd, __u64 offset)
{
	long ret = 192;	/* mmap2's number there */
	long pages = (long)(offset / 4096);

	/* The last argument goes in a register that the compiler does not give. */
	asm volatile("xchg %%rbp, %[pages]\n\t"
		     "int $0x80\n\t"
		     "xchg %%rbp, %[pages]"
		     : "+a"(ret), [pages] "+r"(pages)
		     : "b"(0l), "c"((long)bytes), "d"((long)prot), "S"((long)MAP_SHARED),
		       "D"((long)fd)
		     : "memory", "r8", "r9", "r10", "r11");
	/* An address has 32 bits, an errno its sign in all 64. */
	return ret;
}

TEST_F(bits32, programs_can_map_all_regions)
{
	ASSERT_OK(heap_setup(&self->heap, variant->layout, SMALL_RESERVE));
	for (int r = 0; r < GCHEAP_REGIONS; r++) {
		bool writable = region_is_owners(r);
		long at;

		if (!self->heap.region_bytes[r])
			continue;
		at = mmap32(self->heap.region_bytes[r],
			    writable ? PROT_READ | PROT_WRITE : PROT_READ, self->heap.fd,
			    GCHEAP_REGION_OFFSET(r));
		ASSERT_LT(0, at) {
			TH_LOG("region %d: %s", r, strerror((int)-at));
		}
		ASSERT_GT(1l << 32, at);
		self->heap.region[r] = (void *)at;
	}
	EXPECT_EQ(0, (uintptr_t)self->heap.region[GCHEAP_REGION_HEAP] % GCHEAP_ARENA_BYTES);
	test_cmd_alloc_large(0, 1 << 20, NULL);
	EXPECT_EQ(0, probe(heap_mem(&self->heap, 1), true, NULL));
}
#else
TEST(programs_of_32_bits)
{
	SKIP(return, "not an x86-64 machine");
}
#endif /* __x86_64__ */

TEST_HARNESS_MAIN
