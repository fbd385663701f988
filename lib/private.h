/* SPDX-License-Identifier: MIT */
/*
 * Private memory: anonymous pages that a child of fork() sees as zeros.
 */
#ifndef GCHEAP_LIB_PRIVATE_H
#define GCHEAP_LIB_PRIVATE_H

#include <stddef.h>

/* Zeroed, whole pages; NULL: out of memory. */
void *private_alloc(size_t bytes);
/* @bytes as it was allocated. */
void private_free(void *memory, size_t bytes);

#endif /* GCHEAP_LIB_PRIVATE_H */
