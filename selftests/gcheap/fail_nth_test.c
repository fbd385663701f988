// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Want of memory, and of access to user space, at each place where a request can
 * meet it: fault injection makes the n-th of a call's allocations fail, for each n
 * until the call has no n-th one. However it ends, it has done all of its work or
 * none of it, and the heap goes on.
 *
 * Three ways in which it fails:
 *
 *	once	/proc/thread-self/fail-nth lets one allocation fail: whoever can do
 *		without goes on
 *	from	debugfs lets pages, or slab objects, end after n: nothing but
 *		unwinding is left
 *	copies	fail-nth again, and copies from and to user space fail too
 *
 * Skipped where the kernel has no fault injection.
 */
#include <stdarg.h>
#include <sys/syscall.h>

#include "../kselftest_harness.h"
#include "gcheap_selftest.h"
#include "heap_states.h"

#define DEBUGFS	"/sys/kernel/debug/"

/* ---- the kernel's fault injection ------------------------------------------- */

/* Open all the time: to open a file takes memory, too. */
static int nth_file = -1, task_file = -1;

__attribute__((format(printf, 2, 3)))
static bool file_write(const char *path, const char *format, ...)
{
	char text[32];
	va_list args;
	int fd, bytes;
	bool done;

	va_start(args, format);
	bytes = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	done = fd >= 0 && write(fd, text, (size_t)bytes) == bytes;
	if (fd >= 0)
		close(fd);
	return done;
}

/* Whether copies from and to user space count: a filter that matches no caller, or all. */
static bool copies_fail(bool fail)
{
	return file_write(DEBUGFS "fail_usercopy/require-end", "%s",
			  fail ? "0xffffffffffffffff" : "0");
}

static bool injection_init(void)
{
	if (nth_file >= 0)
		return true;
	if (!file_write(DEBUGFS "failslab/ignore-gfp-wait", "N") ||
	    !file_write(DEBUGFS "fail_page_alloc/ignore-gfp-wait", "N") ||
	    !file_write(DEBUGFS "fail_page_alloc/ignore-gfp-highmem", "N") ||
	    !file_write(DEBUGFS "fail_page_alloc/min-order", "0") || !copies_fail(false))
		return false;
	/* A stack trace for each would be most of the log. */
	file_write(DEBUGFS "failslab/verbose", "0");
	file_write(DEBUGFS "fail_page_alloc/verbose", "0");
	file_write(DEBUGFS "fail_usercopy/verbose", "0");
	file_write(DEBUGFS "failslab/task-filter", "Y");
	file_write(DEBUGFS "fail_page_alloc/task-filter", "Y");
	file_write(DEBUGFS "failslab/times", "-1");
	file_write(DEBUGFS "fail_page_alloc/times", "-1");
	nth_file = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	task_file = open("/proc/thread-self/make-it-fail", O_WRONLY | O_CLOEXEC);
	return nth_file >= 0 && task_file >= 0;
}

static void nth_set(unsigned int n)
{
	char text[16];
	int bytes = snprintf(text, sizeof(text), "%u", n);

	while (pwrite(nth_file, text, (size_t)bytes, 0) != bytes)
		;
}

/* Whether the failure has happened; it will not any more. */
static bool nth_fired(void)
{
	char text[16] = "1";
	/* Which can be what fails now. */
	ssize_t bytes = pread(nth_file, text, sizeof(text) - 1, 0);

	nth_set(0);
	return bytes > 0 && !strtoul(text, NULL, 10);
}

/**
 * enum failure - what fails
 * @FAIL_ALLOCATION: one allocation
 * @FAIL_COPY: one allocation, or one copy
 * @FAIL_PAGES: pages, from one of them on
 * @FAIL_SLAB: slab objects, from one of them on
 */
enum failure {
	FAIL_ALLOCATION,
	FAIL_COPY,
	FAIL_PAGES,
	FAIL_SLAB,
};

static bool failure_begin(enum failure failure, unsigned int n)
{
	const char *of = failure == FAIL_PAGES ? "fail_page_alloc" : "failslab";
	char path[64];

	if (failure == FAIL_ALLOCATION || failure == FAIL_COPY) {
		copies_fail(failure == FAIL_COPY);
		nth_set(n);
		return true;
	}
	/* Pages are counted, slab objects measured in bytes. */
	snprintf(path, sizeof(path), DEBUGFS "%s/space", of);
	if (!file_write(path, "%u", failure == FAIL_PAGES ? n - 1 : 64 * (n - 1)))
		return false;
	snprintf(path, sizeof(path), DEBUGFS "%s/probability", of);
	return file_write(path, "100") && pwrite(task_file, "1", 1, 0) == 1;
}

/* Whether it came to failures, as far as one can know. */
static bool failure_end(enum failure failure)
{
	char path[64];

	if (failure == FAIL_ALLOCATION || failure == FAIL_COPY)
		return nth_fired();
	while (pwrite(task_file, "0", 1, 0) != 1)
		;
	snprintf(path, sizeof(path), DEBUGFS "%s/probability",
		 failure == FAIL_PAGES ? "fail_page_alloc" : "failslab");
	file_write(path, "0");
	return false;
}

/* ---- what a request may leave ----------------------------------------------- */

/*
 * What a request that fails must leave as it was: all that the owner knows of the
 * heap. The heap may have become longer, and swept spans that it would have swept
 * anyway; both are then seen in the counters that are not looked at.
 */
struct known {
	__u64 counters[10];
	__u32 generation, phase, mark_table;
	__u64 spans_sum;
	__u64 objects_sum;
};

static __u64 sum_add(__u64 sum, __u64 value)
{
	return (sum ^ value) * 0x100000001b3ull + (sum >> 47);
}

static void known_take(const struct test_heap *heap, __u32 pages, struct known *known)
{
	const struct gcheap_ctrl *ctrl = heap_ctrl(heap);
	const struct gcheap_counters *now = &ctrl->counters;
	bool swept = !now->unswept_spans;

	*known = (struct known){
		.counters = {
			now->cached_spans, now->refills, now->refilled_spans, now->large_objects,
			now->types, now->chunks, now->quarantined_pages, now->tracks,
			swept ? now->spans : 0, swept ? now->in_use_pages : 0,
		},
		.generation = ctrl->generation,
		.phase = ctrl->phase,
		.mark_table = ctrl->mark_table,
	};
	for (__u32 page = 1; page < pages; page++) {
		const struct gcheap_span *span = heap_span(heap, page);
		__u32 state = span_state(heap, page);

		if (state != GCHEAP_SPAN_CACHED && state != GCHEAP_SPAN_LARGE &&
		    state != GCHEAP_SPAN_CHUNK && state != GCHEAP_SPAN_QUARANTINE &&
		    (state != GCHEAP_SPAN_CENTRAL || !swept))
			continue;
		known->spans_sum = sum_add(known->spans_sum, page);
		known->spans_sum = sum_add(known->spans_sum, state << 8 | span->span_class);
		known->spans_sum = sum_add(known->spans_sum, span->npages);
		known->spans_sum = sum_add(known->spans_sum, span->type);
		known->spans_sum = sum_add(known->spans_sum, span->ptr_mask);
		if (state == GCHEAP_SPAN_CACHED || state == GCHEAP_SPAN_CENTRAL)
			known->objects_sum = sum_add(known->objects_sum,
						     slots_allocated(heap, page));
	}
}

static bool known_same(const struct known *a, const struct known *b)
{
	return !memcmp(a, b, sizeof(*a));
}

/* Whether a request may end with this when memory, or a copy, fails. */
static bool errno_may(enum failure failure, int ret)
{
	return !ret || ret == -ENOMEM || (failure == FAIL_COPY && ret == -EFAULT);
}

/* ---- requests ---------------------------------------------------------------- */

#define WALK_MOST	4000	/* a walk that is still not at its end goes in circles */

struct walk {
	enum heap_state_kind kind;
	enum failure failure;
	unsigned int op;
	unsigned int errors;	/* how often the request failed */
	bool no_memory;		/* also with ENOMEM */
	unsigned int ways;	/* how many failures were tried */
};

/*
 * Walks through one request; what is wrong, or NULL. The heap is made anew each
 * time that the request did something to it.
 */
static const char *walk_request(struct walk *walk)
{
	static struct heap_state state;
	static struct state_request request;
	const enum failure failure = walk->failure;
	bool built = false, done = false;
	unsigned int n;

	/* What SETUP finds is the same in all states. */
	if (walk->op == GCHEAP_OP_SETUP && walk->kind != HEAP_STATE_NEW)
		return NULL;
	/* Each single one; where all after it fail too, the tenth is much like the ninth. */
	for (n = 1; n <= WALK_MOST && !done; n += failure <= FAIL_COPY || n < 10 ? 1 : 1 + n / 8) {
		struct known before, after;
		const char *error;
		bool fired, same;
		__u32 pages;
		int ret;

		if (!built) {
			ret = heap_state_build(walk->kind, &state);
			if (ret)
				return wrong("the heap's state: errno %d", -ret);
			built = true;
		}
		if (!heap_state_request(&state, walk->op, &request))
			break;
		if (walk->op == GCHEAP_OP_SETUP) {
			heap_unmap(&state.heap);
			close(state.heap.fd);
			state.heap.fd = device_open();
			pages = 0;
		} else {
			pages = heap_ctrl(&state.heap)->heap_pages;
			known_take(&state.heap, pages, &before);
		}

		if (!failure_begin(failure, n))
			return "cannot make it fail";
		ret = cmd_send(state.heap.fd, walk->op, &request.args);
		fired = failure_end(failure);

		/* Not in this module, or not in this state, whatever fails. */
		if ((ret == -EOPNOTSUPP || ret == -EBUSY || ret == -EINVAL) && !walk->no_memory)
			break;
		walk->no_memory |= ret == -ENOMEM;
		if (!errno_may(failure, ret))
			return wrong("n %u: errno %d", n, -ret);
		/* Pages and slab objects do not tell; the call succeeds when they are enough. */
		done = failure <= FAIL_COPY ? !fired : !ret;
		walk->ways += !done;
		if (failure <= FAIL_COPY && !fired && ret)
			return wrong("n %u: errno %d, and nothing failed", n, -ret);
		walk->errors += ret != 0;
		if (walk->op == GCHEAP_OP_SETUP) {
			/* It can be done again, when it was not. */
			if (ret && ret != -EFAULT) {
				ret = heap_setup(&state.heap, GCHEAP_UAPI_LAYOUT_SPAN,
						 SMALL_RESERVE);
				if (ret)
					return wrong("n %u: again: errno %d", n, -ret);
			}
			heap_state_destroy(&state);
			built = false;
			continue;
		}
		known_take(&state.heap, pages, &after);
		same = known_same(&before, &after);
		/* The answer is copied out when all is done: the owner sees it in the tables. */
		if (ret && ret != -EFAULT && !same)
			return wrong("n %u: errno %d, and the heap is another", n, -ret);
		if (state.heap.region[GCHEAP_REGION_HEAP] &&
		    state.lasting && !memory_is(heap_mem(&state.heap, state.lasting), 0x5c,
						HEAP_STATE_LASTING_BYTES))
			return wrong("n %u: an object is not what it was", n);
		error = heap_wrong(&state.heap);
		if (error)
			return error;
		if (!ret || !same) {
			/* And works, after all this. */
			ret = cmd_alloc_large(state.heap.fd, 0, 100000, NULL);
			if (ret)
				return wrong("n %u: ALLOC_LARGE after it: errno %d", n, -ret);
			heap_state_destroy(&state);
			built = false;
		}
	}
	if (n > WALK_MOST)
		return "no end";
	if (built) {
		int ret = 0;

		if (heap_ctrl(&state.heap)->phase == GCHEAP_PHASE_IDLE)
			ret = cmd_mark_start(state.heap.fd, NULL);
		if (!ret)
			ret = cmd_alloc_large(state.heap.fd, 0, 100000, NULL);
		heap_state_destroy(&state);
		if (ret)
			return wrong("the heap works no more: errno %d", -ret);
	}
	return NULL;
}

FIXTURE(fail_nth) {
	struct machine before;
};

FIXTURE_VARIANT(fail_nth) {
	enum heap_state_kind kind;
};

FIXTURE_VARIANT_ADD(fail_nth, new_heap) {
	.kind = HEAP_STATE_NEW,
};

FIXTURE_VARIANT_ADD(fail_nth, used_heap) {
	.kind = HEAP_STATE_USED,
};

FIXTURE_VARIANT_ADD(fail_nth, marking) {
	.kind = HEAP_STATE_MARKING,
};

FIXTURE_VARIANT_ADD(fail_nth, unswept) {
	.kind = HEAP_STATE_UNSWEPT,
};

FIXTURE_VARIANT_ADD(fail_nth, end_of_an_arena) {
	.kind = HEAP_STATE_ARENA_END,
};

FIXTURE_VARIANT_ADD(fail_nth, not_mapped) {
	.kind = HEAP_STATE_UNMAPPED,
};

FIXTURE_VARIANT_ADD(fail_nth, chunks) {
	.kind = HEAP_STATE_CHUNKS,
};

FIXTURE_VARIANT_ADD(fail_nth, tracked) {
	.kind = HEAP_STATE_TRACKED,
};

FIXTURE_VARIANT_ADD(fail_nth, huge_pages) {
	.kind = HEAP_STATE_HUGE,
};

FIXTURE_VARIANT_ADD(fail_nth, freed_spans_fault) {
	.kind = HEAP_STATE_FAULT_FREED,
};

FIXTURE_SETUP(fail_nth)
{
	struct heap_state state;
	int ret;

	if (!injection_init())
		SKIP(return, "no fault injection in this kernel");
	ret = heap_state_build(variant->kind, &state);
	if (ret == -EOPNOTSUPP)
		SKIP(return, "the module has no such heaps");
	ASSERT_OK(ret);
	heap_state_destroy(&state);
	ASSERT_OK(machine_take(&self->before));
}

FIXTURE_TEARDOWN(fail_nth)
{
	EXPECT_TRUE(machine_back_to(&self->before));
}

#define WALK_ALL(failure_) do { \
	for (unsigned int op_ = 0; op_ < GCHEAP_OPS; op_++) { \
		struct walk walk_ = { .kind = variant->kind, .failure = failure_, .op = op_ }; \
		const char *wrong_ = walk_request(&walk_); \
\
		EXPECT_EQ(NULL, wrong_) { \
			TH_LOG("op %u: %s", op_, wrong_); \
		} \
		if (walk_.errors) \
			TH_LOG("op %u: %u ways to fail, %u errors", op_, walk_.ways, \
			       walk_.errors); \
	} \
} while (0)

TEST_F_TIMEOUT(fail_nth, allocation_of_a_request_undoes_it, 1200)
{
	WALK_ALL(FAIL_ALLOCATION);
}

TEST_F_TIMEOUT(fail_nth, copy_of_a_request_does_no_harm, 1200)
{
	WALK_ALL(FAIL_COPY);
}

TEST_F_TIMEOUT(fail_nth, page_and_all_after_it_undo_a_request, 1200)
{
	WALK_ALL(FAIL_PAGES);
}

TEST_F_TIMEOUT(fail_nth, slab_object_and_all_after_it_undo_a_request, 1200)
{
	WALK_ALL(FAIL_SLAB);
}

/* ---- open, mmap, faults ------------------------------------------------------- */

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

		ASSERT_GT(WALK_MOST, n);
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

			ASSERT_GT(WALK_MOST, n);
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

			ASSERT_GT(WALK_MOST, n);
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

TEST_F_TIMEOUT(fail_call, to_read_marks_is_repeated, 300)
{
	struct test_heap *heap = &self->state.heap;
	bool fired = true;

	for (unsigned int n = 1; fired; n++) {
		volatile char *end;

		ASSERT_GT(WALK_MOST, n);
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

		ASSERT_GT(100 * WALK_MOST, n);
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
