/* SPDX-License-Identifier: MIT */
/*
 * The module stops threads in the middle of the program, without a signal (stop_kernel.c).
 *
 * Where it can, it does so instead of the signal (stop_signal.h), which stays for what it cannot
 * do: then a stop goes by that. The world's lock is held in all of these but the first and last.
 */
#ifndef GCHEAP_LIB_STOP_KERNEL_H
#define GCHEAP_LIB_STOP_KERNEL_H

#include <stdbool.h>

#include "library.h"

struct thread;

/**
 * enum stop_kernel - what has become of an attempt
 * @STOP_KERNEL_HOLDS: all threads that ran are held
 * @STOP_KERNEL_WAITS: none is: one of them is in the library, and rests when it leaves that
 * @STOP_KERNEL_IS_BUSY: none is: it stops threads of this process for another heap
 * @STOP_KERNEL_CANNOT: none is: let the signal stop them
 */
enum stop_kernel {
	STOP_KERNEL_HOLDS,
	STOP_KERNEL_WAITS,
	STOP_KERNEL_IS_BUSY,
	STOP_KERNEL_CANNOT,
};

/* From here on it stops the threads of a heap that is being opened. False: it cannot. */
bool stop_kernel_use(struct gcheap *heap);

/* Whether it does. */
bool stop_kernel_is_used(const struct gcheap *heap);

/**
 * stop_kernel_try() - hold all threads of a heap that run
 * @heap: the heap
 * @self: the calling thread's handle, or NULL
 * @late: one that runs; receives, with STOP_KERNEL_WAITS, another one to wait for
 *
 * A thread that is held has its registers and its stack noted, as by the signal's handler, and
 * nothing else of it is changed: to itself it runs. That it is attached to other heaps is no
 * matter: their cycles wait until it goes on, as this one waits for nobody then.
 */
enum stop_kernel stop_kernel_try(struct gcheap *heap, const struct thread *self,
				 struct thread **late);

/**
 * stop_kernel_check() - have threads been held up to now?
 * @heap: the heap
 *
 * Return: 0, also when none is; -ETIMEDOUT they may have gone on, with gcheap_error() set. The
 * next stops go by the signal then.
 */
int stop_kernel_check(struct gcheap *heap);

/* Those that are held go on. */
void stop_kernel_end(struct gcheap *heap);

/* Frees what is kept for stops. */
void stop_kernel_free(struct gcheap *heap);

#endif /* GCHEAP_LIB_STOP_KERNEL_H */
