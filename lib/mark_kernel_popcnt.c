// SPDX-License-Identifier: MIT
/*
 * What the kernels of all CPUs with popcnt have in common.
 */
#if defined(__x86_64__)

#include "mark_kernel.h"

__attribute__((target("popcnt")))
uint64_t mark_kernel_count_popcnt(uint64_t *marks, const uint64_t *allocs, uint64_t words)
{
	uint64_t count = 0;
	uint64_t i;

	for (i = 0; i < words; i++) {
		marks[i] &= allocs[i];
		count += (uint64_t)__builtin_popcountll(marks[i]);
	}
	return count;
}

#endif /* __x86_64__ */
