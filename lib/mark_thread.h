/* SPDX-License-Identifier: MIT */
/*
 * The threads of all markers but the first (mark_thread.c).
 */
#ifndef GCHEAP_LIB_MARK_THREAD_H
#define GCHEAP_LIB_MARK_THREAD_H

#include "mark_edge.h"

/* A marker beside the first, without a thread yet; NULL: no memory. */
struct marker *mark_helper_new(const struct marker *first, uint32_t number);
void mark_helper_free(struct marker *marker);

/*
 * Makes the threads that there may be, if there are none. malloc() is called, so no thread of
 * the heap may be stopped. What fails leaves fewer markers.
 */
void mark_threads_make(struct marker *first);

/* Ends them, and frees what they had. @are_here: this is not a child of fork(). */
void mark_threads_end(struct marker *first, bool are_here);

#endif /* GCHEAP_LIB_MARK_THREAD_H */
