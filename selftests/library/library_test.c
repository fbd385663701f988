// SPDX-License-Identifier: MIT
/*
 * What the tests of the library share.
 */
#include "library_test.h"

/*
 * Tests look into free slots, and behind objects; test_guards.c is about what programs of
 * AddressSanitizer must not do.
 */
static __attribute__((constructor)) void guards_off(void)
{
	setenv("GCHEAP_GUARDS", "0", 0);
}

/* ---- heaps ------------------------------------------------------------------- */

struct gcheap_config fixture_config(void)
{
	struct gcheap_config config = GCHEAP_CONFIG_INIT;

	config.flags = 0;
	return config;
}

void fixture_open_with(struct fixture *fixture, const struct gcheap_config *config)
{
	if (gcheap_open(config, &fixture->heap))
		fail_msg("gcheap_open: %s", gcheap_error());
	if (gcheap_thread_attach(fixture->heap, &fixture->thread))
		fail_msg("gcheap_thread_attach: %s", gcheap_error());
}

void fixture_open(struct fixture *fixture)
{
	struct gcheap_config config = fixture_config();

	fixture_open_with(fixture, &config);
}

void fixture_close(struct fixture *fixture)
{
	gcheap_thread_detach(fixture->thread);
	gcheap_close(fixture->heap);
}

int fixture_setup(void **state)
{
	struct fixture *fixture = malloc(sizeof(*fixture));

	fixture_open(fixture);
	*state = fixture;
	return 0;
}

int fixture_teardown(void **state)
{
	fixture_close(*state);
	free(*state);
	return 0;
}

void assert_opens(const struct gcheap_config *config)
{
	struct gcheap *heap;

	if (gcheap_open(config, &heap))
		fail_msg("gcheap_open: %s", gcheap_error());
	gcheap_close(heap);
}

void assert_open_refused(const struct gcheap_config *config, int error, const char *words)
{
	struct gcheap *heap = (struct gcheap *)1;

	assert_refused(gcheap_open(config, &heap), error, words);
	assert_ptr_equal(heap, (struct gcheap *)1);
}

const struct test_layout test_layouts[TEST_LAYOUTS] = {
	{ GCHEAP_LAYOUT_SPAN, "span" },
	{ GCHEAP_LAYOUT_HEADER, "header" },
	{ GCHEAP_LAYOUT_FOOTER, "footer" },
	{ GCHEAP_LAYOUT_BITMAP, "bitmap" },
};

void fixture_open_layout(struct fixture *fixture, enum gcheap_layout layout)
{
	struct gcheap_config config = fixture_config();

	config.layout = layout;
	config.gc_percent = -1;
	fixture_open_with(fixture, &config);
}

gcheap_type type_with_mask(struct gcheap *heap, size_t bytes, size_t align, uint64_t mask)
{
	uint8_t little_endian[8];
	struct gcheap_type_desc desc = {
		.name = "test",
		.size = bytes,
		.align = align,
		.ptr_bytes = mask ? (64 - (size_t)__builtin_clzll(mask)) * 8 : 0,
		.ptr_mask = mask ? little_endian : NULL,
	};
	gcheap_type type;
	int i;

	for (i = 0; i < 8; i++)
		little_endian[i] = (uint8_t)(mask >> 8 * i);
	if (gcheap_type_register(heap, &desc, &type))
		fail_msg("gcheap_type_register: %s", gcheap_error());
	return type;
}

void *busy_type(struct fixture *fixture, gcheap_type type, size_t n)
{
	struct gcheap_object found = { .size = 0 };
	size_t bytes;
	void *object = NULL;

	/* No span of small objects is longer than 80 KiB. */
	for (bytes = 0; bytes < 200 << 10; bytes += found.size) {
		object = gcheap_new_array(fixture->thread, type, n);
		assert_non_null(object);
		assert_int_equal(gcheap_find(fixture->heap, object, &found), 0);
	}
	return object;
}

struct gcheap_stats stats_of(struct gcheap *heap)
{
	struct gcheap_stats stats = { .size = sizeof(stats) };

	assert_int_equal(gcheap_stats(heap, &stats), 0);
	return stats;
}

uint64_t cycles_of(struct fixture *f)
{
	return stats_of(f->heap).cycles;
}

void drop_bytes(struct fixture *f, uint64_t bytes)
{
	uint64_t i;

	for (i = 0; i < bytes; i += 64)
		assert_non_null(gcheap_new_leaf(f->thread, 64));
}

uint64_t live_after_collect(struct fixture *fixture)
{
	if (gcheap_collect(fixture->thread))
		fail_msg("gcheap_collect: %s", gcheap_error());
	return stats_of(fixture->heap).live_objects;
}

/* ---- the environment --------------------------------------------------------- */

#define VARIABLES_MAX	16

static struct {
	const char *name;
	char *value;
} changed[VARIABLES_MAX];
static size_t changed_count;

void variable_set(const char *name, const char *value)
{
	const char *old = getenv(name);

	assert_true(changed_count < VARIABLES_MAX);
	changed[changed_count].name = name;
	changed[changed_count].value = old ? strdup(old) : NULL;
	changed_count++;
	if (value)
		setenv(name, value, 1);
	else
		unsetenv(name);
}

int variables_restore(void **state)
{
	(void)state;
	/* The last first, so that what was set twice is as before the first. */
	while (changed_count) {
		changed_count--;
		if (changed[changed_count].value)
			setenv(changed[changed_count].name, changed[changed_count].value, 1);
		else
			unsetenv(changed[changed_count].name);
		free(changed[changed_count].value);
	}
	return 0;
}

/* Not on a stack that AddressSanitizer has aside. */
__attribute__((noinline, no_sanitize("address"))) void stack_wipe(void)
{
	volatile char room[16384];
	size_t i;

	for (i = 0; i < sizeof(room); i++)
		room[i] = 0x11;
}

uint64_t random_next(uint64_t *state)
{
	/* splitmix64 */
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

uint64_t environment_number(const char *name, uint64_t otherwise)
{
	const char *value = getenv(name);

	return value ? strtoull(value, NULL, 0) : otherwise;
}
