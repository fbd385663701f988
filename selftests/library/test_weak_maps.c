// SPDX-License-Identifier: MIT
/*
 * Weak maps: what they find and keep, with owners and without, millions of operations against a
 * model, threads, and what becomes of them.
 *
 * Environment: GCHEAP_SEED repeats a run of the model; GCHEAP_ROUNDS is its number of operations.
 */
#include <sys/wait.h>
#include <unistd.h>

#include "specials.h"
#include "weak_map.h"

struct node {
	struct node *next;
	struct node *other;
	uint64_t number;
};

struct map_fixture {
	struct fixture f;
	gcheap_type node;
	void *root;
	void *second;
	struct gcheap_weak_map *map;
};

static int setup(void **state)
{
	struct map_fixture *m = calloc(1, sizeof(*m));
	struct gcheap_config config = fixture_config();

	config.gc_percent = -1;
	fixture_open_with(&m->f, &config);
	m->node = GCHEAP_TYPE(m->f.heap, struct node, next, other);
	assert_int_equal(gcheap_root_add(m->f.heap, &m->root, 2), 0);
	assert_int_equal(gcheap_weak_map_new(m->f.heap, NULL, &m->map), 0);
	*state = m;
	return 0;
}

static int teardown(void **state)
{
	struct map_fixture *m = *state;

	fixture_close(&m->f);
	free(m);
	return 0;
}

#define test_with_map(test)	cmocka_unit_test_setup_teardown(test, setup, teardown)
#define live(m)			live_after_collect(&(m)->f)
/* System calls cost more where it is emulated. */
#define is_device(m)		(gcheap_backend((m)->f.heap) == GCHEAP_BACKEND_DEVICE)
#define records(m)		((m)->f.heap->specials.records.used)
#define get(m, key)		gcheap_weak_map_get((m)->f.thread, (m)->map, key)
#define count(m)		gcheap_weak_map_count((m)->map)

static struct node *new_node(struct map_fixture *m)
{
	struct node *node = gcheap_new(m->f.thread, m->node);

	assert_non_null(node);
	return node;
}

static void set(struct map_fixture *m, void *key, void *value)
{
	assert_int_equal(gcheap_weak_map_set(m->map, key, value), 0);
}

static void test_a_key_has_a_value_while_it_lives(void **state)
{
	struct map_fixture *m = *state;
	struct node *key = new_node(m), *value = new_node(m);

	m->root = key;
	value->next = key;
	assert_null(get(m, key));
	set(m, key, value);
	assert_ptr_equal(get(m, key), value);
	assert_null(get(m, value));
	assert_int_equal(live(m), 2);
	assert_ptr_equal(get(m, key), value);
	assert_int_equal(count(m), 1);
	assert_sound(m->f.heap);
	m->root = NULL;
	assert_int_equal(live(m), 0);
	assert_int_equal(count(m), 0);
	assert_int_equal(records(m), 0);
	assert_sound(m->f.heap);
}

static void test_a_value_is_replaced_and_removed(void **state)
{
	struct map_fixture *m = *state;
	struct node *key = new_node(m);

	m->root = key;
	set(m, key, new_node(m));
	set(m, key, new_node(m));
	assert_int_equal(count(m), 1);
	assert_int_equal(live(m), 2);
	assert_int_equal(gcheap_weak_map_remove(m->map, key), 0);
	assert_null(get(m, key));
	assert_int_equal(live(m), 1);
	assert_int_equal(records(m), 0);
	assert_refused(gcheap_weak_map_remove(m->map, key), ENOENT, "no key of this weak map");
}

/* What one says of a key is not the other's, and the program's own ephemerons are neither's. */
static void test_maps_do_not_share_values(void **state)
{
	struct map_fixture *m = *state;
	struct node *key = new_node(m), *value = new_node(m);
	struct gcheap_weak_map *other;

	m->root = key;
	assert_int_equal(gcheap_weak_map_new(m->f.heap, NULL, &other), 0);
	set(m, key, value);
	assert_int_equal(gcheap_weak_map_set(other, key, key), 0);
	assert_ptr_equal(get(m, key), value);
	assert_ptr_equal(gcheap_weak_map_get(m->f.thread, other, key), key);
	assert_refused(gcheap_ephemeron_remove(m->f.heap, key, value), ENOENT, "no ephemeron");
	gcheap_weak_map_free(other);
	assert_ptr_equal(get(m, key), value);
	assert_int_equal(live(m), 2);
	assert_sound(m->f.heap);
	gcheap_weak_map_free(m->map);
	m->map = NULL;
	assert_int_equal(live(m), 1);
	assert_int_equal(records(m), 0);
	assert_int_equal(m->f.heap->specials.map_bytes, 0);
}

static void test_a_map_goes_with_its_owner(void **state)
{
	struct map_fixture *m = *state;
	struct node *key = new_node(m), *owner = new_node(m), *value = new_node(m);
	struct gcheap_weak_map *map, *second;

	m->root = key;
	m->second = owner;
	assert_int_equal(gcheap_weak_map_new(m->f.heap, owner, &map), 0);
	assert_int_equal(gcheap_weak_map_new(m->f.heap, owner, &second), 0);
	assert_int_equal(gcheap_weak_map_set(map, key, value), 0);
	assert_int_equal(gcheap_weak_map_set(second, key, value), 0);
	/* The value leads to the owner: neither of the two keeps the other. */
	value->next = owner;
	assert_int_equal(live(m), 3);
	assert_sound(m->f.heap);
	m->second = NULL;
	assert_int_equal(live(m), 1);
	assert_int_equal(records(m), 0);
	assert_true(m->f.heap->specials.maps.next == &m->map->link &&
		    m->f.heap->specials.maps.prev == &m->map->link);
	assert_sound(m->f.heap);
}

/* Whichever of the two is found first: roots lead to one, and that leads to the other. */
static void test_an_entry_needs_both_key_and_owner(void **state)
{
	struct map_fixture *m = *state;
	int which;

	for (which = 0; which < 4; which++) {
		struct node *key = new_node(m), *owner = new_node(m);
		struct node *first = which & 1 ? key : owner;
		struct gcheap_weak_map *map;

		assert_int_equal(gcheap_weak_map_new(m->f.heap, owner, &map), 0);
		assert_int_equal(gcheap_weak_map_set(map, key, new_node(m)), 0);
		/* The other one is the value of an ephemeron, the end of a chain of some. */
		m->root = first;
		if (which & 2) {
			struct node *between = new_node(m);

			assert_int_equal(gcheap_ephemeron_add(m->f.heap, between,
							      which & 1 ? owner : key), 0);
			assert_int_equal(gcheap_ephemeron_add(m->f.heap, first, between), 0);
		} else {
			first->other = which & 1 ? owner : key;
		}
		assert_int_equal(live(m), which & 2 ? 4 : 3);
		assert_int_equal(gcheap_weak_map_count(map), 1);
		assert_sound(m->f.heap);
		first->other = NULL;
		m->root = owner;
		live(m);
		m->root = NULL;
		assert_int_equal(live(m), 0);
		assert_int_equal(records(m), 0);
	}
}

static void keep(void *obj, void *arg)
{
	*(void **)arg = obj;
}

static void test_a_finalizer_finds_its_map(void **state)
{
	struct map_fixture *m = *state;
	struct node *key = new_node(m), *owner = new_node(m), *value = new_node(m);
	struct gcheap_weak_map *map;

	assert_int_equal(gcheap_weak_map_new(m->f.heap, owner, &map), 0);
	assert_int_equal(gcheap_weak_map_set(map, key, value), 0);
	owner->next = key;
	value->next = owner;
	assert_int_equal(gcheap_finalizer_set(m->f.heap, owner, keep, &m->root), 0);
	assert_int_equal(live(m), 3);
	assert_int_equal(gcheap_run_finalizers(m->f.thread), 1);
	assert_ptr_equal(m->root, owner);
	assert_ptr_equal(gcheap_weak_map_get(m->f.thread, map, key), value);
	assert_int_equal(live(m), 3);
	m->root = NULL;
	assert_int_equal(live(m), 0);
	assert_int_equal(records(m), 0);
}

static void test_what_is_freed_leaves_its_maps(void **state)
{
	struct map_fixture *m = *state;
	struct node *key = new_node(m), *owner = new_node(m);
	struct gcheap_weak_map *map;

	m->root = key;
	assert_int_equal(gcheap_weak_map_new(m->f.heap, owner, &map), 0);
	assert_int_equal(gcheap_weak_map_set(map, key, key), 0);
	/* The owner is a key of its own map. */
	assert_int_equal(gcheap_weak_map_set(map, owner, key), 0);
	set(m, owner, key);
	set(m, key, owner);
	gcheap_free(m->f.thread, owner);
	assert_int_equal(count(m), 1);
	assert_int_equal(records(m), 1);
	/* Its value is what was freed, and that is the program's mistake: not any more. */
	assert_int_equal(gcheap_weak_map_remove(m->map, key), 0);
	m->root = NULL;
	gcheap_free(m->f.thread, key);
	assert_int_equal(records(m), 0);
	assert_sound(m->f.heap);
}

/* ---- a model ---------------------------------------------------------------------- */

#define KEYS		4096u
/* Of each layout: four times as many are ten million. */
#if defined(__SANITIZE_THREAD__)
#define OPERATIONS	400000u
#else
#define OPERATIONS	2500000u
#endif
#define OPERATIONS_DEVICE	100000u

/**
 * struct table_model - what a map should have
 * @keys: roots; NULL: the key is dead, or will be
 * @values: the number of the value of each, 0: it has none
 * @count: how many have one
 */
struct table_model {
	struct node *keys[KEYS];
	uint64_t values[KEYS];
	uint64_t count;
};

static void model_check(struct map_fixture *m, const struct table_model *model)
{
	unsigned int i;

	assert_int_equal(gcheap_collect(m->f.thread), 0);
	assert_int_equal(count(m), model->count);
	for (i = 0; i < KEYS; i++) {
		const struct node *value = model->keys[i] ? get(m, model->keys[i]) : NULL;

		assert_int_equal(value ? value->number : 0, model->values[i]);
	}
	assert_sound(m->f.heap);
}

static void model_step(struct map_fixture *m, struct table_model *model, uint64_t random,
		       uint64_t number)
{
	unsigned int i = random % KEYS;
	struct node *value;

	if (!model->keys[i]) {
		model->keys[i] = new_node(m);
		return;
	}
	switch (random >> 32 & 15) {
	case 0:
		/* It dies, with its value. */
		model->count -= model->values[i] != 0;
		model->values[i] = 0;
		model->keys[i] = NULL;
		break;
	case 1:
	case 2:
		assert_int_equal(gcheap_weak_map_remove(m->map, model->keys[i]),
				 model->values[i] ? 0 : -ENOENT);
		model->count -= model->values[i] != 0;
		model->values[i] = 0;
		break;
	case 3:
	case 4:
	case 5:
	case 6:
		value = new_node(m);
		value->number = number;
		/* Each second one leads back to its key, and another one's. */
		if (random >> 40 & 1) {
			value->next = model->keys[i];
			value->other = model->keys[(i + 1) % KEYS];
		}
		set(m, model->keys[i], value);
		model->count += model->values[i] == 0;
		model->values[i] = number;
		break;
	default:
		value = get(m, model->keys[i]);
		assert_int_equal(value ? value->number : 0, model->values[i]);
		break;
	}
}

/*
 * What leads on to another key keeps that alive, though it is no root: the model's count is of
 * roots alone, so such a value is dropped before the key may die.
 */
static void links_drop(struct map_fixture *m, struct table_model *model)
{
	unsigned int i;

	for (i = 0; i < KEYS; i++) {
		struct node *value = model->keys[i] ? get(m, model->keys[i]) : NULL;

		if (value)
			value->other = NULL;
	}
}

static void test_operations_are_those_of_a_model(void **state)
{
	struct map_fixture *m = *state;
	struct table_model *model = calloc(1, sizeof(*model));
	uint64_t seed = environment_number("GCHEAP_SEED", (uint64_t)getpid());
	uint64_t operations = environment_number("GCHEAP_ROUNDS", is_device(m) ? OPERATIONS_DEVICE : OPERATIONS);
	uint64_t random = seed, i;

	print_message("# GCHEAP_SEED=%llu GCHEAP_ROUNDS=%llu\n", (unsigned long long)seed,
		      (unsigned long long)operations);
	assert_int_equal(gcheap_root_add(m->f.heap, model->keys, KEYS), 0);
	for (i = 1; i <= operations; i++) {
		model_step(m, model, random_next(&random), i);
		if (i % 20000 == 0) {
			links_drop(m, model);
			model_check(m, model);
		}
	}
	memset(model->keys, 0, sizeof(model->keys));
	assert_int_equal(live(m), 0);
	assert_int_equal(count(m), 0);
	assert_int_equal(records(m), 0);
	assert_int_equal(gcheap_root_remove(m->f.heap, model->keys), 0);
	free(model);
}

/* The table becomes as large as it must, and small again. */
static void test_a_map_shrinks(void **state)
{
	enum { MANY = 20000 };
	struct map_fixture *m = *state;
	struct node *keys = gcheap_new_array(m->f.thread, m->node, MANY);
	uint64_t most;
	int i;

	assert_non_null(keys);
	m->root = keys;
	for (i = 0; i < MANY; i++) {
		keys[i].next = new_node(m);
		set(m, keys[i].next, keys[i].next);
	}
	most = m->f.heap->specials.map_bytes;
	assert_in_range(most, MANY * 16, MANY * 16 * 4);
	m->root = NULL;
	live(m);
	assert_int_equal(count(m), 0);
	assert_in_range(m->f.heap->specials.map_bytes, 1, most / 100);
	for (i = 0; i < 10; i++)
		set(m, new_node(m), new_node(m));
	assert_in_range(m->f.heap->specials.map_bytes, 1, most / 100);
	assert_sound(m->f.heap);
}

/* ---- errors ------------------------------------------------------------------------ */

static void test_err_weak_map(void **state)
{
	struct map_fixture *m = *state;
	struct node *key = new_node(m);
	struct gcheap_weak_map *map = NULL;

	m->root = key;
	assert_refused(gcheap_weak_map_new(NULL, NULL, &map), EINVAL, "heap is NULL");
	assert_refused(gcheap_weak_map_new(m->f.heap, NULL, NULL), EINVAL, "to fill in is NULL");
	assert_refused(gcheap_weak_map_new(m->f.heap, &map, &map), EINVAL, "not where an object");
	assert_null(map);
	assert_refused(gcheap_weak_map_set(NULL, key, key), EINVAL, "weak map is NULL");
	assert_refused(gcheap_weak_map_set(m->map, &map, key), EINVAL, "not where an object");
	assert_refused(gcheap_weak_map_set(m->map, NULL, key), EINVAL, "not where an object");
	assert_refused(gcheap_weak_map_set(m->map, key, NULL), EINVAL, "gcheap_weak_map_remove");
	assert_refused(gcheap_weak_map_remove(NULL, key), EINVAL, "weak map is NULL");
	assert_null(gcheap_weak_map_get(NULL, m->map, key));
	assert_null(gcheap_weak_map_get(m->f.thread, NULL, key));
	assert_null(get(m, NULL));
	assert_int_equal(gcheap_weak_map_count(NULL), 0);
	gcheap_weak_map_free(NULL);
	assert_int_equal(records(m), 0);
	assert_int_equal(m->f.heap->specials.map_bytes, sizeof(*m->map));
}

static void test_err_no_memory_for_an_entry(void **state)
{
	struct map_fixture *m = *state;
	enum { MANY = 20000 };
	struct node **keys = calloc(MANY, sizeof(*keys));
	struct gcheap_weak_map *map = NULL;
	struct rlimit limit, none;
	int i, error = 0;

	for (i = 0; i < MANY; i++)
		keys[i] = new_node(m);
	m->root = keys[0];
	/* The entry of a key, and that of an owner. */
	assert_refused_without_memory(m->f.heap,
				      gcheap_weak_map_set(m->map, keys[1], keys[2]));
	assert_refused_without_memory(m->f.heap, gcheap_weak_map_new(m->f.heap, keys[0], &map));
	assert_null(map);
	assert_int_equal(count(m), 0);
	assert_null(get(m, keys[1]));
	set(m, keys[0], keys[1]);
	assert_ptr_equal(get(m, keys[0]), keys[1]);
	/* The table itself, which doubles until it would be a mapping. */
	assert_int_equal(getrlimit(RLIMIT_AS, &limit), 0);
	none = limit;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_AS, &none), 0);
	for (i = 1; i < MANY; i++) {
		error = gcheap_weak_map_set(m->map, keys[i], keys[i]);
		if (error)
			break;
	}
	assert_int_equal(setrlimit(RLIMIT_AS, &limit), 0);
	assert_refused(error, ENOMEM, "a weak map's entry");
	assert_int_equal(count(m), i);
	assert_null(get(m, keys[i]));
	assert_ptr_equal(get(m, keys[i - 1]), keys[i - 1]);
	assert_sound(m->f.heap);
	set(m, keys[i], keys[i]);
	assert_ptr_equal(get(m, keys[i]), keys[i]);
	free(keys);
}

static void test_verify_looks_at_maps(void **state)
{
	struct map_fixture *m = *state;
	struct node *key = new_node(m), *value = new_node(m);
	struct gcheap_weak_map *map;
	struct special *special;

	m->root = key;
	set(m, key, value);
	assert_int_equal(gcheap_weak_map_new(m->f.heap, key, &map), 0);
	special = m->f.heap->specials.tree.first->values[0];
	special->map = map;
	assert_broken(m->f.heap, "weak map leads from");
	special->map = m->map;
	m->map->table.count++;
	assert_broken(m->f.heap, "has 1 keys, and says 2");
	m->map->table.count--;
	special = map->owner;
	map->owner = NULL;
	assert_broken(m->f.heap, "is not its owner");
	map->owner = special;
	assert_sound(m->f.heap);
}

/* ---- threads ------------------------------------------------------------------------ */

#define SHARED	64

static void *shared[SHARED];

struct worker {
	struct map_fixture *m;
	uint64_t random;
};

static void *work(void *arg)
{
	struct worker *worker = arg;
	struct map_fixture *m = worker->m;
	struct gcheap_weak_map *own;
	struct gcheap_thread *thread;
	struct node *key = NULL, *value = NULL;
	int step;

	if (gcheap_thread_attach(m->f.heap, &thread) ||
	    gcheap_weak_map_new(m->f.heap, NULL, &own))
		return "begin";
	GCHEAP_FRAME(thread, key, value);
	for (step = 0; step < (is_device(m) ? 500 : 5000); step++) {
		void *common = shared[random_next(&worker->random) % SHARED];

		key = gcheap_new(thread, m->node);
		value = gcheap_new(thread, m->node);
		if (!key || !value)
			return "memory";
		value->number = 17;
		value->next = key;
		if (gcheap_weak_map_set(own, key, value) ||
		    gcheap_weak_map_set(m->map, common, value))
			return "set";
		value = NULL;
		if (step % 100 == 0 && gcheap_collect(thread))
			return "collect";
		value = gcheap_weak_map_get(thread, own, key);
		if (!value || value->number != 17)
			return "own";
		value = gcheap_weak_map_get(thread, m->map, common);
		if (value && value->number != 17)
			return "common";
		if (step % 7 == 0)
			gcheap_weak_map_remove(m->map, common);
	}
	GCHEAP_FRAME_END(thread);
	gcheap_weak_map_free(own);
	gcheap_thread_detach(thread);
	return NULL;
}

static void test_threads_share_a_map_during_cycles(void **state)
{
	enum { WORKERS = 4 };
	struct map_fixture *m = *state;
	struct worker workers[WORKERS];
	int i;

	assert_int_equal(gcheap_root_add(m->f.heap, shared, SHARED), 0);
	for (i = 0; i < SHARED; i++)
		shared[i] = new_node(m);
	for (i = 0; i < WORKERS; i++)
		workers[i] = (struct worker) { .m = m, .random = (uint64_t)i };
	run_workers(&m->f, work, workers, sizeof(*workers), WORKERS, 10);
	memset(shared, 0, sizeof(shared));
	assert_int_equal(live(m), 0);
	assert_int_equal(records(m), 0);
	assert_int_equal(gcheap_root_remove(m->f.heap, shared), 0);
}

static void test_a_child_has_no_maps(void **state)
{
	struct map_fixture *m = *state;
	struct node *key = new_node(m);
	struct gcheap_weak_map *map;
	int status;
	pid_t child;

	m->root = key;
	set(m, key, key);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		if (gcheap_weak_map_set(m->map, key, key) != -EPERM || get(m, key) ||
		    gcheap_weak_map_remove(m->map, key) != -EPERM || count(m) ||
		    gcheap_weak_map_new(m->f.heap, NULL, &map) != -EPERM)
			_exit(1);
		gcheap_weak_map_free(m->map);
		gcheap_close(m->f.heap);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_ptr_equal(get(m, key), key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		test_with_map(test_a_key_has_a_value_while_it_lives),
		test_with_map(test_a_value_is_replaced_and_removed),
		test_with_map(test_maps_do_not_share_values),
		test_with_map(test_a_map_goes_with_its_owner),
		test_with_map(test_an_entry_needs_both_key_and_owner),
		test_with_map(test_a_finalizer_finds_its_map),
		test_with_map(test_what_is_freed_leaves_its_maps),
		test_with_map(test_operations_are_those_of_a_model),
		test_with_map(test_a_map_shrinks),
		test_with_map(test_err_weak_map),
		test_with_map(test_err_no_memory_for_an_entry),
		test_with_map(test_verify_looks_at_maps),
		test_with_map(test_threads_share_a_map_during_cycles),
		test_with_map(test_a_child_has_no_maps),
	};

	return run_in_all_layouts("weak maps", tests);
}
