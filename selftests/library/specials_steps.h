/* SPDX-License-Identifier: MIT */
/*
 * What the two halves of the model of specials (specials_model.h) share: objects and pointers,
 * specials_model.c, and what is special about objects, specials_steps.c.
 */
#ifndef GCHEAP_LIBRARY_SPECIALS_STEPS_H
#define GCHEAP_LIBRARY_SPECIALS_STEPS_H

#include "specials_model.h"

/* Does something at random about an object's specials. */
void shadow_special_step(struct shadow_worker *worker);

/* Unpins all that the worker has pinned. */
void shadow_unpin_all(struct shadow_worker *worker);

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
