// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * A fatal signal in the middle of a long request: its sender dies soon, what the
 * request has done stays done, and the heap goes on.
 *
 * The heap goes on because the signal kills another process: one made by clone() with
 * the same address space, which is the heap's owner too. So it does not depend on the
 * heap's memory how soon that process dies, and the test can look at what it has left.
 *
 * "Soon" is before the request would have been complete: some of its work is left. The
 * test measures no time against another, which a busy machine would stretch.
 */
#include <pthread.h>
#include <sched.h>

#include "../kselftest_harness.h"
#include "gcheap_selftest.h"
#include "gcheap_track.h"

#define ROUNDS		60	/* at most, until EARLY of them have met the middle */
#define EARLY		3

/* Much work, less of it where the kernel looks for its own errors. */
#define BYTES		((128ull << 20) / (kernel_slowness() > 1 ? 2 : 1))
#define SPANS		(16384u / kernel_slowness())	/* of one heap page */
#define RESERVE		(1ull << 30)

/* A timer is not exact enough for short times. */
static void wait_us(__u64 us)
{
	__u64 from = now_us();

	if (us > 20000)
		usleep(us);
	while (now_us() - from < us)
		;
}

/* ---- who is killed -------------------------------------------------------------------- */

/**
 * struct victim - a process with the address space of this one that sends a request
 * @fd: the heap's file
 * @op: the request
 * @args: its struct; the kernel's answer when the process is dead
 * @begun: it is about to send it
 * @ended: and has got an answer
 * @pid: the process
 */
struct victim {
	int fd;
	unsigned int op;
	union any_request args;
	volatile bool begun;
	volatile bool ended;
	pid_t pid;
};

/* By ioctl() always: a ring is another story, which uring_life_test.c and uring_end_test.c tell. */
static int victim_main(void *arg)
{
	struct victim *victim = arg;

	victim->begun = true;
	ioctl(victim->fd, GCHEAP_IOC(victim->op), &victim->args);
	victim->ended = true;
	return 0;
}

/* 0 or a negative errno; it has begun then. */
static int victim_begin(struct victim *victim)
{
	static char stack[64 << 10] __attribute__((aligned(64)));

	victim->begun = false;
	victim->ended = false;
	victim->pid = clone(victim_main, stack + sizeof(stack), CLONE_VM | SIGCHLD, victim);
	if (victim->pid < 0)
		return -errno;
	while (!victim->begun)
		sched_yield();
	return 0;
}

/* How long it took to die, in microseconds. */
static __u64 victim_kill(struct victim *victim)
{
	__u64 from = now_us();

	kill(victim->pid, SIGKILL);
	while (waitpid(victim->pid, NULL, 0) < 0 && errno == EINTR)
		;
	return now_us() - from;
}

/* ---- requests that take long ------------------------------------------------------------ */

/**
 * struct world - a heap in which a request has much to do
 * @heap: the heap
 * @victim: who sends it
 * @pages: of spans with one object each
 * @type: with pointers
 * @flags: of SETUP
 * @bytes: of large objects
 * @object: page of a large object of this type; 0: none yet
 * @resident: bytes of memory that the heap had before the request
 * @released: bytes that it had given back before
 * @ranges: room for the answer of TRACK
 */
struct world {
	struct test_heap heap;
	struct victim victim;
	__u32 *pages;
	__u32 type;
	__u32 flags;
	__u64 bytes;
	__u32 object;
	__u64 resident;
	__u64 released;
	struct gcheap_range ranges[16];
};

/**
 * struct job - a request that takes long
 * @op: the request
 * @prepare: make work for it, and fill its struct in, which is all zeros but for the
 *	size. 0 or a negative errno
 * @rest: how much of the work is left
 * @finish: do what is left after the request has done part of @all: NULL, or what is
 *	wrong
 */
struct job {
	unsigned int op;
	int (*prepare)(struct world *world, union any_request *args);
	__u64 (*rest)(const struct world *world);
	const char *(*finish)(struct world *world, __u64 all, __u64 rest);
};

static __u32 object_pages(const struct world *world)
{
	return (__u32)(world->bytes >> GCHEAP_PAGE_SHIFT);
}

static struct gcheap_counters counters_of(const struct world *world)
{
	struct gcheap_counters counters = { };

	cmd_stats(world->heap.fd, &counters);
	return counters;
}

/* Nothing lives after this, and no free memory is left. */
static int heap_clear(const struct test_heap *heap)
{
	int ret = 0;

	if (heap_ctrl(heap)->phase == GCHEAP_PHASE_IDLE)
		ret = cmd_mark_start(heap->fd, NULL);
	ret = ret ?: cmd_sweep_start(heap->fd, NULL);
	/* That of a request that was killed had marks. */
	ret = ret ?: cmd_mark_start(heap->fd, NULL);
	ret = ret ?: cmd_sweep_start(heap->fd, NULL);
	return ret ?: cmd_scavenge(heap->fd, ~0ull, NULL);
}

/* SPANS spans, every @nth of which is marked in the cycle that has begun. */
static int spans_make(struct world *world, __u32 nth)
{
	const struct test_heap *heap = &world->heap;
	struct gcheap_grant grants[GCHEAP_REFILL_MAX];
	__u32 count = 0, granted;
	int ret = heap_clear(heap);

	for (; !ret && count < SPANS; count += granted) {
		__u32 want = SPANS - count < GCHEAP_REFILL_MAX ? SPANS - count : GCHEAP_REFILL_MAX;

		granted = 0;
		ret = cmd_refill(heap->fd, 0, CLASS_8192, want << GCHEAP_PAGE_SHIFT, NULL, 0,
				 grants, want, &granted);
		for (__u32 i = 0; i < granted; i++) {
			world->pages[count + i] = grants[i].page;
			slot_alloc(heap, grants[i].page, 0);
		}
		ret = ret ?: cmd_give(heap->fd, world->pages + count, granted);
	}
	ret = ret ?: cmd_mark_start(heap->fd, NULL);
	for (__u32 i = 0; !ret && i < SPANS; i += nth)
		slot_mark(heap, world->pages[i], 0);
	return ret;
}

static int allocation_prepare(struct world *world, union any_request *args)
{
	int ret = heap_clear(&world->heap);

	args->alloc_large.count = world->bytes;
	world->resident = counters_of(world).resident_bytes;
	world->released = counters_of(world).released_bytes;
	return ret;
}

/* What it had made when it ended early, the system has again. */
static __u64 allocation_rest(const struct world *world)
{
	struct gcheap_counters counters = counters_of(world);

	if (counters.spans)
		return 0;
	return world->bytes - (counters.released_bytes - world->released);
}

static const char *allocation_finish(struct world *world, __u64 all, __u64 rest)
{
	__u64 resident = counters_of(world).resident_bytes;

	if (resident != world->resident)
		return wrong("%llu bytes more than before", resident - world->resident);
	return cmd_alloc_large(world->heap.fd, 0, world->bytes, NULL) ? "not allocated" : NULL;
}

static int sweep_prepare(struct world *world, union any_request *args)
{
	int ret = spans_make(world, 1);

	args->sweep.max_spans = ~0ull;
	return ret ?: cmd_sweep_start(world->heap.fd, NULL);
}

static __u64 sweep_rest(const struct world *world)
{
	return counters_of(world).unswept_spans;
}

static const char *sweep_finish(struct world *world, __u64 all, __u64 rest)
{
	__u64 told = world->victim.args.sweep.out_swept_spans;
	struct gcheap_sweep sweep;

	if (told != all - rest)
		return wrong("%llu swept, %llu told", all - rest, told);
	if (cmd_sweep(world->heap.fd, ~0ull, &sweep) || sweep.out_swept_spans != rest)
		return "the rest is not swept";
	return counters_of(world).spans == SPANS ? NULL : "a span is lost";
}

static int mark_start_prepare(struct world *world, union any_request *args)
{
	int ret = spans_make(world, 1);

	return ret ?: cmd_sweep_start(world->heap.fd, NULL);
}

static const char *mark_start_finish(struct world *world, __u64 all, __u64 rest)
{
	__u64 told = world->victim.args.mark_start.out_swept_spans;
	struct gcheap_mark_start start;

	if (told != all - rest)
		return wrong("%llu swept, %llu told", all - rest, told);
	if (heap_ctrl(&world->heap)->phase != GCHEAP_PHASE_IDLE)
		return "the cycle has begun before the sweep was done";
	if (cmd_mark_start(world->heap.fd, &start) || start.out_swept_spans != rest)
		return "the rest is not swept";
	return counters_of(world).spans == SPANS ? NULL : "a span is lost";
}

static int sweep_start_prepare(struct world *world, union any_request *args)
{
	return spans_make(world, 2);
}

/* Spans that are dead, and there. */
static __u64 dead_rest(const struct world *world)
{
	return counters_of(world).spans - SPANS / 2;
}

static const char *sweep_start_finish(struct world *world, __u64 all, __u64 rest)
{
	__u64 told = world->victim.args.sweep_start.out_freed_spans;
	struct gcheap_sweep sweep;

	/* The cycle has ended all the same: the rest is left as by a lazy one. */
	if (told != all - rest)
		return wrong("%llu freed, %llu told", all - rest, told);
	if (cmd_sweep(world->heap.fd, ~0ull, &sweep) || sweep.out_freed_spans != rest)
		return "the rest is not freed";
	return dead_rest(world) ? "not all is freed" : NULL;
}

static int reclaim_prepare(struct world *world, union any_request *args)
{
	int ret = spans_make(world, 2);

	args->reclaim.max_pages = ~0ull;
	return ret ?: cmd_sweep_start_flags(world->heap.fd, GCHEAP_SWEEP_START_LAZY, 0, NULL);
}

static const char *reclaim_finish(struct world *world, __u64 all, __u64 rest)
{
	__u64 told = world->victim.args.reclaim.out_pages;
	struct gcheap_reclaim reclaim;

	if (told != all - rest)
		return wrong("%llu reclaimed, %llu told", all - rest, told);
	if (cmd_reclaim(world->heap.fd, ~0ull, &reclaim) || reclaim.out_pages != rest)
		return "the rest is not reclaimed";
	return dead_rest(world) ? "not all is reclaimed" : NULL;
}

static int scavenge_prepare(struct world *world, union any_request *args)
{
	struct gcheap_alloc_large large;
	int ret = heap_clear(&world->heap);

	args->scavenge.max_bytes = ~0ull;
	ret = ret ?: cmd_alloc_large(world->heap.fd, 0, world->bytes, &large);
	return ret ?: cmd_free_large(world->heap.fd, large.out_page);
}

/* All memory is free. */
static __u64 scavenge_rest(const struct world *world)
{
	struct gcheap_counters counters = counters_of(world);

	return counters.resident_bytes + counters.stock_bytes;
}

static const char *scavenge_finish(struct world *world, __u64 all, __u64 rest)
{
	__u64 told = world->victim.args.scavenge.out_bytes;
	struct gcheap_scavenge scavenge;

	if (told != all - rest)
		return wrong("%llu given back, %llu told", all - rest, told);
	if (cmd_scavenge(world->heap.fd, ~0ull, &scavenge))
		return "SCAVENGE fails";
	if (scavenge.out_bytes != rest || scavenge_rest(world))
		return wrong("%llu given back of the other %llu", scavenge.out_bytes, rest);
	return NULL;
}

/* Every page of a large object is dirty. */
static int track_prepare(struct world *world, union any_request *args)
{
	struct gcheap_alloc_large large;

	if (!world->object) {
		int ret = cmd_alloc_large(world->heap.fd, world->type, world->bytes / 64, &large);

		if (ret)
			return ret;
		world->object = large.out_page;
	}
	for (__u32 i = 0; i < object_pages(world); i++)
		*(volatile __u32 *)heap_mem(&world->heap, world->object + i) = i;
	args->track.page = world->object;
	args->track.npages = object_pages(world);
	args->track.ranges = (uintptr_t)world->ranges;
	args->track.range_count = ARRAY_SIZE(world->ranges);
	args->track.out_end = world->object;
	return 0;
}

static int snapshot_prepare(struct world *world, union any_request *args)
{
	args->track.flags = GCHEAP_TRACK_PROTECT;
	return track_prepare(world, args);
}

/* By its own account; what that is worth is seen by the next one. */
static __u64 track_rest(const struct world *world)
{
	const struct gcheap_track *track = &world->victim.args.track;

	return world->object + object_pages(world) - track->out_end;
}

/*
 * What was reported is one range, and what was not is reported now. Of a page of 2 MiB
 * that the object shares with others, every TRACK of the object reports its part.
 */
static const char *track_finish(struct world *world, __u64 all, __u64 rest)
{
	__u32 end = world->object + object_pages(world), from = end - (__u32)rest;
	const bool huge = world->flags & GCHEAP_SETUP_HUGE_PAGES;
	struct gcheap_track *track = &world->victim.args.track;
	const struct gcheap_range *last;

	if (track->out_range_count != 1 || world->ranges[0].page != world->object ||
	    world->ranges[0].npages != all - rest || track->out_dirty_pages != all - rest)
		return "the answer is not what was done";
	track->flags = 0;
	if (cmd_track(world->heap.fd, track) || !track->out_range_count)
		return "no second answer";
	last = &world->ranges[track->out_range_count - 1];
	if (last->page > from || last->page + last->npages != end)
		return "a write is lost";
	if (!huge && last->page < from)
		return "a page is reported again";
	return NULL;
}

FIXTURE(killed) {
	struct machine before;
	struct world world;
};

FIXTURE_VARIANT(killed) {
	struct job job;
	__u32 flags;		/* of SETUP */
};

FIXTURE_VARIANT_ADD(killed, in_an_allocation) {
	.job = { GCHEAP_OP_ALLOC_LARGE, allocation_prepare, allocation_rest, allocation_finish },
};

FIXTURE_VARIANT_ADD(killed, in_an_allocation_of_huge_pages) {
	.job = { GCHEAP_OP_ALLOC_LARGE, allocation_prepare, allocation_rest, allocation_finish },
	.flags = GCHEAP_SETUP_HUGE_PAGES,
};

FIXTURE_VARIANT_ADD(killed, in_a_sweep) {
	.job = { GCHEAP_OP_SWEEP, sweep_prepare, sweep_rest, sweep_finish },
};

FIXTURE_VARIANT_ADD(killed, in_the_sweep_of_mark_start) {
	.job = { GCHEAP_OP_MARK_START, mark_start_prepare, sweep_rest, mark_start_finish },
};

FIXTURE_VARIANT_ADD(killed, in_sweep_start) {
	.job = { GCHEAP_OP_SWEEP_START, sweep_start_prepare, dead_rest, sweep_start_finish },
};

FIXTURE_VARIANT_ADD(killed, in_reclaim) {
	.job = { GCHEAP_OP_RECLAIM, reclaim_prepare, dead_rest, reclaim_finish },
};

FIXTURE_VARIANT_ADD(killed, in_scavenge) {
	.job = { GCHEAP_OP_SCAVENGE, scavenge_prepare, scavenge_rest, scavenge_finish },
};

FIXTURE_VARIANT_ADD(killed, in_scavenge_of_huge_pages) {
	.job = { GCHEAP_OP_SCAVENGE, scavenge_prepare, scavenge_rest, scavenge_finish },
	.flags = GCHEAP_SETUP_HUGE_PAGES,
};

FIXTURE_VARIANT_ADD(killed, in_track) {
	.job = { GCHEAP_OP_TRACK, track_prepare, track_rest, track_finish },
};

FIXTURE_VARIANT_ADD(killed, in_track_of_huge_pages) {
	.job = { GCHEAP_OP_TRACK, track_prepare, track_rest, track_finish },
	.flags = GCHEAP_SETUP_HUGE_PAGES,
};

FIXTURE_VARIANT_ADD(killed, in_a_snapshot) {
	.job = { GCHEAP_OP_TRACK, snapshot_prepare, track_rest, track_finish },
	.flags = GCHEAP_SETUP_SNAPSHOTS,
};

FIXTURE_SETUP(killed)
{
	struct world *world = &self->world;
	int ret;

	ASSERT_OK(machine_take(&self->before));
	ret = heap_open_flags(&world->heap, GCHEAP_LAYOUT_SPAN, RESERVE, variant->flags);
	if (ret == -EOPNOTSUPP)
		SKIP(return, "the module has no such heaps");
	ASSERT_OK(ret);
	ASSERT_OK(cmd_type_words(world->heap.fd, 8, 1, &world->type));
	world->flags = variant->flags;
	/* There is less to do where pages are huge. */
	world->bytes = variant->flags & GCHEAP_SETUP_HUGE_PAGES ? 3 * BYTES : BYTES;
	world->victim.fd = world->heap.fd;
	world->victim.op = variant->job.op;
	world->pages = malloc(SPANS * sizeof(*world->pages));
	ASSERT_NE(NULL, world->pages);
}

FIXTURE_TEARDOWN(killed)
{
	free(self->world.pages);
	heap_close(&self->world.heap);
	EXPECT_TRUE(machine_back_to(&self->before));
}

/* Make work for the request, and fill it in. 0 or a negative errno. */
static int work_make(struct world *world, const struct job *job, __u64 *all)
{
	struct victim *victim = &world->victim;
	int ret;

	memset(&victim->args, 0, sizeof(victim->args));
	victim->args.size = request_bytes(job->op);
	victim->begun = false;
	ret = job->prepare(world, &victim->args);
	*all = job->rest(world);
	return ret;
}

TEST_F_TIMEOUT(killed, dies_soon_and_leaves_a_heap_that_goes_on, 300)
{
	struct world *world = &self->world;
	const struct job *job = &variant->job;
	__u64 all, rest, from, full, quickest = ~0ull;
	int early = 0;

	if (job->op == GCHEAP_OP_TRACK && !tracking_works())
		SKIP(return, "no write tracking on this machine");
	/* The first time differs: tables are made. */
	for (int i = 0; i < 2; i++) {
		ASSERT_OK(work_make(world, job, &all));
		from = now_us();
		ASSERT_OK(cmd_send(world->heap.fd, job->op, &world->victim.args));
		full = now_us() - from;
	}

	for (int round = 0; round < ROUNDS && early < EARLY; round++) {
		__u64 death;

		ASSERT_OK(work_make(world, job, &all));
		ASSERT_OK(victim_begin(&world->victim));
		wait_us(full * (1 + round % 3) / 8);
		death = victim_kill(&world->victim);
		ASSERT_RIGHT(heap_wrong(&world->heap));
		rest = job->rest(world);
		if (!rest || rest == all)
			continue;	/* too late, or too early */
		early++;
		if (death < quickest)
			quickest = death;
		EXPECT_FALSE(world->victim.ended);
		ASSERT_RIGHT(job->finish(world, all, rest));
		ASSERT_RIGHT(heap_wrong(&world->heap));
	}
	EXPECT_EQ(EARLY, early);
	if (early)
		TH_LOG("of %llu us it takes: dead after %llu", full, quickest);
}

/* ---- who waits for the heap ---------------------------------------------------------------- */

struct allocation {
	const struct test_heap *heap;
	volatile bool ended;
	int ret;
};

static void *allocation_main(void *arg)
{
	struct allocation *allocation = arg;

	allocation->ret = cmd_alloc_large(allocation->heap->fd, 0, BYTES, NULL);
	allocation->ended = true;
	return NULL;
}

TEST(who_waits_for_the_heap_dies_at_once)
{
	struct victim victim = { .op = GCHEAP_OP_STATS };
	struct machine before;
	struct test_heap heap;
	int waited = 0;

	ASSERT_OK(machine_take(&before));
	ASSERT_OK(heap_open(&heap, GCHEAP_LAYOUT_SPAN, RESERVE));
	victim.fd = heap.fd;
	victim.args.size = request_bytes(victim.op);
	for (int round = 0; round < ROUNDS && waited < EARLY; round++) {
		struct allocation allocation = { .heap = &heap };
		bool in_time, answered;
		pthread_t thread;

		ASSERT_EQ(0, pthread_create(&thread, NULL, allocation_main, &allocation));
		wait_us(1000 * (1 + round % 20));
		ASSERT_OK(victim_begin(&victim));
		wait_us(1000);
		answered = victim.ended;
		victim_kill(&victim);
		/* It does not wait until the heap is free. */
		in_time = !allocation.ended;
		ASSERT_EQ(0, pthread_join(thread, NULL));
		ASSERT_OK(allocation.ret);
		ASSERT_RIGHT(heap_wrong(&heap));
		ASSERT_OK(heap_clear(&heap));
		waited += in_time && !answered && !victim.ended;
	}
	EXPECT_EQ(EARLY, waited);
	heap_close(&heap);
	EXPECT_TRUE(machine_back_to(&before));
}

TEST_HARNESS_MAIN
