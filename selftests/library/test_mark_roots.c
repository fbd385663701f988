// SPDX-License-Identifier: MIT
/*
 * Many small roots and stacks, which are many together: each is read once, by whichever marker.
 */
#define _GNU_SOURCE
#include "markers.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#if UNDER_ASAN || defined(__SANITIZE_THREAD__)
#define HAS_INTERNALS 1
#include "library.h"
#include "mark.h"
#include "mark_piece.h"
#include "mark_thread.h"
#else
#define HAS_INTERNALS 0
#endif

#define MARKERS		3u
#define STACK_BYTES	((size_t)64 << 10)
#define STACKS		64u
/* Words of a stack that lead to something: both ends, and some in between. */
#define EACH		5u

static char *stacks_map(size_t n)
{
	char *stacks = mmap(NULL, n * STACK_BYTES, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(stacks != MAP_FAILED);
	return stacks;
}

static void **word_of(char *stack, size_t i)
{
	return (void **)stack + i * (STACK_BYTES / 8 - 1) / (EACH - 1);
}

/* Not by their first bytes, which keep what is before them. */
static void fill(struct fixture *f, char *stack)
{
	size_t i;

	for (i = 0; i < EACH; i++)
		*word_of(stack, i) = (char *)markers_leaf(f, 32) + 8;
}

static void open_conservative(struct fixture *f, uint32_t markers)
{
	struct gcheap_config config = fixture_config();

	config.flags = GCHEAP_CONSERVATIVE_STACKS;
	config.gc_percent = -1;
	config.markers = markers;
	fixture_open_with(f, &config);
}

/* What this thread's stack may keep of what is dead: words that calls have left there. */
#define LEFT		16u

/* Each keeps its own, and nothing when it is gone. */
static void test_many_declared_stacks_are_scanned_by_all(void **state)
{
	struct fixture f;
	uint64_t before;
	char *stacks;
	size_t i;

	(void)state;
	open_conservative(&f, MARKERS);
	stacks = stacks_map(STACKS);
	before = live_after_collect(&f);
	for (i = 0; i < STACKS; i++) {
		assert_int_equal(gcheap_stack_add(f.heap, stacks + i * STACK_BYTES, STACK_BYTES),
				 0);
		fill(&f, stacks + i * STACK_BYTES);
	}
	/* In the second cycle there are threads. */
	for (i = 0; i < 3; i++) {
		uint64_t live = live_after_collect(&f);

		assert_true(live >= STACKS * EACH && live <= before + STACKS * EACH + LEFT);
	}
	for (i = 0; i < STACKS; i += 2)
		assert_int_equal(gcheap_stack_remove(f.heap, stacks + i * STACK_BYTES), 0);
	for (i = 1; i < STACKS; i += 2)
		*word_of(stacks + i * STACK_BYTES, EACH / 2) = NULL;
	stack_wipe();
	assert_true(live_after_collect(&f) >= STACKS / 2 * (EACH - 1));
	assert_true(stats_of(f.heap).live_objects <= before + STACKS / 2 * (EACH - 1) +
						  LEFT);
	fixture_close(&f);
	munmap(stacks, STACKS * STACK_BYTES);
}

/* Guard pages inside of stacks are found by whichever marker reads them. */
static void test_pages_that_cannot_be_read_are_skipped_by_all(void **state)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), i, round;
	struct fixture f;
	char *stacks;

	(void)state;
	open_conservative(&f, MARKERS);
	stacks = stacks_map(STACKS);
	for (i = 0; i < STACKS; i++) {
		char *stack = stacks + i * STACK_BYTES;

		assert_int_equal(gcheap_stack_add(f.heap, stack, STACK_BYTES), 0);
		fill(&f, stack);
		assert_int_equal(mprotect(stack + page * (1 + i % 2), page, PROT_NONE), 0);
	}
	for (round = 0; round < 3; round++)
		assert_true(live_after_collect(&f) >= STACKS * EACH);
	fixture_close(&f);
	munmap(stacks, STACKS * STACK_BYTES);
}

/* Registered roots of each kind, of a few KiB each. */
static void test_many_small_roots_are_divided(void **state)
{
	enum { ROOTS = 600, WORDS = 256 };
	struct pair { void *pointer; void *no_pointer; };
	void *(*slots)[WORDS] = calloc(ROOTS, sizeof(*slots));
	void *(*words)[WORDS] = calloc(ROOTS, sizeof(*words));
	struct pair (*pairs)[WORDS] = calloc(ROOTS, sizeof(*pairs));
	struct fixture f;
	gcheap_type pair;
	size_t l, i, w;

	(void)state;
	assert_true(slots && words && pairs);
	in_each_layout(l) {
		markers_open(&f, test_layouts[l].layout, MARKERS);
		pair = type_with_mask(f.heap, 16, 8, 1);
		for (i = 0; i < ROOTS; i++) {
			for (w = 0; w < WORDS; w += WORDS / 3) {
				slots[i][w] = markers_leaf(&f, 16);
				words[i][w] = (char *)markers_leaf(&f, 32) + 1 + i % 31;
				pairs[i][w].pointer = markers_new(&f, pair, 1);
				pairs[i][w].no_pointer = markers_leaf(&f, 16);
			}
			assert_int_equal(gcheap_root_add(f.heap, slots[i], WORDS), 0);
			assert_int_equal(gcheap_root_add_typed(f.heap, pairs[i], pair, WORDS), 0);
			assert_int_equal(gcheap_root_add_ambiguous(f.heap, words[i],
								   sizeof(words[i])), 0);
		}
		for (w = 0; w < 3; w++)
			assert_int_equal(live_after_collect(&f), 3 * 4 * ROOTS);
		for (i = 0; i < ROOTS; i++)
			assert_int_equal(gcheap_root_remove(f.heap, pairs[i]), 0);
		assert_int_equal(live_after_collect(&f), 2 * 4 * ROOTS);
		fixture_close(&f);
	}
	free(slots);
	free(words);
	free(pairs);
}

/* ---- threads ---------------------------------------------------------------------- */

#define THREADS		24u
#define DEEP_BYTES	((size_t)48 << 10)

struct deep {
	struct fixture *fixture;
	pthread_barrier_t *gate;
	pthread_t self;
};

/* Rests with much of its stack in use, whose ends lead to a leaf each. */
static __attribute__((noinline)) void deep_wait(struct deep *deep, struct gcheap_thread *thread)
{
	void *volatile words[DEEP_BYTES / 8];

	memset((void *)words, 0, sizeof(words));
	words[0] = gcheap_new_leaf(thread, 32);
	words[DEEP_BYTES / 8 - 1] = gcheap_new_leaf(thread, 32);
	memset(words[0], 1, 32);
	memset(words[DEEP_BYTES / 8 - 1], 2, 32);
	gcheap_park(thread);
	pthread_barrier_wait(deep->gate);
	pthread_barrier_wait(deep->gate);
	gcheap_unpark(thread);
	/* What is dead is zeroed, or another's. */
	if (((char *)words[0])[31] != 1 || ((char *)words[DEEP_BYTES / 8 - 1])[31] != 2)
		abort();
}

static void *deep_run(void *arg)
{
	struct deep *deep = arg;
	struct gcheap_thread *thread;

	if (gcheap_thread_attach(deep->fixture->heap, &thread))
		abort();
	deep_wait(deep, thread);
	gcheap_thread_detach(thread);
	return NULL;
}

static void test_stacks_of_many_threads_are_scanned_by_all(void **state)
{
	struct deep deep[THREADS];
	pthread_barrier_t gate;
	struct fixture f;
	size_t i;

	(void)state;
	open_conservative(&f, MARKERS);
	assert_int_equal(pthread_barrier_init(&gate, NULL, THREADS + 1), 0);
	for (i = 0; i < THREADS; i++) {
		deep[i] = (struct deep) { .fixture = &f, .gate = &gate };
		assert_int_equal(pthread_create(&deep[i].self, NULL, deep_run, &deep[i]), 0);
	}
	gcheap_park(f.thread);
	pthread_barrier_wait(&gate);
	gcheap_unpark(f.thread);
	for (i = 0; i < 3; i++) {
		assert_true(live_after_collect(&f) >= 2 * THREADS);
		drop_bytes(&f, 1 << 20);
	}
	gcheap_park(f.thread);
	pthread_barrier_wait(&gate);
	gcheap_unpark(f.thread);
	for (i = 0; i < THREADS; i++)
		pthread_join(deep[i].self, NULL);
	pthread_barrier_destroy(&gate);
	fixture_close(&f);
}

/* ---- who reads them ----------------------------------------------------------------- */

#if HAS_INTERNALS

/* More than there are pieces, so that they are done in two parts. */
#define PIECES		(MARK_PIECES + 200u)

/* A leaf is no entry: what is scanned is pieces, each of which reads one root. */
static void test_each_root_is_one_piece_and_all_markers_have_some(void **state)
{
	const size_t bytes = 4096;
	char *roots = calloc(PIECES, bytes);
	struct mark_result result;
	struct mark_team *team;
	struct marker *first;
	struct fixture f;
	unsigned int round, helped = 0;
	uint64_t scanned;
	size_t i;

	(void)state;
	assert_non_null(roots);
	markers_open(&f, GCHEAP_LAYOUT_SPAN, MARKERS);
	first = f.heap->marker;
	team = first->team;
	for (i = 0; i < PIECES; i++)
		*(void **)(roots + i * bytes + i % 512 * 8) = markers_leaf(&f, 16);
	assert_int_equal(gcheap_root_add_ambiguous(f.heap, roots, PIECES * bytes), 0);
	assert_int_equal(live_after_collect(&f), PIECES);
	mark_threads_make(first);
	assert_int_equal(team->size, MARKERS);
	for (round = 0; round < 2000 && helped < 20; round++) {
		const struct view *view = first->view;

		memset(view_mark_bits(view), 0, address_end(view) >> GCHEAP_GRANULE_SHIFT >> 3);
		memset(view->page_marks, 0, (address_end(view) >> GCHEAP_PAGE_SHIFT >> 3) + 8);
		mark_begin(first);
		for (i = 0; i < PIECES; i++)
			mark_ambiguous(first, roots + i * bytes, bytes);
		mark_gathered(first);
		assert_int_equal(team->piece_count, 0);
		for (i = 0, scanned = 0; i < MARKERS; i++)
			scanned += team->markers[i]->scanned;
		assert_int_equal(scanned, PIECES);
		helped += scanned > first->scanned;
		mark_finish(first, &result);
		assert_int_equal(result.objects, PIECES);
		usleep(200);
	}
	assert_int_equal(helped, 20);
	/* What is as large as several is as many. */
	mark_begin(first);
	mark_ambiguous(first, roots, 4 * MARK_PIECE_BYTES - 8);
	mark_gathered(first);
	for (i = 0, scanned = 0; i < MARKERS; i++)
		scanned += team->markers[i]->scanned;
	assert_int_equal(scanned, 3);
	mark_finish(first, &result);
	/* A few are done by the first one, at once, and none is an entry. */
	mark_begin(first);
	for (i = 0; i < 100; i++)
		mark_ambiguous(first, roots + i * bytes, bytes);
	mark_gathered(first);
	for (i = 0; i < MARKERS; i++)
		assert_int_equal(team->markers[i]->scanned, 0);
	mark_finish(first, &result);
	free(roots);
	fixture_close(&f);
}

#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		markers_test(test_many_declared_stacks_are_scanned_by_all),
		markers_test(test_pages_that_cannot_be_read_are_skipped_by_all),
		markers_test(test_many_small_roots_are_divided),
		markers_test(test_stacks_of_many_threads_are_scanned_by_all),
#if HAS_INTERNALS
		markers_test(test_each_root_is_one_piece_and_all_markers_have_some),
#endif
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("mark_roots", tests, NULL, NULL);
}
