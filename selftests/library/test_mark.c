// SPDX-License-Identifier: MIT
/*
 * The marker: after a cycle exactly what can be reached is alive. Conservative
 * stacks are off, so that live objects can be counted.
 */
#include <stdio.h>
#include <time.h>

#include "library_test.h"
#if UNDER_ASAN
/* Only there are the library's own functions to be had. */
#include "mark.h"
#include "mark_edge.h"
#endif

#define EDGES	4u

struct node {
	struct node *edges[EDGES];
	uint64_t payload[4];
};

static void *new_object(struct fixture *f, gcheap_type type)
{
	void *object = gcheap_new(f->thread, type);

	if (!object)
		fail_msg("gcheap_new: %s", gcheap_error());
	return object;
}

static void *new_array(struct fixture *f, gcheap_type type, size_t n)
{
	void *object = gcheap_new_array(f->thread, type, n);

	if (!object)
		fail_msg("gcheap_new_array: %s", gcheap_error());
	return object;
}

/* ---- shapes of the graph ------------------------------------------------------ */

/* Runs @test in each layout. */
static void in_layouts(void (*test)(struct fixture *f))
{
	struct fixture f;
	size_t i;

	for (i = 0; i < TEST_LAYOUTS; i++) {
		fixture_open_layout(&f, test_layouts[i].layout);
		test(&f);
		fixture_close(&f);
	}
}

/* While a test's roots are there, which are its variables. */
static void assert_sound(struct fixture *f)
{
	assert_int_equal(gcheap_verify(f->heap), 0);
}

static void list(struct fixture *f)
{
	static const size_t bytes[] = { 16, 24, 64, 512, 1024 };
	size_t length = 20000, b, i;

	for (b = 0; b < ARRAY_SIZE(bytes); b++) {
		gcheap_type type = type_with_mask(f->heap, bytes[b], 8, 1);
		void **head = NULL, **middle = NULL;

		assert_int_equal(gcheap_root_add(f->heap, &head, 1), 0);
		for (i = 0; i < length; i++) {
			void **cell = new_object(f, type);

			*cell = head;
			head = cell;
			if (i == length / 2)
				middle = cell;
		}
		assert_int_equal(live_after_collect(f), length);
		/* Without what follows it, the upper half is left. */
		*middle = NULL;
		assert_int_equal(live_after_collect(f), length - length / 2);
		head = NULL;
		assert_int_equal(live_after_collect(f), 0);
		assert_int_equal(gcheap_root_remove(f->heap, &head), 0);
	}
	assert_sound(f);
}

static void test_a_list_is_followed_to_its_end(void **state)
{
	(void)state;
	in_layouts(list);
}

static struct node *tree(struct fixture *f, gcheap_type type, unsigned int depth)
{
	struct node *node = new_object(f, type);

	if (depth) {
		node->edges[0] = tree(f, type, depth - 1);
		node->edges[3] = tree(f, type, depth - 1);
	}
	return node;
}

static void trees(struct fixture *f)
{
	gcheap_type type = type_with_mask(f->heap, sizeof(struct node), 8, 0xf);
	struct node *root = tree(f, type, 15);

	assert_int_equal(gcheap_root_add(f->heap, &root, 1), 0);
	assert_int_equal(live_after_collect(f), (2u << 15) - 1);
	root->edges[3] = root->edges[0];
	assert_int_equal(live_after_collect(f), (2u << 14));
	root = root->edges[0]->edges[0];
	assert_int_equal(live_after_collect(f), (2u << 13) - 1);
	assert_sound(f);
}

static void test_trees_and_shared_subtrees_are_counted_once(void **state)
{
	(void)state;
	in_layouts(trees);
}

static void cycles(struct fixture *f)
{
	gcheap_type type = type_with_mask(f->heap, sizeof(struct node), 8, 0xf);
	struct node *first = new_object(f, type), *last = first;
	struct node *root = first;
	int i;

	assert_int_equal(gcheap_root_add(f->heap, &root, 1), 0);
	for (i = 0; i < 1000; i++) {
		struct node *node = new_object(f, type);

		node->edges[0] = node;
		node->edges[1] = last;
		last->edges[2] = node;
		last = node;
	}
	last->edges[3] = first;
	assert_int_equal(live_after_collect(f), 1001);
	root = NULL;
	assert_int_equal(live_after_collect(f), 0);
	assert_sound(f);
}

static void test_cycles_end_and_die_together(void **state)
{
	(void)state;
	in_layouts(cycles);
}

/* A random graph, and a search of it in plain memory. */
static void graph(struct fixture *f)
{
	static const size_t sizes[] = { 40, 64, 200, 600, 3000 };
	gcheap_type types[ARRAY_SIZE(sizes)];
	size_t nodes = 30000, head = 0, tail = 0, i, e;
	struct node **all = calloc(nodes, sizeof(*all));
	uint32_t *edges = calloc(nodes * EDGES, sizeof(*edges));
	uint32_t *queue = calloc(nodes, sizeof(*queue));
	uint8_t *seen = calloc(nodes, 1);
	uint64_t random = 4711;
	struct node *root;

	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		types[i] = type_with_mask(f->heap, sizes[i], 8, 0xf);
	for (i = 0; i < nodes; i++)
		all[i] = new_object(f, types[random_next(&random) % ARRAY_SIZE(sizes)]);
	for (i = 0; i < nodes; i++) {
		for (e = 0; e < EDGES; e++) {
			uint64_t target = random_next(&random) % (nodes * 2);

			/* NULL, or into the middle of a node. */
			edges[i * EDGES + e] = target < nodes ? (uint32_t)target : UINT32_MAX;
			if (target < nodes)
				all[i]->edges[e] = (struct node *)((char *)all[target] +
								   random_next(&random) % 40);
		}
	}
	seen[0] = 1;
	queue[tail++] = 0;
	while (head < tail) {
		uint32_t node = queue[head++];

		for (e = 0; e < EDGES; e++) {
			uint32_t next = edges[node * EDGES + e];

			if (next != UINT32_MAX && !seen[next]) {
				seen[next] = 1;
				queue[tail++] = next;
			}
		}
	}
	root = all[0];
	assert_int_equal(gcheap_root_add(f->heap, &root, 1), 0);
	assert_int_equal(live_after_collect(f), tail);
	for (i = 0; i < nodes; i++) {
		struct gcheap_object found;

		assert_int_equal(gcheap_find(f->heap, all[i], &found), seen[i] ? 0 : -ENOENT);
	}
	assert_sound(f);
	free(all);
	free(edges);
	free(queue);
	free(seen);
}

static void test_a_random_graph_keeps_what_a_search_reaches(void **state)
{
	(void)state;
	in_layouts(graph);
}

/* ---- objects ------------------------------------------------------------------ */

/* 3 MB of pointers, in 24 oblets; every word counts. */
static void large_array(struct fixture *f)
{
	gcheap_type pointer = type_with_mask(f->heap, 8, 8, 1);
	gcheap_type pair = type_with_mask(f->heap, 24, 8, 2);
	size_t n = 400000, i;
	void **array = new_array(f, pointer, n);
	struct { uint64_t scalar; void *pointer; void *no_pointer; } *pairs;
	void *root = array;

	assert_int_equal(gcheap_root_add(f->heap, &root, 1), 0);
	for (i = 0; i < n; i++)
		array[i] = gcheap_new_leaf(f->thread, 16);
	assert_int_equal(live_after_collect(f), n + 1);
	for (i = 0; i < n; i += 2)
		array[i] = NULL;
	assert_int_equal(live_after_collect(f), n / 2 + 1);

	/* An interior pointer keeps all of it; scalars keep nothing. */
	pairs = new_array(f, pair, n);
	for (i = 0; i < n; i++) {
		pairs[i].pointer = i % 1000 ? NULL : gcheap_new_leaf(f->thread, 16);
		pairs[i].no_pointer = gcheap_new_leaf(f->thread, 16);
		pairs[i].scalar = (uint64_t)(uintptr_t)pairs[i].no_pointer;
	}
	root = &pairs[n / 2].scalar;
	assert_int_equal(live_after_collect(f), n / 1000 + 1);
	assert_sound(f);
}

static void test_large_objects_are_scanned_whole_and_scalars_are_not(void **state)
{
	(void)state;
	in_layouts(large_array);
}

static void wide_type(struct fixture *f)
{
	size_t words = 10000, i;
	uint8_t mask[10000 / 8];
	struct gcheap_type_desc desc = {
		.name = "wide", .size = 8 * words, .align = 8, .ptr_bytes = 8 * words,
		.ptr_mask = mask,
	};
	void **object, *root;
	gcheap_type type;

	/* Every third word. */
	memset(mask, 0, sizeof(mask));
	for (i = 0; i < words; i += 3)
		mask[i / 8] |= (uint8_t)(1u << i % 8);
	assert_int_equal(gcheap_type_register(f->heap, &desc, &type), 0);
	object = new_array(f, type, 3);
	for (i = 0; i < 3 * words; i++)
		object[i] = gcheap_new_leaf(f->thread, 32);
	root = object;
	assert_int_equal(gcheap_root_add(f->heap, &root, 1), 0);
	assert_int_equal(live_after_collect(f), 1 + 3 * ((words + 2) / 3));
	assert_sound(f);
}

static void test_types_of_many_words_are_scanned_by_their_mask(void **state)
{
	(void)state;
	in_layouts(wide_type);
}

/* A free slot behind an object: not kept, whatever old pointers are in it. */
static void end_at_free_slot(struct fixture *f)
{
	gcheap_type type = type_with_mask(f->heap, 64, 8, 3);
	void **objects[64];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(objects); i++)
		objects[i] = new_object(f, type);
	for (i = 0; i < ARRAY_SIZE(objects); i++) {
		objects[i][0] = objects[(i + 7) % ARRAY_SIZE(objects)];
		objects[i][1] = (char *)objects[i] + 64;
	}
	objects[3][0] = NULL;
	assert_int_equal(gcheap_root_add(f->heap, &objects[3], 1), 0);
	for (i = 0; i < 3; i++) {
		/* The first cycle: all slots up to the end of the last are in use. */
		assert_int_equal(live_after_collect(f), i ? 1 : ARRAY_SIZE(objects));
		assert_int_equal(gcheap_verify(f->heap), 0);
		objects[3][1] = NULL;
		assert_int_equal(live_after_collect(f), 1);
		objects[3][1] = (char *)objects[3] + 64;
	}
	assert_int_equal(gcheap_root_remove(f->heap, &objects[3]), 0);
	assert_sound(f);
}

static void ends(struct fixture *f)
{
	gcheap_type type = type_with_mask(f->heap, 48, 8, 3);
	void **holder = NULL, **last = NULL;
	void *root;
	int i;

	/* A pointer to the end of a span's last slot is one into its waste. */
	for (i = 0; i < 400; i++) {
		void **object = new_object(f, type);

		if (!holder)
			holder = object;
		if (((uintptr_t)object & 8191) / 48 >= 166)
			last = object;
	}
	assert_non_null(last);
	holder[0] = last;
	holder[1] = last + 6;
	root = holder;
	assert_int_equal(gcheap_root_add(f->heap, &root, 1), 0);
	gcheap_collect(f->thread);
	/* What is found there may be kept or not, but these two are. */
	assert_true(stats_of(f->heap).live_objects >= 2);
	assert_true(stats_of(f->heap).live_objects <= 3);
	assert_sound(f);
}

static void test_a_pointer_to_an_objects_end_is_harmless(void **state)
{
	(void)state;
	in_layouts(ends);
	in_layouts(end_at_free_slot);
}

/* ---- roots -------------------------------------------------------------------- */

static void roots(struct fixture *f)
{
	gcheap_type type = type_with_mask(f->heap, 24, 8, 5);
	gcheap_type leaf = type_with_mask(f->heap, 64, 8, 0);
	struct { void *a; void *no_pointer; void *b; } typed[100];
	void *slots[2000], *words[50], *freed;
	size_t i;

	memset(typed, 0, sizeof(typed));
	for (i = 0; i < ARRAY_SIZE(typed); i++) {
		typed[i].a = new_object(f, leaf);
		typed[i].no_pointer = new_object(f, leaf);
		typed[i].b = new_object(f, leaf);
	}
	for (i = 0; i < ARRAY_SIZE(slots); i++)
		slots[i] = i % 3 ? new_object(f, leaf) : i % 2 ? NULL : &slots;
	for (i = 0; i < ARRAY_SIZE(words); i++)
		words[i] = (char *)new_object(f, leaf) + i + 1;
	freed = new_object(f, leaf);

	assert_int_equal(live_after_collect(f), 0);
	for (i = 0; i < ARRAY_SIZE(typed); i++) {
		typed[i].a = new_object(f, leaf);
		typed[i].no_pointer = new_object(f, leaf);
		typed[i].b = new_object(f, leaf);
	}
	assert_int_equal(gcheap_root_add_typed(f->heap, typed, type, ARRAY_SIZE(typed)), 0);
	assert_int_equal(live_after_collect(f), 2 * ARRAY_SIZE(typed));
	assert_int_equal(gcheap_root_remove(f->heap, typed), 0);

	for (i = 0; i < ARRAY_SIZE(slots); i++)
		slots[i] = i % 3 ? new_object(f, leaf) : i % 2 ? NULL : &slots;
	assert_int_equal(gcheap_root_add(f->heap, slots, ARRAY_SIZE(slots)), 0);
	assert_int_equal(live_after_collect(f), 2 * (ARRAY_SIZE(slots) / 3) + 1);
	assert_int_equal(gcheap_root_remove(f->heap, slots), 0);

	/* Ambiguous words point anywhere: into objects, free slots, free pages. */
	for (i = 0; i < ARRAY_SIZE(words); i++)
		words[i] = (char *)new_object(f, leaf) + i + 1;
	freed = new_object(f, leaf);
	slots[0] = freed;
	slots[1] = (char *)freed + 64;
	slots[2] = (char *)freed + (16u << 20);
	slots[3] = (void *)((uintptr_t)freed & ~(uintptr_t)0x3ffffff);
	assert_int_equal(gcheap_root_add_ambiguous(f->heap, words, sizeof(words)), 0);
	assert_int_equal(live_after_collect(f), ARRAY_SIZE(words));
	assert_int_equal(gcheap_root_add_ambiguous(f->heap, slots, 4 * sizeof(slots[0])), 0);
	assert_int_equal(live_after_collect(f), ARRAY_SIZE(words));
	assert_int_equal(gcheap_root_remove(f->heap, slots), 0);
	assert_int_equal(gcheap_root_remove(f->heap, words), 0);
	assert_int_equal(live_after_collect(f), 0);
	assert_sound(f);
}

static void test_roots_of_each_kind_keep_what_they_point_at(void **state)
{
	(void)state;
	in_layouts(roots);
}

/* ---- the stack of the marker --------------------------------------------------- */

#if UNDER_ASAN

/*
 * More roots wait than one segment holds. What overflows must be found again, oblets of large
 * objects included; with bits for it, and without.
 */
static void overflow(struct fixture *f)
{
	struct marker *marker = ((struct gcheap *)f->heap)->marker;
	gcheap_type pointer = type_with_mask(f->heap, 8, 8, 1);
	gcheap_type type = type_with_mask(f->heap, 32, 8, 3);
	gcheap_type big = type_with_mask(f->heap, 1000, 8, 3);
	size_t n = 3 * sizeof(((struct mark_segment *)0)->entries) / 8, i, expected = 0;
	void **roots = calloc(n, sizeof(*roots));

	for (i = 0; i < n; i++) {
		void **node = new_object(f, i % 16 ? type : big);

		roots[i] = node;
		node[0] = new_object(f, type);
		*(void **)node[0] = gcheap_new_leaf(f->thread, 16);
		expected += 3;
		if (i % 10000 == 0) {
			/* Found late, as large as several oblets. */
			void **large = new_array(f, pointer, 50000);

			node[1] = large;
			large[0] = new_object(f, type);
			large[49999] = new_object(f, type);
			expected += 3;
		}
	}
	assert_int_equal(gcheap_root_add(f->heap, roots, n), 0);
	assert_int_equal(live_after_collect(f), expected);
	/* It takes that many segments, where they are to be had. */
	assert_true(marker->stack.bytes >= 3 * MARK_SEGMENT_BYTES);

	mark_stack_trim(&marker->stack, 0);
	marker->team->most_stack_bytes = 0;
	for (i = 0; i < 2; i++) {
		assert_int_equal(live_after_collect(f), expected);
		assert_true(marker->stack.bytes == MARK_SEGMENT_BYTES);
		assert_int_equal(gcheap_verify(f->heap), 0);
		marker->team->overflow.max_bytes = 0;
	}
	assert_int_equal(gcheap_root_remove(f->heap, roots), 0);
	assert_sound(f);
	free(roots);
}

static void test_a_stack_without_memory_loses_nothing(void **state)
{
	(void)state;
	in_layouts(overflow);
}

/* Pushes and takes against an array, across segments. */
static void test_the_stack_gives_back_what_it_took(void **state)
{
	uint64_t seed = getenv("GCHEAP_SEED") ? strtoull(getenv("GCHEAP_SEED"), NULL, 0) :
						(uint64_t)time(NULL);
	uint64_t random = seed, batch[MARK_BATCH], next = 1;
	size_t size = 400000, top = 0, i, round;
	uint64_t *model = calloc(size, sizeof(*model));
	struct mark_budget budget = { .max_bytes = UINT64_MAX };
	struct mark_stack stack;

	(void)state;
	print_message("# GCHEAP_SEED=%llu\n", (unsigned long long)seed);
	assert_non_null(model);
	assert_int_equal(mark_stack_init(&stack, &budget), 0);
	for (round = 0; round < 3000; round++) {
		size_t count = random_next(&random) % 3000;

		if (random_next(&random) % (round % 500 < 250 ? 3 : 2)) {
			for (i = 0; i < count && top < size; i++)
				assert_true(mark_stack_push(&stack, model[top++] = next++));
		} else if (random_next(&random) % 2 && top + count < size) {
			assert_true(mark_stack_reserve(&stack, count) >= count);
			for (i = 0; i < count; i++)
				*stack.top++ = model[top++] = next++;
		} else {
			while (count > MARK_BATCH) {
				size_t took = mark_stack_take(&stack, batch, MARK_BATCH);

				assert_int_equal(!took, !top);
				for (i = 0; i < took; i++)
					assert_int_equal(batch[i], model[--top]);
				count -= MARK_BATCH;
			}
		}
		assert_int_equal(mark_stack_empty(&stack), !top);
	}
	while (top) {
		size_t took = mark_stack_take(&stack, batch, MARK_BATCH);

		assert_true(took > 0);
		for (i = 0; i < took; i++)
			assert_int_equal(batch[i], model[--top]);
	}
	assert_true(mark_stack_empty(&stack));
	mark_stack_trim(&stack, 0);
	assert_int_equal(stack.bytes, MARK_SEGMENT_BYTES);
	assert_int_equal(budget.bytes, MARK_SEGMENT_BYTES);
	mark_stack_destroy(&stack);
	assert_int_equal(budget.bytes, 0);
	free(model);
}

static void mark_four(struct marker *marker, void **slots, struct mark_result *result)
{
	const struct view *view = marker->view;

	/* Between two cycles the mark bits are free to use, and cleared by the next. */
	memset(view_mark_bits(view), 0, address_end(view) >> 7);
	memset(view->page_marks, 0, (address_end(view) >> 16) + 8);
	mark_begin(marker);
	mark_slots(marker, slots, 4);
	mark_finish(marker, result);
}

/* A free slot is none of them, whatever leads there, nor is a page without a span. */
static void test_what_is_no_object_is_not_marked(void **state)
{
	struct mark_result result;
	struct marker *marker;
	struct gcheap *heap;
	struct fixture f;
	gcheap_type type;
	char *objects[4];
	void *slots[4];
	size_t i, l;

	(void)state;
	in_each_layout(l) {
		fixture_open_layout(&f, test_layouts[l].layout);
		heap = f.heap;
		marker = heap->marker;
		type = type_with_mask(f.heap, 64, 8, 1);
		for (i = 0; i < ARRAY_SIZE(objects); i++)
			objects[i] = new_object(&f, type);
		assert_int_equal(gcheap_root_add(f.heap, objects, ARRAY_SIZE(objects)), 0);
		assert_int_equal(live_after_collect(&f), ARRAY_SIZE(objects));
		slots[0] = objects[0];
		slots[1] = objects[3] + 63;
		slots[2] = objects[3] + 10 * 64 + 8;		/* a free slot */
		slots[3] = heap->view.base + 8;			/* a page without span */
		mark_four(marker, slots, &result);
		assert_int_equal(result.objects, 2);
		assert_int_equal(result.bytes, 2 * 64);
		slots[1] = objects[3] + 64;
		mark_four(marker, slots, &result);
		assert_int_equal(result.objects, 1);
		fixture_close(&f);
	}
}

/* A stack that was deep once is memory, and no reason to follow each root by itself. */
static void test_roots_are_followed_by_what_waits_and_not_by_what_is_kept(void **state)
{
	static void *slots[64];
	struct fixture f;
	struct marker *marker;
	size_t i;

	(void)state;
	fixture_open_layout(&f, GCHEAP_LAYOUT_SPAN);
	marker = f.heap->marker;
	for (i = 0; i < ARRAY_SIZE(slots); i++)
		slots[i] = new_object(&f, type_with_mask(f.heap, 64, 8, 1));
	assert_int_equal(gcheap_root_add(f.heap, slots, ARRAY_SIZE(slots)), 0);
	assert_int_equal(live_after_collect(&f), ARRAY_SIZE(slots));
	while (marker->stack.bytes < 3 << 20)
		assert_true(mark_stack_push(&marker->stack, 0));
	while (!mark_stack_empty(&marker->stack)) {
		uint64_t batch[MARK_BATCH];

		mark_stack_take(&marker->stack, batch, MARK_BATCH);
	}
	mark_begin(marker);
	mark_slots(marker, slots, ARRAY_SIZE(slots));
	assert_int_equal(marker->stack.top - marker->stack.segment->entries, ARRAY_SIZE(slots));
	/* What does wait is followed when it is much. */
	while (!mark_stack_exceeds(&marker->stack, 1 << 20))
		assert_true(mark_stack_push(&marker->stack,
					    *marker->stack.segment->entries));
	mark_slots(marker, slots, 1);
	assert_true(mark_stack_empty(&marker->stack));
	assert_int_equal(live_after_collect(&f), ARRAY_SIZE(slots));
	fixture_close(&f);
}

#endif /* UNDER_ASAN */

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_list_is_followed_to_its_end),
		cmocka_unit_test(test_trees_and_shared_subtrees_are_counted_once),
		cmocka_unit_test(test_cycles_end_and_die_together),
		cmocka_unit_test(test_a_random_graph_keeps_what_a_search_reaches),
		cmocka_unit_test(test_large_objects_are_scanned_whole_and_scalars_are_not),
		cmocka_unit_test(test_types_of_many_words_are_scanned_by_their_mask),
		cmocka_unit_test(test_a_pointer_to_an_objects_end_is_harmless),
		cmocka_unit_test(test_roots_of_each_kind_keep_what_they_point_at),
#if UNDER_ASAN
		cmocka_unit_test(test_a_stack_without_memory_loses_nothing),
		cmocka_unit_test(test_the_stack_gives_back_what_it_took),
		cmocka_unit_test(test_what_is_no_object_is_not_marked),
		cmocka_unit_test(test_roots_are_followed_by_what_waits_and_not_by_what_is_kept),
#endif
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("mark", tests, NULL, NULL);
}
