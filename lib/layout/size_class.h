/* SPDX-License-Identifier: MIT */
/*
 * Size classes at an alignment, for the layouts.
 */
#ifndef GCHEAP_LIB_LAYOUT_SIZE_CLASS_H
#define GCHEAP_LIB_LAYOUT_SIZE_CLASS_H

#include <stdint.h>

/* Smallest class whose slots have @bytes and keep @align; 0: there is none. */
uint32_t size_class_aligned(uint64_t bytes, uint64_t align);

#endif /* GCHEAP_LIB_LAYOUT_SIZE_CLASS_H */
