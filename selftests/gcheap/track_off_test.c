// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What the module offers when it does not track writes: because its parameter `track`
 * is 0, or because the proof that it makes when it is loaded fails, which the values 2
 * and 3 bring about. With the value 1 the test says that writes are tracked, which is
 * so on all machines that the tests run on.
 */
#include "../kselftest_harness.h"
#include "gcheap_selftest.h"
#include "gcheap_track.h"

/* The module's parameter, or a negative errno. */
static int parameter(void)
{
	FILE *file = fopen(PARAMETERS "track", "r");
	int value = -EINVAL;

	if (!file)
		return -errno;
	if (fscanf(file, "%d", &value) != 1)
		value = -EIO;
	fclose(file);
	return value;
}

TEST(tracking_is_offered_when_it_is_proven_and_wanted)
{
	int value = parameter();

	ASSERT_LE(0, value);
	EXPECT_EQ(value == 1, tracking_works());
}

FIXTURE(off) {
	struct test_heap heap;
};

FIXTURE_SETUP(off)
{
	if (parameter() == 1)
		SKIP(return, "writes are tracked; load the module with track=0, 2 or 3");
	ASSERT_OK(tracked_open(&self->heap, 0));
}

FIXTURE_TEARDOWN(off)
{
	if (self->heap.fd)
		heap_close(&self->heap);
}

TEST_F(off, test_err_track)
{
	struct gcheap_track track = { .flags = GCHEAP_TRACK_BITMAP };

	test_err(EOPNOTSUPP, cmd_track(self->heap.fd, &track));
}

TEST_F(off, test_err_setup_with_snapshots)
{
	struct test_heap heap;

	EXPECT_ERR(EOPNOTSUPP, tracked_open(&heap, GCHEAP_SETUP_SNAPSHOTS));
}

TEST_F(off, leaves_the_rest_of_the_heap_as_it_is)
{
	struct gcheap_alloc_large large;

	test_cmd_alloc_large(0, 100000, &large);
	memset(heap_mem(&self->heap, large.out_page), 1, 100000);
	ASSERT_RIGHT(heap_wrong(&self->heap));
}

TEST_HARNESS_MAIN
