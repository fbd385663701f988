/* SPDX-License-Identifier: MIT */
/*
 * Memory that the program loader knows: static variables of the program and its
 * libraries, and the calling thread's thread-local storage (loaded.c).
 */
#ifndef GCHEAP_LIB_LOADED_H
#define GCHEAP_LIB_LOADED_H

#include <stdint.h>

struct thread;

/**
 * loaded_mark() - mark what that memory leads to, as far as it was added
 * @thread: the calling mutator
 *
 * Return: how many bytes it went through.
 */
uint64_t loaded_mark(struct thread *thread);

#endif /* GCHEAP_LIB_LOADED_H */
