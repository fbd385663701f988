// SPDX-License-Identifier: MIT
/*
 * The shadow of a heap's objects, and those who work on both: objects and pointers.
 * specials_steps.c has what is special about them.
 */
#include "specials_steps.h"

#define NODE_WORDS	6u
#define NODE_EDGES	4u
#define NODE_EDGE_FIRST	1u

/* Of a node: @id and @tag prove that nobody wrote over it. */
struct node {
	uint64_t id;
	struct node *edges[NODE_EDGES];
	uint64_t tag;
};

void shadow_init(struct shadow *shadow, struct gcheap *heap, uint64_t seed, uint32_t calm)
{
	uint32_t owner, i;

	*shadow = (struct shadow) { .heap = heap, .calm = calm, .actions_free = SHADOW_NONE };
	shadow->type = type_with_mask(heap, sizeof(struct node), 8, 0x1e);
	shadow->nodes = calloc(SHADOW_OWNERS * SHADOW_NODES, sizeof(*shadow->nodes));
	shadow->owners = calloc(SHADOW_OWNERS, sizeof(*shadow->owners));
	shadow->actions = calloc(SHADOW_ACTIONS, sizeof(*shadow->actions));
	shadow->stack = calloc(SHADOW_OWNERS * SHADOW_NODES, sizeof(*shadow->stack));
	assert_true(shadow->nodes && shadow->owners && shadow->actions && shadow->stack);
	pthread_mutex_init(&shadow->actions_lock, NULL);
	for (owner = 0; owner < SHADOW_OWNERS; owner++) {
		struct shadow_owner *o = &shadow->owners[owner];

		o->random = seed + owner;
		pthread_mutex_init(&o->guard, NULL);
		pthread_mutex_init(&o->maps_lock, NULL);
		for (i = 0; i < SHADOW_ROOTS; i++)
			o->root_edges[i].node = SHADOW_NONE;
		/* The lowest are taken first. */
		for (i = 0; i < SHADOW_NODES; i++)
			o->free[i] = owner * SHADOW_NODES + SHADOW_NODES - 1 - i;
		o->free_count = SHADOW_NODES;
		assert_int_equal(gcheap_root_add(heap, o->roots, SHADOW_ROOTS), 0);
	}
	shadow_hook(shadow);
}

void shadow_destroy(struct shadow *shadow)
{
	uint32_t i;

	for (i = 0; i < SHADOW_OWNERS; i++) {
		pthread_mutex_destroy(&shadow->owners[i].guard);
		pthread_mutex_destroy(&shadow->owners[i].maps_lock);
	}
	pthread_mutex_destroy(&shadow->actions_lock);
	for (i = 0; i < SHADOW_OWNERS * SHADOW_NODES; i++)
		free(shadow->nodes[i].edges);
	free(shadow->nodes);
	free(shadow->owners);
	free(shadow->actions);
	free(shadow->stack);
}

void shadow_failed(struct shadow *shadow, const char *error)
{
	const char *none = NULL;

	__atomic_compare_exchange_n(&shadow->error, &none, error, false, __ATOMIC_RELAXED,
				    __ATOMIC_RELAXED);
}

uint32_t shadow_random(struct shadow_worker *worker, uint32_t end)
{
	struct shadow_owner *owner = &worker->shadow->owners[worker->owner];

	return (uint32_t)(random_next(&owner->random) >> 32) % end;
}

/* ---- pointers ------------------------------------------------------------------------- */

static bool is_own(const struct shadow_worker *worker, uint32_t number)
{
	return number != SHADOW_NONE && number / SHADOW_NODES == worker->owner;
}

struct shadow_edge shadow_edge_to(struct shadow_worker *worker, uint32_t number)
{
	struct shadow_edge edge = { number, 0 };

	/* Most lead to an object's first byte. */
	if (number != SHADOW_NONE && !shadow_random(worker, 4))
		edge.offset = shadow_random(worker, worker->shadow->nodes[number].bytes);
	return edge;
}

void shadow_root_set(struct shadow_worker *worker, uint32_t place, struct shadow_edge edge)
{
	struct shadow_owner *owner = owner_of(worker);

	owner->root_edges[place] = edge;
	owner->roots[place] = shadow_address(worker->shadow, edge);
}

uint32_t shadow_any_root(struct shadow_worker *worker)
{
	return owner_of(worker)->root_edges[shadow_random(worker, SHADOW_ROOTS)].node;
}

static struct node **edge_slot(const struct shadow_node *node, uint32_t edge)
{
	struct node *nodes = (struct node *)(void *)node->object;

	return &nodes[edge / NODE_EDGES].edges[edge % NODE_EDGES];
}

static void edge_set(struct shadow_worker *worker, uint32_t number, uint32_t at,
		     struct shadow_edge edge)
{
	struct shadow_node *node = &worker->shadow->nodes[number];

	node->edges[at] = edge;
	gcheap_store(worker->thread, edge_slot(node, at), shadow_address(worker->shadow, edge));
}

uint32_t shadow_own_node(struct shadow_worker *worker)
{
	const struct shadow *shadow = worker->shadow;
	uint32_t number = shadow_any_root(worker);
	uint32_t steps = shadow_random(worker, 16);

	if (!is_own(worker, number))
		return SHADOW_NONE;
	while (steps-- && shadow->nodes[number].edge_count) {
		const struct shadow_node *node = &shadow->nodes[number];
		uint32_t next = node->edges[shadow_random(worker, node->edge_count)].node;

		if (!is_own(worker, next))
			break;
		number = next;
	}
	return number;
}

uint32_t shadow_target(struct shadow_worker *worker)
{
	uint32_t number = shadow_random(worker, 3) ? shadow_own_node(worker) :
			  shadow_any_root(worker);

	return number != SHADOW_NONE && worker->shadow->nodes[number].kind != SHADOW_WEAK ?
	       number : SHADOW_NONE;
}

uint32_t shadow_leaf(struct shadow_worker *worker, bool or_weak)
{
	const struct shadow *shadow = worker->shadow;
	uint32_t tries, number;

	for (tries = 0; tries < 6; tries++) {
		number = shadow_own_node(worker);
		if (number == SHADOW_NONE)
			continue;
		if (shadow->nodes[number].kind == SHADOW_LEAF ||
		    (or_weak && shadow->nodes[number].kind == SHADOW_WEAK))
			return number;
	}
	return SHADOW_NONE;
}

/* A place for a pointer: most often one that has none. Its node; SHADOW_NONE: there is no place. */
static uint32_t free_place(struct shadow_worker *worker, uint32_t *at)
{
	const struct shadow *shadow = worker->shadow;
	uint32_t number = shadow_own_node(worker);
	uint32_t tries = 16;

	while (number != SHADOW_NONE && shadow->nodes[number].edge_count) {
		const struct shadow_node *node = &shadow->nodes[number];
		uint32_t next;

		*at = shadow_random(worker, node->edge_count);
		next = node->edges[*at].node;
		if (next == SHADOW_NONE)
			return number;
		if (!--tries)
			return shadow_random(worker, shadow->calm) ? SHADOW_NONE : number;
		if (is_own(worker, next) && shadow->nodes[next].edge_count)
			number = next;
	}
	return SHADOW_NONE;
}

void shadow_keep(struct shadow_worker *worker, uint32_t number)
{
	struct shadow_edge edge = shadow_edge_to(worker, number);
	uint32_t tries = worker->shadow->calm;
	uint32_t at, parent = SHADOW_NONE;

	while (parent == SHADOW_NONE && tries--)
		parent = free_place(worker, &at);
	if (parent != SHADOW_NONE && shadow_random(worker, 16 * worker->shadow->calm))
		edge_set(worker, parent, at, edge);
	else
		shadow_root_set(worker, 1 + shadow_random(worker, SHADOW_ROOTS - 1), edge);
}

/* Most pointers lead to what is younger, so that not all is one cycle. */
static void point(struct shadow_worker *worker)
{
	const struct shadow *shadow = worker->shadow;
	uint32_t from = shadow_own_node(worker);
	uint32_t to = shadow_random(worker, 3) ? shadow_own_node(worker) : shadow_any_root(worker);
	uint32_t at;

	if (from == SHADOW_NONE || to == SHADOW_NONE)
		return;
	if (shadow->nodes[to].born < shadow->nodes[from].born && shadow_random(worker, 8)) {
		if (!is_own(worker, to))
			return;
		from ^= to;
		to ^= from;
		from ^= to;
	}
	if (!shadow->nodes[from].edge_count)
		return;
	at = shadow_random(worker, shadow->nodes[from].edge_count);
	if (shadow->nodes[from].edges[at].node == SHADOW_NONE ||
	    !shadow_random(worker, shadow->calm))
		edge_set(worker, from, at, shadow_edge_to(worker, to));
}

static const struct shadow_edge none = { SHADOW_NONE, 0 };

static void clear(struct shadow_worker *worker)
{
	uint32_t from = shadow_own_node(worker);

	if (from != SHADOW_NONE && worker->shadow->nodes[from].edge_count)
		edge_set(worker, from,
			 shadow_random(worker, worker->shadow->nodes[from].edge_count), none);
}

void shadow_share(struct shadow *shadow, uint32_t from, uint32_t root, uint32_t to, uint32_t place)
{
	shadow->owners[to].root_edges[place] = shadow->owners[from].root_edges[root];
	shadow->owners[to].roots[place] = shadow->owners[from].roots[root];
}

void shadow_drop(struct shadow_worker *worker)
{
	uint32_t place;

	shadow_unpin_all(worker);
	for (place = 0; place < SHADOW_ROOTS; place++) {
		if (shadow_random(worker, 16 * worker->shadow->calm))
			shadow_root_set(worker, place, none);
	}
}

/* ---- objects -------------------------------------------------------------------------- */

/* From 1 to @most, small ones more often. */
static uint32_t random_length(struct shadow_worker *worker, uint32_t most)
{
	uint32_t length = 1 + shadow_random(worker, most);
	uint32_t shift = shadow_random(worker, 12);

	return (length >> shift) + 1;
}

uint32_t shadow_take_number(struct shadow_worker *worker)
{
	struct shadow_owner *owner = owner_of(worker);
	uint32_t number = owner->free[--owner->free_count];
	struct shadow_node *node = &worker->shadow->nodes[number];
	uint32_t i;

	if (number % SHADOW_NODES >= owner->end)
		owner->end = number % SHADOW_NODES + 1;
	*node = (struct shadow_node) {
		.edges = node->edges,
		.edge_room = node->edge_room,
		.mark = node->mark,
		.born = owner->born++,
		.finalizer = SHADOW_NONE,
		.queued = SHADOW_NONE,
		.weak = { SHADOW_NONE, SHADOW_NONE },
		.target = SHADOW_NONE,
		.arguments = SHADOW_NONE,
	};
	memset(node->cleanups, 0xff, sizeof(node->cleanups));
	for (i = 0; i < SHADOW_EPHEMERONS; i++)
		node->ephemerons[i] = none;
	return number;
}

/* Allocates what @node is to be. */
static char *object_new(struct shadow_worker *worker, struct shadow_node *node)
{
	uint32_t what = shadow_random(worker, 100);

	node->kind = what < 75 ? SHADOW_STRUCTS : SHADOW_LEAF;
	node->count = 1;
	if (node->kind == SHADOW_LEAF) {
		/* Two words at least: smaller ones share slots. */
		node->bytes = 8 + random_length(worker, 4000) * 8;
		return gcheap_new_leaf(worker->thread, node->bytes);
	}
	/* Up to 67 KB: large ones have spans of their own. */
	if (what < 10)
		node->count = random_length(worker, 1400);
	node->bytes = node->count * (uint32_t)sizeof(struct node);
	node->edge_count = node->count * NODE_EDGES;
	if (node->count == 1)
		return gcheap_new(worker->thread, worker->shadow->type);
	return gcheap_new_array(worker->thread, worker->shadow->type, node->count);
}

static void object_fill(const struct shadow_node *node, uint32_t number)
{
	struct node *nodes = (struct node *)(void *)node->object;
	uint64_t *words = (uint64_t *)(void *)node->object;
	uint64_t id = (uint64_t)number << 32;
	uint32_t i;

	for (i = 0; node->kind == SHADOW_LEAF && i < node->bytes / 8; i++)
		words[i] = id ^ i;
	for (i = 0; node->kind == SHADOW_STRUCTS && i < node->count; i++) {
		nodes[i].id = id ^ i;
		nodes[i].tag = ~id ^ i;
	}
}

uint32_t shadow_make(struct shadow_worker *worker)
{
	struct shadow *shadow = worker->shadow;
	struct shadow_node made = { .object = NULL };
	struct shadow_node *node;
	uint32_t number, i;

	if (!owner_of(worker)->free_count)
		return SHADOW_NONE;
	made.object = object_new(worker, &made);
	if (!made.object) {
		shadow_failed(shadow, gcheap_error());
		return SHADOW_NONE;
	}
	/* No cycle can run before it is in the root: this is not the library. */
	number = shadow_take_number(worker);
	node = &shadow->nodes[number];
	if (made.edge_count > node->edge_room) {
		node->edges = realloc(node->edges, made.edge_count * sizeof(*node->edges));
		if (!node->edges)
			abort();
		node->edge_room = made.edge_count;
	}
	node->object = made.object;
	node->kind = made.kind;
	node->count = made.count;
	node->bytes = made.bytes;
	node->edge_count = made.edge_count;
	for (i = 0; i < node->edge_count; i++)
		node->edges[i].node = SHADOW_NONE;
	object_fill(node, number);
	shadow_root_set(worker, 0, (struct shadow_edge) { number, 0 });
	return number;
}

void shadow_bury(struct shadow *shadow, uint32_t number)
{
	struct shadow_owner *owner = &shadow->owners[number / SHADOW_NODES];
	struct shadow_node *node = &shadow->nodes[number];
	uint32_t i;

	for (i = 0; i < SHADOW_CLEANUPS; i++) {
		if (node->cleanups[i] != SHADOW_NONE)
			shadow_enqueue(shadow, node->cleanups[i]);
	}
	node->object = NULL;
	owner->free[owner->free_count++] = number;
}

const char *shadow_content(const struct shadow *shadow, uint32_t number)
{
	const struct shadow_node *node = &shadow->nodes[number];
	const struct node *nodes = (const struct node *)(const void *)node->object;
	const uint64_t *words = (const uint64_t *)(const void *)node->object;
	uint64_t id = (uint64_t)number << 32;
	uint32_t i;

	for (i = 0; i < node->edge_count; i++) {
		if (*edge_slot(node, i) != shadow_address(shadow, node->edges[i]))
			return "a pointer has changed";
	}
	for (i = 0; node->kind == SHADOW_LEAF && i < node->bytes / 8; i++) {
		if (words[i] != (id ^ i))
			return "a leaf has changed";
	}
	for (i = 0; node->kind == SHADOW_STRUCTS && i < node->count; i++) {
		if (nodes[i].id != (id ^ i) || nodes[i].tag != (~id ^ i))
			return "a struct has changed";
	}
	return NULL;
}

/* ---- steps ------------------------------------------------------------------------------ */

void shadow_step(struct shadow_worker *worker)
{
	uint32_t calm = worker->shadow->calm;
	uint32_t what = shadow_random(worker, 100);
	uint32_t number;

	if (what < 40) {
		number = shadow_make(worker);
		if (number != SHADOW_NONE)
			shadow_keep(worker, number);
	} else if (what < 52) {
		point(worker);
	} else if (what < 56) {
		if (!shadow_random(worker, calm))
			clear(worker);
	} else if (what < 58) {
		if (!shadow_random(worker, calm))
			shadow_root_set(worker, shadow_random(worker, SHADOW_ROOTS), none);
	} else if (what < 98) {
		shadow_special_step(worker);
	} else {
		gcheap_safepoint(worker->thread);
	}
}
