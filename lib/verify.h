/* SPDX-License-Identifier: MIT */
/*
 * Whether a heap is sound (verify.c).
 */
#ifndef GCHEAP_LIB_VERIFY_H
#define GCHEAP_LIB_VERIFY_H

struct gcheap;

/* gcheap_verify(), for who has stopped the heap's other threads. */
int verify_stopped(struct gcheap *heap);

#endif /* GCHEAP_LIB_VERIFY_H */
