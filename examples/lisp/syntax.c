// SPDX-License-Identifier: MIT
/*
 * Turns the derived forms into simpler ones, one step at a time: compile.c asks again
 * until nothing but basic forms is left.
 *
 * The new forms name syntax and procedures not by symbols, which a program could
 * have given another meaning, but by the things themselves.
 */
#include "lisp.h"

/* Procedures that new forms call; they are no objects in the heap. */
static value primitive_append, primitive_cons, primitive_list_to_vector, primitive_memv;

static value list2(value a, value b)
{
	return cons(a, cons(b, NIL));
}

static value list3(value a, value b, value c)
{
	return cons(a, list2(b, c));
}

static value list4(value a, value b, value c, value d)
{
	return cons(a, list3(b, c, d));
}

value syntax_object(const char *name)
{
	return (value)((struct symbol *)symbol(name))->syntax;
}

static value quote(value datum)
{
	return list2(syntax_object("quote"), datum);
}

static bool is_form_of(value form, const char *name)
{
	return is_pair(form) && car(form) == symbol(name);
}

/* ---- when, unless ----------------------------------------------------------- */

static value rewrite_when(value form)
{
	if (list_length(form) < 3)
		bad_form(form, "wants a test and a body");
	return list3(syntax_object("if"), car(cdr(form)),
		     cons(syntax_object("begin"), cdr(cdr(form))));
}

static value rewrite_unless(value form)
{
	if (list_length(form) < 3)
		bad_form(form, "wants a test and a body");
	return list4(syntax_object("if"), car(cdr(form)), UNSPECIFIED,
		     cons(syntax_object("begin"), cdr(cdr(form))));
}

/* ---- let*, letrec, do ------------------------------------------------------- */

/* (let* (a b ...) body ...): (let (a) (let* (b ...) body ...)) */
static value rewrite_let_star(value form)
{
	value bindings, body, inner;

	if (list_length(form) < 3 || list_length(car(cdr(form))) < 0)
		bad_form(form, "wants variables and a body");
	bindings = car(cdr(form));
	body = cdr(cdr(form));
	if (bindings == NIL || cdr(bindings) == NIL)
		return cons(syntax_object("let"), cons(bindings, body));
	inner = cons(syntax_object("let*"), cons(cdr(bindings), body));
	return list3(syntax_object("let"), cons(car(bindings), NIL), inner);
}

/* (letrec ((name value) ...) body ...): (let () (define name value) ... (let () body ...)) */
static value rewrite_letrec(value form)
{
	value bindings, definitions = NIL, body;

	if (list_length(form) < 3 || list_length(car(cdr(form))) < 0)
		bad_form(form, "wants variables and a body");
	body = cons(syntax_object("let"), cons(NIL, cdr(cdr(form))));
	for (bindings = car(cdr(form)); is_pair(bindings); bindings = cdr(bindings)) {
		value binding = car(bindings);

		if (list_length(binding) != 2 || !is_symbol(car(binding)))
			bad_form(form, "wants variables as (name value)");
		definitions = cons(cons(syntax_object("define"), binding), definitions);
	}
	definitions = cons(body, definitions);
	return cons(syntax_object("let"), cons(NIL, reverse(definitions)));
}

/*
 * (do ((variable start step) ...) (test value ...) body ...):
 * (let loop ((variable start) ...)
 *   (if test (begin value ...) (begin body ... (loop step ...))))
 */
static value rewrite_do(value form)
{
	value loop = made_up_symbol("do"), starts = NIL, steps = NIL, specs, end, again, test;

	if (list_length(form) < 3 || list_length(car(cdr(cdr(form)))) < 1)
		bad_form(form, "wants variables and (test value ...)");
	for (specs = car(cdr(form)); is_pair(specs); specs = cdr(specs)) {
		value spec = car(specs);
		long length = list_length(spec);

		if (length != 2 && length != 3)
			bad_form(form, "wants variables as (name start step)");
		starts = cons(list2(car(spec), car(cdr(spec))), starts);
		steps = cons(length == 3 ? car(cdr(cdr(spec))) : car(spec), steps);
	}
	end = car(cdr(cdr(form)));
	again = cons(cons(loop, reverse(steps)), NIL);
	again = append(cdr(cdr(cdr(form))), again);
	test = list4(syntax_object("if"), car(end), cons(syntax_object("begin"), cdr(end)),
		     cons(syntax_object("begin"), again));
	return list4(syntax_object("let"), loop, reverse(starts), test);
}

/* ---- cond, case ------------------------------------------------------------- */

static value rewrite_cond(value form)
{
	value clause, rest, test;

	if (cdr(form) == NIL)
		return UNSPECIFIED;
	clause = car(cdr(form));
	rest = cdr(cdr(form));
	if (list_length(clause) < 1)
		bad_form(form, "wants clauses as (test value ...)");
	test = car(clause);
	if (test == symbol("else")) {
		if (rest != NIL || cdr(clause) == NIL)
			bad_form(form, "else is the last clause, and has a body");
		return cons(syntax_object("begin"), cdr(clause));
	}
	rest = cons(syntax_object("cond"), rest);
	if (cdr(clause) == NIL)
		return list3(syntax_object("or"), test, rest);
	if (car(cdr(clause)) == symbol("=>")) {
		value name = made_up_symbol("test"), call;

		if (list_length(clause) != 3)
			bad_form(form, "wants one procedure after =>");
		call = list2(car(cdr(cdr(clause))), name);
		return list3(syntax_object("let"), cons(list2(name, test), NIL),
			     list4(syntax_object("if"), name, call, rest));
	}
	return list4(syntax_object("if"), test, cons(syntax_object("begin"), cdr(clause)), rest);
}

/* (case key ((datum ...) value ...) ...): a cond whose tests are (memv key '(datum ...)) */
static value rewrite_case(value form)
{
	value key = made_up_symbol("key"), clauses, conditions = NIL;

	if (list_length(form) < 2)
		bad_form(form, "wants a key and clauses");
	for (clauses = cdr(cdr(form)); is_pair(clauses); clauses = cdr(clauses)) {
		value clause = car(clauses), test;

		if (list_length(clause) < 2)
			bad_form(form, "wants clauses as ((datum ...) value ...)");
		test = car(clause);
		if (test != symbol("else")) {
			if (list_length(test) < 0)
				bad_form(form, "wants clauses as ((datum ...) value ...)");
			test = list3(primitive_memv, key, quote(test));
		}
		conditions = cons(cons(test, cdr(clause)), conditions);
	}
	conditions = cons(syntax_object("cond"), reverse(conditions));
	return list3(syntax_object("let"), cons(list2(key, car(cdr(form))), NIL), conditions);
}

/* ---- quasiquote ------------------------------------------------------------- */

static value quasi(value form, int depth);

/* (name x) stays as it is, with what is in x at another depth. */
static value quasi_nested(value form, int depth)
{
	return list3(primitive_cons, quote(car(form)), quasi(cdr(form), depth));
}

static value quasi(value form, int depth)
{
	value first;

	check_stack();
	if (has_tag(form, TAG_VECTOR))
		return list2(primitive_list_to_vector, quasi(vector_to_list(form), depth));
	if (!is_pair(form))
		return quote(form);
	if (is_form_of(form, "unquote") && list_length(form) == 2)
		return depth == 1 ? car(cdr(form)) : quasi_nested(form, depth - 1);
	if (is_form_of(form, "quasiquote"))
		return quasi_nested(form, depth + 1);
	first = car(form);
	if (is_form_of(first, "unquote-splicing") && list_length(first) == 2 && depth == 1)
		return list3(primitive_append, car(cdr(first)), quasi(cdr(form), depth));
	if (is_form_of(first, "unquote-splicing"))
		first = quasi_nested(first, depth - 1);
	else
		first = quasi(first, depth);
	return list3(primitive_cons, first, quasi(cdr(form), depth));
}

static value rewrite_quasiquote(value form)
{
	if (list_length(form) != 2)
		bad_form(form, "wants one thing to quote");
	return quasi(car(cdr(form)), 1);
}

static value rewrite_unquote(value form)
{
	bad_form(form, "only inside of quasiquote");
}

static struct syntax derived[] = {
	{ { TAG_SYNTAX, 0 }, "case", NULL, rewrite_case },
	{ { TAG_SYNTAX, 0 }, "cond", NULL, rewrite_cond },
	{ { TAG_SYNTAX, 0 }, "do", NULL, rewrite_do },
	{ { TAG_SYNTAX, 0 }, "let*", NULL, rewrite_let_star },
	{ { TAG_SYNTAX, 0 }, "letrec", NULL, rewrite_letrec },
	{ { TAG_SYNTAX, 0 }, "letrec*", NULL, rewrite_letrec },
	{ { TAG_SYNTAX, 0 }, "quasiquote", NULL, rewrite_quasiquote },
	{ { TAG_SYNTAX, 0 }, "unless", NULL, rewrite_unless },
	{ { TAG_SYNTAX, 0 }, "unquote", NULL, rewrite_unquote },
	{ { TAG_SYNTAX, 0 }, "unquote-splicing", NULL, rewrite_unquote },
	{ { TAG_SYNTAX, 0 }, "when", NULL, rewrite_when },
};

static value primitive(const char *name)
{
	return ((struct symbol *)symbol(name))->global;
}

void syntax_init(void)
{
	primitive_append = primitive("append");
	primitive_cons = primitive("cons");
	primitive_list_to_vector = primitive("list->vector");
	primitive_memv = primitive("memv");
	define_syntaxes(derived, ARRAY_SIZE(derived));
}
