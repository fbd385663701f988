/* SPDX-License-Identifier: MIT */
/*
 * Memory for what is made or freed under a lock that a collector takes, too (memory.c).
 *
 * malloc() is none for that: a thread which is not attached would wait, with the lock, for a
 * thread that was stopped in the middle of malloc(), and the collector for the lock.
 */
#ifndef GCHEAP_LIB_MEMORY_H
#define GCHEAP_LIB_MEMORY_H

#include <stddef.h>

/* Zeroed, aligned to 16 bytes; NULL: there is none. */
void *memory_zalloc(size_t bytes);

/* The same with what @memory, or NULL, has; NULL: @memory is as it was. */
void *memory_grow(void *memory, size_t bytes);

/* @memory: or NULL. */
void memory_free(void *memory);

#endif /* GCHEAP_LIB_MEMORY_H */
