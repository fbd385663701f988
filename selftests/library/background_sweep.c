// SPDX-License-Identifier: MIT
/* Heaps with much to sweep, and their figures; see background_sweep.h. */
#include "background_sweep.h"

#include <signal.h>
#include <sys/ioctl.h>

#define ALIVE		4000u		/* of the first half: in every other span */
#define LARGE_BYTES	100000u
#define LEAF_BYTES	1024u		/* of a class that nothing else here is of */
#define LEAVES		(SWEEP_LEAF_PAGES * 8)	/* in them */

void sweep_open(struct sweep_test *test, uint32_t flags)
{
	struct gcheap_config config = fixture_config();

	memset(test, 0, sizeof(*test));
	config.gc_percent = -1;
	config.flags = flags;
	fixture_open_with(&test->f, &config);
	test->type = GCHEAP_TYPE(test->f.heap, struct node, next);
	assert_int_equal(gcheap_root_add(test->f.heap, &test->list, 1), 0);
}

void sweep_fill(struct sweep_test *test)
{
	uint32_t i;

	for (i = 0; i < NODES; i++) {
		struct node *node = gcheap_new(test->f.thread, test->type);

		assert_non_null(node);
		assert_null(node->next);
		assert_int_equal(node->number, 0);
		node->number = UINT64_MAX;
		if (i >= NODES / 2 || i % (NODES / 2 / ALIVE))
			continue;
		node->next = test->list;
		node->number = test->count++;
		test->list = node;
	}
	for (i = 0; i < LARGE; i++)
		assert_non_null(gcheap_new_leaf(test->f.thread, LARGE_BYTES));
}

void sweep_check_list(const struct sweep_test *test)
{
	const struct node *node;
	uint64_t number = test->count;

	for (node = test->list; node; node = node->next)
		assert_int_equal(node->number, --number);
	assert_int_equal(number, 0);
}

bool sweep_grow_into_cycle(struct sweep_test *test)
{
	struct gcheap *heap = test->f.heap;
	uint64_t cycles = heap->stats.cycles;
	unsigned int leaves;

	heap->pacer.trigger_bytes = 0;
	heap->pacer.taken_bytes++;
	for (leaves = 0; leaves < LEAVES && heap->stats.cycles == cycles; leaves++) {
		if (!gcheap_new_leaf(test->f.thread, LEAF_BYTES))
			return false;
	}
	return heap->stats.cycles == cycles + 1;
}

void sweep_collect(struct sweep_test *test)
{
	assert_true(sweep_grow_into_cycle(test));
	assert_int_equal(stats_of(test->f.heap).live_objects, test->count);
}

struct backend *sweep_backend(const struct sweep_test *test)
{
	return test->f.heap->backend;
}

bool sweep_is_background(const struct sweep_test *test)
{
	return sweep_backend(test)->ring && sweep_backend(test)->is_sweep_lazy;
}

void sweep_open_running(struct sweep_test *test)
{
	sweep_open(test, 0);
	sweep_fill(test);
	sweep_collect(test);
	assert_true(sweep_is_background(test));
}

uint64_t sweep_unswept_spans(const struct sweep_test *test)
{
	return test->f.heap->view.ctrl->counters.unswept_spans;
}

struct gcheap_counters sweep_finish(struct sweep_test *test)
{
	struct gcheap_sweep sweep = { .size = sizeof(sweep), .max_spans = UINT64_MAX };
	struct gcheap_counters counters;
	struct gcheap_stats stats;

	assert_int_equal(gcheap_verify(test->f.heap), 0);
	/* It finishes no other sweeps than those in the background. */
	if (sweep_is_background(test))
		assert_int_equal(sweep_unswept_spans(test), 0);
	assert_int_equal(ioctl(gcheap_fd(test->f.heap), GCHEAP_IOC(GCHEAP_OP_SWEEP), &sweep), 0);
	counters = test->f.heap->view.ctrl->counters;
	stats = stats_of(test->f.heap);
	assert_int_equal(counters.unswept_spans, 0);
	assert_int_equal(stats.freed_spans, counters.freed_spans);
	assert_int_equal(stats.swept_spans, counters.swept_spans);
	assert_int_equal(stats.free_bytes, (counters.heap_pages - 1 - counters.in_use_pages) <<
			 GCHEAP_PAGE_SHIFT);
	return counters;
}

void sweep_same_figures(const struct gcheap_counters *one, const struct gcheap_counters *other)
{
	assert_int_equal(one->spans, other->spans);
	assert_int_equal(one->in_use_pages, other->in_use_pages);
	assert_int_equal(one->heap_pages, other->heap_pages);
	assert_int_equal(one->freed_spans, other->freed_spans);
	assert_int_equal(one->large_objects, other->large_objects);
}

struct gcheap_counters sweep_direct_figures(void)
{
	static struct gcheap_counters counters;
	struct sweep_test test;

	if (counters.spans)
		return counters;
	setenv("GCHEAP_URING", "0", 1);
	sweep_open(&test, 0);
	setenv("GCHEAP_URING", "1", 1);
	sweep_fill(&test);
	sweep_collect(&test);
	assert_false(sweep_is_background(&test));
	counters = sweep_finish(&test);
	fixture_close(&test.f);
	return counters;
}

void sweep_die_of_failures(void)
{
	signal(SIGABRT, SIG_DFL);
	setenv("CMOCKA_TEST_ABORT", "1", 1);
}

static bool there_is_a_device(void)
{
	struct sweep_test test;
	bool device;

	sweep_open(&test, 0);
	device = gcheap_backend(test.f.heap) == GCHEAP_BACKEND_DEVICE;
	fixture_close(&test.f);
	return device;
}

bool sweep_tests_begin(void)
{
	cmocka_set_message_output(CM_OUTPUT_TAP);
	setenv("GCHEAP_URING", "1", 1);
	unsetenv("GCHEAP_VERIFY");
	if (there_is_a_device())
		return true;
	puts("1..0 # SKIP only /dev/gcheap sweeps in the background");
	return false;
}
