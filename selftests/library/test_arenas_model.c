// SPDX-License-Identifier: MIT
/*
 * User arenas at random, against a model: objects in arenas and in the heap that lead to each
 * other, arenas that are freed or forgotten, by several threads, under cycles of all of them. After
 * a cycle that finds all threads at rest exactly those objects of the heap live that the model says.
 *
 * Each thread has roots, arenas and objects of its own, and leads nowhere else; chunks that a freed
 * arena has left any of them may take. GCHEAP_SEED and GCHEAP_ROUNDS repeat a run, or make it
 * longer.
 */
#define _GNU_SOURCE
#include <pthread.h>

#include "library_test.h"

#define CHUNK_BYTES	((uintptr_t)8 << 20)
#define WORKERS_MAX	4u
#define OBJECTS		4000u
#define ROOTS		24u
#define ARENAS		4u
#define EDGES		3u
#define STEPS		1500u
#define NONE		UINT32_MAX

struct node {
	struct node *edges[EDGES];
	uint64_t number;
};

/**
 * struct known - what the model knows of one object
 * @node: where it is; NULL: it is dead
 * @arena: the life of an arena that it is in; 0: it is in the heap
 * @edges: numbers of what it leads to, or NONE
 * @mark: the model's own cycle that has reached it
 */
struct known {
	struct node *node;
	uint32_t arena;
	uint32_t edges[EDGES];
	uint32_t mark;
};

/**
 * struct worker - one thread, with all that is its own
 * @words: roots of the heap: what @roots says, and behind it the handles
 * @lives: which life of an arena each handle is; 0: there is none
 */
struct worker {
	struct gcheap *heap;
	struct gcheap_thread *thread;
	gcheap_type type;
	uint64_t random;
	void *words[ROOTS + ARENAS];
	uint32_t roots[ROOTS];
	uint32_t lives[ARENAS];
	uint32_t life;
	struct known all[OBJECTS];
	uint32_t count;
	uint32_t mark;
	uint32_t stack[OBJECTS];
	uint64_t live_nodes;
	const char *wrong;
};

static uint32_t pick(struct worker *worker, uint32_t below)
{
	return (uint32_t)(random_next(&worker->random) % below);
}

static void is_wrong(struct worker *worker, const char *what)
{
	if (!worker->wrong)
		worker->wrong = what;
}

static uintptr_t chunk_of(const struct node *node)
{
	return (uintptr_t)node & ~(CHUNK_BYTES - 1);
}

/* ---- what should live --------------------------------------------------------------- */

/* Reaches an object, and with it all in its chunk. */
static uint32_t reach(struct worker *worker, uint32_t number, uint32_t top)
{
	struct known *object = &worker->all[number];
	uint32_t i;

	if (object->mark == worker->mark)
		return top;
	if (!object->arena) {
		object->mark = worker->mark;
		worker->stack[top++] = number;
		return top;
	}
	for (i = 0; i < worker->count; i++) {
		struct known *other = &worker->all[i];

		if (!other->node || !other->arena || other->mark == worker->mark ||
		    chunk_of(other->node) != chunk_of(object->node))
			continue;
		other->mark = worker->mark;
		worker->stack[top++] = i;
	}
	return top;
}

/* Marks what lives, and counts the objects of the heap among it. */
static void model_mark(struct worker *worker)
{
	uint32_t top = 0, i, e;

	worker->mark++;
	worker->live_nodes = 0;
	for (i = 0; i < ROOTS; i++) {
		if (worker->roots[i] != NONE)
			top = reach(worker, worker->roots[i], top);
	}
	for (i = 0; i < worker->count; i++) {
		const struct known *object = &worker->all[i];

		for (e = 0; object->node && object->arena && e < ARENAS; e++) {
			if (worker->lives[e] == object->arena)
				top = reach(worker, i, top);
		}
	}
	while (top) {
		const struct known *object = &worker->all[worker->stack[--top]];

		worker->live_nodes += !object->arena;
		for (e = 0; e < EDGES; e++) {
			if (object->edges[e] != NONE)
				top = reach(worker, object->edges[e], top);
		}
	}
}

/* What is alive is as it was left. */
static void model_compare(struct worker *worker)
{
	uint32_t i, e;

	for (i = 0; i < worker->count; i++) {
		struct known *object = &worker->all[i];

		if (!object->node)
			continue;
		if (object->mark != worker->mark) {
			object->node = NULL;
			continue;
		}
		if (object->node->number != i)
			is_wrong(worker, "an object has another number");
		for (e = 0; e < EDGES; e++) {
			const struct node *node = object->edges[e] == NONE ? NULL :
						  worker->all[object->edges[e]].node;

			if (object->node->edges[e] != node)
				is_wrong(worker, "an edge leads elsewhere");
		}
	}
}

/* ---- steps -------------------------------------------------------------------------- */

/* An object that a walk of some steps from a root finds. */
static uint32_t some_object(struct worker *worker)
{
	uint32_t number = worker->roots[pick(worker, ROOTS)];
	uint32_t steps = pick(worker, 6);

	while (number != NONE && steps--) {
		uint32_t next = worker->all[number].edges[pick(worker, EDGES)];

		if (next == NONE)
			break;
		number = next;
	}
	return number;
}

static void root_set(struct worker *worker, uint32_t at, uint32_t number)
{
	worker->roots[at] = number;
	worker->words[at] = number == NONE ? NULL : worker->all[number].node;
}

static void edge_set(struct worker *worker, uint32_t from, uint32_t edge, uint32_t to)
{
	struct known *object = &worker->all[from];

	object->edges[edge] = to;
	gcheap_store(worker->thread, &object->node->edges[edge],
		     to == NONE ? NULL : worker->all[to].node);
}

/* A chunk that an arena takes has no objects of another one: those that were there are dead. */
static void forget_before(struct worker *worker, const struct node *node, uint32_t life)
{
	uint32_t i;

	for (i = 0; i < worker->count; i++) {
		struct known *object = &worker->all[i];

		if (object->node && object->arena && object->arena != life &&
		    chunk_of(object->node) == chunk_of(node))
			object->node = NULL;
	}
}

static uint32_t note(struct worker *worker, struct node *node, uint32_t life)
{
	struct known *object = &worker->all[worker->count];
	uint32_t e;

	if (life)
		forget_before(worker, node, life);
	*object = (struct known) { .node = node, .arena = life };
	for (e = 0; e < EDGES; e++) {
		object->edges[e] = NONE;
		if (node->edges[e])
			is_wrong(worker, "a new object is not zero");
	}
	node->number = worker->count;
	return worker->count++;
}

static void step_new(struct worker *worker)
{
	uint32_t at = pick(worker, ARENAS + 2);
	struct gcheap_arena *arena = at < ARENAS ? worker->words[ROOTS + at] : NULL;
	struct node *node;

	if (at < ARENAS && !arena)
		return;
	node = arena ? gcheap_arena_alloc(arena, worker->type) :
		       gcheap_new(worker->thread, worker->type);
	if (!node) {
		is_wrong(worker, "an allocation has failed");
		return;
	}
	root_set(worker, pick(worker, ROOTS), note(worker, node, arena ? worker->lives[at] : 0));
}

/* So that chunks fill; nothing is written there. */
static void step_leaf(struct worker *worker)
{
	struct gcheap_arena *arena = worker->words[ROOTS + pick(worker, ARENAS)];

	if (arena && !gcheap_arena_alloc_leaf(arena, 1 + pick(worker, 1500000)))
		is_wrong(worker, "a leaf could not be had");
}

static void step_arena(struct worker *worker)
{
	uint32_t at = pick(worker, ARENAS);
	struct gcheap_arena *arena;

	if (worker->words[ROOTS + at])
		return;
	if (gcheap_arena_new(worker->thread, &arena)) {
		is_wrong(worker, "an arena could not be had");
		return;
	}
	worker->words[ROOTS + at] = arena;
	worker->lives[at] = ++worker->life;
}

/* Nobody forgets that an arena is freed: nothing leads there any more, nor from there. */
static void step_free(struct worker *worker)
{
	uint32_t at = pick(worker, ARENAS);
	uint32_t life = worker->lives[at];
	uint32_t i, e;

	if (!worker->words[ROOTS + at])
		return;
	/* Of what is dead a cycle may have taken the memory. */
	model_mark(worker);
	for (i = 0; i < worker->count; i++) {
		if (worker->all[i].mark != worker->mark)
			worker->all[i].node = NULL;
	}
	for (i = 0; i < ROOTS; i++) {
		if (worker->roots[i] != NONE && worker->all[worker->roots[i]].arena == life)
			root_set(worker, i, NONE);
	}
	for (i = 0; i < worker->count; i++) {
		struct known *object = &worker->all[i];

		for (e = 0; object->node && e < EDGES; e++) {
			if (object->edges[e] != NONE &&
			    (object->arena == life || worker->all[object->edges[e]].arena == life))
				edge_set(worker, i, e, NONE);
		}
	}
	for (i = 0; i < worker->count; i++) {
		if (worker->all[i].arena == life)
			worker->all[i].node = NULL;
	}
	if (gcheap_arena_free(worker->words[ROOTS + at]))
		is_wrong(worker, gcheap_error());
	worker->words[ROOTS + at] = NULL;
	worker->lives[at] = 0;
}

static void step_forget(struct worker *worker)
{
	uint32_t at = pick(worker, ARENAS);

	worker->words[ROOTS + at] = NULL;
	worker->lives[at] = 0;
}

static void step(struct worker *worker)
{
	uint32_t what = pick(worker, 100), from;

	if (what < 40) {
		step_new(worker);
	} else if (what < 80) {
		from = some_object(worker);
		if (from != NONE)
			edge_set(worker, from, pick(worker, EDGES), some_object(worker));
	} else if (what < 86) {
		root_set(worker, pick(worker, ROOTS), NONE);
	} else if (what < 92) {
		step_arena(worker);
	} else if (what < 93) {
		step_leaf(worker);
	} else if (what < 95) {
		step_free(worker);
	} else if (what < 96) {
		step_forget(worker);
	} else {
		gcheap_safepoint(worker->thread);
	}
}

/* Cycles in between free what the model has not found dead yet: nothing leads there. */
static void *work(void *arg)
{
	struct worker *worker = arg;
	uint32_t i;

	for (i = 0; i < STEPS && worker->count < OBJECTS - 1; i++) {
		step(worker);
		if (!pick(worker, 300) && gcheap_collect(worker->thread))
			is_wrong(worker, gcheap_error());
	}
	return NULL;
}

/* ---- rounds ------------------------------------------------------------------------- */

static struct worker *workers[WORKERS_MAX];

static void worker_begin(struct worker *worker, struct gcheap *heap, gcheap_type type,
			 uint64_t seed)
{
	uint32_t i;

	memset(worker, 0, sizeof(*worker));
	worker->heap = heap;
	worker->type = type;
	worker->random = seed;
	for (i = 0; i < ROOTS; i++)
		worker->roots[i] = NONE;
	assert_int_equal(gcheap_root_add(heap, worker->words, ROOTS + ARENAS), 0);
}

/* A round's thread: its arenas are handed to it, and left to the next one. */
static void *round_main(void *arg)
{
	struct worker *worker = arg;
	uint32_t i;

	if (gcheap_thread_attach(worker->heap, &worker->thread)) {
		is_wrong(worker, gcheap_error());
		return NULL;
	}
	for (i = 0; i < ARENAS; i++) {
		if (worker->words[ROOTS + i] &&
		    gcheap_arena_hand_over(worker->words[ROOTS + i], worker->thread))
			is_wrong(worker, gcheap_error());
	}
	work(worker);
	gcheap_thread_detach(worker->thread);
	return NULL;
}

/* Dead objects' places are used again. */
static void worker_compact(struct worker *worker)
{
	uint32_t i;

	if (worker->count < OBJECTS / 2)
		return;
	/* All that lives is dropped, but for the arenas, and what is in them goes with these. */
	for (i = 0; i < ROOTS; i++)
		root_set(worker, i, NONE);
	for (i = 0; i < ARENAS; i++) {
		worker->words[ROOTS + i] = NULL;
		worker->lives[i] = 0;
	}
	worker->count = 0;
}

static uint64_t handles_of(struct worker *worker)
{
	uint64_t objects = 0;
	uint32_t i;

	for (i = 0; i < ARENAS; i++) {
		const struct gcheap_arena *arena = worker->words[ROOTS + i];

		objects += arena ? 1 + !!arena->references : 0;
	}
	return objects;
}

static void rounds(uint32_t count, uint32_t flags, uint64_t rounds_by_default)
{
	uint64_t seed = environment_number("GCHEAP_SEED", 1);
	uint64_t most = environment_number("GCHEAP_ROUNDS", rounds_by_default);
	struct gcheap_config config = fixture_config();
	struct fixture f;
	gcheap_type type;
	uint64_t round;
	uint32_t i;

	config.flags |= flags;
	fixture_open_with(&f, &config);
	type = type_with_mask(f.heap, sizeof(struct node), 8, 7);
	for (i = 0; i < count; i++) {
		workers[i] = malloc(sizeof(*workers[i]));
		assert_non_null(workers[i]);
		worker_begin(workers[i], f.heap, type, seed * 1000 + i);
	}
	for (round = 0; round < most; round++) {
		uint64_t expected = 0, found;
		pthread_t threads[WORKERS_MAX];

		gcheap_park(f.thread);
		for (i = 0; i < count; i++)
			assert_int_equal(pthread_create(&threads[i], NULL, round_main, workers[i]),
					 0);
		for (i = 0; i < count; i++)
			assert_int_equal(pthread_join(threads[i], NULL), 0);
		gcheap_unpark(f.thread);
		stack_wipe();
		found = live_after_collect(&f);
		for (i = 0; i < count; i++) {
			model_mark(workers[i]);
			model_compare(workers[i]);
			expected += workers[i]->live_nodes + handles_of(workers[i]);
			if (workers[i]->wrong)
				fail_msg("round %lu, thread %u: %s", round, i, workers[i]->wrong);
		}
		if (found != expected)
			fail_msg("round %lu: %lu objects are alive, and %lu should be", round,
				 found, expected);
		assert_int_equal(gcheap_verify(f.heap), 0);
		for (i = 0; i < count; i++)
			worker_compact(workers[i]);
	}
	for (i = 0; i < count; i++) {
		assert_int_equal(gcheap_root_remove(f.heap, workers[i]->words), 0);
		free(workers[i]);
	}
	fixture_close(&f);
}

static void one_thread(void **state)
{
	(void)state;
	rounds(1, 0, 6);
}

static void four_threads(void **state)
{
	(void)state;
	rounds(4, 0, 3);
}

static void four_threads_with_types(void **state)
{
	(void)state;
	rounds(4, GCHEAP_RECORD_TYPES, 2);
}

static void three_threads_strict(void **state)
{
	(void)state;
	rounds(3, GCHEAP_ARENA_STRICT, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_thread),
		cmocka_unit_test(four_threads),
		cmocka_unit_test(four_threads_with_types),
		cmocka_unit_test(three_threads_strict),
	};

	return run_in_all_layouts("user arenas at random", tests);
}
