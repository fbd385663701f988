/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What the tests of /dev/gcheap share: requests, a view of a heap's mapped
 * tables, and checks of what the kernel wrote there.
 *
 * Include it after kselftest_harness.h. gcheap_selftest.c and others named below have
 * the functions, and are linked into each program. They return 0 or a negative errno, or for checks
 * NULL or what is wrong; test_cmd_x() asserts that a request works, test_err_x()
 * that it fails with this errno.
 */
#ifndef GCHEAP_SELFTEST_H
#define GCHEAP_SELFTEST_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/gcheap.h>

#define DEVICE		"/dev/gcheap"
#define PARAMETERS	"/sys/module/gcheap/parameters/"
#define SMALL_RESERVE	GCHEAP_RESERVE_MIN
#define CHUNK_PAGES	((__u32)(GCHEAP_CHUNK_BYTES >> GCHEAP_PAGE_SHIFT))

#define ASSERT_OK(ret)		ASSERT_EQ(0, (ret))
#define EXPECT_OK(ret)		EXPECT_EQ(0, (ret))
#define EXPECT_ERR(err, ret)	EXPECT_EQ(-(err), (ret))

/* For the functions that return what is wrong, or NULL. */
#define ASSERT_RIGHT(wrong_expr) do { \
	const char *wrong_ = (wrong_expr); \
	ASSERT_EQ(NULL, wrong_) { \
		TH_LOG("%s", wrong_); \
	} \
} while (0)

/* ---- size classes ----------------------------------------------------------- */

#define SIZE_CLASSES	68u
#define SIZE_CLASS_MIN	2u	/* smaller slots have no mark bit of their own */
#define CLASS_16	2u
#define CLASS_24	3u
#define CLASS_64	6u
#define CLASS_512	26u
#define CLASS_576	27u
#define CLASS_1024	32u
#define CLASS_2048	38u
#define CLASS_8192	51u
#define CLASS_32768	67u

/* Those of Go; the kernel and the library have the same table. */
struct size_class {
	__u32 bytes;
	__u32 npages;
};

extern const struct size_class size_classes[SIZE_CLASSES];

/* ---- a heap ----------------------------------------------------------------- */

/**
 * struct test_heap - one open of the device, with all of its regions mapped
 * @fd: the file
 * @layout: enum gcheap_layout
 * @flags: GCHEAP_SETUP_*
 * @reserve: length of the heap's range
 * @region_bytes: length of each region
 * @region: where it is mapped; NULL: it is not
 */
struct test_heap {
	int fd;
	__u32 layout;
	__u32 flags;
	__u64 reserve;
	__u64 region_bytes[GCHEAP_REGIONS];
	void *region[GCHEAP_REGIONS];
};

/* Whether the owner may write to a region. */
static inline bool region_is_owners(__u32 region)
{
	return region == GCHEAP_REGION_HEAP || region == GCHEAP_REGION_MARKS ||
	       region == GCHEAP_REGION_BITMAP;
}

int device_open(void);
void *region_map(const struct test_heap *heap, enum gcheap_region region, int prot);
/* Try to map, and unmap: 0, or the errno. */
int map_errno(int fd, size_t bytes, int prot, int flags, __u64 offset);
int heap_setup(struct test_heap *heap, __u32 layout, __u64 reserve);
int heap_setup_flags(struct test_heap *heap, __u32 layout, __u64 reserve, __u32 flags);
int heap_map(struct test_heap *heap);
void heap_unmap(struct test_heap *heap);
int heap_open(struct test_heap *heap, __u32 layout, __u64 reserve);
int heap_open_flags(struct test_heap *heap, __u32 layout, __u64 reserve, __u32 flags);
void heap_close(struct test_heap *heap);

static inline char *heap_mem(const struct test_heap *heap, __u32 page)
{
	return (char *)heap->region[GCHEAP_REGION_HEAP] +
	       ((__u64)page << GCHEAP_PAGE_SHIFT);
}

static inline __u64 heap_info(const struct test_heap *heap, __u32 page)
{
	return ((const volatile __u64 *)heap->region[GCHEAP_REGION_PAGES])[page];
}

static inline const struct gcheap_span *heap_span(const struct test_heap *heap,
						  __u32 page)
{
	return (const struct gcheap_span *)heap->region[GCHEAP_REGION_SPANS] + page;
}

static inline __u32 span_state(const struct test_heap *heap, __u32 page)
{
	return heap_span(heap, page)->state & GCHEAP_SPAN_STATE_MASK;
}

static inline const struct gcheap_ctrl *heap_ctrl(const struct test_heap *heap)
{
	return heap->region[GCHEAP_REGION_CTRL];
}

static inline const struct gcheap_type_record *heap_type(const struct test_heap *heap,
							 __u32 type)
{
	return (const struct gcheap_type_record *)heap->region[GCHEAP_REGION_TYPES] + type;
}

/* ---- mark and alloc bits ---------------------------------------------------- */

static inline __u64 *marks_at(const struct test_heap *heap, __u64 offset)
{
	return (__u64 *)((char *)heap->region[GCHEAP_REGION_MARKS] + offset);
}

static inline __u64 *mark_bits(const struct test_heap *heap)
{
	return marks_at(heap, GCHEAP_MARKS_TABLE(heap->reserve, heap_ctrl(heap)->mark_table));
}

static inline __u64 *alloc_bits(const struct test_heap *heap)
{
	return marks_at(heap,
			GCHEAP_MARKS_TABLE(heap->reserve, heap_ctrl(heap)->mark_table ^ 1));
}

static inline __u64 *page_marks(const struct test_heap *heap)
{
	return marks_at(heap, GCHEAP_MARKS_PAGE_MARKS(heap->reserve));
}

static inline bool bit_test(const __u64 *bits, __u64 n)
{
	return bits[n / 64] >> (n % 64) & 1;
}

static inline void bit_set(__u64 *bits, __u64 n)
{
	bits[n / 64] |= 1ull << (n % 64);
}

static inline void bit_clear(__u64 *bits, __u64 n)
{
	bits[n / 64] &= ~(1ull << (n % 64));
}

/* The bit of a slot in the bit tables. */
static inline __u64 slot_bit(__u32 page, __u32 slot_bytes, __u32 slot)
{
	return (((__u64)page << GCHEAP_PAGE_SHIFT) + (__u64)slot * slot_bytes + 8) >>
	       GCHEAP_GRANULE_SHIFT;
}

void slot_alloc(const struct test_heap *heap, __u32 page, __u32 slot);
void slot_mark(const struct test_heap *heap, __u32 page, __u32 slot);
/* The lowest free slot, whose alloc bit it sets; -1: none. */
int slot_take(const struct test_heap *heap, __u32 page);
__u32 slots_allocated(const struct test_heap *heap, __u32 page);
void span_fill(const struct test_heap *heap, __u32 page);
char *slot_mem(const struct test_heap *heap, __u32 page, __u32 slot);

/* ---- requests; gcheap_requests.c --------------------------------------------- */

/*
 * How requests are sent: by ioctl, or with GCHEAP_DOOR=uring in the environment by
 * io_uring, so that each of the test programs is a test of either.
 */
extern int (*cmd_door)(int fd, unsigned int op, void *request);
int door_uring(int fd, unsigned int op, void *request);

int cmd_send(int fd, unsigned int op, void *request);
int cmd_type_add(int fd, __u64 bytes, __u32 align, __u64 ptr_bytes, const void *mask,
		 const char *name, __u32 *type);
/* A type of this many words, of which the mask's are pointers. */
int cmd_type_words(int fd, __u32 words, __u64 mask, __u32 *type);
int cmd_refill(int fd, __u32 type, __u32 size_class, __u32 want_bytes,
	       const __u32 *returns, __u32 return_count,
	       struct gcheap_grant *grants, __u32 grant_count, __u32 *granted);
int cmd_alloc_large(int fd, __u32 type, __u64 count, struct gcheap_alloc_large *out);
int cmd_alloc_large_flags(int fd, __u32 flags, __u32 type, __u64 count,
			  struct gcheap_alloc_large *out);
int cmd_mark_start(int fd, struct gcheap_mark_start *out);
int cmd_sweep_start(int fd, struct gcheap_sweep_start *out);
int cmd_sweep(int fd, __u64 max_spans, struct gcheap_sweep *out);
int cmd_stats(int fd, struct gcheap_counters *out);
int cmd_sweep_start_flags(int fd, __u32 flags, __u64 goal_bytes,
			  struct gcheap_sweep_start *out);
int cmd_free_large(int fd, __u32 page);
int cmd_reclaim(int fd, __u64 max_pages, struct gcheap_reclaim *out);
int cmd_scavenge(int fd, __u64 max_bytes, struct gcheap_scavenge *out);
int cmd_chunk_new(int fd, struct gcheap_chunk_new *out);
int cmd_chunk_free(int fd, __u32 page);
int cmd_chunk_ready(int fd, __u32 page);
/* Fills in @track->size. */
int cmd_track(int fd, struct gcheap_track *track);

/* One span; its first page. Returns them all again. */
int cmd_take(int fd, __u32 type, __u32 size_class, struct gcheap_grant *grant);
int cmd_take_flags(int fd, __u32 flags, __u32 type, __u32 size_class,
		   struct gcheap_grant *grant);
int cmd_give(int fd, const __u32 *pages, __u32 count);

#define test_cmd_type_add(...)	 ASSERT_OK(cmd_type_add(self->heap.fd, __VA_ARGS__))
#define test_cmd_type_words(...) ASSERT_OK(cmd_type_words(self->heap.fd, __VA_ARGS__))
#define test_cmd_refill(...)	 ASSERT_OK(cmd_refill(self->heap.fd, __VA_ARGS__))
#define test_cmd_take(...)	 ASSERT_OK(cmd_take(self->heap.fd, __VA_ARGS__))
#define test_cmd_give(...)	 ASSERT_OK(cmd_give(self->heap.fd, __VA_ARGS__))
#define test_cmd_alloc_large(...) ASSERT_OK(cmd_alloc_large(self->heap.fd, __VA_ARGS__))
#define test_cmd_alloc_large_flags(...) \
	ASSERT_OK(cmd_alloc_large_flags(self->heap.fd, __VA_ARGS__))
#define test_cmd_mark_start(...) ASSERT_OK(cmd_mark_start(self->heap.fd, __VA_ARGS__))
#define test_cmd_sweep_start(...) ASSERT_OK(cmd_sweep_start(self->heap.fd, __VA_ARGS__))
#define test_cmd_sweep(...)	 ASSERT_OK(cmd_sweep(self->heap.fd, __VA_ARGS__))
#define test_cmd_sweep_start_flags(...) \
	ASSERT_OK(cmd_sweep_start_flags(self->heap.fd, __VA_ARGS__))
#define test_cmd_free_large(...) ASSERT_OK(cmd_free_large(self->heap.fd, __VA_ARGS__))
#define test_cmd_reclaim(...)	 ASSERT_OK(cmd_reclaim(self->heap.fd, __VA_ARGS__))
#define test_cmd_scavenge(...)	 ASSERT_OK(cmd_scavenge(self->heap.fd, __VA_ARGS__))
#define test_cmd_chunk_new(...)	 ASSERT_OK(cmd_chunk_new(self->heap.fd, __VA_ARGS__))
#define test_cmd_chunk_free(...) ASSERT_OK(cmd_chunk_free(self->heap.fd, __VA_ARGS__))
#define test_cmd_chunk_ready(...) ASSERT_OK(cmd_chunk_ready(self->heap.fd, __VA_ARGS__))
#define test_cmd_track(...)	 ASSERT_OK(cmd_track(self->heap.fd, __VA_ARGS__))
#define test_cmd_stats(...)	 ASSERT_OK(cmd_stats(self->heap.fd, __VA_ARGS__))

/*
 * A request that must fail, and change nothing: neither the counters nor the
 * tables that the kernel has written.
 */
#define test_err(err, ret_expr) do { \
	struct test_state before_, after_; \
\
	state_take(&self->heap, &before_); \
	EXPECT_ERR(err, ret_expr); \
	state_take(&self->heap, &after_); \
	EXPECT_EQ(NULL, state_differs(&before_, &after_)) { \
		TH_LOG("changed: %s", state_differs(&before_, &after_)); \
	} \
} while (0)

#define test_err_send(err, ...)	      test_err(err, cmd_send(self->heap.fd, __VA_ARGS__))
#define test_err_type_add(err, ...)   test_err(err, cmd_type_add(self->heap.fd, __VA_ARGS__))
#define test_err_refill(err, ...)     test_err(err, cmd_refill(self->heap.fd, __VA_ARGS__))
#define test_err_give(err, ...)	      test_err(err, cmd_give(self->heap.fd, __VA_ARGS__))
#define test_err_alloc_large(err, ...) \
	test_err(err, cmd_alloc_large(self->heap.fd, __VA_ARGS__))
#define test_err_mark_start(err)      test_err(err, cmd_mark_start(self->heap.fd, NULL))
#define test_err_sweep_start(err)     test_err(err, cmd_sweep_start(self->heap.fd, NULL))
#define test_err_sweep(err, ...)      test_err(err, cmd_sweep(self->heap.fd, __VA_ARGS__))

/* Room for any request, and for a tail that no module knows. */
union any_request {
	__u32 size;
	struct {
		__u32 size_;
		__u32 flags;
	};
	struct gcheap_setup setup;
	struct gcheap_type_add type_add;
	struct gcheap_refill refill;
	struct gcheap_alloc_large alloc_large;
	struct gcheap_mark_start mark_start;
	struct gcheap_sweep_start sweep_start;
	struct gcheap_sweep sweep;
	struct gcheap_heap_stats stats;
	struct gcheap_free_large free_large;
	struct gcheap_reclaim reclaim;
	struct gcheap_scavenge scavenge;
	struct gcheap_chunk_new chunk_new;
	struct gcheap_chunk_free chunk_free;
	struct gcheap_chunk_ready chunk_ready;
	struct gcheap_track track;
	struct gcheap_stop stop;
	struct gcheap_resume resume;
	__u8 bytes[512];
};

__u32 request_bytes(unsigned int op);
/* Flags that <linux/gcheap.h> names for a request. */
__u32 request_flags(unsigned int op);
/* Fill in a request that works on any heap, SWEEP_START's after a MARK_START. */
void request_valid(unsigned int op, union any_request *request,
		   struct gcheap_grant *grant);

/* ---- state ------------------------------------------------------------------ */

/* What the kernel knows of a heap, to see that a request changed nothing. */
struct test_state {
	int stats_err;
	struct gcheap_counters counters;
	struct gcheap_ctrl ctrl;
	__u64 pages_sum;
	__u64 spans_sum;
	__u64 marks_sum;
	__u64 types_sum;
};

/* Leave out what changes without the heap, or with a request that fails. */
void counters_steady(struct gcheap_counters *counters);
void state_take(const struct test_heap *heap, struct test_state *state);
/* The name of the part that differs, or NULL. */
const char *state_differs(const struct test_state *a, const struct test_state *b);

/* ---- checks of tables ------------------------------------------------------- */

/* What is wrong, for people; one at a time. */
__attribute__((format(printf, 1, 2)))
const char *wrong(const char *format, ...);

__u32 kind_of(__u32 layout, __u32 size_class, bool noscan);

/* Whether objects over 512 bytes have a type word in their slot. */
static inline bool has_type_words(__u32 layout)
{
	return layout == GCHEAP_LAYOUT_HEADER || layout == GCHEAP_LAYOUT_FOOTER;
}

__u32 slots_of(__u32 size_class, __u32 kind);
__u64 tiled_mask(__u64 mask, __u32 elem_words, __u32 slot_bytes);

/* Check a span of small objects, as a grant names it, by all the tables. */
const char *span_wrong(const struct test_heap *heap, const struct gcheap_grant *grant,
		       __u32 size_class, bool noscan);
/* The same, of a kind that the layout has besides its own. */
const char *span_of_kind_wrong(const struct test_heap *heap, const struct gcheap_grant *grant,
			       __u32 size_class, bool noscan, __u32 kind);
const char *large_wrong(const struct test_heap *heap,
			const struct gcheap_alloc_large *large, __u64 bytes, bool noscan);
/* Check that pages belong to no span. */
const char *free_wrong(const struct test_heap *heap, __u32 page, __u32 npages);
/* Check that the counters, CTRL and the descriptors of all pages agree. */
const char *heap_wrong(const struct test_heap *heap);

/* ---- memory ----------------------------------------------------------------- */

bool memory_is(const void *memory, int byte, size_t bytes);

/* Read or write one byte; the signal that it raised, or 0. */
int probe(void *addr, bool write, siginfo_t *info);

/* The address of the fault is exact, and cannot be taken for a wild pointer's. */
#define EXPECT_SIGBUS_OF(addr, write, code) do { \
	siginfo_t info_ = { 0 }; \
\
	EXPECT_EQ(SIGBUS, probe(addr, write, &info_)); \
	EXPECT_EQ(code, info_.si_code); \
	EXPECT_EQ((void *)(addr), info_.si_addr); \
} while (0)

#define EXPECT_SIGBUS(addr, write) EXPECT_SIGBUS_OF(addr, write, BUS_ADRERR)

/* probe() in a forked child. */
int child_probe(void *addr, bool write);
/* read(2) @bytes to an address: 0 or a negative errno. */
int read_into(void *addr, size_t bytes);

/* @bytes of memory before a page that faults; and such memory that faults when written. */
void *memory_before_hole(size_t bytes);
void *memory_readonly(const void *content, size_t bytes);

/* waitpid(): the exit status, or minus the signal. */
int child_wait(pid_t child);

/* ---- descriptors over a socket ------------------------------------------------ */

int fd_send(int sock, int fd);
int fd_receive(int sock);

/* ---- the machine ------------------------------------------------------------ */

/* A file of the device's folder in sysfs: its number, or a negative errno. */
long long sysfs_number(const char *name);

/* Totals of all heaps of the machine. */
struct machine {
	long long heaps;
	long long object_bytes;
	long long table_bytes;
};

int machine_take(struct machine *machine);
/* Wait for the totals to be these again, for some seconds; whether they are. */
bool machine_back_to(const struct machine *machine);

/* ---- files in which the kernel tells of itself; gcheap_files.c --------------------- */

/* A figure of /proc/self/smaps for the mapping of the whole HEAP region, in bytes. */
long long smaps_bytes(const struct test_heap *heap, const char *field);

#define CGROUP	"/sys/fs/cgroup"

/*
 * How many times slower than others this kernel is, roughly: 1, or more where it looks
 * for its own errors. Tests that need much work do less of it then.
 */
unsigned int kernel_slowness(void);

/* How often to repeat what chance decides about: @rounds, there a quarter of them. */
int rounds_here(int rounds);

/* 0 or a negative errno; the second reads all of a file, ended by a zero byte. */
int text_write(const char *path, const char *text);
int text_read(const char *path, char *text, size_t size);
/* The number after @name and white space at the start of a line; -errno. */
long long text_number(const char *path, const char *name);

/* A line of a heap's fdinfo, without "gcheap-": its number, or its word. -errno. */
long long fdinfo_number(int fd, const char *name);
int fdinfo_word(int fd, const char *name, char *word, size_t size);

/*
 * Make a memory cgroup below the root with this limit, and remove it; -errno:
 * there are no memory cgroups. Run @body(@arg) in a child of it: child_wait()'s.
 */
int cgroup_make(const char *name, const char *max);
int cgroup_remove(const char *name);
int cgroup_run(const char *name, int (*body)(void *arg), void *arg);
/* A number of memory.events: "oom_kill". */
long long cgroup_event(const char *name, const char *event);

/* Microseconds of a clock that nobody sets. */
__u64 now_us(void);

/* Pseudo-random numbers; the seed is printed, and GCHEAP_SEED overrides it. */
struct rng {
	__u64 state;
};

void rng_init(struct rng *rng, __u64 seed);
void rng_init_printed(struct rng *rng, const char *who);
__u64 rng_next(struct rng *rng);
__u32 rng_below(struct rng *rng, __u32 n);

#endif /* GCHEAP_SELFTEST_H */
