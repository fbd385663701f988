// SPDX-License-Identifier: MIT
/*
 * Shapes that collectors are known by: GCBench's, binary trees, also one for each of several
 * threads, a long list, a large array of pointers; threads that begin and end while cycles run, and
 * threads that are stopped in the C library. Each checks what is in the objects, and exactly how
 * many live.
 *
 * Environment: GCHEAP_PERCENT, of the size that a shape is known by; less than that is done
 * otherwise, and least where the processor is emulated or a sanitizer watches.
 */
#define _GNU_SOURCE
#include "markers.h"

#include <dlfcn.h>
#include <pthread.h>

#if UNDER_ASAN || defined(__SANITIZE_THREAD__)
#define PERCENT		1u
#else
#define PERCENT		6u
#endif
#define PERCENT_DEVICE	1u

#define MARKERS		2u
#define THREADS_MAX	8u

static size_t part_of(const struct fixture *f, size_t size)
{
	const char *value = getenv("GCHEAP_PERCENT");
	size_t percent = gcheap_backend(f->heap) == GCHEAP_BACKEND_DEVICE ? PERCENT_DEVICE :
									    PERCENT;

	if (value)
		percent = strtoul(value, NULL, 0);
	return size / 100 * percent + size % 100 * percent / 100;
}

/* The depth of the tree that has about this part of the nodes of one of @depth. */
static unsigned int depth_of(const struct fixture *f, unsigned int depth)
{
	size_t nodes = part_of(f, (size_t)1 << depth);

	while (depth > 6 && (size_t)1 << depth > nodes)
		depth--;
	return depth;
}

static void open_shape(struct fixture *f, int32_t gc_percent)
{
	struct gcheap_config config = fixture_config();

	config.markers = MARKERS;
	config.gc_percent = gc_percent;
	fixture_open_with(f, &config);
}

/* ---- trees ------------------------------------------------------------------------ */

/* What is not in a root is not kept: no stack is scanned. */
struct node {
	struct node *left, *right;
	uintptr_t number;
};

static gcheap_type node_type(struct fixture *f)
{
	return type_with_mask(f->heap, sizeof(struct node), 8, 3);
}

static struct node *node_new(struct gcheap_thread *thread, gcheap_type type, uintptr_t number)
{
	struct node *node = gcheap_new(thread, type);

	/* In any thread. */
	if (!node) {
		print_message("# gcheap_new: %s\n", gcheap_error());
		abort();
	}
	if (node->left || node->right || node->number) {
		print_message("# an object is not zero\n");
		abort();
	}
	node->number = number;
	return node;
}

static size_t tree_nodes(unsigned int depth)
{
	return ((size_t)2 << depth) - 1;
}

/* From the top, as GCBench's Populate(): @node can be reached. Numbers are those of a heap. */
static void tree_down(struct gcheap_thread *thread, gcheap_type type, struct node *node,
		      unsigned int depth)
{
	if (!depth)
		return;
	node->left = node_new(thread, type, 2 * node->number);
	node->right = node_new(thread, type, 2 * node->number + 1);
	tree_down(thread, type, node->left, depth - 1);
	tree_down(thread, type, node->right, depth - 1);
}

/* From the bottom, as MakeTree(). What waits is in @slots, two for each level, which are roots. */
static void tree_up(struct gcheap_thread *thread, gcheap_type type, struct node **slots,
		    unsigned int depth, uintptr_t number, struct node **tree)
{
	struct node *node;

	if (depth) {
		tree_up(thread, type, slots, depth - 1, 2 * number, &slots[2 * depth]);
		tree_up(thread, type, slots, depth - 1, 2 * number + 1, &slots[2 * depth + 1]);
	}
	node = node_new(thread, type, number);
	if (depth) {
		node->left = slots[2 * depth];
		node->right = slots[2 * depth + 1];
	}
	*tree = node;
}

/* Whether all nodes are there, and none besides. */
static bool tree_is_right(const struct node *node, unsigned int depth, uintptr_t number)
{
	if (!node || node->number != number)
		return false;
	if (!depth)
		return !node->left && !node->right;
	return tree_is_right(node->left, depth - 1, 2 * number) &&
	       tree_is_right(node->right, depth - 1, 2 * number + 1);
}

#define DEPTH_MAX	24u
#define SLOTS		(2 * DEPTH_MAX + 4)

/* GCBench: a tree and an array that live long, and trees of all sizes that do not. */
static void test_gcbench(void **state)
{
	struct node *slots[SLOTS] = { NULL };
	struct node **long_lived = &slots[SLOTS - 1], **temporary = &slots[SLOTS - 2];
	unsigned int depth, most;
	struct fixture f;
	double *array;
	gcheap_type type;
	size_t n, i;
	void *root;

	(void)state;
	open_shape(&f, 100);
	type = node_type(&f);
	most = depth_of(&f, 16);
	n = part_of(&f, 500000);
	assert_int_equal(gcheap_root_add(f.heap, (void **)slots, SLOTS), 0);
	assert_int_equal(gcheap_root_add(f.heap, &root, 1), 0);
	root = array = markers_leaf(&f, n * sizeof(*array));
	for (i = 0; i < n; i++)
		array[i] = 1.0 / (double)(i + 1);
	*long_lived = node_new(f.thread, type, 1);
	tree_down(f.thread, type, *long_lived, most);
	for (depth = 4; depth <= most; depth += 2) {
		size_t count = 2 * tree_nodes(most) / tree_nodes(depth);

		for (i = 0; i < count; i++) {
			*temporary = node_new(f.thread, type, 1);
			tree_down(f.thread, type, *temporary, depth);
			assert_true(tree_is_right(*temporary, depth, 1));
		}
		for (i = 0; i < count; i++) {
			tree_up(f.thread, type, slots, depth, 1, temporary);
			assert_true(tree_is_right(*temporary, depth, 1));
		}
		/* The last one, whose parts are in the slots, too. */
		assert_int_equal(live_after_collect(&f), 1 + tree_nodes(most) + tree_nodes(depth));
		*temporary = NULL;
		memset(slots, 0, 2 * (depth + 1) * sizeof(*slots));
		assert_int_equal(live_after_collect(&f), 1 + tree_nodes(most));
	}
	assert_true(tree_is_right(*long_lived, most, 1));
	for (i = 0; i < n; i++)
		assert_true(array[i] == 1.0 / (double)(i + 1));
	*long_lived = NULL;
	assert_int_equal(live_after_collect(&f), 1);
	fixture_close(&f);
}

/* A thread that makes trees, one of which stays. */
struct planter {
	struct fixture *fixture;
	gcheap_type type;
	unsigned int depth;
	unsigned int rounds;
	struct node *slots[SLOTS];
	const char *error;
	pthread_t self;
};

static void *planter_run(void *arg)
{
	struct planter *planter = arg;
	struct node **tree = &planter->slots[SLOTS - 1], **other = &planter->slots[SLOTS - 2];
	struct gcheap_thread *thread;
	unsigned int i;

	if (gcheap_thread_attach(planter->fixture->heap, &thread))
		abort();
	tree_up(thread, planter->type, planter->slots, planter->depth, 1, tree);
	for (i = 0; i < planter->rounds; i++) {
		unsigned int depth = 4 + i % (planter->depth - 3);

		*other = node_new(thread, planter->type, 1);
		tree_down(thread, planter->type, *other, depth);
		if (!tree_is_right(*other, depth, 1))
			planter->error = "a tree that does not live long is not right";
	}
	if (!tree_is_right(*tree, planter->depth, 1))
		planter->error = "the tree that lives long is not right";
	memset(planter->slots, 0, (SLOTS - 1) * sizeof(*planter->slots));
	gcheap_thread_detach(thread);
	return NULL;
}

static void trees_of_threads(unsigned int threads)
{
	struct planter *planters = calloc(threads, sizeof(*planters));
	struct fixture f;
	unsigned int depth, i;
	gcheap_type type;
	uint64_t nodes;

	assert_non_null(planters);
	open_shape(&f, 100);
	type = node_type(&f);
	depth = depth_of(&f, 18);
	nodes = tree_nodes(depth);
	for (i = 0; i < threads; i++) {
		planters[i] = (struct planter) { &f, type, depth, 24, { NULL }, NULL, 0 };
		assert_int_equal(gcheap_root_add(f.heap, (void **)planters[i].slots, SLOTS), 0);
	}
	gcheap_park(f.thread);
	for (i = 0; i < threads; i++)
		assert_int_equal(pthread_create(&planters[i].self, NULL, planter_run,
						&planters[i]), 0);
	for (i = 0; i < threads; i++)
		pthread_join(planters[i].self, NULL);
	gcheap_unpark(f.thread);
	for (i = 0; i < threads; i++) {
		if (planters[i].error)
			fail_msg("thread %u of %u: %s", i, threads, planters[i].error);
	}
	assert_int_equal(live_after_collect(&f), threads * nodes);
	for (i = 0; i < threads; i++) {
		struct node **tree = &planters[i].slots[SLOTS - 1];

		assert_true(tree_is_right(*tree, depth, 1));
		/* A half of it. */
		(*tree)->left = NULL;
		assert_int_equal(live_after_collect(&f), (threads - i) * nodes - (nodes - 1) / 2);
		*tree = NULL;
		assert_int_equal(live_after_collect(&f), (threads - i - 1) * nodes);
	}
	fixture_close(&f);
	free(planters);
}

static void test_a_tree_of_each_of_several_threads(void **state)
{
	static const unsigned int threads[] = { 1, 2, 4, THREADS_MAX };
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(threads); i++)
		trees_of_threads(threads[i]);
}

/* Threads come and go for as long as cycles run, and each leaves a tree behind. */
static void *seedling_run(void *arg)
{
	struct planter *planter = arg;
	struct node **tree = &planter->slots[0];
	struct gcheap_thread *thread;

	if (gcheap_thread_attach(planter->fixture->heap, &thread))
		abort();
	*tree = node_new(thread, planter->type, 1);
	tree_down(thread, planter->type, *tree, planter->depth);
	/* Every second one ends without a word. */
	if (planter->rounds % 2)
		gcheap_thread_detach(thread);
	return NULL;
}

static void test_threads_begin_and_end_while_cycles_run(void **state)
{
	struct planter planters[THREADS_MAX];
	const unsigned int depth = 7;
	unsigned int rounds, round, i;
	struct fixture f;
	gcheap_type type;

	(void)state;
	open_shape(&f, -1);
	type = node_type(&f);
	rounds = (unsigned int)part_of(&f, 1000) + 2;
	for (i = 0; i < THREADS_MAX; i++) {
		planters[i] = (struct planter) { &f, type, depth, 0, { NULL }, NULL, 0 };
		assert_int_equal(gcheap_root_add(f.heap, (void **)planters[i].slots, SLOTS), 0);
	}
	for (round = 0; round < rounds; round++) {
		for (i = 0; i < THREADS_MAX; i++) {
			planters[i].rounds = round + i;
			planters[i].slots[0] = NULL;
			assert_int_equal(pthread_create(&planters[i].self, NULL, seedling_run,
							&planters[i]), 0);
			assert_int_equal(gcheap_collect(f.thread), 0);
		}
		for (i = 0; i < THREADS_MAX; i++) {
			assert_int_equal(gcheap_collect(f.thread), 0);
			gcheap_park(f.thread);
			pthread_join(planters[i].self, NULL);
			gcheap_unpark(f.thread);
		}
		assert_int_equal(live_after_collect(&f), THREADS_MAX * tree_nodes(depth));
		for (i = 0; i < THREADS_MAX; i++)
			assert_true(tree_is_right(planters[i].slots[0], depth, 1));
	}
	fixture_close(&f);
}

/* ---- a list, an array -------------------------------------------------------------- */

struct cell {
	struct cell *next;
	uintptr_t number;
};

static void test_a_list_of_ten_million_nodes(void **state)
{
	struct cell *head = NULL, *cell;
	struct fixture f;
	gcheap_type type;
	size_t n, i;

	(void)state;
	open_shape(&f, 100);
	type = type_with_mask(f.heap, sizeof(*cell), 8, 1);
	n = part_of(&f, 10000000);
	assert_int_equal(gcheap_root_add(f.heap, (void **)&head, 1), 0);
	for (i = 0; i < n; i++) {
		cell = gcheap_new(f.thread, type);
		assert_true(cell && !cell->next && !cell->number);
		cell->next = head;
		cell->number = i + 1;
		head = cell;
	}
	assert_int_equal(live_after_collect(&f), n);
	for (cell = head, i = n; cell; cell = cell->next, i--)
		assert_true(cell->number == i);
	assert_int_equal(i, 0);
	/* A third of it stays. */
	for (cell = head, i = 1; i < n / 3; i++)
		cell = cell->next;
	cell->next = NULL;
	assert_int_equal(live_after_collect(&f), n / 3);
	for (cell = head, i = n; cell; cell = cell->next, i--)
		assert_true(cell->number == i);
	assert_int_equal(i, n - n / 3);
	head = NULL;
	assert_int_equal(live_after_collect(&f), 0);
	fixture_close(&f);
}

/* Pointers of a part of the array; there are four kinds of parts. */
#define PART		4096u
#define KINDS		4u

/* What the second part of four has at @i leads to what this one of the first has. */
static size_t mate_of(size_t i)
{
	return i / PART * PART - PART + i * 7 % PART;
}

/* 256 MiB of pointers: in order, in none, to nothing, and to a few larger objects. */
static void test_an_array_of_32_million_pointers(void **state)
{
	uintptr_t **array;
	struct fixture f;
	size_t n, i, leaves = 0;
	void *root;

	(void)state;
	open_shape(&f, -1);
	n = part_of(&f, (size_t)32 << 20) / (PART * KINDS) * PART * KINDS;
	assert_true(n > 0);
	assert_int_equal(gcheap_root_add(f.heap, &root, 1), 0);
	root = markers_new(&f, type_with_mask(f.heap, 8, 8, 1), n);
	array = root;
	for (i = 0; i < n; i++) {
		switch (i / PART % KINDS) {
		case 0:
			array[i] = markers_leaf(&f, 16);
			*array[i] = i;
			leaves++;
			break;
		case 1:
			array[i] = array[mate_of(i)];
			break;
		case 2:
			break;
		default:
			array[i] = i % 64 ? NULL : markers_leaf(&f, 48);
			if (array[i])
				*array[i] = i;
			leaves += !(i % 64);
			break;
		}
	}
	for (i = 0; i < 3; i++)
		assert_int_equal(live_after_collect(&f), 1 + leaves);
	for (i = 0; i < n; i++) {
		if (array[i])
			assert_true(*array[i] == (i / PART % KINDS == 1 ? mate_of(i) : i));
	}
	/* The second part of four leads to all that the first did, as 7 is odd. */
	for (i = 0; i < n; i++) {
		if (i / PART % KINDS != 1)
			array[i] = NULL;
	}
	assert_int_equal(live_after_collect(&f), 1 + n / KINDS);
	root = NULL;
	assert_int_equal(live_after_collect(&f), 0);
	fixture_close(&f);
}

/* ---- stops in the C library ----------------------------------------------------------- */

#if !defined(__SANITIZE_THREAD__)

/* One that is always in some function of the C library, with an object that only its stack has. */
struct busy {
	struct fixture *fixture;
	void (*call)(FILE *null, unsigned int n);
	uint64_t calls;
	bool shall_end;
	const char *error;
	pthread_t self;
};

static void call_malloc(FILE *null, unsigned int n)
{
	void *volatile memory = malloc(16 + n * 37 % 200000);

	(void)null;
	free(memory);
}

static void call_printf(FILE *null, unsigned int n)
{
	fprintf(null, "%u %f %s\n", n, n / 3.0, "text");
}

static void call_dlopen(FILE *null, unsigned int n)
{
	void *library = dlopen("libc.so.6", RTLD_NOW | RTLD_LOCAL);

	(void)null;
	(void)n;
	if (library) {
		dlsym(library, "printf");
		dlclose(library);
	}
}

static void *busy_run(void *arg)
{
	struct busy *busy = arg;
	FILE *null = fopen("/dev/null", "w");
	struct gcheap_thread *thread;
	uint32_t *volatile leaf;
	unsigned int n = 0;

	if (!null || gcheap_thread_attach(busy->fixture->heap, &thread))
		abort();
	leaf = gcheap_new_leaf(thread, 64);
	while (!__atomic_load_n(&busy->shall_end, __ATOMIC_RELAXED)) {
		leaf[n % 16] = n;
		busy->call(null, n);
		/* What is swept is zeroed, or another's. */
		if (leaf[n % 16] != n || (n >= 16 && leaf[(n - 1) % 16] != n - 1))
			busy->error = "what its stack leads to has changed";
		n++;
		__atomic_store_n(&busy->calls, n, __ATOMIC_RELAXED);
	}
	gcheap_thread_detach(thread);
	fclose(null);
	return NULL;
}

static void test_threads_are_stopped_in_the_c_library(void **state)
{
	static void (*const calls[])(FILE *null, unsigned int n) = {
		call_malloc, call_printf, call_dlopen,
	};
	struct gcheap_config config = GCHEAP_CONFIG_INIT;
	struct busy busy[ARRAY_SIZE(calls)];
	struct fixture f;
	unsigned int stops;
	uint64_t before;
	size_t i;

	(void)state;
	config.flags = GCHEAP_CONSERVATIVE_STACKS;
	config.gc_percent = -1;
	config.markers = MARKERS;
	fixture_open_with(&f, &config);
	assert_int_equal(gcheap_root_add_program(f.heap), 0);
	stops = (unsigned int)part_of(&f, 10000) + 20;
	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		busy[i] = (struct busy) { .fixture = &f, .call = calls[i] };
		assert_int_equal(pthread_create(&busy[i].self, NULL, busy_run, &busy[i]), 0);
	}
	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		while (!__atomic_load_n(&busy[i].calls, __ATOMIC_RELAXED))
			gcheap_safepoint(f.thread);
	}
	before = cycles_of(&f);
	while (stops--) {
		assert_non_null(gcheap_new_leaf(f.thread, 64));
		assert_int_equal(gcheap_collect(f.thread), 0);
		before++;
	}
	assert_int_equal(cycles_of(&f), before);
	assert_true(stats_of(f.heap).live_objects >= ARRAY_SIZE(calls));
	gcheap_park(f.thread);
	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		__atomic_store_n(&busy[i].shall_end, true, __ATOMIC_RELAXED);
		pthread_join(busy[i].self, NULL);
	}
	gcheap_unpark(f.thread);
	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		if (busy[i].error)
			fail_msg("thread %zu: %s", i, busy[i].error);
	}
	fixture_close(&f);
}

#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		markers_test(test_gcbench),
		markers_test(test_a_tree_of_each_of_several_threads),
		markers_test(test_threads_begin_and_end_while_cycles_run),
		markers_test(test_a_list_of_ten_million_nodes),
		markers_test(test_an_array_of_32_million_pointers),
#if !defined(__SANITIZE_THREAD__)
		markers_test(test_threads_are_stopped_in_the_c_library),
#endif
	};

	return run_in_all_layouts("known_shapes", tests);
}
