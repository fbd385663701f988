// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * All that moves spans, sent by several threads at once: REFILL with returns,
 * ALLOC_LARGE, FREE_LARGE, SWEEP, RECLAIM and chunks, over cycles with eager and lazy
 * SWEEP_STARTs. What was marked must keep its memory, and the tables must agree
 * with the counters at the end. GCHEAP_SELFTEST_SECONDS is how long it goes on.
 */
#include <pthread.h>
#include <time.h>

#include "../kselftest_harness.h"
#include "gcheap_selftest.h"

#define THREADS		4
#define LIVE		48u
#define GRANTS		16u
#define LARGE_SLOT	~0u

/* An object that a thread means to keep: its first word is @stamp. */
struct live {
	__u32 page;		/* 0: none */
	__u32 slot;		/* LARGE_SLOT: a large object */
	__u64 stamp;
};

struct member {
	struct crowd *crowd;
	pthread_t thread;
	__u64 number;
	__u64 stamps;
	__u64 requests;
	struct live live[LIVE];
	const char *error;
};

struct crowd {
	struct test_heap *heap;
	pthread_rwlock_t cycle;		/* held to read with spans in the cache */
	bool stop;
	__u64 seed;
	struct member members[THREADS];
};

FIXTURE(race) {
	struct test_heap heap;
	struct crowd crowd;
};

FIXTURE_VARIANT(race) {
	__u32 flags;
	__u64 goal;
};

FIXTURE_VARIANT_ADD(race, eager) {
	.flags = 0,
};

FIXTURE_VARIANT_ADD(race, lazy) {
	.flags = GCHEAP_SWEEP_START_LAZY,
};

FIXTURE_VARIANT_ADD(race, lazy_with_a_goal) {
	.flags = GCHEAP_SWEEP_START_LAZY,
	.goal = 24 << 20,
};

FIXTURE_VARIANT_ADD(race, eager_with_a_goal) {
	.goal = 24 << 20,
};

FIXTURE_SETUP(race)
{
	ASSERT_OK(heap_open(&self->heap, GCHEAP_LAYOUT_SPAN, 2 * SMALL_RESERVE));
}

FIXTURE_TEARDOWN(race)
{
	heap_close(&self->heap);
}

static char *live_mem(const struct test_heap *heap, const struct live *live)
{
	return live->slot == LARGE_SLOT ? heap_mem(heap, live->page) :
					  slot_mem(heap, live->page, live->slot);
}

static void live_set(struct member *member, struct live *live, __u32 page, __u32 slot)
{
	live->page = page;
	live->slot = slot;
	live->stamp = member->number << 48 | ++member->stamps;
	*(volatile __u64 *)live_mem(member->crowd->heap, live) = live->stamp;
}

/* Each object that was kept is where it was, and has what was written there. */
static const char *live_wrong(const struct member *member)
{
	const struct test_heap *heap = member->crowd->heap;

	for (__u32 i = 0; i < LIVE; i++) {
		const struct live *live = &member->live[i];
		__u32 state = live->page ? span_state(heap, live->page) : 0;

		if (!live->page)
			continue;
		if (live->slot == LARGE_SLOT ? state != GCHEAP_SPAN_LARGE :
		    state != GCHEAP_SPAN_CENTRAL && state != GCHEAP_SPAN_CACHED)
			return "a span with an object that is alive was freed";
		if (*(volatile __u64 *)live_mem(heap, live) != live->stamp)
			return "an object that is alive was handed out again";
	}
	return NULL;
}

/* Takes spans, keeps some of their slots, and gives them back with the next refill. */
static const char *work_refill(struct member *member, struct rng *rng)
{
	struct test_heap *heap = member->crowd->heap;
	struct gcheap_grant grants[GRANTS];
	__u32 pages[GRANTS], granted = 0, count = 0;

	for (int round = 0; round < 3; round++) {
		__u32 class = SIZE_CLASS_MIN + rng_below(rng, SIZE_CLASSES - SIZE_CLASS_MIN);
		int ret = cmd_refill(heap->fd, 0, class, 1 + rng_below(rng, 65536), pages, count,
				     grants, GRANTS, &granted);

		if (ret == -ENOMEM)
			break;
		if (ret)
			return "REFILL";
		for (count = 0; count < granted; count++) {
			struct live *live = &member->live[rng_below(rng, LIVE)];
			int slot;

			pages[count] = grants[count].page;
			slot = slot_take(heap, pages[count]);
			if (slot < 0)
				return "a span without a free slot was granted";
			if (rng_below(rng, 2))
				live_set(member, live, pages[count], (__u32)slot);
		}
	}
	return cmd_give(heap->fd, pages, count) ? "REFILL, to return spans" : NULL;
}

static const char *work_large(struct member *member, struct rng *rng)
{
	struct test_heap *heap = member->crowd->heap;
	struct live *live = &member->live[rng_below(rng, LIVE)];
	struct gcheap_alloc_large large;
	int ret;

	if (live->page && live->slot == LARGE_SLOT && rng_below(rng, 2)) {
		ret = cmd_free_large(heap->fd, live->page);
		if (ret && ret != -EBUSY)
			return "FREE_LARGE";
		live->page = 0;
		return NULL;
	}
	ret = cmd_alloc_large(heap->fd, 0, 1 + rng_below(rng, 1 << 19), &large);
	if (ret == -ENOMEM)
		return NULL;
	if (ret)
		return "ALLOC_LARGE";
	live_set(member, live, large.out_page, LARGE_SLOT);
	return NULL;
}

static const char *work_chunk(struct member *member)
{
	struct test_heap *heap = member->crowd->heap;
	struct gcheap_chunk_new chunk;
	volatile char *memory;
	int ret = cmd_chunk_new(heap->fd, &chunk);

	if (ret == -ENOMEM)
		return NULL;
	if (ret)
		return "CHUNK_NEW";
	memory = heap_mem(heap, chunk.out_page);
	for (size_t at = 0; at < GCHEAP_CHUNK_BYTES; at += 1 << 20)
		memory[at] = (char)member->number;
	for (size_t at = 0; at < GCHEAP_CHUNK_BYTES; at += 1 << 20) {
		if (memory[at] != (char)member->number)
			return "a chunk that another thread has too";
	}
	if (cmd_chunk_free(heap->fd, chunk.out_page))
		return "CHUNK_FREE";
	/* The read lock keeps cycles out. */
	return cmd_chunk_ready(heap->fd, chunk.out_page) ? "CHUNK_READY" : NULL;
}

static const char *member_work(struct member *member, struct rng *rng)
{
	int fd = member->crowd->heap->fd;

	switch (rng_below(rng, 8)) {
	case 0:
		return cmd_sweep(fd, 1 + rng_below(rng, 40), NULL) ? "SWEEP" : NULL;
	case 1:
		return cmd_reclaim(fd, 1 + rng_below(rng, 300), NULL) ? "RECLAIM" : NULL;
	case 2:
	case 3:
		return work_large(member, rng);
	case 4:
		return rng_below(rng, 8) ? live_wrong(member) : work_chunk(member);
	default:
		return work_refill(member, rng);
	}
}

static void *member_main(void *arg)
{
	struct member *member = arg;
	struct crowd *crowd = member->crowd;
	struct rng rng;

	rng_init(&rng, crowd->seed + member->number);
	while (!__atomic_load_n(&crowd->stop, __ATOMIC_RELAXED) && !member->error) {
		pthread_rwlock_rdlock(&crowd->cycle);
		for (int i = 0; i < 10 && !member->error; i++)
			member->error = member_work(member, &rng);
		pthread_rwlock_unlock(&crowd->cycle);
		member->requests += 10;
	}
	return NULL;
}

/* With no span cached: marks what the threads keep. */
static int cycle(struct crowd *crowd, __u32 flags, __u64 goal)
{
	int ret = cmd_mark_start(crowd->heap->fd, NULL);

	for (int i = 0; i < THREADS && !ret; i++) {
		for (__u32 j = 0; j < LIVE; j++) {
			const struct live *live = &crowd->members[i].live[j];

			if (live->page)
				slot_mark(crowd->heap, live->page,
					  live->slot == LARGE_SLOT ? 0 : live->slot);
		}
	}
	return ret ? ret : cmd_sweep_start_flags(crowd->heap->fd, flags, goal, NULL);
}

static int test_seconds(void)
{
	const char *text = getenv("GCHEAP_SELFTEST_SECONDS");

	return text ? atoi(text) : 3;
}

TEST_F_TIMEOUT(race, of_requests_loses_no_object, 600)
{
	const struct timespec wait = { .tv_nsec = 3 * 1000 * 1000 };
	struct crowd *crowd = &self->crowd;
	struct gcheap_counters counters;
	pthread_rwlockattr_t attr;
	__u64 requests = 0;
	struct rng rng;
	time_t end = time(NULL) + test_seconds();
	int cycles = 0;

	/* Else the threads would never let a cycle begin. */
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	ASSERT_EQ(0, pthread_rwlock_init(&crowd->cycle, &attr));
	crowd->heap = &self->heap;
	rng_init_printed(&rng, "all threads");
	crowd->seed = rng_next(&rng);
	for (int i = 0; i < THREADS; i++) {
		crowd->members[i].crowd = crowd;
		crowd->members[i].number = (__u64)i + 1;
		ASSERT_EQ(0, pthread_create(&crowd->members[i].thread, NULL, member_main,
					    &crowd->members[i]));
	}
	while (time(NULL) < end) {
		int ret;

		nanosleep(&wait, NULL);
		pthread_rwlock_wrlock(&crowd->cycle);
		ret = cycle(crowd, variant->flags, variant->goal);
		pthread_rwlock_unlock(&crowd->cycle);
		ASSERT_OK(ret);
		cycles++;
	}
	__atomic_store_n(&crowd->stop, true, __ATOMIC_RELAXED);
	for (int i = 0; i < THREADS; i++)
		pthread_join(crowd->members[i].thread, NULL);
	for (int i = 0; i < THREADS; i++) {
		ASSERT_EQ(NULL, crowd->members[i].error) {
			TH_LOG("thread %d: %s", i, crowd->members[i].error);
		}
		ASSERT_RIGHT(live_wrong(&crowd->members[i]));
		requests += crowd->members[i].requests;
	}
	TH_LOG("%llu pieces of work, %d cycles", requests, cycles);
	ASSERT_RIGHT(heap_wrong(&self->heap));

	/* What nobody keeps is gone after a cycle, and after another all. */
	ASSERT_OK(cycle(crowd, 0, 0));
	test_cmd_sweep(~0ull, &(struct gcheap_sweep) { 0 });
	ASSERT_RIGHT(heap_wrong(&self->heap));
	for (int i = 0; i < THREADS; i++)
		ASSERT_RIGHT(live_wrong(&crowd->members[i]));
	memset(crowd->members, 0, sizeof(crowd->members));
	ASSERT_OK(cycle(crowd, 0, 0));
	test_cmd_stats(&counters);
	EXPECT_EQ(0, counters.spans);
	EXPECT_EQ(0, counters.chunks);
	EXPECT_EQ(0, counters.in_use_pages);
	EXPECT_EQ(0, counters.quarantined_pages);
	ASSERT_RIGHT(heap_wrong(&self->heap));
}

TEST_HARNESS_MAIN
