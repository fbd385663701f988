/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * A heap's figures and state, for those who look: the owner in the CTRL region, and
 * whoever asks by STATS.
 */
#ifndef GCHEAP_CORE_COUNTERS_H
#define GCHEAP_CORE_COUNTERS_H

#include "heap.h"

/* Brings those of the counters up to date that are kept elsewhere. */
void heap_update_counters(struct heap *heap);

/* Copies the heap's state to the CTRL region. */
void heap_publish(struct heap *heap);

/* Copies figures word by word: a reader beside this sees each of them whole. */
void counters_copy(struct gcheap_counters *to, const struct gcheap_counters *from);

#endif /* GCHEAP_CORE_COUNTERS_H */
