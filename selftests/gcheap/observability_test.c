// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Looking at a heap from outside: fdinfo and debugfs agree with STATS, CTRL and
 * SPANS, at any time and for whoever may look.
 */
#include <dirent.h>
#include <poll.h>
#include <pthread.h>

#include "../kselftest_harness.h"
#include "gcheap_selftest.h"

#define DEBUGFS	"/sys/kernel/debug/gcheap"

/* The folder of this process's heap in debugfs. */
static void debugfs_path(const struct test_heap *heap, char *path, size_t size)
{
	snprintf(path, size, DEBUGFS "/%d-%lld", getpid(), fdinfo_number(heap->fd, "heap"));
}

static int debugfs_read(const struct test_heap *heap, const char *name, char *text, size_t size)
{
	char path[128];
	size_t length;

	debugfs_path(heap, path, sizeof(path));
	length = strlen(path);
	snprintf(path + length, sizeof(path) - length, "/%s", name);
	return text_read(path, text, size);
}

/* Small spans of two classes, some full, one cached; a large object; free pages. */
static int heap_furnish(struct test_heap *heap)
{
	struct gcheap_alloc_large large;
	struct gcheap_grant grants[8];
	__u32 pages[8], granted;
	int ret;

	ret = cmd_type_words(heap->fd, 2, 1, NULL);
	if (!ret)
		ret = cmd_refill(heap->fd, 0, CLASS_64, 5 * 8192, NULL, 0, grants, 8, &granted);
	if (ret || granted != 5)
		return ret ? ret : -EIO;
	for (__u32 i = 0; i < granted; i++) {
		pages[i] = grants[i].page;
		span_fill(heap, pages[i]);
	}
	ret = cmd_give(heap->fd, pages, 4);
	if (!ret)
		ret = cmd_take(heap->fd, 1, CLASS_1024, grants);
	if (!ret)
		ret = cmd_alloc_large(heap->fd, 0, 100 << 13, &large);
	if (!ret)
		ret = cmd_alloc_large(heap->fd, 0, 1, NULL);
	if (!ret)
		ret = cmd_free_large(heap->fd, large.out_page);
	return ret;
}

FIXTURE(watched) {
	struct test_heap heap;
	struct gcheap_counters counters;
};

FIXTURE_SETUP(watched)
{
	ASSERT_OK(heap_open(&self->heap, GCHEAP_LAYOUT_SPAN, 2 * SMALL_RESERVE));
	ASSERT_OK(heap_furnish(&self->heap));
	test_cmd_stats(&self->counters);
}

FIXTURE_TEARDOWN(watched)
{
	heap_close(&self->heap);
}

/* ---- fdinfo ------------------------------------------------------------------------- */

#define EXPECT_FDINFO(value, name) do { \
	EXPECT_EQ((long long)(value), fdinfo_number(self->heap.fd, name)) { \
		TH_LOG("gcheap-%s", name); \
	} \
} while (0)
#define EXPECT_FDINFO_WORD(value, name) do { \
	char word_[32] = ""; \
\
	EXPECT_OK(fdinfo_word(self->heap.fd, name, word_, sizeof(word_))); \
	EXPECT_STREQ(value, word_); \
} while (0)

TEST_F(watched, heap_has_its_counters_in_fdinfo)
{
	const struct gcheap_counters *counters = &self->counters;

	/* Memory is in KiB, and says so. */
	EXPECT_FDINFO(counters->resident_bytes >> 10, "resident");
	EXPECT_FDINFO(counters->table_bytes >> 10, "table");
	EXPECT_FDINFO(counters->free_bytes >> 10, "free");
	EXPECT_FDINFO(counters->stock_bytes >> 10, "stock");
	EXPECT_FDINFO(counters->huge_bytes >> 10, "huge");
	EXPECT_FDINFO(counters->zeroed_bytes >> 10, "zeroed");
	EXPECT_FDINFO(counters->released_bytes >> 10, "released");
	EXPECT_FDINFO(counters->heap_pages, "heap_pages");
	EXPECT_FDINFO(counters->in_use_pages, "in_use_pages");
	EXPECT_FDINFO(counters->spans, "spans");
	EXPECT_FDINFO(counters->cached_spans, "cached_spans");
	EXPECT_FDINFO(counters->unswept_spans, "unswept_spans");
	EXPECT_FDINFO(counters->swept_spans, "swept_spans");
	EXPECT_FDINFO(counters->freed_spans, "freed_spans");
	EXPECT_FDINFO(counters->freed_unread_spans, "freed_unread_spans");
	EXPECT_FDINFO(counters->refills, "refills");
	EXPECT_FDINFO(counters->refilled_spans, "refilled_spans");
	EXPECT_FDINFO(counters->large_objects, "large_objects");
	EXPECT_FDINFO(counters->types, "types");
	EXPECT_FDINFO(counters->reclaimed_pages, "reclaimed_pages");
	EXPECT_FDINFO(counters->chunks, "chunks");
	EXPECT_FDINFO(counters->quarantined_pages, "quarantined_pages");
	EXPECT_FDINFO(counters->faults, "faults");
	EXPECT_FDINFO(counters->bad_faults, "bad_faults");
	EXPECT_FDINFO(counters->tracks, "tracks");
	EXPECT_FDINFO(counters->dirty_pages, "dirty_pages");
	/* All that there are: a new counter belongs here too. */
	EXPECT_EQ(26 * sizeof(__u64), sizeof(*counters));
	EXPECT_LT(0, counters->resident_bytes);
	EXPECT_EQ(1, counters->types);
	EXPECT_EQ(2, counters->cached_spans);
}

TEST_F(watched, heap_has_its_state_in_fdinfo)
{
	char word[32];

	EXPECT_FDINFO_WORD("live", "state");
	EXPECT_FDINFO_WORD("span", "layout");
	EXPECT_FDINFO_WORD("idle", "phase");
	EXPECT_FDINFO_WORD("none", "pressure");
	EXPECT_FDINFO(0, "pressure_sequence");
	EXPECT_FDINFO_WORD("131072 KiB", "reserve");
	EXPECT_FDINFO(heap_ctrl(&self->heap)->generation, "generation");
	test_cmd_mark_start(NULL);
	EXPECT_FDINFO_WORD("mark", "phase");
	EXPECT_ERR(ENOMEM, cmd_alloc_large(self->heap.fd, 0, 1ull << 38, NULL));
	EXPECT_FDINFO_WORD("limit", "pressure");
	EXPECT_FDINFO(1, "pressure_sequence");
	ASSERT_OK(fdinfo_word(self->heap.fd, "resident", word, sizeof(word)));
	EXPECT_STREQ(" KiB", word + strlen(word) - 4);
}

TEST_F(watched, file_that_is_no_heap_yet_says_so)
{
	struct test_heap file = { .fd = device_open() };
	char word[32] = "";

	ASSERT_LE(0, file.fd);
	EXPECT_OK(fdinfo_word(file.fd, "state", word, sizeof(word)));
	EXPECT_STREQ("new", word);
	EXPECT_ERR(ENOENT, fdinfo_number(file.fd, "resident"));
	EXPECT_LT(fdinfo_number(self->heap.fd, "heap"), fdinfo_number(file.fd, "heap"));
	close(file.fd);
}

/* A child inherits the file, sees its figures, and sees it end with the parent's exec or exit. */
TEST_F(watched, heap_can_be_looked_at_by_another_process_until_it_ends)
{
	struct test_heap heap;
	int ready[2], end[2];
	pid_t owner;
	char word[32] = "", byte;

	ASSERT_EQ(0, pipe(ready));
	ASSERT_EQ(0, pipe(end));
	heap.fd = device_open();
	ASSERT_LE(0, heap.fd);
	owner = fork();
	ASSERT_LE(0, owner);
	if (!owner) {
		close(end[1]);
		if (heap_setup(&heap, GCHEAP_LAYOUT_HEADER, SMALL_RESERVE) ||
		    heap_map(&heap) || cmd_alloc_large(heap.fd, 0, 1 << 20, NULL))
			_exit(1);
		if (write(ready[1], "", 1) != 1 || read(end[0], &byte, 1) < 0)
			_exit(2);
		_exit(0);
	}
	close(end[0]);
	ASSERT_EQ(1, read(ready[0], &byte, 1));
	EXPECT_OK(fdinfo_word(heap.fd, "state", word, sizeof(word)));
	EXPECT_STREQ("live", word);
	EXPECT_OK(fdinfo_word(heap.fd, "layout", word, sizeof(word)));
	EXPECT_STREQ("header", word);
	EXPECT_LE(1024, fdinfo_number(heap.fd, "resident"));
	EXPECT_EQ(1, fdinfo_number(heap.fd, "large_objects"));
	close(end[1]);
	EXPECT_EQ(0, child_wait(owner));
	EXPECT_OK(fdinfo_word(heap.fd, "state", word, sizeof(word)));
	EXPECT_STREQ("ended", word);
	EXPECT_ERR(ENOENT, fdinfo_number(heap.fd, "resident"));
	close(heap.fd);
	close(ready[0]);
	close(ready[1]);
}

/* ---- debugfs ------------------------------------------------------------------------ */

static char text[1 << 18];

TEST_F(watched, heap_has_its_spans_by_class_in_debugfs)
{
	__u64 spans = 0, pages = 0, cached = 0;
	char *line, *rest = text;
	int found = 0;

	if (access(DEBUGFS, F_OK))
		SKIP(return, "no debugfs");
	ASSERT_OK(debugfs_read(&self->heap, "spans", text, sizeof(text)));
	while ((line = strsep(&rest, "\n")) && *line) {
		unsigned long long count, length, in_caches, unswept, slots, used, free_slots;
		unsigned int class, bytes, noscan;
		char kind[16];

		if (*line == '#')
			continue;
		if (sscanf(line, "%u %u %15s %u %llu %llu %llu %llu %llu %llu %llu", &class, &bytes,
			   kind, &noscan, &count, &length, &in_caches, &unswept, &slots, &used,
			   &free_slots) == 11) {
			ASSERT_GT(SIZE_CLASSES, class);
			EXPECT_EQ(size_classes[class].bytes, bytes);
			EXPECT_EQ(count * size_classes[class].npages, length);
			EXPECT_EQ(slots, used + free_slots);
			cached += in_caches;
			if (class == CLASS_64) {
				found++;
				EXPECT_STREQ("noscan", kind);
				EXPECT_EQ(1, noscan);
				EXPECT_EQ(5, count);
				EXPECT_EQ(1, in_caches);
				EXPECT_EQ(5 * 128, slots);
				/* The kernel counts what is in a cache when it comes back. */
				EXPECT_EQ(4 * 128, used);
			}
			if (class == CLASS_1024) {
				found++;
				EXPECT_STREQ("type", kind);
				EXPECT_EQ(0, noscan);
				EXPECT_EQ(1, count);
				EXPECT_EQ(1, in_caches);
				EXPECT_EQ(8, slots);
			}
		} else {
			ASSERT_EQ(3, sscanf(line, "%15s %llu %llu", kind, &count, &length));
			if (!strcmp(kind, "large")) {
				found++;
				EXPECT_EQ(1, count);
				EXPECT_EQ(1, length);
			}
			/* Nobody uses what is in quarantine. */
			if (!strcmp(kind, "quarantine")) {
				EXPECT_EQ(self->counters.quarantined_pages, length);
				continue;
			}
		}
		spans += count;
		pages += length;
	}
	EXPECT_EQ(3, found);
	EXPECT_EQ(self->counters.spans + self->counters.chunks, spans);
	EXPECT_EQ(self->counters.in_use_pages, pages);
	EXPECT_EQ(self->counters.cached_spans, cached);
}

TEST_F(watched, heap_has_its_free_runs_in_debugfs)
{
	__u64 runs = 0, pages = 0, real_longest = 0;
	const struct gcheap_ctrl *ctrl = heap_ctrl(&self->heap);
	__u64 real_runs = 0, real_pages = 0;
	char *line, *rest = text;
	int figures = 0;

	if (access(DEBUGFS, F_OK))
		SKIP(return, "no debugfs");
	for (__u32 page = 1; page < ctrl->heap_pages;) {
		__u32 first = page;

		if (span_state(&self->heap, page) != GCHEAP_SPAN_FREE) {
			page += heap_span(&self->heap, page)->npages;
			continue;
		}
		while (page < ctrl->heap_pages && span_state(&self->heap, page) == GCHEAP_SPAN_FREE)
			page++;
		real_runs++;
		real_pages += page - first;
		if (page - first > real_longest)
			real_longest = page - first;
	}
	ASSERT_OK(debugfs_read(&self->heap, "fragmentation", text, sizeof(text)));
	while ((line = strsep(&rest, "\n")) && *line) {
		unsigned long long from, to, count, length, value;
		char name[32];

		if (sscanf(line, "%llu-%llu %llu %llu", &from, &to, &count, &length) == 4) {
			EXPECT_EQ(2 * from - 1, to);
			EXPECT_LE(count * from, length);
			EXPECT_GE(count * to, length);
			runs += count;
			pages += length;
		} else if (sscanf(line, "%31s %llu", name, &value) == 2 && *line != '#') {
			__u64 wanted = !strcmp(name, "free_pages") ? real_pages :
				       !strcmp(name, "longest_run_pages") ? real_longest :
				       !strcmp(name, "free_backed_bytes") ?
				       self->counters.free_bytes :
				       !strcmp(name, "stock_bytes") ?
				       self->counters.stock_bytes :
				       !strcmp(name, "table_bytes") ?
				       self->counters.table_bytes : ~0ull;

			EXPECT_EQ(wanted, value) {
				TH_LOG("%s", line);
			}
			figures++;
		}
	}
	EXPECT_LE(100, real_longest);
	EXPECT_EQ(real_runs, runs);
	EXPECT_EQ(real_pages, pages);
	EXPECT_EQ(5, figures);
}

/* Two arenas: the second has what does not fit the first. */
TEST_F(watched, heap_has_a_line_for_each_arena_in_debugfs)
{
	__u64 used = 0, free = 0, backed = 0, lines = 0;
	char *line, *rest = text;

	if (access(DEBUGFS, F_OK))
		SKIP(return, "no debugfs");
	for (int i = 0; i < 33; i++)
		test_cmd_alloc_large(0, 2 << 20, NULL);
	test_cmd_stats(&self->counters);
	ASSERT_OK(debugfs_read(&self->heap, "arenas", text, sizeof(text)));
	while ((line = strsep(&rest, "\n")) && *line) {
		unsigned long long u, f, b, fb;
		unsigned int arena, first;

		if (*line == '#')
			continue;
		ASSERT_EQ(6, sscanf(line, "%u %u %llu %llu %llu %llu", &arena, &first, &u, &f, &b,
				    &fb));
		EXPECT_EQ(lines, arena);
		EXPECT_EQ(arena * 8192, first);
		/* Page 0 is neither. */
		EXPECT_EQ(arena ? self->counters.heap_pages - 8192 : 8191, u + f);
		EXPECT_EQ(b, u + fb);
		used += u;
		free += f;
		backed += b;
		lines++;
	}
	EXPECT_EQ(2, lines);
	EXPECT_EQ(self->counters.in_use_pages + self->counters.quarantined_pages, used);
	EXPECT_EQ(self->counters.heap_pages - 1, used + free);
	EXPECT_EQ(self->counters.resident_bytes, backed << 13);
}

TEST_F(watched, folder_in_debugfs_goes_with_the_heap)
{
	char path[128], name[160];
	int fd, reader;

	if (access(DEBUGFS, F_OK))
		SKIP(return, "no debugfs");
	debugfs_path(&self->heap, path, sizeof(path));
	EXPECT_EQ(0, access(path, F_OK));
	snprintf(name, sizeof(name), "%s/spans", path);
	fd = open(name, O_RDONLY);
	ASSERT_LE(0, fd);
	ASSERT_LT(0, read(fd, text, 100));
	snprintf(name, sizeof(name), "%s/arenas", path);
	reader = open(name, O_RDONLY);
	ASSERT_LE(0, reader);
	heap_close(&self->heap);
	EXPECT_NE(0, access(path, F_OK));
	/* Open files of it have nothing more to say. */
	EXPECT_GT(0, pread(reader, text, 100, 0));
	close(reader);
	close(fd);
	ASSERT_OK(heap_open(&self->heap, GCHEAP_LAYOUT_SPAN, SMALL_RESERVE));
}

TEST_F(watched, heap_that_has_ended_is_empty_in_debugfs)
{
	static const char *const files[] = { "spans", "fragmentation", "arenas" };
	struct test_heap heap = { .fd = device_open() };
	char path[200], folder[128];
	pid_t owner;

	if (access(DEBUGFS, F_OK))
		SKIP(return, "no debugfs");
	ASSERT_LE(0, heap.fd);
	debugfs_path(&heap, folder, sizeof(folder));
	for (int i = 0; i < 2; i++) {
		for (size_t f = 0; f < ARRAY_SIZE(files); f++) {
			snprintf(path, sizeof(path), "%s/%s", folder, files[f]);
			ASSERT_OK(text_read(path, text, sizeof(text)));
			EXPECT_EQ('#', text[0]);
		}
		EXPECT_EQ(NULL, strstr(text, "\n0 "));
		owner = fork();
		ASSERT_LE(0, owner);
		if (!owner)
			_exit(heap_setup(&heap, GCHEAP_LAYOUT_SPAN, SMALL_RESERVE) ||
			      heap_map(&heap) ||
			      cmd_alloc_large(heap.fd, 0, 1 << 20, NULL));
		EXPECT_EQ(i ? 1 : 0, child_wait(owner));
	}
	close(heap.fd);
}

/* ---- huge pages ---------------------------------------------------------------------- */

/* The lines of smaps about the mapping that begins at @addr, in @text; 0 or -errno. */
static int smaps_of(const void *addr, char *lines, size_t size)
{
	FILE *file = fopen("/proc/self/smaps", "r");
	char line[512], start[32];
	bool inside = false;
	size_t length = 0;

	if (!file)
		return -errno;
	snprintf(start, sizeof(start), "%lx-", (unsigned long)(uintptr_t)addr);
	lines[0] = 0;
	while (fgets(line, sizeof(line), file)) {
		/* Names of figures begin with a capital letter, mappings with a number. */
		if (line[0] < 'A' || line[0] > 'Z')
			inside = !strncmp(line, start, strlen(start));
		if (inside && length + strlen(line) < size) {
			strcpy(lines + length, line);
			length += strlen(line);
		}
	}
	fclose(file);
	return length ? 0 : -ENOENT;
}

/* Whoever did not ask for huge pages gets none, and is not a candidate for them. */
TEST_F(watched, heap_that_did_not_ask_for_huge_pages_has_none)
{
	static const char *const none[] = {
		"AnonHugePages:", "ShmemPmdMapped:", "FilePmdMapped:", "THPeligible:",
	};
	char *flags;

	test_cmd_alloc_large(0, 32 << 20, NULL);
	ASSERT_OK(smaps_of(heap_mem(&self->heap, 0), text, sizeof(text)));
	for (size_t i = 0; i < ARRAY_SIZE(none); i++) {
		const char *line = strstr(text, none[i]);

		/* Not all kernels are built with all of them. */
		if (line)
			EXPECT_EQ(0, strtol(line + strlen(none[i]), NULL, 10));
	}
	flags = strstr(text, "VmFlags:");
	ASSERT_NE(NULL, flags);
	/* It is a special mapping, of which no copy is made in a child. */
	EXPECT_NE(NULL, strstr(flags, " mm"));
	EXPECT_NE(NULL, strstr(flags, " dc"));
	EXPECT_EQ(NULL, strstr(flags, " hg"));
	test_cmd_stats(&self->counters);
	EXPECT_EQ(0, self->counters.huge_bytes);
}

/* ---- while it is busy ---------------------------------------------------------------- */

static volatile bool stop;

static void *look_on(void *arg)
{
	const struct test_heap *heap = arg;
	static char seen[1 << 18];
	long looks = 0;

	while (!stop) {
		if (fdinfo_number(heap->fd, "spans") < 0)
			return (void *)-1l;
		if (!access(DEBUGFS, F_OK) &&
		    (debugfs_read(heap, "spans", seen, sizeof(seen)) ||
		     debugfs_read(heap, "fragmentation", seen, sizeof(seen)) ||
		     debugfs_read(heap, "arenas", seen, sizeof(seen))))
			return (void *)-2l;
		looks++;
	}
	return (void *)looks;
}

TEST_F(watched, heap_works_while_it_is_looked_at)
{
	pthread_t thread;
	void *looks;

	ASSERT_EQ(0, pthread_create(&thread, NULL, look_on, &self->heap));
	for (int i = 0; i < 300; i++) {
		struct gcheap_alloc_large large;
		struct gcheap_grant grant;

		ASSERT_OK(cmd_alloc_large(self->heap.fd, 0, (__u64)(1 + i % 20) << 16, &large));
		ASSERT_OK(cmd_take(self->heap.fd, 0, 2 + (__u32)i % 60, &grant));
		ASSERT_OK(cmd_give(self->heap.fd, &grant.page, 1));
		ASSERT_OK(cmd_free_large(self->heap.fd, large.out_page));
	}
	stop = true;
	ASSERT_EQ(0, pthread_join(thread, &looks));
	EXPECT_LT(0, (long)looks);
	ASSERT_RIGHT(heap_wrong(&self->heap));
}

TEST_HARNESS_MAIN
