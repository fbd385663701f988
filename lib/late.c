// SPDX-License-Identifier: MIT
/*
 * Threads that keep a cycle waiting: which, and where they are, by /proc. It takes longer than
 * anybody should wait anyway.
 */
#define _GNU_SOURCE
#include "late.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "entry.h"
#include "report.h"
#include "uncancelled.h"

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

/* What the kernel says of it: "running", or in which system call it is and from where. */
static void where_is(pid_t tid, char *text, size_t room)
{
	char file[256];
	const char *address;

	if (!file_read(tid, "syscall", file, sizeof(file))) {
		snprintf(text, room, "the kernel does not say where");
		return;
	}
	if (!strncmp(file, "running", 7)) {
		snprintf(text, room, "computing");
		return;
	}
	address = strrchr(file, ' ');
	snprintf(text, room, "in system call %d, called at %s", atoi(file),
		 address ? address + 1 : "?");
}

/* Its state by stat(5): R, S, D, T ... The name before it may have anything in it. */
static char state_of(pid_t tid)
{
	char file[512];
	const char *at;

	if (!file_read(tid, "stat", file, sizeof(file)))
		return '?';
	at = strrchr(file, ')');
	return at && at[1] == ' ' && at[2] ? at[2] : '?';
}

static bool blocks(pid_t tid, int number)
{
	char file[2048];
	const char *at;

	if (!number || !file_read(tid, "status", file, sizeof(file)))
		return false;
	at = strstr(file, "\nSigBlk:");
	return at && strtoull(at + 8, NULL, 16) >> (number - 1) & 1;
}

/* It is the other thread's, which writes it meanwhile. */
__attribute__((no_sanitize("thread")))
static bool is_in_library(const struct entry_state *entry)
{
	return entry->depth;
}

void late_report(const struct late *late)
{
	/* As in report(): files are read, too. */
	UNCANCELLED;
	bool in_library = is_in_library(late->entry);
	char name[32], where[80], why[120];

	file_read(late->tid, "comm", name, sizeof(name));
	where_is(late->tid, where, sizeof(where));
	if (in_library)
		snprintf(why, sizeof(why), "it rests when it leaves the library");
	else if (blocks(late->tid, late->signal))
		snprintf(why, sizeof(why), "it blocks signal %d, which would stop it: unblock "
			 "it", late->signal);
	else if (late->signal && late->is_unsent)
		snprintf(why, sizeof(why), "the kernel has no room for signal %d, which would "
			 "stop it: raise RLIMIT_SIGPENDING", late->signal);
	else if (late->signal)
		snprintf(why, sizeof(why), "signal %d was sent to it", late->signal);
	else
		snprintf(why, sizeof(why), "no signal stops threads of heaps without "
			 "GCHEAP_CONSERVATIVE_STACKS, or without stop_signal");
	report("gcheap: a cycle has waited for a second for thread %d (%s): in the %s, %s "
	       "(state %c); %s%s\n", late->tid, name, in_library ? "library" : "program", where,
	       state_of(late->tid), why,
	       in_library ? "" : "; or let it call gcheap_safepoint(), or gcheap_park() before it "
	       "blocks");
}
