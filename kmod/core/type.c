// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The type table.
 *
 *	TYPES region, byte offsets:
 *	0                    64                     GCHEAP_TYPES_DATA
 *	+--------------------+----------- ... ------+----------------------------+
 *	| record of type 0:  | records of types     | masks of more than 64      | ...
 *	| none               | 1 ...                | words, programs, names     |
 *	+--------------------+----------- ... ------+----------------------------+
 *
 * What follows from GCHEAP_TYPES_MASKS on is type_mask.c's.
 */
#include "type.h"

#include "gc_program.h"
#include "port.h"

static_assert(sizeof(struct gcheap_type_record) == 64);
static_assert(sizeof(struct gcheap_type_record) * GCHEAP_TYPES_MAX == GCHEAP_TYPES_DATA);
static_assert(PORT_TABLE_PAGE_BYTES % sizeof(struct gcheap_type_record) == 0);
static_assert(offsetof(struct gcheap_type_add, gc_prog) == 48);
static_assert(offsetof(struct gcheap_type_add, out_type) == 60);

#define WORD_BYTES	GCHEAP_TYPE_WORD_BYTES

void type_table_init(struct type_table *table)
{
	table->count = 0;
	table->data_end = GCHEAP_TYPES_DATA;
	table->mask_room = NULL;
}

void type_table_destroy(struct type_table *table)
{
	port_free(table->mask_room);
}

u32 type_mask_bytes(const struct gcheap_type_add *add)
{
	return (u32)DIV_ROUND_UP(add->ptr_bytes / WORD_BYTES, 8);
}

u32 type_map_bytes(const struct gcheap_type_add *add)
{
	return add->gc_prog ? add->gc_prog_bytes : type_mask_bytes(add);
}

int type_check(const struct gcheap_type_add *add)
{
	if (add->flags)
		return -EOPNOTSUPP;
	if (!is_power_of_2(add->align) || add->align > GCHEAP_TYPE_ALIGN_MAX)
		return -EINVAL;
	if (!add->bytes || add->bytes & (add->align - 1) || add->bytes > GCHEAP_RESERVE_MAX)
		return -EINVAL;
	if (add->ptr_bytes > add->bytes)
		return -ERANGE;
	if (add->ptr_bytes % WORD_BYTES)
		return -EINVAL;
	if (add->ptr_bytes && add->align < WORD_BYTES)
		return -EINVAL;
	if (add->ptr_bytes / WORD_BYTES > (u64)TYPE_MASK_BYTES_MAX * 8)
		return -EFBIG;
	if (add->ptr_mask && add->gc_prog)
		return -ENOTUNIQ;
	if (!add->ptr_bytes != !(add->ptr_mask || add->gc_prog))
		return -EINVAL;
	if (!add->gc_prog != !add->gc_prog_bytes || add->gc_prog_bytes > GCHEAP_GC_PROG_MAX)
		return -EINVAL;
	if (add->name_bytes > GCHEAP_TYPE_NAME_MAX)
		return -ENAMETOOLONG;
	return 0;
}

/* Bytes of the UTF-8 sequence that starts at @s, at most @left; 0: not one. */
static u32 utf8_sequence(const u8 *s, u32 left)
{
	u32 length, i, code;

	if (s[0] < 0x80)
		return s[0] ? 1 : 0;
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		length = 2;
	else if ((s[0] & 0xf0) == 0xe0)
		length = 3;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		length = 4;
	else
		return 0;
	if (length > left)
		return 0;
	code = s[0] & (0x7fu >> length);
	for (i = 1; i < length; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (s[i] & 0x3f);
	}
	/* Overlong forms, surrogates, and what is beyond Unicode. */
	if (length == 3 && (code < 0x800 || (code >= 0xd800 && code <= 0xdfff)))
		return 0;
	if (length == 4 && (code < 0x10000 || code > 0x10ffff))
		return 0;
	return length;
}

static bool name_is_utf8(const char *name, u32 bytes)
{
	u32 at = 0;

	while (at < bytes) {
		u32 length = utf8_sequence((const u8 *)name + at, bytes - at);

		if (!length)
			return false;
		at += length;
	}
	return true;
}

/* Bits beyond the last word would name pointers that @ptr_bytes denies. */
static bool mask_is_bounded(const struct gcheap_type_add *add, const u8 *mask)
{
	u32 tail = (u32)(add->ptr_bytes / WORD_BYTES % 8);

	return !tail || !(mask[type_mask_bytes(add) - 1] >> tail);
}

/* Makes the table pages that hold [@offset, @offset + @bytes) of TYPES. */
static int types_reserve(struct heap *heap, u64 offset, u64 bytes)
{
	u64 at;

	for (at = round_down(offset, PORT_TABLE_PAGE_BYTES); at < offset + bytes;
	     at += PORT_TABLE_PAGE_BYTES) {
		if (!port_table_page(heap, GCHEAP_REGION_TYPES, at))
			return -ENOMEM;
	}
	return 0;
}

/* To or from pages that types_reserve() has made. */
static void data_copy(struct heap *heap, u64 offset, char *memory, u64 bytes, bool write)
{
	while (bytes) {
		u64 in_page = offset % PORT_TABLE_PAGE_BYTES;
		u64 part = min_t(u64, bytes, PORT_TABLE_PAGE_BYTES - in_page);
		char *page = port_table_page(heap, GCHEAP_REGION_TYPES, offset - in_page);

		if (WARN_ON_ONCE(!page))
			return;
		if (write)
			memcpy(page + in_page, memory, part);
		else
			memcpy(memory, page + in_page, part);
		memory += part;
		offset += part;
		bytes -= part;
	}
}

void type_data_write(struct heap *heap, u64 offset, const void *from, u64 bytes)
{
	data_copy(heap, offset, (char *)from, bytes, true);
}

void type_data_read(struct heap *heap, u64 offset, void *to, u64 bytes)
{
	data_copy(heap, offset, to, bytes, false);
}

static u64 mask_first_word(const struct gcheap_type_add *add, const u8 *mask)
{
	u32 bytes = min_t(u32, type_mask_bytes(add), WORD_BYTES);
	u64 word = 0;
	u32 i;

	for (i = 0; i < bytes; i++)
		word |= (u64)mask[i] << (8 * i);
	return word;
}

/**
 * struct type_map - how a new type tells its pointers
 * @mask_word: the first word of its mask
 * @data: what is kept beside the record: the mask if it has more, or the program
 * @data_bytes: its length; 0: nothing
 * @program: @data is a program
 */
struct type_map {
	u64 mask_word;
	const void *data;
	u32 data_bytes;
	bool program;
};

/* Adds a type whose name and map are in order. */
static int type_store(struct heap *heap, struct gcheap_type_add *add, const char *name,
		      const struct type_map *map)
{
	struct type_table *table = &heap->types;
	struct gcheap_type_record record = {
		.bytes = add->bytes,
		.ptr_bytes = add->ptr_bytes,
		.mask_word = map->mask_word,
		.align = add->align,
	};
	u64 map_offset = table->data_end;
	u64 data_end;
	u64 record_offset;
	int error;

	if (table->count + 1 >= GCHEAP_TYPES_MAX)
		return -ENOSPC;

	record.name_offset = map_offset + round_up((u64)map->data_bytes, WORD_BYTES);
	data_end = record.name_offset + round_up((u64)add->name_bytes + 1, WORD_BYTES);
	if (data_end > GCHEAP_TYPES_MASKS)
		return -ENOSPC;
	if (map->program) {
		record.program_offset = map_offset;
		record.program_bytes = map->data_bytes;
	} else if (map->data_bytes) {
		record.mask_offset = map_offset;
	}

	record_offset = (u64)(table->count + 1) * sizeof(record);
	error = types_reserve(heap, record_offset, sizeof(record));
	if (!error)
		error = types_reserve(heap, map_offset, data_end - map_offset);
	if (error)
		return error;

	/* Room that a failed call reserved but did not take is still zero. */
	type_data_write(heap, map_offset, map->data, map->data_bytes);
	type_data_write(heap, record.name_offset, name, add->name_bytes);
	type_data_write(heap, record_offset, &record, sizeof(record));
	table->data_end = data_end;
	add->out_type = ++table->count;
	heap->counters.types = table->count;
	return 0;
}

static int type_add_mask(struct heap *heap, struct gcheap_type_add *add, const char *name,
			 const u8 *mask)
{
	u32 mask_bytes = type_mask_bytes(add);
	struct type_map map = { .mask_word = mask_first_word(add, mask) };

	if (mask_bytes > WORD_BYTES) {
		map.data = mask;
		map.data_bytes = mask_bytes;
	}
	return type_store(heap, add, name, &map);
}

/*
 * Adds a type with the mask that its program emits. The mask is made aside, so
 * that a failure leaves nothing in the table, and it is copied there in one go. A
 * long one is left to type_mask_hold().
 */
static int type_add_program(struct heap *heap, struct gcheap_type_add *add, const char *name,
			    const u8 *code)
{
	const struct gc_program start = {
		.code = code,
		.bytes = add->gc_prog_bytes,
		.words = add->ptr_bytes / WORD_BYTES,
	};
	struct gc_program program = start;
	u64 mask[GCHEAP_TYPE_MASK_KEPT_MAX / WORD_BYTES / 64];
	int error;

	if (gc_program_check(&program))
		return -EINVAL;
	if (add->ptr_bytes > GCHEAP_TYPE_MASK_KEPT_MAX) {
		const struct type_map map = {
			.mask_word = gc_program_first_word(&start),
			.data = code,
			.data_bytes = add->gc_prog_bytes,
			.program = true,
		};

		return type_store(heap, add, name, &map);
	}
	program = start;
	error = gc_program_unroll(&program, mask, 1, port_interrupted);
	return error ? error : type_add_mask(heap, add, name, (const u8 *)mask);
}

int type_add(struct heap *heap, struct gcheap_type_add *add, const char *name,
	     const u8 *map)
{
	if (!name_is_utf8(name, add->name_bytes))
		return -EILSEQ;
	if (add->gc_prog)
		return type_add_program(heap, add, name, map);
	if (add->ptr_bytes && !mask_is_bounded(add, map))
		return -EDOM;
	return type_add_mask(heap, add, name, map);
}

struct gcheap_type_record *type_record(struct heap *heap, u32 type)
{
	u64 offset, in_page;
	char *page;

	if (!type || type > heap->types.count)
		return NULL;
	/* The number may be user space's, see heap_page_nospec(). */
	type = (u32)array_index_nospec(type, heap->types.count + 1);
	offset = (u64)type * sizeof(struct gcheap_type_record);
	in_page = offset % PORT_TABLE_PAGE_BYTES;
	page = port_table_page(heap, GCHEAP_REGION_TYPES, offset - in_page);
	if (WARN_ON_ONCE(!page))
		return NULL;
	return (struct gcheap_type_record *)(page + in_page);
}

const struct gcheap_type_record *type_find(struct heap *heap, u32 type)
{
	return type_record(heap, type);
}
