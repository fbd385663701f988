/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the model of specials (specials_model.h) share that work on heap and shadow:
 * objects and pointers, specials_model.c; what is special about objects, specials_steps.c;
 * functions that run when objects have died, specials_functions.c; weak maps, specials_weak_maps.c.
 */
#ifndef GCHEAP_LIBRARY_SPECIALS_STEPS_H
#define GCHEAP_LIBRARY_SPECIALS_STEPS_H

#include "specials_model.h"

static inline struct gcheap *heap_of(const struct shadow_worker *worker)
{
	return worker->shadow->heap;
}

static inline struct shadow_owner *owner_of(const struct shadow_worker *worker)
{
	return &worker->shadow->owners[worker->owner];
}

/* ---- what is special ---------------------------------------------------------------------- */

/* Does something at random about an object's specials. */
void shadow_special_step(struct shadow_worker *worker);

/* Unpins all that the worker has pinned. */
void shadow_unpin_all(struct shadow_worker *worker);

/* Who calls this has called the library: @error is 0, or something went wrong. */
void shadow_expect(struct shadow_worker *worker, int error);

/* Of an owner's nodes, what is special about them. A cycle may run before it returns. */
void shadow_guard_take(struct shadow_worker *worker, uint32_t owner);
void shadow_guard_give(struct shadow_worker *worker, uint32_t owner);

void shadow_weak_new(struct shadow_worker *worker, uint32_t number);
void shadow_ephemeron_any(struct shadow_worker *worker, uint32_t key);

/* ---- functions ---------------------------------------------------------------------------- */

void shadow_finalizer_set(struct shadow_worker *worker, uint32_t number);
void shadow_finalizer_clear(struct shadow_worker *worker, uint32_t number);
void shadow_cleanup_add(struct shadow_worker *worker, uint32_t number);
/* One of a node's, if it has one at the place that is chosen. */
void shadow_cleanup_remove(struct shadow_worker *worker, uint32_t number);

/* Runs what is queued, if the worker may. */
void shadow_run(struct shadow_worker *worker);

/* The lock is held for a moment, and by nobody whom a cycle may stop meanwhile. */
void shadow_actions_lock(struct shadow *shadow);
void shadow_actions_unlock(struct shadow *shadow);

/* An action is of nothing any more; SHADOW_NONE: there is none. */
void shadow_action_give(struct shadow *shadow, uint32_t index);

/* ---- weak maps ---------------------------------------------------------------------------- */

/* Does something at random with a map, or about an object, unless that is SHADOW_NONE. */
void shadow_map_step(struct shadow_worker *worker, uint32_t number);

/* An object becomes the key of a map, or owns one. */
void shadow_map_any(struct shadow_worker *worker, uint32_t number);

/* Of an owner's maps. It is held for a moment, and by nobody whom a cycle may stop meanwhile. */
void shadow_maps_lock(struct shadow *shadow, uint32_t owner);
void shadow_maps_unlock(struct shadow *shadow, uint32_t owner);

/*
 * An object that only the worker knows is in maps of the worker's, and is given back then, with the
 * lock held from before the first to after the second.
 */
void shadow_maps_fill(struct shadow_worker *worker, uint32_t number);
void shadow_maps_forget(struct shadow_worker *worker, uint32_t number);

/* ---- objects and pointers ----------------------------------------------------------------- */

/* A pointer to a node, or into it. */
struct shadow_edge shadow_edge_to(struct shadow_worker *worker, uint32_t number);

/* In these, SHADOW_NONE is none: at random there is not always one. */

/* One of the worker's own nodes that its roots lead to over nodes of its own. */
uint32_t shadow_own_node(struct shadow_worker *worker);

/* What one of its roots has, whoever owns it. */
uint32_t shadow_any_root(struct shadow_worker *worker);

/* An object about which something is to be said. */
uint32_t shadow_target(struct shadow_worker *worker);

/* A leaf, or weak reference, for an argument: it never leads to the argument's object. */
uint32_t shadow_leaf(struct shadow_worker *worker, bool or_weak);

/* A new object, which the worker's first root keeps until it is kept elsewhere. */
uint32_t shadow_make(struct shadow_worker *worker);

/* A pointer to it goes into another object, or a root. */
void shadow_keep(struct shadow_worker *worker, uint32_t number);

void shadow_root_set(struct shadow_worker *worker, uint32_t place, struct shadow_edge edge);

/* A number for a node; there is one. */
uint32_t shadow_take_number(struct shadow_worker *worker);

#endif /* GCHEAP_LIBRARY_SPECIALS_STEPS_H */
