// SPDX-License-Identifier: MIT
/*
 * Freed chunks of user arenas: the library's cycles find pointers to them, and those that
 * nobody has a pointer to are ready for use again, without a request.
 *
 * It sends the requests itself, behind the public interface.
 */
#include "library_test.h"

#include "backend/backend.h"
#include "library.h"

#define CHUNKS		11	/* more than a piece of the module's */

/* What the collector takes for roots. */
static char *pointers[2];

struct chunks {
	struct fixture f;
	uint32_t pages[CHUNKS];
};

static int send(struct chunks *c, enum gcheap_op op, void *arg)
{
	return backend_request(c->f.heap->backend, op, arg);
}

static uint32_t state_of(struct chunks *c, uint32_t number)
{
	return c->f.heap->view.spans[c->pages[number]].state & GCHEAP_SPAN_STATE_MASK;
}

static void chunks_free(struct chunks *c, uint32_t first, uint32_t count)
{
	struct gcheap_chunk_free end = {
		.size = sizeof(end),
		.count = count,
		.pages = (uintptr_t)(c->pages + first),
	};

	assert_int_equal(send(c, GCHEAP_OP_CHUNK_FREE, &end), 0);
	assert_int_equal(end.out_freed, count);
}

static void chunks_begin(struct chunks *c)
{
	uint32_t i;

	fixture_open(&c->f);
	assert_int_equal(gcheap_root_add_ambiguous(c->f.heap, pointers, sizeof(pointers)), 0);
	for (i = 0; i < CHUNKS; i++) {
		struct gcheap_chunk_new new = { .size = sizeof(new) };

		assert_int_equal(send(c, GCHEAP_OP_CHUNK_NEW, &new), 0);
		c->pages[i] = new.out_page;
		assert_true(!i || c->pages[i] > c->pages[i - 1]);
	}
}

static void chunks_end(struct chunks *c)
{
	pointers[0] = NULL;
	pointers[1] = NULL;
	assert_int_equal(gcheap_root_remove(c->f.heap, pointers), 0);
	fixture_close(&c->f);
}

/* The address of a byte of a chunk. */
static char *byte_of(struct chunks *c, uint32_t number, size_t at)
{
	return c->f.heap->view.base + ((size_t)c->pages[number] << GCHEAP_PAGE_SHIFT) + at;
}

static void test_a_cycle_makes_chunks_ready_that_it_finds_no_pointer_to(void **state)
{
	const struct gcheap_counters *counters;
	struct chunks c;
	uint32_t i;

	(void)state;
	chunks_begin(&c);
	counters = &c.f.heap->view.ctrl->counters;
	assert_true(c.f.heap->backend->features & GCHEAP_FEATURE_SWEEP_CHUNKS);
	chunks_free(&c, 0, CHUNKS - 1);
	pointers[0] = byte_of(&c, 3, 12345);
	pointers[1] = byte_of(&c, 7, GCHEAP_CHUNK_BYTES - 1);
	assert_int_equal(gcheap_collect(c.f.thread), 0);
	for (i = 0; i < CHUNKS - 1; i++)
		assert_int_equal(state_of(&c, i), i == 3 || i == 7 ? GCHEAP_SPAN_QUARANTINE :
				 GCHEAP_SPAN_READY);
	assert_int_equal(state_of(&c, CHUNKS - 1), GCHEAP_SPAN_CHUNK);
	assert_int_equal(ctrl_load(&counters->quarantined_chunks), 2);
	assert_int_equal(ctrl_load(&counters->ready_chunks), CHUNKS - 3);
	pointers[0] = NULL;
	assert_int_equal(gcheap_collect(c.f.thread), 0);
	assert_int_equal(state_of(&c, 3), GCHEAP_SPAN_READY);
	assert_int_equal(state_of(&c, 7), GCHEAP_SPAN_QUARANTINE);
	chunks_end(&c);
}

/* Pointers that stand in objects, small and large ones, precisely. */
static void test_a_pointer_in_an_object_keeps_a_freed_chunk(void **state)
{
	struct chunks c;
	char **small, **large;
	uint32_t i;

	(void)state;
	chunks_begin(&c);
	small = gcheap_new(c.f.thread, type_with_mask(c.f.heap, 16, 8, 3));
	large = gcheap_new_array(c.f.thread, type_with_mask(c.f.heap, 8, 8, 1), 10000);
	assert_non_null(small);
	assert_non_null(large);
	pointers[0] = (char *)small;
	pointers[1] = (char *)large;
	small[1] = byte_of(&c, 2, 8);
	large[9999] = byte_of(&c, 6, GCHEAP_CHUNK_BYTES / 2);
	chunks_free(&c, 0, CHUNKS);
	for (i = 0; i < 2; i++) {
		assert_int_equal(gcheap_collect(c.f.thread), 0);
		assert_int_equal(state_of(&c, 2), GCHEAP_SPAN_QUARANTINE);
		assert_int_equal(state_of(&c, 6), GCHEAP_SPAN_QUARANTINE);
		assert_int_equal(state_of(&c, 1), GCHEAP_SPAN_READY);
	}
	/* An object that nobody has a pointer to is no evidence. */
	pointers[1] = NULL;
	assert_int_equal(gcheap_collect(c.f.thread), 0);
	assert_int_equal(state_of(&c, 2), GCHEAP_SPAN_QUARANTINE);
	assert_int_equal(state_of(&c, 6), GCHEAP_SPAN_READY);
	chunks_end(&c);
}

static void test_ready_chunks_come_back_zeroed_or_say_so(void **state)
{
	struct gcheap_chunk_new new = { .size = sizeof(new) };
	struct chunks c;
	size_t at;

	(void)state;
	chunks_begin(&c);
	memset(byte_of(&c, 2, 0), 0x5a, GCHEAP_CHUNK_BYTES);
	memset(byte_of(&c, 4, 0), 0x5a, GCHEAP_CHUNK_BYTES);
	chunks_free(&c, 4, 1);
	chunks_free(&c, 2, 1);
	assert_int_equal(gcheap_collect(c.f.thread), 0);
	assert_int_equal(send(&c, GCHEAP_OP_CHUNK_NEW, &new), 0);
	/* What was freed last. */
	assert_int_equal(new.out_page, c.pages[2]);
	for (at = 0; at < GCHEAP_CHUNK_BYTES && !(new.out_flags & GCHEAP_GRANT_NEEDZERO); at++) {
		if (*byte_of(&c, 2, at))
			fail_msg("byte %zu is not zero", at);
	}
	memset(byte_of(&c, 2, 0), 0x5b, GCHEAP_CHUNK_BYTES);
	chunks_end(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_cycle_makes_chunks_ready_that_it_finds_no_pointer_to),
		cmocka_unit_test(test_a_pointer_in_an_object_keeps_a_freed_chunk),
		cmocka_unit_test(test_ready_chunks_come_back_zeroed_or_say_so),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("chunk quarantine", tests, NULL, NULL);
}
