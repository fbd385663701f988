/* SPDX-License-Identifier: MIT */
/*
 * Threads that keep a cycle waiting (late.c).
 */
#ifndef GCHEAP_LIB_LATE_H
#define GCHEAP_LIB_LATE_H

#include <stdbool.h>
#include <sys/types.h>

struct entry_state;

/**
 * struct late - one of them
 * @tid: which
 * @signal: what stops the heap's threads; 0: nothing does
 * @is_unsent: the kernel had no room for it
 * @entry: whether the thread is in the library
 */
struct late {
	pid_t tid;
	int signal;
	bool is_unsent;
	const struct entry_state *entry;
};

/*
 * Says on stderr which thread a cycle waits for, where it is, and what can be done. Takes no lock
 * and no memory of the C library: threads are stopped that may have them.
 */
void late_report(const struct late *late);

#endif /* GCHEAP_LIB_LATE_H */
