// SPDX-License-Identifier: MIT
/*
 * The line that gcheap_error() returns, one a thread.
 */
#include "error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <gcheap.h>

/*
 * In the block that a thread begins with: to make one at first use takes memory of the C library,
 * which a thread may have in hand that is stopped.
 */
#define INITIAL		__attribute__((tls_model("initial-exec")))

static __thread char error_line[512] INITIAL;
static __thread char error_saved[sizeof(error_line)] INITIAL;

/* One line: values that others made up may have anything in them. */
static void error_write(const char *format, va_list args)
{
	unsigned char *at = (unsigned char *)error_line;

	vsnprintf(error_line, sizeof(error_line), format, args);
	for (; *at; at++) {
		if (*at < ' ' || *at == 0x7f)
			*at = '?';
	}
}

void error_save(void)
{
	memcpy(error_saved, error_line, sizeof(error_line));
}

void error_restore(void)
{
	memcpy(error_line, error_saved, sizeof(error_line));
}

int error_set(int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	error_write(format, args);
	va_end(args);
	return error;
}

void *error_null(int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	error_write(format, args);
	va_end(args);
	errno = -error;
	return NULL;
}

const char *gcheap_error(void)
{
	return error_line[0] ? error_line : "no call has failed in this thread";
}
