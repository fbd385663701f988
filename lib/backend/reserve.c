// SPDX-License-Identifier: MIT
/*
 * Address space for regions.
 *
 * If a process has called mlockall(MCL_FUTURE), the kernel populates and locks all that
 * it maps at once, and a reserve may be larger than the machine's memory. So this file
 * has regions locked as they are touched, and a heap takes what it uses; it has them not
 * locked at all where they are together more than RLIMIT_MEMLOCK allows.
 */
#define _GNU_SOURCE
#include "backend.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#define MAP_UNIT	4096u

/* Linux 5.18; older headers do not know it. */
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED	24
#endif

static void *map_plain(uint64_t bytes)
{
	return mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

/* A mapping that is not locked grows into one that is not, whatever its length. */
static void *map_unlocked(uint64_t bytes)
{
	char *start = map_plain(MAP_UNIT);
	char *grown;

	if (start == MAP_FAILED)
		return MAP_FAILED;
	munlock(start, MAP_UNIT);
	grown = mremap(start, MAP_UNIT, bytes, MREMAP_MAYMOVE);
	if (grown == MAP_FAILED)
		munmap(start, MAP_UNIT);
	return grown;
}

/* The system refuses to take memory from a locked mapping this way, and from no other. */
static bool is_locked(void *start)
{
	return madvise(start, MAP_UNIT, MADV_DONTNEED) && errno == EINVAL;
}

static void *map_room(uint64_t bytes)
{
	void *start = map_plain(bytes);

	if (start == MAP_FAILED && errno == EAGAIN)
		return map_unlocked(bytes);
	if (start != MAP_FAILED && is_locked(start) && mlock2(start, bytes, MLOCK_ONFAULT))
		munlock(start, bytes);
	return start;
}

void *backend_reserve(uint64_t bytes, uint64_t align)
{
	uint64_t room = bytes + align;
	char *start = map_room(room);
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

bool backend_has_room(uint64_t bytes)
{
	void *start = backend_reserve(bytes, MAP_UNIT);

	if (start)
		munmap(start, bytes);
	return start;
}

void backend_drop_memory(void *start, uint64_t bytes)
{
	if (!madvise(start, bytes, MADV_DONTNEED) ||
	    !madvise(start, bytes, MADV_DONTNEED_LOCKED))
		return;
	if (!munlock(start, bytes) && !madvise(start, bytes, MADV_DONTNEED))
		return;
	/* It cannot go, and must be zero all the same. */
	memset(start, 0, bytes);
}

void backend_prefer_huge_pages(const struct backend *backend, void *start, uint64_t bytes)
{
	int error = errno;

	/* The device has its own. That the kernel has none is no failure. */
	if (backend->ops->kind == GCHEAP_BACKEND_LOCAL)
		madvise(start, bytes, MADV_HUGEPAGE);
	errno = error;
}
