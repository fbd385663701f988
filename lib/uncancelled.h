/* SPDX-License-Identifier: MIT */
/*
 * Blocks in which a thread is not cancelled.
 *
 * What opens, reads, writes or closes files, or waits, is a point where POSIX lets
 * pthread_cancel() end a thread. The library may have a lock there, or a heap that is half open or
 * half closed: whatever it calls of that kind, it calls in such a block. A cancellation that came
 * meanwhile waits for the program's next point.
 */
#ifndef GCHEAP_LIB_UNCANCELLED_H
#define GCHEAP_LIB_UNCANCELLED_H

#include <pthread.h>

static inline int uncancelled_begin(void)
{
	int state;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	return state;
}

static inline void uncancelled_end(int *state)
{
	pthread_setcancelstate(*state, NULL);
}

/* To the end of the block. It stands before what is cleaned up at the end, too. */
#define UNCANCELLED								\
	int uncancelled_ __attribute__((cleanup(uncancelled_end), unused)) = uncancelled_begin()

#endif /* GCHEAP_LIB_UNCANCELLED_H */
