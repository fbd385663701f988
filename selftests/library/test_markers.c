// SPDX-License-Identifier: MIT
/*
 * Several markers mark what one does, with each instruction set, however work is divided, and when
 * there is no memory for their stacks.
 */
#define _GNU_SOURCE
#include "markers.h"

#include <unistd.h>

#if UNDER_ASAN || defined(__SANITIZE_THREAD__)
/* Only there are the library's own functions to be had. */
#define HAS_INTERNALS 1
#include "library.h"
#include "mark.h"
#include "mark_kernel.h"
#include "mark_thread.h"
#else
#define HAS_INTERNALS 0
#endif

#define MARKERS		4u
/* ---- graphs of all shapes ------------------------------------------------------- */

#define NODES		12000u
#define LEAVES		24000u
#define SHAPES		16u

/* Objects of many sizes, each with pointers into the middle of others, to free slots, to NULL. */
static void **random_graph(struct fixture *f, uint64_t *random)
{
	static const struct { size_t bytes; uint64_t mask; } kinds[] = {
		{ 24, 6 }, { 40, 0xf }, { 64, 0xff }, { 200, 0xf }, { 512, ~0ull },
		{ 600, 0x7fff }, { 3000, 0xf0f },
	};
	gcheap_type types[ARRAY_SIZE(kinds)];
	void ***all = calloc(NODES, sizeof(*all));
	void **graph;
	size_t i, w;

	assert_non_null(all);
	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		types[i] = type_with_mask(f->heap, kinds[i].bytes, 8, kinds[i].mask);
	for (i = 0; i < NODES; i++)
		all[i] = markers_new(f, types[i % ARRAY_SIZE(kinds)], 1);
	/* Pointers in words that are none keep nothing. */
	for (i = 0; i < NODES; i++) {
		for (w = 0; w < 3; w++) {
			uint64_t target = random_next(random) % (NODES * 3 / 2);

			if (target < NODES)
				all[i][w] = (char *)all[target] + random_next(random) % 24;
			else
				all[i][w] = target % 2 ? NULL : (void *)(uintptr_t)target;
		}
	}
	graph = all[0];
	free(all);
	return graph;
}

/* Pointers to leaves in the order in which these were made, but for some. */
static void **array(struct fixture *f, size_t bytes, bool is_ordered, uint64_t *random)
{
	gcheap_type pointer = type_with_mask(f->heap, 8, 8, 1);
	void **words = markers_new(f, pointer, LEAVES);
	size_t i;

	for (i = 0; i < LEAVES; i++) {
		char *leaf = markers_leaf(f, bytes);

		switch (random_next(random) % 64) {
		case 0:
			break;
		case 1:
			words[i] = words;
			break;
		case 2:
			words[i] = leaf + bytes;
			break;
		case 3:
			words[i] = &pointer;
			break;
		default:
			words[i] = leaf + random_next(random) % bytes;
			break;
		}
	}
	for (i = 0; !is_ordered && i < LEAVES; i++) {
		size_t other = random_next(random) % LEAVES;
		void *word = words[i];

		words[i] = words[other];
		words[other] = word;
	}
	return words;
}

/* An array of objects that have pointers, of which as many wait as do not fit a segment. */
static void **wide(struct fixture *f, size_t n)
{
	gcheap_type pointer = type_with_mask(f->heap, 8, 8, 1);
	gcheap_type pair = type_with_mask(f->heap, 16, 8, 3);
	void **words = markers_new(f, pointer, n);
	size_t i;

	for (i = 0; i < n; i++) {
		void **inner = words[i] = markers_new(f, pair, 1);

		inner[i % 2] = markers_new(f, pair, 1);
	}
	return words;
}

/* Returns how many roots @roots has now. */
static size_t shapes(struct fixture *f, void **roots)
{
	uint64_t random = 4711;
	size_t n = 0;

	roots[n++] = random_graph(f, &random);
	roots[n++] = markers_tree(f, type_with_mask(f->heap, 24, 8, 3), 12);
	roots[n++] = markers_list(f, 16, 5000);
	roots[n++] = markers_list(f, 1024, 500);
	roots[n++] = array(f, 16, true, &random);
	roots[n++] = array(f, 48, true, &random);
	roots[n++] = array(f, 64, true, &random);
	roots[n++] = array(f, 416, true, &random);
	roots[n++] = array(f, 16, false, &random);
	roots[n++] = array(f, 80, false, &random);
	roots[n++] = wide(f, 40000);
	assert_true(n <= SHAPES);
	return n;
}

/* By the interface alone: as many objects as one marker finds, and they are there. */
static void test_all_find_as_many_objects(void **state)
{
	static const char *const names[] = { "portable", "avx2", "avx512" };
	size_t i, l, n, round;

	(void)state;
	in_each_layout(l) {
		uint64_t right = 0;

		for (i = 0; i < ARRAY_SIZE(names); i++) {
			struct gcheap_config config = fixture_config();
			void *roots[SHAPES];
			struct fixture f;

			variable_set("GCHEAP_ISA", names[i]);
			config.layout = test_layouts[l].layout;
			config.markers = i ? MARKERS : 1;
			config.gc_percent = -1;
			if (gcheap_open(&config, &f.heap)) {
				print_message("# %s\n", gcheap_error());
				continue;
			}
			assert_int_equal(gcheap_thread_attach(f.heap, &f.thread), 0);
			n = shapes(&f, roots);
			assert_int_equal(gcheap_root_add(f.heap, roots, n), 0);
			for (round = 0; round < 3; round++) {
				uint64_t live = live_after_collect(&f);

				if (!right)
					right = live;
				assert_int_equal(live, right);
			}
			fixture_close(&f);
		}
	}
}

#if HAS_INTERNALS

/**
 * struct marks - what a mark has left behind
 * @bits: mark bits, before free slots are taken off again
 * @words: how many words that is
 * @page_marks: page marks
 * @page_words: the same of these
 * @result: the count
 * @helped: another marker than the first has scanned something
 */
struct marks {
	uint64_t *bits;
	size_t words;
	uint64_t *page_marks;
	size_t page_words;
	struct mark_result result;
	bool helped;
};

/* Marks with some of the heap's markers. Between two cycles the mark bits are free to use. */
static struct marks mark_with(struct gcheap *heap, void **roots, size_t n, uint32_t markers,
			      const struct mark_kernel *kernel, uint64_t most_bytes)
{
	struct marker *first = heap->marker;
	struct mark_team *team = first->team;
	const struct view *view = first->view;
	uint64_t end = address_end(view);
	uint32_t size = team->size, i;
	struct marks marks = {
		.words = end >> GCHEAP_GRANULE_SHIFT >> 6,
		.page_words = (end >> GCHEAP_PAGE_SHIFT >> 6) + 1,
	};

	memset(view_mark_bits(view), 0, marks.words * 8);
	memset(view->page_marks, 0, marks.page_words * 8);
	assert_true(markers <= size);
	team->size = markers;
	for (i = 0; i < markers; i++) {
		team->markers[i]->kernel = kernel;
		mark_stack_trim(&team->markers[i]->stack, 0);
	}
	team->most_stack_bytes = most_bytes;
	mark_begin(first);
	mark_slots(first, roots, n / 2);
	/* What is found later is marked, too. */
	mark_follow(first);
	mark_slots(first, roots + n / 2, n - n / 2);
	mark_follow(first);
	marks.bits = malloc(marks.words * 8);
	marks.page_marks = malloc(marks.page_words * 8);
	memcpy(marks.bits, view_mark_bits(view), marks.words * 8);
	memcpy(marks.page_marks, view->page_marks, marks.page_words * 8);
	mark_finish(first, &marks.result);
	for (i = 0; i < markers; i++) {
		marks.helped |= i && team->markers[i]->scanned;
		assert_true(mark_stack_empty(&team->markers[i]->stack));
		assert_int_equal(__atomic_load_n(&team->markers[i]->box.state, __ATOMIC_RELAXED),
				 i ? BOX_OPEN : BOX_CLOSED);
	}
	assert_int_equal(team->busy, 0);
	assert_null(team->overflow.bits);
	team->most_stack_bytes = UINT64_MAX;
	team->size = size;
	return marks;
}

static void marks_free(struct marks *marks)
{
	free(marks->bits);
	free(marks->page_marks);
}

static void assert_same_marks(const struct marks *a, const struct marks *b)
{
	assert_int_equal(a->words, b->words);
	assert_memory_equal(a->bits, b->bits, a->words * 8);
	assert_memory_equal(a->page_marks, b->page_marks, a->page_words * 8);
	assert_memory_equal(&a->result, &b->result, sizeof(a->result));
}

static const struct mark_kernel *const kernels[] = {
	&mark_kernel_portable,
#if defined(__x86_64__)
	&mark_kernel_avx2,
	&mark_kernel_avx512,
#endif
};

static void test_all_mark_what_one_portable_marker_marks(void **state)
{
	static const uint64_t stacks[] = { UINT64_MAX, 0 };
	void *roots[SHAPES];
	struct fixture f;
	size_t l, k, s, n;
	uint32_t markers;

	(void)state;
	in_each_layout(l) {
		struct marks right;

		markers_open(&f, test_layouts[l].layout, MARKERS);
		n = shapes(&f, roots);
		assert_int_equal(gcheap_root_add(f.heap, roots, n), 0);
		/* Half of what was allocated is free now, with pointers into it. */
		roots[5] = roots[6];
		assert_int_equal(gcheap_collect(f.thread), 0);
		mark_threads_make(f.heap->marker);
		assert_int_equal(f.heap->marker->team->size, MARKERS);
		right = mark_with(f.heap, roots, n, 1, &mark_kernel_portable, UINT64_MAX);
		assert_true(right.result.objects > NODES);
		for (k = 0; k < ARRAY_SIZE(kernels); k++) {
			if (!kernels[k]->is_here()) {
				print_message("# no %s here\n", kernels[k]->name);
				continue;
			}
			for (markers = 1; markers <= MARKERS; markers++) {
				for (s = 0; s < ARRAY_SIZE(stacks); s++) {
					struct marks marks = mark_with(f.heap, roots, n, markers,
								       kernels[k], stacks[s]);

					assert_same_marks(&marks, &right);
					marks_free(&marks);
				}
			}
		}
		marks_free(&right);
		fixture_close(&f);
	}
}

/* A marker that is woken does a part of the work, sooner or later. */
static void test_idle_markers_are_woken(void **state)
{
	struct fixture f;
	struct marks right;
	void *root;
	unsigned int i, helped = 0;

	(void)state;
	markers_open(&f, GCHEAP_LAYOUT_SPAN, 2);
	root = markers_tree(&f, type_with_mask(f.heap, 24, 8, 3), 15);
	assert_int_equal(gcheap_root_add(f.heap, &root, 1), 0);
	assert_int_equal(gcheap_collect(f.thread), 0);
	mark_threads_make(f.heap->marker);
	right = mark_with(f.heap, &root, 1, 1, &mark_kernel_portable, UINT64_MAX);
	assert_int_equal(right.result.objects, (2u << 15) - 1);
	assert_false(right.helped);
	for (i = 0; i < 2000 && helped < 20; i++) {
		struct marks marks = mark_with(f.heap, &root, 1, 2, &mark_kernel_portable,
					       UINT64_MAX);

		assert_same_marks(&marks, &right);
		helped += marks.helped;
		marks_free(&marks);
		/* So that it sleeps. */
		usleep(200);
	}
	assert_int_equal(helped, 20);
	marks_free(&right);
	fixture_close(&f);
}

/* A marker whose thread gets no CPU, here because it has none, keeps nobody waiting. */
static void test_gifts_that_nobody_fetches_are_taken_back(void **state)
{
	struct marks right, marks;
	struct mark_team *team;
	struct fixture f;
	void *root;

	(void)state;
	markers_open(&f, GCHEAP_LAYOUT_SPAN, 2);
	root = markers_tree(&f, type_with_mask(f.heap, 24, 8, 3), 14);
	assert_int_equal(gcheap_root_add(f.heap, &root, 1), 0);
	assert_int_equal(gcheap_collect(f.thread), 0);
	team = f.heap->marker->team;
	team->markers[1] = mark_helper_new(f.heap->marker, 1);
	assert_non_null(team->markers[1]);
	team->idle = 1;
	team->size = 2;
	right = mark_with(f.heap, &root, 1, 1, &mark_kernel_portable, UINT64_MAX);
	marks = mark_with(f.heap, &root, 1, 2, &mark_kernel_portable, UINT64_MAX);
	assert_same_marks(&marks, &right);
	assert_false(marks.helped);
	assert_int_equal(team->idle, 1);
	/* It had one. */
	assert_true(team->markers[1]->box.kicks > 0);
	marks_free(&right);
	marks_free(&marks);
	mark_helper_free(team->markers[1]);
	team->size = 1;
	fixture_close(&f);
}

/* What was given away from the bottom is no more there, and all else is. */
static void test_the_bottom_of_a_stack_is_given(void **state)
{
	const size_t n = 3 * MARK_SEGMENT_BYTES / 8;
	unsigned char *seen = calloc(n + 1, 1);
	struct mark_budget budget = { .max_bytes = UINT64_MAX };
	uint64_t entries[1000];
	struct mark_stack stack;
	uint64_t next = 1;
	size_t count, i, left = 0;

	(void)state;
	assert_int_equal(mark_stack_init(&stack, &budget), 0);
	assert_int_equal(mark_stack_give(&stack, entries, 1000), 0);
	while (next <= n) {
		mark_stack_push(&stack, next++);
		left++;
		if (next % 700 && next <= n)
			continue;
		count = mark_stack_give(&stack, entries, next % 1000);
		assert_true(count > 0 || next % 1000 == 0);
		/* The first one is the oldest that is left. */
		for (i = 0; i < count; i++)
			assert_false(seen[entries[i]]++);
		left -= count;
	}
	while ((count = mark_stack_take(&stack, entries, 1000))) {
		for (i = 0; i < count; i++)
			assert_false(seen[entries[i]]++);
		left -= count;
	}
	assert_int_equal(left, 0);
	assert_true(mark_stack_empty(&stack));
	mark_stack_push(&stack, 5);
	assert_int_equal(mark_stack_give(&stack, entries, 1000), 1);
	assert_true(mark_stack_empty(&stack));
	assert_int_equal(mark_stack_take(&stack, entries, 1000), 0);
	mark_stack_destroy(&stack);
	free(seen);
}

#endif /* HAS_INTERNALS */

/* ---- roots ---------------------------------------------------------------------- */

#define ROOTS		200000u

static void large_roots(struct fixture *f)
{
	struct pair { void *pointer; void *no_pointer; } *pairs = calloc(ROOTS, sizeof(*pairs));
	gcheap_type pair = type_with_mask(f->heap, 16, 8, 1);
	void **slots = calloc(ROOTS, sizeof(*slots));
	void **words = calloc(ROOTS, sizeof(*words));
	size_t i, round;

	assert_true(pairs && slots && words);
	/* In the second cycle there are threads. */
	for (round = 0; round < 3; round++) {
		for (i = 0; i < ROOTS; i++) {
			slots[i] = markers_leaf(f, 16);
			words[i] = (char *)markers_leaf(f, 32) + 1 + i % 31;
			pairs[i].pointer = markers_new(f, pair, 1);
			pairs[i].no_pointer = markers_leaf(f, 16);
		}
		assert_int_equal(gcheap_root_add(f->heap, slots, ROOTS), 0);
		assert_int_equal(gcheap_root_add_typed(f->heap, pairs, pair, ROOTS), 0);
		assert_int_equal(gcheap_root_add_ambiguous(f->heap, words, ROOTS * sizeof(*words)),
				 0);
		assert_int_equal(live_after_collect(f), 3 * ROOTS);
		assert_int_equal(gcheap_root_remove(f->heap, slots), 0);
		assert_int_equal(gcheap_root_remove(f->heap, pairs), 0);
		assert_int_equal(live_after_collect(f), ROOTS);
		assert_int_equal(gcheap_root_remove(f->heap, words), 0);
		assert_int_equal(live_after_collect(f), 0);
	}
	free(slots);
	free(words);
	free(pairs);
}

static void test_large_roots_are_divided(void **state)
{
	struct fixture f;
	size_t l;

	(void)state;
	in_each_layout(l) {
		markers_open(&f, test_layouts[l].layout, MARKERS);
		large_roots(&f);
		fixture_close(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#if HAS_INTERNALS
		markers_test(test_all_mark_what_one_portable_marker_marks),
		markers_test(test_idle_markers_are_woken),
		markers_test(test_gifts_that_nobody_fetches_are_taken_back),
		markers_test(test_the_bottom_of_a_stack_is_given),
#endif
		markers_test(test_all_find_as_many_objects),
		markers_test(test_large_roots_are_divided),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("markers", tests, NULL, NULL);
}
