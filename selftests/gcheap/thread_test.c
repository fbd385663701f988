// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Several threads at one heap, and signals. */
#include <pthread.h>
#include <sys/time.h>
#include <time.h>

#include "../kselftest_harness.h"
#include "gcheap_selftest.h"

#define THREADS	4

FIXTURE(threads) {
	struct test_heap heap;
};

FIXTURE_VARIANT(threads) {
	__u32 layout;
};

FIXTURE_VARIANT_ADD(threads, span_layout) {
	.layout = GCHEAP_LAYOUT_SPAN,
};

FIXTURE_VARIANT_ADD(threads, header_layout) {
	.layout = GCHEAP_LAYOUT_HEADER,
};

FIXTURE_VARIANT_ADD(threads, footer_layout) {
	.layout = GCHEAP_LAYOUT_FOOTER,
};

FIXTURE_VARIANT_ADD(threads, bitmap_layout) {
	.layout = GCHEAP_LAYOUT_BITMAP,
};

FIXTURE_SETUP(threads)
{
	ASSERT_OK(heap_open(&self->heap, variant->layout, 8 * SMALL_RESERVE));
}

FIXTURE_TEARDOWN(threads)
{
	EXPECT_EQ(NULL, heap_wrong(&self->heap)) {
		TH_LOG("%s", heap_wrong(&self->heap));
	}
	heap_close(&self->heap);
}

/* ---- all requests at once -------------------------------------------------------------- */

/* What the threads share, and what each of them did. */
struct crowd {
	struct test_heap *heap;
	pthread_rwlock_t cycle;		/* held to read with spans in the cache */
	bool stop;
	const char *error;
};

struct member {
	struct crowd *crowd;
	pthread_t thread;
	int number;
	__u32 quarantined;		/* its chunk, when it was freed; or 0 */
	__u64 refills, spans, large, types;
};

/* What keeps a heap in order: any thread may, at any time. */
static int member_maintain(const struct test_heap *heap, struct rng *rng)
{
	struct gcheap_track track = { .flags = GCHEAP_TRACK_BITMAP };
	int ret = 0;

	switch (rng_below(rng, 6)) {
	case 0:
		ret = cmd_reclaim(heap->fd, 1 + rng_below(rng, 100), NULL);
		break;
	case 1:
		ret = cmd_scavenge(heap->fd, 1 + rng_below(rng, 1 << 20), NULL);
		break;
	case 2:
		ret = cmd_track(heap->fd, &track);
		break;
	}
	return ret == -EOPNOTSUPP ? 0 : ret;
}

/* A chunk from its beginning to its end, which has to wait when a cycle marks. */
static int member_chunk(struct member *member)
{
	const struct test_heap *heap = member->crowd->heap;
	struct gcheap_chunk_new chunk;
	int ret;

	if (!member->quarantined) {
		ret = cmd_chunk_new(heap->fd, &chunk);
		if (ret)
			return ret == -EOPNOTSUPP ? 0 : ret;
		*heap_mem(heap, chunk.out_page) = 1;
		ret = cmd_chunk_free(heap->fd, chunk.out_page);
		if (ret)
			return ret;
		member->quarantined = chunk.out_page;
	}
	ret = cmd_chunk_ready(heap->fd, member->quarantined);
	if (!ret)
		member->quarantined = 0;
	return ret == -EBUSY ? 0 : ret;
}

/* One thread's work; all that it takes it gives back. Returns what is wrong, or NULL. */
static const char *member_work(struct member *member, struct rng *rng)
{
	struct test_heap *heap = member->crowd->heap;
	__u64 stamp = (__u64)member->number << 32;
	struct gcheap_grant grants[32];
	__u32 pages[32], granted = 0, type = 0;
	__u32 class = SIZE_CLASS_MIN + rng_below(rng, SIZE_CLASSES - SIZE_CLASS_MIN);
	struct gcheap_counters counters;

	if (rng_below(rng, 10) == 0) {
		if (cmd_type_words(heap->fd, 2 + rng_below(rng, 100), 1, &type))
			return "TYPE_ADD";
		if (heap_type(heap, type)->mask_word != 1)
			return "a type's mask";
		member->types++;
	}
	/* Type 1 fits in any slot. */
	if (cmd_refill(heap->fd, 1, class, 65536, NULL, 0, grants, 32, &granted))
		return "REFILL";
	member->refills++;
	member->spans += granted;
	for (__u32 i = 0; i < granted; i++) {
		pages[i] = grants[i].page;
		if (span_state(heap, pages[i]) != GCHEAP_SPAN_CACHED)
			return "the state of a granted span";
		*(__u64 *)heap_mem(heap, pages[i]) = stamp | pages[i];
		if (rng_below(rng, 2))
			slot_alloc(heap, pages[i], grants[i].slots - 1);
	}
	if (cmd_stats(heap->fd, &counters) || counters.cached_spans < granted)
		return "STATS";
	if (rng_below(rng, 4) == 0) {
		struct gcheap_alloc_large large;

		if (cmd_alloc_large(heap->fd, 0, 40000, &large))
			return "ALLOC_LARGE";
		memset(heap_mem(heap, large.out_page), 0xdd, 40000);
		member->large++;
	}
	if (member_maintain(heap, rng))
		return "RECLAIM, SCAVENGE or TRACK";
	if (rng_below(rng, 8) == 0 && member_chunk(member))
		return "a chunk";
	for (__u32 i = 0; i < granted; i++) {
		if (*(__u64 *)heap_mem(heap, pages[i]) != (stamp | pages[i]))
			return "memory that another thread was given too";
	}
	if (cmd_give(heap->fd, pages, granted))
		return "REFILL, to return spans";
	member->refills++;
	return NULL;
}

static void *member_main(void *arg)
{
	struct member *member = arg;
	struct crowd *crowd = member->crowd;
	struct rng rng;

	rng_init(&rng, (__u64)member->number);
	while (!__atomic_load_n(&crowd->stop, __ATOMIC_RELAXED)) {
		const char *error;

		pthread_rwlock_rdlock(&crowd->cycle);
		error = member_work(member, &rng);
		if (error)
			__atomic_store_n(&crowd->error, error, __ATOMIC_RELAXED);
		pthread_rwlock_unlock(&crowd->cycle);
		if (error)
			break;
	}
	return NULL;
}

TEST_F_TIMEOUT(threads, may_send_requests_at_the_same_time, 60)
{
	struct member members[THREADS] = { 0 };
	struct crowd crowd = { .heap = &self->heap };
	struct gcheap_counters counters;
	pthread_rwlockattr_t attr;
	__u64 refills = 0, spans = 0, large = 0, types = 1;
	time_t end = time(NULL) + 3;
	int cycles = 0;

	/* Else the threads would never let a cycle end. */
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	ASSERT_EQ(0, pthread_rwlock_init(&crowd.cycle, &attr));
	test_cmd_type_words(1, 1, NULL);
	for (int i = 0; i < THREADS; i++) {
		members[i].crowd = &crowd;
		members[i].number = i + 1;
		ASSERT_EQ(0, pthread_create(&members[i].thread, NULL, member_main,
					    &members[i]));
	}
	/* Cycles: begun at any time, ended when nobody has a span. */
	while (time(NULL) < end) {
		int ret = cmd_mark_start(self->heap.fd, NULL);

		ASSERT_OK(ret);
		ret = cmd_sweep_start(self->heap.fd, NULL);
		ASSERT_TRUE(ret == 0 || ret == -EBUSY);
		if (ret) {
			pthread_rwlock_wrlock(&crowd.cycle);
			ret = cmd_sweep_start(self->heap.fd, NULL);
			pthread_rwlock_unlock(&crowd.cycle);
			ASSERT_OK(ret) {
				TH_LOG("%s", crowd.error);
			}
		}
		test_cmd_sweep(7, &(struct gcheap_sweep){ 0 });
		cycles++;
	}
	__atomic_store_n(&crowd.stop, true, __ATOMIC_RELAXED);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(members[i].thread, NULL);
		refills += members[i].refills;
		spans += members[i].spans;
		large += members[i].large;
		types += members[i].types;
	}
	ASSERT_EQ(NULL, crowd.error) {
		TH_LOG("%s", crowd.error);
	}
	TH_LOG("%llu refills, %d cycles", refills, cycles);

	ASSERT_RIGHT(heap_wrong(&self->heap));
	test_cmd_stats(&counters);
	EXPECT_EQ(refills, counters.refills);
	EXPECT_EQ(spans, counters.refilled_spans);
	EXPECT_EQ(large, counters.large_objects);
	EXPECT_EQ(types, counters.types);
	EXPECT_EQ(0, counters.cached_spans);
	for (int i = 0; i < THREADS; i++) {
		if (members[i].quarantined)
			EXPECT_OK(cmd_chunk_ready(self->heap.fd, members[i].quarantined));
	}
	test_cmd_mark_start(NULL);
	test_cmd_sweep_start(NULL);
	test_cmd_stats(&counters);
	EXPECT_EQ(0, counters.spans);
	EXPECT_EQ(0, counters.in_use_pages);
	EXPECT_EQ(0, counters.quarantined_pages);
}

/* ---- races for one thing ----------------------------------------------------------------- */

struct racer {
	int (*run)(struct racer *racer);
	int fd;
	pthread_t thread;
	pthread_barrier_t *start;
	__u32 page;
	int ret;
};

static void *racer_main(void *arg)
{
	struct racer *racer = arg;

	pthread_barrier_wait(racer->start);
	racer->ret = racer->run(racer);
	return NULL;
}

/* How many of two win; the other must lose with this errno. */
static int race(int fd, int (*run)(struct racer *racer), __u32 page, int loser)
{
	struct racer racers[2];
	pthread_barrier_t start;
	int winners = 0;

	pthread_barrier_init(&start, NULL, 2);
	for (int i = 0; i < 2; i++) {
		racers[i] = (struct racer){
			.run = run,
			.fd = fd,
			.start = &start,
			.page = page,
		};
		if (pthread_create(&racers[i].thread, NULL, racer_main, &racers[i]))
			return -1;
	}
	for (int i = 0; i < 2; i++) {
		pthread_join(racers[i].thread, NULL);
		if (racers[i].ret && racers[i].ret != -loser)
			return -1;
		winners += !racers[i].ret;
	}
	pthread_barrier_destroy(&start);
	return winners;
}

static int race_give(struct racer *racer)
{
	return cmd_give(racer->fd, &racer->page, 1);
}

static int race_mark_start(struct racer *racer)
{
	return cmd_mark_start(racer->fd, NULL);
}

static int race_sweep_start(struct racer *racer)
{
	return cmd_sweep_start(racer->fd, NULL);
}

static int race_setup(struct racer *racer)
{
	struct test_heap heap = { .fd = racer->fd };

	return heap_setup(&heap, GCHEAP_LAYOUT_SPAN, SMALL_RESERVE);
}

static int race_map(struct racer *racer)
{
	const struct test_heap heap = {
		.fd = racer->fd,
		.region_bytes[GCHEAP_REGION_HEAP] = SMALL_RESERVE,
	};

	return region_map(&heap, GCHEAP_REGION_HEAP, PROT_READ | PROT_WRITE) ? 0 : -errno;
}

TEST_F(threads, can_return_a_span_once)
{
	const int rounds = rounds_here(300);

	for (int i = 0; i < rounds; i++) {
		struct gcheap_grant grant;

		test_cmd_take(0, CLASS_64, &grant);
		if (i % 2)
			slot_alloc(&self->heap, grant.page, 1);
		ASSERT_EQ(1, race(self->heap.fd, race_give, grant.page, EINVAL));
	}
}

TEST_F(threads, can_start_and_end_a_cycle_once)
{
	const int rounds = rounds_here(100);

	for (int i = 0; i < rounds; i++) {
		ASSERT_EQ(1, race(self->heap.fd, race_mark_start, 0, EBUSY));
		ASSERT_EQ(1, race(self->heap.fd, race_sweep_start, 0, EINVAL));
	}
}

TEST_F(threads, can_set_a_heap_up_and_map_it_once)
{
	const int rounds = rounds_here(100);

	for (int i = 0; i < rounds; i++) {
		int fd = device_open();

		ASSERT_LE(0, fd);
		ASSERT_EQ(1, race(fd, race_setup, 0, EBUSY));
		if (i < rounds / 5)
			ASSERT_EQ(1, race(fd, race_map, 0, EBUSY));
		close(fd);
	}
}

/* The same memory is touched first by several threads, after it was mapped anew. */
static void *touch_all(void *arg)
{
	volatile char *mem = arg;

	for (size_t i = 0; i < 8 << 20; i += 4096)
		mem[i]++;
	return NULL;
}

TEST_F(threads, can_fault_in_the_same_memory)
{
	struct gcheap_alloc_large large;
	pthread_t threads[THREADS];

	test_cmd_alloc_large(0, 8 << 20, &large);
	for (int round = 0; round < 5; round++) {
		char *mem;

		ASSERT_EQ(0, munmap(heap_mem(&self->heap, 0), self->heap.reserve));
		self->heap.region[GCHEAP_REGION_HEAP] =
			region_map(&self->heap, GCHEAP_REGION_HEAP, PROT_READ | PROT_WRITE);
		mem = heap_mem(&self->heap, large.out_page);
		for (int i = 0; i < THREADS; i++)
			ASSERT_EQ(0, pthread_create(&threads[i], NULL, touch_all, mem));
		for (int i = 0; i < THREADS; i++)
			pthread_join(threads[i], NULL);
		madvise(mem, 8 << 20, MADV_DONTNEED);
	}
	EXPECT_LE(1, *heap_mem(&self->heap, large.out_page));
}

/* MARKS is read where the heap is about to grow: the reader must see the new pages. */
static void *read_marks(void *arg)
{
	struct crowd *crowd = arg;
	const struct test_heap *heap = crowd->heap;
	volatile __u64 *bits = marks_at(heap, 0);
	__u64 words = heap->reserve >> 10, sum = 0;

	while (!__atomic_load_n(&crowd->stop, __ATOMIC_RELAXED)) {
		for (__u64 i = 0; i < words; i += 512)
			sum += bits[i];
	}
	return sum ? NULL : crowd;
}

TEST_F(threads, can_read_marks_while_the_heap_grows)
{
	struct crowd crowd = { .heap = &self->heap };
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, read_marks, &crowd));
	for (int i = 0; i < 100; i++) {
		struct gcheap_alloc_large large;
		__u64 *bits;

		test_cmd_alloc_large(0, 1 << 20, &large);
		ASSERT_RIGHT(large_wrong(&self->heap, &large, 1 << 20, true));
		/* And what is written is what the kernel reads. */
		bits = mark_bits(&self->heap) + 8 * large.out_page;
		ASSERT_EQ(0, probe(bits, true, NULL));
		bits[0] = 1;
		ASSERT_EQ(1, bits[0]);
	}
	__atomic_store_n(&crowd.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
}

/* Objects come and go, while the main thread does something to the mappings. */
static void *churn(void *arg)
{
	struct crowd *crowd = arg;
	struct test_heap *heap = crowd->heap;

	while (!__atomic_load_n(&crowd->stop, __ATOMIC_RELAXED)) {
		if (cmd_alloc_large(heap->fd, 0, 40000, NULL) ||
		    cmd_alloc_large(heap->fd, 0, 3 << 20, NULL))
			return "ALLOC_LARGE";
		if (cmd_mark_start(heap->fd, NULL) || cmd_sweep_start(heap->fd, NULL))
			return "a cycle";
	}
	return NULL;
}

TEST_F_TIMEOUT(threads, may_map_the_heap_anew_while_others_allocate, 60)
{
	const int rounds = rounds_here(150);
	struct crowd crowd = { .heap = &self->heap };
	pthread_t thread;
	void *error;

	ASSERT_EQ(0, pthread_create(&thread, NULL, churn, &crowd));
	for (int i = 0; i < rounds; i++) {
		ASSERT_EQ(0, munmap(heap_mem(&self->heap, 0), self->heap.reserve));
		self->heap.region[GCHEAP_REGION_HEAP] =
			region_map(&self->heap, GCHEAP_REGION_HEAP, PROT_READ | PROT_WRITE);
		ASSERT_NE(NULL, self->heap.region[GCHEAP_REGION_HEAP]);
		probe(heap_mem(&self->heap, 1), true, NULL);
	}
	__atomic_store_n(&crowd.stop, true, __ATOMIC_RELAXED);
	ASSERT_EQ(0, pthread_join(thread, &error));
	ASSERT_EQ(NULL, error) {
		TH_LOG("%s", (char *)error);
	}
}

/* What another thread writes and reads again while the process forks. */
static void *touch(void *arg)
{
	struct crowd *crowd = arg;
	volatile __u64 *mem = (void *)heap_mem(crowd->heap, 1);

	for (__u64 n = 1; !__atomic_load_n(&crowd->stop, __ATOMIC_RELAXED); n++) {
		for (int i = 0; i < 4096; i += 512)
			mem[i] = n + i;
		for (int i = 0; i < 4096; i += 512) {
			if (mem[i] != n + i)
				return "memory has changed";
		}
	}
	return NULL;
}

TEST_F_TIMEOUT(threads, may_fork_while_others_use_the_heap, 60)
{
	const int rounds = rounds_here(100);
	struct crowd crowd = { .heap = &self->heap };
	struct gcheap_alloc_large large;
	pthread_t thread;
	void *error;

	test_cmd_alloc_large(0, 40000, &large);
	ASSERT_EQ(1, large.out_page);
	/* Also of mappings that the child was to inherit. */
	for (int r = 0; r < GCHEAP_REGIONS; r++)
		madvise(self->heap.region[r], self->heap.region_bytes[r], MADV_DOFORK);
	ASSERT_EQ(0, pthread_create(&thread, NULL, touch, &crowd));
	for (int i = 0; i < rounds; i++) {
		pid_t child = fork();

		ASSERT_LE(0, child);
		if (!child)
			_exit(0);
		test_cmd_refill(0, CLASS_64, 8192, NULL, 0, &(struct gcheap_grant){ 0 }, 1,
				NULL);
		ASSERT_EQ(0, child_wait(child));
	}
	__atomic_store_n(&crowd.stop, true, __ATOMIC_RELAXED);
	ASSERT_EQ(0, pthread_join(thread, &error));
	ASSERT_EQ(NULL, error) {
		TH_LOG("%s", (char *)error);
	}
}

/* ---- signals ------------------------------------------------------------------------------ */

static volatile sig_atomic_t ticks;

static void tick(int sig)
{
	ticks += sig == SIGALRM;
}

TEST_F(threads, are_not_disturbed_by_signals)
{
	struct itimerval timer = { { 0, 1000 }, { 0, 1000 } };
	struct sigaction action = { .sa_handler = tick };
	time_t end = time(NULL) + 2;
	struct gcheap_grant grants[64];
	__u32 pages[64], granted;

	ASSERT_EQ(0, sigaction(SIGALRM, &action, NULL));
	ASSERT_EQ(0, setitimer(ITIMER_REAL, &timer, NULL));
	while (time(NULL) < end) {
		test_cmd_refill(0, CLASS_8192, ~0u, NULL, 0, grants, 64, &granted);
		for (__u32 i = 0; i < granted; i++)
			pages[i] = grants[i].page;
		test_cmd_give(pages, granted);
		test_cmd_alloc_large(0, 4 << 20, NULL);
		test_cmd_mark_start(NULL);
		test_cmd_sweep_start(NULL);
	}
	setitimer(ITIMER_REAL, &(struct itimerval){ 0 }, NULL);
	EXPECT_LT(0, ticks);
}

TEST_HARNESS_MAIN
