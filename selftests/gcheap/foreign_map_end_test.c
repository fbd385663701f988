// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What those who look at a heap see when its owner ends: nothing, from then on, and never
 * what came into its memory later.
 */
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>

#include "../kselftest_harness.h"
#include "gcheap_selftest.h"
#include "heap_owner.h"

FIXTURE(look_end) {
	struct machine before;
	struct owner owner;
	struct test_heap view;
};

FIXTURE_SETUP(look_end)
{
	ASSERT_OK(machine_take(&self->before));
	ASSERT_OK(owner_start(&self->owner, &self->view, GCHEAP_SETUP_SHARE_READ));
}

FIXTURE_TEARDOWN(look_end)
{
	if (self->owner.pid) {
		EXPECT_EQ(0, owner_does(&self->owner, 'v'));
		EXPECT_EQ(0, owner_end(&self->owner, 'q'));
	}
	close(self->owner.sock);
	heap_close(&self->view);
	EXPECT_TRUE(machine_back_to(&self->before));
}

/* ---- the owner's end ------------------------------------------------------------- */

/* All mappings fault, none can be made, and no memory is left. */
#define EXPECT_NOTHING_TO_SEE() do { \
	struct machine left_ = self->before; \
\
	left_.heaps++;		/* our file */ \
	EXPECT_TRUE(machine_back_to(&left_)); \
	for (int r_ = 0; r_ < GCHEAP_REGIONS; r_++) { \
		if (self->view.region[r_]) \
			EXPECT_EQ(SIGBUS, probe(view_content(&self->view, r_), false, NULL)); \
		if (self->view.region_bytes[r_]) \
			test_err_view(ENXIO, r_, PROT_READ, MAP_SHARED); \
	} \
	EXPECT_ERR(EPERM, cmd_mark_start(self->view.fd, NULL)); \
} while (0)

/* Touches what is there. */
#define EXPECT_ALL_TO_SEE() do { \
	for (int r_ = 0; r_ < GCHEAP_REGIONS; r_++) { \
		if (self->view.region[r_] && r_ != GCHEAP_REGION_DIRTY) \
			EXPECT_EQ(0, probe(view_content(&self->view, r_), false, NULL)); \
	} \
} while (0)

TEST_F(look_end, is_over_when_the_owner_exits)
{
	ASSERT_OK(view_map(&self->view, true));
	EXPECT_ALL_TO_SEE();
	ASSERT_OK(owner_end(&self->owner, 'q'));
	EXPECT_NOTHING_TO_SEE();
	EXPECT_ERR(EFAULT, read_into(view_content(&self->view, 0), 1));
}

TEST_F(look_end, is_over_when_the_owner_is_killed)
{
	ASSERT_OK(view_map(&self->view, true));
	EXPECT_ALL_TO_SEE();
	ASSERT_OK(owner_end(&self->owner, 'K'));
	EXPECT_NOTHING_TO_SEE();
}

TEST_F(look_end, is_over_when_the_owner_executes_another_program)
{
	ASSERT_OK(view_map(&self->view, true));
	EXPECT_ALL_TO_SEE();
	ASSERT_OK(owner_execute(&self->owner));
	EXPECT_NOTHING_TO_SEE();
	EXPECT_OK(owner_end(&self->owner, 'K'));
}

/* The owner has nothing mapped when it ends; the file is ours. */
TEST_F(look_end, is_over_when_an_owner_without_mappings_exits)
{
	ASSERT_OK(view_map(&self->view, true));
	ASSERT_OK(owner_does(&self->owner, 'u'));
	/* That alone is no end. */
	EXPECT_ALL_TO_SEE();
	EXPECT_TRUE(memory_is(heap_mem(&self->view, 1), PATTERN, OBJECT_BYTES));
	sleep(2);
	EXPECT_ALL_TO_SEE();
	ASSERT_OK(owner_end(&self->owner, 'q'));
	EXPECT_NOTHING_TO_SEE();
}

TEST_F(look_end, is_over_when_an_owner_without_mappings_executes_another_program)
{
	ASSERT_OK(view_map(&self->view, true));
	EXPECT_ALL_TO_SEE();
	ASSERT_OK(owner_does(&self->owner, 'u'));
	ASSERT_OK(owner_execute(&self->owner));
	EXPECT_NOTHING_TO_SEE();
	EXPECT_OK(owner_end(&self->owner, 'K'));
}

TEST_F(look_end, goes_on_when_an_owner_without_mappings_maps_again)
{
	ASSERT_OK(view_map(&self->view, true));
	ASSERT_OK(owner_does(&self->owner, 'm'));
	sleep(2);
	EXPECT_ALL_TO_SEE();
	ASSERT_OK(owner_end(&self->owner, 'K'));
	EXPECT_NOTHING_TO_SEE();
}

/* ---- the end while somebody looks ------------------------------------------------- */

struct watcher {
	pthread_t thread;
	const struct test_heap *view;
	bool stop;
	__u64 seen;
	const char *error;
};

/* What is read is the object, or nothing; never what came into its memory later. */
static void *watcher_main(void *arg)
{
	struct watcher *watcher = arg;
	char *mem = heap_mem(watcher->view, 1);
	int copy = (int)syscall(SYS_memfd_create, "copy", 0);
	char page[4096];

	if (copy < 0) {
		watcher->error = "memfd_create";
		return NULL;
	}
	while (!__atomic_load_n(&watcher->stop, __ATOMIC_RELAXED)) {
		for (size_t i = 0; i < OBJECT_BYTES / 8; i += sizeof(page)) {
			ssize_t n = pwrite(copy, mem + i, sizeof(page), 0);

			if (n < 0 && errno == EFAULT)
				continue;
			if (n <= 0 || pread(copy, page, (size_t)n, 0) != n ||
			    page[0] != PATTERN || !memory_is(page, PATTERN, (size_t)n)) {
				watcher->error = "contents";
				break;
			}
			watcher->seen++;
		}
		/* A table: its pages are not counted, and must not be seen later either. */
		if (pwrite(copy, watcher->view->region[GCHEAP_REGION_CTRL], 4096, 0) == 4096 &&
		    (pread(copy, page, 4, 0) != 4 || *(__u32 *)page != GCHEAP_ABI))
			watcher->error = "CTRL";
		/* Fault all in again. */
		madvise(mem, OBJECT_BYTES, MADV_DONTNEED);
	}
	close(copy);
	return NULL;
}

TEST_F_TIMEOUT(look_end, never_sees_memory_of_others_when_the_owner_ends, 120)
{
	__u64 seen = 0;
	struct rng rng;

	rng_init_printed(&rng, "look");
	ASSERT_OK(owner_end(&self->owner, 'q'));
	for (int round = 0; round < 12; round++) {
		const struct timespec wait = { .tv_nsec = 1000 * rng_below(&rng, 30000) };
		struct watcher watchers[2];
		struct test_heap view;
		struct owner owner;

		ASSERT_OK(owner_start(&owner, &view, GCHEAP_SETUP_SHARE_READ));
		ASSERT_OK(view_map(&view, true));
		for (int i = 0; i < 2; i++) {
			watchers[i] = (struct watcher){ .view = &view };
			ASSERT_EQ(0, pthread_create(&watchers[i].thread, NULL, watcher_main,
						    &watchers[i]));
		}
		nanosleep(&wait, NULL);
		ASSERT_OK(owner_end(&owner, round % 2 ? 'K' : 'q'));
		nanosleep(&wait, NULL);
		for (int i = 0; i < 2; i++) {
			__atomic_store_n(&watchers[i].stop, true, __ATOMIC_RELAXED);
			pthread_join(watchers[i].thread, NULL);
			EXPECT_EQ(NULL, watchers[i].error) {
				TH_LOG("%s", watchers[i].error);
			}
			seen += watchers[i].seen;
		}
		EXPECT_EQ(SIGBUS, probe(heap_mem(&view, 1), false, NULL));
		close(owner.sock);
		heap_close(&view);
	}
	EXPECT_LT(0, seen);
}

int main(int argc, char **argv)
{
	/* What an owner does after it has executed itself. */
	if (argc == 2 && !strcmp(argv[1], OWNER_SLEEPS)) {
		sleep(60);
		return 0;
	}
	return test_harness_run(argc, argv);
}
