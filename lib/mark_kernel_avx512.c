// SPDX-License-Identifier: MIT
/*
 * The kernel for CPUs with AVX-512: 8 words at once. Edges are compressed in a register and
 * stored whole: a compressing store is slow on some CPUs.
 */
#if defined(__x86_64__)

#include "mark_kernel.h"

#include <immintrin.h>

#include "guard.h"

#define AVX512	__attribute__((target("avx512f,avx512dq,avx512vl,avx512bw,popcnt")))

static bool avx512_is_here(void)
{
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
	       __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
	       __builtin_cpu_supports("popcnt");
}

static AVX512 GUARD_EXEMPT size_t avx512_scan(const uint64_t *words, uint64_t mask, uint64_t base,
					      uint64_t end, uint64_t *edges)
{
	const __m512i bases = _mm512_set1_epi64((long long)base);
	const __m512i ends = _mm512_set1_epi64((long long)end);
	size_t count = 0;

	for (; mask; mask >>= 8, words += 8) {
		__mmask8 wanted = (__mmask8)mask;
		/* What the mask does not have is not read: the object may end before. */
		__m512i edge = _mm512_sub_epi64(_mm512_maskz_loadu_epi64(wanted, words), bases);
		__mmask8 in = _mm512_mask_cmplt_epu64_mask(wanted, edge, ends);

		_mm512_storeu_si512(edges + count, _mm512_maskz_compress_epi64(in, edge));
		count += (size_t)__builtin_popcount(in);
	}
	return count;
}

static inline AVX512 void collect(struct marker *marker, __mmask8 which, __m512i edges)
{
	_mm512_storeu_si512(marker->edges + marker->edge_count,
			    _mm512_maskz_compress_epi64(which, edges));
	marker->edge_count += (size_t)__builtin_popcount(which);
}

static AVX512 GUARD_EXEMPT void avx512_array(struct marker *marker, const uint64_t *words)
{
	const __m512i bases = _mm512_set1_epi64((long long)marker->base);
	const __m512i ends = _mm512_set1_epi64((long long)marker->end);
	const __m512i one = _mm512_set1_epi64(1);
	const __m512i last = _mm512_set1_epi64(63);
	const struct mark_stretch *stretch = &marker->stretch;
	__m512i bits = _mm512_setzero_si512();
	unsigned int i;

	for (i = 0; i < 64; i += 8) {
		__m512i edge = _mm512_sub_epi64(_mm512_loadu_si512(words + i), bases);
		__m512i number = _mm512_srli_epi64(edge, GCHEAP_GRANULE_SHIFT + 6);
		__mmask8 left = _mm512_cmplt_epu64_mask(edge, ends);

		while (left) {
			__m512i numbers = _mm512_set1_epi64((long long)stretch->number);
			__mmask8 in = _mm512_mask_cmpeq_epi64_mask(left, number, numbers);
			__m512i index, granule;
			__mmask8 here, there;

			if (!in) {
				__m512i first = _mm512_maskz_compress_epi64(left, edge);

				mark_stretch_set(marker,
						 (uint64_t)_mm512_reduce_or_epi64(bits));
				bits = _mm512_setzero_si512();
				mark_stretch_find(marker, (uint64_t)
					_mm_cvtsi128_si64(_mm512_castsi512_si128(first)));
				continue;
			}
			left &= (__mmask8)~in;
			if (!stretch->is_leaves) {
				collect(marker, in, edge);
				continue;
			}
			index = _mm512_sub_epi64(edge, _mm512_set1_epi64((long long)
									 stretch->first));
			index = _mm512_mul_epu32(index, _mm512_set1_epi64(stretch->magic));
			index = _mm512_srli_epi64(index, 32);
			granule = _mm512_mul_epu32(index, _mm512_set1_epi64(stretch->slot_bytes));
			granule = _mm512_add_epi64(granule, _mm512_set1_epi64((long long)
						   (stretch->first + 8)));
			granule = _mm512_srli_epi64(granule, GCHEAP_GRANULE_SHIFT);
			/* Not the waste behind the last slot. */
			there = _mm512_mask_cmplt_epu64_mask(in, index,
							     _mm512_set1_epi64(stretch->slots));
			here = _mm512_mask_cmpeq_epi64_mask(there, _mm512_srli_epi64(granule, 6),
							    numbers);
			granule = _mm512_sllv_epi64(one, _mm512_and_si512(granule, last));
			bits = _mm512_mask_or_epi64(bits, here, bits, granule);
			there &= (__mmask8)~here;
			if (there)
				collect(marker, there, edge);
		}
	}
	mark_stretch_set(marker, (uint64_t)_mm512_reduce_or_epi64(bits));
}

const struct mark_kernel mark_kernel_avx512 = {
	.name = "avx512",
	.is_here = avx512_is_here,
	.scan = avx512_scan,
	.array = avx512_array,
	.count = mark_kernel_count_popcnt,
};

#endif /* __x86_64__ */
