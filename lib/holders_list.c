// SPDX-License-Identifier: MIT
/*
 * What was found of an object's holders, and how they are called. Threads are stopped, perhaps in
 * malloc(): the memory is the library's own.
 */
#define _GNU_SOURCE
#include "holders.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "memory.h"
#include "thread.h"
#include "uncancelled.h"

#define HOLDERS_MIN	16u
#define COMM_BYTES	16u

/**
 * struct holder_name - what some holders are called
 * @next: another one
 * @text: it
 */
struct holder_name {
	struct holder_name *next;
	char text[];
};

static void out_of_memory(struct holders *holders)
{
	if (!holders->error)
		holders->error = error_set(-ENOMEM, "out of memory for the holders of %p: "
					   "there are more than %zu", holders->obj,
					   holders->count);
}

static bool holders_grow(struct holders *holders)
{
	size_t capacity = holders->capacity ? holders->capacity * 2 : HOLDERS_MIN;
	struct gcheap_holder *all = memory_grow(holders->all, capacity * sizeof(*all));

	if (!all) {
		out_of_memory(holders);
		return false;
	}
	holders->all = all;
	holders->capacity = capacity;
	return true;
}

struct gcheap_holder *holders_add(struct holders *holders, enum gcheap_holder_kind kind,
				  const void *slot, const void *pointer, const char *name)
{
	struct gcheap_holder *holder;

	if (holders->error || (holders->count == holders->capacity && !holders_grow(holders)))
		return NULL;
	holder = &holders->all[holders->count++];
	*holder = (struct gcheap_holder) {
		.size = sizeof(*holder), .kind = kind, .slot = slot, .pointer = pointer,
		.name = name,
	};
	return holder;
}

const char *holders_name(struct holders *holders, const char *format, ...)
{
	struct holder_name *name;
	va_list args;
	int length;

	if (holders->name || holders->error)
		return holders->name;
	va_start(args, format);
	length = vsnprintf(NULL, 0, format, args);
	va_end(args);
	name = memory_zalloc(sizeof(*name) + (size_t)length + 1);
	if (!name) {
		out_of_memory(holders);
		return NULL;
	}
	va_start(args, format);
	vsnprintf(name->text, (size_t)length + 1, format, args);
	va_end(args);
	name->next = holders->names;
	holders->names = name;
	holders->name = name->text;
	return name->text;
}

/* The name of a thread, which may be stopped anywhere: the C library's function allocates. */
static void thread_comm(const struct thread *thread, char comm[COMM_BYTES + 1])
{
	UNCANCELLED;
	char path[64];
	ssize_t length;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/comm", thread->tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	length = fd < 0 ? 0 : read(fd, comm, COMM_BYTES);
	if (fd >= 0)
		close(fd);
	comm[length > 0 ? length : 0] = 0;
	comm[strcspn(comm, "\n")] = 0;
}

const char *holders_thread_name(struct holders *holders, const char *what,
				const struct thread *thread)
{
	char comm[COMM_BYTES + 1];

	if (holders->name)
		return holders->name;
	thread_comm(thread, comm);
	return comm[0] ? holders_name(holders, "%s thread %d (%s)", what, thread->tid, comm) :
			 holders_name(holders, "%s thread %d", what, thread->tid);
}

void holders_drop(struct holders *holders)
{
	while (holders->names) {
		struct holder_name *name = holders->names;

		holders->names = name->next;
		memory_free(name);
	}
	memory_free(holders->all);
	holders->all = NULL;
	holders->count = 0;
	holders->capacity = 0;
	holders->name = NULL;
	holders->error = 0;
}
