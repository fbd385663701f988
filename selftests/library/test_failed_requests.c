// SPDX-License-Identifier: MIT
/*
 * The library when the backend fails a request: at any point of allocation and of
 * a cycle the heap stays usable, no object is lost, none is handed out twice.
 *
 * It reaches behind the public interface, but calls nothing there: a layer over the
 * backend's functions fails the n-th request of an operation.
 */
#include "library_test.h"

#include "backend/backend.h"
#include "library.h"

#define STEPS		60000
#define FAILURES	6	/* the first to the sixth request of an operation */

struct node {
	struct node *next;
	uint64_t number;
};

static const struct backend_ops *real_ops;
static enum gcheap_op fail_op;
static int fail_error;
static int fail_countdown;

static int failing_request(struct backend *backend, enum gcheap_op op, void *arg)
{
	if (op == fail_op && fail_countdown && --fail_countdown == 0)
		return fail_error;
	return real_ops->request(backend, op, arg);
}

struct run {
	struct gcheap *heap;
	struct gcheap_thread *thread;
	gcheap_type type;
	struct node *list;
	uint64_t count;
	int refused;
};

static void run_step(struct run *run, int step)
{
	struct node *node = gcheap_new(run->thread, run->type);

	if (!node) {
		assert_true(errno == -fail_error);
		run->refused++;
		return;
	}
	assert_null(node->next);
	assert_int_equal(node->number, 0);
	if (step % 20) {
		/* Garbage that would spoil what a second owner sees. */
		node->next = node;
		node->number = UINT64_MAX;
		return;
	}
	node->next = run->list;
	node->number = run->count++;
	run->list = node;
}

/* The list is whole, and nothing else is alive. */
static void run_check(struct run *run)
{
	struct gcheap_stats stats = { .size = sizeof(stats) };
	uint64_t number = run->count;
	const struct node *node;

	if (gcheap_collect(run->thread))
		fail_msg("gcheap_collect: %s", gcheap_error());
	assert_int_equal(gcheap_stats(run->heap, &stats), 0);
	assert_int_equal(stats.live_objects, run->count);
	assert_int_equal(gcheap_verify(run->heap), 0);
	for (node = run->list; node; node = node->next)
		assert_int_equal(node->number, --number);
	assert_int_equal(number, 0);
}

static void run_with_failure(enum gcheap_op op, int error, int nth)
{
	struct gcheap_config config = fixture_config();
	struct backend_ops ops;
	struct fixture f;
	struct run run = { 0 };
	int step;

	config.reserve_bytes = 256 << 20;
	fixture_open_with(&f, &config);
	run.heap = f.heap;
	run.thread = f.thread;
	run.type = GCHEAP_TYPE(run.heap, struct node, next);
	assert_int_equal(gcheap_root_add(run.heap, &run.list, 1), 0);

	real_ops = run.heap->backend->ops;
	ops = *real_ops;
	ops.request = failing_request;
	run.heap->backend->ops = &ops;
	fail_op = op;
	fail_error = error;
	fail_countdown = nth;
	for (step = 0; step < STEPS; step++) {
		run_step(&run, step);
		if (step % 1000 == 0 && !gcheap_new_leaf(run.thread, 50000))
			run.refused++;
		if (step % 7000 == 6999)
			gcheap_collect(run.thread);
	}
	/* The failure was met, and cost one call at most. */
	assert_int_equal(fail_countdown, 0);
	assert_in_range(run.refused, 0, 1);
	run_check(&run);
	run_check(&run);
	run.heap->backend->ops = real_ops;
	fixture_close(&f);
}

static void all_failures_of(enum gcheap_op op)
{
	static const int errors[] = { -EINTR, -ENOMEM, -EINVAL };
	size_t i;
	int nth;

	for (i = 0; i < ARRAY_SIZE(errors); i++) {
		for (nth = 1; nth <= FAILURES; nth++)
			run_with_failure(op, errors[i], nth);
	}
}

static void test_a_failed_refill_costs_one_object(void **state)
{
	(void)state;
	all_failures_of(GCHEAP_OP_REFILL);
}

static void test_a_failed_large_allocation_costs_one_object(void **state)
{
	(void)state;
	all_failures_of(GCHEAP_OP_ALLOC_LARGE);
}

static void test_a_failed_mark_start_costs_a_cycle(void **state)
{
	(void)state;
	all_failures_of(GCHEAP_OP_MARK_START);
}

static void test_a_failed_sweep_start_costs_a_cycle(void **state)
{
	(void)state;
	all_failures_of(GCHEAP_OP_SWEEP_START);
}

/* A module that has no memory for more returns than its stack holds. */
static int starved_request(struct backend *backend, enum gcheap_op op, void *arg)
{
	if (op == GCHEAP_OP_REFILL && ((struct gcheap_refill *)arg)->return_count > 128)
		return -ENOMEM;
	return real_ops->request(backend, op, arg);
}

static void test_detach_gives_spans_back_that_need_no_memory(void **state)
{
	struct gcheap_config config = fixture_config();
	struct backend_ops ops;
	struct fixture f;
	size_t bytes;
	int i;

	(void)state;
	config.gc_percent = -1;
	fixture_open_with(&f, &config);
	/* Caches of several classes, each with many spans that are full. */
	for (bytes = 256; bytes <= 4096; bytes *= 2) {
		for (i = 0; i < 2000; i++)
			assert_non_null(gcheap_new_leaf(f.thread, bytes));
	}
	assert_true(f.heap->view.ctrl->counters.cached_spans > 128);
	real_ops = f.heap->backend->ops;
	ops = *real_ops;
	ops.request = starved_request;
	f.heap->backend->ops = &ops;
	gcheap_thread_detach(f.thread);
	assert_int_equal(f.heap->view.ctrl->counters.cached_spans, 0);
	assert_int_equal(gcheap_thread_attach(f.heap, &f.thread), 0);
	assert_int_equal(gcheap_collect(f.thread), 0);
	f.heap->backend->ops = real_ops;
	fixture_close(&f);
}

static void test_err_trim_says_why_it_failed(void **state)
{
	struct backend_ops ops;
	struct fixture f;

	(void)state;
	fixture_open(&f);
	real_ops = f.heap->backend->ops;
	ops = *real_ops;
	ops.request = failing_request;
	f.heap->backend->ops = &ops;
	fail_op = GCHEAP_OP_SCAVENGE;
	fail_error = -EINTR;
	fail_countdown = 1;
	assert_refused(gcheap_trim(f.heap), EINTR, "did not give memory back");
	assert_int_equal(gcheap_trim(f.heap), 0);
	f.heap->backend->ops = real_ops;
	fixture_close(&f);
}

/* The next cycle clears marks, but none of free pages, whose tables have gone. */
static void test_a_failed_sweep_start_after_a_trim_costs_a_cycle(void **state)
{
	enum { OBJECTS = 20000, BYTES = 2048, KEPT = 100 };
	struct gcheap_config config = fixture_config();
	static void *kept[KEPT];
	struct backend_ops ops;
	struct fixture f;
	uint64_t tables;
	int i;

	(void)state;
	config.gc_percent = -1;
	fixture_open_with(&f, &config);
	assert_int_equal(gcheap_root_add(f.heap, kept, KEPT), 0);
	for (i = 0; i < OBJECTS; i++) {
		void *object = gcheap_new_leaf(f.thread, BYTES);

		assert_non_null(object);
		if (i % (OBJECTS / KEPT) == 0)
			kept[i / (OBJECTS / KEPT)] = object;
	}
	/* The first ones stay, behind them are holes. */
	for (i = 1; i < KEPT; i++)
		kept[i] = i % 10 == 0 ? kept[i] : NULL;
	assert_int_equal(live_after_collect(&f), KEPT / 10);
	tables = stats_of(f.heap).metadata_bytes;
	assert_int_equal(gcheap_trim(f.heap), 0);
	assert_in_range(stats_of(f.heap).metadata_bytes, 0, tables - 256 * 1024);
	real_ops = f.heap->backend->ops;
	ops = *real_ops;
	ops.request = failing_request;
	f.heap->backend->ops = &ops;
	fail_op = GCHEAP_OP_SWEEP_START;
	fail_error = -EINTR;
	fail_countdown = 1;
	assert_int_equal(gcheap_collect(f.thread), -EINTR);
	/* What the first marked is not alive for that. */
	kept[0] = NULL;
	assert_int_equal(live_after_collect(&f), KEPT / 10 - 1);
	assert_int_equal(gcheap_verify(f.heap), 0);
	assert_int_equal(live_after_collect(&f), KEPT / 10 - 1);
	f.heap->backend->ops = real_ops;
	memset(kept, 0, sizeof(kept));
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_failed_refill_costs_one_object),
		cmocka_unit_test(test_a_failed_large_allocation_costs_one_object),
		cmocka_unit_test(test_a_failed_mark_start_costs_a_cycle),
		cmocka_unit_test(test_a_failed_sweep_start_costs_a_cycle),
		cmocka_unit_test(test_a_failed_sweep_start_after_a_trim_costs_a_cycle),
		cmocka_unit_test(test_detach_gives_spans_back_that_need_no_memory),
		cmocka_unit_test(test_err_trim_says_why_it_failed),
	};

	return run_in_all_layouts("failed requests", tests);
}
