// SPDX-License-Identifier: MIT
/*
 * Compiles the basic forms to a tree of nodes.
 *
 * A variable of a lambda or let becomes a position: a number of frames outwards, and a
 * slot there. Only this file and messages need the names.
 */
#include "lisp.h"

#include <string.h>

/**
 * struct scope - what a frame will hold, while its code is compiled
 * @outer: the scope around it; NULL: the global variables
 * @names: symbols, the last slot's first
 * @count: how many
 *
 * Scopes are on the C stack, and so are in sight of the collector.
 */
struct scope {
	struct scope *outer;
	value names;
	uint32_t count;
};

static struct node *node_new(enum node_kind kind)
{
	struct node *node = allocate(lisp.node_type);

	node->kind = kind;
	node->line = lisp.line;
	return node;
}

static struct node *constant(value datum)
{
	struct node *node = node_new(NODE_CONSTANT);

	store(&node->datum, datum);
	return node;
}

/* An error in a form: it starts with the form's name. */
void bad_form(value form, const char *what)
{
	value head = car(form);

	if (form->line)
		lisp.line = form->line;
	if (has_tag(head, TAG_SYNTAX))
		fail("%s: %s", ((struct syntax *)head)->name, what);
	fail("%s: %s", ((struct symbol *)head)->name->bytes, what);
}

/* ---- variables -------------------------------------------------------------- */

static bool scope_index(const struct scope *scope, value name, uint32_t *index)
{
	value names = scope->names;
	uint32_t i = scope->count;

	for (; names != NIL; names = cdr(names)) {
		i--;
		if (car(names) == name) {
			*index = i;
			return true;
		}
	}
	return false;
}

static bool scope_find(const struct scope *scope, value name, uint32_t *depth, uint32_t *index)
{
	for (*depth = 0; scope; scope = scope->outer, (*depth)++) {
		if (scope_index(scope, name, index))
			return true;
	}
	return false;
}

static void scope_add(struct scope *scope, value name)
{
	scope->names = cons(name, scope->names);
	scope->count++;
}

/* A parameter or a variable of let. */
static void scope_add_new(struct scope *scope, value form, value name)
{
	uint32_t index;

	if (!is_symbol(name))
		bad_form(form, "a variable must be a symbol");
	if (scope_index(scope, name, &index))
		bad_form(form, "a variable is there twice");
	scope_add(scope, name);
}

/* The syntax that a form starts with, unless a variable hides it; or NULL. */
static const struct syntax *syntax_of(value form, const struct scope *scope)
{
	uint32_t depth, index;
	value head;

	if (!is_pair(form))
		return NULL;
	head = car(form);
	if (has_tag(head, TAG_SYNTAX))
		return (const struct syntax *)head;
	if (!is_symbol(head) || !((struct symbol *)head)->syntax ||
	    scope_find(scope, head, &depth, &index))
		return NULL;
	return ((struct symbol *)head)->syntax;
}

static struct node *compile_variable(value name, struct scope *scope)
{
	struct node *node = node_new(NODE_GLOBAL);
	uint32_t depth, index;

	store(&node->datum, name);
	if (scope_find(scope, name, &depth, &index)) {
		node->kind = NODE_LOCAL;
		node->depth = depth;
		node->index = index;
	} else if (((struct symbol *)name)->syntax) {
		fail_value(name, "this is syntax, not a variable");
	}
	return node;
}

/* A lambda is told its name when it gets one. */
static void name_lambda(struct node *node, value name)
{
	if (node->kind == NODE_LAMBDA && !node->datum)
		store(&node->datum, name);
}

/* ---- lists of forms --------------------------------------------------------- */

static struct node *compile_list(value forms, struct scope *scope, uint32_t *count)
{
	struct node *first = NULL, *last = NULL;

	for (*count = 0; is_pair(forms); forms = cdr(forms), (*count)++) {
		struct node *node = compile(car(forms), scope);

		if (last)
			store(&last->next, node);
		else
			first = node;
		last = node;
	}
	return first;
}

/* Several forms: the value is the last one's. */
static struct node *compile_sequence(value forms, struct scope *scope)
{
	struct node *node, *list;
	uint32_t count;

	if (forms == NIL)
		return constant(UNSPECIFIED);
	if (cdr(forms) == NIL)
		return compile(car(forms), scope);
	node = node_new(NODE_SEQUENCE);
	list = compile_list(forms, scope, &count);
	store(&node->first, list);
	return node;
}

static struct node *compile_define(value form, struct scope *scope);
static struct node *compile_begin(value form, struct scope *scope);

/* The name that a define gives a value; not a symbol when the form is wrong. */
static value defined_name(value form)
{
	value target = is_pair(cdr(form)) ? car(cdr(form)) : NIL;

	return is_pair(target) ? car(target) : target;
}

/* The definitions in a body are variables of the frame around it. */
static void scan_definitions(value forms, struct scope *scope)
{
	for (; is_pair(forms); forms = cdr(forms)) {
		value form = car(forms);
		const struct syntax *syntax = syntax_of(form, scope);
		uint32_t index;

		if (!syntax)
			continue;
		if (syntax->compile == compile_define) {
			value name = defined_name(form);

			if (is_symbol(name) && !scope_index(scope, name, &index))
				scope_add(scope, name);
		} else if (syntax->compile == compile_begin) {
			scan_definitions(cdr(form), scope);
		}
	}
}

static struct node *compile_body(value form, value body, struct scope *scope)
{
	if (list_length(body) < 1)
		bad_form(form, "nothing in its body");
	scan_definitions(body, scope);
	return compile_sequence(body, scope);
}

/* ---- the basic forms -------------------------------------------------------- */

static struct node *compile_quote(value form, struct scope *scope)
{
	(void)scope;
	if (list_length(form) != 2)
		bad_form(form, "wants one thing to quote");
	return constant(car(cdr(form)));
}

static struct node *compile_if(value form, struct scope *scope)
{
	long length = list_length(form);
	struct node *node = node_new(NODE_IF);

	if (length != 3 && length != 4)
		bad_form(form, "wants a test and one or two branches");
	form = cdr(form);
	store(&node->first, compile(car(form), scope));
	form = cdr(form);
	store(&node->second, compile(car(form), scope));
	store(&node->third, length == 4 ? compile(car(cdr(form)), scope) : constant(UNSPECIFIED));
	return node;
}

static struct node *compile_procedure(value form, value name, value parameters, value body,
				      struct scope *scope)
{
	struct scope inner = { .outer = scope, .names = NIL };
	struct node *node = node_new(NODE_LAMBDA);

	for (; is_pair(parameters); parameters = cdr(parameters))
		scope_add_new(&inner, form, car(parameters));
	if (inner.count > UINT16_MAX)
		bad_form(form, "too many parameters");
	node->required = (uint16_t)inner.count;
	if (parameters != NIL) {
		node->rest = true;
		scope_add_new(&inner, form, parameters);
	}
	store(&node->datum, name);
	store(&node->first, compile_body(form, body, &inner));
	node->slots = inner.count;
	return node;
}

static struct node *compile_lambda(value form, struct scope *scope)
{
	if (list_length(form) < 3)
		bad_form(form, "wants parameters and a body");
	return compile_procedure(form, NULL, car(cdr(form)), cdr(cdr(form)), scope);
}

static struct node *compile_define(value form, struct scope *scope)
{
	value name = defined_name(form), target;
	struct node *node = node_new(NODE_DEFINE), *first;
	uint32_t index;

	if (!is_symbol(name))
		bad_form(form, "wants a name, or a name with parameters");
	if (scope) {
		if (!scope_index(scope, name, &index))
			bad_form(form, "can only be in a body or outside of all forms");
		node->kind = NODE_SET_LOCAL;
		node->depth = 0;
		node->index = index;
	} else if (((struct symbol *)name)->syntax) {
		bad_form(form, "the name is one of syntax");
	}
	target = car(cdr(form));
	if (is_pair(target)) {
		first = compile_procedure(form, name, cdr(target), cdr(cdr(form)), scope);
	} else {
		if (list_length(form) != 3)
			bad_form(form, "wants a name and a value");
		first = compile(car(cdr(cdr(form))), scope);
		name_lambda(first, name);
	}
	store(&node->datum, name);
	store(&node->first, first);
	return node;
}

static struct node *compile_set(value form, struct scope *scope)
{
	struct node *node;

	if (list_length(form) != 3 || !is_symbol(car(cdr(form))))
		bad_form(form, "wants a variable and a value");
	node = compile_variable(car(cdr(form)), scope);
	node->kind = node->kind == NODE_LOCAL ? NODE_SET_LOCAL : NODE_SET_GLOBAL;
	store(&node->first, compile(car(cdr(cdr(form))), scope));
	return node;
}

static struct node *compile_begin(value form, struct scope *scope)
{
	return compile_sequence(cdr(form), scope);
}

static struct node *compile_and(value form, struct scope *scope)
{
	struct node *node, *list;
	uint32_t count;

	if (cdr(form) == NIL)
		return constant(TRUE);
	node = node_new(NODE_AND);
	list = compile_list(cdr(form), scope, &count);
	store(&node->first, list);
	return node;
}

static struct node *compile_or(value form, struct scope *scope)
{
	struct node *node, *list;
	uint32_t count;

	if (cdr(form) == NIL)
		return constant(FALSE);
	node = node_new(NODE_OR);
	list = compile_list(cdr(form), scope, &count);
	store(&node->first, list);
	return node;
}

/* (let name ((variable value) ...) body ...): a procedure that is called at once. */
static value rewrite_named_let(value form)
{
	value name = car(cdr(form)), rest = cdr(cdr(form)), bindings, names = NIL, values = NIL;
	value procedure;

	if (list_length(rest) < 2)
		bad_form(form, "wants variables and a body");
	for (bindings = car(rest); is_pair(bindings); bindings = cdr(bindings)) {
		value binding = car(bindings);

		if (list_length(binding) != 2)
			bad_form(form, "wants variables as (name value)");
		names = cons(car(binding), names);
		values = cons(car(cdr(binding)), values);
	}
	procedure = cons(syntax_object("lambda"), cons(reverse(names), cdr(rest)));
	/* ((letrec ((name (lambda (variable ...) body ...))) name) value ...) */
	procedure = cons(cons(name, cons(procedure, NIL)), NIL);
	procedure = cons(syntax_object("letrec"), cons(procedure, cons(name, NIL)));
	return cons(procedure, reverse(values));
}

static struct node *compile_let(value form, struct scope *scope)
{
	struct scope inner = { .outer = scope, .names = NIL };
	struct node *node = node_new(NODE_LET), *last = NULL;
	value bindings;

	if (list_length(form) < 3)
		bad_form(form, "wants variables and a body");
	if (is_symbol(car(cdr(form))))
		return compile(rewrite_named_let(form), scope);
	for (bindings = car(cdr(form)); is_pair(bindings); bindings = cdr(bindings)) {
		value binding = car(bindings);
		struct node *init;

		if (list_length(binding) != 2)
			bad_form(form, "wants variables as (name value)");
		scope_add_new(&inner, form, car(binding));
		/* In the scope around: a value does not see the variables. */
		init = compile(car(cdr(binding)), scope);
		name_lambda(init, car(binding));
		if (last)
			store(&last->next, init);
		else
			store(&node->second, init);
		last = init;
	}
	if (bindings != NIL)
		bad_form(form, "wants a list of variables");
	store(&node->first, compile_body(form, cdr(cdr(form)), &inner));
	node->slots = inner.count;
	return node;
}

/* ---- all forms -------------------------------------------------------------- */

static struct node *compile_call(value form, struct scope *scope)
{
	struct node *node = node_new(NODE_CALL);
	uint32_t count;

	store(&node->first, compile(car(form), scope));
	store(&node->second, compile_list(cdr(form), scope, &count));
	node->count = count;
	return node;
}

static struct node *compile_pair(value form, struct scope *scope)
{
	const struct syntax *syntax;

	if (list_length(form) < 0)
		fail_value(form, "this list with a dot is no program");
	while ((syntax = syntax_of(form, scope))) {
		if (syntax->compile)
			return syntax->compile(form, scope);
		form = syntax->rewrite(form);
		if (!is_pair(form))
			return compile(form, scope);
	}
	return compile_call(form, scope);
}

/* @scope: NULL: outside of all forms. */
struct node *compile(value form, struct scope *scope)
{
	uint32_t line = lisp.line;
	struct node *node;

	check_stack();
	if (is_symbol(form))
		return compile_variable(form, scope);
	if (form == NIL)
		fail("() is no program: quote it");
	if (!is_pair(form))
		return constant(form);
	if (form->line)
		lisp.line = form->line;
	node = compile_pair(form, scope);
	lisp.line = line;
	return node;
}

static struct syntax basic[] = {
	{ { TAG_SYNTAX, 0 }, "and", compile_and, NULL },
	{ { TAG_SYNTAX, 0 }, "begin", compile_begin, NULL },
	{ { TAG_SYNTAX, 0 }, "define", compile_define, NULL },
	{ { TAG_SYNTAX, 0 }, "if", compile_if, NULL },
	{ { TAG_SYNTAX, 0 }, "lambda", compile_lambda, NULL },
	{ { TAG_SYNTAX, 0 }, "let", compile_let, NULL },
	{ { TAG_SYNTAX, 0 }, "or", compile_or, NULL },
	{ { TAG_SYNTAX, 0 }, "quote", compile_quote, NULL },
	{ { TAG_SYNTAX, 0 }, "set!", compile_set, NULL },
};

void compile_init(void)
{
	define_syntaxes(basic, ARRAY_SIZE(basic));
}
