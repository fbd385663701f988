// SPDX-License-Identifier: MIT
/*
 * What is special about objects, in a heap and in its shadow (specials_model.h): it is said, and
 * taken back. specials_functions.c has finalizers and cleanups, specials_weak_maps.c weak maps.
 */
#include "specials_steps.h"

void shadow_expect(struct shadow_worker *worker, int error)
{
	if (error) {
		print_message("# %s\n", gcheap_error());
		shadow_failed(worker->shadow, "a call has failed that should not");
	}
}

void shadow_guard_take(struct shadow_worker *worker, uint32_t owner)
{
	pthread_mutex_t *guard = &worker->shadow->owners[owner].guard;

	if (!pthread_mutex_trylock(guard))
		return;
	gcheap_park(worker->thread);
	pthread_mutex_lock(guard);
	gcheap_unpark(worker->thread);
}

void shadow_guard_give(struct shadow_worker *worker, uint32_t owner)
{
	pthread_mutex_unlock(&worker->shadow->owners[owner].guard);
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
	shadow_expect(worker, error);
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

	shadow_guard_take(worker, node->guard);
	gcheap_weak_free(heap_of(worker), (struct gcheap_weak *)(void *)node->object);
	node->holders--;
	shadow_guard_give(worker, node->guard);
}

void shadow_weak_new(struct shadow_worker *worker, uint32_t number)
{
	struct shadow_owner *owner = owner_of(worker);
	bool is_long = shadow_random(worker, 2);
	uint32_t weak;

	if (!owner->free_count)
		return;
	shadow_guard_take(worker, number / SHADOW_NODES);
	weak = weak_take(worker, number, is_long);
	shadow_guard_give(worker, number / SHADOW_NODES);
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

	shadow_guard_take(worker, key / SHADOW_NODES);
	for (i = 0; i < SHADOW_EPHEMERONS && node->ephemerons[i].node != SHADOW_NONE; i++)
		;
	if (i < SHADOW_EPHEMERONS) {
		shadow_expect(worker, gcheap_ephemeron_add(heap_of(worker), node->object,
							   shadow_address(shadow, value)));
		node->ephemerons[i] = value;
	}
	shadow_guard_give(worker, key / SHADOW_NODES);
	return i < SHADOW_EPHEMERONS;
}

static void ephemeron_remove(struct shadow_worker *worker, uint32_t key)
{
	struct shadow *shadow = worker->shadow;
	struct shadow_node *node = &shadow->nodes[key];
	struct shadow_edge *value = &node->ephemerons[shadow_random(worker, SHADOW_EPHEMERONS)];

	shadow_guard_take(worker, key / SHADOW_NODES);
	if (value->node != SHADOW_NONE) {
		shadow_expect(worker, gcheap_ephemeron_remove(heap_of(worker), node->object,
							      shadow_address(shadow, *value)));
		value->node = SHADOW_NONE;
	}
	shadow_guard_give(worker, key / SHADOW_NODES);
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
			shadow_finalizer_set(worker, made);
		key = made;
	}
}

/* Leaves may be arguments, and lead to no more than other leaves. */
void shadow_ephemeron_any(struct shadow_worker *worker, uint32_t key)
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
	shadow_guard_take(worker, number / SHADOW_NODES);
	shadow_expect(worker, gcheap_pin(heap_of(worker), node->object));
	node->pins++;
	shadow_guard_give(worker, number / SHADOW_NODES);
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
	shadow_guard_take(worker, number / SHADOW_NODES);
	shadow_expect(worker, gcheap_unpin(heap_of(worker), node->object));
	node->pins--;
	shadow_guard_give(worker, number / SHADOW_NODES);
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
		shadow_finalizer_set(worker, number);
	for (i = shadow_random(worker, SHADOW_CLEANUPS + 1); i; i--)
		shadow_cleanup_add(worker, number);
	for (i = shadow_random(worker, 3); i; i--)
		shadow_weak_new(worker, number);
	if (shadow_random(worker, 2))
		ephemeron_add(worker, number, shadow_edge_to(worker, number));
	shadow_guard_take(worker, worker->owner);
	shadow_maps_lock(shadow, worker->owner);
	if (shadow_random(worker, 2))
		shadow_maps_fill(worker, number);
	shadow_root_set(worker, 0, (struct shadow_edge) { SHADOW_NONE, 0 });
	/* Others may run its cleanups as soon as it is gone, and wait here. */
	shadow_actions_lock(shadow);
	errno = 0;
	gcheap_free(worker->thread, node->object);
	shadow_expect(worker, errno);
	for (i = 0; i < 2; i++) {
		if (node->weak[i] != SHADOW_NONE)
			shadow->nodes[node->weak[i]].target = SHADOW_NONE;
	}
	finalizer = node->finalizer;
	shadow_maps_forget(worker, number);
	shadow_bury(shadow, number);
	shadow->counts.freed++;
	shadow_actions_unlock(shadow);
	shadow_maps_unlock(shadow, worker->owner);
	shadow_guard_give(worker, worker->owner);
	shadow_action_give(shadow, finalizer);
}

/* ---- steps -------------------------------------------------------------------------- */

void shadow_unpin_all(struct shadow_worker *worker)
{
	while (worker->shadow->owners[worker->owner].pinned_count)
		unpin(worker);
}

void shadow_special_step(struct shadow_worker *worker)
{
	uint32_t number = shadow_target(worker);
	uint32_t what = shadow_random(worker, 54);

	if (what < 6)
		return weak_get(worker);
	if (what < 10)
		return weak_free(worker);
	if (what < 11)
		return unpin(worker);
	if (what < 12)
		return shadow_random(worker, 8) ? (void)0 : shadow_run(worker);
	if (what < 14)
		return give_back(worker);
	if (what > 45)
		return shadow_map_step(worker, number);
	if (number == SHADOW_NONE)
		return;
	if (what < 22)
		return shadow_finalizer_set(worker, number);
	if (what < 23)
		return shadow_finalizer_clear(worker, number);
	if (what < 27)
		return shadow_cleanup_add(worker, number);
	if (what < 29)
		return shadow_cleanup_remove(worker, number);
	if (what < 39)
		return shadow_weak_new(worker, number);
	if (what < 44)
		return shadow_ephemeron_any(worker, number);
	if (what < 45)
		return ephemeron_remove(worker, number);
	pin(worker, number);
}
