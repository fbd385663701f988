// SPDX-License-Identifier: MIT
/*
 * The shadow of a heap's objects.
 */
#include "model.h"

#define NODE_WORDS	6u
#define NODE_EDGES	4u
#define NODE_EDGE_FIRST	1u

/* Of leaves that nothing keeps, at most: it is they that most cycles by growth start by. */
#define DROPPED_BYTES	(192u << 10)

/* Of a node: @tag proves that nobody wrote over it. */
struct node {
	uint64_t id;
	struct node *edges[NODE_EDGES];
	uint64_t tag;
};

void model_init(struct model *model, struct gcheap *heap, uint64_t seed)
{
	uint32_t owner, i;

	*model = (struct model) { .heap = heap };
	model->node_type = type_with_mask(heap, sizeof(struct node), 8, 0x1e);
	model->table_type = type_with_mask(heap, sizeof(void *), 8, 1);
	model->root_type = type_with_mask(heap, MODEL_TYPED_WORDS * sizeof(void *), 8, 2);
	model->nodes = calloc(MODEL_OWNERS * MODEL_NODES, sizeof(*model->nodes));
	model->owners = calloc(MODEL_OWNERS, sizeof(*model->owners));
	model->stack = calloc(MODEL_OWNERS * MODEL_NODES, sizeof(*model->stack));
	assert_true(model->nodes && model->owners && model->stack);
	for (owner = 0; owner < MODEL_OWNERS; owner++) {
		struct model_owner *o = &model->owners[owner];

		o->random = seed + owner;
		for (i = 0; i < MODEL_NODES; i++)
			o->free[i] = owner * MODEL_NODES + i;
		o->free_count = MODEL_NODES;
		model_roots_init(model, owner);
	}
}

void model_destroy(struct model *model)
{
	uint32_t i;

	for (i = 0; i < MODEL_OWNERS; i++)
		model_roots_destroy(model, i);
	for (i = 0; i < MODEL_OWNERS * MODEL_NODES; i++)
		free(model->nodes[i].edges);
	free(model->nodes);
	free(model->owners);
	free(model->stack);
}

/* ---- pointers ------------------------------------------------------------------------- */

static void **edge_slot(const struct model_node *node, uint32_t edge)
{
	void **words = (void **)(void *)node->object;

	if (node->kind == MODEL_TABLE)
		return words + edge;
	return words + edge / NODE_EDGES * NODE_WORDS + NODE_EDGE_FIRST + edge % NODE_EDGES;
}

void *model_address(const struct model *model, struct model_edge edge)
{
	return edge.node == MODEL_NONE ? NULL : model->nodes[edge.node].object + edge.offset;
}

uint32_t model_random(struct model_owner *owner, uint32_t end)
{
	return (uint32_t)(random_next(&owner->random) >> 32) % end;
}

/* Most pointers lead to an object's first byte. */
static struct model_edge edge_to(const struct model *model, struct model_owner *owner,
				 uint32_t node)
{
	struct model_edge edge = { node, 0 };

	if (!model_random(owner, 4))
		edge.offset = model_random(owner, (uint32_t)model->nodes[node].bytes);
	return edge;
}

/*
 * One of the owner's own nodes that its roots lead to: what it can do by itself, since
 * others change theirs meanwhile.
 */
static uint32_t own_node(struct model *model, uint32_t owner)
{
	struct model_owner *o = &model->owners[owner];
	uint32_t node = o->root_edges[model_random(o, MODEL_ROOTS)].node;
	uint32_t steps = model_random(o, 16);

	while (node != MODEL_NONE && node / MODEL_NODES == owner && steps--) {
		const struct model_node *n = &model->nodes[node];
		uint32_t next;

		if (!n->edge_count)
			break;
		next = n->edges[model_random(o, n->edge_count)].node;
		if (next == MODEL_NONE || next / MODEL_NODES != owner)
			break;
		node = next;
	}
	return node != MODEL_NONE && node / MODEL_NODES == owner ? node : MODEL_NONE;
}

static void edge_set(struct model *model, struct gcheap_thread *thread, uint32_t node,
		     uint32_t at, struct model_edge edge)
{
	model->nodes[node].edges[at] = edge;
	gcheap_store(thread, edge_slot(&model->nodes[node], at), model_address(model, edge));
}

/* ---- objects -------------------------------------------------------------------------- */

uint32_t model_random_length(struct model_owner *owner, uint32_t most)
{
	uint32_t length = 1 + model_random(owner, most);
	uint32_t shift = model_random(owner, 12);

	return (length >> shift) + 1;
}

static void leaf_fill(struct model_node *node, uint32_t number)
{
	uint64_t *words = (uint64_t *)(void *)node->object;
	size_t i;

	for (i = 0; i < node->bytes / 8; i++)
		words[i] = (uint64_t)number << 32 ^ i;
}

static void records_fill(struct model_node *node, uint32_t number)
{
	struct node *records = (struct node *)(void *)node->object;
	uint32_t i;

	for (i = 0; i < node->count; i++) {
		records[i].id = number;
		records[i].tag = ~(uint64_t)number ^ i;
	}
}

static const char *object_new(struct model *model, struct gcheap_thread *thread, uint32_t owner,
			      struct model_node *node)
{
	struct model_owner *o = &model->owners[owner];

	node->kind = (enum model_kind)model_random(o, MODEL_KINDS);
	node->count = 1;
	switch (node->kind) {
	case MODEL_NODE:
		node->bytes = sizeof(struct node);
		node->edge_count = NODE_EDGES;
		node->object = gcheap_new(thread, model->node_type);
		break;
	case MODEL_RECORDS:
		node->count = model_random_length(o, 300);
		node->bytes = node->count * sizeof(struct node);
		node->edge_count = node->count * NODE_EDGES;
		node->object = gcheap_new_array(thread, model->node_type, node->count);
		break;
	case MODEL_TABLE:
		node->count = model_random_length(o, 30000);
		node->bytes = node->count * sizeof(void *);
		node->edge_count = node->count;
		node->object = gcheap_new_array(thread, model->table_type, node->count);
		break;
	default:
		/* Two words at least: smaller ones share slots. */
		node->bytes = 8 + model_random_length(o, 8000) * 8;
		node->edge_count = 0;
		node->object = gcheap_new_leaf(thread, node->bytes);
		break;
	}
	return node->object ? NULL : gcheap_error();
}

/* A new object; root 0 keeps it until it is kept elsewhere. */
static const char *make(struct model *model, struct gcheap_thread *thread, uint32_t owner)
{
	struct model_owner *o = &model->owners[owner];
	struct model_node node = { 0 };
	const char *error;
	uint32_t number, parent, i;

	/* All that were dropped since the last check still have their numbers. */
	if (!o->free_count)
		return NULL;
	error = object_new(model, thread, owner, &node);
	if (error)
		return error;
	/* No cycle can run before it is in the root: this is not the library. */
	o->allocated++;
	number = o->free[--o->free_count];
	model->nodes[number].object = node.object;
	error = model_root_set(model, owner, 0, (struct model_edge) { number, 0 });
	if (error)
		return error;
	for (i = 0; i < node.bytes / 8; i++) {
		if (((const uint64_t *)(const void *)node.object)[i])
			return "a new object is not zero";
	}
	node.edges = malloc((node.edge_count + 1) * sizeof(*node.edges));
	if (!node.edges)
		return "no memory for the model";
	for (i = 0; i < node.edge_count; i++)
		node.edges[i] = MODEL_NOWHERE;
	node.mark = model->nodes[number].mark;
	if (node.kind == MODEL_LEAF)
		leaf_fill(&node, number);
	else if (node.kind != MODEL_TABLE)
		records_fill(&node, number);
	model->nodes[number] = node;

	parent = own_node(model, owner);
	if (parent == MODEL_NONE || !model->nodes[parent].edge_count || model_random(o, 8) == 0)
		return model_root_set(model, owner, 1 + model_random(o, MODEL_ROOTS - 1),
				      edge_to(model, o, number));
	edge_set(model, thread, parent, model_random(o, model->nodes[parent].edge_count),
		 edge_to(model, o, number));
	return NULL;
}

static const char *drop(struct gcheap_thread *thread, struct model_owner *owner)
{
	/* As the others' leaves, of two words at least. */
	if (!gcheap_new_leaf(thread, 16 + model_random(owner, DROPPED_BYTES)))
		return gcheap_error();
	owner->allocated++;
	return NULL;
}

static void point(struct model *model, struct gcheap_thread *thread, uint32_t owner, bool clear)
{
	struct model_owner *o = &model->owners[owner];
	uint32_t from = own_node(model, owner);
	struct model_edge to = o->root_edges[model_random(o, MODEL_ROOTS)];

	if (from == MODEL_NONE || !model->nodes[from].edge_count)
		return;
	if (clear) {
		to = MODEL_NOWHERE;
	} else if (model_random(o, 2)) {
		uint32_t node = own_node(model, owner);

		to = node == MODEL_NONE ? MODEL_NOWHERE : edge_to(model, o, node);
	}
	edge_set(model, thread, from, model_random(o, model->nodes[from].edge_count), to);
}

const char *model_step(struct model *model, uint32_t owner, struct gcheap_thread *thread)
{
	struct model_owner *o = &model->owners[owner];
	uint32_t what = model_random(o, 100);

	if (what < 50)
		return make(model, thread, owner);
	if (what < 55)
		return drop(thread, o);
	if (what < 88)
		point(model, thread, owner, false);
	else if (what < 94)
		point(model, thread, owner, true);
	else if (what < 96)
		return model_root_set(model, owner, model_random(o, MODEL_ROOTS), MODEL_NOWHERE);
	else if (what < 98)
		return model_roots_change(model, owner, thread);
	else
		gcheap_safepoint(thread);
	return NULL;
}

const char *model_share(struct model *model, uint32_t from, uint32_t to)
{
	struct model_owner *o = &model->owners[from];
	uint32_t root = 1 + model_random(o, MODEL_ROOTS - 1);

	return model_root_set(model, to, root, o->root_edges[model_random(o, MODEL_ROOTS)]);
}

/* ---- checks --------------------------------------------------------------------------- */

static const char *content_check(const struct model *model, uint32_t number)
{
	const struct model_node *node = &model->nodes[number];
	const struct node *records = (const struct node *)(const void *)node->object;
	const uint64_t *words = (const uint64_t *)(const void *)node->object;
	uint32_t i;

	for (i = 0; i < node->edge_count; i++) {
		if (*edge_slot(node, i) != model_address(model, node->edges[i]))
			return "a pointer has changed";
	}
	for (i = 0; node->kind == MODEL_LEAF && i < node->bytes / 8; i++) {
		if (words[i] != ((uint64_t)number << 32 ^ i))
			return "a leaf has changed";
	}
	for (i = 0; (node->kind == MODEL_NODE || node->kind == MODEL_RECORDS) && i < node->count;
	     i++) {
		if (records[i].id != number || records[i].tag != (~(uint64_t)number ^ i))
			return "a struct has changed";
	}
	return NULL;
}

static const char *object_check(const struct model *model, uint32_t number)
{
	const struct model_node *node = &model->nodes[number];
	struct gcheap_object found;

	if (gcheap_find(model->heap, node->object + node->bytes - 1, &found))
		return "an object that can be reached is not in the heap";
	if (found.base != node->object || found.size < node->bytes)
		return "an object that can be reached is another one now";
	return content_check(model, number);
}

static const char *reach(struct model *model, struct model_edge edge, uint32_t *depth,
			 uint64_t *reachable)
{
	struct model_node *node;

	if (edge.node == MODEL_NONE)
		return NULL;
	node = &model->nodes[edge.node];
	if (!node->object)
		return "the model itself is wrong";
	if (node->mark == model->walk)
		return NULL;
	node->mark = model->walk;
	model->stack[(*depth)++] = edge.node;
	++*reachable;
	return object_check(model, edge.node);
}

static void drop_unreached(struct model *model)
{
	uint32_t i;

	for (i = 0; i < MODEL_OWNERS * MODEL_NODES; i++) {
		struct model_node *node = &model->nodes[i];
		struct model_owner *owner = &model->owners[i / MODEL_NODES];

		if (!node->object || node->mark == model->walk)
			continue;
		free(node->edges);
		*node = (struct model_node) { 0 };
		owner->free[owner->free_count++] = i;
	}
}

const char *model_check(struct model *model, uint64_t *reachable)
{
	const char *error = NULL;
	uint32_t depth = 0;
	uint32_t owner, i;

	*reachable = 0;
	model->walk++;
	for (owner = 0; owner < MODEL_OWNERS && !error; owner++) {
		error = model_roots_check(model, owner, reachable);
		for (i = 0; i < MODEL_ROOTS && !error; i++)
			error = reach(model, model->owners[owner].root_edges[i], &depth,
				      reachable);
	}
	while (depth && !error) {
		const struct model_node *node = &model->nodes[model->stack[--depth]];

		for (i = 0; i < node->edge_count && !error; i++)
			error = reach(model, node->edges[i], &depth, reachable);
	}
	if (!error)
		drop_unreached(model);
	return error;
}
