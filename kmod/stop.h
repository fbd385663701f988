/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* STOP and RESUME: the threads of a heap's owner; see stop.c. */
#ifndef GCHEAP_STOP_H
#define GCHEAP_STOP_H

#include "module.h"

bool stop_works(void);
int stop_threads(struct gcheap_heap *heap, struct gcheap_stop *stop);
int stop_resume(struct gcheap_heap *heap, const struct gcheap_resume *resume);
void stop_break(struct gcheap_heap *heap);
void stop_forget(struct gcheap_heap *heap);
void stop_exit(void);

#endif /* GCHEAP_STOP_H */
