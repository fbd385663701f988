// SPDX-License-Identifier: MIT
/*
 * What a cycle does to a heap's shadow (specials_model.h), and the comparison of the two.
 *
 * By the words of Documentation/specials.md, with all threads stopped:
 *
 *	1. What roots lead to is alive. Arguments of functions that are set or queued are roots.
 *	   A key that is alive leads to its ephemerons' values, and to those that it has in weak
 *	   maps which no object owns, or one that is alive, too.
 *	2. References of the short kind to all else are cleared.
 *	3. What dead objects with finalizers have pointers to lives on, and what that leads to.
 *	   Those that are not among it are queued, and live on, too, with what they lead to.
 *	4. The rest is freed: its cleanups are queued, references to it are cleared, it leaves the
 *	   weak maps that it is a key of, and those go that it owns.
 */
#include "specials_model.h"

/* ---- marking ------------------------------------------------------------------------------ */

static void mark(struct shadow *shadow, uint32_t number)
{
	struct shadow_node *node;

	if (number == SHADOW_NONE)
		return;
	node = &shadow->nodes[number];
	if (!node->object) {
		shadow_failed(shadow, "the model itself is wrong: a pointer to what is dead");
		return;
	}
	if (node->mark >= shadow->walk)
		return;
	node->mark = shadow->marking;
	shadow->live++;
	shadow->stack[shadow->depth++] = number;
}

static void mark_pointers(struct shadow *shadow, const struct shadow_node *node)
{
	uint32_t i;

	for (i = 0; i < node->edge_count; i++)
		mark(shadow, node->edges[i].node);
}

static void mark_values(struct shadow *shadow, const struct shadow_node *node)
{
	uint64_t live = shadow->live;
	uint32_t i;

	for (i = 0; i < SHADOW_EPHEMERONS; i++)
		mark(shadow, node->ephemerons[i].node);
	shadow->counts.kept += shadow->live - live;
	if (shadow->marking != shadow->walk)
		shadow->counts.kept_by_dead += shadow->live - live;
}

static bool is_marked(const struct shadow *shadow, const struct shadow_node *node)
{
	return node->mark >= shadow->walk;
}

/*
 * Whether an entry of a weak map keeps its value. Who follows one object alone when the cycle is
 * over may find key or owner by it, while the other one was kept by something else.
 */
static bool entry_keeps(const struct shadow *shadow, const struct shadow_map *map,
			const struct shadow_entry *entry)
{
	bool has_key = is_marked(shadow, &shadow->nodes[entry->key]);
	bool has_owner;

	if (map->node == SHADOW_NONE)
		return has_key;
	has_owner = is_marked(shadow, &shadow->nodes[map->node]);
	return shadow->is_over ? has_key || has_owner : has_key && has_owner;
}

static void mark_map(struct shadow *shadow, const struct shadow_map *map)
{
	uint64_t live = shadow->live;
	uint32_t i;

	for (i = 0; i < map->count; i++) {
		if (entry_keeps(shadow, map, &map->entries[i]))
			mark(shadow, map->entries[i].value.node);
	}
	shadow->counts.map_kept += shadow->live - live;
	if (shadow->marking != shadow->walk)
		shadow->counts.map_kept_by_dead += shadow->live - live;
}

/* In a loop over all weak maps that there are. */
#define each_map(shadow, owner, i)						\
	for (owner = 0; owner < SHADOW_OWNERS; owner++)				\
		for (i = 0; i < SHADOW_MAPS; i++)				\
			if ((shadow)->owners[owner].maps[i].map)

/*
 * What is alive leads to its values, as by pointers that it does not have. As long as anything is
 * found so that may be a key, or own a map, all maps are looked through again.
 */
static void follow(struct shadow *shadow)
{
	uint32_t owner, i;

	do {
		while (shadow->depth) {
			const struct shadow_node *node;

			node = &shadow->nodes[shadow->stack[--shadow->depth]];
			mark_pointers(shadow, node);
			mark_values(shadow, node);
		}
		each_map(shadow, owner, i)
			mark_map(shadow, &shadow->owners[owner].maps[i]);
	} while (shadow->depth);
}

/* Roots led to it. */
static bool is_reached(const struct shadow *shadow, const struct shadow_node *node)
{
	return node->mark == shadow->walk;
}

static void mark_node_roots(struct shadow *shadow, uint32_t number)
{
	const struct shadow_node *node = &shadow->nodes[number];
	uint32_t i;

	if (node->pins || node->holders)
		mark(shadow, number);
	if (node->finalizer != SHADOW_NONE)
		mark(shadow, shadow->actions[node->finalizer].argument.node);
	for (i = 0; i < SHADOW_CLEANUPS; i++) {
		if (node->cleanups[i] != SHADOW_NONE)
			mark(shadow, shadow->actions[node->cleanups[i]].argument.node);
	}
}

static void mark_roots(struct shadow *shadow)
{
	uint32_t owner, number, i;

	for (owner = 0; owner < SHADOW_OWNERS; owner++) {
		for (i = 0; i < SHADOW_ROOTS; i++)
			mark(shadow, shadow->owners[owner].root_edges[i].node);
	}
	for (i = 0; i < shadow->actions_end; i++) {
		const struct shadow_action *action = &shadow->actions[i];

		if (action->state != SHADOW_QUEUED && action->state != SHADOW_RUNNING)
			continue;
		mark(shadow, action->argument.node);
		if (!action->is_cleanup)
			mark(shadow, action->node);
	}
	shadow_each(shadow, owner, number)
		mark_node_roots(shadow, number);
	follow(shadow);
}

/* ---- a cycle -------------------------------------------------------------------------------- */

static void note_most(uint64_t *most, uint64_t count)
{
	if (count > *most)
		*most = count;
}

static bool is_dead_with_finalizer(const struct shadow *shadow, const struct shadow_node *node)
{
	return node->finalizer != SHADOW_NONE && !is_reached(shadow, node);
}

static void finalizers_settle(struct shadow *shadow)
{
	uint32_t owner, number, action;
	uint64_t dead = 0;

	shadow->marking = shadow->walk + 1;
	shadow_each(shadow, owner, number) {
		if (is_dead_with_finalizer(shadow, &shadow->nodes[number])) {
			mark_pointers(shadow, &shadow->nodes[number]);
			dead++;
		}
	}
	follow(shadow);
	shadow_each(shadow, owner, number) {
		struct shadow_node *node = &shadow->nodes[number];

		if (!is_dead_with_finalizer(shadow, node)) {
			node->waited = 0;
			continue;
		}
		if (is_marked(shadow, node)) {
			node->waited++;
			shadow->counts.waited++;
			continue;
		}
		action = node->finalizer;
		node->finalizer = SHADOW_NONE;
		node->queued = action;
		shadow_enqueue(shadow, action);
		mark(shadow, number);
	}
	follow(shadow);
	note_most(&shadow->counts.most_dead, dead);
}

static void weak_settle(struct shadow *shadow, uint32_t number)
{
	struct shadow_node *weak = &shadow->nodes[number];
	struct shadow_node *target;
	bool before;

	if (weak->kind != SHADOW_WEAK || weak->target == SHADOW_NONE)
		return;
	target = &shadow->nodes[weak->target];
	before = !weak->is_long && !is_reached(shadow, target);
	if (is_marked(shadow, target) && is_marked(shadow, weak) && !before)
		return;
	if (is_marked(shadow, weak)) {
		shadow->counts.cleared_short += !weak->is_long;
		shadow->counts.cleared_long += weak->is_long;
		shadow->counts.cleared_before += is_marked(shadow, target);
	}
	target->weak[weak->is_long] = SHADOW_NONE;
	weak->target = SHADOW_NONE;
}

static void map_settle(struct shadow *shadow, struct shadow_map *map)
{
	uint32_t i = 0;

	if (map->node != SHADOW_NONE && !is_marked(shadow, &shadow->nodes[map->node])) {
		while (i < map->count)
			shadow->counts.keys_left +=
				is_marked(shadow, &shadow->nodes[map->entries[i++].key]);
		shadow->counts.maps_died++;
		map->map = NULL;
		return;
	}
	while (i < map->count) {
		if (is_marked(shadow, &shadow->nodes[map->entries[i].key])) {
			i++;
			continue;
		}
		map->entries[i] = map->entries[--map->count];
		shadow->counts.keys_died++;
	}
}

static void cycle_begins(struct gcheap *heap, void *arg)
{
	struct shadow *shadow = arg;
	struct shadow_prediction *prediction;
	uint32_t owner, number, i;

	(void)heap;
	shadow->cycle++;
	shadow->walk += 2;
	shadow->marking = shadow->walk;
	shadow->live = 0;
	mark_roots(shadow);
	finalizers_settle(shadow);
	shadow_each(shadow, owner, number)
		weak_settle(shadow, number);
	each_map(shadow, owner, i)
		map_settle(shadow, &shadow->owners[owner].maps[i]);
	shadow_each(shadow, owner, number) {
		if (!is_marked(shadow, &shadow->nodes[number]))
			shadow_bury(shadow, number);
	}
	prediction = &shadow->predictions[shadow->cycle % SHADOW_CYCLES];
	*prediction = (struct shadow_prediction) { shadow->cycle, shadow->live };
}

static void cycle_ends(struct gcheap *heap, const struct gcheap_cycle *cycle, void *arg)
{
	struct shadow *shadow = arg;
	const struct shadow_prediction *prediction;

	(void)heap;
	prediction = &shadow->predictions[cycle->number % SHADOW_CYCLES];
	if (prediction->cycle != cycle->number) {
		shadow_failed(shadow, "a cycle has begun that did not end");
	} else if (prediction->live != cycle->live_objects) {
		print_message("# cycle %llu: %llu objects are alive, and %llu should be\n",
			      (unsigned long long)cycle->number,
			      (unsigned long long)cycle->live_objects,
			      (unsigned long long)prediction->live);
		shadow_failed(shadow, cycle->live_objects > prediction->live ?
			      "what should be dead is alive" : "what should be alive is dead");
	}
}

void shadow_hook(struct shadow *shadow)
{
	const struct gcheap_hooks hooks = {
		.size = sizeof(hooks),
		.cycle_begins = cycle_begins,
		.cycle_ends = cycle_ends,
		.arg = shadow,
	};

	assert_int_equal(gcheap_hooks_add(shadow->heap, &hooks), 0);
}

/* ---- checks ------------------------------------------------------------------------------- */

static const char *weak_check(const struct shadow_worker *worker, const struct shadow_node *weak)
{
	const struct shadow *shadow = worker->shadow;
	const void *target = weak->target == SHADOW_NONE ? NULL :
			     shadow->nodes[weak->target].object;
	const void *found;

	found = gcheap_weak_get(worker->thread, (struct gcheap_weak *)(void *)weak->object);
	if (found == target)
		return NULL;
	return !found ? "a weak reference was cleared to what is not dead" :
	       !target ? "a weak reference leads to what is dead" :
	       "a weak reference leads to another object";
}

static const char *object_check(const struct shadow_worker *worker, uint32_t number)
{
	const struct shadow_node *node = &worker->shadow->nodes[number];
	struct gcheap_object found;

	if (gcheap_find(worker->shadow->heap, node->object + node->bytes - 1, &found))
		return "an object that should be alive is not in the heap";
	if (found.base != node->object || found.size < node->bytes)
		return "an object that should be alive is another one now";
	if (node->kind == SHADOW_WEAK)
		return weak_check(worker, node);
	return shadow_content(worker->shadow, number);
}

/* What is special about objects, in all. */
struct specials_count {
	uint64_t entries;	/* of the table: one of each kind an object */
	uint64_t finalizers, cleanups, weak, ephemerons;
};

static void count_specials(struct specials_count *count, const struct shadow_node *node)
{
	uint32_t cleanups = 0, ephemerons = 0, i;

	for (i = 0; i < SHADOW_CLEANUPS; i++)
		cleanups += node->cleanups[i] != SHADOW_NONE;
	for (i = 0; i < SHADOW_EPHEMERONS; i++)
		ephemerons += node->ephemerons[i].node != SHADOW_NONE;
	count->ephemerons += ephemerons;
	count->finalizers += node->finalizer != SHADOW_NONE;
	count->cleanups += cleanups;
	count->weak += node->kind == SHADOW_WEAK && node->target != SHADOW_NONE;
	count->entries += !!node->pins + (node->finalizer != SHADOW_NONE) + !!cleanups +
			  (ephemerons || node->map_keys) + !!node->maps +
			  (node->weak[0] != SHADOW_NONE) + (node->weak[1] != SHADOW_NONE);
}

/* Whether a node leads to itself, with marks that no cycle has used. */
static bool is_cyclic(struct shadow *shadow, const struct shadow_node *node)
{
	shadow->walk += 2;
	shadow->marking = shadow->walk;
	shadow->is_over = true;
	mark_pointers(shadow, node);
	follow(shadow);
	shadow->is_over = false;
	return is_marked(shadow, node);
}

#define CYCLES_LOOKED_AT	8

/*
 * What is said to form cycles does. The objects' first word has the number of the node. The walks
 * spoil the marks of the last cycle.
 */
static void cycles_check(struct shadow *shadow)
{
	void *objects[CYCLES_LOOKED_AT];
	int count = gcheap_finalizer_cycles(shadow->heap, objects, CYCLES_LOOKED_AT);
	int i;

	if (count < 0)
		shadow_failed(shadow, gcheap_error());
	for (i = 0; i < count && i < CYCLES_LOOKED_AT; i++) {
		uint32_t number = (uint32_t)(*(uint64_t *)objects[i] >> 32);
		const struct shadow_node *node = &shadow->nodes[number];

		if (node->object != objects[i] || node->finalizer == SHADOW_NONE || !node->waited)
			shadow_failed(shadow, "what is said to form a cycle waits for nothing");
		else if (!is_cyclic(shadow, node))
			shadow_failed(shadow, "what is said to form a cycle forms none");
	}
}

void shadow_check(struct shadow_worker *worker, uint64_t *checked)
{
	struct shadow *shadow = worker->shadow;
	struct gcheap_stats stats = { .size = sizeof(stats) };
	struct specials_count count = { .entries = 0 };
	uint64_t live = 0;
	uint32_t owner, number;
	const char *error;

	shadow_maps_check(worker);
	shadow_each(shadow, owner, number) {
		error = object_check(worker, number);
		if (error) {
			print_message("# node %u at %p\n", number,
				      (void *)shadow->nodes[number].object);
			shadow_failed(shadow, error);
		}
		count_specials(&count, &shadow->nodes[number]);
		live++;
	}
	*checked += live;
	note_most(&shadow->counts.most_finalizers, count.finalizers);
	note_most(&shadow->counts.most_cleanups, count.cleanups);
	note_most(&shadow->counts.most_weak, count.weak);
	note_most(&shadow->counts.most_ephemerons, count.ephemerons);
	if (gcheap_stats(shadow->heap, &stats))
		shadow_failed(shadow, gcheap_error());
	if (stats.live_objects != live)
		shadow_failed(shadow, "more or fewer objects are alive than should be");
	if (stats.specials != count.entries)
		shadow_failed(shadow, "the table has more or fewer entries than it should have");
	if (stats.finalizers_queued != shadow->queued)
		shadow_failed(shadow, "more or fewer functions are queued than should be");
	cycles_check(shadow);
}
