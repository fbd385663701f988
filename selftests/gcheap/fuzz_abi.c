// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * A fuzzer that knows the ABI. It goes on for FUZZ_SECONDS (300 unless set), in
 * rounds: each is a process with some heaps, which it fills, collects, maps, and
 * treats badly, with requests that follow the rules, whose results a model knows,
 * and with mutated ones, of which only the errno is known to be among those that
 * the interface documents. At quiet points the model is compared with the tables,
 * the tables with themselves, and the memory with what was written there. A third of
 * the requests goes by io_uring. Some rounds have several threads, which race requests,
 * munmap and fork, some have a process that got the heaps' files and looks, and some are
 * killed at a random moment. After each all memory must be free again.
 *
 * GCHEAP_SEED repeats a run, and with FUZZ_ROUNDS=1 the one round whose seed was
 * printed when it failed, with its last steps; FUZZ_TRACE=1 prints all of them.
 * Threads do not race twice in the same way.
 */
#include <pthread.h>
#include <sys/prctl.h>
#include <time.h>

#include "../kselftest.h"
#include "gcheap_selftest.h"
#include "fuzz_abi.h"

#define ROUND_STEPS	1500u
#define CHECK_STEPS	100u
#define ROUND_SECONDS	600	/* one that takes longer hangs */

struct fuzz_log *fuzz_log;
__u64 fuzz_features;
bool fuzz_alone;

static bool trace;

/* ---- log ---------------------------------------------------------------------- */

void fuzz_note(const char *format, ...)
{
	char line[FUZZ_LINE];
	__u64 step;
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	step = __atomic_fetch_add(&fuzz_log->steps, 1, __ATOMIC_RELAXED);
	memcpy(fuzz_log->line[step % FUZZ_LINES], line, sizeof(line));
	if (trace)
		fprintf(stderr, "# %llu: %s\n", step, line);
}

void fuzz_fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "# wrong: ");
	vfprintf(stderr, format, args);
	fprintf(stderr, "\n");
	va_end(args);
	fflush(stderr);
	_exit(1);
}

static void log_print(void)
{
	__u64 first = fuzz_log->steps > FUZZ_LINES ? fuzz_log->steps - FUZZ_LINES : 0;

	for (__u64 step = first; step < fuzz_log->steps; step++)
		fprintf(stderr, "# step %llu: %.*s\n", step, (int)FUZZ_LINE,
			fuzz_log->line[step % FUZZ_LINES]);
}

/* ---- the model ------------------------------------------------------------------ */

void fuzz_set_add(struct fuzz_set *set, __u32 page)
{
	if (page && set->count < FUZZ_SPANS)
		set->page[set->count++] = page;
}

bool fuzz_set_remove(struct fuzz_set *set, __u32 page)
{
	for (__u32 i = 0; i < set->count; i++) {
		if (set->page[i] == page) {
			set->page[i] = set->page[--set->count];
			return true;
		}
	}
	return false;
}

__u32 fuzz_set_pick(const struct fuzz_set *set, struct rng *rng)
{
	return set->count ? set->page[rng_below(rng, set->count)] : 0;
}

void fuzz_write_stamp(struct fuzz_heap *fh, __u32 page)
{
	if (page >= FUZZ_PAGES || !fh->heap.region[GCHEAP_REGION_HEAP])
		return;
	if (fuzz_store(heap_mem(&fh->heap, page), fuzz_stamp(page))) {
		/* Another thread may have given it back. */
		if (fuzz_alone)
			fuzz_fail("page %u was handed out and cannot be written", page);
		return;
	}
	bit_set(fh->stamped, page);
	bit_set(fh->dirty, page);
}

void fuzz_forget_stamp(struct fuzz_heap *fh, __u32 page, __u32 npages)
{
	for (__u32 i = page; i < page + npages && i < FUZZ_PAGES; i++) {
		bit_clear(fh->stamped, i);
		bit_clear(fh->dirty, i);
	}
}

void fuzz_heap_open(struct fuzz_heap *fh, struct rng *rng)
{
	struct gcheap_setup setup = {
		.size = sizeof(setup),
		.layout = rng_below(rng, 4),
		.reserve_bytes = (1 + rng_below(rng, 2)) * GCHEAP_ARENA_BYTES,
	};
	int ret;

	memset(fh, 0, sizeof(*fh));
	if (fuzz_features & GCHEAP_FEATURE_FAULT_FREED && one_in(rng, 4))
		setup.flags |= GCHEAP_SETUP_FAULT_FREED;
	if (fuzz_features & GCHEAP_FEATURE_HUGE_PAGES && one_in(rng, 4))
		setup.flags |= GCHEAP_SETUP_HUGE_PAGES;
	if (fuzz_features & GCHEAP_FEATURE_TRACK && one_in(rng, 4))
		setup.flags |= GCHEAP_SETUP_SNAPSHOTS;
	if (setup.flags & GCHEAP_SETUP_HUGE_PAGES)
		setup.flags &= ~(__u32)GCHEAP_SETUP_SNAPSHOTS;
	if (one_in(rng, 4))
		setup.flags |= GCHEAP_SETUP_SHARE_READ;
	if (one_in(rng, 4))
		setup.flags |= GCHEAP_SETUP_RECORD_TYPES;
	fh->heap.fd = device_open();
	if (fh->heap.fd < 0)
		fuzz_fail("open: errno %d", -fh->heap.fd);
	/* Some requests before there is a heap. */
	while (one_in(rng, 3))
		fuzz_request_mutated(fh, rng);
	ret = cmd_send(fh->heap.fd, GCHEAP_OP_SETUP, &setup);
	if (ret == -EBUSY) {
		/* A mutated request was a good one. */
		close(fh->heap.fd);
		fh->heap.fd = device_open();
		ret = cmd_send(fh->heap.fd, GCHEAP_OP_SETUP, &setup);
	}
	if (ret == -EOPNOTSUPP) {
		setup.flags = 0;
		ret = cmd_send(fh->heap.fd, GCHEAP_OP_SETUP, &setup);
	}
	if (ret)
		fuzz_fail("SETUP: errno %d", -ret);
	memcpy(fh->heap.region_bytes, setup.out_region_bytes, sizeof(fh->heap.region_bytes));
	fh->heap.layout = setup.layout;
	fh->heap.flags = setup.flags;
	fh->heap.reserve = setup.out_region_bytes[GCHEAP_REGION_HEAP];
	fh->flags = setup.flags;
	fh->set_up = true;
	ret = heap_map(&fh->heap);
	if (ret)
		fuzz_fail("mmap: errno %d", -ret);
	fuzz_note("heap: layout %u, flags %#x, reserve %#llx at %p", setup.layout, setup.flags,
		  setup.reserve_bytes, fh->heap.region[GCHEAP_REGION_HEAP]);
}

void fuzz_heap_close(struct fuzz_heap *fh)
{
	heap_close(&fh->heap);
	fh->set_up = false;
	fuzz_note("closed");
}

static void set_check(struct fuzz_heap *fh, const struct fuzz_set *set, __u32 state,
		      const char *name)
{
	for (__u32 i = 0; i < set->count; i++) {
		__u32 page = set->page[i];
		__u32 npages = heap_ctrl(&fh->heap)->heap_pages;

		if (page >= npages || span_state(&fh->heap, page) != state)
			fuzz_fail("%s at page %u of %u: state %u, not %u", name, page, npages,
				  page < npages ? span_state(&fh->heap, page) : 0, state);
		if (page < FUZZ_PAGES && bit_test(fh->stamped, page) &&
		    *(volatile __u64 *)heap_mem(&fh->heap, page) != fuzz_stamp(page))
			fuzz_fail("%s at page %u: memory is %#llx", name, page,
				  *(volatile __u64 *)heap_mem(&fh->heap, page));
	}
}

void fuzz_heap_check(struct fuzz_heap *fh)
{
	const char *error = heap_wrong(&fh->heap);

	if (error)
		fuzz_fail("%s", error);
	set_check(fh, &fh->cached, GCHEAP_SPAN_CACHED, "a cached span");
	set_check(fh, &fh->large, GCHEAP_SPAN_LARGE, "a large object");
	set_check(fh, &fh->chunks, GCHEAP_SPAN_CHUNK, "a chunk");
	set_check(fh, &fh->quarantined, GCHEAP_SPAN_QUARANTINE, "a freed chunk");
	if (fh->cached.count < FUZZ_SPANS && fuzz_alone &&
	    heap_ctrl(&fh->heap)->counters.cached_spans != fh->cached.count)
		fuzz_fail("%llu cached spans, not %u", heap_ctrl(&fh->heap)->counters.cached_spans,
			  fh->cached.count);
}

/* A set that holds only what has this state, and with @all whatever has it. */
static void set_resync(struct fuzz_heap *fh, struct fuzz_set *set, __u32 state, bool all)
{
	__u32 end = fh->set_up ? heap_ctrl(&fh->heap)->heap_pages : 0;

	for (__u32 i = set->count; i--;) {
		__u32 page = set->page[i];

		if (page >= end || span_state(&fh->heap, page) != state) {
			fuzz_set_remove(set, page);
			fuzz_forget_stamp(fh, page, 1);
		}
	}
	for (__u32 page = 1; all && page < end; page++) {
		if (span_state(&fh->heap, page) != state)
			continue;
		fuzz_set_remove(set, page);
		fuzz_set_add(set, page);
	}
}

void fuzz_heap_resync(struct fuzz_heap *fh)
{
	if (!fh->set_up)
		return;
	set_resync(fh, &fh->cached, GCHEAP_SPAN_CACHED, true);
	set_resync(fh, &fh->chunks, GCHEAP_SPAN_CHUNK, true);
	/* Among these may be spans that are dead, or quarantined by themselves. */
	set_resync(fh, &fh->large, GCHEAP_SPAN_LARGE, false);
	set_resync(fh, &fh->quarantined, GCHEAP_SPAN_QUARANTINE, false);
	fh->marking = heap_ctrl(&fh->heap)->phase == GCHEAP_PHASE_MARK;
	fh->type_count = (__u32)heap_ctrl(&fh->heap)->counters.types;
	/* A TRACK among them has taken what was written. */
	memset(fh->dirty, 0, sizeof(fh->dirty));
}

/* ---- rounds ------------------------------------------------------------------------ */

static void step(struct fuzz_heap *fh, struct rng *rng)
{
	switch (rng_below(rng, 8)) {
	case 0 ... 3:
		fuzz_request_right(fh, rng);
		break;
	case 4:
	case 5:
		fuzz_request_mutated(fh, rng);
		break;
	default:
		fuzz_world(fh, rng);
		break;
	}
}

/* One thread at heaps of its own: the model knows all. */
static void round_alone(struct rng *rng)
{
	static struct fuzz_heap heaps[FUZZ_HEAPS];

	fuzz_alone = true;
	for (__u32 i = 0; i < FUZZ_HEAPS; i++)
		heaps[i].heap.fd = -1;
	for (__u32 i = 0; i < ROUND_STEPS; i++) {
		struct fuzz_heap *fh = &heaps[rng_below(rng, FUZZ_HEAPS)];

		if (!fh->set_up)
			fuzz_heap_open(fh, rng);
		else if (one_in(rng, 400))
			fuzz_heap_close(fh);
		else
			step(fh, rng);
		if (i % CHECK_STEPS == 0) {
			for (__u32 h = 0; h < FUZZ_HEAPS; h++) {
				if (heaps[h].set_up)
					fuzz_heap_check(&heaps[h]);
			}
		}
	}
}

struct fuzz_thread {
	pthread_t thread;
	const struct fuzz_heap *shared;
	__u64 seed;
};

/* A model that follows only what this thread has got. */
static void *thread_main(void *arg)
{
	struct fuzz_thread *thread = arg;
	struct fuzz_heap *fh = calloc(1, sizeof(*fh));
	struct rng rng;

	if (!fh)
		fuzz_fail("no memory");
	*fh = *thread->shared;
	rng_init(&rng, thread->seed);
	fuzz_door_init(thread->seed);
	for (__u32 i = 0; i < ROUND_STEPS / 2; i++)
		step(fh, &rng);
	fuzz_door_exit();
	free(fh);
	return NULL;
}

/* Threads that race at one heap: each knows only what it was given itself. */
static void round_threads(struct rng *rng)
{
	static struct fuzz_heap heap;
	struct fuzz_thread threads[3];
	__u32 count = 2 + rng_below(rng, 2);
	const char *error;

	fuzz_alone = true;
	fuzz_heap_open(&heap, rng);
	fuzz_alone = false;
	/* What others write into mark state is true for nobody. */
	heap.wild = true;
	for (__u32 i = 0; i < count; i++) {
		threads[i].shared = &heap;
		threads[i].seed = rng_next(rng);
		if (pthread_create(&threads[i].thread, NULL, thread_main, &threads[i]))
			fuzz_fail("pthread_create");
	}
	for (__u32 i = 0; i < count; i++)
		pthread_join(threads[i].thread, NULL);
	error = heap_wrong(&heap.heap);
	if (error)
		fuzz_fail("%s", error);
	if (cmd_alloc_large(heap.heap.fd, 0, 100000, NULL) == -EINVAL)
		fuzz_fail("the heap works no more");
	fuzz_heap_close(&heap);
}

static void round_main(__u64 seed)
{
	struct rng rng;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	rng_init(&rng, seed);
	fuzz_door_init(seed);
	if (one_in(&rng, 2))
		fuzz_looker_start(seed);
	if (one_in(&rng, 3))
		round_threads(&rng);
	else
		round_alone(&rng);
	exit(0);
}

/* One round in a process of its own; whether all is well. */
static bool round_run(__u64 seed, const struct machine *before)
{
	struct timespec nap = { 0 };
	struct rng rng;
	bool killed;
	pid_t child;
	int status;

	rng_init(&rng, ~seed);
	killed = one_in(&rng, 6);
	child = fork();
	if (child < 0) {
		fprintf(stderr, "# fork: %s\n", strerror(errno));
		return false;
	}
	if (!child)
		round_main(seed);
	if (killed) {
		nap.tv_nsec = 1000 * (long)rng_below(&rng, 900000);
		nanosleep(&nap, NULL);
		kill(child, SIGKILL);
	}
	alarm(ROUND_SECONDS);
	status = child_wait(child);
	alarm(0);
	if (status && !(killed && status == -SIGKILL)) {
		fprintf(stderr, "# the round of seed %llu ended with %d; its last steps:\n", seed,
			status);
		log_print();
		return false;
	}
	if (!machine_back_to(before)) {
		fprintf(stderr, "# the round of seed %llu has left memory behind\n", seed);
		log_print();
		return false;
	}
	return true;
}

static __u64 number(const char *name, __u64 otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

/* What the module can do. */
static bool probe_features(void)
{
	struct gcheap_setup setup = { .size = sizeof(setup), .reserve_bytes = SMALL_RESERVE };
	int fd = device_open();

	if (fd < 0 || cmd_send(fd, GCHEAP_OP_SETUP, &setup))
		return false;
	fuzz_features = setup.out_features;
	close(fd);
	return true;
}

int main(int argc, char **argv)
{
	__u64 seconds = number("FUZZ_SECONDS", 300);
	__u64 most = number("FUZZ_ROUNDS", ~0ull);
	__u64 seed = number("GCHEAP_SEED", (__u64)time(NULL) << 16 ^ (__u64)getpid());
	struct machine before;
	struct timespec now;
	__u64 rounds = 0, end, requests = 0, refused = 0, steps = 0;
	bool well = true;

	if (argc > 1 && !strcmp(argv[1], "--nothing"))
		return 0;
	setvbuf(stderr, NULL, _IOLBF, 0);
	ksft_print_header();
	ksft_set_plan(1);
	trace = number("FUZZ_TRACE", 0);
	fuzz_log = mmap(NULL, sizeof(*fuzz_log), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (fuzz_log == MAP_FAILED || !probe_features() || machine_take(&before))
		ksft_exit_fail_msg("no device\n");
	printf("# GCHEAP_SEED=%llu, for %llu s\n", seed, seconds);
	fflush(stdout);

	clock_gettime(CLOCK_MONOTONIC, &now);
	end = (__u64)now.tv_sec + seconds;
	while (well && rounds < most) {
		memset(fuzz_log, 0, sizeof(*fuzz_log));
		well = round_run(seed + rounds, &before);
		rounds++;
		requests += fuzz_log->requests;
		refused += fuzz_log->refused;
		steps += fuzz_log->steps;
		clock_gettime(CLOCK_MONOTONIC, &now);
		if ((__u64)now.tv_sec >= end)
			break;
	}
	printf("# %llu rounds, %llu steps, %llu requests, of which %llu were refused\n", rounds,
	       steps, requests, refused);
	if (well)
		ksft_test_result_pass("requests, mappings and processes in any order\n");
	else
		ksft_test_result_fail("requests, mappings and processes in any order\n");
	ksft_finished();
}
