// SPDX-License-Identifier: MIT
/*
 * Threads that keep a cycle waiting: which, and where they are, by /proc. It takes longer than
 * anybody should wait anyway.
 */
#define _GNU_SOURCE
#include "late.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A file's first bytes, without the newline at their end; how many. */
static size_t file_read(pid_t tid, const char *name, char *text, size_t room)
{
	char path[64];
	ssize_t bytes = 0;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/%s", tid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		bytes = read(fd, text, room - 1);
		close(fd);
	}
	if (bytes < 0)
		bytes = 0;
	if (bytes && text[bytes - 1] == '\n')
		bytes--;
	text[bytes] = 0;
	return (size_t)bytes;
}

/*
 * "running" or, of a thread that sleeps in the kernel, the number of the system call, its
 * arguments, the stack pointer and the address in the program.
 */
static void where_is(pid_t tid, char *text, size_t room)
{
	char file[256];
	char *address;

	if (!file_read(tid, "syscall", file, sizeof(file)) || !strncmp(file, "running", 7)) {
		snprintf(text, room, "it runs");
		return;
	}
	address = strrchr(file, ' ');
	snprintf(text, room, "it is in system call %d, called at %s", atoi(file),
		 address ? address + 1 : "?");
}

void late_report(pid_t tid)
{
	char name[32], where[80], line[400];
	int bytes;

	file_read(tid, "comm", name, sizeof(name));
	where_is(tid, where, sizeof(where));
	bytes = snprintf(line, sizeof(line),
			 "gcheap: a cycle has waited for a second for thread %d (%s): %s; let it "
			 "call gcheap_safepoint(), or gcheap_park() before it blocks, and not "
			 "block the signal that stops threads\n", tid, name, where);
	if (bytes > 0 && write(STDERR_FILENO, line, (size_t)bytes) < 0)
		return;
}
