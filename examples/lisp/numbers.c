// SPDX-License-Identifier: MIT
/*
 * Numbers: integers of 64 bits, and floats. What does not fit is an error.
 */
#include "lisp.h"

#include <math.h>
#include <stdlib.h>

static bool is_real(value v)
{
	return has_tag(v, TAG_FLOAT);
}

static bool is_number(value v)
{
	return is_integer(v) || is_real(v);
}

static void need_number(const struct primitive *self, value v)
{
	if (!is_number(v))
		wrong_argument(self, "a number", v);
}

static double to_double(value v)
{
	return is_integer(v) ? (double)integer_number(v) : ((struct real *)v)->number;
}

static _Noreturn void overflow(const struct primitive *self)
{
	fail("%s: the result does not fit 64 bits", self->name);
}

/* ---- + - * / ---------------------------------------------------------------- */

enum { ADD, SUBTRACT, MULTIPLY };

static value arithmetic(const struct primitive *self, value a, value b)
{
	int64_t result;
	bool too_large;

	need_number(self, a);
	need_number(self, b);
	if (is_real(a) || is_real(b)) {
		double x = to_double(a), y = to_double(b);

		return real(self->variant == ADD ? x + y :
			    self->variant == SUBTRACT ? x - y : x * y);
	}
	if (self->variant == ADD)
		too_large = __builtin_add_overflow(integer_number(a), integer_number(b), &result);
	else if (self->variant == SUBTRACT)
		too_large = __builtin_sub_overflow(integer_number(a), integer_number(b), &result);
	else
		too_large = __builtin_mul_overflow(integer_number(a), integer_number(b), &result);
	if (too_large)
		overflow(self);
	return integer(result);
}

static value number_arithmetic(const struct primitive *self, int count, value *args)
{
	value result;
	int i;

	/* Two small integers, by far the most frequent case, cannot overflow 64 bits. */
	if (count == 2 && is_small(args[0]) && is_small(args[1]) && self->variant != MULTIPLY) {
		int64_t a = small_number(args[0]), b = small_number(args[1]);

		return integer(self->variant == ADD ? a + b : a - b);
	}
	/* (+ a) is 0 + a, (- a) is 0 - a, (* a) is 1 * a. */
	result = count < 2 ? integer(self->variant == MULTIPLY) : args[0];
	for (i = count < 2 ? 0 : 1; i < count; i++)
		result = arithmetic(self, result, args[i]);
	return result;
}

/* An integer where the division leaves nothing, else a float. */
static value divide(const struct primitive *self, value a, value b)
{
	need_number(self, a);
	need_number(self, b);
	if (is_integer(a) && is_integer(b)) {
		int64_t x = integer_number(a), y = integer_number(b);

		if (!y)
			fail("%s: division by zero", self->name);
		if (y == -1 && x == INT64_MIN)	/* it traps */
			overflow(self);
		if (x % y == 0)
			return integer(x / y);
	}
	return real(to_double(a) / to_double(b));
}

static value number_divide(const struct primitive *self, int count, value *args)
{
	value result = args[0];
	int i;

	if (count == 1)
		return divide(self, integer(1), args[0]);
	for (i = 1; i < count; i++)
		result = divide(self, result, args[i]);
	return result;
}

enum { QUOTIENT, REMAINDER, MODULO };

static value number_quotient(const struct primitive *self, int count, value *args)
{
	int64_t a = need_integer(self, args[0]), b = need_integer(self, args[1]), rest;

	(void)count;
	if (!b)
		fail("%s: division by zero", self->name);
	if (b == -1) {		/* INT64_MIN / -1 traps */
		if (self->variant != QUOTIENT)
			return integer(0);
		if (a == INT64_MIN)
			overflow(self);
		return integer(-a);
	}
	if (self->variant == QUOTIENT)
		return integer(a / b);
	rest = a % b;
	if (self->variant == MODULO && rest && (rest < 0) != (b < 0))
		rest += b;
	return integer(rest);
}

/* ---- comparison ------------------------------------------------------------- */

enum { EQUAL, LESS, GREATER, LESS_EQUAL, GREATER_EQUAL };

static bool ordered(int variant, bool less, bool equal, bool greater)
{
	switch (variant) {
	case EQUAL:
		return equal;
	case LESS:
		return less;
	case GREATER:
		return greater;
	case LESS_EQUAL:
		return less || equal;
	default:
		return greater || equal;
	}
}

static bool compare(const struct primitive *self, value a, value b)
{
	need_number(self, a);
	need_number(self, b);
	if (is_integer(a) && is_integer(b)) {
		int64_t x = integer_number(a), y = integer_number(b);

		return ordered(self->variant, x < y, x == y, x > y);
	} else {
		double x = to_double(a), y = to_double(b);

		return ordered(self->variant, x < y, x == y, x > y);
	}
}

static value number_compare(const struct primitive *self, int count, value *args)
{
	bool holds = true;
	int i;

	/* To the end, so that what is no number is found. */
	for (i = 0; i + 1 < count; i++)
		holds &= compare(self, args[i], args[i + 1]);
	if (count == 1)
		need_number(self, args[0]);
	return boolean(holds);
}

enum { ZERO, POSITIVE, NEGATIVE, EVEN, ODD };

static value number_sign(const struct primitive *self, int count, value *args)
{
	double number;

	(void)count;
	need_number(self, args[0]);
	number = to_double(args[0]);
	return boolean(self->variant == ZERO ? number == 0 :
		       self->variant == POSITIVE ? number > 0 : number < 0);
}

static value number_parity(const struct primitive *self, int count, value *args)
{
	(void)count;
	return boolean((need_integer(self, args[0]) & 1) == (self->variant == ODD));
}

static value number_extreme(const struct primitive *self, int count, value *args)
{
	bool inexact = false;
	value best = args[0];
	int i;

	for (i = 0; i < count; i++) {
		inexact |= has_tag(args[i], TAG_FLOAT);
		if (compare(self, args[i], best))
			best = args[i];
	}
	return inexact && is_integer(best) ? real(to_double(best)) : best;
}

/* ---- other functions -------------------------------------------------------- */

static value number_abs(const struct primitive *self, int count, value *args)
{
	(void)count;
	need_number(self, args[0]);
	if (is_real(args[0]))
		return real(fabs(to_double(args[0])));
	if (integer_number(args[0]) == INT64_MIN)
		overflow(self);
	return integer(llabs(integer_number(args[0])));
}

static value number_gcd(const struct primitive *self, int count, value *args)
{
	uint64_t result = 0;
	int i;

	for (i = 0; i < count; i++) {
		int64_t number = need_integer(self, args[i]);
		uint64_t b = number < 0 ? -(uint64_t)number : (uint64_t)number;

		while (b) {
			uint64_t rest = result % b;

			result = b;
			b = rest;
		}
	}
	if (result > INT64_MAX)
		overflow(self);
	return integer((int64_t)result);
}

static value number_expt(const struct primitive *self, int count, value *args)
{
	int64_t base, exponent, result = 1;

	(void)count;
	need_number(self, args[0]);
	need_number(self, args[1]);
	if (is_real(args[0]) || is_real(args[1]) || integer_number(args[1]) < 0)
		return real(pow(to_double(args[0]), to_double(args[1])));
	base = integer_number(args[0]);
	for (exponent = integer_number(args[1]); exponent; exponent >>= 1) {
		if (exponent & 1 && __builtin_mul_overflow(result, base, &result))
			overflow(self);
		if (exponent > 1 && __builtin_mul_overflow(base, base, &base))
			overflow(self);
	}
	return integer(result);
}

enum { FLOOR, CEILING, TRUNCATE, ROUND };

static double rounded(int variant, double number)
{
	return variant == FLOOR ? floor(number) : variant == CEILING ? ceil(number) :
	       variant == TRUNCATE ? trunc(number) : nearbyint(number);
}

static value number_round(const struct primitive *self, int count, value *args)
{
	(void)count;
	need_number(self, args[0]);
	if (is_integer(args[0]))
		return args[0];
	return real(rounded(self->variant, to_double(args[0])));
}

static value number_exact(const struct primitive *self, int count, value *args)
{
	double number;

	(void)count;
	need_number(self, args[0]);
	if (is_integer(args[0]))
		return args[0];
	number = to_double(args[0]);
	if (number != trunc(number))
		fail_value(args[0], "%s: not a whole number", self->name);
	if (!(number >= -0x1p63 && number < 0x1p63))
		overflow(self);
	return integer((int64_t)number);
}

static value number_inexact(const struct primitive *self, int count, value *args)
{
	(void)count;
	need_number(self, args[0]);
	return is_real(args[0]) ? args[0] : real(to_double(args[0]));
}

enum { SQRT, EXP, LOG, SIN, COS, ATAN };

static value number_function(const struct primitive *self, int count, value *args)
{
	static double (*const functions[])(double) = {
		[SQRT] = sqrt, [EXP] = exp, [LOG] = log, [SIN] = sin, [COS] = cos, [ATAN] = atan,
	};
	double result;

	(void)count;
	need_number(self, args[0]);
	result = functions[self->variant](to_double(args[0]));
	/* The root of a square integer is one. */
	if (self->variant == SQRT && is_integer(args[0]) && result < 0x1p31 &&
	    (int64_t)result * (int64_t)result == integer_number(args[0]))
		return integer((int64_t)result);
	return real(result);
}

enum { IS_NUMBER, IS_INTEGER, IS_REAL };

static value number_kind(const struct primitive *self, int count, value *args)
{
	(void)count;
	return boolean(self->variant == IS_NUMBER ? is_number(args[0]) :
		       self->variant == IS_INTEGER ? is_integer(args[0]) : is_real(args[0]));
}

static struct primitive primitives[] = {
	PRIMITIVE("+", number_arithmetic, 0, -1, ADD),
	PRIMITIVE("-", number_arithmetic, 1, -1, SUBTRACT),
	PRIMITIVE("*", number_arithmetic, 0, -1, MULTIPLY),
	PRIMITIVE("/", number_divide, 1, -1, 0),
	PRIMITIVE("quotient", number_quotient, 2, 2, QUOTIENT),
	PRIMITIVE("remainder", number_quotient, 2, 2, REMAINDER),
	PRIMITIVE("modulo", number_quotient, 2, 2, MODULO),
	PRIMITIVE("=", number_compare, 1, -1, EQUAL),
	PRIMITIVE("<", number_compare, 1, -1, LESS),
	PRIMITIVE(">", number_compare, 1, -1, GREATER),
	PRIMITIVE("<=", number_compare, 1, -1, LESS_EQUAL),
	PRIMITIVE(">=", number_compare, 1, -1, GREATER_EQUAL),
	PRIMITIVE("zero?", number_sign, 1, 1, ZERO),
	PRIMITIVE("positive?", number_sign, 1, 1, POSITIVE),
	PRIMITIVE("negative?", number_sign, 1, 1, NEGATIVE),
	PRIMITIVE("even?", number_parity, 1, 1, EVEN),
	PRIMITIVE("odd?", number_parity, 1, 1, ODD),
	PRIMITIVE("min", number_extreme, 1, -1, LESS),
	PRIMITIVE("max", number_extreme, 1, -1, GREATER),
	PRIMITIVE("abs", number_abs, 1, 1, 0),
	PRIMITIVE("gcd", number_gcd, 0, -1, 0),
	PRIMITIVE("expt", number_expt, 2, 2, 0),
	PRIMITIVE("floor", number_round, 1, 1, FLOOR),
	PRIMITIVE("ceiling", number_round, 1, 1, CEILING),
	PRIMITIVE("truncate", number_round, 1, 1, TRUNCATE),
	PRIMITIVE("round", number_round, 1, 1, ROUND),
	PRIMITIVE("exact", number_exact, 1, 1, 0),
	PRIMITIVE("inexact", number_inexact, 1, 1, 0),
	PRIMITIVE("sqrt", number_function, 1, 1, SQRT),
	PRIMITIVE("exp", number_function, 1, 1, EXP),
	PRIMITIVE("log", number_function, 1, 1, LOG),
	PRIMITIVE("sin", number_function, 1, 1, SIN),
	PRIMITIVE("cos", number_function, 1, 1, COS),
	PRIMITIVE("atan", number_function, 1, 1, ATAN),
	PRIMITIVE("number?", number_kind, 1, 1, IS_NUMBER),
	PRIMITIVE("integer?", number_kind, 1, 1, IS_INTEGER),
	PRIMITIVE("float?", number_kind, 1, 1, IS_REAL),
};

void numbers_init(void)
{
	define_primitives(primitives, ARRAY_SIZE(primitives));
}
