/* SPDX-License-Identifier: MIT */
/*
 * Following edges: from what is marked to what that leads to, until nothing is left.
 */
#ifndef GCHEAP_LIB_MARK_TRACE_H
#define GCHEAP_LIB_MARK_TRACE_H

struct marker;

/* Empty the first marker's stack, with the others' help. All others are idle then. */
void mark_drain(struct marker *marker);
/* Be one of the others: returns when the team ends. */
void mark_help(struct marker *marker);

#endif /* GCHEAP_LIB_MARK_TRACE_H */
