// SPDX-License-Identifier: MIT
/*
 * GC programs of types without a mask in TYPES. The interpreter (common/gc_program.c) is
 * the module's too; TYPES has only programs that the module has checked.
 */
#include "program.h"

#include <sys/mman.h>

#include "../wipe_on_fork.h"
#include "gc_program.h"

#define WORD_BITS	64u

static struct gc_program program_of(const uint8_t *code, const struct gcheap_type_record *type)
{
	return (struct gc_program) {
		.code = code,
		.bytes = type->program_bytes,
		.words = type->ptr_bytes / 8,
	};
}

void program_unroll(const struct view *view, const struct gcheap_type_record *type, uint64_t *mask,
		    uint32_t stride)
{
	struct gc_program program = program_of(program_code(view, type), type);

	/* It is in order, and nobody interrupts it here. */
	gc_program_unroll(&program, (u64 *)mask, stride, NULL);
}

uint64_t program_mask_bytes(const struct gcheap_type_record *type)
{
	return (type->ptr_bytes / 8 + WORD_BITS - 1) / WORD_BITS * 8;
}

const uint64_t *program_mask(const struct view *view, const struct gcheap_type_record *type)
{
	uint64_t bytes = program_mask_bytes(type);
	uint64_t *mask = wipe_on_fork_alloc(bytes);

	if (!mask)
		return NULL;
	program_unroll(view, type, mask, 1);
	if (mprotect(mask, bytes, PROT_READ)) {
		wipe_on_fork_free(mask, bytes);
		return NULL;
	}
	return mask;
}

void program_mask_free(const uint64_t *mask, uint64_t bytes)
{
	wipe_on_fork_free((void *)mask, bytes);
}
