/* SPDX-License-Identifier: MIT */
/*
 * Following edges: from what is marked to what that leads to, until nothing is left.
 */
#ifndef GCHEAP_LIB_MARK_TRACE_H
#define GCHEAP_LIB_MARK_TRACE_H

struct marker;

/* Empty the stack. */
void mark_drain(struct marker *marker);

#endif /* GCHEAP_LIB_MARK_TRACE_H */
