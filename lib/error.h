/* SPDX-License-Identifier: MIT */
/*
 * The line that gcheap_error() returns, one a thread: whoever fails says there what has failed,
 * and what to do.
 */
#ifndef GCHEAP_LIB_ERROR_H
#define GCHEAP_LIB_ERROR_H

/* Sets this thread's gcheap_error() line and returns @error (a negative errno). */
int error_set(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same for functions that return NULL: sets errno too. */
void *error_null(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * Keep the line aside, and put it back: of a call that succeeds nothing stays that has
 * failed on its way. Not nested.
 */
void error_save(void);
void error_restore(void);

#endif /* GCHEAP_LIB_ERROR_H */
