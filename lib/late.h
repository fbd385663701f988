/* SPDX-License-Identifier: MIT */
/*
 * Threads that keep a cycle waiting (late.c).
 */
#ifndef GCHEAP_LIB_LATE_H
#define GCHEAP_LIB_LATE_H

#include <sys/types.h>

/*
 * Says on stderr which thread a cycle waits for, and where it is. Takes no lock and no memory of
 * the C library: threads are stopped that may have them.
 */
void late_report(pid_t tid);

#endif /* GCHEAP_LIB_LATE_H */
