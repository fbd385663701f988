// SPDX-License-Identifier: MIT
/*
 * Pairs, lists, vectors, and what it means to be equal.
 */
#include "lisp.h"

#include <string.h>

/* ---- for C ------------------------------------------------------------------ */

/*
 * -1: not a list: its end is not (), or it has none. The second pointer goes half as
 * fast, and is met again only in a circle.
 */
long list_length(value list)
{
	value slow = list;
	long length = 0;

	for (; is_pair(list); length++) {
		list = cdr(list);
		if (length & 1)
			slow = cdr(slow);
		if (list == slow)
			return -1;
	}
	return list == NIL ? length : -1;
}

value reverse(value list)
{
	value result = NIL;

	for (; is_pair(list); list = cdr(list))
		result = cons(car(list), result);
	return result;
}

/* A copy of @list with @tail at its end. */
value append(value list, value tail)
{
	value first = tail;
	struct pair *last = NULL;

	for (; is_pair(list); list = cdr(list)) {
		value pair = cons(car(list), tail);

		if (last)
			store(&last->cdr, pair);
		else
			first = pair;
		last = (struct pair *)pair;
	}
	return first;
}

value vector_to_list(value v)
{
	struct vector *vector = (struct vector *)v;
	value list = NIL;
	size_t i;

	for (i = vector->length; i; i--)
		list = cons(vector->items[i - 1], list);
	return list;
}

/* @list: known to be one. */
value list_to_vector(value list)
{
	value new = vector((size_t)list_length(list), UNSPECIFIED);
	size_t i;

	for (i = 0; is_pair(list); list = cdr(list))
		store(&((struct vector *)new)->items[i++], car(list));
	return new;
}

/* ---- equality --------------------------------------------------------------- */

static bool eqv(value a, value b)
{
	if (a == b)
		return true;
	if (is_integer(a) && is_integer(b))
		return integer_number(a) == integer_number(b);
	if (has_tag(a, TAG_FLOAT) && has_tag(b, TAG_FLOAT))
		return ((struct real *)a)->number == ((struct real *)b)->number;
	return false;
}

static bool equal(value a, value b);

static bool vectors_equal(const struct vector *a, const struct vector *b)
{
	size_t i;

	if (a->length != b->length)
		return false;
	for (i = 0; i < a->length; i++) {
		if (!equal(a->items[i], b->items[i]))
			return false;
	}
	return true;
}

static bool equal(value a, value b)
{
	check_stack();
	for (; is_pair(a) && is_pair(b); a = cdr(a), b = cdr(b)) {
		if (a == b)
			return true;
		if (!equal(car(a), car(b)))
			return false;
	}
	if (has_tag(a, TAG_STRING) && has_tag(b, TAG_STRING)) {
		const struct string *x = (struct string *)a, *y = (struct string *)b;

		return x->length == y->length && !memcmp(x->bytes, y->bytes, x->length);
	}
	if (has_tag(a, TAG_VECTOR) && has_tag(b, TAG_VECTOR))
		return vectors_equal((struct vector *)a, (struct vector *)b);
	return eqv(a, b);
}

enum { EQ, EQV, EQUAL };

static bool same(int variant, value a, value b)
{
	return variant == EQ ? a == b : variant == EQV ? eqv(a, b) : equal(a, b);
}

static value object_same(const struct primitive *self, int count, value *args)
{
	(void)count;
	return boolean(same(self->variant, args[0], args[1]));
}

/* ---- pairs ------------------------------------------------------------------ */

static value pair_cons(const struct primitive *self, int count, value *args)
{
	(void)self;
	(void)count;
	return cons(args[0], args[1]);
}

/* @variant: the way from the last step to the first, two bits each: 1 car, 2 cdr. */
#define A	1
#define D	2
#define WAY(first, second, third)	((third) | (second) << 2 | (first) << 4)

static value pair_way(const struct primitive *self, int count, value *args)
{
	value v = args[0];
	int way;

	(void)count;
	for (way = self->variant; way; way >>= 2) {
		struct pair *pair = need_pair(self, v);

		v = (way & 3) == A ? pair->car : pair->cdr;
	}
	return v;
}

static value pair_set_car(const struct primitive *self, int count, value *args)
{
	(void)count;
	store(&need_pair(self, args[0])->car, args[1]);
	return UNSPECIFIED;
}

static value pair_set_cdr(const struct primitive *self, int count, value *args)
{
	(void)count;
	store(&need_pair(self, args[0])->cdr, args[1]);
	return UNSPECIFIED;
}

/* ---- lists ------------------------------------------------------------------ */

static long need_list(const struct primitive *self, value v)
{
	long length = list_length(v);

	if (length < 0)
		wrong_argument(self, "a list", v);
	return length;
}

static value list_list(const struct primitive *self, int count, value *args)
{
	value list = NIL;

	(void)self;
	while (count)
		list = cons(args[--count], list);
	return list;
}

static value list_is(const struct primitive *self, int count, value *args)
{
	(void)self;
	(void)count;
	return boolean(list_length(args[0]) >= 0);
}

static value list_count(const struct primitive *self, int count, value *args)
{
	(void)count;
	return integer(need_list(self, args[0]));
}

static value list_append(const struct primitive *self, int count, value *args)
{
	value result = count ? args[count - 1] : NIL;
	int i;

	for (i = count - 2; i >= 0; i--) {
		need_list(self, args[i]);
		result = append(args[i], result);
	}
	return result;
}

static value list_reverse(const struct primitive *self, int count, value *args)
{
	(void)count;
	need_list(self, args[0]);
	return reverse(args[0]);
}

static value list_tail(const struct primitive *self, int count, value *args)
{
	int64_t k = need_integer(self, args[1]);
	value list = args[0];

	(void)count;
	for (; k > 0 && is_pair(list); k--)
		list = cdr(list);
	if (k)
		fail_value(args[1], "%s: the list is not so long", self->name);
	return list;
}

static value list_ref(const struct primitive *self, int count, value *args)
{
	value tail = list_tail(self, count, args);

	if (!is_pair(tail))
		fail_value(args[1], "%s: the list is not so long", self->name);
	return car(tail);
}

static value list_member(const struct primitive *self, int count, value *args)
{
	value list = args[1];

	(void)count;
	need_list(self, list);
	for (; is_pair(list); list = cdr(list)) {
		if (same(self->variant, args[0], car(list)))
			return list;
	}
	return FALSE;
}

static value list_association(const struct primitive *self, int count, value *args)
{
	value list = args[1];

	(void)count;
	need_list(self, list);
	for (; is_pair(list); list = cdr(list)) {
		if (same(self->variant, args[0], need_pair(self, car(list))->car))
			return car(list);
	}
	return FALSE;
}

enum { MAP, FOR_EACH };

/*
 * (map f list ...), (for-each f list ...): up to the end of the shortest list. The
 * arguments of each call are in @args, behind the procedure; the lists elsewhere.
 */
static value list_map(const struct primitive *self, int count, value *args)
{
	value few[4], *lists = count <= 5 ? few : slot_array((size_t)count - 1);
	value result = NIL;
	struct pair *last = NULL;
	int i;

	for (i = 0; i < count - 1; i++) {
		need_list(self, args[i + 1]);
		store(&lists[i], args[i + 1]);
	}
	for (;;) {
		value v, pair;

		for (i = 0; i < count - 1; i++) {
			if (!is_pair(lists[i]))
				return self->variant == MAP ? result : UNSPECIFIED;
			store(&args[i + 1], car(lists[i]));
			store(&lists[i], cdr(lists[i]));
		}
		v = apply(args[0], count - 1, args + 1);
		if (self->variant == FOR_EACH)
			continue;
		pair = cons(v, NIL);
		if (last)
			store(&last->cdr, pair);
		else
			result = pair;
		last = (struct pair *)pair;
	}
}

/* (filter wanted? list) */
static value list_filter(const struct primitive *self, int count, value *args)
{
	value list = args[1], result = NIL;
	struct pair *last = NULL;

	(void)count;
	need_list(self, list);
	for (; is_pair(list); list = cdr(list)) {
		value element = car(list), pair;

		if (!is_true(apply(args[0], 1, &element)))
			continue;
		pair = cons(car(list), NIL);
		if (last)
			store(&last->cdr, pair);
		else
			result = pair;
		last = (struct pair *)pair;
	}
	return result;
}

/* (iota n): 0 to n - 1 */
static value list_iota(const struct primitive *self, int count, value *args)
{
	int64_t i = need_integer(self, args[0]);
	value list = NIL;

	(void)count;
	while (--i >= 0)
		list = cons(integer(i), list);
	return list;
}

/* ---- vectors ---------------------------------------------------------------- */

static value vector_make(const struct primitive *self, int count, value *args)
{
	size_t length = need_index(self, args[0], SIZE_MAX / sizeof(value));

	return vector(length, count == 2 ? args[1] : integer(0));
}

static value vector_vector(const struct primitive *self, int count, value *args)
{
	value new = vector((size_t)count, UNSPECIFIED);
	int i;

	(void)self;
	for (i = 0; i < count; i++)
		store(&((struct vector *)new)->items[i], args[i]);
	return new;
}

static value vector_length(const struct primitive *self, int count, value *args)
{
	(void)count;
	return integer((int64_t)need_vector(self, args[0])->length);
}

static value *vector_item(const struct primitive *self, value *args)
{
	struct vector *vector = need_vector(self, args[0]);

	if (!vector->length)
		fail("%s: the vector is empty", self->name);
	return &vector->items[need_index(self, args[1], vector->length - 1)];
}

static value vector_ref(const struct primitive *self, int count, value *args)
{
	(void)count;
	return *vector_item(self, args);
}

static value vector_set(const struct primitive *self, int count, value *args)
{
	(void)count;
	store(vector_item(self, args), args[2]);
	return UNSPECIFIED;
}

static value vector_fill(const struct primitive *self, int count, value *args)
{
	struct vector *vector = need_vector(self, args[0]);
	size_t i;

	(void)count;
	for (i = 0; i < vector->length; i++)
		store(&vector->items[i], args[1]);
	return UNSPECIFIED;
}

/* Elements from @start to before @end. */
static value vector_copy(const struct primitive *self, int count, value *args)
{
	struct vector *old = need_vector(self, args[0]);
	size_t end = count > 2 ? need_index(self, args[2], old->length) : old->length;
	size_t start = count > 1 ? need_index(self, args[1], end) : 0;
	struct vector *new = (struct vector *)vector(end - start, UNSPECIFIED);

	/* A copy of many slots at once is a store too, and the collector's business. */
	if (new->length)
		gcheap_copy(lisp.thread, lisp.slot_type, new->items, &old->items[start],
			    new->length);
	return &new->object;
}

static value vector_list(const struct primitive *self, int count, value *args)
{
	(void)count;
	return vector_to_list(&need_vector(self, args[0])->object);
}

static value list_vector(const struct primitive *self, int count, value *args)
{
	(void)count;
	need_list(self, args[0]);
	return list_to_vector(args[0]);
}

static struct primitive primitives[] = {
	PRIMITIVE("eq?", object_same, 2, 2, EQ),
	PRIMITIVE("eqv?", object_same, 2, 2, EQV),
	PRIMITIVE("equal?", object_same, 2, 2, EQUAL),
	PRIMITIVE("cons", pair_cons, 2, 2, 0),
	PRIMITIVE("car", pair_way, 1, 1, WAY(0, 0, A)),
	PRIMITIVE("cdr", pair_way, 1, 1, WAY(0, 0, D)),
	PRIMITIVE("caar", pair_way, 1, 1, WAY(0, A, A)),
	PRIMITIVE("cadr", pair_way, 1, 1, WAY(0, A, D)),
	PRIMITIVE("cdar", pair_way, 1, 1, WAY(0, D, A)),
	PRIMITIVE("cddr", pair_way, 1, 1, WAY(0, D, D)),
	PRIMITIVE("caddr", pair_way, 1, 1, WAY(A, D, D)),
	PRIMITIVE("cdddr", pair_way, 1, 1, WAY(D, D, D)),
	PRIMITIVE("set-car!", pair_set_car, 2, 2, 0),
	PRIMITIVE("set-cdr!", pair_set_cdr, 2, 2, 0),
	PRIMITIVE("list", list_list, 0, -1, 0),
	PRIMITIVE("list?", list_is, 1, 1, 0),
	PRIMITIVE("length", list_count, 1, 1, 0),
	PRIMITIVE("append", list_append, 0, -1, 0),
	PRIMITIVE("reverse", list_reverse, 1, 1, 0),
	PRIMITIVE("list-tail", list_tail, 2, 2, 0),
	PRIMITIVE("list-ref", list_ref, 2, 2, 0),
	PRIMITIVE("memq", list_member, 2, 2, EQ),
	PRIMITIVE("memv", list_member, 2, 2, EQV),
	PRIMITIVE("member", list_member, 2, 2, EQUAL),
	PRIMITIVE("assq", list_association, 2, 2, EQ),
	PRIMITIVE("assv", list_association, 2, 2, EQV),
	PRIMITIVE("assoc", list_association, 2, 2, EQUAL),
	PRIMITIVE("map", list_map, 2, -1, MAP),
	PRIMITIVE("for-each", list_map, 2, -1, FOR_EACH),
	PRIMITIVE("filter", list_filter, 2, 2, 0),
	PRIMITIVE("iota", list_iota, 1, 1, 0),
	PRIMITIVE("make-vector", vector_make, 1, 2, 0),
	PRIMITIVE("vector", vector_vector, 0, -1, 0),
	PRIMITIVE("vector-length", vector_length, 1, 1, 0),
	PRIMITIVE("vector-ref", vector_ref, 2, 2, 0),
	PRIMITIVE("vector-set!", vector_set, 3, 3, 0),
	PRIMITIVE("vector-fill!", vector_fill, 2, 2, 0),
	PRIMITIVE("vector-copy", vector_copy, 1, 3, 0),
	PRIMITIVE("vector->list", vector_list, 1, 1, 0),
	PRIMITIVE("list->vector", list_vector, 1, 1, 0),
};

void lists_init(void)
{
	define_primitives(primitives, ARRAY_SIZE(primitives));
}
