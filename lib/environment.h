/* SPDX-License-Identifier: MIT */
/*
 * The environment's variables (environment.c).
 */
#ifndef GCHEAP_LIB_ENVIRONMENT_H
#define GCHEAP_LIB_ENVIRONMENT_H

/* A variable's value; NULL: not set, empty, or the program is a setuid one. */
const char *environment_value(const char *name);

/*
 * Names on stderr, once a process, the variables that begin as the library's do and that
 * nothing of gcheap reads: a setting that was mistyped would do nothing in silence.
 */
void environment_report_unknown(void);

#endif /* GCHEAP_LIB_ENVIRONMENT_H */
