// SPDX-License-Identifier: MIT
/* link: -Wl,--no-as-needed -lgcc_s */
/*
 * Finalizers and cleanups: what they keep, in which order they run, how often, and where.
 */
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "specials.h"

struct node {
	struct node *next, *other;
	uint64_t number;
};

struct finals_fixture {
	struct fixture f;
	gcheap_type node;
};

#define RAN_MAX	4096

/* The numbers of the nodes whose finalizers have run, in order. */
static uint64_t ran[RAN_MAX];
static uint32_t ran_count;

static int setup(void **state)
{
	struct finals_fixture *f = malloc(sizeof(*f));
	struct gcheap_config config = fixture_config();

	config.gc_percent = -1;
	fixture_open_with(&f->f, &config);
	f->node = GCHEAP_TYPE(f->f.heap, struct node, next, other);
	ran_count = 0;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct finals_fixture *f = *state;

	fixture_close(&f->f);
	free(f);
	return 0;
}

#define test_with_nodes(test)	cmocka_unit_test_setup_teardown(test, setup, teardown)
#define live(f)	live_after_collect(&(f)->f)
#define run(f)	gcheap_run_finalizers((f)->f.thread)

static void note(uint64_t number)
{
	ran[__atomic_fetch_add(&ran_count, 1, __ATOMIC_RELAXED) % RAN_MAX] = number;
}

/* @arg: what is added to the node's number. */
static void note_node(void *obj, void *arg)
{
	note(((struct node *)obj)->number + (uintptr_t)arg);
}

static void note_argument(void *arg)
{
	note((uintptr_t)arg);
}

static struct node *new_node(struct finals_fixture *f, uint64_t number)
{
	struct node *node = gcheap_new(f->f.thread, f->node);

	assert_non_null(node);
	node->number = number;
	return node;
}

static struct node *new_final(struct finals_fixture *f, uint64_t number)
{
	struct node *node = new_node(f, number);

	assert_int_equal(gcheap_finalizer_set(f->f.heap, node, note_node, NULL), 0);
	return node;
}

/* ---- finalizers ------------------------------------------------------------------ */

static void test_a_finalizer_runs_once_before_its_object_is_freed(void **state)
{
	struct finals_fixture *f = *state;
	void *root = new_final(f, 7);

	((struct node *)root)->next = new_node(f, 8);
	assert_int_equal(gcheap_root_add(f->f.heap, &root, 1), 0);
	assert_int_equal(live(f), 2);
	assert_int_equal(run(f), 0);
	root = NULL;
	assert_int_equal(live(f), 2);
	assert_int_equal(specials_of(f->f.heap), 0);
	assert_sound(f->f.heap);
	assert_int_equal(ran_count, 0);
	/* The queue is a root. */
	assert_int_equal(live(f), 2);
	assert_int_equal(stats_of(f->f.heap).finalizers_queued, 1);
	assert_true(stats_of(f->f.heap).finalizer_wait_ns > 0);
	assert_int_equal(run(f), 1);
	assert_int_equal(ran_count, 1);
	assert_int_equal(ran[0], 7);
	assert_int_equal(stats_of(f->f.heap).finalizers_queued, 0);
	assert_int_equal(stats_of(f->f.heap).finalizers_run, 1);
	assert_int_equal(stats_of(f->f.heap).finalizer_wait_ns, 0);
	assert_int_equal(live(f), 0);
	assert_int_equal(run(f), 0);
	assert_int_equal(gcheap_root_remove(f->f.heap, &root), 0);
}

static void test_the_outermost_runs_first(void **state)
{
	struct finals_fixture *f = *state;
	struct node *inner = new_final(f, 3), *middle, *between, *outer;
	int i;

	/* Over one without a finalizer, and in both orders of addresses. */
	between = new_node(f, 0);
	outer = new_final(f, 1);
	middle = new_final(f, 2);
	outer->other = between;
	between->next = middle;
	middle->next = inner;
	for (i = 1; i <= 3; i++) {
		assert_int_equal(live(f), i == 1 ? 4 : i == 2 ? 2 : 1);
		assert_int_equal(specials_of(f->f.heap), 3 - i);
		assert_int_equal(stats_of(f->f.heap).finalizer_cycles, 0);
		assert_int_equal(run(f), 1);
		assert_int_equal(ran_count, i);
		assert_int_equal(ran[i - 1], i);
	}
	assert_int_equal(live(f), 0);
}

static void test_cycles_never_run_and_are_counted(void **state)
{
	struct finals_fixture *f = *state;
	struct node *a = new_final(f, 1), *b = new_final(f, 2), *self = new_final(f, 3);
	struct node *outside = new_final(f, 4), *free_one = new_final(f, 5);
	void *objects[4] = { NULL };

	a->next = b;
	b->next = a;
	self->other = self;
	/* Leads to a cycle, and is none. */
	outside->next = a;
	free_one->next = new_node(f, 0);
	assert_int_equal(live(f), 6);
	assert_int_equal(run(f), 2);
	assert_int_equal(ran[0] + ran[1], 9);
	assert_int_equal(live(f), 3);
	assert_int_equal(stats_of(f->f.heap).finalizer_cycles, 2);
	assert_int_equal(gcheap_finalizer_cycles(f->f.heap, objects, 4), 2);
	assert_ptr_equal(objects[0], a);
	assert_ptr_equal(objects[1], self);
	assert_null(objects[2]);
	objects[1] = NULL;
	assert_int_equal(gcheap_finalizer_cycles(f->f.heap, objects, 1), 2);
	assert_null(objects[1]);
	assert_int_equal(gcheap_finalizer_cycles(f->f.heap, NULL, 0), 2);
	assert_refused(gcheap_finalizer_cycles(f->f.heap, NULL, 1), EINVAL, "NULL");
	assert_int_equal(run(f), 0);
	/* One that is reachable again is none for now. */
	assert_int_equal(gcheap_pin(f->f.heap, objects[0]), 0);
	assert_int_equal(live(f), 3);
	assert_int_equal(stats_of(f->f.heap).finalizer_cycles, 1);
	assert_int_equal(gcheap_finalizer_cycles(f->f.heap, NULL, 0), 1);
	assert_int_equal(gcheap_unpin(f->f.heap, objects[0]), 0);
	assert_int_equal(live(f), 3);
	assert_int_equal(gcheap_finalizer_cycles(f->f.heap, NULL, 0), 2);
	/* Who breaks one lets it run. */
	a->next = NULL;
	assert_int_equal(gcheap_finalizer_set(f->f.heap, self, NULL, NULL), 0);
	assert_int_equal(live(f), 2);
	assert_int_equal(stats_of(f->f.heap).finalizer_cycles, 0);
	assert_int_equal(gcheap_finalizer_cycles(f->f.heap, objects, 4), 0);
	assert_int_equal(run(f), 1);
	assert_int_equal(live(f), 1);
	assert_int_equal(run(f), 1);
	assert_int_equal(live(f), 0);
}

/* So many that they are not each followed alone in the cycle that finds them first. */
static void test_cycles_among_many_are_counted_by_the_second_cycle(void **state)
{
	enum { PAIRS = 1500 };
	struct finals_fixture *f = *state;
	struct node *a, *b;
	int i;

	for (i = 0; i < PAIRS; i++) {
		a = new_final(f, i);
		b = new_final(f, i);
		a->next = b;
		if (i < 10)
			b->next = a;
	}
	assert_int_equal(live(f), 2 * PAIRS);
	assert_int_equal(run(f), PAIRS - 10);
	assert_int_equal(live(f), PAIRS - 10 + 20);
	assert_int_equal(stats_of(f->f.heap).finalizer_cycles, 10);
	assert_int_equal(run(f), PAIRS - 10);
	assert_int_equal(live(f), 20);
	assert_sound(f->f.heap);
}

static void *resurrected;

static void resurrect(void *obj, void *arg)
{
	struct finals_fixture *f = arg;

	note(((struct node *)obj)->number++);
	resurrected = obj;
	if (gcheap_finalizer_set(f->f.heap, obj, note_node, NULL))
		note(99);
}

static void test_finalizers_may_resurrect_and_set_anew(void **state)
{
	struct finals_fixture *f = *state;
	struct node *node = new_node(f, 5);

	node->next = new_node(f, 0);
	resurrected = NULL;
	assert_int_equal(gcheap_root_add(f->f.heap, &resurrected, 1), 0);
	assert_int_equal(gcheap_finalizer_set(f->f.heap, node, resurrect, f), 0);
	assert_int_equal(live(f), 2);
	assert_int_equal(run(f), 1);
	assert_ptr_equal(resurrected, node);
	assert_int_equal(live(f), 2);
	assert_int_equal(run(f), 0);
	resurrected = NULL;
	assert_int_equal(live(f), 2);
	assert_int_equal(run(f), 1);
	assert_int_equal(ran[1], 6);
	assert_int_equal(live(f), 0);
	assert_int_equal(gcheap_root_remove(f->f.heap, &resurrected), 0);
}

static void test_a_second_finalizer_replaces_the_first(void **state)
{
	struct finals_fixture *f = *state;
	struct node *node = new_final(f, 1), *none = new_final(f, 2), *never = new_node(f, 3);

	assert_int_equal(gcheap_finalizer_set(f->f.heap, node, note_node, (void *)10), 0);
	assert_int_equal(gcheap_finalizer_set(f->f.heap, none, NULL, NULL), 0);
	assert_int_equal(gcheap_finalizer_set(f->f.heap, never, NULL, NULL), 0);
	assert_int_equal(specials_of(f->f.heap), 1);
	assert_int_equal(live(f), 1);
	assert_int_equal(run(f), 1);
	assert_int_equal(ran[0], 11);
}

static void test_arguments_in_the_heap_live_until_they_were_used(void **state)
{
	struct finals_fixture *f = *state;
	struct node *node = new_node(f, 1), *argument = new_node(f, 100);
	void *root = node;

	argument->next = new_node(f, 0);
	assert_int_equal(gcheap_root_add(f->f.heap, &root, 1), 0);
	assert_int_equal(gcheap_finalizer_set(f->f.heap, node, note_node, argument), 0);
	assert_int_equal(live(f), 3);
	root = NULL;
	assert_int_equal(live(f), 3);
	assert_int_equal(run(f), 1);
	assert_int_equal(live(f), 0);
	/* Replaced, it is let go. */
	root = new_final(f, 1);
	assert_int_equal(gcheap_finalizer_set(f->f.heap, root, note_node, new_node(f, 0)), 0);
	assert_int_equal(live(f), 2);
	assert_int_equal(gcheap_finalizer_set(f->f.heap, root, note_node, NULL), 0);
	assert_int_equal(live(f), 1);
	assert_int_equal(gcheap_root_remove(f->f.heap, &root), 0);
}

static void test_objects_of_any_size_have_finalizers(void **state)
{
	static const size_t sizes[] = { 16, 24, 512, 1000, 32768, 40000, 300000 };
	struct finals_fixture *f = *state;
	uint64_t *object;
	void *shared[16];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		gcheap_type type = type_with_mask(f->f.heap, sizes[i], 8, 1);

		object = gcheap_new(f->f.thread, type);
		assert_int_equal(gcheap_finalizer_set(f->f.heap, object, note_node, NULL), 0);
		*(void **)object = new_node(f, 0);
		object = gcheap_new_leaf(f->f.thread, sizes[i]);
		assert_int_equal(gcheap_cleanup_add(f->f.heap, object, note_argument, NULL), 0);
	}
	assert_int_equal(live(f), 2 * ARRAY_SIZE(sizes));
	assert_sound(f->f.heap);
	assert_int_equal(stats_of(f->f.heap).finalizers_queued, 2 * ARRAY_SIZE(sizes));
	/* The node's number would be behind the smallest. */
	ran_count = 0;
	while (run(f))
		;
	assert_int_equal(live(f), 0);
	/* Objects that share a slot die with it. */
	for (i = 0; i < ARRAY_SIZE(shared); i++) {
		shared[i] = gcheap_new_leaf(f->f.thread, 1);
		assert_int_equal(gcheap_cleanup_add(f->f.heap, shared[i], note_argument,
						    (void *)i), 0);
	}
	assert_int_equal(gcheap_root_add(f->f.heap, &shared[12], 1), 0);
	assert_int_equal(live(f), 1);
	assert_int_equal(run(f), 0);
	assert_int_equal(gcheap_root_remove(f->f.heap, &shared[12]), 0);
	assert_int_equal(live(f), 0);
	assert_int_equal(run(f), 16);
}

/* ---- cleanups ---------------------------------------------------------------------- */

static void test_cleanups_run_after_their_object_has_gone(void **state)
{
	struct finals_fixture *f = *state;
	struct node *node = new_node(f, 0), *argument = new_node(f, 0);
	int i;

	/* A cycle is no matter. */
	node->next = node;
	for (i = 1; i <= 3; i++)
		assert_int_equal(gcheap_cleanup_add(f->f.heap, node, note_argument,
						    (void *)(uintptr_t)i), 0);
	assert_int_equal(gcheap_cleanup_add(f->f.heap, node, note_argument, argument), 0);
	assert_int_equal(specials_of(f->f.heap), 1);
	assert_int_equal(gcheap_cleanup_remove(f->f.heap, node, note_argument, (void *)2), 0);
	assert_refused(gcheap_cleanup_remove(f->f.heap, node, note_argument, (void *)2), ENOENT,
		       "no cleanup");
	/* The argument alone. */
	assert_int_equal(live(f), 1);
	assert_int_equal(specials_of(f->f.heap), 0);
	assert_int_equal(live(f), 1);
	assert_int_equal(run(f), 3);
	assert_int_equal(ran[0] + ran[1] + ran[2], 4 + (uintptr_t)argument);
	assert_int_equal(live(f), 0);
}

static void test_cleanups_are_taken_back_in_any_order(void **state)
{
	struct finals_fixture *f = *state;
	struct node *node;
	uintptr_t i, j;

	for (i = 0; i < 6; i++) {
		/* One of three goes first, and one of the others. */
		node = new_node(f, 0);
		for (j = 1; j <= 3; j++)
			assert_int_equal(gcheap_cleanup_add(f->f.heap, node, note_argument,
							    (void *)j), 0);
		assert_int_equal(gcheap_cleanup_remove(f->f.heap, node, note_argument,
						       (void *)(1 + i % 3)), 0);
		assert_int_equal(gcheap_cleanup_remove(f->f.heap, node, note_argument,
						       (void *)(1 + (i % 3 + 1 + i / 3) % 3)), 0);
		assert_int_equal(specials_of(f->f.heap), 1);
		ran_count = 0;
		assert_int_equal(live(f), 0);
		assert_int_equal(run(f), 1);
		assert_int_equal(ran[0], 1 + (i % 3 + 2 - i / 3) % 3);
		node = new_node(f, 0);
		assert_int_equal(gcheap_cleanup_add(f->f.heap, node, note_argument, NULL), 0);
		assert_int_equal(gcheap_cleanup_remove(f->f.heap, node, note_argument, NULL), 0);
		assert_int_equal(specials_of(f->f.heap), 0);
		assert_sound(f->f.heap);
	}
}

static void test_the_argument_of_a_cleanup_that_moves_up_is_a_root(void **state)
{
	struct finals_fixture *f = *state;
	struct node *node = new_node(f, 0);

	assert_int_equal(gcheap_cleanup_add(f->f.heap, node, note_argument, NULL), 0);
	assert_int_equal(gcheap_cleanup_add(f->f.heap, node, note_argument, new_node(f, 0)), 0);
	assert_int_equal(gcheap_pin(f->f.heap, node), 0);
	assert_int_equal(live(f), 2);
	assert_int_equal(gcheap_cleanup_remove(f->f.heap, node, note_argument, NULL), 0);
	assert_int_equal(live(f), 2);
	assert_int_equal(gcheap_unpin(f->f.heap, node), 0);
	assert_int_equal(live(f), 1);
	assert_int_equal(run(f), 1);
	assert_int_equal(live(f), 0);
}

static void test_a_finalizer_runs_before_cleanups(void **state)
{
	struct finals_fixture *f = *state;
	struct node *node = new_final(f, 1);

	assert_int_equal(gcheap_cleanup_add(f->f.heap, node, note_argument, (void *)2), 0);
	assert_int_equal(live(f), 1);
	assert_int_equal(run(f), 1);
	assert_int_equal(live(f), 0);
	assert_int_equal(run(f), 1);
	assert_int_equal(ran[0], 1);
	assert_int_equal(ran[1], 2);
}

#if defined(__SANITIZE_THREAD__)
#define MANY		100000
#else
#define MANY		1000000
#endif

static int many_ran;

static void note_one_of_many(void *obj, void *arg)
{
	(void)obj;
	(void)arg;
	many_ran++;
}

static void test_a_million_objects_die_in_one_cycle(void **state)
{
	struct finals_fixture *f = *state;
	bool is_device = gcheap_backend(f->f.heap) == GCHEAP_BACKEND_DEVICE;
	int count = is_device ? MANY / 10 : MANY;
	int i;

	many_ran = 0;
	for (i = 0; i < count; i++)
		assert_int_equal(gcheap_finalizer_set(f->f.heap, new_node(f, 0), note_one_of_many,
						      NULL), 0);
	assert_int_equal(live(f), count);
	assert_int_equal(run(f), count);
	assert_int_equal(many_ran, count);
	assert_int_equal(live(f), 0);
	assert_int_equal(f->f.heap->specials.records.used, 0);
	assert_sound(f->f.heap);
}

static void test_a_hundred_thousand_cleanups_of_one_object(void **state)
{
	enum { COUNT = 100000 };
	struct finals_fixture *f = *state;
	struct node *node = new_node(f, 0);
	int i;

	for (i = 0; i < COUNT; i++)
		assert_int_equal(gcheap_cleanup_add(f->f.heap, node, note_argument, NULL), 0);
	assert_int_equal(live(f), 0);
	assert_int_equal(run(f), COUNT);
	for (i = 0; i < (int)POOL_RESTS; i++)
		assert_int_equal(live(f), 0);
	assert_int_equal(f->f.heap->specials.records.chunk_count, 0);
}

static void test_what_is_freed_has_no_finalizer_any_more(void **state)
{
	struct finals_fixture *f = *state;
	struct node *node = new_final(f, 1), *large;

	assert_int_equal(gcheap_cleanup_add(f->f.heap, node, note_argument, (void *)2), 0);
	gcheap_free(f->f.thread, node);
	large = gcheap_new_array(f->f.thread, f->node, 5000);
	assert_int_equal(gcheap_finalizer_set(f->f.heap, large, note_node, NULL), 0);
	gcheap_free(f->f.thread, large);
	assert_int_equal(specials_of(f->f.heap), 0);
	assert_sound(f->f.heap);
	assert_int_equal(run(f), 1);
	assert_int_equal(ran[0], 2);
	assert_int_equal(live(f), 0);
	assert_int_equal(run(f), 0);
}

/* ---- errors -------------------------------------------------------------------------- */

static void test_err_finalizers(void **state)
{
	struct finals_fixture *f = *state;
	struct gcheap *heap = f->f.heap;
	struct node *node = new_node(f, 1);
	char *tiny = gcheap_new_leaf(f->f.thread, 1);

	assert_refused(gcheap_finalizer_set(NULL, node, note_node, NULL), EINVAL, "NULL");
	assert_refused(gcheap_finalizer_set(heap, NULL, note_node, NULL), EINVAL, "begins");
	assert_refused(gcheap_finalizer_set(heap, &node->other, note_node, NULL), EINVAL,
		       "begins elsewhere");
	assert_refused(gcheap_cleanup_add(heap, node, NULL, NULL), EINVAL, "NULL");
	assert_refused(gcheap_cleanup_add(heap, &node->other, note_argument, NULL), EINVAL,
		       "begins elsewhere");
	assert_refused(gcheap_cleanup_add(heap, node, note_argument, node), EINVAL, "leads to");
	assert_refused(gcheap_cleanup_add(heap, node, note_argument, &node->number), EINVAL,
		       "leads to");
	assert_refused(gcheap_cleanup_add(heap, tiny, note_argument, tiny), EINVAL, "leads to");
	assert_refused(gcheap_cleanup_remove(heap, &node->other, note_argument, NULL), EINVAL,
		       "begins elsewhere");
	assert_refused(gcheap_cleanup_remove(heap, node, note_argument, NULL), ENOENT, "no cleanup");
	assert_refused(gcheap_run_finalizers(NULL), EINVAL, "NULL");
	gcheap_park(f->f.thread);
	assert_refused(gcheap_run_finalizers(f->f.thread), EINVAL, "parked");
	gcheap_unpark(f->f.thread);
	assert_refused(gcheap_finalizer_cycles(NULL, NULL, 0), EINVAL, "NULL");
	assert_int_equal(specials_of(heap), 0);
	assert_int_equal(live(f), 0);
}

static void test_err_no_memory_for_a_finalizer(void **state)
{
	struct finals_fixture *f = *state;
	struct gcheap *heap = f->f.heap;
	struct node *node = new_node(f, 1), *has = new_node(f, 2);
	struct starved starved;

	assert_refused_without_memory(heap, gcheap_finalizer_set(heap, node, note_node, NULL));
	assert_refused_without_memory(heap, gcheap_cleanup_add(heap, node, note_argument, NULL));
	assert_int_equal(gcheap_cleanup_add(heap, node, note_argument, (void *)3), 0);
	starve(&starved, &heap->specials.records);
	/* A further one, and another finalizer where there is one: that needs none. */
	assert_int_equal(gcheap_cleanup_add(heap, node, note_argument, NULL), -ENOMEM);
	feed(&starved);
	assert_int_equal(gcheap_finalizer_set(heap, has, note_node, NULL), 0);
	starve(&starved, &heap->specials.records);
	assert_int_equal(gcheap_finalizer_set(heap, has, note_node, (void *)4), 0);
	feed(&starved);
	assert_sound(heap);
	assert_int_equal(live(f), 1);
	assert_int_equal(run(f), 2);
	assert_int_equal(ran[0] + ran[1], 9);
}

/* ---- what they may do ------------------------------------------------------------------- */

static void busy(void *obj, void *arg)
{
	struct finals_fixture *f = arg;
	struct node *list = NULL;
	int i;

	/* It and all it leads to live until it has returned, whatever runs meanwhile. */
	for (i = 0; i < 100; i++) {
		new_final(f, 1000 + i)->next = list;
		gcheap_new_leaf(f->f.thread, 100000);
	}
	note(live_after_collect(&f->f));
	note(((struct node *)obj)->next->number);
	gcheap_park(f->f.thread);
	gcheap_unpark(f->f.thread);
	if (gcheap_run_finalizers(f->f.thread) != 100)
		note(9999);
}

static void test_finalizers_allocate_collect_and_run_others(void **state)
{
	struct finals_fixture *f = *state;
	struct node *node = new_node(f, 1);

	node->next = new_node(f, 55);
	assert_int_equal(gcheap_finalizer_set(f->f.heap, node, busy, f), 0);
	assert_int_equal(live(f), 2);
	assert_int_equal(run(f), 1);
	assert_int_equal(ran_count, 102);
	assert_int_equal(ran[0], 102);
	assert_int_equal(ran[1], 55);
	assert_int_equal(live(f), 0);
	assert_int_equal(stats_of(f->f.heap).finalizers_run, 101);
}

static void queue_another(void *obj, void *arg)
{
	struct finals_fixture *f = arg;

	(void)obj;
	gcheap_finalizer_set(f->f.heap, new_node(f, 0), queue_another, f);
	note(live_after_collect(&f->f));
}

static void test_what_is_queued_meanwhile_is_left_to_the_next_call(void **state)
{
	struct finals_fixture *f = *state;
	int i;

	assert_int_equal(gcheap_finalizer_set(f->f.heap, new_node(f, 0), queue_another, f), 0);
	assert_int_equal(live(f), 1);
	for (i = 1; i < 5; i++) {
		assert_int_equal(run(f), 1);
		assert_int_equal(ran_count, i);
	}
	/* Closed with one that waits, and one that is set. */
	new_final(f, 1);
}

struct ender {
	struct gcheap *heap;
	struct gcheap_thread *thread;
	bool detaches;
};

static void end_thread(void *obj, void *arg)
{
	struct ender *ender = arg;

	note(((struct node *)obj)->number);
	if (ender->detaches)
		gcheap_thread_detach(ender->thread);
	else
		pthread_exit(NULL);
}

static void *run_and_end(void *arg)
{
	struct ender *ender = arg;

	if (gcheap_thread_attach(ender->heap, &ender->thread))
		return "attach";
	if (gcheap_run_finalizers(ender->thread) != 1)
		return "run";
	return ender->detaches ? NULL : "not ended";
}

static void attach_again(void *obj, void *arg)
{
	struct ender *ender = arg;

	note(((struct node *)obj)->number);
	gcheap_thread_detach(ender->thread);
	if (gcheap_thread_attach(ender->heap, &ender->thread))
		abort();
}

static void *run_and_attach_again(void *arg)
{
	struct ender *ender = arg;
	struct gcheap_thread *before;
	int i;

	if (gcheap_thread_attach(ender->heap, &ender->thread))
		return "attach";
	for (i = 0; i < 20; i++) {
		before = ender->thread;
		if (gcheap_run_finalizers(before) != 1)
			return "run";
	}
	gcheap_thread_detach(ender->thread);
	return NULL;
}

/* Its new handle may be where the old one was: the record that ran is forgotten all the same. */
static void test_finalizers_may_attach_their_thread_again(void **state)
{
	struct finals_fixture *f = *state;
	struct ender ender = { .heap = f->f.heap };
	pthread_t thread;
	void *result;
	int i;

	for (i = 0; i < 20; i++)
		assert_int_equal(gcheap_finalizer_set(f->f.heap, new_node(f, i), attach_again,
						      &ender), 0);
	assert_int_equal(live(f), 20);
	gcheap_park(f->f.thread);
	assert_int_equal(pthread_create(&thread, NULL, run_and_attach_again, &ender), 0);
	assert_int_equal(pthread_join(thread, &result), 0);
	gcheap_unpark(f->f.thread);
	assert_null(result);
	assert_int_equal(ran_count, 20);
	/* Records of their own, each. */
	for (i = 0; i < 100; i++)
		new_final(f, i);
	assert_sound(f->f.heap);
	assert_int_equal(live(f), 100);
	assert_int_equal(run(f), 100);
	assert_int_equal(live(f), 0);
	assert_sound(f->f.heap);
}

static void fork_now(void *obj, void *arg)
{
	(void)obj;
	*(pid_t *)arg = fork();
}

/* A child runs no more of what is queued: its objects are not there. */
static void test_a_finalizer_may_fork(void **state)
{
	struct finals_fixture *f = *state;
	pid_t child = -1;
	int status, count;

	assert_int_equal(gcheap_finalizer_set(f->f.heap, new_node(f, 1), fork_now, &child), 0);
	assert_int_equal(live(f), 1);
	/* Behind the first one in the queue. */
	new_final(f, 2);
	assert_int_equal(live(f), 2);
	count = run(f);
	if (!child)
		_exit(count != 1 || ran_count || run(f) != -EPERM);
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(count, 2);
	assert_int_equal(ran_count, 1);
}

static void test_finalizers_may_end_their_thread(void **state)
{
	struct finals_fixture *f = *state;
	struct ender ender = { .heap = f->f.heap };
	pthread_t thread;
	void *result;
	int i;

	for (i = 0; i < 2; i++) {
		ender.detaches = i;
		assert_int_equal(gcheap_finalizer_set(f->f.heap, new_node(f, 3), end_thread,
						      &ender), 0);
		new_final(f, 4);
		assert_int_equal(live(f), 2);
		assert_int_equal(pthread_create(&thread, NULL, run_and_end, &ender), 0);
		gcheap_park(f->f.thread);
		assert_int_equal(pthread_join(thread, &result), 0);
		gcheap_unpark(f->f.thread);
		if (result)
			fail_msg("%s", (const char *)result);
		/* The other one is another thread's. */
		assert_int_equal(run(f), 1);
		assert_int_equal(ran_count, 2 * i + 2);
		assert_int_equal(live(f), 0);
	}
}

/* ---- threads, fork ------------------------------------------------------------------------ */

struct worker {
	struct gcheap *heap;
	gcheap_type node;
	uint64_t set, ran;
	bool is_over;
	pthread_t self;
};

static void count(void *obj, void *arg)
{
	struct worker *w = arg;

	/* Its own, untouched. */
	if (((struct node *)obj)->next->number == ((struct node *)obj)->number)
		__atomic_fetch_add(&w->ran, 1, __ATOMIC_RELAXED);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct gcheap_thread *thread;
	struct node *node = NULL, *inner = NULL;
	uint64_t i;

	if (gcheap_thread_attach(w->heap, &thread))
		return "attach";
	GCHEAP_FRAME(thread, node, inner);
	for (i = 0; i < 20000; i++) {
		node = NULL;
		inner = gcheap_new(thread, w->node);
		node = gcheap_new(thread, w->node);
		if (!inner || !node)
			return "new";
		node->next = inner;
		inner->number = i;
		node->number = i;
		if (gcheap_finalizer_set(w->heap, node, count, w))
			return "set";
		if (i % 3 == 0 && gcheap_finalizer_set(w->heap, node, NULL, NULL))
			return "remove";
		w->set += i % 3 != 0;
		if (i % 64 == 0 && gcheap_run_finalizers(thread) < 0)
			return "run";
		if (i % 4096 == 0 && gcheap_collect(thread))
			return "collect";
	}
	GCHEAP_FRAME_END(thread);
	gcheap_thread_detach(thread);
	return NULL;
}

static void test_threads_set_and_run_during_cycles(void **state)
{
	enum { WORKERS = 4 };
	struct finals_fixture *f = *state;
	struct worker workers[WORKERS] = { { NULL } };
	uint64_t set = 0, have_run = 0;
	void *result;
	int i;

	for (i = 0; i < WORKERS; i++) {
		workers[i].heap = f->f.heap;
		workers[i].node = f->node;
		assert_int_equal(pthread_create(&workers[i].self, NULL, work, &workers[i]), 0);
	}
	for (i = 0; i < 20; i++) {
		assert_int_equal(gcheap_collect(f->f.thread), 0);
		assert_true(run(f) >= 0);
		assert_sound(f->f.heap);
	}
	gcheap_park(f->f.thread);
	for (i = 0; i < WORKERS; i++) {
		assert_int_equal(pthread_join(workers[i].self, &result), 0);
		if (result)
			fail_msg("%s", (const char *)result);
	}
	gcheap_unpark(f->f.thread);
	assert_int_equal(gcheap_collect(f->f.thread), 0);
	assert_true(run(f) >= 0);
	assert_int_equal(live(f), 0);
	for (i = 0; i < WORKERS; i++) {
		set += workers[i].set;
		have_run += workers[i].ran;
	}
	assert_int_equal(have_run, set);
	assert_int_equal(specials_of(f->f.heap), 0);
}

static void test_a_child_has_no_finalizers(void **state)
{
	struct finals_fixture *f = *state;
	struct node *node = new_final(f, 1);
	int status;
	pid_t child;

	assert_int_equal(live(f), 1);
	new_final(f, 2);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		if (gcheap_finalizer_set(f->f.heap, node, note_node, NULL) != -EPERM ||
		    gcheap_cleanup_add(f->f.heap, node, note_argument, NULL) != -EPERM ||
		    gcheap_cleanup_remove(f->f.heap, node, note_argument, NULL) != -EPERM ||
		    gcheap_finalizer_cycles(f->f.heap, NULL, 0) != -EPERM ||
		    run(f) != -EPERM)
			_exit(1);
		gcheap_thread_detach(f->f.thread);
		gcheap_close(f->f.heap);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(run(f), 1);
}

static void test_pages_of_dead_objects_are_not_special(void **state)
{
	struct finals_fixture *f = *state;
	struct node *nodes[3000];
	void *roots[3000] = { NULL };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(nodes); i++) {
		nodes[i] = new_node(f, i);
		assert_int_equal(gcheap_cleanup_add(f->f.heap, nodes[i], note_argument, NULL), 0);
	}
	/* Some in the middle of spans, and none in others. */
	for (i = 0; i < 1500; i += 7)
		roots[i] = nodes[i];
	assert_int_equal(gcheap_root_add(f->f.heap, roots, ARRAY_SIZE(roots)), 0);
	assert_int_equal(live(f), 215);
	assert_int_equal(specials_of(f->f.heap), 215);
	assert_sound(f->f.heap);
	assert_int_equal(run(f), 3000 - 215);
	memset(roots, 0, sizeof(roots));
	assert_int_equal(live(f), 0);
	assert_sound(f->f.heap);
	assert_int_equal(gcheap_root_remove(f->f.heap, roots), 0);
}

static void test_verify_looks_at_what_is_queued(void **state)
{
	struct finals_fixture *f = *state;
	struct node *node = new_final(f, 1);
	struct special *special;

	assert_int_equal(live(f), 1);
	special = (struct special *)f->f.heap->specials.queue.next;
	special->object = &node->number;
	assert_broken(f->f.heap, "is of none");
	special->object = node;
	assert_sound(f->f.heap);
	assert_int_equal(run(f), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		test_with_nodes(test_a_finalizer_runs_once_before_its_object_is_freed),
		test_with_nodes(test_the_outermost_runs_first),
		test_with_nodes(test_cycles_never_run_and_are_counted),
		test_with_nodes(test_cycles_among_many_are_counted_by_the_second_cycle),
		test_with_nodes(test_finalizers_may_resurrect_and_set_anew),
		test_with_nodes(test_a_second_finalizer_replaces_the_first),
		test_with_nodes(test_arguments_in_the_heap_live_until_they_were_used),
		test_with_nodes(test_objects_of_any_size_have_finalizers),
		test_with_nodes(test_cleanups_run_after_their_object_has_gone),
		test_with_nodes(test_cleanups_are_taken_back_in_any_order),
		test_with_nodes(test_the_argument_of_a_cleanup_that_moves_up_is_a_root),
		test_with_nodes(test_a_finalizer_runs_before_cleanups),
		test_with_nodes(test_a_million_objects_die_in_one_cycle),
		test_with_nodes(test_a_hundred_thousand_cleanups_of_one_object),
		test_with_nodes(test_what_is_freed_has_no_finalizer_any_more),
		test_with_nodes(test_err_finalizers),
		test_with_nodes(test_err_no_memory_for_a_finalizer),
		test_with_nodes(test_finalizers_allocate_collect_and_run_others),
		test_with_nodes(test_what_is_queued_meanwhile_is_left_to_the_next_call),
		test_with_nodes(test_finalizers_may_end_their_thread),
		test_with_nodes(test_finalizers_may_attach_their_thread_again),
		test_with_nodes(test_a_finalizer_may_fork),
		test_with_nodes(test_threads_set_and_run_during_cycles),
		test_with_nodes(test_a_child_has_no_finalizers),
		test_with_nodes(test_pages_of_dead_objects_are_not_special),
		test_with_nodes(test_verify_looks_at_what_is_queued),
	};

	return run_in_all_layouts("finalizers", tests);
}
