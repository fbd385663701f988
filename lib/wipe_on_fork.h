/* SPDX-License-Identifier: MIT */
/*
 * Anonymous memory that a child of fork() sees as zeros.
 */
#ifndef GCHEAP_LIB_WIPE_ON_FORK_H
#define GCHEAP_LIB_WIPE_ON_FORK_H

#include <stddef.h>

/* Zeroed, whole pages; NULL: out of memory. */
void *wipe_on_fork_alloc(size_t bytes);
/* @bytes as it was allocated. */
void wipe_on_fork_free(void *memory, size_t bytes);

#endif /* GCHEAP_LIB_WIPE_ON_FORK_H */
