// SPDX-License-Identifier: MIT
/*
 * The environment's variables.
 */
#define _GNU_SOURCE
#include "environment.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#define PREFIX		"GCHEAP_"
#define PREFIX_LENGTH	(sizeof(PREFIX) - 1)
#define NAME_LENGTH_MAX	64

/* What the library reads. */
#define NAMES_LIBRARY	"BACKEND", "LAYOUT", "RESERVE", "GC", "MEMLIMIT", "MARKERS", "ISA", \
			"TRACE", \
			"VERIFY", "FAULT_FREED", "HUGE_PAGES", "URING", "STOP_SIGNAL", "STOP", \
			"FINALIZER_THREAD", "GUARDS"
/* Flags that a program alone can set, because they change what it may do with its heap. */
#define NAMES_FLAGS	"CONSERVATIVE_STACKS", "RECORD_TYPES", "CONCURRENT", "WRITE_TRACKING", \
			"GENERATIONAL"
/* What scripts, tests and benchmarks read. */
#define NAMES_TOOLS	"CACHE", "SEED", "OPS", "DOOR", "RANGES", "ROUNDS", "PERCENT", \
			"SELFTEST_SECONDS"

const char *environment_value(const char *name)
{
	const char *value = secure_getenv(name);

	return value && value[0] ? value : NULL;
}

static const char *const known_names[] = { NAMES_LIBRARY, NAMES_TOOLS };
static const char *const setting_names[] = { NAMES_LIBRARY };
static const char *const flag_names[] = { NAMES_FLAGS };

#define COUNT(names)	(sizeof(names) / sizeof((names)[0]))

static bool name_is_in(const char *const *names, size_t count, const char *name, size_t length)
{
	size_t i;

	for (i = 0; i < count; i++) {
		if (strlen(names[i]) == length && !memcmp(names[i], name, length))
			return true;
	}
	return false;
}

/* Whoever made the name may have put anything into it. */
static void report(const char *name, size_t length)
{
	bool is_flag = name_is_in(flag_names, COUNT(flag_names), name, length);
	char line[640];
	size_t i, at;

	at = (size_t)snprintf(line, sizeof(line), "gcheap: no setting is called " PREFIX);
	for (i = 0; i < length && i < NAME_LENGTH_MAX; i++)
		line[at++] = name[i] > ' ' && name[i] < 0x7f ? name[i] : '?';
	at += (size_t)snprintf(line + at, sizeof(line) - at, "%s: there are ", is_flag ?
			       ", which is a flag of struct gcheap_config" : "");
	for (i = 0; i < COUNT(setting_names); i++)
		at += (size_t)snprintf(line + at, sizeof(line) - at, "%s" PREFIX "%s",
				       i ? ", " : "", setting_names[i]);
	fprintf(stderr, "%s\n", line);
}

static void report_all(void)
{
	char **variable;

	/* Of a setuid program the user's environment is not heeded, known or not. */
	if (getauxval(AT_SECURE))
		return;
	for (variable = environ; variable && *variable; variable++) {
		const char *name = *variable + PREFIX_LENGTH;
		const char *end;

		if (strncmp(*variable, PREFIX, PREFIX_LENGTH))
			continue;
		end = strchr(name, '=');
		if (end && end[1] && !name_is_in(known_names, COUNT(known_names), name,
						 (size_t)(end - name)))
			report(name, (size_t)(end - name));
	}
}

void environment_report_unknown(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, report_all);
}
