// SPDX-License-Identifier: MIT
/* link: -Wl,--no-as-needed -lgcc_s */
/*
 * Several markers: they mark what one does, with each instruction set, however work is divided,
 * and when there is no memory for their stacks; and their threads come and go as they should.
 */
#define _GNU_SOURCE
#include "library_test.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
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
/* What should end at once hangs when a wake-up is lost: then the test fails, not the runner. */
#define HANG_SECONDS	300u

static int hang_begins(void **state)
{
	(void)state;
	alarm(HANG_SECONDS);
	return 0;
}

static int hang_ends(void **state)
{
	alarm(0);
	return variables_restore(state);
}

#define markers_test(test) cmocka_unit_test_setup_teardown(test, hang_begins, hang_ends)

static void open_markers(struct fixture *f, enum gcheap_layout layout, uint32_t markers)
{
	struct gcheap_config config = fixture_config();

	config.layout = layout;
	config.gc_percent = -1;
	config.markers = markers;
	fixture_open_with(f, &config);
}

static void *new_object(struct fixture *f, gcheap_type type, size_t n)
{
	void *object = gcheap_new_array(f->thread, type, n);

	if (!object)
		fail_msg("gcheap_new_array: %s", gcheap_error());
	return object;
}

static void *new_leaf(struct fixture *f, size_t bytes)
{
	void *object = gcheap_new_leaf(f->thread, bytes);

	if (!object)
		fail_msg("gcheap_new_leaf: %s", gcheap_error());
	return object;
}

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
		all[i] = new_object(f, types[i % ARRAY_SIZE(kinds)], 1);
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

static void **tree(struct fixture *f, gcheap_type type, unsigned int depth)
{
	void **node = new_object(f, type, 1);

	if (depth) {
		node[0] = tree(f, type, depth - 1);
		node[1] = tree(f, type, depth - 1);
	}
	return node;
}

static void **list(struct fixture *f, size_t bytes, size_t length)
{
	gcheap_type type = type_with_mask(f->heap, bytes, 8, 1);
	void **head = NULL;

	while (length--) {
		void **cell = new_object(f, type, 1);

		cell[0] = head;
		head = cell;
	}
	return head;
}

/* Pointers to leaves in the order in which these were made, but for some. */
static void **array(struct fixture *f, size_t bytes, bool is_ordered, uint64_t *random)
{
	gcheap_type pointer = type_with_mask(f->heap, 8, 8, 1);
	void **words = new_object(f, pointer, LEAVES);
	size_t i;

	for (i = 0; i < LEAVES; i++) {
		char *leaf = new_leaf(f, bytes);

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
	void **words = new_object(f, pointer, n);
	size_t i;

	for (i = 0; i < n; i++) {
		void **inner = words[i] = new_object(f, pair, 1);

		inner[i % 2] = new_object(f, pair, 1);
	}
	return words;
}

/* Returns how many roots @roots has now. */
static size_t shapes(struct fixture *f, void **roots)
{
	uint64_t random = 4711;
	size_t n = 0;

	roots[n++] = random_graph(f, &random);
	roots[n++] = tree(f, type_with_mask(f->heap, 24, 8, 3), 12);
	roots[n++] = list(f, 16, 5000);
	roots[n++] = list(f, 1024, 500);
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
			      const struct mark_kernel *kernel, uint64_t max_bytes)
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
		team->markers[i]->stack.max_bytes = max_bytes;
	}
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
		team->markers[i]->stack.max_bytes = UINT64_MAX;
		assert_true(mark_stack_empty(&team->markers[i]->stack));
		assert_int_equal(__atomic_load_n(&team->markers[i]->box.state, __ATOMIC_RELAXED),
				 i ? BOX_OPEN : BOX_CLOSED);
	}
	assert_int_equal(team->busy, 0);
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
	static const uint64_t stacks[] = { UINT64_MAX, MARK_SEGMENT_BYTES };
	void *roots[SHAPES];
	struct fixture f;
	size_t l, k, s, n;
	uint32_t markers;

	(void)state;
	in_each_layout(l) {
		struct marks right;

		open_markers(&f, test_layouts[l].layout, MARKERS);
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
	open_markers(&f, GCHEAP_LAYOUT_SPAN, 2);
	root = tree(&f, type_with_mask(f.heap, 24, 8, 3), 15);
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
	open_markers(&f, GCHEAP_LAYOUT_SPAN, 2);
	root = tree(&f, type_with_mask(f.heap, 24, 8, 3), 14);
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
	uint64_t entries[1000];
	struct mark_stack stack;
	uint64_t next = 1;
	size_t count, i, left = 0;

	(void)state;
	assert_int_equal(mark_stack_init(&stack), 0);
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
			slots[i] = new_leaf(f, 16);
			words[i] = (char *)new_leaf(f, 32) + 1 + i % 31;
			pairs[i].pointer = new_object(f, pair, 1);
			pairs[i].no_pointer = new_leaf(f, 16);
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
		open_markers(&f, test_layouts[l].layout, MARKERS);
		large_roots(&f);
		fixture_close(&f);
	}
}

/* ---- threads -------------------------------------------------------------------- */

/* What a file of one of this process's threads has first. */
static bool task_file(const char *tid, const char *name, char *text, size_t room)
{
	char path[320];
	FILE *file;
	size_t bytes;

	snprintf(path, sizeof(path), "/proc/self/task/%s/%s", tid, name);
	file = fopen(path, "r");
	if (!file)
		return false;
	bytes = fread(text, 1, room - 1, file);
	text[bytes] = 0;
	fclose(file);
	return true;
}

/* How many threads of this process are markers; of each, that no signal reaches it. */
static unsigned int marker_threads(void)
{
	DIR *tasks = opendir("/proc/self/task");
	unsigned int count = 0;
	struct dirent *task;
	char text[4096];

	assert_non_null(tasks);
	while ((task = readdir(tasks))) {
		unsigned long long blocked;
		char *line;

		if (!task_file(task->d_name, "comm", text, sizeof(text)) ||
		    strncmp(text, "gcheap-mark/", 12))
			continue;
		count++;
		if (!task_file(task->d_name, "status", text, sizeof(text)))
			continue;
		line = strstr(text, "SigBlk:");
		assert_non_null(line);
		blocked = strtoull(line + 7, NULL, 16);
		assert_true(blocked >> (SIGTERM - 1) & 1);
		assert_true(blocked >> (SIGPROF - 1) & 1);
		assert_true(blocked >> (SIGRTMAX - 1) & 1);
		assert_true(blocked >> (SIGRTMIN + 5 - 1) & 1);
	}
	closedir(tasks);
	return count;
}

/* The kernel shows a thread for a moment after it was joined. */
static void assert_no_marker_threads(void)
{
	while (marker_threads())
		usleep(1000);
}

static void test_threads_come_with_work_and_go_with_the_heap(void **state)
{
	struct fixture f, other;
	gcheap_type type;
	void *root = NULL;

	(void)state;
	open_markers(&f, GCHEAP_LAYOUT_SPAN, 3);
	type = type_with_mask(f.heap, 24, 8, 3);
	assert_int_equal(gcheap_root_add(f.heap, &root, 1), 0);
	/* A list is one marker's affair. */
	root = list(&f, 16, 20000);
	assert_int_equal(live_after_collect(&f), 20000);
	assert_int_equal(live_after_collect(&f), 20000);
	assert_int_equal(marker_threads(), 0);
	root = tree(&f, type, 15);
	assert_int_equal(live_after_collect(&f), (2u << 15) - 1);
	assert_int_equal(live_after_collect(&f), (2u << 15) - 1);
	assert_int_equal(marker_threads(), 2);
	assert_int_equal(live_after_collect(&f), (2u << 15) - 1);
	assert_int_equal(marker_threads(), 2);

	open_markers(&other, GCHEAP_LAYOUT_SPAN, 1);
	root = tree(&other, type_with_mask(other.heap, 24, 8, 3), 15);
	assert_int_equal(gcheap_root_add(other.heap, &root, 1), 0);
	assert_int_equal(live_after_collect(&other), (2u << 15) - 1);
	assert_int_equal(live_after_collect(&other), (2u << 15) - 1);
	assert_int_equal(marker_threads(), 2);
	fixture_close(&f);
	assert_no_marker_threads();
	fixture_close(&other);
}

static void test_threads_go_with_the_last_that_is_attached(void **state)
{
	struct gcheap_thread *again;
	struct fixture f;
	void *root;

	(void)state;
	open_markers(&f, GCHEAP_LAYOUT_SPAN, 3);
	root = tree(&f, type_with_mask(f.heap, 24, 8, 3), 15);
	assert_int_equal(gcheap_root_add(f.heap, &root, 1), 0);
	assert_int_equal(live_after_collect(&f), (2u << 15) - 1);
	assert_int_equal(live_after_collect(&f), (2u << 15) - 1);
	assert_int_equal(marker_threads(), 2);
	gcheap_thread_detach(f.thread);
	assert_no_marker_threads();
	assert_int_equal(gcheap_thread_attach(f.heap, &again), 0);
	f.thread = again;
	assert_int_equal(live_after_collect(&f), (2u << 15) - 1);
	assert_int_equal(marker_threads(), 2);
	fixture_close(&f);
	assert_no_marker_threads();
}

/* ThreadSanitizer lets the child of a process with threads make none. */
#if defined(__SANITIZE_THREAD__)
#define CHILD_MARKERS	1u
#else
#define CHILD_MARKERS	2u
#endif

static int child_main(struct fixture *f)
{
	struct fixture own;
	void *root;

	/* It has the parent's heap in name alone, and none of its threads. */
	gcheap_thread_detach(f->thread);
	gcheap_close(f->heap);
	if (marker_threads())
		return 1;
	open_markers(&own, GCHEAP_LAYOUT_SPAN, CHILD_MARKERS);
	root = tree(&own, type_with_mask(own.heap, 24, 8, 3), 14);
	if (gcheap_root_add(own.heap, &root, 1) ||
	    live_after_collect(&own) != (2u << 14) - 1 ||
	    live_after_collect(&own) != (2u << 14) - 1 ||
	    marker_threads() != CHILD_MARKERS - 1)
		return 2;
	fixture_close(&own);
	return 0;
}

/* Sanitizers have threads of their own, and look for leaks when main() is gone. */
#if !HAS_INTERNALS
/* A process whose main() has ended, and no other thread of its own. */
static void process_ends(void)
{
	static struct fixture own;
	static void *root;

	open_markers(&own, GCHEAP_LAYOUT_SPAN, CHILD_MARKERS);
	root = tree(&own, type_with_mask(own.heap, 24, 8, 3), 14);
	if (gcheap_root_add(own.heap, &root, 1) ||
	    live_after_collect(&own) != (2u << 14) - 1 ||
	    live_after_collect(&own) != (2u << 14) - 1 ||
	    marker_threads() != CHILD_MARKERS - 1)
		_exit(1);
	pthread_exit(NULL);
}

static void test_a_process_ends_with_its_last_thread(void **state)
{
	unsigned int i;
	int status;
	pid_t child, ended = 0;

	(void)state;
	child = fork();
	if (!child)
		process_ends();
	assert_true(child > 0);
	for (i = 0; i < 20000 && !ended; i++) {
		usleep(1000);
		ended = waitpid(child, &status, WNOHANG);
	}
	if (!ended) {
		/* All other signals are blocked there. */
		kill(child, SIGKILL);
		waitpid(child, &status, 0);
		fail_msg("a process has marker threads alone, and has not ended");
	}
	assert_int_equal(ended, child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}
#endif

static void test_a_child_of_fork_has_no_marker_threads(void **state)
{
	struct fixture f;
	void *root;
	int status;
	pid_t child;

	(void)state;
	open_markers(&f, GCHEAP_LAYOUT_SPAN, 2);
	root = tree(&f, type_with_mask(f.heap, 24, 8, 3), 14);
	assert_int_equal(gcheap_root_add(f.heap, &root, 1), 0);
	assert_int_equal(live_after_collect(&f), (2u << 14) - 1);
	assert_int_equal(live_after_collect(&f), (2u << 14) - 1);
	assert_int_equal(marker_threads(), 1);
	child = fork();
	assert_true(child >= 0);
	if (!child)
		_exit(child_main(&f));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(live_after_collect(&f), (2u << 14) - 1);
	assert_int_equal(marker_threads(), 1);
	fixture_close(&f);
	assert_no_marker_threads();
}

/* Sanitizers map memory of their own, and end when there is none. */
#if !UNDER_ASAN && !defined(__SANITIZE_THREAD__)

static int starved_main(void)
{
	struct rlimit none = { 0, 0 };
	struct fixture f;
	void *root;

	open_markers(&f, GCHEAP_LAYOUT_SPAN, 3);
	root = tree(&f, type_with_mask(f.heap, 24, 8, 3), 15);
	if (gcheap_root_add(f.heap, &root, 1))
		return 1;
	if (live_after_collect(&f) != (2u << 15) - 1)
		return 2;
	if (setrlimit(RLIMIT_AS, &none))
		return 3;
	/* Neither a thread nor a marker's stack can be had. */
	if (live_after_collect(&f) != (2u << 15) - 1 || marker_threads())
		return 4;
	return 0;
}

static void test_without_memory_for_threads_one_marks(void **state)
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

/* ---- the environment -------------------------------------------------------------- */

static void test_the_number_of_markers_is_checked(void **state)
{
	static const char *const bad[] = { "-1", "two", "2x", "4097", "99999999999999999999" };
	static const char *const good[] = { "0", "1", "2", "64" };
	struct gcheap_config config = fixture_config();
	struct fixture f;
	void *root;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		variable_set("GCHEAP_MARKERS", bad[i]);
		assert_open_refused(&config, EINVAL, "GCHEAP_MARKERS");
	}
	for (i = 0; i < ARRAY_SIZE(good); i++) {
		variable_set("GCHEAP_MARKERS", good[i]);
		assert_opens(&config);
	}
	/* It overrides the program's. */
	variable_set("GCHEAP_MARKERS", "3");
	open_markers(&f, GCHEAP_LAYOUT_SPAN, 1);
	root = tree(&f, type_with_mask(f.heap, 24, 8, 3), 15);
	assert_int_equal(gcheap_root_add(f.heap, &root, 1), 0);
	assert_int_equal(live_after_collect(&f), (2u << 15) - 1);
	assert_int_equal(live_after_collect(&f), (2u << 15) - 1);
	assert_int_equal(marker_threads(), 2);
	fixture_close(&f);
	assert_no_marker_threads();
}

static void test_the_instruction_set_is_checked(void **state)
{
	static const char *const names[] = { "portable", "avx2", "avx512" };
	struct gcheap_config config = fixture_config();
	size_t i;

	(void)state;
	variable_set("GCHEAP_ISA", "sse2");
	assert_open_refused(&config, EINVAL, "GCHEAP_ISA=sse2: must be portable");
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		struct gcheap *heap;
		int error;

		variable_set("GCHEAP_ISA", names[i]);
		error = gcheap_open(&config, &heap);
		if (error) {
			assert_true(i > 0);
			assert_refused(error, EOPNOTSUPP, "this CPU does not have it");
		} else {
			gcheap_close(heap);
		}
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
		markers_test(test_threads_come_with_work_and_go_with_the_heap),
		markers_test(test_threads_go_with_the_last_that_is_attached),
#if !HAS_INTERNALS
		markers_test(test_a_process_ends_with_its_last_thread),
#endif
		markers_test(test_a_child_of_fork_has_no_marker_threads),
#if !UNDER_ASAN && !defined(__SANITIZE_THREAD__)
		markers_test(test_without_memory_for_threads_one_marks),
#endif
		markers_test(test_the_number_of_markers_is_checked),
		markers_test(test_the_instruction_set_is_checked),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("markers", tests, NULL, NULL);
}
