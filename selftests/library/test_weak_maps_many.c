// SPDX-License-Identifier: MIT
/*
 * Weak maps where there is much of something: a key that very many maps have, a table that has
 * become sparse, and one that another thread is about to replace when the process forks.
 */
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "specials.h"
#include "weak_map.h"

/* ---- a key of many maps ------------------------------------------------------------ */

/* All with all would take minutes. */
#define MANY	200000u

struct maps {
	struct fixture f;
	void *root;
	struct gcheap_weak_map *all[MANY];
};

static int setup(void **state)
{
	struct maps *maps = calloc(1, sizeof(*maps));
	struct gcheap_config config = fixture_config();

	config.gc_percent = -1;
	fixture_open_with(&maps->f, &config);
	assert_int_equal(gcheap_root_add(maps->f.heap, &maps->root, 1), 0);
	maps->root = gcheap_new_leaf(maps->f.thread, 16);
	assert_non_null(maps->root);
	*state = maps;
	return 0;
}

static int teardown(void **state)
{
	struct maps *maps = *state;

	fixture_close(&maps->f);
	free(maps);
	return 0;
}

#define test_with_maps(test)	cmocka_unit_test_setup_teardown(test, setup, teardown)
#define records(maps)		((maps)->f.heap->specials.records.used)

static void make(struct maps *maps, size_t count, bool with_owners)
{
	size_t i;

	for (i = 0; i < count; i++) {
		void *owner = with_owners ? gcheap_new_leaf(maps->f.thread, 16) : NULL;

		assert_int_equal(!!owner, with_owners);
		assert_int_equal(gcheap_weak_map_new(maps->f.heap, owner, &maps->all[i]), 0);
		assert_int_equal(gcheap_weak_map_set(maps->all[i], maps->root, maps->root), 0);
	}
}

static void take_out(struct maps *maps, size_t count)
{
	size_t i;

	make(maps, count, false);
	for (i = 0; i < count; i++)
		assert_int_equal(gcheap_weak_map_remove(maps->all[i], maps->root), 0);
	for (i = 0; i < count; i++)
		gcheap_weak_map_free(maps->all[i]);
}

static void free_all(struct maps *maps, size_t count)
{
	size_t i;

	make(maps, count, false);
	for (i = 0; i < count; i++)
		gcheap_weak_map_free(maps->all[i]);
}

static void owners_die(struct maps *maps, size_t count)
{
	make(maps, count, true);
	assert_int_equal(live_after_collect(&maps->f), 1);
}

/* In the order in which they were made, and in that of their owners. */
static void test_a_key_leaves_very_many_maps(void **state)
{
	static void (*const ends[])(struct maps *maps, size_t count) = {
		take_out, free_all, owners_die,
	};
	struct maps *maps = *state;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(ends); i++) {
		ends[i](maps, MANY);
		assert_int_equal(records(maps), 0);
		assert_int_equal(maps->f.heap->specials.map_bytes, 0);
	}
}

/* Oldest, youngest, and between the others, with an ephemeron that is in no map. */
static void test_a_key_leaves_maps_in_any_order(void **state)
{
	static const int orders[][4] = {
		{ 0, 1, 2, 3 }, { 3, 2, 1, 0 }, { 1, 0, 3, 2 }, { 2, 3, 0, 1 },
	};
	struct maps *maps = *state;
	struct gcheap *heap = maps->f.heap;
	void *key = maps->root;
	size_t i, at, left;

	for (i = 0; i < ARRAY_SIZE(orders); i++) {
		make(maps, 3, false);
		assert_int_equal(gcheap_ephemeron_add(heap, key, key), 0);
		assert_int_equal(gcheap_weak_map_new(heap, NULL, &maps->all[3]), 0);
		assert_int_equal(gcheap_weak_map_set(maps->all[3], key, key), 0);
		for (at = 0; at < 4; at++) {
			assert_int_equal(gcheap_weak_map_remove(maps->all[orders[i][at]], key), 0);
			assert_int_equal(records(maps), 4 - at);
			assert_sound(heap);
			for (left = at + 1; left < 4; left++)
				assert_ptr_equal(gcheap_weak_map_get(maps->f.thread,
								     maps->all[orders[i][left]],
								     key), key);
		}
		assert_int_equal(live_after_collect(&maps->f), 1);
		assert_int_equal(gcheap_ephemeron_remove(heap, key, key), 0);
		assert_int_equal(records(maps), 0);
		for (at = 0; at < 4; at++)
			gcheap_weak_map_free(maps->all[at]);
	}
}

/* ---- a table that has become sparse -------------------------------------------------- */

static void test_err_no_memory_for_a_smaller_table(void **state)
{
	enum { KEYS = 4096 };
	static void *keys[KEYS];
	struct maps *maps = *state;
	struct gcheap_weak_map *map;
	struct rlimit limit, none;
	uint64_t most, i;

	assert_int_equal(gcheap_weak_map_new(maps->f.heap, NULL, &map), 0);
	for (i = 0; i < KEYS; i++) {
		keys[i] = gcheap_new_leaf(maps->f.thread, 16);
		assert_int_equal(gcheap_weak_map_set(map, keys[i], keys[i]), 0);
	}
	most = map->table.room;
	assert_in_range(most, KEYS + 1, 4 * KEYS);
	assert_int_equal(getrlimit(RLIMIT_AS, &limit), 0);
	none = limit;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_AS, &none), 0);
	for (i = 0; i < KEYS - 10; i++)
		assert_int_equal(gcheap_weak_map_remove(map, keys[i]), 0);
	assert_int_equal(setrlimit(RLIMIT_AS, &limit), 0);
	assert_int_equal(gcheap_weak_map_count(map), 10);
	assert_int_equal(map->table.room, most);
	for (i = KEYS - 10; i < KEYS; i++)
		assert_ptr_equal(gcheap_weak_map_get(maps->f.thread, map, keys[i]), keys[i]);
	/* There is some again. */
	for (i = KEYS - 10; i < KEYS - 5; i++)
		assert_int_equal(gcheap_weak_map_remove(map, keys[i]), 0);
	assert_in_range(map->table.room, 5, most / 64);
	for (; i < KEYS; i++)
		assert_ptr_equal(gcheap_weak_map_get(maps->f.thread, map, keys[i]), keys[i]);
	gcheap_weak_map_free(map);
	assert_int_equal(maps->f.heap->specials.map_bytes, 0);
}

/* ---- fork ---------------------------------------------------------------------------- */

static struct gcheap *closed_by_children;
static size_t forked, failed;

/* In the child the heap is closed while a table has gone whose map may still have it. */
static void *fork_here(void *arg)
{
	struct gcheap *heap = closed_by_children;
	int status = 1;
	pid_t child;

	(void)arg;
	closed_by_children = NULL;
	child = fork();
	if (!child) {
		gcheap_close(heap);
		/* _exit() would look for what other threads' stacks lead to. */
		syscall(SYS_exit_group, 0);
	}
	closed_by_children = heap;
	failed += waitpid(child, &status, 0) != child || status;
	forked++;
	return NULL;
}

/*
 * What the library calls, a shared one, too: another thread forks as soon as memory has gone.
 */
__attribute__((visibility("default")))
int munmap(void *memory, size_t bytes)
{
	struct gcheap *heap = closed_by_children;
	int error = (int)syscall(SYS_munmap, memory, bytes);
	pthread_t thread;

	/* Not again for the stack of a thread. */
	if (!heap || pthread_create(&thread, NULL, fork_here, NULL))
		return error;
	pthread_join(thread, NULL);
	return error;
}

static void test_a_child_does_not_free_a_table_again(void **state)
{
	struct maps *maps = *state;
	struct gcheap *heap = maps->f.heap;
	struct gcheap_weak_map *map;
	size_t i;

	assert_int_equal(gcheap_weak_map_new(heap, NULL, &map), 0);
	forked = 0;
	failed = 0;
	/* The table doubles; those that are mappings go. */
	for (i = 0; i < 1500; i++) {
		void *key = gcheap_new_leaf(maps->f.thread, 16);

		assert_non_null(key);
		closed_by_children = heap;
		assert_int_equal(gcheap_weak_map_set(map, key, key), 0);
		closed_by_children = NULL;
	}
	assert_true(forked > 0);
	assert_int_equal(failed, 0);
	gcheap_weak_map_free(map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		test_with_maps(test_a_key_leaves_very_many_maps),
		test_with_maps(test_a_key_leaves_maps_in_any_order),
		test_with_maps(test_err_no_memory_for_a_smaller_table),
		test_with_maps(test_a_child_does_not_free_a_table_again),
	};

	return run_in_all_layouts("weak_maps_many", tests);
}
