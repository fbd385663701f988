/* SPDX-License-Identifier: MIT */
/*
 * What to do when the system is short of memory (pressure.c).
 */
#ifndef GCHEAP_LIB_PRESSURE_H
#define GCHEAP_LIB_PRESSURE_H

#include <stdbool.h>
#include <stdint.h>

struct gcheap;

/* Whether a cycle should run because the kernel wants memory. */
bool pressure_is_due(struct gcheap *heap);
/* A cycle begins: the level of pressure that it answers to. */
uint32_t pressure_cycle_begins(struct gcheap *heap);
/* It has freed what was dead: gives memory back if that was the wish. */
void pressure_cycle_ended(struct gcheap *heap, uint32_t level);

#endif /* GCHEAP_LIB_PRESSURE_H */
