// SPDX-License-Identifier: MIT
/*
 * Memory that fork() wipes in the child (MADV_WIPEONFORK, Linux 4.14).
 */
#define _GNU_SOURCE
#include "wipe_on_fork.h"

#include <sys/mman.h>

void *wipe_on_fork_alloc(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);

	if (memory == MAP_FAILED)
		return NULL;
	if (madvise(memory, bytes, MADV_WIPEONFORK)) {
		munmap(memory, bytes);
		return NULL;
	}
	return memory;
}

void wipe_on_fork_free(void *memory, size_t bytes)
{
	if (memory)
		munmap(memory, bytes);
}
