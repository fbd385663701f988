// SPDX-License-Identifier: MIT
/*
 * Weak references: what they keep, when they are cleared, who shares them, how long they live.
 */
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "specials.h"

struct node {
	struct node *next;
	struct gcheap_weak *weak;
	uint64_t number;
};

struct weak_fixture {
	struct fixture f;
	gcheap_type node;
	void *root;
	struct gcheap_weak *seen[2];
};

static int setup(void **state)
{
	struct weak_fixture *w = calloc(1, sizeof(*w));
	struct gcheap_config config = fixture_config();

	config.gc_percent = -1;
	fixture_open_with(&w->f, &config);
	w->node = GCHEAP_TYPE(w->f.heap, struct node, next, weak);
	assert_int_equal(gcheap_root_add(w->f.heap, &w->root, 1), 0);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct weak_fixture *w = *state;

	fixture_close(&w->f);
	free(w);
	return 0;
}

#define test_with_nodes(test)	cmocka_unit_test_setup_teardown(test, setup, teardown)
#define live(w)		live_after_collect(&(w)->f)
#define run(w)		gcheap_run_finalizers((w)->f.thread)
#define get(w, weak)	gcheap_weak_get((w)->f.thread, weak)

static struct node *new_node(struct weak_fixture *w)
{
	struct node *node = gcheap_new(w->f.thread, w->node);

	assert_non_null(node);
	return node;
}

static struct gcheap_weak *new_weak(struct weak_fixture *w, void *obj)
{
	struct gcheap_weak *weak = NULL;

	assert_int_equal(gcheap_weak_new(w->f.heap, obj, &weak), 0);
	assert_non_null(weak);
	return weak;
}

static struct gcheap_weak *new_long(struct weak_fixture *w, void *obj)
{
	struct gcheap_weak *weak = NULL;

	assert_int_equal(gcheap_weak_new_long(w->f.heap, obj, &weak), 0);
	return weak;
}

static void test_a_weak_reference_keeps_nothing(void **state)
{
	struct weak_fixture *w = *state;
	struct gcheap_weak *weak;
	struct node *node = new_node(w);

	w->root = node;
	weak = new_weak(w, node);
	assert_ptr_equal(get(w, weak), node);
	/* The object, and the reference. */
	assert_int_equal(live(w), 2);
	assert_ptr_equal(get(w, weak), node);
	assert_sound(w->f.heap);
	w->root = NULL;
	assert_int_equal(live(w), 1);
	assert_null(get(w, weak));
	assert_int_equal(specials_of(w->f.heap), 0);
	assert_sound(w->f.heap);
	/* Who has asked has it until it gives it back. */
	assert_int_equal(live(w), 1);
	gcheap_weak_free(w->f.heap, weak);
	assert_int_equal(live(w), 0);
	assert_int_equal(w->f.heap->specials.records.used, 0);
}

static void test_all_share_one_reference(void **state)
{
	struct weak_fixture *w = *state;
	struct gcheap_weak *weak;
	struct node *node = new_node(w);

	w->root = node;
	weak = new_weak(w, node);
	assert_ptr_equal(new_weak(w, node), weak);
	assert_ptr_not_equal(new_long(w, node), weak);
	assert_ptr_equal(new_long(w, node), new_long(w, node));
	assert_int_equal(specials_of(w->f.heap), 2);
	assert_int_equal(live(w), 3);
	gcheap_weak_free(w->f.heap, weak);
	assert_int_equal(live(w), 3);
	gcheap_weak_free(w->f.heap, weak);
	/* It was collected. */
	assert_int_equal(live(w), 2);
	assert_int_equal(specials_of(w->f.heap), 1);
	assert_sound(w->f.heap);
	/* Another one, as if there had been none. */
	weak = new_weak(w, node);
	assert_ptr_equal(get(w, weak), node);
	assert_int_equal(live(w), 3);
}

static void test_references_in_objects_live_as_long_as_these(void **state)
{
	struct weak_fixture *w = *state;
	struct node *holder = new_node(w), *target = new_node(w);

	w->root = holder;
	holder->next = target;
	holder->weak = new_weak(w, target);
	gcheap_weak_free(w->f.heap, holder->weak);
	assert_int_equal(live(w), 3);
	assert_ptr_equal(get(w, holder->weak), target);
	/* Nobody has it, and it is still the one that there is. */
	assert_ptr_equal(new_weak(w, target), holder->weak);
	gcheap_weak_free(w->f.heap, holder->weak);
	holder->next = NULL;
	assert_int_equal(live(w), 2);
	assert_null(get(w, holder->weak));
	assert_int_equal(w->f.heap->specials.records.used, 0);
	assert_sound(w->f.heap);
	/* Given back once more: nothing happens. */
	gcheap_weak_free(w->f.heap, holder->weak);
	assert_int_equal(live(w), 2);
	w->root = NULL;
	assert_int_equal(live(w), 0);
}

static void see(void *obj, void *arg)
{
	struct weak_fixture *w = arg;

	assert_null(get(w, w->seen[0]));
	assert_ptr_equal(get(w, w->seen[1]), obj);
	w->root = obj;
}

static void test_the_long_kind_survives_resurrection(void **state)
{
	struct weak_fixture *w = *state;
	struct node *node = new_node(w), *inner = new_node(w);
	struct gcheap_weak *weak_inner, *long_inner;

	node->next = inner;
	w->seen[0] = new_weak(w, node);
	w->seen[1] = new_long(w, node);
	weak_inner = new_weak(w, inner);
	long_inner = new_long(w, inner);
	assert_int_equal(gcheap_finalizer_set(w->f.heap, node, see, w), 0);
	assert_int_equal(live(w), 6);
	assert_null(get(w, w->seen[0]));
	assert_null(get(w, weak_inner));
	assert_ptr_equal(get(w, w->seen[1]), node);
	assert_ptr_equal(get(w, long_inner), inner);
	assert_sound(w->f.heap);
	assert_int_equal(run(w), 1);
	assert_int_equal(live(w), 6);
	assert_ptr_equal(get(w, w->seen[1]), node);
	/* What was cleared stays so: there is a new one now. */
	assert_null(get(w, w->seen[0]));
	assert_ptr_not_equal(new_weak(w, node), w->seen[0]);
	w->root = NULL;
	assert_int_equal(live(w), 5);
	assert_null(get(w, w->seen[1]));
	assert_null(get(w, long_inner));
	assert_int_equal(specials_of(w->f.heap), 0);
}

static void test_objects_of_any_size_are_referred_to(void **state)
{
	static const size_t sizes[] = { 1, 8, 16, 24, 1000, 32768, 100000 };
	struct weak_fixture *w = *state;
	struct gcheap_weak *weak[2 * ARRAY_SIZE(sizes)];
	void *objects[2 * ARRAY_SIZE(sizes)];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		objects[2 * i] = gcheap_new_leaf(w->f.thread, sizes[i]);
		weak[2 * i] = new_weak(w, objects[2 * i]);
		objects[2 * i + 1] = sizes[i] < 8 ? new_node(w) :
			gcheap_new(w->f.thread, type_with_mask(w->f.heap, sizes[i] & ~7ul, 8, 1));
		weak[2 * i + 1] = new_weak(w, objects[2 * i + 1]);
	}
	assert_int_equal(gcheap_root_add(w->f.heap, objects, ARRAY_SIZE(objects)), 0);
	assert_int_equal(gcheap_collect(w->f.thread), 0);
	assert_sound(w->f.heap);
	for (i = 0; i < ARRAY_SIZE(objects); i++)
		assert_ptr_equal(get(w, weak[i]), objects[i]);
	assert_int_equal(gcheap_root_remove(w->f.heap, objects), 0);
	assert_int_equal(live(w), ARRAY_SIZE(weak));
	for (i = 0; i < ARRAY_SIZE(objects); i++) {
		assert_null(get(w, weak[i]));
		gcheap_weak_free(w->f.heap, weak[i]);
	}
	assert_int_equal(live(w), 0);
}

static void test_what_is_freed_is_referred_to_no_more(void **state)
{
	struct weak_fixture *w = *state;
	struct node *node = new_node(w);
	struct gcheap_weak *weak = new_weak(w, node), *other = new_long(w, node);

	gcheap_weak_free(w->f.heap, other);
	gcheap_free(w->f.thread, node);
	assert_null(get(w, weak));
	assert_int_equal(specials_of(w->f.heap), 0);
	assert_sound(w->f.heap);
	assert_int_equal(live(w), 1);
	gcheap_weak_free(w->f.heap, weak);
	assert_int_equal(live(w), 0);
	assert_int_equal(w->f.heap->specials.records.used, 0);
}

static void *ask_without_a_thread(void *arg)
{
	struct weak_fixture *w = arg;
	struct gcheap_weak *weak = NULL;

	if (gcheap_weak_new(w->f.heap, w->root, &weak) != -EINVAL ||
	    !strstr(gcheap_error(), "not attached") || weak)
		return "a new one";
	weak = w->seen[0];
	if (gcheap_weak_new_long(w->f.heap, w->root, &weak) || weak != w->seen[1])
		return "an old one";
	gcheap_weak_free(w->f.heap, weak);
	return NULL;
}

static void test_err_weak(void **state)
{
	struct weak_fixture *w = *state;
	struct node *node = new_node(w);
	struct gcheap_weak *weak = NULL;
	pthread_t thread;
	void *result;

	w->root = node;
	assert_refused(gcheap_weak_new(NULL, node, &weak), EINVAL, "NULL");
	assert_refused(gcheap_weak_new(w->f.heap, node, NULL), EINVAL, "NULL");
	assert_refused(gcheap_weak_new(w->f.heap, &node->number, &weak), EINVAL, "begins elsewhere");
	assert_null(weak);
	assert_null(gcheap_weak_get(w->f.thread, NULL));
	gcheap_weak_free(w->f.heap, NULL);
	w->seen[1] = new_long(w, node);
	assert_null(gcheap_weak_get(NULL, w->seen[1]));
	assert_int_equal(pthread_create(&thread, NULL, ask_without_a_thread, w), 0);
	assert_int_equal(pthread_join(thread, &result), 0);
	if (result)
		fail_msg("%s", (const char *)result);
	gcheap_weak_free(w->f.heap, w->seen[1]);
	assert_int_equal(live(w), 1);
	assert_int_equal(specials_of(w->f.heap), 0);
}

static void test_err_no_memory_for_a_reference(void **state)
{
	struct weak_fixture *w = *state;
	struct gcheap_weak *weak = NULL, *first;
	struct node *node = new_node(w), *other = new_node(w);

	w->root = node;
	node->next = other;
	/* So that the leaf itself needs no memory. */
	first = new_weak(w, other);
	gcheap_weak_free(w->f.heap, first);
	assert_int_equal(live(w), 2);
	first = new_weak(w, other);
	gcheap_weak_free(w->f.heap, first);
	gcheap_free(w->f.thread, other);
	node->next = NULL;
	assert_refused_without_memory(w->f.heap, gcheap_weak_new(w->f.heap, node, &weak));
	assert_null(weak);
	assert_int_equal(live(w), 1);
	assert_ptr_equal(get(w, new_weak(w, node)), node);
	assert_sound(w->f.heap);
}

struct worker {
	struct weak_fixture *w;
	uint64_t seed;
};

#define SHARED	64
static void *shared[SHARED];

static void *work(void *arg)
{
	struct worker *worker = arg;
	struct weak_fixture *w = worker->w;
	struct gcheap_weak *weak = NULL;
	struct gcheap_thread *thread;
	struct node *node = NULL;
	int i, step;

	if (gcheap_thread_attach(w->f.heap, &thread))
		return "attach";
	GCHEAP_FRAME(thread, node);
	for (step = 0; step < 10000; step++) {
		i = (int)(random_next(&worker->seed) % SHARED);
		if (gcheap_weak_new(w->f.heap, shared[i], &weak))
			return "shared";
		if (gcheap_weak_get(thread, weak) != shared[i])
			return "another object";
		gcheap_weak_free(w->f.heap, weak);
		node = gcheap_new(thread, w->node);
		if (!node || gcheap_weak_new(w->f.heap, node, &weak))
			return "own";
		if (gcheap_weak_get(thread, weak) != node)
			return "not its own object";
		node->number = (uint64_t)step;
		node = NULL;
		gcheap_safepoint(thread);
		node = gcheap_weak_get(thread, weak);
		if (node && node->number != (uint64_t)step)
			return "a dead object";
		gcheap_weak_free(w->f.heap, weak);
		if (step % 3000 == 0 && gcheap_collect(thread))
			return "collect";
	}
	GCHEAP_FRAME_END(thread);
	gcheap_thread_detach(thread);
	return NULL;
}

static void test_threads_refer_and_forget_during_cycles(void **state)
{
	enum { WORKERS = 4 };
	struct weak_fixture *w = *state;
	struct worker workers[WORKERS];
	int i;

	assert_int_equal(gcheap_root_add(w->f.heap, shared, SHARED), 0);
	for (i = 0; i < SHARED; i++)
		shared[i] = new_node(w);
	for (i = 0; i < WORKERS; i++)
		workers[i] = (struct worker) { .w = w, .seed = i };
	run_workers(&w->f, work, workers, sizeof(*workers), WORKERS, 20);
	assert_int_equal(live(w), SHARED);
	assert_int_equal(w->f.heap->specials.records.used, 0);
	assert_int_equal(gcheap_root_remove(w->f.heap, shared), 0);
}

static void test_a_child_has_no_references(void **state)
{
	struct weak_fixture *w = *state;
	struct gcheap_weak *weak = new_weak(w, new_node(w)), *other = NULL;
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (!child) {
		if (gcheap_weak_get(w->f.thread, weak) ||
		    gcheap_weak_new(w->f.heap, weak, &other) != -EPERM)
			_exit(1);
		gcheap_weak_free(w->f.heap, weak);
		gcheap_close(w->f.heap);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void test_verify_looks_at_references(void **state)
{
	struct weak_fixture *w = *state;
	struct node *node = new_node(w);
	void **weak = (void **)new_weak(w, node);

	w->root = node;
	assert_sound(w->f.heap);
	*weak = NULL;
	assert_broken(w->f.heap, "does not lead to its object");
	*weak = node;
	assert_sound(w->f.heap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		test_with_nodes(test_a_weak_reference_keeps_nothing),
		test_with_nodes(test_all_share_one_reference),
		test_with_nodes(test_references_in_objects_live_as_long_as_these),
		test_with_nodes(test_the_long_kind_survives_resurrection),
		test_with_nodes(test_objects_of_any_size_are_referred_to),
		test_with_nodes(test_what_is_freed_is_referred_to_no_more),
		test_with_nodes(test_err_weak),
		test_with_nodes(test_err_no_memory_for_a_reference),
		test_with_nodes(test_threads_refer_and_forget_during_cycles),
		test_with_nodes(test_a_child_has_no_references),
		test_with_nodes(test_verify_looks_at_references),
	};

	return run_in_all_layouts("weak references", tests);
}
