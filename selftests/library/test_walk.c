// SPDX-License-Identifier: MIT
/*
 * gcheap_walk(): each object that lives from the walk's beginning to its end is seen once,
 * whatever the program does meanwhile: in the function that is called, or in other threads.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "library_test.h"

#define OBJECTS		3000u
#define BATCH		512u	/* objects between two stops */

/* Live objects of all kinds; how often each was seen. */
static void *objects[OBJECTS];
static unsigned int seen[OBJECTS];
static size_t strangers;

struct node {
	struct node *next;
	uint64_t number;
};

static int by_address(const void *a, const void *b)
{
	const char *one = *(char *const *)a, *other = *(char *const *)b;

	return one < other ? -1 : one > other;
}

/* Leaves and objects with pointers of many sizes, every 100th with a span of its own. */
static void *object_new(struct fixture *f, gcheap_type type, size_t i)
{
	if (i % 100 == 99)
		return i % 200 == 99 ? gcheap_new_leaf(f->thread, 40000 + i) :
				       gcheap_new_array(f->thread, type, 2500 + i % 700);
	if (i % 2)
		return gcheap_new_leaf(f->thread, 9 + i % 1500);
	return gcheap_new_array(f->thread, type, 1 + i % 90);
}

/* Fills @objects, in the order of their addresses, among as many dead ones. */
static void objects_make(struct fixture *f)
{
	gcheap_type type = type_with_mask(f->heap, sizeof(struct node), 8, 1);
	size_t i;

	memset(objects, 0, sizeof(objects));
	memset(seen, 0, sizeof(seen));
	strangers = 0;
	assert_int_equal(gcheap_root_add(f->heap, objects, OBJECTS), 0);
	for (i = 0; i < OBJECTS; i++) {
		objects[i] = object_new(f, type, i);
		assert_non_null(objects[i]);
		assert_non_null(object_new(f, type, i));
	}
	qsort(objects, OBJECTS, sizeof(objects[0]), by_address);
}

static void objects_forget(struct fixture *f)
{
	assert_int_equal(gcheap_root_remove(f->heap, objects), 0);
}

static int see(const struct gcheap_object *object, void *arg)
{
	void **found = bsearch(&object->base, objects, OBJECTS, sizeof(objects[0]), by_address);

	(void)arg;
	if (found)
		seen[found - objects]++;
	else
		strangers++;
	return 0;
}

static void assert_each_was_seen_once(void)
{
	size_t i;

	for (i = 0; i < OBJECTS; i++) {
		if (seen[i] != 1)
			fail_msg("object %zu was seen %u times", i, seen[i]);
	}
}

/* ---- what is seen ------------------------------------------------------------------- */

static void all_that_no_cycle_found_dead_is_seen_once(void **state)
{
	struct fixture *f = *state;

	objects_make(f);
	assert_int_equal(gcheap_walk(f->heap, see, NULL), 0);
	assert_each_was_seen_once();
	assert_int_equal(strangers, OBJECTS);
	memset(seen, 0, sizeof(seen));
	strangers = 0;
	assert_int_equal(live_after_collect(f), OBJECTS);
	assert_int_equal(gcheap_walk(f->heap, see, NULL), 0);
	assert_each_was_seen_once();
	assert_int_equal(strangers, 0);
	objects_forget(f);
}

static int compare(const struct gcheap_object *object, void *arg)
{
	struct fixture *f = arg;
	struct gcheap_object found;

	assert_int_equal(gcheap_find(f->heap, object->base, &found), 0);
	assert_ptr_equal(found.base, object->base);
	assert_int_equal(found.size, object->size);
	assert_int_equal(found.type, object->type);
	assert_int_equal(found.flags, object->flags);
	return 0;
}

static void each_is_described_as_by_find(void **state)
{
	struct fixture *f = *state;

	objects_make(f);
	assert_int_equal(gcheap_walk(f->heap, compare, f), 0);
	objects_forget(f);
}

static int in_order(const struct gcheap_object *object, void *arg)
{
	char **last = arg;

	assert_true((char *)object->base > *last);
	*last = object->base;
	return 0;
}

static void they_come_in_the_order_of_their_addresses(void **state)
{
	struct fixture *f = *state;
	char *last = NULL;

	objects_make(f);
	assert_int_equal(gcheap_walk(f->heap, in_order, &last), 0);
	assert_true(last >= (char *)objects[OBJECTS - 1]);
	objects_forget(f);
}

static int stop_at(const struct gcheap_object *object, void *arg)
{
	int *left = arg;

	(void)object;
	return --*left ? 0 : -4711;
}

static void what_the_function_returns_ends_the_walk(void **state)
{
	struct fixture *f = *state;
	int left;

	objects_make(f);
	left = 1;
	assert_int_equal(gcheap_walk(f->heap, stop_at, &left), -4711);
	left = 2 * BATCH + 7;
	assert_int_equal(gcheap_walk(f->heap, stop_at, &left), -4711);
	assert_int_equal(left, 0);
	/* Nothing is left of a walk that ended early. */
	assert_int_equal(live_after_collect(f), OBJECTS);
	objects_forget(f);
}

static void an_empty_heap_has_none(void **state)
{
	struct fixture *f = *state;
	int left = 1;

	assert_int_equal(gcheap_walk(f->heap, stop_at, &left), 0);
	assert_int_equal(left, 1);
}

/* ---- what the function may do ---------------------------------------------------------- */

/**
 * struct churn - what a function does to the heap that it walks through
 * @f: the heap
 * @type: of its own objects
 * @calls: how often it was called
 */
struct churn {
	struct fixture *f;
	gcheap_type type;
	size_t calls;
};

static int allocate_and_collect(const struct gcheap_object *object, void *arg)
{
	struct churn *churn = arg;

	/* In spans that are just walked through, and in those of dead objects. */
	assert_non_null(object_new(churn->f, churn->type, churn->calls));
	if (++churn->calls % 301 == 0)
		assert_int_equal(gcheap_collect(churn->f->thread), 0);
	return see(object, NULL);
}

static void it_may_allocate_and_collect(void **state)
{
	struct fixture *f = *state;
	struct churn churn = { .f = f };

	objects_make(f);
	churn.type = type_with_mask(f->heap, sizeof(struct node), 8, 1);
	assert_int_equal(gcheap_walk(f->heap, allocate_and_collect, &churn), 0);
	assert_each_was_seen_once();
	assert_true(churn.calls >= OBJECTS);
	assert_int_equal(gcheap_verify(f->heap), 0);
	objects_forget(f);
}

static int collect_and_read(const struct gcheap_object *object, void *arg)
{
	struct churn *churn = arg;
	const struct node *node = object->base;

	if (churn->calls++ % 97 == 0) {
		assert_int_equal(gcheap_collect(churn->f->thread), 0);
		/* Would take the place of those that were lost. */
		drop_bytes(churn->f, 64 << 10);
	}
	assert_int_equal(node->number, (uintptr_t)node ^ 4711);
	return churn->calls >= BATCH;
}

/* Nothing but the walk leads to them. */
static void objects_live_while_they_are_looked_at(void **state)
{
	struct fixture *f = *state;
	struct churn churn = { .f = f };
	struct node *node;
	size_t i;

	churn.type = type_with_mask(f->heap, sizeof(struct node), 8, 1);
	for (i = 0; i < BATCH; i++) {
		node = gcheap_new(f->thread, churn.type);
		assert_non_null(node);
		node->number = (uintptr_t)node ^ 4711;
	}
	assert_int_equal(gcheap_walk(f->heap, collect_and_read, &churn), 1);
	assert_int_equal(churn.calls, BATCH);
	assert_int_equal(live_after_collect(f), 0);
}

static int walk_within(const struct gcheap_object *object, void *arg)
{
	struct churn *churn = arg;
	int left = 1;

	if (churn->calls++ % 1000 == 0)
		assert_int_equal(gcheap_walk(churn->f->heap, stop_at, &left), -4711);
	return see(object, NULL);
}

static void it_may_walk(void **state)
{
	struct fixture *f = *state;
	struct churn churn = { .f = f };

	objects_make(f);
	assert_int_equal(gcheap_walk(f->heap, walk_within, &churn), 0);
	assert_each_was_seen_once();
	objects_forget(f);
}

/* ---- other threads ------------------------------------------------------------------ */

static int is_over;

static void *allocates(void *arg)
{
	struct fixture f = { .heap = arg };
	size_t i;

	if (gcheap_thread_attach(f.heap, &f.thread))
		abort();
	for (i = 0; !__atomic_load_n(&is_over, __ATOMIC_RELAXED); i++) {
		if (!gcheap_new_leaf(f.thread, 9 + i % 1500))
			abort();
		if (i % 4096 == 0 && gcheap_collect(f.thread))
			abort();
	}
	gcheap_thread_detach(f.thread);
	return NULL;
}

static void *walks(void *arg)
{
	struct gcheap *heap = arg;

	return (void *)(intptr_t)gcheap_walk(heap, see, NULL);
}

static void other_threads_go_on(void **state)
{
	struct fixture *f = *state;
	pthread_t threads[2], walker;
	unsigned int i, round;
	void *result;

	objects_make(f);
	is_over = 0;
	for (i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, allocates, f->heap), 0);
	for (round = 0; round < 5; round++) {
		memset(seen, 0, sizeof(seen));
		/* This one is attached to nothing. */
		gcheap_park(f->thread);
		assert_int_equal(pthread_create(&walker, NULL, walks, f->heap), 0);
		assert_int_equal(pthread_join(walker, &result), 0);
		gcheap_unpark(f->thread);
		assert_null(result);
		assert_each_was_seen_once();
		/* And this one is. */
		memset(seen, 0, sizeof(seen));
		assert_int_equal(gcheap_walk(f->heap, see, NULL), 0);
		assert_each_was_seen_once();
	}
	__atomic_store_n(&is_over, 1, __ATOMIC_RELAXED);
	gcheap_park(f->thread);
	for (i = 0; i < 2; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	gcheap_unpark(f->thread);
	objects_forget(f);
}

static void *makes_some(void *arg)
{
	struct fixture f = { .heap = arg };
	gcheap_type type = type_with_mask(f.heap, sizeof(struct node), 8, 1);
	static void *mine[100];
	size_t i;

	memset(mine, 0, sizeof(mine));
	if (gcheap_thread_attach(f.heap, &f.thread) || gcheap_root_add(f.heap, mine, 100))
		abort();
	for (i = 0; i < 100; i++)
		mine[i] = gcheap_new(f.thread, type);
	__atomic_store_n(&is_over, 1, __ATOMIC_RELEASE);
	/* Stopped anywhere, but not in the middle of an allocation. */
	while (__atomic_load_n(&is_over, __ATOMIC_ACQUIRE) == 1)
		;
	if (gcheap_root_remove(f.heap, mine))
		abort();
	gcheap_thread_detach(f.thread);
	return NULL;
}

static void what_a_computing_thread_has_made_is_seen(void **state)
{
	struct gcheap_config config = GCHEAP_CONFIG_INIT;
	struct fixture f;
	unsigned int i;
	pthread_t thread;

	(void)state;
	fixture_open_with(&f, &config);
	memset(objects, 0, sizeof(objects));
	is_over = 0;
	gcheap_park(f.thread);
	assert_int_equal(pthread_create(&thread, NULL, makes_some, f.heap), 0);
	while (!__atomic_load_n(&is_over, __ATOMIC_ACQUIRE))
		usleep(100);
	gcheap_unpark(f.thread);
	for (i = 0; i < 3; i++) {
		strangers = 0;
		assert_int_equal(gcheap_walk(f.heap, see, NULL), 0);
		assert_int_equal(strangers, 100);
		/* A slot is kept for the thread from here on, which does not take it. */
		assert_int_equal(gcheap_collect(f.thread), 0);
	}
	__atomic_store_n(&is_over, 2, __ATOMIC_RELEASE);
	gcheap_park(f.thread);
	assert_int_equal(pthread_join(thread, NULL), 0);
	gcheap_unpark(f.thread);
	fixture_close(&f);
}

static int frees(const struct gcheap_object *object, void *arg)
{
	struct churn *churn = arg;

	if (see(object, NULL))
		return 1;
	if (churn->calls++ % 3 == 0)
		gcheap_free(churn->f->thread, object->base);
	return churn->calls % 100 ? 0 : gcheap_verify(churn->f->heap);
}

/* What it has given back is in the batch, and no fault. */
static void it_may_free(void **state)
{
	struct fixture *f = *state;
	struct churn churn = { .f = f };

	objects_make(f);
	objects_forget(f);
	assert_int_equal(gcheap_walk(f->heap, frees, &churn), 0);
	assert_int_equal(churn.calls, 2 * OBJECTS);
}

/* ---- errors ------------------------------------------------------------------------- */

static void err_null(void **state)
{
	struct fixture *f = *state;

	assert_refused(gcheap_walk(NULL, see, NULL), EINVAL, "NULL");
	assert_refused(gcheap_walk(f->heap, NULL, NULL), EINVAL, "function");
}

static void err_no_memory(void **state)
{
	struct fixture *f = *state;
	struct rlimit limit, little;
	int error;

	if (UNDER_ASAN || UNDER_TSAN)
		skip_because("a sanitizer needs more address space than any limit");
	assert_int_equal(getrlimit(RLIMIT_AS, &limit), 0);
	little = limit;
	little.rlim_cur = 1 << 20;
	assert_int_equal(setrlimit(RLIMIT_AS, &little), 0);
	error = gcheap_walk(f->heap, see, NULL);
	assert_int_equal(setrlimit(RLIMIT_AS, &limit), 0);
	assert_refused(error, ENOMEM, "walk");
	assert_int_equal(gcheap_walk(f->heap, see, NULL), 0);
}

/* Not called in the child, which has none of the objects. */
static int fork_within(const struct gcheap_object *object, void *arg)
{
	pid_t *child = arg;

	(void)object;
	if (!*child)
		_exit(2);
	if (*child < 0)
		*child = fork();
	return 0;
}

static void err_child_of_fork(void **state)
{
	struct fixture *f = *state;
	pid_t child = -1;
	int status, error;

	objects_make(f);
	error = gcheap_walk(f->heap, fork_within, &child);
	if (!child)
		_exit(error == -EPERM && gcheap_walk(f->heap, see, NULL) == -EPERM ? 0 : 1);
	assert_int_equal(error, 0);
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	objects_forget(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(all_that_no_cycle_found_dead_is_seen_once),
		fixture_test(each_is_described_as_by_find),
		fixture_test(they_come_in_the_order_of_their_addresses),
		fixture_test(what_the_function_returns_ends_the_walk),
		fixture_test(an_empty_heap_has_none),
		fixture_test(it_may_allocate_and_collect),
		fixture_test(objects_live_while_they_are_looked_at),
		fixture_test(it_may_walk),
		fixture_test(other_threads_go_on),
		cmocka_unit_test(what_a_computing_thread_has_made_is_seen),
		fixture_test(it_may_free),
		fixture_test(err_null),
		fixture_test(err_no_memory),
		fixture_test(err_child_of_fork),
	};

	/* What is dead is there until somebody asks for a cycle. */
	setenv("GCHEAP_GC", "off", 1);
	return run_in_all_layouts("walk", tests);
}
