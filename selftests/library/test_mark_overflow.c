// SPDX-License-Identifier: MIT
/*
 * Graphs that want more of the markers' stacks than these may take, or than there is memory for:
 * all of it is marked, nothing twice, and the bound is kept.
 */
#define _GNU_SOURCE
#include "markers.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#if UNDER_ASAN || defined(__SANITIZE_THREAD__)
#define HAS_INTERNALS 1
#include "library.h"
#include "mark.h"
#include "mark_overflow.h"
#include "mark_thread.h"
#else
#define HAS_INTERNALS 0
#endif

#define MARKERS		4u

/* Pointers of an array: it is an object of a span, which is scanned in one step. */
#define ARRAY_WORDS	3000u
#define ARRAYS		80u
/* So many that the stacks of a heap of that size may not take what they want. */
#define MANY_ARRAYS	240u

/*
 * A list of arrays that leads on by their first words, so that all that the others lead to waits
 * until the last array was scanned: 8 bytes of stack for 24 of heap. Returns how many objects
 * there are, all of which have pointers. One array is @large, an object of several oblets.
 */
static size_t heap_up(struct fixture *f, void **root, size_t arrays, size_t large)
{
	gcheap_type pointer = type_with_mask(f->heap, 8, 8, 1);
	gcheap_type pair = type_with_mask(f->heap, 16, 8, 3);
	size_t count = 0, i, w;

	for (i = 0; i < arrays; i++) {
		size_t words = large && i == arrays / 2 ? large : ARRAY_WORDS;
		void **array = markers_new(f, pointer, words);

		array[0] = *root;
		*root = array;
		for (w = 1; w < words; w++)
			array[w] = markers_new(f, pair, 1);
		count += words;
	}
	return count;
}

/* Each pair has a number, so that it can be told from what came in its place. */
static void heap_up_number(void **root, size_t arrays, size_t large)
{
	size_t number = 0, i, w;
	void **array;

	for (i = arrays, array = *root; i--; array = array[0]) {
		size_t words = large && i == arrays / 2 ? large : ARRAY_WORDS;

		for (w = 1; w < words; w++)
			((uintptr_t *)array[w])[1] = ++number;
	}
	assert_null(array);
}

static void heap_up_check(void **root, size_t arrays, size_t large)
{
	size_t number = 0, i, w;
	void **array;

	for (i = arrays, array = *root; i--; array = array[0]) {
		size_t words = large && i == arrays / 2 ? large : ARRAY_WORDS;

		for (w = 1; w < words; w++)
			assert_int_equal(((uintptr_t *)array[w])[1], ++number);
	}
	assert_null(array);
}

#if HAS_INTERNALS

/**
 * struct figures - of one cycle's marking
 * @objects: what it has found
 * @scanned: entries that the markers have scanned
 * @stack_bytes: what their stacks had at the end, which is the most they had
 * @has_overflowed: there was no room for all
 */
struct figures {
	uint64_t objects;
	uint64_t scanned;
	uint64_t stack_bytes;
	bool has_overflowed;
};

/* Marks from one root. Between two cycles the mark bits are free to use. */
static struct figures mark_one(struct gcheap *heap, void **root, uint32_t markers)
{
	struct marker *first = heap->marker;
	struct mark_team *team = first->team;
	const struct view *view = first->view;
	struct figures figures = { 0 };
	uint32_t size = team->size, i;
	struct mark_result result;

	memset(view_mark_bits(view), 0, address_end(view) >> GCHEAP_GRANULE_SHIFT >> 3);
	memset(view->page_marks, 0, (address_end(view) >> GCHEAP_PAGE_SHIFT >> 3) + 8);
	assert_true(markers <= size);
	for (i = 0; i < size; i++)
		mark_stack_trim(&team->markers[i]->stack, 0);
	team->size = markers;
	mark_begin(first);
	mark_slots(first, root, 1);
	mark_follow(first);
	figures.stack_bytes = team->budget.bytes;
	figures.has_overflowed = team->overflow.bits;
	mark_finish(first, &result);
	assert_null(team->overflow.bits);
	for (i = 0; i < markers; i++)
		figures.scanned += team->markers[i]->scanned;
	figures.objects = result.objects;
	team->size = size;
	return figures;
}

static void test_the_bound_is_kept_and_nothing_is_scanned_twice(void **state)
{
	/* Segments, beside the one that each marker has. */
	static const uint64_t bounds[] = { 0, 2 * MARK_SEGMENT_BYTES, 6 * MARK_SEGMENT_BYTES };
	struct mark_team *team;
	void *root = NULL;
	struct fixture f;
	size_t n, l, b;
	uint32_t markers;

	(void)state;
	in_each_layout(l) {
		markers_open(&f, test_layouts[l].layout, MARKERS);
		n = heap_up(&f, &root, ARRAYS, 0);
		assert_int_equal(gcheap_root_add(f.heap, &root, 1), 0);
		assert_int_equal(live_after_collect(&f), n);
		mark_threads_make(f.heap->marker);
		team = f.heap->marker->team;
		assert_int_equal(team->size, MARKERS);
		for (b = 0; b < ARRAY_SIZE(bounds); b++) {
			for (markers = 1; markers <= MARKERS; markers++) {
				uint64_t least = MARKERS * MARK_SEGMENT_BYTES;
				struct figures figures;

				team->most_stack_bytes = bounds[b];
				figures = mark_one(f.heap, &root, markers);
				assert_int_equal(figures.objects, n);
				assert_int_equal(figures.scanned, n);
				assert_true(figures.stack_bytes <=
					    (least > bounds[b] ? least : bounds[b]));
				assert_true(figures.has_overflowed);
			}
		}
		team->most_stack_bytes = UINT64_MAX;
		assert_false(mark_one(f.heap, &root, 1).has_overflowed);
		root = NULL;
		assert_int_equal(live_after_collect(&f), 0);
		fixture_close(&f);
	}
}

/* Has each array lead to pairs anywhere, so that what overflows is in all pages, each time. */
static void shuffle(void **root)
{
	void **arrays[ARRAYS], **array = *root;
	uint64_t random = 4711;
	size_t count, i, w;

	for (count = 0; array; array = array[0])
		arrays[count++] = array;
	assert_int_equal(count, ARRAYS);
	for (i = 0; i < ARRAYS; i++) {
		for (w = 1; w < ARRAY_WORDS; w++) {
			void **other = &arrays[random_next(&random) % ARRAYS]
					      [1 + random_next(&random) % (ARRAY_WORDS - 1)];
			void *pair = arrays[i][w];

			arrays[i][w] = *other;
			*other = pair;
		}
	}
}

static void test_what_comes_back_overflows_in_turn(void **state)
{
	struct figures figures;
	void *root = NULL;
	struct fixture f;
	uint32_t markers;
	size_t n;

	(void)state;
	markers_open(&f, GCHEAP_LAYOUT_SPAN, MARKERS);
	n = heap_up(&f, &root, ARRAYS, 0);
	shuffle(&root);
	assert_int_equal(gcheap_root_add(f.heap, &root, 1), 0);
	/* No span is cached from here on. */
	assert_int_equal(live_after_collect(&f), n);
	mark_threads_make(f.heap->marker);
	f.heap->marker->team->most_stack_bytes = 0;
	for (markers = 1; markers <= MARKERS; markers++) {
		figures = mark_one(f.heap, &root, markers);
		assert_int_equal(figures.objects, n);
		assert_int_equal(figures.scanned, n);
		assert_true(figures.has_overflowed);
	}
	fixture_close(&f);
}

/*
 * Every other slot of 24 bytes begins in the middle of the granule that has its bit. All of them
 * lead to a leaf, by their last word.
 */
static void test_slots_between_granules_overflow(void **state)
{
	gcheap_type pointer, node;
	struct figures figures;
	void *root = NULL;
	struct fixture f;
	uint32_t markers;
	size_t i, w, l;

	(void)state;
	in_each_layout(l) {
		markers_open(&f, test_layouts[l].layout, MARKERS);
		pointer = type_with_mask(f.heap, 8, 8, 1);
		node = type_with_mask(f.heap, 24, 8, 4);
		root = NULL;
		assert_int_equal(gcheap_root_add(f.heap, &root, 1), 0);
		for (i = 0; i < ARRAYS; i++) {
			void **array = markers_new(&f, pointer, ARRAY_WORDS);

			array[0] = root;
			root = array;
			for (w = 1; w < ARRAY_WORDS; w++) {
				void **object = markers_new(&f, node, 1);

				array[w] = object;
				object[2] = gcheap_new_leaf(f.thread, 16);
				assert_non_null(object[2]);
			}
		}
		assert_int_equal(live_after_collect(&f), ARRAYS * (2 * ARRAY_WORDS - 1));
		mark_threads_make(f.heap->marker);
		f.heap->marker->team->most_stack_bytes = 0;
		for (markers = 1; markers <= MARKERS; markers++) {
			figures = mark_one(f.heap, &root, markers);
			assert_true(figures.has_overflowed);
			assert_int_equal(figures.objects, ARRAYS * (2 * ARRAY_WORDS - 1));
			assert_int_equal(figures.scanned, ARRAYS * ARRAY_WORDS);
		}
		fixture_close(&f);
	}
}

/* Oblets of a large object overflow, too. */
static void test_a_large_object_in_between_overflows(void **state)
{
	const size_t large = 3 * MARK_OBLET_BYTES / 8 + 100;
	void *root = NULL;
	struct fixture f;
	uint32_t markers;
	unsigned int lost;
	size_t n, l;

	(void)state;
	in_each_layout(l) {
		markers_open(&f, test_layouts[l].layout, MARKERS);
		n = heap_up(&f, &root, ARRAYS, large);
		assert_int_equal(gcheap_root_add(f.heap, &root, 1), 0);
		assert_int_equal(live_after_collect(&f), n);
		mark_threads_make(f.heap->marker);
		f.heap->marker->team->most_stack_bytes = 0;
		for (lost = 0; lost < 2; lost++) {
			for (markers = 1; markers <= MARKERS; markers++)
				assert_int_equal(mark_one(f.heap, &root, markers).objects, n);
			/* Nor is there memory for what overflows. */
			f.heap->marker->team->overflow.max_bytes = 0;
		}
		root = NULL;
		fixture_close(&f);
	}
}

static void test_the_bound_is_of_the_heap_and_of_its_limit(void **state)
{
	const size_t bytes = 128u << 20;
	struct mark_result result;
	struct mark_budget *budget;
	struct gcheap_stats stats;
	struct fixture f;
	void *leaf;

	(void)state;
	markers_open(&f, GCHEAP_LAYOUT_SPAN, 1);
	budget = &f.heap->marker->team->budget;
	mark_begin(f.heap->marker);
	assert_int_equal(budget->max_bytes, 4u << 20);
	mark_finish(f.heap->marker, &result);
	leaf = markers_leaf(&f, bytes);
	assert_non_null(leaf);
	mark_begin(f.heap->marker);
	assert_true(budget->max_bytes >= bytes / 8 && budget->max_bytes < bytes / 8 + (1u << 20));
	mark_finish(f.heap->marker, &result);
	stats = stats_of(f.heap);
	assert_int_equal(gcheap_set_memory_limit(f.heap, stats.resident_bytes + (6u << 20)), 0);
	mark_begin(f.heap->marker);
	assert_int_equal(budget->max_bytes, 6u << 20);
	mark_finish(f.heap->marker, &result);
	assert_int_equal(gcheap_set_memory_limit(f.heap, 1u << 20), 0);
	mark_begin(f.heap->marker);
	assert_int_equal(budget->max_bytes, 4u << 20);
	mark_finish(f.heap->marker, &result);
	fixture_close(&f);
}

#endif /* HAS_INTERNALS */

/* By the interface alone, with what the bound is: the list wants a third of the heap. */
static void test_what_overflows_lives_and_what_is_dead_goes(void **state)
{
	const size_t large = 50000;
	static const uint32_t markers[] = { 1, MARKERS };
	void *root = NULL;
	struct fixture f;
	size_t n, i, round;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(markers); i++) {
		markers_open(&f, GCHEAP_LAYOUT_SPAN, markers[i]);
		assert_int_equal(gcheap_root_add(f.heap, &root, 1), 0);
		for (round = 0; round < 2; round++) {
			root = NULL;
			n = heap_up(&f, &root, MANY_ARRAYS, large);
			heap_up_number(&root, MANY_ARRAYS, large);
			assert_int_equal(live_after_collect(&f), n);
			heap_up_check(&root, MANY_ARRAYS, large);
		}
		root = NULL;
		assert_int_equal(live_after_collect(&f), 0);
		fixture_close(&f);
	}
}

/* Sanitizers map memory of their own, and end when there is none. */
#if !HAS_INTERNALS

static int starved_main(void)
{
	struct rlimit none = { 0, 0 };
	void *root = NULL;
	struct fixture f;
	size_t n;

	markers_open(&f, GCHEAP_LAYOUT_SPAN, 2);
	if (gcheap_root_add(f.heap, &root, 1))
		return 1;
	n = heap_up(&f, &root, ARRAYS, 50000);
	heap_up_number(&root, ARRAYS, 50000);
	if (setrlimit(RLIMIT_AS, &none))
		return 2;
	if (live_after_collect(&f) != n)
		return 3;
	heap_up_check(&root, ARRAYS, 50000);
	root = NULL;
	return live_after_collect(&f) ? 4 : 0;
}

static void test_without_memory_for_it_all_is_scanned_again(void **state)
{
	int status;
	pid_t child;

	(void)state;
	child = fork();
	assert_true(child >= 0);
	if (!child)
		_exit(starved_main());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
#if HAS_INTERNALS
		markers_test(test_the_bound_is_kept_and_nothing_is_scanned_twice),
		markers_test(test_what_comes_back_overflows_in_turn),
		markers_test(test_slots_between_granules_overflow),
		markers_test(test_a_large_object_in_between_overflows),
		markers_test(test_the_bound_is_of_the_heap_and_of_its_limit),
#endif
		markers_test(test_what_overflows_lives_and_what_is_dead_goes),
#if !HAS_INTERNALS
		markers_test(test_without_memory_for_it_all_is_scanned_again),
#endif
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("mark_overflow", tests, NULL, NULL);
}
