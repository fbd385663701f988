// SPDX-License-Identifier: MIT
/*
 * What the library says on stderr.
 */
#include "report.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "uncancelled.h"

void report(const char *format, ...)
{
	/* A thread that is cancelled here may have the world's lock, and would keep it. */
	UNCANCELLED;
	int error = errno;
	char text[1024];
	const char *at = text;
	va_list args;
	ssize_t bytes;
	int left;

	va_start(args, format);
	left = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (left >= (int)sizeof(text))
		left = sizeof(text) - 1;
	while (left > 0) {
		bytes = write(STDERR_FILENO, at, (size_t)left);
		if (bytes < 0 && errno == EINTR)
			continue;
		if (bytes <= 0)
			break;
		at += bytes;
		left -= (int)bytes;
	}
	errno = error;
}
