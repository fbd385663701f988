// SPDX-License-Identifier: MIT
/*
 * Threads that are stopped while they have what others wait for: memory of malloc(), the loader,
 * stderr, another heap.
 */
#define _GNU_SOURCE
#include "library_test.h"

#include <dlfcn.h>
#include <pthread.h>
#include <unistd.h>

/* ---- malloc(), with one lock for all ------------------------------------------------------ */

/*
 * malloc() of glibc has a lock for each few threads. This one has one for all, so that whoever is
 * stopped in the middle of it keeps all others out, as with simpler C libraries.
 */

/* Handles of threads that are stopped now and then; NULL: none is watched. */
static struct gcheap_thread *watched;
/* Who stops them. */
static pthread_t watcher;
/* Calls of malloc() or free() by it while they were stopped. */
static unsigned int calls_while_stopped;

static bool is_stopped(void)
{
	struct gcheap_thread *thread = __atomic_load_n(&watched, __ATOMIC_ACQUIRE);

	return thread && pthread_equal(watcher, pthread_self()) &&
	       __atomic_load_n(&thread->stop, __ATOMIC_ACQUIRE);
}

#if !UNDER_ASAN && defined(__GLIBC__)

#define HAS_ONE_LOCK	1

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *memory, size_t bytes);
void __libc_free(void *memory);

static pthread_mutex_t malloc_lock = PTHREAD_MUTEX_INITIALIZER;

static void malloc_begin(void)
{
	if (is_stopped())
		__atomic_fetch_add(&calls_while_stopped, 1, __ATOMIC_RELAXED);
	pthread_mutex_lock(&malloc_lock);
}

static void malloc_end(void)
{
	pthread_mutex_unlock(&malloc_lock);
}

void *malloc(size_t bytes)
{
	void *memory;

	malloc_begin();
	memory = __libc_malloc(bytes);
	malloc_end();
	return memory;
}

void *calloc(size_t count, size_t bytes)
{
	void *memory;

	malloc_begin();
	memory = __libc_calloc(count, bytes);
	malloc_end();
	return memory;
}

void *realloc(void *memory, size_t bytes)
{
	malloc_begin();
	memory = __libc_realloc(memory, bytes);
	malloc_end();
	return memory;
}

void free(void *memory)
{
	malloc_begin();
	__libc_free(memory);
	malloc_end();
}

#else

#define HAS_ONE_LOCK	0

static void malloc_begin(void)
{
}

static void malloc_end(void)
{
}

#endif

/* ---- threads beside the one that collects --------------------------------------------------- */

struct node {
	struct node *next;
	uint64_t value;
};

/**
 * struct side - a thread beside the main one
 * @heaps: where it is attached, if they are not NULL
 * @elsewhere: a heap that @run uses
 * @run: what it does again and again until it shall end
 * @self: it
 * @threads: its handles
 * @begun: it has done something
 * @shall_end: it ends soon
 * @done: counts those that have done all they had to
 * @error: what went wrong
 */
struct side {
	struct gcheap *heaps[2];
	struct gcheap *elsewhere;
	void (*run)(struct side *side);
	pthread_t self;
	struct gcheap_thread *threads[2];
	bool begun;
	bool shall_end;
	unsigned int *done;
	const char *error;
};

static void *side_main(void *arg)
{
	struct side *side = arg;
	size_t i;

	for (i = 0; i < 2; i++) {
		if (side->heaps[i] && gcheap_thread_attach(side->heaps[i], &side->threads[i]))
			side->error = "cannot attach";
	}
	while (!side->error && !__atomic_load_n(&side->shall_end, __ATOMIC_ACQUIRE)) {
		side->run(side);
		__atomic_store_n(&side->begun, true, __ATOMIC_RELEASE);
	}
	for (i = 0; i < 2; i++)
		gcheap_thread_detach(side->threads[i]);
	return NULL;
}

static void sides_begin(struct side *sides, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		assert_int_equal(pthread_create(&sides[i].self, NULL, side_main, &sides[i]), 0);
	for (i = 0; i < count; i++) {
		while (!__atomic_load_n(&sides[i].begun, __ATOMIC_ACQUIRE) && !sides[i].error)
			usleep(100);
	}
}

/* @threads: the main thread's. */
static void sides_end(struct side *sides, size_t count, struct gcheap_thread *const *threads)
{
	size_t i;

	for (i = 0; i < count; i++)
		__atomic_store_n(&sides[i].shall_end, true, __ATOMIC_RELEASE);
	for (i = 0; i < 2 && threads[i]; i++)
		gcheap_park(threads[i]);
	for (i = 0; i < count; i++)
		pthread_join(sides[i].self, NULL);
	for (i = 0; i < 2 && threads[i]; i++)
		gcheap_unpark(threads[i]);
	for (i = 0; i < count; i++) {
		if (sides[i].error)
			fail_msg("thread %zu: %s", i, sides[i].error);
	}
}

static void heap_open(struct fixture *f, uint32_t flags)
{
	struct gcheap_config config = GCHEAP_CONFIG_INIT;

	config.gc_percent = -1;
	config.flags |= flags;
	fixture_open_with(f, &config);
}

static void compute(struct side *side)
{
	(void)side;
}

/* ---- what the collector does not touch ------------------------------------------------------- */

/* Makes things for the cycles to do: objects that die, spans that are freed, roots. */
static void work(struct fixture *f, gcheap_type type, unsigned int n)
{
	struct node *list = NULL;
	unsigned int i;

	for (i = 0; i < 3000 * (n % 3); i++) {
		struct node *node = gcheap_new(f->thread, type);

		assert_non_null(node);
		node->next = list;
		list = node;
		assert_non_null(gcheap_new_leaf(f->thread, 1 + i % 3000));
	}
	assert_non_null(gcheap_new_leaf(f->thread, (size_t)100000 << n % 4));
}

static void allocates_nothing(uint32_t flags)
{
	struct side side = { .run = compute };
	struct gcheap_thread *threads[2] = { NULL };
	gcheap_type types[3];
	struct fixture f;
	unsigned int i;

	if (!HAS_ONE_LOCK)
		skip_because("the sanitizer's malloc() is not the program's");
	heap_open(&f, flags);
	assert_int_equal(gcheap_root_add_program(f.heap), 0);
	assert_int_equal(gcheap_root_add_tls(f.thread), 0);
	for (i = 0; i < 3; i++)
		types[i] = type_with_mask(f.heap, 16 << i, 8, 1);
	side.heaps[0] = f.heap;
	threads[0] = f.thread;
	sides_begin(&side, 1);
	watcher = pthread_self();
	calls_while_stopped = 0;
	__atomic_store_n(&watched, side.threads[0], __ATOMIC_RELEASE);
	for (i = 0; i < 30; i++) {
		work(&f, types[i % 3], i);
		assert_int_equal(gcheap_collect(f.thread), 0);
		assert_int_equal(gcheap_verify(f.heap), 0);
		assert_refused(gcheap_find(f.heap, &f, NULL), EINVAL, "NULL");
		assert_refused(gcheap_find(f.heap, &f, &(struct gcheap_object) { 0 }), ENOENT,
			       "leads to no object");
	}
	__atomic_store_n(&watched, NULL, __ATOMIC_RELEASE);
	sides_end(&side, 1, threads);
	assert_int_equal(calls_while_stopped, 0);
	fixture_close(&f);
}

static void nothing_is_allocated_while_threads_are_stopped(void **state)
{
	(void)state;
	allocates_nothing(0);
}

static void nothing_is_allocated_to_verify_either(void **state)
{
	(void)state;
	allocates_nothing(GCHEAP_VERIFY);
}

/* What is written to this file while a thread is stopped would wait for who has its lock. */
static ssize_t write_watched(void *cookie, const char *text, size_t bytes)
{
	(void)text;
	if (is_stopped())
		++*(unsigned int *)cookie;
	return (ssize_t)bytes;
}

static void nothing_is_printed_by_stdio_while_threads_are_stopped(void **state)
{
	struct side side = { .run = compute };
	struct gcheap_thread *threads[2] = { NULL };
	unsigned int prints = 0;
	FILE *old = stderr;
	static void *wrong;
	struct fixture f;
	int said[2], fd;
	char text[200];

	(void)state;
	heap_open(&f, 0);
	side.heaps[0] = f.heap;
	threads[0] = f.thread;
	wrong = gcheap_new_leaf(f.thread, 64);
	assert_non_null(wrong);
	wrong = (char *)wrong + ((size_t)1 << 20);
	assert_int_equal(gcheap_root_add(f.heap, &wrong, 1), 0);
	sides_begin(&side, 1);
	assert_int_equal(pipe(said), 0);
	fd = dup(STDERR_FILENO);
	dup2(said[1], STDERR_FILENO);
	stderr = fopencookie(&prints, "w", (cookie_io_functions_t) { .write = write_watched });
	setvbuf(stderr, NULL, _IONBF, 0);
	watcher = pthread_self();
	__atomic_store_n(&watched, side.threads[0], __ATOMIC_RELEASE);
	assert_refused(gcheap_verify(f.heap), EUCLEAN, "corrupted");
	__atomic_store_n(&watched, NULL, __ATOMIC_RELEASE);
	fclose(stderr);
	stderr = old;
	dup2(fd, STDERR_FILENO);
	close(fd);
	close(said[1]);
	memset(text, 0, sizeof(text));
	assert_true(read(said[0], text, sizeof(text) - 1) > 0);
	close(said[0]);
	assert_non_null(strstr(text, "gcheap: verify: root 0 of 1"));
	wrong = NULL;
	sides_end(&side, 1, threads);
	assert_int_equal(prints, 0);
	fixture_close(&f);
}

/* ---- who waits for a stopped thread ---------------------------------------------------------- */

/* Has malloc()'s lock most of the time, and computes meanwhile. */
static void stay_in_malloc(struct side *side)
{
	volatile unsigned int i;

	(void)side;
	malloc_begin();
	for (i = 0; i < 20000; i++)
		;
	malloc_end();
}

/* Is in the library most of the time, where it waits for malloc()'s lock. */
static void attach_elsewhere(struct side *side)
{
	struct gcheap_thread *thread = NULL;

	if (gcheap_thread_attach(side->elsewhere, &thread))
		side->error = "cannot attach to the other heap";
	gcheap_thread_detach(thread);
}

static void who_waits_in_the_library_for_a_stopped_thread_gets_its_turn(void **state)
{
	struct side sides[3] = {
		{ .run = stay_in_malloc }, { .run = attach_elsewhere },
		{ .run = attach_elsewhere },
	};
	struct gcheap_thread *threads[2] = { NULL };
	struct fixture f, other;
	unsigned int i;

	(void)state;
	if (!HAS_ONE_LOCK)
		skip_because("the sanitizer's malloc() is not the program's");
	heap_open(&other, 0);
	gcheap_park(other.thread);
	heap_open(&f, 0);
	threads[0] = f.thread;
	for (i = 0; i < 3; i++) {
		sides[i].heaps[0] = f.heap;
		sides[i].elsewhere = other.heap;
	}
	sides_begin(sides, 3);
	for (i = 0; i < 5; i++)
		assert_int_equal(gcheap_collect(f.thread), 0);
	sides_end(sides, 3, threads);
	fixture_close(&f);
	fixture_close(&other);
}

/* It is not attached: nobody waits for it, and nobody lets go what it waits for. */
static void *add_roots(void *arg)
{
	static void *slots[5000];
	struct side *side = arg;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(slots); i++) {
		if (gcheap_root_add(side->elsewhere, &slots[i], 1))
			side->error = "cannot add a root";
	}
	__atomic_store_n(&side->begun, true, __ATOMIC_RELEASE);
	return NULL;
}

/* The tables of roots grow, under the heap's lock. */
static void a_stopped_thread_keeps_nobody_from_the_heaps_tables(void **state)
{
	struct gcheap_thread *threads[2] = { NULL };
	unsigned int round;

	(void)state;
	for (round = 0; round < 5; round++) {
		struct side sides[2] = { { .run = stay_in_malloc } };
		struct fixture f;

		heap_open(&f, 0);
		threads[0] = f.thread;
		sides[0].heaps[0] = f.heap;
		sides[1].elsewhere = f.heap;
		sides_begin(sides, 1);
		assert_int_equal(pthread_create(&sides[1].self, NULL, add_roots, &sides[1]), 0);
		while (!__atomic_load_n(&sides[1].begun, __ATOMIC_ACQUIRE))
			assert_int_equal(gcheap_collect(f.thread), 0);
		sides_end(sides, 2, threads);
		fixture_close(&f);
	}
}

/* Has the loader's lock, and waits for memory with it. */
static void load(struct side *side)
{
	void *library = dlopen("libc.so.6", RTLD_NOW | RTLD_LOCAL);

	if (!library || !dlsym(library, "abort") || dlclose(library))
		side->error = "cannot load a library";
}

static void a_stopped_thread_keeps_nobody_from_the_loader(void **state)
{
	struct side sides[2] = { { .run = stay_in_malloc }, { .run = load } };
	struct gcheap_thread *threads[2] = { NULL };
	struct fixture f;
	unsigned int i;

	(void)state;
	heap_open(&f, 0);
	assert_int_equal(gcheap_root_add_program(f.heap), 0);
	threads[0] = f.thread;
	sides[0].heaps[0] = f.heap;
	sides_begin(sides, 2);
	for (i = 0; i < 100; i++)
		assert_int_equal(gcheap_collect(f.thread), 0);
	sides_end(sides, 2, threads);
	fixture_close(&f);
}

/* ---- two heaps -------------------------------------------------------------------------------- */

#define CYCLES	100u

static void collect_mine(struct side *side)
{
	unsigned int i;

	for (i = 0; i < CYCLES; i++) {
		if (gcheap_collect(side->threads[0]))
			side->error = "cannot collect";
	}
	__atomic_fetch_add(side->done, 1, __ATOMIC_RELEASE);
	/* Others go on. */
	__atomic_store_n(&side->begun, true, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&side->shall_end, __ATOMIC_ACQUIRE))
		;
}

/* Rests by itself, and in gcheap_unpark(). */
static void park_and_poll(struct side *side)
{
	unsigned int i;

	for (i = 0; i < 10; i++) {
		gcheap_safepoint(side->threads[i % 2]);
		gcheap_park(side->threads[i % 2]);
		gcheap_unpark(side->threads[i % 2]);
	}
}

/*
 * Each of two threads collects one of two heaps, to which both are attached, and others beside
 * them, which attached to them in one order or the other. With @program, each cycle takes the
 * loader's lock.
 */
static void two_heaps(bool program)
{
	static void (*const runs[6])(struct side *side) = {
		collect_mine, collect_mine, compute, compute, park_and_poll, park_and_poll,
	};
	struct side sides[6];
	struct gcheap_thread *threads[2];
	struct fixture f[2];
	unsigned int done = 0;
	size_t i;

	memset(sides, 0, sizeof(sides));
	for (i = 0; i < 2; i++) {
		heap_open(&f[i], 0);
		if (program)
			assert_int_equal(gcheap_root_add_program(f[i].heap), 0);
		gcheap_park(f[i].thread);
		threads[i] = f[i].thread;
	}
	for (i = 0; i < 6; i++) {
		sides[i].heaps[0] = f[i % 2].heap;
		sides[i].heaps[1] = f[1 - i % 2].heap;
		sides[i].run = runs[i];
		sides[i].done = &done;
	}
	sides_begin(sides, 6);
	while (__atomic_load_n(&done, __ATOMIC_ACQUIRE) < 2)
		usleep(1000);
	sides_end(sides, 6, threads);
	for (i = 0; i < 2; i++)
		fixture_close(&f[i]);
}

static void two_heaps_are_collected_at_once(void **state)
{
	(void)state;
	two_heaps(false);
}

static void two_heaps_with_program_roots_are_collected_at_once(void **state)
{
	(void)state;
	two_heaps(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_allocated_while_threads_are_stopped),
		cmocka_unit_test(nothing_is_allocated_to_verify_either),
		cmocka_unit_test(nothing_is_printed_by_stdio_while_threads_are_stopped),
		cmocka_unit_test(who_waits_in_the_library_for_a_stopped_thread_gets_its_turn),
		cmocka_unit_test(a_stopped_thread_keeps_nobody_from_the_heaps_tables),
		cmocka_unit_test(a_stopped_thread_keeps_nobody_from_the_loader),
		cmocka_unit_test(two_heaps_are_collected_at_once),
		cmocka_unit_test(two_heaps_with_program_roots_are_collected_at_once),
	};

	return run_in_all_layouts("stop_locks", tests);
}
