// SPDX-License-Identifier: MIT
/*
 * Random numbers for the core's unit tests.
 */
#include <time.h>

#include "core_test.h"

static u64 random_state;

u64 random_seed(void)
{
	const char *text = getenv("GCHEAP_SEED");
	struct timespec now;
	u64 seed;

	if (text && *text) {
		seed = strtoull(text, NULL, 0);
	} else {
		clock_gettime(CLOCK_REALTIME, &now);
		seed = (u64)now.tv_sec * 1000000007ull + (u64)now.tv_nsec;
	}
	printf("# GCHEAP_SEED=%llu\n", seed);
	fflush(stdout);
	random_state = seed;
	return seed;
}

/* splitmix64, by Sebastiano Vigna. */
u64 random_next(void)
{
	u64 z = random_state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

u64 random_length(u64 last)
{
	u64 limit = 1ull << random_below(fls64(last) + 1);

	return 1 + random_below(min_t(u64, limit, last));
}
