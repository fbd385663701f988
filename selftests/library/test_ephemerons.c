// SPDX-License-Identifier: MIT
/*
 * Ephemerons: what they keep and what not, in chains of all kinds, with finalizers and weak
 * references, beside threads; and what becomes of them.
 */
#include <sys/wait.h>
#include <unistd.h>

#include "specials.h"

struct node {
	struct node *next;
	struct node *other;
	uint64_t number;
};

struct ephemeron_fixture {
	struct fixture f;
	gcheap_type node;
	void *root;
	void *second;
	struct node *seen[4];
	int seen_count;
};

static int setup(void **state)
{
	struct ephemeron_fixture *e = calloc(1, sizeof(*e));
	struct gcheap_config config = fixture_config();

	config.gc_percent = -1;
	fixture_open_with(&e->f, &config);
	e->node = GCHEAP_TYPE(e->f.heap, struct node, next, other);
	assert_int_equal(gcheap_root_add(e->f.heap, &e->root, 2), 0);
	*state = e;
	return 0;
}

static int teardown(void **state)
{
	struct ephemeron_fixture *e = *state;

	fixture_close(&e->f);
	free(e);
	return 0;
}

#define test_with_nodes(test)	cmocka_unit_test_setup_teardown(test, setup, teardown)
#define live(e)			live_after_collect(&(e)->f)
#define run(e)			gcheap_run_finalizers((e)->f.thread)
/* System calls cost more where it is emulated. */
#define is_device(e)		(gcheap_backend((e)->f.heap) == GCHEAP_BACKEND_DEVICE)
#define records(e)		((e)->f.heap->specials.records.used)

static struct node *new_node(struct ephemeron_fixture *e)
{
	struct node *node = gcheap_new(e->f.thread, e->node);

	assert_non_null(node);
	return node;
}

static void add(struct ephemeron_fixture *e, void *key, void *value)
{
	assert_int_equal(gcheap_ephemeron_add(e->f.heap, key, value), 0);
}

static void test_a_value_lives_as_long_as_its_key(void **state)
{
	struct ephemeron_fixture *e = *state;
	struct node *key = new_node(e), *value = new_node(e);

	e->root = key;
	value->number = 17;
	add(e, key, value);
	assert_int_equal(live(e), 2);
	assert_int_equal(value->number, 17);
	assert_sound(e->f.heap);
	e->root = NULL;
	assert_int_equal(live(e), 0);
	assert_int_equal(specials_of(e->f.heap), 0);
	assert_int_equal(records(e), 0);
	assert_sound(e->f.heap);
}

/* Whatever leads from the value to the key. */
static void test_a_value_does_not_keep_its_key(void **state)
{
	struct ephemeron_fixture *e = *state;
	struct node *key = new_node(e), *value = new_node(e);

	value->next = key;
	add(e, key, value);
	add(e, key, key);
	e->root = key;
	assert_int_equal(live(e), 2);
	e->root = NULL;
	assert_int_equal(live(e), 0);
	assert_int_equal(records(e), 0);
}

/* The value alone is kept by somebody else: the entry goes nevertheless. */
static void test_a_value_outlives_its_key(void **state)
{
	struct ephemeron_fixture *e = *state;
	struct node *key = new_node(e), *value = new_node(e);

	add(e, key, value);
	e->root = value;
	assert_int_equal(live(e), 1);
	assert_int_equal(specials_of(e->f.heap), 0);
	assert_sound(e->f.heap);
}

static void test_a_key_has_many_values(void **state)
{
	enum { VALUES = 1000 };
	struct ephemeron_fixture *e = *state;
	struct node *key = new_node(e), *values[VALUES];
	int i;

	e->root = key;
	for (i = 0; i < VALUES; i++) {
		values[i] = new_node(e);
		add(e, key, values[i]);
	}
	assert_int_equal(specials_of(e->f.heap), 1);
	assert_int_equal(live(e), VALUES + 1);
	/* The first, the last, one between: each way out of the chain. */
	assert_int_equal(gcheap_ephemeron_remove(e->f.heap, key, values[0]), 0);
	assert_int_equal(gcheap_ephemeron_remove(e->f.heap, key, values[VALUES - 1]), 0);
	assert_int_equal(gcheap_ephemeron_remove(e->f.heap, key, values[VALUES / 2]), 0);
	assert_refused(gcheap_ephemeron_remove(e->f.heap, key, values[0]), ENOENT,
		       "no ephemeron with the value");
	assert_sound(e->f.heap);
	assert_int_equal(live(e), VALUES - 2);
	for (i = 1; i < VALUES - 1; i++) {
		if (i != VALUES / 2)
			assert_int_equal(gcheap_ephemeron_remove(e->f.heap, key, values[i]), 0);
	}
	assert_int_equal(specials_of(e->f.heap), 0);
	assert_int_equal(records(e), 0);
	assert_int_equal(live(e), 1);
}

/* The same pair as often as it was added. */
static void test_a_pair_is_counted(void **state)
{
	struct ephemeron_fixture *e = *state;
	struct node *key = new_node(e), *value = new_node(e);

	e->root = key;
	add(e, key, value);
	add(e, key, value);
	assert_int_equal(gcheap_ephemeron_remove(e->f.heap, key, value), 0);
	assert_int_equal(live(e), 2);
	assert_int_equal(gcheap_ephemeron_remove(e->f.heap, key, value), 0);
	assert_int_equal(live(e), 1);
}

/*
 * Each value is, or leads to, the next one's key. What is added first is looked at first: one of
 * the two directions is as bad as can be for passes.
 */
static void chain(struct ephemeron_fixture *e, unsigned int length, bool is_backward,
		  bool is_direct)
{
	struct node **keys = calloc(length, sizeof(*keys));
	unsigned int i;

	for (i = 0; i < length; i++) {
		keys[i] = new_node(e);
		keys[i]->number = i;
	}
	for (i = 0; i < length; i++) {
		unsigned int at = is_backward ? length - 1 - i : i;
		struct node *value = at + 1 < length ? keys[at + 1] : new_node(e);

		if (!is_direct) {
			struct node *between = new_node(e);

			between->other = value;
			value = between;
		}
		add(e, keys[at], value);
	}
	e->root = keys[0];
	assert_int_equal(live(e), is_direct ? length + 1 : 2 * length + 1);
	assert_int_equal(keys[length - 1]->number, length - 1);
	assert_sound(e->f.heap);
	/* From the middle on. */
	e->root = keys[length / 2];
	assert_int_equal(live(e), is_direct ? length - length / 2 + 1 :
					      2 * (length - length / 2) + 1);
	assert_int_equal(specials_of(e->f.heap), length - length / 2);
	e->root = NULL;
	assert_int_equal(live(e), 0);
	assert_int_equal(records(e), 0);
	free(keys);
}

static void test_chains_in_both_directions(void **state)
{
	struct ephemeron_fixture *e = *state;
	unsigned int length = is_device(e) ? 10000 : 100000;

	chain(e, 1, false, true);
	chain(e, 10, true, false);
	chain(e, length, false, true);
	chain(e, length, true, true);
	chain(e, length, false, false);
	chain(e, length, true, false);
}

/* Keys that no type tells apart from others: leaves, those that share a slot, large ones. */
static void test_keys_of_all_kinds(void **state)
{
	struct ephemeron_fixture *e = *state;
	void *keys[] = {
		gcheap_new_leaf(e->f.thread, 1),
		gcheap_new_leaf(e->f.thread, 8),
		gcheap_new_leaf(e->f.thread, 24),
		gcheap_new_leaf(e->f.thread, 300),
		gcheap_new_leaf(e->f.thread, 100000),
		gcheap_new_array(e->f.thread, e->node, 3),
		gcheap_new_array(e->f.thread, e->node, 1000),
		gcheap_new_array(e->f.thread, e->node, 100000),
	};
	enum { KEYS = sizeof(keys) / sizeof(keys[0]) };
	struct node *links[KEYS + 1];
	uint64_t before;
	int i, round;

	/* A list of nodes, each of which leads to a key, by ephemerons of those keys. */
	for (round = 0; round < 2; round++) {
		for (i = 0; i <= KEYS; i++)
			links[i] = new_node(e);
		for (i = round ? KEYS - 1 : 0; round ? i >= 0 : i < KEYS; i += round ? -1 : 1) {
			assert_non_null(keys[i]);
			links[i]->next = keys[i];
			add(e, keys[i], links[i + 1]);
		}
		e->root = links[0];
		e->second = gcheap_new_array(e->f.thread, e->node, 3);
		before = live(e);
		/* Of the two that may share a slot, one counts for both. */
		assert_in_range(before, 2 * KEYS + 1, 2 * KEYS + 2);
		e->second = NULL;
		e->root = keys[KEYS - 1];
		assert_int_equal(live(e), 2);
		assert_sound(e->f.heap);
		e->root = NULL;
		assert_int_equal(live(e), 0);
		assert_int_equal(records(e), 0);
		for (i = 0; i < KEYS && !round; i++)
			keys[i] = new_node(e);
	}
}

static void resurrect(void *obj, void *arg)
{
	struct ephemeron_fixture *e = arg;

	e->seen[e->seen_count++] = obj;
	e->root = obj;
}

static void note(void *obj, void *arg)
{
	struct ephemeron_fixture *e = arg;

	e->seen[e->seen_count++] = obj;
}

/* What a finalizer finds of its object has its values; and so has what it leads to. */
static void test_finalizers_keep_values(void **state)
{
	struct ephemeron_fixture *e = *state;
	struct node *key = new_node(e), *below = new_node(e), *values[2];

	key->next = below;
	values[0] = new_node(e);
	values[1] = new_node(e);
	values[0]->number = 1;
	values[1]->number = 2;
	/* It leads back, and does not hinder the finalizer. */
	values[0]->next = key;
	add(e, key, values[0]);
	add(e, below, values[1]);
	assert_int_equal(gcheap_finalizer_set(e->f.heap, key, resurrect, e), 0);
	assert_int_equal(live(e), 4);
	assert_int_equal(run(e), 1);
	assert_ptr_equal(e->seen[0], key);
	assert_int_equal(live(e), 4);
	assert_int_equal(values[0]->number + values[1]->number, 3);
	assert_sound(e->f.heap);
	e->root = NULL;
	assert_int_equal(live(e), 0);
	assert_int_equal(records(e), 0);
}

/* A value with a finalizer is dead when its key is, and waits for what leads to it. */
static void test_values_are_finalized_when_keys_die(void **state)
{
	struct ephemeron_fixture *e = *state;
	struct node *key = new_node(e), *value = new_node(e), *outer = new_node(e);

	e->root = key;
	add(e, key, value);
	outer->next = key;
	assert_int_equal(gcheap_finalizer_set(e->f.heap, value, note, e), 0);
	assert_int_equal(live(e), 2);
	assert_int_equal(run(e), 0);
	/* Dead: outer leads to key, which leads to the value. */
	e->root = NULL;
	outer = new_node(e);
	outer->next = key;
	assert_int_equal(gcheap_finalizer_set(e->f.heap, outer, note, e), 0);
	assert_int_equal(live(e), 3);
	assert_int_equal(run(e), 1);
	assert_ptr_equal(e->seen[0], outer);
	assert_int_equal(live(e), 1);
	assert_int_equal(run(e), 1);
	assert_ptr_equal(e->seen[1], value);
	assert_int_equal(live(e), 0);
	assert_int_equal(records(e), 0);
}

static void test_weak_references_see_values_live(void **state)
{
	struct ephemeron_fixture *e = *state;
	struct node *key = new_node(e), *value = new_node(e);
	struct gcheap_weak *weak;

	add(e, key, value);
	assert_int_equal(gcheap_weak_new(e->f.heap, value, &weak), 0);
	e->root = key;
	assert_int_equal(live(e), 3);
	assert_ptr_equal(gcheap_weak_get(e->f.thread, weak), value);
	assert_int_equal(gcheap_is_reachable(e->f.thread, value), 1);
	e->root = NULL;
	assert_int_equal(live(e), 1);
	assert_null(gcheap_weak_get(e->f.thread, weak));
	gcheap_weak_free(e->f.heap, weak);
}

static void test_what_is_freed_keeps_nothing(void **state)
{
	struct ephemeron_fixture *e = *state;
	struct node *key = new_node(e), *value = new_node(e);

	add(e, key, value);
	add(e, key, key);
	gcheap_free(e->f.thread, key);
	assert_int_equal(records(e), 0);
	assert_sound(e->f.heap);
	assert_int_equal(live(e), 0);
}

/* Values may be what a pointer in an object may be. */
static void test_values_of_all_kinds(void **state)
{
	struct ephemeron_fixture *e = *state;
	struct node *key = new_node(e);
	struct node *array = gcheap_new_array(e->f.thread, e->node, 4);

	e->root = key;
	add(e, key, NULL);
	add(e, key, e);
	add(e, key, &array[2].other);
	assert_int_equal(live(e), 2);
	assert_sound(e->f.heap);
	assert_int_equal(gcheap_ephemeron_remove(e->f.heap, key, e), 0);
	assert_int_equal(gcheap_ephemeron_remove(e->f.heap, key, NULL), 0);
}

static void test_err_ephemeron(void **state)
{
	struct ephemeron_fixture *e = *state;
	struct node *key = new_node(e);
	int local;

	e->root = key;
	assert_refused(gcheap_ephemeron_add(NULL, key, key), EINVAL, "heap is NULL");
	assert_refused(gcheap_ephemeron_add(e->f.heap, NULL, key), EINVAL, "not where an object");
	assert_refused(gcheap_ephemeron_add(e->f.heap, &local, key), EINVAL,
		       "not where an object");
	assert_refused(gcheap_ephemeron_add(e->f.heap, &key->number, key), EINVAL,
		       "begins elsewhere");
	assert_refused(gcheap_ephemeron_remove(NULL, key, key), EINVAL, "heap is NULL");
	assert_refused(gcheap_ephemeron_remove(e->f.heap, &local, key), EINVAL,
		       "not where an object");
	assert_refused(gcheap_ephemeron_remove(e->f.heap, key, key), ENOENT, "no ephemeron");
	assert_int_equal(records(e), 0);
}

static void test_err_no_memory_for_an_ephemeron(void **state)
{
	struct ephemeron_fixture *e = *state;
	struct node *key = new_node(e), *value = new_node(e);

	struct starved starved;
	int error;

	e->root = key;
	assert_refused_without_memory(e->f.heap, gcheap_ephemeron_add(e->f.heap, key, value));
	assert_int_equal(specials_of(e->f.heap), 0);
	assert_int_equal(live(e), 1);
	value = new_node(e);
	add(e, key, value);
	/* One more of a chain takes a record alone. */
	starve(&starved, &e->f.heap->specials.records);
	error = gcheap_ephemeron_add(e->f.heap, key, new_node(e));
	feed(&starved);
	assert_refused(error, ENOMEM, "memory for an ephemeron");
	assert_int_equal(live(e), 2);
	assert_sound(e->f.heap);
}

static void test_verify_looks_at_ephemerons(void **state)
{
	struct ephemeron_fixture *e = *state;
	struct node *key = new_node(e), *value = new_node(e);
	struct special *special;

	e->root = key;
	add(e, key, value);
	special = e->f.heap->specials.tree.first->values[0];
	/* The page behind the last that there is. */
	special->argument = address_pointer(&e->f.heap->view, address_end(&e->f.heap->view) + 8);
	assert_broken(e->f.heap, "of the ephemeron of");
	special->argument = value;
	add(e, key, value);
	special->next->object = value;
	assert_broken(e->f.heap, "is in the chain of");
	special->next->object = key;
	assert_sound(e->f.heap);
}

/* ---- threads ---------------------------------------------------------------------- */

struct worker {
	struct ephemeron_fixture *e;
	unsigned int seed;
};

#define SHARED	16

static void *shared[SHARED];

/* Chains of its own, and ephemerons of keys that all have. */
static void *work(void *arg)
{
	struct worker *worker = arg;
	struct ephemeron_fixture *e = worker->e;
	struct gcheap_thread *thread;
	struct node *key = NULL, *value = NULL;
	int step;

	if (gcheap_thread_attach(e->f.heap, &thread))
		return "attach";
	GCHEAP_FRAME(thread, key, value);
	for (step = 0; step < (is_device(e) ? 500 : 5000); step++) {
		void *common = shared[(worker->seed + (unsigned int)step) % SHARED];

		key = gcheap_new(thread, e->node);
		value = gcheap_new(thread, e->node);
		if (!key || !value || gcheap_ephemeron_add(e->f.heap, key, value) ||
		    gcheap_ephemeron_add(e->f.heap, common, value))
			return "add";
		value->number = worker->seed + 1;
		if (step % 100 == 0 && gcheap_collect(thread))
			return "collect";
		if (gcheap_ephemeron_remove(e->f.heap, common, value))
			return "remove";
		if (value->number != worker->seed + 1)
			return "value";
	}
	GCHEAP_FRAME_END(thread);
	gcheap_thread_detach(thread);
	return NULL;
}

static void test_threads_add_and_remove_during_cycles(void **state)
{
	enum { WORKERS = 4 };
	struct ephemeron_fixture *e = *state;
	struct worker workers[WORKERS];
	int i;

	assert_int_equal(gcheap_root_add(e->f.heap, shared, SHARED), 0);
	for (i = 0; i < SHARED; i++)
		shared[i] = new_node(e);
	for (i = 0; i < WORKERS; i++)
		workers[i] = (struct worker) { .e = e, .seed = (unsigned int)i };
	run_workers(&e->f, work, workers, sizeof(*workers), WORKERS, 10);
	assert_int_equal(live(e), SHARED);
	assert_int_equal(records(e), 0);
	assert_int_equal(gcheap_root_remove(e->f.heap, shared), 0);
}

static void test_a_child_has_no_ephemerons(void **state)
{
	struct ephemeron_fixture *e = *state;
	struct node *key = new_node(e);
	int status;
	pid_t child;

	e->root = key;
	add(e, key, key);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		if (gcheap_ephemeron_add(e->f.heap, key, key) != -EPERM ||
		    gcheap_ephemeron_remove(e->f.heap, key, key) != -EPERM)
			_exit(1);
		gcheap_close(e->f.heap);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(gcheap_ephemeron_remove(e->f.heap, key, key), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		test_with_nodes(test_a_value_lives_as_long_as_its_key),
		test_with_nodes(test_a_value_does_not_keep_its_key),
		test_with_nodes(test_a_value_outlives_its_key),
		test_with_nodes(test_a_key_has_many_values),
		test_with_nodes(test_a_pair_is_counted),
		test_with_nodes(test_chains_in_both_directions),
		test_with_nodes(test_keys_of_all_kinds),
		test_with_nodes(test_finalizers_keep_values),
		test_with_nodes(test_values_are_finalized_when_keys_die),
		test_with_nodes(test_weak_references_see_values_live),
		test_with_nodes(test_what_is_freed_keeps_nothing),
		test_with_nodes(test_values_of_all_kinds),
		test_with_nodes(test_err_ephemeron),
		test_with_nodes(test_err_no_memory_for_an_ephemeron),
		test_with_nodes(test_verify_looks_at_ephemerons),
		test_with_nodes(test_threads_add_and_remove_during_cycles),
		test_with_nodes(test_a_child_has_no_ephemerons),
	};

	return run_in_all_layouts("ephemerons", tests);
}
