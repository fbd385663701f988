// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Files in which the kernel tells of itself: fdinfo, tracefs, debugfs, cgroups.
 */
#include <ctype.h>
#include <sys/stat.h>

#include "gcheap_selftest.h"

unsigned int kernel_slowness(void)
{
	static unsigned int slowness;

	if (!slowness)
		slowness = !access("/proc/lockdep_stats", F_OK) ||
			   !access("/sys/kernel/debug/kmemleak", F_OK) ||
			   !access("/sys/kernel/debug/kcsan", F_OK) ? 8 : 1;
	return slowness;
}

int rounds_here(int rounds)
{
	return kernel_slowness() > 1 ? (rounds + 3) / 4 : rounds;
}

int text_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = write(fd, text, strlen(text));
	if (n < 0)
		n = -errno;
	close(fd);
	return n < 0 ? (int)n : 0;
}

int text_read(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY);
	size_t length = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	do {
		n = read(fd, text + length, size - 1 - length);
		if (n > 0)
			length += (size_t)n;
	} while (n > 0 && length < size - 1);
	if (n < 0)
		n = -errno;
	close(fd);
	text[length] = 0;
	return n < 0 ? (int)n : 0;
}

/* What follows @name at the start of a line, or NULL. */
static const char *line_of(const char *text, const char *name)
{
	size_t length = strlen(name);

	while (text) {
		if (!strncmp(text, name, length) && isspace((unsigned char)text[length])) {
			for (text += length; *text == ' ' || *text == '\t'; text++)
				;
			return text;
		}
		text = strchr(text, '\n');
		if (text)
			text++;
	}
	return NULL;
}

long long text_number(const char *path, const char *name)
{
	static char text[1 << 16];
	int ret = text_read(path, text, sizeof(text));
	const char *line = ret ? NULL : line_of(text, name);

	if (ret)
		return ret;
	return line && isdigit((unsigned char)*line) ? strtoll(line, NULL, 10) : -ENOENT;
}

static int fdinfo_line(int fd, const char *name, char *line, size_t size)
{
	char path[64], key[64], text[4096];
	const char *found;
	int ret;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	snprintf(key, sizeof(key), "gcheap-%s:", name);
	ret = text_read(path, text, sizeof(text));
	if (ret)
		return ret;
	found = line_of(text, key);
	if (!found)
		return -ENOENT;
	snprintf(line, size, "%.*s", (int)strcspn(found, "\n"), found);
	return 0;
}

long long fdinfo_number(int fd, const char *name)
{
	char line[64];
	int ret = fdinfo_line(fd, name, line, sizeof(line));

	if (ret)
		return ret;
	return isdigit((unsigned char)line[0]) ? strtoll(line, NULL, 10) : -EINVAL;
}

int fdinfo_word(int fd, const char *name, char *word, size_t size)
{
	return fdinfo_line(fd, name, word, size);
}

/* ---- memory cgroups ----------------------------------------------------------------- */

static const char *cgroup_file(const char *name, const char *file)
{
	static char path[256];

	snprintf(path, sizeof(path), CGROUP "/%s/%s", name, file);
	return path;
}

int cgroup_make(const char *name, const char *max)
{
	int ret = text_write(CGROUP "/cgroup.subtree_control", "+memory");

	if (ret)
		return ret;
	rmdir(cgroup_file(name, ""));
	if (mkdir(cgroup_file(name, ""), 0755))
		return -errno;
	ret = text_write(cgroup_file(name, "memory.max"), max);
	/* Where there is swap, it would put the limit off. */
	text_write(cgroup_file(name, "memory.swap.max"), "0");
	return ret;
}

int cgroup_remove(const char *name)
{
	/* Who has left it may not be gone entirely. */
	for (int i = 0; i < 100; i++) {
		if (!rmdir(cgroup_file(name, "")))
			return 0;
		usleep(20000);
	}
	return -errno;
}

int cgroup_run(const char *name, int (*body)(void *arg), void *arg)
{
	pid_t child;

	fflush(NULL);
	child = fork();
	if (child < 0)
		return -errno;
	if (!child) {
		if (text_write(cgroup_file(name, "cgroup.procs"), "0"))
			_exit(99);
		_exit(body(arg));
	}
	return child_wait(child);
}

long long cgroup_event(const char *name, const char *event)
{
	return text_number(cgroup_file(name, "memory.events"), event);
}

long long smaps_bytes(const struct test_heap *heap, const char *field)
{
	unsigned long start = (unsigned long)heap->region[GCHEAP_REGION_HEAP];
	FILE *file = fopen("/proc/self/smaps", "r");
	long long kib, bytes = -1;
	unsigned long from, to;
	bool inside = false;
	char line[512];

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			inside = from == start;
		else if (inside && !strncmp(line, field, strlen(field)) &&
			 sscanf(line + strlen(field), " %lld kB", &kib) == 1)
			bytes = kib * 1024;
	}
	if (file)
		fclose(file);
	return bytes;
}
