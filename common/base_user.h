/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What base.h takes of the kernel's headers, for user space: integer
 * types, bit operations, checked arithmetic. Included by base.h alone.
 */
#ifndef GCHEAP_BASE_USER_H
#define GCHEAP_BASE_USER_H

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <linux/types.h>

/* As the kernel has it: the message may be left out, which C11 alone does not allow. */
#undef static_assert
#define static_assert(condition, ...) \
	STATIC_ASSERT_TEXT(condition, ##__VA_ARGS__, #condition)
#define STATIC_ASSERT_TEXT(condition, text, ...)	_Static_assert(condition, text)

/* The kernel's own choice: u64 is unsigned long long everywhere. */
typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;

#define U16_MAX		UINT16_MAX
#define U32_MAX		UINT32_MAX
#define U64_MAX		UINT64_MAX

#define BIT(n)		(1ul << (n))
#define BIT_ULL(n)	(1ull << (n))
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define DIV_ROUND_UP(n, d)	(((n) + (d) - 1) / (d))
#define round_up(n, align)	((((n) - 1) | ((__typeof__(n))((align) - 1))) + 1)
#define round_down(n, align)	((n) & ~((__typeof__(n))((align) - 1)))

#define min_t(type, a, b)	((type)(a) < (type)(b) ? (type)(a) : (type)(b))
#define max_t(type, a, b)	((type)(a) > (type)(b) ? (type)(a) : (type)(b))

#define __printf(format, first)	__attribute__((__format__(printf, format, first)))
#define __cold		__attribute__((__cold__))
#define likely(x)	__builtin_expect(!!(x), 1)
#define unlikely(x)	__builtin_expect(!!(x), 0)
#define READ_ONCE(x)	__atomic_load_n(&(x), __ATOMIC_RELAXED)
#define WRITE_ONCE(x, v) __atomic_store_n(&(x), v, __ATOMIC_RELAXED)
#define WARN_ON_ONCE(x)	({ bool warn_ = !!(x); assert(!warn_); warn_; })

/* What it guards against is a process that reads another's memory. */
#define array_index_nospec(index, size)	((void)(size), (index))

#define check_add_overflow(a, b, out)	__builtin_add_overflow(a, b, out)
#define check_mul_overflow(a, b, out)	__builtin_mul_overflow(a, b, out)

#define __ffs64(x)	((unsigned int)__builtin_ctzll(x))
#define fls64(x)	((x) ? 64u - (unsigned int)__builtin_clzll(x) : 0u)

/*
 * Bits that are set. Where the processor may lack an instruction for it, compilers call a
 * function with a table: slower than these steps, which they can also take for several
 * words at once.
 */
static inline unsigned int hweight64(uint64_t bits)
{
#ifdef __POPCNT__
	return (unsigned int)__builtin_popcountll(bits);
#else
	bits -= bits >> 1 & 0x5555555555555555;
	bits = (bits & 0x3333333333333333) + (bits >> 2 & 0x3333333333333333);
	bits = (bits + (bits >> 4)) & 0x0f0f0f0f0f0f0f0f;
	return (unsigned int)(bits * 0x0101010101010101 >> 56);
#endif
}

static inline bool is_power_of_2(unsigned long n)
{
	return n != 0 && (n & (n - 1)) == 0;
}

#endif /* GCHEAP_BASE_USER_H */
