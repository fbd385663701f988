// SPDX-License-Identifier: MIT
/*
 * What is special about objects, in a heap and in its shadow (specials_model.h): it is said, taken
 * back, and what runs is what has to.
 */
#include "specials_steps.h"

static __thread struct shadow_worker *current;

void shadow_worker_begin(struct shadow_worker *worker)
{
	current = worker;
}

static struct gcheap *heap_of(const struct shadow_worker *worker)
{
	return worker->shadow->heap;
}

static struct shadow_owner *owner_of(const struct shadow_worker *worker)
{
	return &worker->shadow->owners[worker->owner];
}

static void expect(struct shadow_worker *worker, int error)
{
	if (error) {
		print_message("# %s\n", gcheap_error());
		shadow_failed(worker->shadow, "a call has failed that should not");
	}
}

/* A cycle may run before it returns. */
static void guard_take(struct shadow_worker *worker, uint32_t owner)
{
	pthread_mutex_t *guard = &worker->shadow->owners[owner].guard;

	if (!pthread_mutex_trylock(guard))
		return;
	gcheap_park(worker->thread);
	pthread_mutex_lock(guard);
	gcheap_unpark(worker->thread);
}

static void guard_give(struct shadow_worker *worker, uint32_t owner)
{
	pthread_mutex_unlock(&worker->shadow->owners[owner].guard);
}

/* ---- actions ------------------------------------------------------------------------ */

/* The lock is held for a moment, and by nobody whom a cycle may stop meanwhile. */
static void actions_lock(struct shadow *shadow)
{
	pthread_mutex_lock(&shadow->actions_lock);
}

static void actions_unlock(struct shadow *shadow)
{
	pthread_mutex_unlock(&shadow->actions_lock);
}

/* SHADOW_NONE: all are in use. */
static uint32_t action_take(struct shadow *shadow, uint32_t node, struct shadow_edge argument)
{
	uint32_t index;

	actions_lock(shadow);
	index = shadow->actions_free;
	if (index != SHADOW_NONE)
		shadow->actions_free = shadow->actions[index].next;
	else if (shadow->actions_end < SHADOW_ACTIONS)
		index = shadow->actions_end++;
	actions_unlock(shadow);
	if (index != SHADOW_NONE)
		shadow->actions[index] = (struct shadow_action) {
			.state = SHADOW_SET,
			.node = node,
			.argument = argument,
			.next = SHADOW_NONE,
		};
	return index;
}

static void action_give(struct shadow *shadow, uint32_t index)
{
	if (index == SHADOW_NONE)
		return;
	actions_lock(shadow);
	shadow->actions[index].state = SHADOW_FREE;
	shadow->actions[index].next = shadow->actions_free;
	shadow->actions_free = index;
	actions_unlock(shadow);
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
	actions_lock(shadow);
	is_queued = action->state == SHADOW_QUEUED && action_argument(shadow, index) == argument;
	if (is_queued) {
		action->state = SHADOW_RUNNING;
		shadow->queued--;
	}
	actions_unlock(shadow);
	return is_queued;
}

/* ---- finalizers --------------------------------------------------------------------- */

static void finalize(void *obj, void *arg);
static void cleanup_add(struct shadow_worker *worker, uint32_t number);
static void weak_new(struct shadow_worker *worker, uint32_t number);
static void ephemeron_any(struct shadow_worker *worker, uint32_t key);
static void run(struct shadow_worker *worker);

/* A leaf of the heap, or the action itself. */
static struct shadow_edge any_argument(struct shadow_worker *worker, uint32_t number, bool or_weak)
{
	uint32_t leaf = shadow_random(worker, 4) ? SHADOW_NONE : shadow_leaf(worker, or_weak);

	return (struct shadow_edge) { leaf == number ? SHADOW_NONE : leaf, 0 };
}

static void finalizer_set(struct shadow_worker *worker, uint32_t number)
{
	struct shadow *shadow = worker->shadow;
	struct shadow_node *node = &shadow->nodes[number];
	struct shadow_edge argument = any_argument(worker, number, true);
	uint32_t index = action_take(shadow, number, shadow_edge_to(worker, argument.node));
	uint32_t old;

	if (index == SHADOW_NONE)
		return;
	guard_take(worker, number / SHADOW_NODES);
	expect(worker, gcheap_finalizer_set(heap_of(worker), node->object, finalize,
					    action_argument(shadow, index)));
	old = node->finalizer;
	node->finalizer = index;
	guard_give(worker, number / SHADOW_NODES);
	action_give(shadow, old);
}

static void finalizer_clear(struct shadow_worker *worker, uint32_t number)
{
	struct shadow *shadow = worker->shadow;
	struct shadow_node *node = &shadow->nodes[number];
	uint32_t old;

	guard_take(worker, number / SHADOW_NODES);
	expect(worker, gcheap_finalizer_set(heap_of(worker), node->object, NULL, NULL));
	old = node->finalizer;
	node->finalizer = SHADOW_NONE;
	guard_give(worker, number / SHADOW_NODES);
	action_give(shadow, old);
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
		finalizer_set(worker, number);
	if (!shadow_random(worker, 8))
		weak_new(worker, number);
	if (!shadow_random(worker, 8))
		cleanup_add(worker, number);
	if (!shadow_random(worker, 8))
		ephemeron_any(worker, number);
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
		run(worker);
	if (!shadow_random(worker, 128))
		expect(worker, gcheap_collect(worker->thread));
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
	action_give(shadow, index);
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
	action_give(shadow, index);
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
		actions_lock(shadow);
		index = shadow->nodes[number].arguments;
		if (index != SHADOW_NONE)
			shadow->nodes[number].arguments = shadow->actions[index].next;
		actions_unlock(shadow);
	}
	cleanup_runs(current, index, arg);
}

typedef void (*cleanup_function)(void *arg);

static cleanup_function cleanup_function_of(const struct shadow *shadow, uint32_t index)
{
	return shadow->actions[index].argument.node == SHADOW_NONE ? cleanup_of_action :
	       cleanup_of_leaf;
}

static void cleanup_add(struct shadow_worker *worker, uint32_t number)
{
	struct shadow *shadow = worker->shadow;
	struct shadow_node *node = &shadow->nodes[number];
	uint32_t index = action_take(shadow, number, any_argument(worker, number, false));
	uint32_t i;

	if (index == SHADOW_NONE)
		return;
	shadow->actions[index].is_cleanup = true;
	guard_take(worker, number / SHADOW_NODES);
	for (i = 0; i < SHADOW_CLEANUPS && node->cleanups[i] != SHADOW_NONE; i++)
		;
	if (i < SHADOW_CLEANUPS) {
		expect(worker, gcheap_cleanup_add(heap_of(worker), node->object,
						  cleanup_function_of(shadow, index),
						  action_argument(shadow, index)));
		node->cleanups[i] = index;
	}
	guard_give(worker, number / SHADOW_NODES);
	if (i == SHADOW_CLEANUPS)
		action_give(shadow, index);
}

static void cleanup_remove(struct shadow_worker *worker, uint32_t number)
{
	struct shadow *shadow = worker->shadow;
	struct shadow_node *node = &shadow->nodes[number];
	uint32_t at = shadow_random(worker, SHADOW_CLEANUPS);
	uint32_t index;

	guard_take(worker, number / SHADOW_NODES);
	index = node->cleanups[at];
	if (index != SHADOW_NONE) {
		expect(worker, gcheap_cleanup_remove(heap_of(worker), node->object,
						     cleanup_function_of(shadow, index),
						     action_argument(shadow, index)));
		node->cleanups[at] = SHADOW_NONE;
		__atomic_fetch_add(&shadow->counts.removed, 1, __ATOMIC_RELAXED);
	}
	guard_give(worker, number / SHADOW_NODES);
	action_give(shadow, index);
}

/* ---- weak references ---------------------------------------------------------------- */

/* The one that there is, or a new one; with the guard of what it leads to. SHADOW_NONE: failed. */
static uint32_t weak_take(struct shadow_worker *worker, uint32_t number, bool is_long)
{
	struct shadow *shadow = worker->shadow;
	struct shadow_node *node = &shadow->nodes[number];
	struct gcheap_weak *made = NULL;
	uint32_t weak;
	int error;

	/* A cycle may run where there is none, and leaves it so. */
	error = is_long ? gcheap_weak_new_long(heap_of(worker), node->object, &made) :
		gcheap_weak_new(heap_of(worker), node->object, &made);
	expect(worker, error);
	if (error)
		return SHADOW_NONE;
	weak = node->weak[is_long];
	if (weak == SHADOW_NONE) {
		weak = shadow_take_number(worker);
		shadow->nodes[weak].object = (char *)made;
		shadow->nodes[weak].kind = SHADOW_WEAK;
		shadow->nodes[weak].bytes = 16;
		shadow->nodes[weak].target = number;
		shadow->nodes[weak].guard = number / SHADOW_NODES;
		shadow->nodes[weak].is_long = is_long;
		node->weak[is_long] = weak;
	} else if (shadow->nodes[weak].object != (char *)made) {
		shadow_failed(shadow, "of an object with a weak reference there is another one");
	}
	shadow->nodes[weak].holders++;
	return weak;
}

static void weak_give(struct shadow_worker *worker, uint32_t weak)
{
	struct shadow_node *node = &worker->shadow->nodes[weak];

	guard_take(worker, node->guard);
	gcheap_weak_free(heap_of(worker), (struct gcheap_weak *)(void *)node->object);
	node->holders--;
	guard_give(worker, node->guard);
}

static void weak_new(struct shadow_worker *worker, uint32_t number)
{
	struct shadow_owner *owner = owner_of(worker);
	bool is_long = shadow_random(worker, 2);
	uint32_t weak;

	if (!owner->free_count)
		return;
	guard_take(worker, number / SHADOW_NODES);
	weak = weak_take(worker, number, is_long);
	guard_give(worker, number / SHADOW_NODES);
	if (weak == SHADOW_NONE)
		return;
	if (shadow_random(worker, 2))
		shadow_keep(worker, weak);
	if (owner->held_count < SHADOW_HELD)
		owner->held[owner->held_count++] = weak;
	else
		weak_give(worker, weak);
}

static void weak_free(struct shadow_worker *worker)
{
	struct shadow_owner *owner = owner_of(worker);
	uint32_t at, weak;

	if (!owner->held_count)
		return;
	at = shadow_random(worker, owner->held_count);
	weak = owner->held[at];
	owner->held[at] = owner->held[--owner->held_count];
	weak_give(worker, weak);
}

static void weak_get(struct shadow_worker *worker)
{
	struct shadow *shadow = worker->shadow;
	struct shadow_owner *owner = owner_of(worker);
	uint32_t weak = owner->held_count && shadow_random(worker, 2) ?
			owner->held[shadow_random(worker, owner->held_count)] :
			shadow_own_node(worker);
	const void *found;
	uint32_t target;

	if (weak == SHADOW_NONE || shadow->nodes[weak].kind != SHADOW_WEAK)
		return;
	found = gcheap_weak_get(worker->thread,
				(struct gcheap_weak *)(void *)shadow->nodes[weak].object);
	target = shadow->nodes[weak].target;
	if (found != shadow_address(shadow, (struct shadow_edge) { target, 0 })) {
		shadow_failed(shadow, found ? "a weak reference leads where it should not" :
			      "a weak reference was cleared that should not");
		return;
	}
	if (found && !shadow_random(worker, 4)) {
		__atomic_fetch_add(&shadow->counts.weak_got, 1, __ATOMIC_RELAXED);
		shadow_keep(worker, target);
	}
}

/* ---- ephemerons --------------------------------------------------------------------- */

static bool ephemeron_add(struct shadow_worker *worker, uint32_t key, struct shadow_edge value)
{
	struct shadow *shadow = worker->shadow;
	struct shadow_node *node = &shadow->nodes[key];
	uint32_t i;

	guard_take(worker, key / SHADOW_NODES);
	for (i = 0; i < SHADOW_EPHEMERONS && node->ephemerons[i].node != SHADOW_NONE; i++)
		;
	if (i < SHADOW_EPHEMERONS) {
		expect(worker, gcheap_ephemeron_add(heap_of(worker), node->object,
						    shadow_address(shadow, value)));
		node->ephemerons[i] = value;
	}
	guard_give(worker, key / SHADOW_NODES);
	return i < SHADOW_EPHEMERONS;
}

static void ephemeron_remove(struct shadow_worker *worker, uint32_t key)
{
	struct shadow *shadow = worker->shadow;
	struct shadow_node *node = &shadow->nodes[key];
	struct shadow_edge *value = &node->ephemerons[shadow_random(worker, SHADOW_EPHEMERONS)];

	guard_take(worker, key / SHADOW_NODES);
	if (value->node != SHADOW_NONE) {
		expect(worker, gcheap_ephemeron_remove(heap_of(worker), node->object,
						       shadow_address(shadow, *value)));
		value->node = SHADOW_NONE;
	}
	guard_give(worker, key / SHADOW_NODES);
}

/* A chain of objects, each of which is kept by the one before alone. */
static void ephemeron_chain(struct shadow_worker *worker, uint32_t key)
{
	uint32_t length = 1 + shadow_random(worker, 10);

	while (length-- && worker->shadow->nodes[key].kind == SHADOW_STRUCTS) {
		uint32_t made = shadow_make(worker);

		if (made == SHADOW_NONE ||
		    !ephemeron_add(worker, key, shadow_edge_to(worker, made)))
			return;
		if (!shadow_random(worker, 4))
			finalizer_set(worker, made);
		key = made;
	}
}

/* Leaves may be arguments, and lead to no more than other leaves. */
static void ephemeron_any(struct shadow_worker *worker, uint32_t key)
{
	bool is_leaf = worker->shadow->nodes[key].kind == SHADOW_LEAF;
	uint32_t value = is_leaf ? shadow_leaf(worker, true) :
			 shadow_random(worker, 2) ? shadow_own_node(worker) :
			 shadow_any_root(worker);

	if (value != SHADOW_NONE && shadow_random(worker, 4))
		ephemeron_add(worker, key, shadow_edge_to(worker, value));
	else
		ephemeron_chain(worker, key);
}

/* ---- pins, giving back -------------------------------------------------------------- */

static void pin(struct shadow_worker *worker, uint32_t number)
{
	struct shadow_owner *owner = owner_of(worker);
	struct shadow_node *node = &worker->shadow->nodes[number];

	if (owner->pinned_count == SHADOW_PINS)
		return;
	guard_take(worker, number / SHADOW_NODES);
	expect(worker, gcheap_pin(heap_of(worker), node->object));
	node->pins++;
	guard_give(worker, number / SHADOW_NODES);
	owner->pinned[owner->pinned_count++] = number;
}

static void unpin(struct shadow_worker *worker)
{
	struct shadow_owner *owner = owner_of(worker);
	struct shadow_node *node;
	uint32_t at, number;

	if (!owner->pinned_count)
		return;
	at = shadow_random(worker, owner->pinned_count);
	number = owner->pinned[at];
	node = &worker->shadow->nodes[number];
	owner->pinned[at] = owner->pinned[--owner->pinned_count];
	guard_take(worker, number / SHADOW_NODES);
	expect(worker, gcheap_unpin(heap_of(worker), node->object));
	node->pins--;
	guard_give(worker, number / SHADOW_NODES);
}

/* An object that nothing leads to but weak references is given back. */
static void give_back(struct shadow_worker *worker)
{
	struct shadow *shadow = worker->shadow;
	uint32_t number = shadow_make(worker);
	struct shadow_node *node;
	uint32_t i, finalizer;

	if (number == SHADOW_NONE)
		return;
	node = &shadow->nodes[number];
	if (shadow_random(worker, 2))
		finalizer_set(worker, number);
	for (i = shadow_random(worker, SHADOW_CLEANUPS + 1); i; i--)
		cleanup_add(worker, number);
	for (i = shadow_random(worker, 3); i; i--)
		weak_new(worker, number);
	if (shadow_random(worker, 2))
		ephemeron_add(worker, number, shadow_edge_to(worker, number));
	guard_take(worker, worker->owner);
	shadow_root_set(worker, 0, (struct shadow_edge) { SHADOW_NONE, 0 });
	/* Others may run its cleanups as soon as it is gone, and wait here. */
	actions_lock(shadow);
	errno = 0;
	gcheap_free(worker->thread, node->object);
	expect(worker, errno);
	for (i = 0; i < 2; i++) {
		if (node->weak[i] != SHADOW_NONE)
			shadow->nodes[node->weak[i]].target = SHADOW_NONE;
	}
	finalizer = node->finalizer;
	shadow_bury(shadow, number);
	shadow->counts.freed++;
	actions_unlock(shadow);
	guard_give(worker, worker->owner);
	action_give(shadow, finalizer);
}

/* ---- steps -------------------------------------------------------------------------- */

/* One that runs others runs them alone, so that those that drain count theirs. */
static void run(struct shadow_worker *worker)
{
	if (worker->depth < 2 && !worker->is_draining &&
	    gcheap_run_finalizers(worker->thread) < 0)
		expect(worker, -1);
}

void shadow_unpin_all(struct shadow_worker *worker)
{
	while (worker->shadow->owners[worker->owner].pinned_count)
		unpin(worker);
}

void shadow_special_step(struct shadow_worker *worker)
{
	uint32_t number = shadow_target(worker);
	uint32_t what = shadow_random(worker, 46);

	if (what < 6)
		return weak_get(worker);
	if (what < 10)
		return weak_free(worker);
	if (what < 11)
		return unpin(worker);
	if (what < 12)
		return shadow_random(worker, 8) ? (void)0 : run(worker);
	if (what < 14)
		return give_back(worker);
	if (number == SHADOW_NONE)
		return;
	if (what < 22)
		return finalizer_set(worker, number);
	if (what < 23)
		return finalizer_clear(worker, number);
	if (what < 27)
		return cleanup_add(worker, number);
	if (what < 29)
		return cleanup_remove(worker, number);
	if (what < 39)
		return weak_new(worker, number);
	if (what < 44)
		return ephemeron_any(worker, number);
	if (what < 45)
		return ephemeron_remove(worker, number);
	pin(worker, number);
}

/* ---- while nobody else works -------------------------------------------------------- */

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
			finalizer_clear(worker, number);
		else
			shadow_root_set(worker, 1 + shadow_random(worker, SHADOW_ROOTS - 1),
					(struct shadow_edge) { number, 0 });
	}
}
