// SPDX-License-Identifier: MIT
/*
 * The clock that the library measures with.
 */
#include "clock.h"

#include <time.h>

static uint64_t clock_read(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

uint64_t clock_ns(void)
{
	return clock_read(CLOCK_MONOTONIC);
}

uint64_t clock_coarse_ns(void)
{
	return clock_read(CLOCK_MONOTONIC_COARSE);
}

uint64_t clock_process_ns(void)
{
	return clock_read(CLOCK_PROCESS_CPUTIME_ID);
}
