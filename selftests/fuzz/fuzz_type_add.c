// SPDX-License-Identifier: MIT
/*
 * libFuzzer target: requests to add types, checked and added as kmod/dispatch.c does
 * it, to a heap on the test port.
 *
 * Input: a list of requests. Of each, a byte of choices, which makes most requests
 * near to good ones; the numbers; the name; the mask or program.
 */
#include <stdlib.h>

#include "../core/port_test.h"
#include "type_mask.h"

/* A false condition is a crash, which libFuzzer keeps the input of. */
#define CHECK(condition) do { if (!(condition)) abort(); } while (0)

/* The input that is left. Behind its end are zeros. */
struct input {
	const u8 *at;
	size_t left;
};

static u64 take(struct input *input, u32 bytes)
{
	u64 value = 0;

	for (u32 i = 0; i < bytes && input->left; i++, input->left--)
		value |= (u64)*input->at++ << 8 * i;
	return value;
}

/* A block of just this length, so that the sanitizer sees its end. */
static void *take_block(struct input *input, size_t bytes)
{
	size_t part = min_t(size_t, bytes, input->left);
	u8 *block = calloc(1, bytes);

	memcpy(block, input->at, part);
	input->at += part;
	input->left -= part;
	return block;
}

enum choice {
	CHOICE_WILD = 1,	/* all numbers are any */
	CHOICE_PROGRAM = 2,
	CHOICE_NO_POINTERS = 4,
	CHOICE_LONG = 8,	/* a type of more than 64 words */
	CHOICE_FAIL = 16,	/* memory runs out */
	CHOICE_INTERRUPT = 32,
	CHOICE_BOTH = 64,	/* mask and program */
	CHOICE_FLAGS = 128,
};

static struct gcheap_type_add take_request(struct input *input, u8 choices)
{
	struct gcheap_type_add add = { .size = sizeof(add) };

	if (choices & CHOICE_FLAGS)
		add.flags = (u32)take(input, 4);
	if (choices & CHOICE_WILD) {
		add.bytes = take(input, 8);
		add.ptr_bytes = take(input, 8);
		add.align = (u32)take(input, 4);
		add.name_bytes = (u32)take(input, 4);
		add.gc_prog_bytes = (u32)take(input, 4);
		add.ptr_mask = take(input, 1) & 1;
		add.gc_prog = take(input, 1) & 1;
		return add;
	}
	add.align = 8u << (take(input, 1) & 15);
	add.bytes = (u64)add.align * take(input, 1);
	if (!(choices & CHOICE_NO_POINTERS)) {
		add.ptr_bytes = 8 * take(input, choices & CHOICE_LONG ? 2 : 1);
		if (choices & CHOICE_LONG)
			add.bytes = round_up(max_t(u64, add.bytes, add.ptr_bytes), (u64)add.align);
		add.ptr_mask = !(choices & CHOICE_PROGRAM) || choices & CHOICE_BOTH;
		add.gc_prog = !!(choices & CHOICE_PROGRAM);
	}
	if (add.gc_prog)
		add.gc_prog_bytes = (u32)take(input, 1);
	add.name_bytes = (u32)take(input, 1) & 15;
	return add;
}

static const void *types_at(struct test_heap *th, u64 offset)
{
	const void *at = test_heap_table(th, GCHEAP_REGION_TYPES, offset);

	CHECK(at);
	return at;
}

/* What was added is what was asked for. Adds the same by its mask: no other type. */
static void check_type(struct test_heap *th, const struct gcheap_type_add *add, const char *name,
		       const u8 *map)
{
	const struct gcheap_type_record *record = types_at(th, add->out_type * 64ull);
	u64 words = add->ptr_bytes / 8, word;
	u8 *mask;

	CHECK(record == type_find(&th->heap, add->out_type));
	CHECK(record->bytes == add->bytes && record->ptr_bytes == add->ptr_bytes);
	CHECK(record->align == add->align && !record->flags);
	CHECK(!record->program_bytes ==
	      (!add->gc_prog || add->ptr_bytes <= GCHEAP_TYPE_MASK_KEPT_MAX));
	CHECK(!record->mask_offset == (words <= 64 || record->program_bytes));
	/* As the first object would. */
	CHECK(!type_mask_hold(&th->heap, add->out_type));
	CHECK(!record->mask_offset == (words <= 64));
	for (u32 i = 0; i <= add->name_bytes; i++) {
		const char *byte = types_at(th, record->name_offset + i);

		CHECK(*byte == (i < add->name_bytes ? name[i] : 0));
	}
	mask = calloc(1, DIV_ROUND_UP(words, 64) * 8);
	for (word = 0; word < DIV_ROUND_UP(words, 64); word++) {
		u64 bits = record->mask_word;

		if (record->mask_offset)
			bits = *(const u64 *)types_at(th, record->mask_offset + word * 8);
		CHECK(word || bits == record->mask_word);
		memcpy(mask + word * 8, &bits, 8);
	}
	if (!add->gc_prog) {
		CHECK(!memcmp(mask, map, type_mask_bytes(add)));
	} else {
		struct gcheap_type_add again = *add;
		const struct gcheap_type_record *same;

		again.gc_prog = 0;
		again.gc_prog_bytes = 0;
		again.ptr_mask = 1;
		CHECK(!type_check(&again));
		CHECK(!type_add(&th->heap, &again, name, mask));
		same = types_at(th, again.out_type * 64ull);
		CHECK(same->mask_word == record->mask_word);
		CHECK(!same->mask_offset == !record->mask_offset);
	}
	type_mask_drop(&th->heap, add->out_type);
	CHECK(!record->mask_users);
	free(mask);
}

static void send_request(struct test_heap *th, struct input *input)
{
	u8 choices = (u8)take(input, 1);
	struct gcheap_type_add add = take_request(input, choices);
	struct type_table before = th->heap.types;
	u64 blocks = port_test.blocks;
	int error = type_check(&add);
	char *name;
	u8 *map;

	if (error) {
		CHECK(error == -EINVAL || error == -EOPNOTSUPP || error == -ERANGE ||
		      error == -EFBIG || error == -ENOTUNIQ || error == -ENAMETOOLONG);
		return;
	}
	CHECK(add.name_bytes <= GCHEAP_TYPE_NAME_MAX);
	CHECK(type_mask_bytes(&add) <= TYPE_MASK_BYTES_MAX);
	CHECK(type_map_bytes(&add) <= TYPE_MASK_BYTES_MAX);
	name = take_block(input, add.name_bytes);
	map = take_block(input, type_map_bytes(&add));
	if (choices & CHOICE_FAIL)
		port_test_fail(1 + take(input, 1) % 8, true);
	if (choices & CHOICE_INTERRUPT)
		port_test_interrupt(1 + take(input, 1));
	error = type_add(&th->heap, &add, name, map);
	port_test_fail(0, false);
	port_test_interrupt(0);

	CHECK(port_test.blocks == blocks);
	if (error) {
		CHECK(error == -EINVAL || error == -EILSEQ || error == -EDOM ||
		      error == -ENOMEM || error == -EINTR);
		CHECK(th->heap.types.count == before.count);
		CHECK(th->heap.types.data_end == before.data_end);
		CHECK(!type_find(&th->heap, before.count + 1));
	} else {
		CHECK(add.out_type == before.count + 1 && th->heap.types.count == add.out_type);
		check_type(th, &add, name, map);
	}
	free(name);
	free(map);
}

/* A heap without types. The rest of it is kept: most of the time would go there. */
static struct test_heap *fresh_heap(void)
{
	static struct test_heap *th;
	int error;

	if (!th) {
		th = test_heap_new(GCHEAP_LAYOUT_SPAN, GCHEAP_RESERVE_MIN, &error);
		CHECK(th);
	}
	for (u64 i = 0; i < th->table_pages[GCHEAP_REGION_TYPES]; i++) {
		void **page = &th->tables[GCHEAP_REGION_TYPES][i];

		th->tables_made -= !!*page;
		free(*page);
		*page = NULL;
	}
	type_table_destroy(&th->heap.types);
	type_table_init(&th->heap.types);
	return th;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct input input = { .at = data, .left = size };
	struct test_heap *th = fresh_heap();

	port_test_reset();
	for (u32 i = 0; i < 16 && input.left; i++)
		send_request(th, &input);
	return 0;
}
