// SPDX-License-Identifier: MIT
/*
 * Functions that are to run when objects have died, in a heap and in its shadow (specials_model.h):
 * finalizers and cleanups are set, taken back, and what runs is what has to.
 */
#include "specials_steps.h"

static __thread struct shadow_worker *current;

void shadow_worker_begin(struct shadow_worker *worker)
{
	current = worker;
}

/* ---- actions ------------------------------------------------------------------------ */

void shadow_actions_lock(struct shadow *shadow)
{
	pthread_mutex_lock(&shadow->actions_lock);
}

void shadow_actions_unlock(struct shadow *shadow)
{
	pthread_mutex_unlock(&shadow->actions_lock);
}

/* SHADOW_NONE: all are in use. */
static uint32_t action_take(struct shadow *shadow, uint32_t node, struct shadow_edge argument)
{
	uint32_t index;

	shadow_actions_lock(shadow);
	index = shadow->actions_free;
	if (index != SHADOW_NONE)
		shadow->actions_free = shadow->actions[index].next;
	else if (shadow->actions_end < SHADOW_ACTIONS)
		index = shadow->actions_end++;
	shadow_actions_unlock(shadow);
	if (index != SHADOW_NONE)
		shadow->actions[index] = (struct shadow_action) {
			.state = SHADOW_SET,
			.node = node,
			.argument = argument,
			.next = SHADOW_NONE,
		};
	return index;
}

void shadow_action_give(struct shadow *shadow, uint32_t index)
{
	if (index == SHADOW_NONE)
		return;
	shadow_actions_lock(shadow);
	shadow->actions[index].state = SHADOW_FREE;
	shadow->actions[index].next = shadow->actions_free;
	shadow->actions_free = index;
	shadow_actions_unlock(shadow);
}

static void *action_argument(const struct shadow *shadow, uint32_t index)
{
	struct shadow_action *action = &shadow->actions[index];

	return action->argument.node == SHADOW_NONE ? action :
	       shadow_address(shadow, action->argument);
}

/* In a hook, or with the lock of the actions. */
void shadow_enqueue(struct shadow *shadow, uint32_t index)
{
	struct shadow_action *action = &shadow->actions[index];

	action->state = SHADOW_QUEUED;
	action->cycle = shadow->cycle;
	shadow->queued++;
	if (action->is_cleanup && action->argument.node != SHADOW_NONE) {
		struct shadow_node *node = &shadow->nodes[action->argument.node];

		action->next = node->arguments;
		node->arguments = index;
	}
}

/* It runs: was it queued? */
static bool action_begin(struct shadow *shadow, uint32_t index, const void *argument)
{
	struct shadow_action *action;
	bool is_queued;

	if (index == SHADOW_NONE)
		return false;
	action = &shadow->actions[index];
	shadow_actions_lock(shadow);
	is_queued = action->state == SHADOW_QUEUED && action_argument(shadow, index) == argument;
	if (is_queued) {
		action->state = SHADOW_RUNNING;
		shadow->queued--;
	}
	shadow_actions_unlock(shadow);
	return is_queued;
}

/* ---- finalizers --------------------------------------------------------------------- */

static void finalize(void *obj, void *arg);

/* A leaf of the heap, or the action itself. */
static struct shadow_edge any_argument(struct shadow_worker *worker, uint32_t number, bool or_weak)
{
	uint32_t leaf = shadow_random(worker, 4) ? SHADOW_NONE : shadow_leaf(worker, or_weak);

	return (struct shadow_edge) { leaf == number ? SHADOW_NONE : leaf, 0 };
}

void shadow_finalizer_set(struct shadow_worker *worker, uint32_t number)
{
	struct shadow *shadow = worker->shadow;
	struct shadow_node *node = &shadow->nodes[number];
	struct shadow_edge argument = any_argument(worker, number, true);
	uint32_t index = action_take(shadow, number, shadow_edge_to(worker, argument.node));
	uint32_t old;

	if (index == SHADOW_NONE)
		return;
	shadow_guard_take(worker, number / SHADOW_NODES);
	shadow_expect(worker, gcheap_finalizer_set(heap_of(worker), node->object, finalize,
						   action_argument(shadow, index)));
	old = node->finalizer;
	node->finalizer = index;
	shadow_guard_give(worker, number / SHADOW_NODES);
	shadow_action_give(shadow, old);
}

void shadow_finalizer_clear(struct shadow_worker *worker, uint32_t number)
{
	struct shadow *shadow = worker->shadow;
	struct shadow_node *node = &shadow->nodes[number];
	uint32_t old;

	shadow_guard_take(worker, number / SHADOW_NODES);
	shadow_expect(worker, gcheap_finalizer_set(heap_of(worker), node->object, NULL, NULL));
	old = node->finalizer;
	node->finalizer = SHADOW_NONE;
	shadow_guard_give(worker, number / SHADOW_NODES);
	shadow_action_give(shadow, old);
}

/* Of those that one cycle has queued the lowest address runs first. */
static void order_check(struct shadow_worker *worker, uint32_t index, const char *object)
{
	uint64_t cycle = worker->shadow->actions[index].cycle;

	if (!worker->is_draining)
		return;
	if (cycle < worker->last_cycle ||
	    (cycle == worker->last_cycle && object <= worker->last_object))
		shadow_failed(worker->shadow, "finalizers run in the wrong order");
	worker->last_cycle = cycle;
	worker->last_object = object;
}

/* What a program might do there: anything. */
static void live_on(struct shadow_worker *worker, uint32_t number)
{
	struct shadow *shadow = worker->shadow;

	if (!shadow_random(worker, 3)) {
		__atomic_fetch_add(&shadow->counts.resurrected, 1, __ATOMIC_RELAXED);
		shadow_keep(worker, number);
	}
	if (!shadow_random(worker, 6))
		shadow_finalizer_set(worker, number);
	if (!shadow_random(worker, 8))
		shadow_weak_new(worker, number);
	if (!shadow_random(worker, 8))
		shadow_cleanup_add(worker, number);
	if (!shadow_random(worker, 8))
		shadow_ephemeron_any(worker, number);
	if (!shadow_random(worker, 8))
		shadow_map_any(worker, number);
}

static void do_something(struct shadow_worker *worker)
{
	uint32_t made;

	if (!shadow_random(worker, 8)) {
		made = shadow_make(worker);
		if (made != SHADOW_NONE)
			shadow_keep(worker, made);
	}
	if (!shadow_random(worker, 32))
		shadow_run(worker);
	if (!shadow_random(worker, 128))
		shadow_expect(worker, gcheap_collect(worker->thread));
}

static void finalize(void *obj, void *arg)
{
	struct shadow_worker *worker = current;
	struct shadow *shadow = worker->shadow;
	uint32_t number = (uint32_t)(*(uint64_t *)obj >> 32);
	struct shadow_node *node;
	uint32_t index;

	if (number >= SHADOW_OWNERS * SHADOW_NODES || shadow->nodes[number].object != obj) {
		shadow_failed(shadow, "a finalizer has run for what is no object");
		return;
	}
	node = &shadow->nodes[number];
	index = node->queued;
	if (!action_begin(shadow, index, arg)) {
		shadow_failed(shadow, "a finalizer has run that should not");
		return;
	}
	__atomic_fetch_add(&shadow->counts.finalized, 1, __ATOMIC_RELAXED);
	order_check(worker, index, obj);
	worker->depth++;
	live_on(worker, number);
	do_something(worker);
	worker->depth--;
	/* Nobody can stop this thread before the library knows that it has run. */
	node->queued = SHADOW_NONE;
	shadow_action_give(shadow, index);
}

/* ---- cleanups ----------------------------------------------------------------------- */

static void cleanup_runs(struct shadow_worker *worker, uint32_t index, const void *arg)
{
	struct shadow *shadow = worker->shadow;

	if (!action_begin(shadow, index, arg) || !shadow->actions[index].is_cleanup) {
		shadow_failed(shadow, "a cleanup has run that should not");
		return;
	}
	__atomic_fetch_add(&shadow->counts.cleaned, 1, __ATOMIC_RELAXED);
	worker->depth++;
	do_something(worker);
	worker->depth--;
	shadow_action_give(shadow, index);
}

static void cleanup_of_action(void *arg)
{
	cleanup_runs(current, (uint32_t)((struct shadow_action *)arg - current->shadow->actions),
		     arg);
}

/* Those with the same argument are all one. */
static void cleanup_of_leaf(void *arg)
{
	struct shadow *shadow = current->shadow;
	uint32_t number = (uint32_t)(*(uint64_t *)arg >> 32);
	uint32_t index = SHADOW_NONE;

	if (number < SHADOW_OWNERS * SHADOW_NODES && shadow->nodes[number].object == arg) {
		shadow_actions_lock(shadow);
		index = shadow->nodes[number].arguments;
		if (index != SHADOW_NONE)
			shadow->nodes[number].arguments = shadow->actions[index].next;
		shadow_actions_unlock(shadow);
	}
	cleanup_runs(current, index, arg);
}

typedef void (*cleanup_function)(void *arg);

static cleanup_function cleanup_function_of(const struct shadow *shadow, uint32_t index)
{
	return shadow->actions[index].argument.node == SHADOW_NONE ? cleanup_of_action :
	       cleanup_of_leaf;
}

void shadow_cleanup_add(struct shadow_worker *worker, uint32_t number)
{
	struct shadow *shadow = worker->shadow;
	struct shadow_node *node = &shadow->nodes[number];
	uint32_t index = action_take(shadow, number, any_argument(worker, number, false));
	uint32_t i;

	if (index == SHADOW_NONE)
		return;
	shadow->actions[index].is_cleanup = true;
	shadow_guard_take(worker, number / SHADOW_NODES);
	for (i = 0; i < SHADOW_CLEANUPS && node->cleanups[i] != SHADOW_NONE; i++)
		;
	if (i < SHADOW_CLEANUPS) {
		shadow_expect(worker, gcheap_cleanup_add(heap_of(worker), node->object,
							 cleanup_function_of(shadow, index),
							 action_argument(shadow, index)));
		node->cleanups[i] = index;
	}
	shadow_guard_give(worker, number / SHADOW_NODES);
	if (i == SHADOW_CLEANUPS)
		shadow_action_give(shadow, index);
}

void shadow_cleanup_remove(struct shadow_worker *worker, uint32_t number)
{
	struct shadow *shadow = worker->shadow;
	struct shadow_node *node = &shadow->nodes[number];
	uint32_t at = shadow_random(worker, SHADOW_CLEANUPS);
	uint32_t index;

	shadow_guard_take(worker, number / SHADOW_NODES);
	index = node->cleanups[at];
	if (index != SHADOW_NONE) {
		shadow_expect(worker, gcheap_cleanup_remove(heap_of(worker), node->object,
							    cleanup_function_of(shadow, index),
							    action_argument(shadow, index)));
		node->cleanups[at] = SHADOW_NONE;
		__atomic_fetch_add(&shadow->counts.removed, 1, __ATOMIC_RELAXED);
	}
	shadow_guard_give(worker, number / SHADOW_NODES);
	shadow_action_give(shadow, index);
}

/* ---- running ------------------------------------------------------------------------ */

/* One that runs others runs them alone, so that those that drain count theirs. */
void shadow_run(struct shadow_worker *worker)
{
	if (worker->depth < 2 && !worker->is_draining &&
	    gcheap_run_finalizers(worker->thread) < 0)
		shadow_expect(worker, -1);
}

void shadow_drain(struct shadow_worker *worker)
{
	struct shadow *shadow = worker->shadow;
	int queued = (int)shadow->queued;
	int ran;

	worker->is_draining = true;
	worker->last_cycle = 0;
	ran = gcheap_run_finalizers(worker->thread);
	worker->is_draining = false;
	if (ran != queued) {
		print_message("# %d have run, and %d should have\n", ran, queued);
		shadow_failed(shadow, "more or fewer functions have run than were queued");
	}
}

void shadow_unstick(struct shadow_worker *worker)
{
	struct shadow *shadow = worker->shadow;
	uint32_t owner, number;

	shadow_each(shadow, owner, number) {
		const struct shadow_node *node = &shadow->nodes[number];

		if (node->waited < 4 || node->finalizer == SHADOW_NONE || shadow_random(worker, 3))
			continue;
		shadow->counts.unstuck++;
		if (shadow_random(worker, 4))
			shadow_finalizer_clear(worker, number);
		else
			shadow_root_set(worker, 1 + shadow_random(worker, SHADOW_ROOTS - 1),
					(struct shadow_edge) { number, 0 });
	}
}
