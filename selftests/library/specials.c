// SPDX-License-Identifier: MIT
/*
 * What the tests of specials share.
 */
#include "specials.h"

#include <pthread.h>
#include <unistd.h>

/* Runs gcheap_verify() and returns what it printed on stderr. */
static const char *report(struct gcheap *heap, int *result)
{
	static char text[8192];
	FILE *file = tmpfile();
	int saved = dup(2);
	size_t length;

	assert_non_null(file);
	fflush(stderr);
	dup2(fileno(file), 2);
	*result = gcheap_verify(heap);
	fflush(stderr);
	dup2(saved, 2);
	close(saved);
	rewind(file);
	length = fread(text, 1, sizeof(text) - 1, file);
	text[length] = 0;
	fclose(file);
	return text;
}

void assert_sound(struct gcheap *heap)
{
	int result;
	const char *text = report(heap, &result);

	if (result)
		fail_msg("%d: %s", result, text);
}

void assert_broken(struct gcheap *heap, const char *words)
{
	int result;
	const char *text = report(heap, &result);

	assert_refused(result, EUCLEAN, "corrupted");
	if (!strstr(text, words))
		fail_msg("the report does not say \"%s\": %s", words, text);
}

uint64_t specials_of(struct gcheap *heap)
{
	return stats_of(heap).specials;
}

void starve(struct starved *starved, struct pool *pool)
{
	struct rlimit none;

	starved->pool = pool;
	starved->had = *pool;
	pool->free = NULL;
	pool->at = pool->end = NULL;
	assert_int_equal(getrlimit(RLIMIT_AS, &starved->limit), 0);
	none = (struct rlimit) { .rlim_cur = 0, .rlim_max = starved->limit.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_AS, &none), 0);
}

void feed(struct starved *starved)
{
	struct pool *pool = starved->pool;

	setrlimit(RLIMIT_AS, &starved->limit);
	/* Nothing was allocated, but pieces may have been freed. */
	if (pool->free) {
		struct pool_free **last = &pool->free;

		while (*(struct pool_free **)*last)
			last = (struct pool_free **)*last;
		*(struct pool_free **)*last = starved->had.free;
	} else {
		pool->free = starved->had.free;
	}
	pool->at = starved->had.at;
	pool->end = starved->had.end;
}

void run_workers(struct fixture *fixture, void *(*work)(void *arg), void *workers,
		 size_t worker_bytes, int count, int cycles)
{
	pthread_t threads[WORKERS_MAX];
	void *result;
	int i;

	assert_in_range(count, 1, WORKERS_MAX);
	for (i = 0; i < count; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work,
						(char *)workers + (size_t)i * worker_bytes), 0);
	for (i = 0; i < cycles; i++) {
		assert_int_equal(gcheap_collect(fixture->thread), 0);
		assert_sound(fixture->heap);
	}
	gcheap_park(fixture->thread);
	for (i = 0; i < count; i++) {
		assert_int_equal(pthread_join(threads[i], &result), 0);
		if (result)
			fail_msg("%s", (const char *)result);
	}
	gcheap_unpark(fixture->thread);
}
