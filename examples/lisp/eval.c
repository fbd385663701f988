// SPDX-License-Identifier: MIT
/*
 * Runs the tree.
 *
 * eval() is one loop: what is in tail position (the branch of an if, the last form
 * of a body, the body of what is called last) becomes the next node of the loop, so
 * that a Lisp loop takes no C stack. All else calls eval() again.
 */
#include "lisp.h"

/* Arguments of a primitive that need no object. */
#define FEW_ARGUMENTS	4

static _Noreturn void no_value(const struct node *node)
{
	if (node->line)
		lisp.line = node->line;
	if (node->kind == NODE_LOCAL)
		fail_value(node->datum, "used before it has a value");
	fail_value(node->datum, "this variable has no value");
}

static inline value local_value(struct node *node, struct frame *env)
{
	uint32_t depth;
	value v;

	for (depth = node->depth; depth; depth--)
		env = env->parent;
	v = env->slots[node->index];
	if (__builtin_expect(!v, 0))
		no_value(node);
	return v;
}

static inline value global_value(struct node *node)
{
	value v = ((struct symbol *)node->datum)->global;

	if (__builtin_expect(!v, 0))
		no_value(node);
	return v;
}

/* eval(), without a call where a look is enough. */
static inline value operand(struct node *node, struct frame *env)
{
	switch (node->kind) {
	case NODE_CONSTANT:
		return node->datum;
	case NODE_LOCAL:
		return local_value(node, env);
	case NODE_GLOBAL:
		return global_value(node);
	default:
		return eval(node, env);
	}
}

/* ---- calls ------------------------------------------------------------------ */

static _Noreturn void wrong_count(value function, uint32_t count, uint32_t line)
{
	if (line)
		lisp.line = line;
	fail_value(function, "called with %u argument%s, and that is wrong", count,
		   count == 1 ? "" : "s");
}

static _Noreturn void no_procedure(value v, uint32_t line)
{
	if (line)
		lisp.line = line;
	fail_value(v, "this is no procedure and cannot be called");
}

/*
 * The frame of a closure that is called, with the arguments evaluated into it. The
 * collector may run for each of them: it finds the frame by this variable, and in
 * the frame what is there already.
 */
static struct frame *enter(struct closure *closure, struct node *call, struct frame *env)
{
	struct node *lambda = closure->lambda, *argument = call->second;
	struct frame *new = frame(lambda->slots, closure->env);
	uint32_t required = lambda->required, i;
	struct pair *last = NULL;

	if (call->count < required || (call->count > required && !lambda->rest))
		wrong_count(&closure->object, call->count, call->line);
	for (i = 0; i < required; i++, argument = argument->next)
		store(&new->slots[i], operand(argument, env));
	if (!lambda->rest)
		return new;
	store(&new->slots[required], NIL);
	for (; argument; argument = argument->next) {
		value pair = cons(operand(argument, env), NIL);

		store(last ? &last->cdr : &new->slots[required], pair);
		last = (struct pair *)pair;
	}
	return new;
}

/* The same for arguments that have been evaluated: @count in @args, then a list. */
static struct frame *enter_values(struct closure *closure, int count, value *args, value list)
{
	struct node *lambda = closure->lambda;
	struct frame *new = frame(lambda->slots, closure->env);
	uint32_t required = lambda->required, i = 0, j = 0;
	struct pair *last = NULL;

	for (;; i++) {
		value v;

		if (j < (uint32_t)count) {
			v = args[j++];
		} else if (is_pair(list)) {
			v = car(list);
			list = cdr(list);
		} else {
			break;
		}
		if (i < required) {
			store(&new->slots[i], v);
		} else if (lambda->rest) {
			value pair = cons(v, NIL);

			store(last ? &last->cdr : &new->slots[required], pair);
			last = (struct pair *)pair;
		}
	}
	if (i < required || (i > required && !lambda->rest))
		wrong_count(&closure->object, i, 0);
	if (lambda->rest && !last)
		store(&new->slots[required], NIL);
	return new;
}

static inline bool count_fits(const struct primitive *primitive, uint32_t count)
{
	return count >= (uint32_t)primitive->min && count <= (uint32_t)primitive->max;
}

/* In a function of its own, so that the arguments take no stack from eval(). */
static __attribute__((noinline)) value
call_primitive(struct primitive *primitive, struct node *call, struct frame *env)
{
	struct node *argument = call->second;
	value few[FEW_ARGUMENTS], *args = few;
	uint32_t i;

	if (!count_fits(primitive, call->count))
		wrong_count(&primitive->object, call->count, call->line);
	if (call->count > FEW_ARGUMENTS)
		args = slot_array(call->count);
	for (i = 0; argument; i++, argument = argument->next)
		store(&args[i], operand(argument, env));
	if (call->line)
		lisp.line = call->line;
	return primitive->function(primitive, (int)call->count, args);
}

static value call_primitive_list(struct primitive *primitive, value list)
{
	value few[FEW_ARGUMENTS], *args = few;
	long count = list_length(list);
	uint32_t i;

	if (count > INT32_MAX || !count_fits(primitive, (uint32_t)count))
		wrong_count(&primitive->object, (uint32_t)count, 0);
	if (count > FEW_ARGUMENTS)
		args = slot_array((size_t)count);
	for (i = 0; is_pair(list); i++, list = cdr(list))
		store(&args[i], car(list));
	return primitive->function(primitive, (int)count, args);
}

/*
 * What a primitive asked for by returning TAIL_CALL: a call in its own place. Sets
 * @env and returns the body to go on with; or NULL, and @result is the value.
 */
static struct node *tail_call(struct frame **env, value *result)
{
	do {
		value function = lisp.roots.tail_function, list = lisp.roots.tail_arguments;

		/* What roots no longer lead to can go. */
		lisp.roots.tail_function = NULL;
		lisp.roots.tail_arguments = NULL;
		if (has_tag(function, TAG_CLOSURE)) {
			struct closure *closure = (struct closure *)function;

			*env = enter_values(closure, 0, NULL, list);
			return closure->lambda->first;
		}
		if (!has_tag(function, TAG_PRIMITIVE))
			no_procedure(function, 0);
		*result = call_primitive_list((struct primitive *)function, list);
	} while (*result == TAIL_CALL);
	return NULL;
}

/* Call a procedure from C. */
value apply(value function, int count, value *args)
{
	struct frame *env;
	struct node *body;
	value result;

	if (has_tag(function, TAG_CLOSURE)) {
		struct closure *closure = (struct closure *)function;

		return eval(closure->lambda->first, enter_values(closure, count, args, NIL));
	}
	if (!has_tag(function, TAG_PRIMITIVE))
		no_procedure(function, 0);
	if (!count_fits((struct primitive *)function, (uint32_t)count))
		wrong_count(function, (uint32_t)count, 0);
	/* Some primitives use @args for their own calls: callers set them anew. */
	result = ((struct primitive *)function)->function((struct primitive *)function, count,
							  args);
	if (result != TAIL_CALL)
		return result;
	body = tail_call(&env, &result);
	return body ? eval(body, env) : result;
}

/* ---- the loop --------------------------------------------------------------- */

/* The frame of a let. Its values are evaluated in the frame around it. */
static struct frame *enter_let(struct node *let, struct frame *env)
{
	struct frame *new = frame(let->slots, env);
	struct node *init;
	uint32_t i = 0;

	for (init = let->second; init; init = init->next)
		store(&new->slots[i++], operand(init, env));
	return new;
}

static void set_local(struct node *node, struct frame *env)
{
	value v = operand(node->first, env);
	uint32_t depth;

	for (depth = node->depth; depth; depth--)
		env = env->parent;
	store(&env->slots[node->index], v);
}

static void set_global(struct node *node, struct frame *env)
{
	value v = operand(node->first, env);
	struct symbol *symbol = (struct symbol *)node->datum;

	if (node->kind == NODE_SET_GLOBAL && !symbol->global)
		no_value(node);
	store(&symbol->global, v);
}

value eval(struct node *node, struct frame *env)
{
	struct node *part;
	value v;

	check_stack();
	for (;;) {
		switch ((enum node_kind)node->kind) {
		case NODE_CONSTANT:
			return node->datum;
		case NODE_LOCAL:
			return local_value(node, env);
		case NODE_GLOBAL:
			return global_value(node);
		case NODE_SET_LOCAL:
			set_local(node, env);
			return UNSPECIFIED;
		case NODE_SET_GLOBAL:
		case NODE_DEFINE:
			set_global(node, env);
			return UNSPECIFIED;
		case NODE_IF:
			node = is_true(operand(node->first, env)) ? node->second : node->third;
			continue;
		case NODE_LAMBDA:
			return closure(node, env);
		case NODE_SEQUENCE:
			for (part = node->first; part->next; part = part->next)
				operand(part, env);
			node = part;
			continue;
		case NODE_AND:
			for (part = node->first; part->next; part = part->next) {
				if (!is_true(operand(part, env)))
					return FALSE;
			}
			node = part;
			continue;
		case NODE_OR:
			for (part = node->first; part->next; part = part->next) {
				v = operand(part, env);
				if (is_true(v))
					return v;
			}
			node = part;
			continue;
		case NODE_LET:
			env = enter_let(node, env);
			node = node->first;
			continue;
		case NODE_CALL:
			v = operand(node->first, env);
			if (has_tag(v, TAG_CLOSURE)) {
				struct closure *closure = (struct closure *)v;

				env = enter(closure, node, env);
				node = closure->lambda->first;
				continue;
			}
			if (!has_tag(v, TAG_PRIMITIVE))
				no_procedure(v, node->line);
			v = call_primitive((struct primitive *)v, node, env);
			if (v != TAIL_CALL)
				return v;
			node = tail_call(&env, &v);
			if (!node)
				return v;
			continue;
		}
	}
}
