// SPDX-License-Identifier: MIT
/*
 * A cycle that cannot be sure that threads were stopped all the time: the kernel holds them for some
 * seconds at most. Then nothing is freed, and what is special about objects ends for all of them or
 * for none. The test says when the stop began, so that the time is over at any moment of the cycle.
 * Who looks through the heap looks again.
 */
#include <time.h>

#include "specials.h"

#define DEAD		2000
#define SURE_NS		((uint64_t)GCHEAP_STOP_HOLD_MAX / 2 * 1000 * 1000)

struct node {
	struct node *next;
	uint64_t number;
};

/**
 * struct unsure - objects of which all are dead, and what is said of them
 * @f: the heap
 * @node: their type
 * @holding: how the heap's threads are stopped otherwise
 * @left_ns: how long the stop is sure when marking begins
 * @weak: a reference to each
 * @map: each is a key
 * @ran: finalizers and cleanups that have run
 */
struct unsure {
	struct fixture f;
	gcheap_type node;
	struct holding holding;
	uint64_t left_ns;
	struct gcheap_weak *weak[DEAD];
	struct gcheap_weak_map *map;
	int ran;
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void cycle_begins(struct gcheap *heap, void *arg)
{
	struct unsure *u = arg;

	if (!u->left_ns)
		return;
	heap->world.holding.stop = 1;
	heap->world.holding.begin_ns = now_ns() + u->left_ns - SURE_NS;
}

static void note_object(void *obj, void *arg)
{
	(void)obj;
	((struct unsure *)arg)->ran++;
}

static void note(void *arg)
{
	((struct unsure *)arg)->ran++;
}

static void objects_make(struct unsure *u)
{
	int i;

	u->ran = 0;
	for (i = 0; i < DEAD; i++) {
		struct node *node = gcheap_new(u->f.thread, u->node);
		struct node *value = gcheap_new(u->f.thread, u->node);

		assert_true(node && value);
		value->next = node;
		assert_int_equal(gcheap_weak_new(u->f.heap, node, &u->weak[i]), 0);
		assert_int_equal(gcheap_weak_map_set(u->map, node, value), 0);
		assert_int_equal(gcheap_finalizer_set(u->f.heap, node, note_object, u), 0);
		assert_int_equal(gcheap_cleanup_add(u->f.heap, value, note, u), 0);
	}
}

static int referred(struct unsure *u)
{
	int i, count = 0;

	for (i = 0; i < DEAD; i++)
		count += gcheap_weak_get(u->f.thread, u->weak[i]) != NULL;
	return count;
}

static void objects_drop(struct unsure *u)
{
	int i;

	u->left_ns = 0;
	for (i = 0; i < 3; i++) {
		assert_int_equal(gcheap_collect(u->f.thread), 0);
		gcheap_run_finalizers(u->f.thread);
	}
	assert_int_equal(u->ran, 2 * DEAD);
	for (i = 0; i < DEAD; i++)
		gcheap_weak_free(u->f.heap, u->weak[i]);
	assert_int_equal(gcheap_collect(u->f.thread), 0);
	assert_int_equal(u->f.heap->specials.records.used, 0);
}

/* Whether anything has ended, and with it all. */
static bool cycle_has_ended_entries(struct unsure *u, uint64_t left_ns)
{
	struct gcheap_stats stats = { .size = sizeof(stats) };
	int count, error;

	u->left_ns = left_ns;
	error = gcheap_collect(u->f.thread);
	if (error)
		assert_refused(error, ETIMEDOUT, "nothing was freed");
	u->f.heap->world.holding = u->holding;
	count = referred(u);
	assert_true(count == 0 || count == DEAD);
	assert_true(error || count == 0);
	/* A finalizer's object keeps its values. */
	assert_int_equal(gcheap_weak_map_count(u->map), DEAD);
	assert_int_equal(gcheap_stats(u->f.heap, &stats), 0);
	assert_int_equal(stats.finalizers_queued, count ? 0 : DEAD);
	assert_int_equal(gcheap_run_finalizers(u->f.thread), count ? 0 : DEAD);
	assert_sound(u->f.heap);
	return !count;
}

static void test_entries_end_for_all_or_for_none(void **state)
{
	struct unsure *u = calloc(1, sizeof(*u));
	const struct gcheap_hooks hooks = {
		.size = sizeof(hooks), .cycle_begins = cycle_begins, .arg = u,
	};
	struct gcheap_config config = fixture_config();
	uint64_t too_short = 1, enough = 2000;
	int unchanged = 0;

	(void)state;
	config.gc_percent = -1;
	fixture_open_with(&u->f, &config);
	u->holding = u->f.heap->world.holding;
	u->node = GCHEAP_TYPE(u->f.heap, struct node, next);
	assert_int_equal(gcheap_weak_map_new(u->f.heap, NULL, &u->map), 0);
	assert_int_equal(gcheap_hooks_add(u->f.heap, &hooks), 0);
	objects_make(u);
	for (; !cycle_has_ended_entries(u, enough); enough *= 2) {
		too_short = enough;
		unchanged++;
	}
	objects_drop(u);
	objects_make(u);
	/* Closer and closer to the last moment at which anything may be taken back. */
	while (enough - too_short > 2000) {
		uint64_t middle = too_short + (enough - too_short) / 2;

		if (cycle_has_ended_entries(u, middle)) {
			enough = middle;
			objects_drop(u);
			objects_make(u);
		} else {
			too_short = middle;
			unchanged++;
		}
	}
	assert_int_not_equal(unchanged, 0);
	objects_drop(u);
	fixture_close(&u->f);
	free(u);
}

static int count_objects(const struct gcheap_object *object, void *arg)
{
	(void)object;
	++*(int *)arg;
	return 0;
}

static int count_holders(const struct gcheap_holder *holder, void *arg)
{
	(void)holder;
	++*(int *)arg;
	return 0;
}

/* As if a stop had begun long ago, up to its end. */
static void stop_is_over(struct gcheap *heap)
{
	heap->world.holding.stop = 1;
	heap->world.holding.begin_ns = now_ns() - SURE_NS;
}

static void test_who_looks_looks_again(void **state)
{
	struct gcheap_config config = fixture_config();
	static struct node *root;
	struct fixture f;
	int objects = 0, holders = 0;
	struct holding holding;

	(void)state;
	config.gc_percent = -1;
	config.flags = 0;
	fixture_open_with(&f, &config);
	holding = f.heap->world.holding;
	root = gcheap_new(f.thread, GCHEAP_TYPE(f.heap, struct node, next));
	assert_non_null(root);
	root->next = root;
	assert_int_equal(gcheap_root_add(f.heap, &root, 1), 0);
	stop_is_over(f.heap);
	assert_int_equal(gcheap_walk(f.heap, count_objects, &objects), 0);
	assert_int_equal(objects, 1);
	assert_int_equal(f.heap->world.holding.stop, 0);
	stop_is_over(f.heap);
	assert_int_equal(gcheap_holders(f.heap, root, count_holders, &holders), 0);
	assert_int_equal(holders, 2);
	assert_int_equal(f.heap->world.holding.stop, 0);
	f.heap->world.holding = holding;
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_entries_end_for_all_or_for_none),
		cmocka_unit_test(test_who_looks_looks_again),
	};

	return run_in_all_layouts("unsure stops", tests);
}
