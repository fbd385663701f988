// SPDX-License-Identifier: MIT
/*
 * The heap that most tests begin with.
 */
#include "fixture.h"

struct test_heap *th;

void fixture_heap(u32 layout, u64 reserve_bytes, u32 flags)
{
	int error;

	if (th)
		test_heap_destroy(th);
	th = test_heap_new_flags(layout, reserve_bytes, flags, &error);
	assert_non_null(th);
}

int fixture_begin(u32 layout, u64 reserve_bytes, u32 flags)
{
	port_test_reset();
	fixture_heap(layout, reserve_bytes, flags);
	return 0;
}

int fixture_end(void **state)
{
	(void)state;
	port_test_reset();
	if (th)
		test_heap_destroy(th);
	th = NULL;
	return port_test.blocks ? -1 : 0;
}
