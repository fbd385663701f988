/* SPDX-License-Identifier: MIT */
/*
 * What to do when the heap is larger than its memory limit (limit.c).
 */
#ifndef GCHEAP_LIB_LIMIT_H
#define GCHEAP_LIB_LIMIT_H

#include <stdbool.h>

struct gcheap;

/* Whether object memory is more than the heap's memory limit. */
bool limit_is_exceeded(const struct gcheap *heap);
/* Gives free memory back, if there is any, until the rest is within the limit. */
void limit_keep(struct gcheap *heap);

#endif /* GCHEAP_LIB_LIMIT_H */
