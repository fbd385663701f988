// SPDX-License-Identifier: MIT
/*
 * Several threads with one heap: each allocates and keeps its own graph while any of them
 * collects; what only another thread knows of survives, and what nobody knows does not.
 */
#define _GNU_SOURCE
#include "library_test.h"

#include "thread.h"

#include <pthread.h>
#include <unistd.h>

#define THREADS		8u
#define LISTS		64u

/* A list's node; @sum proves that nobody wrote over it. */
struct node {
	struct node *next;
	uint64_t value;
	uint64_t sum;
	uint64_t filler;
};

#define NODE_KEY	0x5ca1ab1e0ddba11ull

static gcheap_type node_type(struct gcheap *heap)
{
	return type_with_mask(heap, sizeof(struct node), 8, 1);
}

static struct node *node_new(struct gcheap_thread *thread, gcheap_type type, struct node *next,
			     uint64_t value)
{
	struct node *node = gcheap_new(thread, type);

	if (!node)
		return NULL;
	node->next = next;
	node->value = value;
	node->sum = value ^ NODE_KEY;
	return node;
}

static bool list_is_right(const struct node *node, uint64_t value, uint64_t length)
{
	for (; length; length--, node = node->next) {
		if (!node || node->value != value || node->sum != (value ^ NODE_KEY))
			return false;
	}
	return !node;
}

/* ---- each has its own lists ------------------------------------------------------ */

/**
 * struct worker - a thread that makes and drops lists
 * @heap: in which
 * @type: of their nodes
 * @seed: of its random numbers
 * @rounds: lists that it makes
 * @is_precise: its lists are in a frame; else on its stack, which is scanned
 * @error: what went wrong; NULL: nothing
 */
struct worker {
	struct gcheap *heap;
	gcheap_type type;
	uint64_t seed;
	unsigned int rounds;
	bool is_precise;
	const char *error;
	pthread_t self;
};

struct lists {
	struct node *heads[LISTS];
	uint64_t lengths[LISTS];
};

static const char *lists_replace(struct worker *worker, struct gcheap_thread *thread,
				 struct lists *lists)
{
	uint64_t which = random_next(&worker->seed) % LISTS;
	uint64_t length = random_next(&worker->seed) % 200;
	uint64_t value = worker->seed & 0xffffff;
	uint64_t i;

	if (lists->lengths[which] &&
	    !list_is_right(lists->heads[which], lists->heads[which]->value, lists->lengths[which]))
		return "a list was damaged";
	lists->heads[which] = NULL;
	lists->lengths[which] = 0;
	for (i = 0; i < length; i++) {
		struct node *node = node_new(thread, worker->type, lists->heads[which], value);

		if (!node)
			return gcheap_error();
		lists->heads[which] = node;
		lists->lengths[which]++;
	}
	return NULL;
}

static const char *worker_run(struct worker *worker, struct gcheap_thread *thread,
			      struct lists *lists)
{
	unsigned int i;

	for (i = 0; i < worker->rounds; i++) {
		const char *error = lists_replace(worker, thread, lists);

		if (error)
			return error;
		if (random_next(&worker->seed) % 64 == 0 && gcheap_collect(thread))
			return gcheap_error();
		if (random_next(&worker->seed) % 128 == 0) {
			gcheap_park(thread);
			usleep(100);
			gcheap_unpark(thread);
		}
	}
	for (i = 0; i < LISTS; i++) {
		if (lists->lengths[i] && !list_is_right(lists->heads[i], lists->heads[i]->value,
							lists->lengths[i]))
			return "a list was damaged at the end";
	}
	return NULL;
}

static void *worker_main(void *arg)
{
	struct worker *worker = arg;
	struct lists lists = { 0 };
	struct gcheap_thread *thread;

	if (gcheap_thread_attach(worker->heap, &thread)) {
		worker->error = "cannot attach";
		return NULL;
	}
	if (!worker->is_precise) {
		worker->error = worker_run(worker, thread, &lists);
	} else if (gcheap_root_add(worker->heap, lists.heads, LISTS)) {
		worker->error = "cannot add roots";
	} else {
		worker->error = worker_run(worker, thread, &lists);
		gcheap_root_remove(worker->heap, lists.heads);
	}
	/* Half of them leave it to their end. */
	if (worker->seed & 1)
		gcheap_thread_detach(thread);
	return NULL;
}

static void workers_run(struct fixture *f, unsigned int rounds, bool is_precise)
{
	struct worker workers[THREADS];
	struct gcheap_stats stats;
	unsigned int i;

	for (i = 0; i < THREADS; i++) {
		workers[i] = (struct worker) {
			.heap = f->heap, .type = node_type(f->heap), .seed = 77 + i,
			.rounds = rounds, .is_precise = is_precise,
		};
		assert_int_equal(pthread_create(&workers[i].self, NULL, worker_main, &workers[i]),
				 0);
	}
	/* Figures and tables can be looked at meanwhile. */
	for (i = 0; i < 20; i++) {
		stats = stats_of(f->heap);
		assert_true(stats.size);
		usleep(1000);
		gcheap_safepoint(f->thread);
	}
	assert_int_equal(gcheap_verify(f->heap), 0);
	gcheap_park(f->thread);
	for (i = 0; i < THREADS; i++)
		pthread_join(workers[i].self, NULL);
	gcheap_unpark(f->thread);
	for (i = 0; i < THREADS; i++) {
		if (workers[i].error)
			fail_msg("thread %u: %s", i, workers[i].error);
	}
	assert_int_equal(gcheap_verify(f->heap), 0);
	assert_int_equal(live_after_collect(f), 0);
	stats = stats_of(f->heap);
	assert_true(stats.cycles >= 2);
	/* 100 nodes a list, on average. */
	assert_true(stats.allocated_objects > (uint64_t)THREADS * rounds * 50);
	assert_true(stats.allocated_objects < (uint64_t)THREADS * rounds * 150);
}

static void each_thread_keeps_what_it_has(void **state)
{
	workers_run(*state, 600, true);
}

/* The same with nothing but stacks. */
static void stacks_of_all_threads_are_scanned(void **state)
{
	struct gcheap_config config = GCHEAP_CONFIG_INIT;
	struct worker workers[THREADS];
	struct fixture f;
	unsigned int i;

	(void)state;
	fixture_open_with(&f, &config);
	for (i = 0; i < THREADS; i++) {
		workers[i] = (struct worker) {
			.heap = f.heap, .type = node_type(f.heap), .seed = 177 + i, .rounds = 600,
		};
		assert_int_equal(pthread_create(&workers[i].self, NULL, worker_main, &workers[i]),
				 0);
	}
	gcheap_park(f.thread);
	for (i = 0; i < THREADS; i++)
		pthread_join(workers[i].self, NULL);
	gcheap_unpark(f.thread);
	for (i = 0; i < THREADS; i++) {
		if (workers[i].error)
			fail_msg("thread %u: %s", i, workers[i].error);
	}
	assert_int_equal(gcheap_verify(f.heap), 0);
	fixture_close(&f);
}

/* ---- gcheap_safepoint() ------------------------------------------------------------- */

/* A thread that neither allocates nor blocks, until it is told to end. */
struct busy {
	struct gcheap *heap;
	bool has_begun, shall_end;
};

static void *compute(void *arg)
{
	struct busy *busy = arg;
	struct gcheap_thread *thread;

	if (gcheap_thread_attach(busy->heap, &thread))
		return "cannot attach";
	__atomic_store_n(&busy->has_begun, true, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&busy->shall_end, __ATOMIC_ACQUIRE))
		gcheap_safepoint(thread);
	return NULL;
}

static void safepoints_let_cycles_pass(void **state)
{
	struct fixture *f = *state;
	struct busy busy = { .heap = f->heap };
	pthread_t self;
	void *error;
	int i;

	assert_int_equal(pthread_create(&self, NULL, compute, &busy), 0);
	while (!__atomic_load_n(&busy.has_begun, __ATOMIC_ACQUIRE))
		gcheap_safepoint(f->thread);
	for (i = 0; i < 100; i++)
		assert_int_equal(gcheap_collect(f->thread), 0);
	__atomic_store_n(&busy.shall_end, true, __ATOMIC_RELEASE);
	gcheap_park(f->thread);
	pthread_join(self, &error);
	gcheap_unpark(f->thread);
	if (error)
		fail_msg("%s", (const char *)error);
}

/* ---- one thread waits in a place, another collects --------------------------------- */

/**
 * struct waiter - a thread that has an object in one way and waits
 * @heap: in which
 * @type: of the object
 * @keep: makes the object, and waits at the barriers
 * @before: all is in place
 * @after: the other thread has collected
 * @value: what the object had afterwards
 */
struct waiter {
	struct gcheap *heap;
	gcheap_type type;
	void (*keep)(struct waiter *waiter, struct gcheap_thread *thread);
	pthread_barrier_t before, after;
	uint64_t value;
};

static void waiter_wait(struct waiter *waiter, struct gcheap_thread *thread)
{
	gcheap_park(thread);
	pthread_barrier_wait(&waiter->before);
	pthread_barrier_wait(&waiter->after);
	gcheap_unpark(thread);
}

static void *waiter_main(void *arg)
{
	struct waiter *waiter = arg;
	struct gcheap_thread *thread;

	if (gcheap_thread_attach(waiter->heap, &thread))
		abort();
	waiter->keep(waiter, thread);
	gcheap_thread_detach(thread);
	return NULL;
}

/* How many objects are alive while the other one waits; it has kept @value. */
static uint64_t live_beside(struct fixture *f, uint64_t *value,
			    void (*keep)(struct waiter *waiter, struct gcheap_thread *thread))
{
	struct waiter waiter = { .heap = f->heap, .type = node_type(f->heap), .keep = keep };
	pthread_t self;
	uint64_t live;

	pthread_barrier_init(&waiter.before, NULL, 2);
	pthread_barrier_init(&waiter.after, NULL, 2);
	assert_int_equal(pthread_create(&self, NULL, waiter_main, &waiter), 0);
	gcheap_park(f->thread);
	pthread_barrier_wait(&waiter.before);
	gcheap_unpark(f->thread);
	live = live_after_collect(f);
	/* What was free is used again. */
	busy_type(f, waiter.type, 1);
	pthread_barrier_wait(&waiter.after);
	pthread_join(self, NULL);
	pthread_barrier_destroy(&waiter.before);
	pthread_barrier_destroy(&waiter.after);
	*value = waiter.value;
	return live;
}

static void keep_in_frame(struct waiter *waiter, struct gcheap_thread *thread)
{
	struct node *node = NULL;

	GCHEAP_FRAME(thread, node);
	node = node_new(thread, waiter->type, NULL, 42);
	waiter_wait(waiter, thread);
	waiter->value = node->value;
	GCHEAP_FRAME_END(thread);
}

static void frames_of_other_threads_are_roots(void **state)
{
	uint64_t value;

	assert_int_equal(live_beside(*state, &value, keep_in_frame), 1);
	assert_int_equal(value, 42);
}

static __thread struct node *volatile thread_local_node;

static void keep_in_tls(struct waiter *waiter, struct gcheap_thread *thread)
{
	if (gcheap_root_add_tls(thread))
		abort();
	thread_local_node = node_new(thread, waiter->type, NULL, 43);
	waiter_wait(waiter, thread);
	waiter->value = thread_local_node->value;
}

static void thread_local_storage_of_other_threads_is_a_root(void **state)
{
	uint64_t value;

	assert_int_equal(live_beside(*state, &value, keep_in_tls), 1);
	assert_int_equal(value, 43);
}

/* Deep in the stack, and nowhere else: what is at the stack pointer is overwritten. */
static __attribute__((noinline)) void stack_wait(struct waiter *waiter,
						 struct gcheap_thread *thread)
{
	char room[512];

	memset(room, 0, sizeof(room));
	__asm__ volatile("" : : "r"(room) : "memory");
	waiter_wait(waiter, thread);
	__asm__ volatile("" : : "r"(room) : "memory");
}

static void keep_on_stack(struct waiter *waiter, struct gcheap_thread *thread)
{
	struct node *volatile node = node_new(thread, waiter->type, NULL, 44);

	stack_wait(waiter, thread);
	waiter->value = node->value;
}

static void stacks_of_parked_threads_are_scanned(void **state)
{
	struct gcheap_config config = GCHEAP_CONFIG_INIT;
	struct fixture f;
	uint64_t value;

	(void)state;
	fixture_open_with(&f, &config);
	assert_true(live_beside(&f, &value, keep_on_stack) >= 1);
	assert_int_equal(value, 44);
	fixture_close(&f);
}

#if defined(__x86_64__)
static void waiter_barriers(struct waiter *waiter)
{
	pthread_barrier_wait(&waiter->before);
	pthread_barrier_wait(&waiter->after);
}

/* In a register that a called function must leave as it is, and nowhere else. */
static __attribute__((noinline)) void keep_in_register(struct waiter *waiter,
						       struct gcheap_thread *thread)
{
	uintptr_t hidden = ~(uintptr_t)node_new(thread, waiter->type, NULL, 45);
	volatile uintptr_t kept = hidden;
	struct gcheap_thread *parked = thread;
	struct waiter *waiting = waiter;
	void (*park)(struct gcheap_thread *thread) = gcheap_park;
	void (*go)(struct waiter *waiter) = waiter_barriers;

	stack_wipe();
	/* The red zone is this function's. */
	__asm__ volatile("movq %%rsp, %%rbx\n\t"
			 "leaq -256(%%rsp), %%rsp\n\t"
			 "andq $-16, %%rsp\n\t"
			 "movq %%rax, %%r12\n\t"
			 "notq %%r12\n\t"
			 "movq %%rdx, %%r13\n\t"
			 "movq %%rcx, %%r14\n\t"
			 "call *%%rsi\n\t"
			 "movq %%r13, %%rdi\n\t"
			 "call *%%r14\n\t"
			 "movq %%rbx, %%rsp\n\t"
			 : "+a"(hidden), "+D"(thread), "+S"(park), "+c"(go), "+d"(waiting)
			 : : "rbx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "memory",
			     "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
			     "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
	gcheap_unpark(parked);
	waiter->value = ((struct node *)~kept)->value;
}

static void registers_of_parked_threads_are_scanned(void **state)
{
	struct gcheap_config config = GCHEAP_CONFIG_INIT;
	struct fixture f;
	uint64_t value;

	(void)state;
	fixture_open_with(&f, &config);
	assert_true(live_beside(&f, &value, keep_in_register) >= 1);
	assert_int_equal(value, 45);
	fixture_close(&f);
}
#endif

/* ---- attach, detach, end ------------------------------------------------------------- */

static void *attach_and_end(void *arg)
{
	struct fixture *f = arg;
	struct gcheap_thread *thread, *again;
	gcheap_type type = node_type(f->heap);
	unsigned int i;

	if (gcheap_thread_attach(f->heap, &thread))
		return "cannot attach";
	if (gcheap_thread_attach(f->heap, &again) != -EBUSY)
		return "attached twice";
	for (i = 0; i < 1000; i++) {
		if (!gcheap_new(thread, type))
			return "cannot allocate";
	}
	return NULL;
}

/* Its spans go back: else no sweep could begin. */
static void thread_that_ends_is_detached(void **state)
{
	struct fixture *f = *state;
	unsigned int i;

	for (i = 0; i < 20; i++) {
		pthread_t self;
		void *error;

		assert_int_equal(pthread_create(&self, NULL, attach_and_end, f), 0);
		gcheap_park(f->thread);
		pthread_join(self, &error);
		gcheap_unpark(f->thread);
		if (error)
			fail_msg("%s", (const char *)error);
		assert_int_equal(live_after_collect(f), 0);
	}
	assert_int_equal(stats_of(f->heap).allocated_objects, 20000);
}

static void *wait_attached(void *arg)
{
	struct waiter *waiter = arg;
	struct gcheap_thread *thread;
	struct fixture other;

	if (gcheap_thread_attach(waiter->heap, &thread))
		abort();
	gcheap_park(thread);
	pthread_barrier_wait(&waiter->before);
	pthread_barrier_wait(&waiter->after);
	/* The heap is gone; another one may be opened, and used. */
	fixture_open(&other);
	assert_int_equal(live_after_collect(&other), 0);
	fixture_close(&other);
	return NULL;
}

static void heap_may_be_closed_while_threads_are_attached(void **state)
{
	struct waiter waiter = { 0 };
	struct fixture f;
	pthread_t self;

	(void)state;
	fixture_open(&f);
	waiter.heap = f.heap;
	pthread_barrier_init(&waiter.before, NULL, 2);
	pthread_barrier_init(&waiter.after, NULL, 2);
	assert_int_equal(pthread_create(&self, NULL, wait_attached, &waiter), 0);
	pthread_barrier_wait(&waiter.before);
	fixture_close(&f);
	pthread_barrier_wait(&waiter.after);
	pthread_join(self, NULL);
	pthread_barrier_destroy(&waiter.before);
	pthread_barrier_destroy(&waiter.after);
}

static void err_a_parked_thread_allocates_or_collects(void **state)
{
	struct fixture f;

	(void)state;
	fixture_open(&f);
	errno = EXDEV;
	gcheap_park(f.thread);
	/* What the program was about to say of its own last call. */
	assert_int_equal(errno, EXDEV);
	assert_refused(gcheap_collect(f.thread), EINVAL, "gcheap_unpark()");
	assert_refused_null(gcheap_new_leaf(f.thread, 100), EINVAL, "gcheap_unpark()");
	assert_refused_null(gcheap_new_leaf(f.thread, 1 << 20), EINVAL, "gcheap_unpark()");
	gcheap_unpark(f.thread);
	assert_non_null(gcheap_new_leaf(f.thread, 100));
	assert_int_equal(gcheap_collect(f.thread), 0);
	errno = EXDEV;
	gcheap_thread_detach(f.thread);
	assert_int_equal(errno, EXDEV);
	gcheap_close(f.heap);
}

/* ---- several heaps -------------------------------------------------------------------- */

struct pair {
	struct gcheap *heaps[2];
	unsigned int first;
};

static void *collect_both(void *arg)
{
	struct pair *pair = arg;
	struct gcheap_thread *threads[2];
	unsigned int i;

	if (gcheap_thread_attach(pair->heaps[0], &threads[0]) ||
	    gcheap_thread_attach(pair->heaps[1], &threads[1]))
		return "cannot attach";
	for (i = 0; i < 300; i++) {
		unsigned int which = (pair->first + i) % 2;

		if (!gcheap_new_leaf(threads[which], 100) || gcheap_collect(threads[which]))
			return "cannot collect";
	}
	return NULL;
}

/**
 * struct closing - a thread that is attached to heaps which another one closes
 * @kept: it works for this one all the time
 * @closes: it has attached to this one, which the other closes now; NULL: it shall attach
 * @is_over: no more heaps come
 */
struct closing {
	struct gcheap *kept;
	struct gcheap *closes;
	bool is_over;
};

#define CLOSED	50u

static void *work_while_closing(void *arg)
{
	struct closing *closing = arg;
	struct gcheap_thread *kept, *other;
	unsigned int i;

	if (gcheap_thread_attach(closing->kept, &kept))
		return "cannot attach";
	for (i = 0; i < CLOSED; i++) {
		struct gcheap *heap;

		if (gcheap_open(NULL, &heap) || gcheap_thread_attach(heap, &other))
			return "cannot attach to what is to be closed";
		__atomic_store_n(&closing->closes, heap, __ATOMIC_RELEASE);
		/* It rests for the one that is being closed in each of these. */
		while (__atomic_load_n(&closing->closes, __ATOMIC_ACQUIRE)) {
			if (!gcheap_new_leaf(kept, 64) || gcheap_collect(kept))
				return "cannot collect";
		}
	}
	__atomic_store_n(&closing->is_over, true, __ATOMIC_RELEASE);
	return NULL;
}

static void a_heap_is_closed_while_a_thread_rests_for_another(void **state)
{
	struct closing closing = { 0 };
	struct gcheap_thread *thread;
	void *error;
	pthread_t self;

	(void)state;
	assert_int_equal(gcheap_open(NULL, &closing.kept), 0);
	assert_int_equal(gcheap_thread_attach(closing.kept, &thread), 0);
	assert_int_equal(pthread_create(&self, NULL, work_while_closing, &closing), 0);
	while (!__atomic_load_n(&closing.is_over, __ATOMIC_ACQUIRE)) {
		struct gcheap *heap = __atomic_load_n(&closing.closes, __ATOMIC_ACQUIRE);

		/* Which stops the other one, wherever it is. */
		assert_int_equal(gcheap_collect(thread), 0);
		if (heap) {
			gcheap_close(heap);
			__atomic_store_n(&closing.closes, NULL, __ATOMIC_RELEASE);
		}
		gcheap_safepoint(thread);
	}
	gcheap_park(thread);
	pthread_join(self, &error);
	gcheap_unpark(thread);
	if (error)
		fail_msg("%s: %s", (char *)error, gcheap_error());
	gcheap_close(closing.kept);
}

/* Two threads that each collect a heap of the other's, at the same time. */
static void threads_of_two_heaps_do_not_wait_for_each_other(void **state)
{
	struct fixture f[2];
	struct pair pairs[2];
	pthread_t selves[2];
	unsigned int i;

	(void)state;
	fixture_open(&f[0]);
	fixture_open(&f[1]);
	for (i = 0; i < 2; i++) {
		pairs[i] = (struct pair) { { f[0].heap, f[1].heap }, i };
		gcheap_park(f[i].thread);
	}
	for (i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&selves[i], NULL, collect_both, &pairs[i]), 0);
	for (i = 0; i < 2; i++) {
		void *error;

		pthread_join(selves[i], &error);
		if (error)
			fail_msg("%s", (const char *)error);
	}
	for (i = 0; i < 2; i++)
		gcheap_unpark(f[i].thread);
	fixture_close(&f[1]);
	fixture_close(&f[0]);
}

/* ---- large objects ------------------------------------------------------------------- */

static int is_seen, is_over;

/* All threads are stopped, that which makes the large object among them. */
static void look_at_maker(struct gcheap *heap, void *arg)
{
	const struct thread *maker = arg;

	(void)heap;
	if (maker->making)
		__atomic_store_n(&is_seen, 1, __ATOMIC_RELAXED);
}

static void *collects_on(void *arg)
{
	struct gcheap_thread *thread;

	if (gcheap_thread_attach(arg, &thread))
		abort();
	while (!__atomic_load_n(&is_over, __ATOMIC_RELAXED)) {
		if (gcheap_collect(thread))
			abort();
	}
	gcheap_thread_detach(thread);
	return NULL;
}

/* Memory that had another object is zeroed, which takes long: cycles need not wait for it. */
static void cycles_run_while_a_large_object_is_zeroed(void **state)
{
	enum { BYTES = 32 << 20, TRIES = 200 };
	struct gcheap_hooks hooks = { .size = sizeof(hooks), .cycle_begins = look_at_maker };
	bool is_zero = true, is_made = true;
	struct fixture f;
	unsigned char *large;
	pthread_t thread;
	size_t i, try;

	(void)state;
	fixture_open(&f);
	if (gcheap_backend(f.heap) != GCHEAP_BACKEND_LOCAL) {
		fixture_close(&f);
		skip_because("the module may have zeroed it already");
	}
	is_seen = 0;
	is_over = 0;
	hooks.arg = f.thread;
	assert_int_equal(gcheap_hooks_add(f.heap, &hooks), 0);
	assert_int_equal(pthread_create(&thread, NULL, collects_on, f.heap), 0);
	for (try = 0; try < TRIES && is_made && !__atomic_load_n(&is_seen, __ATOMIC_RELAXED);
	     try++) {
		large = gcheap_new_leaf(f.thread, BYTES);
		is_made = large;
		for (i = 0; i < BYTES && is_made; i += 4096)
			is_zero &= !large[i];
		if (is_made)
			memset(large, 0xff, BYTES);
		gcheap_safepoint(f.thread);
	}
	__atomic_store_n(&is_over, 1, __ATOMIC_RELAXED);
	gcheap_park(f.thread);
	assert_int_equal(pthread_join(thread, NULL), 0);
	gcheap_unpark(f.thread);
	assert_true(is_made);
	assert_true(is_zero);
	assert_int_equal(is_seen, 1);
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(each_thread_keeps_what_it_has),
		cmocka_unit_test(stacks_of_all_threads_are_scanned),
		fixture_test(safepoints_let_cycles_pass),
		fixture_test(frames_of_other_threads_are_roots),
		fixture_test(thread_local_storage_of_other_threads_is_a_root),
		cmocka_unit_test(stacks_of_parked_threads_are_scanned),
#if defined(__x86_64__)
		cmocka_unit_test(registers_of_parked_threads_are_scanned),
#endif
		fixture_test(thread_that_ends_is_detached),
		cmocka_unit_test(heap_may_be_closed_while_threads_are_attached),
		cmocka_unit_test(err_a_parked_thread_allocates_or_collects),
		cmocka_unit_test(a_heap_is_closed_while_a_thread_rests_for_another),
		cmocka_unit_test(threads_of_two_heaps_do_not_wait_for_each_other),
		cmocka_unit_test(cycles_run_while_a_large_object_is_zeroed),
	};

	return run_in_all_layouts("threads", tests);
}
