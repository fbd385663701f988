/* SPDX-License-Identifier: MIT */
/*
 * The roots of a model (model.h), which are of all kinds that keep exactly what they lead to.
 *
 * Roots come in groups, each of which is of one kind for a while, and of another one afterwards.
 * What the group has left there still leads to objects, and must keep none.
 */
#ifndef GCHEAP_LIBRARY_TEST_MODEL_ROOTS_H
#define GCHEAP_LIBRARY_TEST_MODEL_ROOTS_H

#include <gcheap.h>

#define MODEL_GROUP	4u	/* roots of a group */
/* Of the structs that are typed roots: the pointer is the one in the middle. */
#define MODEL_TYPED_WORDS	3u

struct model;
struct model_edge;

/* What a group is. Of those before MODEL_PINNED, something can be kept that nothing else keeps. */
enum model_root_kind {
	MODEL_PRECISE,		/* gcheap_root_add() */
	MODEL_TYPED,		/* gcheap_root_add_typed(), with old pointers beside the pointers */
	MODEL_AMBIGUOUS,	/* gcheap_root_add_ambiguous(), of these words alone */
	MODEL_UNCOLLECTABLE,	/* in an object of gcheap_new_uncollectable() */
	MODEL_PINNED,		/* gcheap_pin() */
	MODEL_ROOT_KINDS,
	MODEL_FRAME = MODEL_ROOT_KINDS	/* variables of GCHEAP_FRAME */
};

/**
 * struct model_group - some roots of one kind
 * @kind: which
 * @slots: where the pointers are; not of MODEL_PINNED
 * @precise: memory for MODEL_PRECISE
 * @typed: for MODEL_TYPED
 * @ambiguous: for MODEL_AMBIGUOUS
 * @object: of MODEL_UNCOLLECTABLE
 */
struct model_group {
	enum model_root_kind kind;
	void **slots[MODEL_GROUP];
	void *precise[MODEL_GROUP];
	void *typed[MODEL_GROUP * MODEL_TYPED_WORDS];
	void *ambiguous[MODEL_GROUP];
	void *object;
};

/* All of an owner's roots are NULL, of those kinds that need no thread. */
void model_roots_init(struct model *model, uint32_t owner);
void model_roots_destroy(struct model *model, uint32_t owner);

/* Has a root lead elsewhere, which something else does meanwhile: root 0 can do without that. */
const char *model_root_set(struct model *model, uint32_t owner, uint32_t root,
			   struct model_edge edge);

/* A group becomes of another kind, both at random; @thread is the owner's. */
const char *model_roots_change(struct model *model, uint32_t owner, struct gcheap_thread *thread);

/**
 * model_frame_begin() - let variables of a frame be a group
 * @model: the model
 * @owner: the calling thread's
 * @thread: the calling thread, in whose frame they are
 * @slots: the variables' addresses
 * @begun: receives the group, one that was in no frame yet, for model_frame_end()
 *
 * Return: what went wrong; NULL: nothing.
 */
const char *model_frame_begin(struct model *model, uint32_t owner, struct gcheap_thread *thread,
			      void **const slots[MODEL_GROUP], struct model_group **begun);

/* The frame is about to end: the group is of another kind. */
const char *model_frame_end(struct model *model, uint32_t owner, struct gcheap_thread *thread,
			    struct model_group *group);

/**
 * model_roots_check() - compare an owner's roots with the model
 * @model: the model; nobody works on it
 * @owner: the owner
 * @objects: more by those that are roots, and are no nodes
 *
 * Return: what is wrong; NULL: nothing.
 */
const char *model_roots_check(const struct model *model, uint32_t owner, uint64_t *objects);

#endif /* GCHEAP_LIBRARY_TEST_MODEL_ROOTS_H */
