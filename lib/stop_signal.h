/* SPDX-License-Identifier: MIT */
/*
 * The signal that stops threads in the middle of the program (stop_signal.c). There is one for
 * the process.
 */
#ifndef GCHEAP_LIB_STOP_SIGNAL_H
#define GCHEAP_LIB_STOP_SIGNAL_H

#include <stdbool.h>

#include "library.h"

struct thread;

/**
 * stop_signal_choose() - have a signal for threads that do not stop by themselves
 * @wanted: its number; 0: any that is free; negative: none
 * @leave: what a thread does that was asked to stop, when it leaves the library
 *
 * It stays. Return: 0; -EBUSY @wanted is somebody else's, or another one was chosen before, with
 * gcheap_error() set.
 */
int stop_signal_choose(int wanted, void (*leave)(void));

/* Its number; 0: there is none. */
int stop_signal_number(void);

/* Whether it stops the threads of a heap that do not stop by themselves. */
bool stop_signal_is_used(const struct gcheap *heap);

/* Sends it to a thread. False: the kernel has no room for it now (RLIMIT_SIGPENDING). */
bool stop_signal_send(const struct thread *thread);

#endif /* GCHEAP_LIB_STOP_SIGNAL_H */
