// SPDX-License-Identifier: MIT
/* link: -Wl,--no-as-needed -lgcc_s */
/*
 * Hooks: what is called, when, with which figures, and what it may not do.
 */
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "library_test.h"

#include "backend/backend.h"
#include "library.h"

#define RESERVE		((uint64_t)64 << 20)

/**
 * struct calls - what hooks were called for
 * @f: the heap
 * @begins: how often cycle_begins() was called
 * @ends: the same of cycle_ends()
 * @misses: the same of out_of_memory()
 * @bytes: what the last of these was told
 * @last: what the last cycle_ends() was told
 * @hidden: an object that only cycle_begins() leads to
 * @refused: errors of what a hook may not do, all together
 */
struct calls {
	struct fixture *f;
	unsigned int begins, ends, misses;
	size_t bytes;
	struct gcheap_cycle last;
	void *hidden;
	unsigned int refused;
};

static void begins(struct gcheap *heap, void *arg)
{
	struct calls *calls = arg;

	calls->begins++;
	if (calls->hidden && gcheap_hook_mark(heap, &calls->hidden, 1))
		abort();
}

static void ends(struct gcheap *heap, const struct gcheap_cycle *cycle, void *arg)
{
	struct calls *calls = arg;

	(void)heap;
	calls->ends++;
	calls->last = *cycle;
}

static void add(struct calls *calls, struct fixture *f, const struct gcheap_hooks *hooks)
{
	struct gcheap_hooks copy = *hooks;

	*calls = (struct calls) { .f = f };
	copy.size = sizeof(copy);
	copy.arg = calls;
	assert_int_equal(gcheap_hooks_add(f->heap, &copy), 0);
	/* The program's copy is its own again. */
	memset(&copy, 0xff, sizeof(copy));
}

/* ---- cycles ------------------------------------------------------------------------- */

static void a_cycle_begins_and_ends(void **state)
{
	static const struct gcheap_hooks hooks = { .cycle_begins = begins, .cycle_ends = ends };
	struct fixture *f = *state;
	struct gcheap_stats stats;
	void *root = gcheap_new_leaf(f->thread, 100);
	struct calls calls;

	assert_int_equal(gcheap_root_add(f->heap, &root, 1), 0);
	assert_int_equal(gcheap_collect(f->thread), 0);
	add(&calls, f, &hooks);
	assert_int_equal(calls.begins, 0);
	drop_bytes(f, 100000);
	assert_int_equal(gcheap_collect(f->thread), 0);
	assert_int_equal(calls.begins, 1);
	assert_int_equal(calls.ends, 1);
	stats = stats_of(f->heap);
	assert_int_equal(calls.last.size, sizeof(calls.last));
	assert_int_equal(calls.last.number, 2);
	assert_int_equal(calls.last.number, stats.cycles);
	assert_int_equal(calls.last.reason, GCHEAP_CYCLE_REQUEST);
	assert_int_equal(calls.last.live_objects, 1);
	assert_int_equal(calls.last.live_objects, stats.live_objects);
	assert_int_equal(calls.last.live_bytes, stats.live_bytes);
	assert_true(calls.last.before_bytes >= 100000);
	assert_int_equal(calls.last.goal_bytes, UINT64_MAX);
	assert_true(calls.last.freed_spans > 0);
	assert_true(calls.last.markers >= 1);
	assert_true(calls.last.root_bytes >= sizeof(root));
	assert_true(calls.last.start_ns > 0);
	assert_true(stats.mark_ns_total >= calls.last.mark_ns + calls.last.roots_ns);
	assert_true(stats.sweep_ns_total >= calls.last.sweep_ns);
	assert_int_equal(gcheap_root_remove(f->heap, &root), 0);
}

static void growth_is_told(void **state)
{
	static const struct gcheap_hooks hooks = { .cycle_ends = ends };
	struct fixture *f = *state;
	struct calls calls;

	add(&calls, f, &hooks);
	assert_int_equal(gcheap_set_gc_percent(f->heap, 100), 0);
	drop_bytes(f, (uint64_t)64 << 20);
	assert_true(calls.ends > 0);
	assert_int_equal(calls.last.reason, GCHEAP_CYCLE_GROWTH);
	assert_true(calls.last.goal_bytes > 0 && calls.last.goal_bytes < UINT64_MAX);
	assert_int_equal(calls.ends, cycles_of(f));
}

static void what_it_marks_lives(void **state)
{
	static const struct gcheap_hooks hooks = { .cycle_begins = begins };
	struct fixture *f = *state;
	uint64_t *object = gcheap_new_leaf(f->thread, 4000);
	struct calls calls;

	add(&calls, f, &hooks);
	*object = 4711;
	calls.hidden = object;
	assert_int_equal(live_after_collect(f), 1);
	assert_int_equal(*object, 4711);
	calls.hidden = NULL;
	assert_int_equal(live_after_collect(f), 0);
}

static void *add_many(void *arg)
{
	struct fixture *f = arg;
	struct gcheap_hooks hooks = { .size = sizeof(hooks), .cycle_begins = begins };
	static struct calls calls[200];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		hooks.arg = &calls[i];
		if (gcheap_hooks_add(f->heap, &hooks))
			abort();
	}
	return NULL;
}

static void others_add_some_while_cycles_run(void **state)
{
	static const struct gcheap_hooks hooks = { .cycle_ends = ends };
	struct fixture *f = *state;
	struct calls calls;
	pthread_t thread;
	unsigned int i;

	add(&calls, f, &hooks);
	assert_int_equal(pthread_create(&thread, NULL, add_many, f), 0);
	for (i = 0; i < 100; i++)
		assert_int_equal(gcheap_collect(f->thread), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(calls.ends, 100);
}

static unsigned int order[4], ordered;

static void first(struct gcheap *heap, const struct gcheap_cycle *cycle, void *arg)
{
	(void)heap;
	(void)cycle;
	(void)arg;
	order[ordered++] = 1;
}

static void second(struct gcheap *heap, const struct gcheap_cycle *cycle, void *arg)
{
	(void)heap;
	(void)cycle;
	(void)arg;
	order[ordered++] = 2;
}

static void they_are_called_in_order(void **state)
{
	static const struct gcheap_hooks one = { .cycle_ends = first };
	static const struct gcheap_hooks other = { .cycle_ends = second };
	struct fixture *f = *state;
	struct calls calls[2];

	ordered = 0;
	add(&calls[0], f, &one);
	add(&calls[1], f, &other);
	assert_int_equal(gcheap_collect(f->thread), 0);
	assert_int_equal(ordered, 2);
	assert_int_equal(order[0], 1);
	assert_int_equal(order[1], 2);
}

/* ---- no memory ------------------------------------------------------------------------ */

#define TABLE		(RESERVE / 1024)

static void *table[TABLE];

static void empties_the_table(struct gcheap *heap, size_t bytes, void *arg)
{
	struct calls *calls = arg;

	(void)heap;
	calls->misses++;
	calls->bytes = bytes;
	memset(table, 0, sizeof(table));
}

/* A heap that is full of what the table leads to. */
static void fixture_open_full(struct fixture *f, struct calls *calls, bool hook)
{
	static const struct gcheap_hooks hooks = { .out_of_memory = empties_the_table };
	struct gcheap_config config = fixture_config();
	size_t i;

	config.reserve_bytes = RESERVE;
	fixture_open_with(f, &config);
	memset(table, 0, sizeof(table));
	assert_int_equal(gcheap_root_add(f->heap, table, TABLE), 0);
	for (i = 0; i < TABLE; i++) {
		table[i] = gcheap_new_leaf(f->thread, 1024);
		if (!table[i])
			break;
	}
	assert_in_range(i, TABLE / 2, TABLE - 1);
	*calls = (struct calls) { .f = f };
	if (hook)
		add(calls, f, &hooks);
}

static void without_a_hook_memory_runs_out(void **state)
{
	struct calls calls;
	struct fixture f;

	(void)state;
	fixture_open_full(&f, &calls, false);
	assert_refused_null(gcheap_new_leaf(f.thread, 1024), ENOMEM, "out of memory");
	assert_refused_null(gcheap_new_leaf(f.thread, 1 << 20), ENOMEM, "out of memory");
	fixture_close(&f);
}

static void a_hook_makes_room(void **state)
{
	struct calls calls;
	struct fixture f;

	(void)state;
	fixture_open_full(&f, &calls, true);
	assert_non_null(gcheap_new_leaf(f.thread, 1024));
	assert_int_equal(calls.misses, 1);
	assert_true(calls.bytes >= 1024);
	fixture_close(&f);
	fixture_open_full(&f, &calls, true);
	assert_non_null(gcheap_new_leaf(f.thread, 1 << 20));
	assert_int_equal(calls.misses, 1);
	assert_true(calls.bytes >= 1 << 20);
	/* What fits into no heap is nothing that a hook can help with. */
	assert_refused_null(gcheap_new_leaf(f.thread, RESERVE), ENOMEM, "out of memory");
	assert_int_equal(calls.misses, 1);
	fixture_close(&f);
}

/* ---- what a hook may not do --------------------------------------------------------------- */

static void tries(struct gcheap *heap, struct calls *calls)
{
	const struct gcheap_hooks more = { .size = sizeof(more), .cycle_ends = ends };
	struct gcheap_thread *thread = calls->f->thread;
	void *slot = NULL;

	calls->refused += !gcheap_new_leaf(thread, 64) && errno == EINVAL;
	calls->refused += !gcheap_new_leaf(thread, 1 << 20) && errno == EINVAL;
	calls->refused += gcheap_collect(thread) == -EINVAL;
	calls->refused += gcheap_hooks_add(heap, &more) == -EINVAL;
	calls->refused += gcheap_hook_mark(heap, &slot, 1) == -EINVAL;
	errno = 0;
	gcheap_thread_detach(thread);
	calls->refused += errno == EINVAL;
}

static void tries_at_end(struct gcheap *heap, const struct gcheap_cycle *cycle, void *arg)
{
	(void)cycle;
	tries(heap, arg);
}

static void tries_without_memory(struct gcheap *heap, size_t bytes, void *arg)
{
	tries(heap, arg);
	empties_the_table(heap, bytes, arg);
}

static void err_what_a_hook_may_not_do(void **state)
{
	static const struct gcheap_hooks at_end = { .cycle_ends = tries_at_end };
	static const struct gcheap_hooks without = { .out_of_memory = tries_without_memory };
	struct fixture *f = *state;
	struct fixture full;
	struct calls calls;

	add(&calls, f, &at_end);
	assert_int_equal(gcheap_collect(f->thread), 0);
	assert_int_equal(calls.refused, 6);
	assert_error_says("hook");
	/* It is over with the hook. */
	assert_non_null(gcheap_new_leaf(f->thread, 64));
	fixture_open_full(&full, &calls, false);
	add(&calls, &full, &without);
	assert_non_null(gcheap_new_leaf(full.thread, 1024));
	assert_int_equal(calls.refused, 6);
	assert_int_equal(gcheap_verify(full.heap), 0);
	fixture_close(&full);
}

static int see_none(const struct gcheap_object *object, void *arg)
{
	(void)object;
	(void)arg;
	return 0;
}

static void asks(struct gcheap *heap, void *arg)
{
	struct gcheap_stats stats = { .size = sizeof(stats) };
	struct calls *calls = arg;

	calls->begins++;
	calls->refused += gcheap_stats(heap, &stats) == -EINVAL;
	calls->refused += gcheap_verify(heap) == -EINVAL;
	calls->refused += gcheap_gc_percent(heap) == -1 && errno == EINVAL;
	calls->refused += gcheap_root_add(heap, &calls->hidden, 1) == -EINVAL;
	calls->refused += gcheap_pin(heap, calls) == -EINVAL;
	calls->refused += gcheap_hook_mark(heap, NULL, 1) == -EINVAL;
	calls->refused += gcheap_hook_mark(heap, &calls->hidden, SIZE_MAX / 4) == -EINVAL;
	calls->refused += gcheap_walk(heap, see_none, NULL) == -EINVAL;
}

/* They would wait for the cycle that waits for them. */
static void err_all_but_mark_when_a_cycle_begins(void **state)
{
	static const struct gcheap_hooks hooks = { .cycle_begins = asks };
	struct fixture *f = *state;
	struct calls calls;

	add(&calls, f, &hooks);
	assert_int_equal(gcheap_collect(f->thread), 0);
	assert_int_equal(calls.begins, 1);
	assert_int_equal(calls.refused, 8);
	assert_error_says("gcheap_hook_mark()");
	assert_int_equal(stats_of(f->heap).cycles, 1);
}

static void err_mark_out_of_a_hook(void **state)
{
	struct fixture *f = *state;
	void *slot = NULL;

	assert_refused(gcheap_hook_mark(f->heap, &slot, 1), EINVAL, "cycle_begins");
	assert_refused(gcheap_hook_mark(NULL, &slot, 1), EINVAL, "NULL");
}

static void ends_its_thread(struct gcheap *heap, const struct gcheap_cycle *cycle, void *arg)
{
	(void)heap;
	(void)cycle;
	if (pthread_equal(pthread_self(), *(pthread_t *)arg))
		pthread_exit(NULL);
}

static pthread_t ending;

static void *collects(void *arg)
{
	struct gcheap_thread *thread;

	ending = pthread_self();
	if (gcheap_thread_attach(arg, &thread))
		abort();
	gcheap_collect(thread);
	abort();
}

static void a_thread_may_end_in_a_hook(void **state)
{
	struct fixture *f = *state;
	const struct gcheap_hooks hooks = {
		.size = sizeof(hooks), .cycle_ends = ends_its_thread, .arg = &ending,
	};
	pthread_t thread;

	assert_int_equal(gcheap_hooks_add(f->heap, &hooks), 0);
	gcheap_park(f->thread);
	assert_int_equal(pthread_create(&thread, NULL, collects, f->heap), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	gcheap_unpark(f->thread);
	assert_int_equal(live_after_collect(f), 0);
}

/* ---- errors --------------------------------------------------------------------------- */

static void err_hooks(void **state)
{
	struct {
		struct gcheap_hooks hooks;
		uint64_t more;
	} longer = { .hooks = { .cycle_ends = ends } };
	struct gcheap_hooks *hooks = &longer.hooks;
	struct fixture *f = *state;
	struct calls calls = { .f = f };

	hooks->arg = &calls;
	assert_refused(gcheap_hooks_add(f->heap, hooks), EINVAL, "size");
	hooks->size = sizeof(*hooks) - 1;
	assert_refused(gcheap_hooks_add(f->heap, hooks), EINVAL, "size");
	hooks->size = 4097;
	assert_refused(gcheap_hooks_add(f->heap, hooks), EINVAL, "size");
	hooks->size = sizeof(longer);
	longer.more = 1;
	assert_refused(gcheap_hooks_add(f->heap, hooks), E2BIG, "newer");
	assert_refused(gcheap_hooks_add(f->heap, NULL), EINVAL, "NULL");
	assert_refused(gcheap_hooks_add(NULL, hooks), EINVAL, "NULL");
	longer.more = 0;
	hooks->cycle_ends = NULL;
	assert_refused(gcheap_hooks_add(f->heap, hooks), EINVAL, "no function");
	hooks->cycle_ends = ends;
	assert_int_equal(gcheap_collect(f->thread), 0);
	assert_int_equal(calls.ends, 0);
	assert_int_equal(gcheap_hooks_add(f->heap, hooks), 0);
	assert_int_equal(gcheap_collect(f->thread), 0);
	assert_int_equal(calls.ends, 1);
}

static void err_child_of_fork(void **state)
{
	struct gcheap_hooks hooks = { .size = sizeof(hooks), .cycle_ends = ends };
	struct fixture *f = *state;
	struct calls calls;
	int status;
	pid_t child;

	add(&calls, f, &hooks);
	child = fork();
	if (!child)
		_exit(gcheap_hooks_add(f->heap, &hooks) == -EPERM &&
		      gcheap_hook_mark(f->heap, NULL, 0) == -EPERM ? 0 : 1);
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void forks_at_end(struct gcheap *heap, const struct gcheap_cycle *cycle, void *arg)
{
	pid_t *child = arg;

	(void)heap;
	(void)cycle;
	if (*child < 0)
		*child = fork();
}

static void forks_without_memory(struct gcheap *heap, size_t bytes, void *arg)
{
	(void)bytes;
	forks_at_end(heap, NULL, arg);
}

/* Waits for the child, if this is not it. */
static void assert_child(pid_t child, bool is_right)
{
	int status;

	if (!child)
		_exit(!is_right);
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void err_fork_in_a_hook(void **state)
{
	pid_t child = -1;
	struct gcheap_hooks hooks = { .size = sizeof(hooks), .arg = &child };
	struct fixture *f = *state;
	struct fixture full;
	struct calls calls;
	size_t bytes;
	void *object;
	int error;

	hooks.cycle_ends = forks_at_end;
	assert_int_equal(gcheap_hooks_add(f->heap, &hooks), 0);
	error = gcheap_collect(f->thread);
	assert_child(child, error == -EPERM || !error);
	/* In the middle of an allocation. */
	assert_int_equal(gcheap_set_gc_percent(f->heap, 0), 0);
	for (bytes = 64; bytes <= 1 << 20; bytes <<= 14) {
		child = -1;
		do {
			object = gcheap_new_leaf(f->thread, bytes);
		} while (child < 0);
		assert_child(child, !object && errno == EPERM);
		assert_non_null(object);
	}
	hooks.cycle_ends = NULL;
	hooks.out_of_memory = forks_without_memory;
	for (bytes = 1024; bytes <= 1 << 20; bytes <<= 10) {
		fixture_open_full(&full, &calls, false);
		child = -1;
		assert_int_equal(gcheap_hooks_add(full.heap, &hooks), 0);
		object = gcheap_new_leaf(full.thread, bytes);
		assert_child(child, !object && errno == EPERM);
		assert_null(object);
		fixture_close(&full);
	}
}

static const struct backend_ops *real_ops;

static int no_sweep(struct backend *backend, enum gcheap_op op, void *arg)
{
	return op == GCHEAP_OP_SWEEP_START ? -EIO : real_ops->request(backend, op, arg);
}

static void a_cycle_that_fails_does_not_end(void **state)
{
	static const struct gcheap_hooks hooks = { .cycle_begins = begins, .cycle_ends = ends };
	struct fixture *f = *state;
	struct backend_ops ops;
	struct calls calls;

	add(&calls, f, &hooks);
	real_ops = f->heap->backend->ops;
	ops = *real_ops;
	ops.request = no_sweep;
	f->heap->backend->ops = &ops;
	assert_int_equal(gcheap_collect(f->thread), -EIO);
	f->heap->backend->ops = real_ops;
	assert_int_equal(calls.begins, 1);
	assert_int_equal(calls.ends, 0);
	assert_int_equal(gcheap_collect(f->thread), 0);
	assert_int_equal(calls.begins, 2);
	assert_int_equal(calls.ends, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(a_cycle_begins_and_ends),
		fixture_test(growth_is_told),
		fixture_test(what_it_marks_lives),
		fixture_test(others_add_some_while_cycles_run),
		fixture_test(they_are_called_in_order),
		cmocka_unit_test(without_a_hook_memory_runs_out),
		cmocka_unit_test(a_hook_makes_room),
		fixture_test(err_what_a_hook_may_not_do),
		fixture_test(err_all_but_mark_when_a_cycle_begins),
		fixture_test(err_mark_out_of_a_hook),
		fixture_test(a_thread_may_end_in_a_hook),
		fixture_test(err_hooks),
		fixture_test(err_child_of_fork),
		fixture_test(err_fork_in_a_hook),
		fixture_test(a_cycle_that_fails_does_not_end),
	};

	/* One is begun by growth, where a test says so. */
	setenv("GCHEAP_GC", "off", 1);
	return run_in_all_layouts("hooks", tests);
}
