// SPDX-License-Identifier: MIT
/*
 * The roots of a model.
 *
 * The heap's functions for roots are called while cycles run: a group that changes is of its new
 * kind before it is no more of the old one.
 */
#include "model_roots.h"

#include "model.h"

/* Pointers of an object that is a root; those of the group are some of them. */
#define UNCOLLECTABLE_MOST	3000u

/* Where the roots of a group lead. */
static const struct model_edge *group_edges(const struct model_owner *owner,
					    const struct model_group *group)
{
	return &owner->root_edges[(group - owner->groups) * MODEL_GROUP];
}

/*
 * What is in a slot. A word that may lead to the first byte of an object may as well lead to the
 * end of the one before, and keeps both: ambiguous words lead behind it.
 */
static void *group_address(const struct model *model, const struct model_group *group,
			   struct model_edge edge)
{
	if (group->kind == MODEL_AMBIGUOUS && edge.node != MODEL_NONE && !edge.offset)
		edge.offset = 1;
	return model_address(model, edge);
}

/* The object of a pinned root; NULL: it leads nowhere. */
static void *pinned(const struct model *model, struct model_edge edge)
{
	return edge.node == MODEL_NONE ? NULL : model->nodes[edge.node].object;
}

static const char *pin(const struct model *model, void *object)
{
	return object && gcheap_pin(model->heap, object) ? gcheap_error() : NULL;
}

static const char *unpin(const struct model *model, void *object)
{
	return object && gcheap_unpin(model->heap, object) ? gcheap_error() : NULL;
}

static void slot_set(const struct model_group *group, uint32_t i, void *address)
{
	void **slot = group->slots[i];

	/* Beside it is what no type says to be a pointer. */
	if (group->kind == MODEL_TYPED) {
		slot[-1] = *slot;
		slot[1] = *slot;
	}
	*slot = address;
}

const char *model_root_set(struct model *model, uint32_t owner, uint32_t root,
			   struct model_edge edge)
{
	struct model_owner *o = &model->owners[owner];
	const struct model_group *group = &o->groups[root / MODEL_GROUP];
	struct model_edge old = o->root_edges[root];
	const char *error;

	o->root_edges[root] = edge;
	if (group->kind != MODEL_PINNED) {
		slot_set(group, root % MODEL_GROUP, group_address(model, group, edge));
		return NULL;
	}
	error = pin(model, pinned(model, edge));
	return error ? error : unpin(model, pinned(model, old));
}

/* ---- groups --------------------------------------------------------------------------- */

/* Has the pointers where @first is, and then each @words words further. */
static void slots_fill(const struct model *model, const struct model_owner *owner,
		       struct model_group *group, void **first, uint32_t words)
{
	const struct model_edge *edges = group_edges(owner, group);
	uint32_t i;

	for (i = 0; i < MODEL_GROUP; i++) {
		group->slots[i] = first + i * words;
		slot_set(group, i, group_address(model, group, edges[i]));
	}
}

static const char *object_begin(const struct model *model, struct model_owner *owner,
				struct gcheap_thread *thread, struct model_group *group)
{
	uint32_t count = MODEL_GROUP + model_random_length(owner, UNCOLLECTABLE_MOST);
	void **object = gcheap_new_uncollectable(thread, model->table_type, count);

	if (!object)
		return gcheap_error();
	owner->allocated++;
	group->object = object;
	slots_fill(model, owner, group,
		   object + model_random(owner, count - MODEL_GROUP + 1), 1);
	return NULL;
}

static const char *pins_begin(const struct model *model, struct model_owner *owner,
			      const struct model_group *group)
{
	const struct model_edge *edges = group_edges(owner, group);
	const char *error = NULL;
	uint32_t i;

	for (i = 0; i < MODEL_GROUP && !error; i++)
		error = pin(model, pinned(model, edges[i]));
	return error;
}

static const char *pins_end(const struct model *model, struct model_owner *owner,
			    const struct model_group *group)
{
	const struct model_edge *edges = group_edges(owner, group);
	const char *error = NULL;
	uint32_t i;

	for (i = 0; i < MODEL_GROUP && !error; i++)
		error = unpin(model, pinned(model, edges[i]));
	return error;
}

/* The group's kind is set. */
static const char *group_begin(struct model *model, struct model_owner *owner,
			       struct gcheap_thread *thread, struct model_group *group)
{
	struct gcheap *heap = model->heap;
	int error = 0;

	switch (group->kind) {
	case MODEL_PRECISE:
		slots_fill(model, owner, group, group->precise, 1);
		error = gcheap_root_add(heap, group->precise, MODEL_GROUP);
		break;
	case MODEL_TYPED:
		slots_fill(model, owner, group, group->typed + 1, MODEL_TYPED_WORDS);
		error = gcheap_root_add_typed(heap, group->typed, model->root_type, MODEL_GROUP);
		break;
	case MODEL_AMBIGUOUS:
		slots_fill(model, owner, group, group->ambiguous, 1);
		error = gcheap_root_add_ambiguous(heap, group->ambiguous,
						  sizeof(group->ambiguous));
		break;
	case MODEL_UNCOLLECTABLE:
		return object_begin(model, owner, thread, group);
	case MODEL_PINNED:
		return pins_begin(model, owner, group);
	case MODEL_FRAME:
		break;
	}
	return error ? gcheap_error() : NULL;
}

/* @old: a copy of the group as it was, whose memory is the group's. */
static const char *group_end(struct model *model, struct model_owner *owner,
			     struct gcheap_thread *thread, struct model_group *group,
			     const struct model_group *old)
{
	int error = 0;

	switch (old->kind) {
	case MODEL_PRECISE:
		error = gcheap_root_remove(model->heap, group->precise);
		break;
	case MODEL_TYPED:
		error = gcheap_root_remove(model->heap, group->typed);
		break;
	case MODEL_AMBIGUOUS:
		error = gcheap_root_remove(model->heap, group->ambiguous);
		break;
	case MODEL_UNCOLLECTABLE:
		/* A heap that is about to close needs no thread for it. */
		if (thread)
			gcheap_free(thread, old->object);
		break;
	case MODEL_PINNED:
		return pins_end(model, owner, group);
	case MODEL_FRAME:
		break;
	}
	return error ? gcheap_error() : NULL;
}

static const char *group_change(struct model *model, struct model_owner *owner,
				struct gcheap_thread *thread, struct model_group *group,
				enum model_root_kind kind)
{
	struct model_group old = *group;
	const char *error;

	group->kind = kind;
	error = group_begin(model, owner, thread, group);
	return error ? error : group_end(model, owner, thread, group, &old);
}

/* One that the group can be of. */
static enum model_root_kind random_kind(struct model_owner *owner, const struct model_group *group)
{
	return (enum model_root_kind)model_random(owner, group == owner->groups ? MODEL_PINNED :
						  MODEL_ROOT_KINDS);
}

const char *model_roots_change(struct model *model, uint32_t owner, struct gcheap_thread *thread)
{
	struct model_owner *o = &model->owners[owner];
	struct model_group *group = &o->groups[model_random(o, MODEL_GROUPS)];
	enum model_root_kind kind = random_kind(o, group);

	if (group->kind == MODEL_FRAME || group->kind == kind)
		return NULL;
	return group_change(model, o, thread, group, kind);
}

/* ---- frames --------------------------------------------------------------------------- */

const char *model_frame_begin(struct model *model, uint32_t owner, struct gcheap_thread *thread,
			      void **const slots[MODEL_GROUP], struct model_group **begun)
{
	struct model_owner *o = &model->owners[owner];
	struct model_group *group, old;
	uint32_t i;

	do
		group = &o->groups[model_random(o, MODEL_GROUPS)];
	while (group->kind == MODEL_FRAME);
	old = *group;
	group->kind = MODEL_FRAME;
	for (i = 0; i < MODEL_GROUP; i++) {
		group->slots[i] = slots[i];
		*slots[i] = group_address(model, group, group_edges(o, group)[i]);
	}
	*begun = group;
	return group_end(model, o, thread, group, &old);
}

const char *model_frame_end(struct model *model, uint32_t owner, struct gcheap_thread *thread,
			    struct model_group *group)
{
	struct model_owner *o = &model->owners[owner];

	return group_change(model, o, thread, group, random_kind(o, group));
}

/* ---- an owner's ------------------------------------------------------------------------- */

void model_roots_init(struct model *model, uint32_t owner)
{
	struct model_owner *o = &model->owners[owner];
	uint32_t i;

	for (i = 0; i < MODEL_ROOTS; i++)
		o->root_edges[i] = MODEL_NOWHERE;
	for (i = 0; i < MODEL_GROUPS; i++) {
		o->groups[i].kind = (enum model_root_kind)(i % MODEL_UNCOLLECTABLE);
		assert_null(group_begin(model, o, NULL, &o->groups[i]));
	}
}

void model_roots_destroy(struct model *model, uint32_t owner)
{
	struct model_owner *o = &model->owners[owner];
	uint32_t i;

	for (i = 0; i < MODEL_GROUPS; i++)
		assert_null(group_end(model, o, NULL, &o->groups[i], &o->groups[i]));
}

const char *model_roots_check(const struct model *model, uint32_t owner, uint64_t *objects)
{
	const struct model_owner *o = &model->owners[owner];
	struct gcheap_object found;
	uint32_t at, i;

	for (at = 0; at < MODEL_GROUPS; at++) {
		const struct model_group *group = &o->groups[at];
		const struct model_edge *edges = group_edges(o, group);

		for (i = 0; group->kind != MODEL_PINNED && i < MODEL_GROUP; i++) {
			if (*group->slots[i] != group_address(model, group, edges[i]))
				return "a root has changed";
		}
		if (group->kind != MODEL_UNCOLLECTABLE)
			continue;
		++*objects;
		if (gcheap_find(model->heap, group->slots[0], &found) ||
		    found.base != group->object)
			return "an object that is a root is not in the heap";
	}
	return NULL;
}
