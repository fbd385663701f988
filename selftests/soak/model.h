/* SPDX-License-Identifier: MIT */
/*
 * A mutator with a model of what it has built: which objects are alive, what is in
 * them, and which of them point where.
 */
#ifndef GCHEAP_SOAK_MODEL_H
#define GCHEAP_SOAK_MODEL_H

#include <stdint.h>

#include <gcheap.h>

struct model;

/**
 * struct model_figures - what a mutator did
 * @steps: operations
 * @objects: objects allocated
 * @checks: comparisons of the whole heap with the model
 * @checked: objects compared
 * @refused: allocations that failed for want of memory
 * @chunks: chunks of user arenas that were used
 * @events: pressure events that the kernel counted
 */
struct model_figures {
	uint64_t steps, objects, checks, checked, refused, chunks, events;
};

/* A heap of this layout with a model; @live_bytes is about how much it keeps alive. */
struct model *model_open(enum gcheap_layout layout, uint64_t seed, uint64_t live_bytes);

/* One random operation; ends the process with a message when memory is not as it was. */
void model_step(struct model *model);

/* Compare all that is alive with the model, and have the heap check itself. */
void model_check(struct model *model);

void model_close(struct model *model, struct model_figures *figures);

#endif /* GCHEAP_SOAK_MODEL_H */
