// SPDX-License-Identifier: MIT
/*
 * Address space for regions.
 */
#define _GNU_SOURCE
#include "backend.h"

#include <stddef.h>
#include <sys/mman.h>

void *backend_reserve(uint64_t bytes, uint64_t align)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	uint64_t room = bytes + align;
	char *start = mmap(NULL, room, PROT_NONE, flags, -1, 0);
	uint64_t before;

	if (start == MAP_FAILED)
		return NULL;
	/* Room to spare before and after the aligned part goes back. */
	before = -(uint64_t)(uintptr_t)start & (align - 1);
	if (before)
		munmap(start, before);
	munmap(start + before + bytes, room - before - bytes);
	return start + before;
}
