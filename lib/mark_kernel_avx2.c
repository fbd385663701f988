// SPDX-License-Identifier: MIT
/*
 * The kernel for CPUs with AVX2: 4 words at once.
 */
#if defined(__x86_64__)

#include "mark_kernel.h"

#include <immintrin.h>

#include "guard.h"

#define AVX2	__attribute__((target("avx2,popcnt")))

static bool avx2_is_here(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt");
}

/* Which halves of words go where, so that those of a mask stand together. */
static const int32_t compressed[16][8] __attribute__((aligned(32))) = {
	{ 0 },
	{ 0, 1 },
	{ 2, 3 },
	{ 0, 1, 2, 3 },
	{ 4, 5 },
	{ 0, 1, 4, 5 },
	{ 2, 3, 4, 5 },
	{ 0, 1, 2, 3, 4, 5 },
	{ 6, 7 },
	{ 0, 1, 6, 7 },
	{ 2, 3, 6, 7 },
	{ 0, 1, 2, 3, 6, 7 },
	{ 4, 5, 6, 7 },
	{ 0, 1, 4, 5, 6, 7 },
	{ 2, 3, 4, 5, 6, 7 },
	{ 0, 1, 2, 3, 4, 5, 6, 7 },
};

/* All ones in the words whose bit is set. */
static const int64_t wanted_words[16][4] __attribute__((aligned(32))) = {
	{ 0, 0, 0, 0 }, { -1, 0, 0, 0 }, { 0, -1, 0, 0 }, { -1, -1, 0, 0 },
	{ 0, 0, -1, 0 }, { -1, 0, -1, 0 }, { 0, -1, -1, 0 }, { -1, -1, -1, 0 },
	{ 0, 0, 0, -1 }, { -1, 0, 0, -1 }, { 0, -1, 0, -1 }, { -1, -1, 0, -1 },
	{ 0, 0, -1, -1 }, { -1, 0, -1, -1 }, { 0, -1, -1, -1 }, { -1, -1, -1, -1 },
};

static inline AVX2 __m256i vector_of(const void *from)
{
	return _mm256_load_si256((const __m256i *)from);
}

/* a < b, both below 2^63 or a beyond all: comparisons are signed. */
static inline AVX2 unsigned int less(__m256i a, __m256i b)
{
	const __m256i sign = _mm256_set1_epi64x(INT64_MIN);
	__m256i is = _mm256_cmpgt_epi64(_mm256_xor_si256(b, sign), _mm256_xor_si256(a, sign));

	return (unsigned int)_mm256_movemask_pd(_mm256_castsi256_pd(is));
}

static inline AVX2 unsigned int equal(__m256i a, __m256i b)
{
	return (unsigned int)_mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpeq_epi64(a, b)));
}

static inline AVX2 size_t store_those(uint64_t *to, unsigned int which, __m256i words)
{
	words = _mm256_permutevar8x32_epi32(words, vector_of(compressed[which]));
	_mm256_storeu_si256((__m256i *)to, words);
	return (size_t)__builtin_popcount(which);
}

static AVX2 GUARD_EXEMPT size_t avx2_scan(const uint64_t *words, uint64_t mask, uint64_t base,
					  uint64_t end, uint64_t *edges)
{
	const __m256i bases = _mm256_set1_epi64x((long long)base);
	const __m256i ends = _mm256_set1_epi64x((long long)end);
	size_t count = 0;

	for (; mask; mask >>= 4, words += 4) {
		unsigned int wanted = mask & 15;
		__m256i edge;

		if (wanted == 15) {
			edge = _mm256_loadu_si256((const __m256i *)words);
			edge = _mm256_sub_epi64(edge, bases);
			count += store_those(edges + count, less(edge, ends), edge);
			continue;
		}
		/*
		 * One by one: the object may end before what the mask does not have, and an
		 * emulated CPU's masked loads fault there (QEMU 7.2).
		 */
		for (; wanted; wanted &= wanted - 1) {
			edges[count] = words[__builtin_ctz(wanted)] - base;
			count += edges[count] < end;
		}
	}
	return count;
}

static inline AVX2 uint64_t or_of(__m256i words)
{
	__m128i half = _mm_or_si128(_mm256_castsi256_si128(words),
				    _mm256_extracti128_si256(words, 1));

	return (uint64_t)_mm_cvtsi128_si64(half) | (uint64_t)_mm_extract_epi64(half, 1);
}

static AVX2 GUARD_EXEMPT void avx2_array(struct marker *marker, const uint64_t *words)
{
	const __m256i bases = _mm256_set1_epi64x((long long)marker->base);
	const __m256i ends = _mm256_set1_epi64x((long long)marker->end);
	const struct mark_stretch *stretch = &marker->stretch;
	__m256i bits = _mm256_setzero_si256();
	unsigned int i;

	for (i = 0; i < 64; i += 4) {
		__m256i edge = _mm256_sub_epi64(_mm256_loadu_si256((const __m256i *)(words + i)),
						bases);
		__m256i number = _mm256_srli_epi64(edge, GCHEAP_GRANULE_SHIFT + 6);
		unsigned int left = less(edge, ends);

		while (left) {
			__m256i numbers = _mm256_set1_epi64x((long long)stretch->number);
			unsigned int in = left & equal(number, numbers);
			unsigned int here, there;
			__m256i index, granule;

			if (!in) {
				mark_stretch_set(marker, or_of(bits));
				bits = _mm256_setzero_si256();
				mark_stretch_find(marker,
						  words[i + (unsigned int)__builtin_ctz(left)] -
						  marker->base);
				continue;
			}
			left &= ~in;
			if (!stretch->is_leaves) {
				marker->edge_count += store_those(marker->edges +
								  marker->edge_count, in, edge);
				continue;
			}
			if (stretch->is_granules) {
				granule = _mm256_srli_epi64(edge, GCHEAP_GRANULE_SHIFT);
				granule = _mm256_and_si256(granule, _mm256_set1_epi64x(63));
				granule = _mm256_sllv_epi64(_mm256_set1_epi64x(1), granule);
				granule = _mm256_and_si256(granule, vector_of(wanted_words[in]));
				bits = _mm256_or_si256(bits, granule);
				continue;
			}
			index = _mm256_sub_epi64(edge, _mm256_set1_epi64x((long long)
									  stretch->first));
			index = _mm256_mul_epu32(index, _mm256_set1_epi64x(stretch->magic));
			index = _mm256_srli_epi64(index, 32);
			granule = _mm256_mul_epu32(index, _mm256_set1_epi64x(stretch->slot_bytes));
			granule = _mm256_add_epi64(granule, _mm256_set1_epi64x((long long)
						   (stretch->first + 8)));
			granule = _mm256_srli_epi64(granule, GCHEAP_GRANULE_SHIFT);
			/* Not the waste behind the last slot. */
			there = in & less(index, _mm256_set1_epi64x(stretch->slots));
			here = there & equal(_mm256_srli_epi64(granule, 6), numbers);
			granule = _mm256_and_si256(granule, _mm256_set1_epi64x(63));
			granule = _mm256_sllv_epi64(_mm256_set1_epi64x(1), granule);
			granule = _mm256_and_si256(granule, vector_of(wanted_words[here]));
			bits = _mm256_or_si256(bits, granule);
			if (there != here)
				marker->edge_count += store_those(marker->edges +
								  marker->edge_count,
								  there & ~here, edge);
		}
	}
	mark_stretch_set(marker, or_of(bits));
}

const struct mark_kernel mark_kernel_avx2 = {
	.name = "avx2",
	.is_here = avx2_is_here,
	.scan = avx2_scan,
	.array = avx2_array,
	.count = mark_kernel_count_popcnt,
};

#endif /* __x86_64__ */
