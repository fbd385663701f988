// SPDX-License-Identifier: MIT
/*
 * What a heap took is given back when it is closed, whatever is set, queued or open then.
 *
 * The library maps most of its memory itself, where neither valgrind nor AddressSanitizer sees what
 * is lost: so this program looks at its own mappings while heaps come and go. What comes from
 * malloc() is valgrind's affair, under which it runs itself once, and in the flavour for
 * AddressSanitizer that one's, which looks at the end of each of our tests.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <malloc.h>
#include <sys/wait.h>
#include <unistd.h>

#include "library_test.h"

/* A window is as many heaps as lose more than what is left of a mapping. */
#define ROUNDS		20u
#define WINDOWS		8u
#define OBJECTS		400u
#define MAPS		12u

/* ---- a heap's life ------------------------------------------------------------------ */

/**
 * struct life - what one heap has
 * @fixture: the heap and its thread
 * @type: of @objects
 * @objects: a root: what is kept
 * @owners: a root: of maps
 * @references: to all objects; most are never given back
 */
struct life {
	struct fixture fixture;
	gcheap_type type;
	void *objects[OBJECTS], *owners[MAPS];
	struct gcheap_weak *references[OBJECTS];
};

static void finalize(void *obj, void *arg)
{
	(void)obj;
	(void)arg;
}

static void clean_up(void *arg)
{
	(void)arg;
}

static void cycle_begins(struct gcheap *heap, void *arg)
{
	(void)heap;
	(void)arg;
}

/* All kinds of specials on one object. */
static void decorate(struct life *life, unsigned int i)
{
	struct gcheap *heap = life->fixture.heap;
	void *object = life->objects[i], *other = i ? life->objects[i / 2] : NULL;

	assert_int_equal(gcheap_finalizer_set(heap, object, finalize, NULL), 0);
	assert_int_equal(gcheap_cleanup_add(heap, object, clean_up, NULL), 0);
	assert_int_equal(gcheap_cleanup_add(heap, object, clean_up, other), 0);
	assert_int_equal(gcheap_ephemeron_add(heap, object, other), 0);
	assert_int_equal(gcheap_weak_new(heap, object, &life->references[i]), 0);
	assert_int_equal(gcheap_weak_new_long(heap, object, &life->references[i]), 0);
	if (i % 3 == 0)
		assert_int_equal(gcheap_pin(heap, object), 0);
}

/* Maps with and without an owner; of some, the owner dies; half of the others are freed. */
static void map_all(struct life *life)
{
	struct gcheap *heap = life->fixture.heap;
	unsigned int m, i;

	for (m = 0; m < MAPS; m++) {
		struct gcheap_weak_map *map;
		void *owner = m % 2 ? gcheap_new(life->fixture.thread, life->type) : NULL;

		if (m % 4 == 1)
			life->owners[m] = owner;
		assert_int_equal(gcheap_weak_map_new(heap, owner, &map), 0);
		for (i = 0; i < OBJECTS; i++)
			assert_int_equal(gcheap_weak_map_set(map, life->objects[i],
							     life->objects[m]), 0);
		if (m % 4 == 0)
			gcheap_weak_map_free(map);
	}
}

static void fill(struct life *life)
{
	unsigned int i;

	for (i = 0; i < OBJECTS; i++) {
		life->objects[i] = gcheap_new(life->fixture.thread, life->type);
		assert_non_null(life->objects[i]);
	}
	for (i = 0; i < OBJECTS; i++)
		decorate(life, i);
	map_all(life);
}

/* What dies is queued, or has no finalizer any more; what lives is as it was. */
static void drop_some(struct life *life)
{
	unsigned int i;

	for (i = OBJECTS / 2; i < OBJECTS; i++)
		life->objects[i] = NULL;
	stack_wipe();
	assert_int_equal(gcheap_collect(life->fixture.thread), 0);
	assert_int_equal(gcheap_collect(life->fixture.thread), 0);
}

static void open_life(struct life *life, enum gcheap_layout layout, uint32_t flags)
{
	struct gcheap_hooks hooks = { .size = sizeof(hooks), .cycle_begins = cycle_begins };
	struct gcheap_config config = fixture_config();

	config.flags |= flags;
	config.layout = layout;
	config.gc_percent = -1;
	fixture_open_with(&life->fixture, &config);
	life->type = type_with_mask(life->fixture.heap, 48, 8, 0x3f);
	memset(life->owners, 0, sizeof(life->owners));
	assert_int_equal(gcheap_root_add_ambiguous(life->fixture.heap, life->objects,
						   sizeof(life->objects)), 0);
	assert_int_equal(gcheap_root_add_ambiguous(life->fixture.heap, life->owners,
						   sizeof(life->owners)), 0);
	assert_int_equal(gcheap_hooks_add(life->fixture.heap, &hooks), 0);
}

/* @flags: of its configuration */
static void live(enum gcheap_layout layout, uint32_t flags)
{
	static struct life life;
	struct gcheap_weak *one;

	open_life(&life, layout, flags);
	fill(&life);
	drop_some(&life);
	/* Something of each is given back, and something is there to the end. */
	assert_int_equal(gcheap_weak_new(life.fixture.heap, life.objects[1], &one), 0);
	gcheap_weak_free(life.fixture.heap, one);
	gcheap_weak_free(life.fixture.heap, life.references[1]);
	assert_int_equal(gcheap_ephemeron_remove(life.fixture.heap, life.objects[3],
						 life.objects[1]), 0);
	if (!(flags & GCHEAP_FINALIZER_THREAD))
		assert_true(gcheap_run_finalizers(life.fixture.thread) > 0);
	drop_some(&life);
	fixture_close(&life.fixture);
}

/* ---- what the process has ------------------------------------------------------------- */

struct has {
	uint64_t mapped, mappings, files, allocated;
};

static struct has what_there_is(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	DIR *files = opendir("/proc/self/fd");
	struct has has = { 0 };
	unsigned long start, end;
	char line[1024];

	assert_non_null(maps);
	assert_non_null(files);
	while (fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%lx", &start, &end) != 2)
			continue;
		has.mappings++;
		has.mapped += end - start;
	}
	while (readdir(files))
		has.files++;
	closedir(files);
	fclose(maps);
	has.allocated = mallinfo2().uordblks;
	return has;
}

static bool is_more(const struct has *after, const struct has *before)
{
	return after->mapped > before->mapped || after->mappings > before->mappings ||
	       after->files > before->files || after->allocated > before->allocated;
}

/*
 * What the C library and the threads keep comes to an end after some rounds; what is lost goes on.
 */
static void nothing_stays(enum gcheap_layout layout, uint32_t flags)
{
	struct has before, after = what_there_is();
	unsigned int i, windows = 0;

	/* Which keep what was freed, and map memory of their own: they look themselves. */
	if (UNDER_ASAN || UNDER_TSAN) {
		live(layout, flags);
		return;
	}
	do {
		before = after;
		for (i = 0; i < ROUNDS; i++)
			live(layout, flags);
		after = what_there_is();
	} while (is_more(&after, &before) && ++windows < WINDOWS);
	if (windows == WINDOWS)
		fail_msg("%u heaps more: mapped %+ld bytes, mappings %+ld, files %+ld, malloc %+ld",
			 ROUNDS, (long)(after.mapped - before.mapped),
			 (long)(after.mappings - before.mappings),
			 (long)(after.files - before.files),
			 (long)(after.allocated - before.allocated));
}

static void test_nothing_stays_behind_a_heap(void **state)
{
	size_t l;

	(void)state;
	in_each_layout(l)
		nothing_stays(test_layouts[l].layout, 0);
}

static void test_nothing_stays_behind_its_threads(void **state)
{
	(void)state;
	nothing_stays(GCHEAP_LAYOUT_SPAN, GCHEAP_FINALIZER_THREAD);
}

/* ---- valgrind ---------------------------------------------------------------------------- */

#define LOST	99

static int under_valgrind(void)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (!pid) {
		execlp("valgrind", "valgrind", "-q", "--error-exitcode=99", "--leak-check=full",
		       "--errors-for-leak-kinds=definite,indirect", "--child-silent-after-fork=yes",
		       program_invocation_name, "live", NULL);
		_exit(77);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void test_valgrind_finds_nothing_lost(void **state)
{
	int status;

	(void)state;
	if (UNDER_ASAN || UNDER_TSAN)
		skip_because("a sanitizer looks itself");
	status = under_valgrind();
	if (status == 77)
		skip_because("no valgrind is installed");
	assert_int_equal(status, 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_stays_behind_a_heap),
		cmocka_unit_test(test_nothing_stays_behind_its_threads),
		cmocka_unit_test(test_valgrind_finds_nothing_lost),
	};

	(void)argv;
	cmocka_set_message_output(CM_OUTPUT_TAP);
	if (argc > 1) {
		live(GCHEAP_LAYOUT_SPAN, 0);
		return 0;
	}
	return cmocka_run_group_tests_name("leaks", tests, NULL, NULL);
}
