/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The rules of TYPE_ADD: requests that are in order up to their limits, and those that break
 * one rule each. The tests of the core, of the device and of the library all go through
 * them, with what each has to send them.
 */
#ifndef GCHEAP_TYPE_RULES_H
#define GCHEAP_TYPE_RULES_H

#include <stdint.h>

#include <linux/errno.h>
#include <linux/gcheap.h>

#define TYPE_RULE_MASK_MAX	0x100000u			/* bytes of a mask */
#define TYPE_RULE_PTR_MAX	(64ull * TYPE_RULE_MASK_MAX)	/* so many bytes it describes */

/**
 * struct type_rule - a request, and what has to come of it
 * @title: what is special about it
 * @error: the errno that refuses it; 0: it is taken
 * @bytes: as in struct gcheap_type_add
 * @ptr_bytes: as there
 * @align: as there
 * @mask: the mask; NULL: none
 * @program: the program; NULL: none
 * @program_bytes: its length
 * @name: the name; NULL: one that is in order
 * @name_bytes: its length
 * @device_only: 1: struct gcheap_type_desc cannot say it, or the library names another of the
 *	rules that it breaks
 */
struct type_rule {
	const char *title;
	int error;
	__u64 bytes;
	__u64 ptr_bytes;
	__u32 align;
	const __u8 *mask;
	const __u8 *program;
	__u32 program_bytes;
	const char *name;
	__u32 name_bytes;
	__u8 device_only;
};

/* Of one word; and longer ones. One byte more than a mask can have can be read. */
static const __u8 type_rule_one[] = { 1 }, type_rule_second[] = { 2 }, type_rule_last[] = { 0x80 };
static const __u8 type_rule_word_70[] = { 1, 0, 0, 0, 0, 0, 0, 0, 0x20 };
static const __u8 type_rule_word_71[] = { 1, 0, 0, 0, 0, 0, 0, 0, 0x40 };
static const __u8 type_rule_long[TYPE_RULE_MASK_MAX + 1];

/* Emits two bits; and as long as can be: emits nine, and 32766 times one. */
static const __u8 type_rule_program[] = { 2, 1, 0 };
static const __u8 type_rule_longest[GCHEAP_GC_PROG_MAX + 1] = {
	9, [1 ... GCHEAP_GC_PROG_MAX - 2] = 1,
};

static const char type_rule_name_max[] = { [0 ... GCHEAP_TYPE_NAME_MAX - 1] = 'n', 0 };
static const char type_rule_name_over[] = { [0 ... GCHEAP_TYPE_NAME_MAX] = 'n', 0 };

static const struct type_rule type_rules[] = {
	{ "a type in order", 0,
	  .bytes = 24, .ptr_bytes = 16, .align = 8, .mask = type_rule_one },

	/* ---- alignment -------------------------------------------------------- */
	{ "an alignment of 0", EINVAL,
	  .bytes = 24, .ptr_bytes = 16, .align = 0, .mask = type_rule_one },
	{ "an alignment of 3", EINVAL,
	  .bytes = 24, .align = 3 },
	{ "an alignment of 12", EINVAL,
	  .bytes = 24, .ptr_bytes = 16, .align = 12, .mask = type_rule_one },
	{ "an alignment of 24", EINVAL,
	  .bytes = 24, .ptr_bytes = 16, .align = 24, .mask = type_rule_one },
	{ "an alignment of 3 GiB", EINVAL,
	  .bytes = 0xc0000000u, .ptr_bytes = 16, .align = 0xc0000000u, .mask = type_rule_one },
	{ "an alignment of all bits", EINVAL,
	  .bytes = 24, .ptr_bytes = 16, .align = ~0u, .mask = type_rule_one },
	{ "the largest alignment", 0,
	  .bytes = 2 * GCHEAP_TYPE_ALIGN_MAX, .ptr_bytes = 16, .align = GCHEAP_TYPE_ALIGN_MAX,
	  .mask = type_rule_one },
	{ "twice the largest alignment", EINVAL,
	  .bytes = 2 * GCHEAP_TYPE_ALIGN_MAX, .ptr_bytes = 16,
	  .align = 2 * GCHEAP_TYPE_ALIGN_MAX, .mask = type_rule_one },
	{ "an alignment of 2 GiB", EINVAL,
	  .bytes = 1ull << 31, .ptr_bytes = 16, .align = 1u << 31, .mask = type_rule_one },
	{ "pointers at an alignment of 1", EINVAL,
	  .bytes = 24, .ptr_bytes = 16, .align = 1, .mask = type_rule_one },
	{ "pointers at an alignment of 2", EINVAL,
	  .bytes = 24, .ptr_bytes = 16, .align = 2, .mask = type_rule_one },
	{ "pointers at an alignment of 4", EINVAL,
	  .bytes = 24, .ptr_bytes = 16, .align = 4, .mask = type_rule_one },
	{ "pointers of a program at an alignment of 4", EINVAL,
	  .bytes = 24, .ptr_bytes = 16, .align = 4, .program = type_rule_program,
	  .program_bytes = 3 },
	{ "no pointers at an alignment of 4", 0,
	  .bytes = 24, .align = 4 },

	/* ---- size ------------------------------------------------------------- */
	{ "a size of 0", EINVAL,
	  .align = 8 },
	{ "a size of 0 with pointers", EINVAL,
	  .ptr_bytes = 16, .align = 8, .mask = type_rule_one },
	{ "a size of 1", 0,
	  .bytes = 1, .align = 1 },
	{ "a size of 23 at an alignment of 8", EINVAL,
	  .bytes = 23, .ptr_bytes = 16, .align = 8, .mask = type_rule_one },
	{ "a size of 25 at an alignment of 8", EINVAL,
	  .bytes = 25, .ptr_bytes = 16, .align = 8, .mask = type_rule_one },
	{ "a size of 24 at an alignment of 16", EINVAL,
	  .bytes = 24, .ptr_bytes = 16, .align = 16, .mask = type_rule_one },
	{ "a size of half its alignment", EINVAL,
	  .bytes = 4096, .ptr_bytes = 16, .align = 8192, .mask = type_rule_one },
	{ "the size of the largest heap", 0,
	  .bytes = GCHEAP_RESERVE_MAX, .ptr_bytes = 16, .align = 8, .mask = type_rule_one },
	{ "a word more than the largest heap", EINVAL,
	  .bytes = GCHEAP_RESERVE_MAX + 8, .ptr_bytes = 16, .align = 8, .mask = type_rule_one },
	{ "a size of all bits that it may have", EINVAL,
	  .bytes = ~7ull, .ptr_bytes = 16, .align = 8, .mask = type_rule_one },

	/* ---- length of what may hold pointers ---------------------------------- */
	{ "no pointers", 0,
	  .bytes = 24, .align = 8 },
	{ "pointers to the end", 0,
	  .bytes = 24, .ptr_bytes = 24, .align = 8, .mask = type_rule_one },
	{ "a word of pointers more than the size", ERANGE,
	  .bytes = 24, .ptr_bytes = 32, .align = 8, .mask = type_rule_one },
	{ "pointers to the end of all memory", ERANGE,
	  .bytes = 24, .ptr_bytes = ~7ull, .align = 8, .mask = type_rule_one },
	{ "1 byte of pointers", EINVAL,
	  .bytes = 24, .ptr_bytes = 1, .align = 8, .mask = type_rule_one },
	{ "2 bytes of pointers", EINVAL,
	  .bytes = 24, .ptr_bytes = 2, .align = 8, .mask = type_rule_one },
	{ "4 bytes of pointers", EINVAL,
	  .bytes = 24, .ptr_bytes = 4, .align = 8, .mask = type_rule_one },
	{ "7 bytes of pointers", EINVAL,
	  .bytes = 24, .ptr_bytes = 7, .align = 8, .mask = type_rule_one },
	{ "9 bytes of pointers", EINVAL,
	  .bytes = 24, .ptr_bytes = 9, .align = 8, .mask = type_rule_one },
	{ "20 bytes of pointers", EINVAL,
	  .bytes = 24, .ptr_bytes = 20, .align = 8, .mask = type_rule_one },
	{ "the longest mask", 0,
	  .bytes = 1ull << 30, .ptr_bytes = TYPE_RULE_PTR_MAX, .align = 8,
	  .mask = type_rule_long },
	{ "a mask of one bit more", EFBIG,
	  .bytes = 1ull << 30, .ptr_bytes = TYPE_RULE_PTR_MAX + 8, .align = 8,
	  .mask = type_rule_long },
	{ "a mask for all of the largest heap", EFBIG,
	  .bytes = GCHEAP_RESERVE_MAX, .ptr_bytes = GCHEAP_RESERVE_MAX, .align = 8,
	  .mask = type_rule_long },
	{ "a program for one word more than a mask may describe", EFBIG,
	  .bytes = 1ull << 30, .ptr_bytes = TYPE_RULE_PTR_MAX + 8, .align = 8,
	  .program = type_rule_program, .program_bytes = 3 },
	{ "a mask for more than any heap has", EINVAL,
	  .bytes = 1ull << 62, .ptr_bytes = 1ull << 62, .align = 8, .mask = type_rule_long },

	/* ---- mask -------------------------------------------------------------- */
	{ "a mask without pointers", EINVAL,
	  .bytes = 24, .align = 8, .mask = type_rule_one },
	{ "pointers without a mask", EINVAL,
	  .bytes = 24, .ptr_bytes = 16, .align = 8 },
	{ "a mask with the bit after the last word's", EDOM,
	  .bytes = 24, .ptr_bytes = 8, .align = 8, .mask = type_rule_second },
	{ "a mask with the last bit of its byte", EDOM,
	  .bytes = 24, .ptr_bytes = 8, .align = 8, .mask = type_rule_last },
	{ "a long mask with the last word's bit", 0,
	  .bytes = 576, .ptr_bytes = 560, .align = 8, .mask = type_rule_word_70 },
	{ "a long mask with the bit after the last word's", EDOM,
	  .bytes = 576, .ptr_bytes = 560, .align = 8, .mask = type_rule_word_71 },
	{ "the same with another word", 0,
	  .bytes = 576, .ptr_bytes = 568, .align = 8, .mask = type_rule_word_71 },

	/* ---- program ----------------------------------------------------------- */
	{ "a program", 0,
	  .bytes = 24, .ptr_bytes = 16, .align = 8, .program = type_rule_program,
	  .program_bytes = 3 },
	{ "a program without pointers", EINVAL,
	  .bytes = 24, .align = 8, .program = type_rule_program, .program_bytes = 3 },
	{ "a mask and a program", ENOTUNIQ,
	  .bytes = 24, .ptr_bytes = 16, .align = 8, .mask = type_rule_one,
	  .program = type_rule_program, .program_bytes = 3 },
	{ "a mask and a program of no bytes", ENOTUNIQ,
	  .bytes = 24, .ptr_bytes = 16, .align = 8, .mask = type_rule_one,
	  .program = type_rule_program },
	{ "a mask and a program without pointers", ENOTUNIQ,
	  .bytes = 24, .align = 8, .mask = type_rule_one, .program = type_rule_program,
	  .program_bytes = 3, .device_only = 1 },
	{ "a program of no bytes", EINVAL,
	  .bytes = 24, .ptr_bytes = 16, .align = 8, .program = type_rule_program },
	{ "the bytes of a program, and pointers", EINVAL,
	  .bytes = 24, .ptr_bytes = 16, .align = 8, .program_bytes = 3 },
	{ "the bytes of a program, and a mask", EINVAL,
	  .bytes = 24, .ptr_bytes = 16, .align = 8, .mask = type_rule_one, .program_bytes = 3 },
	{ "the bytes of a program, and no pointers", EINVAL,
	  .bytes = 24, .align = 8, .program_bytes = 3 },
	{ "the longest program", 0,
	  .bytes = 262200, .ptr_bytes = 262200, .align = 8, .program = type_rule_longest,
	  .program_bytes = GCHEAP_GC_PROG_MAX },
	{ "a program of one byte more", EINVAL,
	  .bytes = 262200, .ptr_bytes = 262200, .align = 8, .program = type_rule_longest,
	  .program_bytes = GCHEAP_GC_PROG_MAX + 1 },
	{ "a program of almost 4 GiB", EINVAL,
	  .bytes = 262200, .ptr_bytes = 262200, .align = 8, .program = type_rule_longest,
	  .program_bytes = ~0u },

	/* ---- name -------------------------------------------------------------- */
	{ "the longest name", 0,
	  .bytes = 24, .align = 8, .name = type_rule_name_max,
	  .name_bytes = GCHEAP_TYPE_NAME_MAX },
	{ "a name of one byte more", ENAMETOOLONG,
	  .bytes = 24, .align = 8, .name = type_rule_name_over,
	  .name_bytes = GCHEAP_TYPE_NAME_MAX + 1 },
	{ "a name of almost 4 GiB", ENAMETOOLONG,
	  .bytes = 24, .align = 8, .name = type_rule_name_over, .name_bytes = ~0u,
	  .device_only = 1 },
	{ "a zero byte within the name", EILSEQ,
	  .bytes = 24, .align = 8, .name = "a\0b", .name_bytes = 3, .device_only = 1 },
	{ "a zero byte at the end of the name", EILSEQ,
	  .bytes = 24, .align = 8, .name = "ab", .name_bytes = 3, .device_only = 1 },
};

/* Names that are UTF-8, from the first to the last of each length; and that are not. */
static const char *const type_rule_names[] = {
	"", "a", "struct node", "\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf",
	"\xee\x80\x80", "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf",
	"na\xc3\xafve \xe2\x82\xac \xf0\x9f\x98\x80",
};

static const char *const type_rule_not_utf8[] = {
	"\x80", "a\x80", "a\xbf", "a\xff", "\xc0\x80", "\xc0\xaf", "\xc1\xbf", "\xc3", "\xc3(",
	"\xe0\x80\x80", "\xe0\x9f\xbf", "\xe2\x82", "\xe2(\xa1", "\xe2\x82(", "ok\xe2\x82",
	"\xed\xa0\x80", "\xed\xbf\xbf", "\xf0\x80\x80\x80", "\xf0\x8f\xbf\xbf", "\xf0\x9f\x98",
	"\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xf8\x88\x80\x80\x80", "\xff", "\xfe",
	"ok\xc3\xa9\xa9",
};

/* The request of a rule, as the module takes it. */
static inline struct gcheap_type_add type_rule_request(const struct type_rule *rule)
{
	return (struct gcheap_type_add){
		.size = sizeof(struct gcheap_type_add),
		.bytes = rule->bytes,
		.ptr_bytes = rule->ptr_bytes,
		.align = rule->align,
		.name_bytes = rule->name ? rule->name_bytes : 4,
		.name = (uintptr_t)(rule->name ? rule->name : "rule"),
		.ptr_mask = (uintptr_t)rule->mask,
		.gc_prog = (uintptr_t)rule->program,
		.gc_prog_bytes = rule->program_bytes,
	};
}

#endif /* GCHEAP_TYPE_RULES_H */
