// SPDX-License-Identifier: MIT
/*
 * Objects that are roots themselves: pinned, and uncollectable ones; the table that has them; and
 * whether roots lead to an object.
 */
#include <sys/wait.h>
#include <unistd.h>

#include "specials.h"

struct node {
	struct node *next;
	uint64_t number;
};

struct pins_fixture {
	struct fixture f;
	gcheap_type node;
};

static int setup(void **state)
{
	struct pins_fixture *p = malloc(sizeof(*p));
	struct gcheap_config config = fixture_config();

	config.gc_percent = -1;
	fixture_open_with(&p->f, &config);
	p->node = GCHEAP_TYPE(p->f.heap, struct node, next);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct pins_fixture *p = *state;

	fixture_close(&p->f);
	free(p);
	return 0;
}

#define test_with_nodes(test)	cmocka_unit_test_setup_teardown(test, setup, teardown)

static struct node *new_list(struct pins_fixture *p, int length)
{
	struct node *list = NULL;

	while (length--) {
		struct node *node = gcheap_new(p->f.thread, p->node);

		assert_non_null(node);
		node->next = list;
		list = node;
	}
	return list;
}

#define live(p)	live_after_collect(&(p)->f)

/* ---- pins --------------------------------------------------------------------- */

static void test_pinned_objects_keep_what_they_reach(void **state)
{
	struct pins_fixture *p = *state;
	struct node *list = new_list(p, 10);

	new_list(p, 5);
	assert_int_equal(gcheap_pin(p->f.heap, list->next), 0);
	assert_int_equal(specials_of(p->f.heap), 1);
	assert_int_equal(live(p), 9);
	assert_int_equal(live(p), 9);
	assert_sound(p->f.heap);
	assert_int_equal(gcheap_unpin(p->f.heap, list->next), 0);
	assert_int_equal(specials_of(p->f.heap), 0);
	assert_sound(p->f.heap);
	assert_int_equal(live(p), 0);
}

static void test_pins_are_counted(void **state)
{
	struct pins_fixture *p = *state;
	struct node *node = new_list(p, 1);
	int i;

	for (i = 0; i < 3; i++)
		assert_int_equal(gcheap_pin(p->f.heap, node), 0);
	assert_int_equal(specials_of(p->f.heap), 1);
	for (i = 0; i < 3; i++) {
		assert_int_equal(live(p), 1);
		assert_int_equal(gcheap_unpin(p->f.heap, node), 0);
	}
	assert_refused(gcheap_unpin(p->f.heap, node), ENOENT, "not pinned");
	assert_int_equal(live(p), 0);
}

/* Of each kind of metadata, with an address before and behind its slot's first granule. */
static void test_objects_of_any_size_are_pinned(void **state)
{
	static const size_t sizes[] = { 16, 24, 40, 512, 520, 1000, 4096, 32768, 40000, 300000 };
	struct pins_fixture *p = *state;
	void *objects[2 * ARRAY_SIZE(sizes)];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		gcheap_type type = type_with_mask(p->f.heap, sizes[i], 8, 1);

		gcheap_new(p->f.thread, type);
		objects[2 * i] = gcheap_new(p->f.thread, type);
		assert_non_null(objects[2 * i]);
		*(void **)objects[2 * i] = new_list(p, 1);
		objects[2 * i + 1] = gcheap_new_leaf(p->f.thread, sizes[i]);
	}
	for (i = 0; i < ARRAY_SIZE(objects); i++) {
		assert_int_equal(gcheap_pin(p->f.heap, objects[i]), 0);
		assert_sound(p->f.heap);
	}
	assert_int_equal(live(p), 3 * ARRAY_SIZE(sizes));
	assert_sound(p->f.heap);
	for (i = 0; i < ARRAY_SIZE(objects); i++) {
		assert_int_equal(gcheap_unpin(p->f.heap, objects[i]), 0);
		assert_sound(p->f.heap);
	}
	assert_int_equal(live(p), 0);
}

static void test_objects_that_share_a_slot_are_pinned_each(void **state)
{
	struct pins_fixture *p = *state;
	char *tiny[64];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(tiny); i++) {
		tiny[i] = gcheap_new_leaf(p->f.thread, 1);
		assert_int_equal(gcheap_pin(p->f.heap, tiny[i]), 0);
	}
	assert_int_equal(specials_of(p->f.heap), 64);
	assert_int_equal(live(p), 4);
	for (i = 0; i < ARRAY_SIZE(tiny); i++) {
		/* One of each slot is left. */
		if ((uintptr_t)tiny[i] % 16 != 9)
			assert_int_equal(gcheap_unpin(p->f.heap, tiny[i]), 0);
	}
	assert_sound(p->f.heap);
	assert_int_equal(specials_of(p->f.heap), 4);
	assert_int_equal(live(p), 4);
	for (i = 0; i < ARRAY_SIZE(tiny); i++) {
		if ((uintptr_t)tiny[i] % 16 == 9)
			assert_int_equal(gcheap_unpin(p->f.heap, tiny[i]), 0);
	}
	assert_int_equal(live(p), 0);
}

static void test_err_pin(void **state)
{
	struct pins_fixture *p = *state;
	struct node *node = new_list(p, 1), *dead = new_list(p, 2), *large;
	void *root = node;

	assert_int_equal(gcheap_root_add(p->f.heap, &root, 1), 0);
	assert_int_equal(live(p), 1);
	large = gcheap_new_leaf(p->f.thread, 100000);
	assert_refused(gcheap_pin(NULL, node), EINVAL, "NULL");
	assert_refused(gcheap_pin(p->f.heap, NULL), EINVAL, "out of this heap");
	assert_refused(gcheap_pin(p->f.heap, &node), EINVAL, "out of this heap");
	assert_refused(gcheap_pin(p->f.heap, &node->number), EINVAL, "begins elsewhere");
	assert_refused(gcheap_pin(p->f.heap, (char *)large + 8192), EINVAL, "begins elsewhere");
	assert_refused(gcheap_pin(p->f.heap, dead), EINVAL, "free already");
	assert_refused(gcheap_unpin(NULL, node), EINVAL, "NULL");
	assert_refused(gcheap_unpin(p->f.heap, &node->number), EINVAL, "begins elsewhere");
	assert_refused(gcheap_unpin(p->f.heap, node), ENOENT, "not pinned");
	assert_int_equal(specials_of(p->f.heap), 0);
	assert_int_equal(gcheap_root_remove(p->f.heap, &root), 0);
}

/* ---- giving back, and resizing -------------------------------------------------- */

static void test_err_free_what_is_pinned(void **state)
{
	static const size_t sizes[] = { 4, 64, 1000, 100000 };
	struct pins_fixture *p = *state;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		unsigned char *leaf = gcheap_new_leaf(p->f.thread, sizes[i]);

		memset(leaf, 1, sizes[i]);
		assert_int_equal(gcheap_pin(p->f.heap, leaf), 0);
		errno = 0;
		gcheap_free(p->f.thread, leaf);
		assert_int_equal(errno, EBUSY);
		assert_error_says("pinned");
		assert_int_equal(live(p), 1);
		assert_int_equal(leaf[sizes[i] - 1], 1);
		assert_int_equal(gcheap_unpin(p->f.heap, leaf), 0);
		errno = 0;
		gcheap_free(p->f.thread, leaf);
		assert_int_equal(errno, 0);
		assert_int_equal(live(p), 0);
	}
}

static void test_who_is_resized_elsewhere_leaves_its_pin_behind(void **state)
{
	struct pins_fixture *p = *state;
	struct node *array = gcheap_new_array(p->f.thread, p->node, 10), *larger;

	array->next = new_list(p, 3);
	assert_int_equal(gcheap_pin(p->f.heap, array), 0);
	assert_ptr_equal(gcheap_realloc(p->f.thread, p->node, array, 9), array);
	larger = gcheap_realloc(p->f.thread, p->node, array, 1000);
	assert_ptr_not_equal(larger, array);
	assert_refused(gcheap_unpin(p->f.heap, larger), ENOENT, "not pinned");
	assert_int_equal(live(p), 4);
	assert_int_equal(gcheap_unpin(p->f.heap, array), 0);
	assert_int_equal(live(p), 0);
}

/* ---- uncollectable objects --------------------------------------------------------- */

static void test_uncollectable_objects_live_until_they_are_freed(void **state)
{
	struct pins_fixture *p = *state;
	struct node *nodes = gcheap_new_uncollectable(p->f.thread, p->node, 4);
	struct node *large = gcheap_new_uncollectable(p->f.thread, p->node, 10000);
	char *leaf = gcheap_new_uncollectable(p->f.thread, 0, 100);

	nodes[3].next = new_list(p, 5);
	large[9999].next = new_list(p, 7);
	assert_non_null(leaf);
	assert_int_equal(specials_of(p->f.heap), 3);
	assert_int_equal(live(p), 15);
	assert_sound(p->f.heap);
	gcheap_free(p->f.thread, large);
	assert_int_equal(live(p), 7);
	/* Pinned besides, it is refused, and lives on. */
	assert_int_equal(gcheap_pin(p->f.heap, nodes), 0);
	gcheap_free(p->f.thread, nodes);
	assert_int_equal(errno, EBUSY);
	assert_int_equal(gcheap_unpin(p->f.heap, nodes), 0);
	assert_int_equal(live(p), 7);
	gcheap_free(p->f.thread, nodes);
	gcheap_free(p->f.thread, leaf);
	assert_int_equal(specials_of(p->f.heap), 0);
	assert_int_equal(live(p), 0);
	assert_sound(p->f.heap);
}

static void test_err_uncollectable(void **state)
{
	struct pins_fixture *p = *state;
	struct specials *table = &p->f.heap->specials;
	struct starved starved;
	void *object;

	assert_refused_null(gcheap_new_uncollectable(NULL, p->node, 1), EINVAL, "NULL");
	assert_refused_null(gcheap_new_uncollectable(p->f.thread, p->node, 0), EINVAL,
			    "0 elements");
	assert_refused_null(gcheap_new_uncollectable(p->f.thread, 0, 0), EINVAL, "0 bytes");
	assert_refused_null(gcheap_new_uncollectable(p->f.thread, 99, 1), EINVAL, "type");
	/* So that the object itself needs no memory. */
	new_list(p, 1);
	starve(&starved, &table->records);
	errno = 0;
	object = gcheap_new_uncollectable(p->f.thread, p->node, 1);
	feed(&starved);
	assert_null(object);
	assert_int_equal(errno, ENOMEM);
	assert_error_says("memory");
	assert_int_equal(live(p), 0);
}

/* ---- reachability -------------------------------------------------------------------- */

static void test_what_roots_lead_to_is_reachable(void **state)
{
	struct pins_fixture *p = *state;
	struct node *list = new_list(p, 3), *node = new_list(p, 1), *large;
	void *root = list;

	large = gcheap_new_leaf(p->f.thread, 50000);
	assert_int_equal(gcheap_root_add(p->f.heap, &root, 1), 0);
	assert_int_equal(gcheap_is_reachable(p->f.thread, list->next->next), 1);
	assert_refused(gcheap_is_reachable(p->f.thread, node), EINVAL, "free already");
	node = new_list(p, 1);
	assert_int_equal(gcheap_is_reachable(p->f.thread, node), 0);
	large = gcheap_new_leaf(p->f.thread, 50000);
	assert_int_equal(gcheap_pin(p->f.heap, large), 0);
	assert_int_equal(gcheap_is_reachable(p->f.thread, large), 1);
	assert_int_equal(gcheap_unpin(p->f.heap, large), 0);
	assert_int_equal(gcheap_is_reachable(p->f.thread, large), 0);
	/* Nobody asks any more. */
	assert_int_equal(live(p), 3);
	assert_int_equal(gcheap_root_remove(p->f.heap, &root), 0);
}

static void test_err_is_reachable(void **state)
{
	struct pins_fixture *p = *state;
	struct node *node = new_list(p, 1);

	assert_refused(gcheap_is_reachable(NULL, node), EINVAL, "NULL");
	assert_refused(gcheap_is_reachable(p->f.thread, &node->number), EINVAL, "begins elsewhere");
	gcheap_park(p->f.thread);
	assert_refused(gcheap_is_reachable(p->f.thread, node), EINVAL, "parked");
	gcheap_unpark(p->f.thread);
}

static int in_hook;

static void pin_in_hook(struct gcheap *heap, void *arg)
{
	in_hook = gcheap_pin(heap, arg);
}

static void test_err_pin_in_a_hook(void **state)
{
	struct pins_fixture *p = *state;
	struct gcheap_hooks hooks = {
		.size = sizeof(hooks), .cycle_begins = pin_in_hook, .arg = new_list(p, 1),
	};

	assert_int_equal(gcheap_hooks_add(p->f.heap, &hooks), 0);
	assert_int_equal(live(p), 0);
	assert_refused(in_hook, EINVAL, "hook");
}

/* ---- the table -------------------------------------------------------------------------- */

static void shuffle(void **objects, size_t count, uint64_t *random)
{
	size_t i;

	for (i = count; i > 1; i--) {
		size_t j = random_next(random) % i;
		void *object = objects[j];

		objects[j] = objects[i - 1];
		objects[i - 1] = object;
	}
}

static void test_a_hundred_thousand_come_and_go_in_any_order(void **state)
{
	enum { COUNT = 100000 };
	struct pins_fixture *p = *state;
	void **objects = calloc(COUNT, sizeof(*objects));
	uint64_t random = 17;
	size_t i;

	for (i = 0; i < COUNT; i++)
		objects[i] = gcheap_new(p->f.thread, p->node);
	/* In the order of their addresses, and then in none. */
	for (i = 0; i < COUNT / 2; i++)
		assert_int_equal(gcheap_pin(p->f.heap, objects[i]), 0);
	assert_sound(p->f.heap);
	shuffle(objects + COUNT / 2, COUNT / 2, &random);
	for (; i < COUNT; i++)
		assert_int_equal(gcheap_pin(p->f.heap, objects[i]), 0);
	assert_int_equal(specials_of(p->f.heap), COUNT);
	assert_sound(p->f.heap);
	assert_int_equal(live(p), COUNT);
	/* An entry is a cache line. */
	assert_true(stats_of(p->f.heap).metadata_bytes > COUNT * 64);
	shuffle(objects, COUNT, &random);
	for (i = 0; i < COUNT; i++) {
		assert_int_equal(gcheap_unpin(p->f.heap, objects[i]), 0);
		if (i % 20000 == 0 || i == COUNT - 100) {
			assert_int_equal(specials_of(p->f.heap), COUNT - 1 - i);
			assert_sound(p->f.heap);
			assert_int_equal(live(p), COUNT - 1 - i);
		}
	}
	assert_int_equal(specials_of(p->f.heap), 0);
	assert_int_equal(live(p), 0);
	assert_sound(p->f.heap);
	/* What the table took is given back when some cycles have found it empty. */
	assert_int_not_equal(p->f.heap->specials.records.chunk_count, 0);
	for (i = 0; i < (int)POOL_RESTS; i++)
		assert_int_equal(live(p), 0);
	assert_int_equal(p->f.heap->specials.records.chunk_count, 0);
	assert_int_equal(p->f.heap->specials.tree.nodes.chunk_count, 0);
	free(objects);
}

/* A table that grows and shrinks, against an array. */
static void test_pins_agree_with_a_model(void **state)
{
	enum { OBJECTS = 6000, STEPS = 60000 };
	struct pins_fixture *p = *state;
	void **objects = calloc(OBJECTS, sizeof(*objects));
	int *pins = calloc(OBJECTS, sizeof(*pins));
	uint64_t random = 99, pinned = 0;
	int step, i;

	for (i = 0; i < OBJECTS; i++)
		objects[i] = gcheap_new_leaf(p->f.thread, 16 + random_next(&random) % 64);
	assert_int_equal(gcheap_root_add(p->f.heap, (void *)objects, OBJECTS), 0);
	for (step = 0; step < STEPS; step++) {
		/* Waves, so that leaves fill, join and go. */
		bool pin = random_next(&random) % 8 < (step / 10000 % 2 ? 2 : 6);

		i = (int)(random_next(&random) % OBJECTS);
		if (pin) {
			assert_int_equal(gcheap_pin(p->f.heap, objects[i]), 0);
			pinned += !pins[i]++;
		} else {
			assert_int_equal(gcheap_unpin(p->f.heap, objects[i]),
					 pins[i] ? 0 : -ENOENT);
			pinned -= pins[i] == 1;
			pins[i] -= pins[i] > 0;
		}
		if (step % 5000 == 0) {
			assert_int_equal(specials_of(p->f.heap), pinned);
			assert_sound(p->f.heap);
		}
	}
	assert_int_equal(gcheap_root_remove(p->f.heap, objects), 0);
	assert_int_equal(live(p), pinned);
	free(pins);
	free(objects);
}

static int pin_all(struct pins_fixture *p, void **objects, int count)
{
	int error = 0, i;

	for (i = 0; i < count && !error; i++)
		error = gcheap_pin(p->f.heap, objects[i]);
	return error;
}

/* Without memory for the entry, and for the node that a full one is split into. */
static void test_err_no_memory_for_a_pin(void **state)
{
	enum { COUNT = 1000 };
	struct pins_fixture *p = *state;
	struct specials *table = &p->f.heap->specials;
	void *objects[COUNT], *first = new_list(p, 1);
	struct starved starved;
	uint64_t had;
	int error, i;

	assert_refused_without_memory(p->f.heap, gcheap_pin(p->f.heap, first));
	assert_int_equal(specials_of(p->f.heap), 0);
	assert_sound(p->f.heap);
	for (i = 0; i < COUNT; i++)
		objects[i] = gcheap_new(p->f.thread, p->node);
	/* Until one needs a node, at each of several places. */
	for (i = 0; i < COUNT; i += 100) {
		had = table->tree.count;
		starve(&starved, &table->tree.nodes);
		error = pin_all(p, objects + i, 100);
		feed(&starved);
		assert_sound(p->f.heap);
		if (error) {
			assert_refused(error, ENOMEM, "memory");
			had = table->tree.count;
			assert_int_equal(pin_all(p, objects + i, 100), 0);
		}
		assert_true(table->tree.count >= had);
		assert_sound(p->f.heap);
	}
	assert_int_equal(live(p), COUNT);
}

/* ---- threads, fork, close ------------------------------------------------------------------ */

struct worker {
	struct gcheap *heap;
	gcheap_type type;
	void *objects[200];
	bool is_attached;
	uint64_t seed;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	struct gcheap_thread *thread = NULL;
	int i, step;

	if (w->is_attached && gcheap_thread_attach(w->heap, &thread))
		return "attach";
	for (step = 0; step < 20000; step++) {
		i = (int)(random_next(&w->seed) % 200);
		if (gcheap_pin(w->heap, w->objects[i]))
			return "pin";
		if (thread && !gcheap_new(thread, w->type))
			return "new";
		if (gcheap_unpin(w->heap, w->objects[i]))
			return "unpin";
	}
	gcheap_thread_detach(thread);
	return NULL;
}

static void test_threads_pin_and_unpin_during_cycles(void **state)
{
	enum { WORKERS = 4 };
	struct pins_fixture *p = *state;
	struct worker workers[WORKERS];
	int i, j;

	for (i = 0; i < WORKERS; i++) {
		workers[i] = (struct worker) { .heap = p->f.heap, .type = p->node, .seed = i,
					       .is_attached = i % 2 };
		for (j = 0; j < 200; j++) {
			workers[i].objects[j] = new_list(p, 1);
			/* One pin stays, and the other comes and goes. */
			assert_int_equal(gcheap_pin(p->f.heap, workers[i].objects[j]), 0);
		}
	}
	run_workers(&p->f, work, workers, sizeof(*workers), WORKERS, 50);
	assert_int_equal(specials_of(p->f.heap), WORKERS * 200);
	assert_int_equal(live(p), WORKERS * 200);
	/* A heap that is closed takes all of them along. */
}

static void test_a_child_has_no_pins(void **state)
{
	struct pins_fixture *p = *state;
	void *node = new_list(p, 1);
	int status;
	pid_t child;

	assert_int_equal(gcheap_pin(p->f.heap, node), 0);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		if (gcheap_pin(p->f.heap, node) != -EPERM ||
		    gcheap_unpin(p->f.heap, node) != -EPERM ||
		    gcheap_is_reachable(p->f.thread, node) != -EPERM ||
		    gcheap_new_uncollectable(p->f.thread, p->node, 1))
			_exit(1);
		gcheap_close(p->f.heap);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(live(p), 1);
}

/* ---- what gcheap_verify() notices -------------------------------------------------------------- */

static void test_verify_knows_the_rules_of_the_table(void **state)
{
	struct pins_fixture *p = *state;
	struct gcheap *heap = p->f.heap;
	struct node *node = new_list(p, 1), *other = new_list(p, 1);
	struct tree_node *leaf;
	struct special *special;
	uint64_t page = address_offset(&heap->view, node) >> GCHEAP_PAGE_SHIFT;
	uint64_t key;

	assert_int_equal(gcheap_pin(heap, node), 0);
	assert_int_equal(gcheap_pin(heap, other), 0);
	assert_sound(heap);
	leaf = heap->specials.tree.first;
	special = leaf->values[0];

	heap->view.page_specials[page / 64] ^= 1ull << page % 64;
	assert_broken(heap, "are clear, though it has an entry");
	heap->view.page_specials[page / 64] ^= 1ull << page % 64;
	heap->view.page_specials[0] ^= 1;
	assert_broken(heap, "are set, though it has no entry");
	heap->view.page_specials[0] ^= 1;
	special->object = &node->number;
	assert_broken(heap, "is of none");
	special->object = node;
	special->key ^= 1;
	assert_broken(heap, "is of none");
	special->key ^= 1;
	heap->specials.tree.count++;
	assert_broken(heap, "out of order");
	heap->specials.tree.count--;
	key = leaf->keys[0];
	leaf->keys[0] = leaf->keys[1];
	assert_broken(heap, "out of order");
	leaf->keys[0] = key;
	assert_sound(heap);
	/* The alloc bit of a pinned object that is not allocated any more. */
	assert_int_equal(live(p), 2);
	key = granule_of(address_offset(&heap->view, node));
	view_alloc_bits(&heap->view)[key / 64] ^= 1ull << key % 64;
	assert_broken(heap, "is of none");
	view_alloc_bits(&heap->view)[key / 64] ^= 1ull << key % 64;
	assert_sound(heap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		test_with_nodes(test_pinned_objects_keep_what_they_reach),
		test_with_nodes(test_pins_are_counted),
		test_with_nodes(test_objects_of_any_size_are_pinned),
		test_with_nodes(test_objects_that_share_a_slot_are_pinned_each),
		test_with_nodes(test_err_pin),
		test_with_nodes(test_err_free_what_is_pinned),
		test_with_nodes(test_who_is_resized_elsewhere_leaves_its_pin_behind),
		test_with_nodes(test_uncollectable_objects_live_until_they_are_freed),
		test_with_nodes(test_err_uncollectable),
		test_with_nodes(test_what_roots_lead_to_is_reachable),
		test_with_nodes(test_err_is_reachable),
		test_with_nodes(test_err_pin_in_a_hook),
		test_with_nodes(test_a_hundred_thousand_come_and_go_in_any_order),
		test_with_nodes(test_pins_agree_with_a_model),
		test_with_nodes(test_err_no_memory_for_a_pin),
		test_with_nodes(test_threads_pin_and_unpin_during_cycles),
		test_with_nodes(test_a_child_has_no_pins),
		test_with_nodes(test_verify_knows_the_rules_of_the_table),
	};

	return run_in_all_layouts("pins", tests);
}
