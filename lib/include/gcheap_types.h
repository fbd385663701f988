/* SPDX-License-Identifier: MIT */
/*
 * GCHEAP_TYPE: types from C structs, checked by the compiler. A part of <gcheap.h>,
 * which includes it; the macros that end in an underscore are its own affair.
 *
 *	GCHEAP_TYPE(heap, struct node, left, right)
 *
 * registers struct node with these pointer members, 32 at most, and yields its
 * gcheap_type, or 0 with errno set. Each time that it is evaluated it registers one more: do so
 * once a heap, and keep the number. What has no pointers is a leaf, gcheap_new_leaf(); for an array
 * of pointers alone there is a struct with one. A member is one of
 *
 *	name, or a.b, or a[2].b		a pointer, or an array of pointers of up to
 *					three dimensions; also in nested structs
 *	GCHEAP_ARRAY(items, a.b)	the member a.b of each element of an array of
 *					structs
 *	GCHEAP_UNION(name)		a union, or an array of them, of which every
 *					word may be a pointer: what is not the
 *					address of an object does no harm there, and
 *					what looks like one keeps it alive. To
 *					gcheap_verify() a number that lies in the
 *					heap's range is a bad pointer
 *
 * Anything else is a compile-time error: an integer, a struct, a union without
 * GCHEAP_UNION, what does not lie on a multiple of a word.
 *
 *	GCHEAP_FLEXIBLE_TYPE(heap, struct vector, items, n, ...)
 *
 * does the same for a struct with a flexible array member, of a length that is
 * known when it is registered, with two more kinds of members:
 *
 *	GCHEAP_TAIL(items)		the items of the flexible array are pointers
 *	GCHEAP_TAIL_MEMBER(items, a.b)	they are structs with this pointer member
 *
 * A type describes one length. Rounding lengths up to powers of two needs few
 * types: memory is zeroed, and a pointer that is not used is NULL.
 */
#ifndef GCHEAP_TYPES_H
#define GCHEAP_TYPES_H

#include <stddef.h>
#ifdef __cplusplus
#include <type_traits>
#endif

/*
 * GCHEAP_EACH_(f, x, a, b, c) is f(x, a), f(x, b), f(x, c): at most 32 of them,
 * counted by shifting a list of numbers. (__VA_OPT__ would be shorter, but is
 * not in C11 or C++17.)
 */
#define GCHEAP_PICK_(a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, \
		     a17, a18, a19, a20, a21, a22, a23, a24, a25, a26, a27, a28, a29, a30, a31, \
		     a32, picked, ...) picked
#define GCHEAP_COUNT_(...)						\
	GCHEAP_PICK_(__VA_ARGS__, 32, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, \
		     17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)
#define GCHEAP_PASTE2_(a, n)	a##n##_
#define GCHEAP_PASTE_(a, n)	GCHEAP_PASTE2_(a, n)
#define GCHEAP_EACH_(f, x, ...)						\
	GCHEAP_PASTE_(GCHEAP_EACH, GCHEAP_COUNT_(__VA_ARGS__))(f, x, __VA_ARGS__)
#define GCHEAP_EACH1_(f, x, m)	f(x, m)
#define GCHEAP_EACH2_(f, x, m, ...) f(x, m), GCHEAP_EACH1_(f, x, __VA_ARGS__)
#define GCHEAP_EACH3_(f, x, m, ...) f(x, m), GCHEAP_EACH2_(f, x, __VA_ARGS__)
#define GCHEAP_EACH4_(f, x, m, ...) f(x, m), GCHEAP_EACH3_(f, x, __VA_ARGS__)
#define GCHEAP_EACH5_(f, x, m, ...) f(x, m), GCHEAP_EACH4_(f, x, __VA_ARGS__)
#define GCHEAP_EACH6_(f, x, m, ...) f(x, m), GCHEAP_EACH5_(f, x, __VA_ARGS__)
#define GCHEAP_EACH7_(f, x, m, ...) f(x, m), GCHEAP_EACH6_(f, x, __VA_ARGS__)
#define GCHEAP_EACH8_(f, x, m, ...) f(x, m), GCHEAP_EACH7_(f, x, __VA_ARGS__)
#define GCHEAP_EACH9_(f, x, m, ...) f(x, m), GCHEAP_EACH8_(f, x, __VA_ARGS__)
#define GCHEAP_EACH10_(f, x, m, ...) f(x, m), GCHEAP_EACH9_(f, x, __VA_ARGS__)
#define GCHEAP_EACH11_(f, x, m, ...) f(x, m), GCHEAP_EACH10_(f, x, __VA_ARGS__)
#define GCHEAP_EACH12_(f, x, m, ...) f(x, m), GCHEAP_EACH11_(f, x, __VA_ARGS__)
#define GCHEAP_EACH13_(f, x, m, ...) f(x, m), GCHEAP_EACH12_(f, x, __VA_ARGS__)
#define GCHEAP_EACH14_(f, x, m, ...) f(x, m), GCHEAP_EACH13_(f, x, __VA_ARGS__)
#define GCHEAP_EACH15_(f, x, m, ...) f(x, m), GCHEAP_EACH14_(f, x, __VA_ARGS__)
#define GCHEAP_EACH16_(f, x, m, ...) f(x, m), GCHEAP_EACH15_(f, x, __VA_ARGS__)
#define GCHEAP_EACH17_(f, x, m, ...) f(x, m), GCHEAP_EACH16_(f, x, __VA_ARGS__)
#define GCHEAP_EACH18_(f, x, m, ...) f(x, m), GCHEAP_EACH17_(f, x, __VA_ARGS__)
#define GCHEAP_EACH19_(f, x, m, ...) f(x, m), GCHEAP_EACH18_(f, x, __VA_ARGS__)
#define GCHEAP_EACH20_(f, x, m, ...) f(x, m), GCHEAP_EACH19_(f, x, __VA_ARGS__)
#define GCHEAP_EACH21_(f, x, m, ...) f(x, m), GCHEAP_EACH20_(f, x, __VA_ARGS__)
#define GCHEAP_EACH22_(f, x, m, ...) f(x, m), GCHEAP_EACH21_(f, x, __VA_ARGS__)
#define GCHEAP_EACH23_(f, x, m, ...) f(x, m), GCHEAP_EACH22_(f, x, __VA_ARGS__)
#define GCHEAP_EACH24_(f, x, m, ...) f(x, m), GCHEAP_EACH23_(f, x, __VA_ARGS__)
#define GCHEAP_EACH25_(f, x, m, ...) f(x, m), GCHEAP_EACH24_(f, x, __VA_ARGS__)
#define GCHEAP_EACH26_(f, x, m, ...) f(x, m), GCHEAP_EACH25_(f, x, __VA_ARGS__)
#define GCHEAP_EACH27_(f, x, m, ...) f(x, m), GCHEAP_EACH26_(f, x, __VA_ARGS__)
#define GCHEAP_EACH28_(f, x, m, ...) f(x, m), GCHEAP_EACH27_(f, x, __VA_ARGS__)
#define GCHEAP_EACH29_(f, x, m, ...) f(x, m), GCHEAP_EACH28_(f, x, __VA_ARGS__)
#define GCHEAP_EACH30_(f, x, m, ...) f(x, m), GCHEAP_EACH29_(f, x, __VA_ARGS__)
#define GCHEAP_EACH31_(f, x, m, ...) f(x, m), GCHEAP_EACH30_(f, x, __VA_ARGS__)
#define GCHEAP_EACH32_(f, x, m, ...) f(x, m), GCHEAP_EACH31_(f, x, __VA_ARGS__)

/* ---- what the compiler checks ------------------------------------------------- */

#ifdef __cplusplus
#define GCHEAP_IS_POINTERS_(e)							\
	(std::is_pointer<std::remove_all_extents_t<				\
		std::remove_reference_t<decltype(e)>>>::value &&		\
	 std::rank<std::remove_reference_t<decltype(e)>>::value <= 3)
#define GCHEAP_IS_VARIABLE_(v)							\
	std::is_pointer<std::remove_reference_t<decltype(v)>>::value
#define GCHEAP_IS_UNION_(e)							\
	std::is_union<std::remove_all_extents_t<				\
		std::remove_reference_t<decltype(e)>>>::value
/* A type cannot be made inside of sizeof in C++: an array of negative size. */
#define GCHEAP_CHECK_(condition, text)	(0 * sizeof(char[(condition) ? 1 : -1]))
#else
/* GCC's numbers of what an expression is; an array counts as a pointer. */
#define GCHEAP_IS_POINTER_(e)	(__builtin_classify_type(e) == 5)
#define GCHEAP_IS_RECORD_(e)	(__builtin_classify_type(e) == 13)
/* The conditional operator makes a pointer of an array. */
#define GCHEAP_IS_ARRAY_(e)							\
	(GCHEAP_IS_POINTER_(e) &&						\
	 !__builtin_types_compatible_p(__typeof__(e), __typeof__(0 ? (e) : (e))))
/* The first element of an array; of anything else just some pointer. */
#define GCHEAP_ELEMENT_(e)							\
	(*__builtin_choose_expr(GCHEAP_IS_ARRAY_(e), (e), (void **)0))
#define GCHEAP_IS_POINTERS_(e)							\
	(GCHEAP_IS_POINTER_(e) && GCHEAP_IS_POINTER_(GCHEAP_ELEMENT_(e)) &&	\
	 GCHEAP_IS_POINTER_(GCHEAP_ELEMENT_(GCHEAP_ELEMENT_(e))) &&		\
	 GCHEAP_IS_POINTER_(GCHEAP_ELEMENT_(GCHEAP_ELEMENT_(GCHEAP_ELEMENT_(e)))) && \
	 !GCHEAP_IS_ARRAY_(GCHEAP_ELEMENT_(GCHEAP_ELEMENT_(GCHEAP_ELEMENT_(e)))))
#define GCHEAP_IS_VARIABLE_(v)	(GCHEAP_IS_POINTER_(v) && !GCHEAP_IS_ARRAY_(v))
#define GCHEAP_IS_UNION_(e)							\
	(GCHEAP_IS_RECORD_(e) || GCHEAP_IS_RECORD_(GCHEAP_ELEMENT_(e)))
#define GCHEAP_CHECK_(condition, text)						\
	(0 * sizeof(struct { char gcheap_; _Static_assert(condition, text); }))
#endif

#define GCHEAP_CHECK_POINTERS_(e)						\
	GCHEAP_CHECK_(GCHEAP_IS_POINTERS_(e),					\
		      "this member is no pointer and no array of pointers: name those inside of " \
		      "it; for a union say GCHEAP_UNION(member)")
#define GCHEAP_CHECK_VARIABLE_(v)						\
	GCHEAP_CHECK_(GCHEAP_IS_VARIABLE_(v), "GCHEAP_FRAME() is for pointer variables")
#define GCHEAP_CHECK_UNION_(e)							\
	GCHEAP_CHECK_(GCHEAP_IS_UNION_(e), "GCHEAP_UNION() is for unions")
#define GCHEAP_CHECK_WORDS_(bytes)						\
	GCHEAP_CHECK_((bytes) % sizeof(void *) == 0,				\
		      "what holds pointers lies on a multiple of a word, and has whole words")
#define GCHEAP_OF_(T, m)	(((T *)0)->m)

/* ---- the kinds of members ------------------------------------------------------ */

#define GCHEAP_UNION(m)			(GCHEAP_MEMBER_UNION_, m)
#define GCHEAP_ARRAY(items, m)		(GCHEAP_MEMBER_ARRAY_, items, m)
#define GCHEAP_TAIL(items)		(GCHEAP_MEMBER_TAIL_, items)
#define GCHEAP_TAIL_MEMBER(items, m)	(GCHEAP_MEMBER_TAIL_MEMBER_, items, m)

/* Offset, bytes, stride, count. The checks are zeros. */
#define GCHEAP_RUN_(offset, bytes, stride, count)				\
	{ (offset) + GCHEAP_CHECK_WORDS_(offset), (bytes) + GCHEAP_CHECK_WORDS_(bytes), \
	  (stride) + GCHEAP_CHECK_WORDS_(stride), count }
#define GCHEAP_MEMBER_PLAIN_(T, m)						\
	GCHEAP_RUN_(offsetof(T, m),						\
		    sizeof(GCHEAP_OF_(T, m)) + GCHEAP_CHECK_POINTERS_(GCHEAP_OF_(T, m)), 0, 1)
#define GCHEAP_MEMBER_UNION_(T, m)						\
	GCHEAP_RUN_(offsetof(T, m),						\
		    sizeof(GCHEAP_OF_(T, m)) + GCHEAP_CHECK_UNION_(GCHEAP_OF_(T, m)), 0, 1)
#define GCHEAP_MEMBER_ARRAY_(T, items, m)					\
	GCHEAP_RUN_(offsetof(T, items[0].m),					\
		    sizeof(GCHEAP_OF_(T, items[0].m)) +				\
		    GCHEAP_CHECK_POINTERS_(GCHEAP_OF_(T, items[0].m)),		\
		    sizeof(GCHEAP_OF_(T, items[0])),				\
		    sizeof(GCHEAP_OF_(T, items)) / sizeof(GCHEAP_OF_(T, items[0])))
#define GCHEAP_MEMBER_TAIL_(T, items)						\
	GCHEAP_RUN_(offsetof(T, items),						\
		    sizeof(GCHEAP_OF_(T, items[0])) +				\
		    GCHEAP_CHECK_POINTERS_(GCHEAP_OF_(T, items[0])),		\
		    sizeof(GCHEAP_OF_(T, items[0])), 0)
#define GCHEAP_MEMBER_TAIL_MEMBER_(T, items, m)					\
	GCHEAP_RUN_(offsetof(T, items) + offsetof(__typeof__(GCHEAP_OF_(T, items[0])), m), \
		    sizeof(GCHEAP_OF_(T, items[0].m)) +				\
		    GCHEAP_CHECK_POINTERS_(GCHEAP_OF_(T, items[0].m)),		\
		    sizeof(GCHEAP_OF_(T, items[0])), 0)

/* 1 for what stands in parentheses, 0 for a plain name. */
#define GCHEAP_SECOND_(a, b, ...)	b
#define GCHEAP_PROBE_(...)		~, 1
#define GCHEAP_IS_PAREN2_(...)		GCHEAP_SECOND_(__VA_ARGS__)
#define GCHEAP_IS_PAREN_(x)		GCHEAP_IS_PAREN2_(GCHEAP_PROBE_ x, 0, 0)

#define GCHEAP_UNPAREN_(...)		__VA_ARGS__
#define GCHEAP_CALL2_(T, kind, ...)	kind(T, __VA_ARGS__)
#define GCHEAP_CALL_(...)		GCHEAP_CALL2_(__VA_ARGS__)
#define GCHEAP_FORM0_(T, m)		GCHEAP_MEMBER_PLAIN_(T, m)
#define GCHEAP_FORM1_(T, m)		GCHEAP_CALL_(T, GCHEAP_UNPAREN_ m)
#define GCHEAP_MEMBER_(T, m)		GCHEAP_PASTE_(GCHEAP_FORM, GCHEAP_IS_PAREN_(m))(T, m)

/* ---- types ---------------------------------------------------------------------- */

#define GCHEAP_TYPE(heap, T, ...) (__extension__({				\
	static const struct gcheap_member_ gcheap_members_[] = {		\
		GCHEAP_EACH_(GCHEAP_MEMBER_, T, __VA_ARGS__)			\
	};									\
	gcheap_type_members_(heap, #T, sizeof(T), __alignof__(T),		\
			     gcheap_members_,					\
			     sizeof(gcheap_members_) / sizeof(gcheap_members_[0])); \
}))

#define GCHEAP_FLEXIBLE_TYPE(heap, T, items, n, ...) (__extension__({		\
	static const struct gcheap_member_ gcheap_members_[] = {		\
		GCHEAP_EACH_(GCHEAP_MEMBER_, T, __VA_ARGS__)			\
	};									\
	gcheap_type_flexible_(heap, #T, offsetof(T, items),			\
			      sizeof(GCHEAP_OF_(T, items[0])), n, __alignof__(T), \
			      gcheap_members_,					\
			      sizeof(gcheap_members_) / sizeof(gcheap_members_[0])); \
}))

#endif /* GCHEAP_TYPES_H */
