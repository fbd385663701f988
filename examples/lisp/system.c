// SPDX-License-Identifier: MIT
/*
 * Output, errors, calls, and the collector as a program sees it.
 */
#include "lisp.h"

#include <string.h>

/* ---- kinds ------------------------------------------------------------------ */

/* @variant: a tag. */
static value kind_is(const struct primitive *self, int count, value *args)
{
	(void)count;
	return boolean(has_tag(args[0], (enum tag)self->variant));
}

static value kind_procedure(const struct primitive *self, int count, value *args)
{
	(void)self;
	(void)count;
	return boolean(has_tag(args[0], TAG_CLOSURE) || has_tag(args[0], TAG_PRIMITIVE));
}

static value system_not(const struct primitive *self, int count, value *args)
{
	(void)self;
	(void)count;
	return boolean(!is_true(args[0]));
}

/* ---- output ----------------------------------------------------------------- */

enum { DISPLAY, WRITE };

static value output_print(const struct primitive *self, int count, value *args)
{
	struct text text = { .file = stdout };

	(void)count;
	print(&text, args[0], self->variant == WRITE);
	return UNSPECIFIED;
}

static value output_newline(const struct primitive *self, int count, value *args)
{
	(void)self;
	(void)count;
	(void)args;
	putchar('\n');
	return UNSPECIFIED;
}

/* ---- errors ----------------------------------------------------------------- */

/* (error "message" value ...) */
static value error_error(const struct primitive *self, int count, value *args)
{
	char message[sizeof(lisp.message)];
	struct text text = { .bytes = message, .capacity = sizeof(message) - 1, .fixed = true };
	int i;

	(void)self;
	print(&text, args[0], false);
	for (i = 1; i < count; i++) {
		text_char(&text, ' ');
		print(&text, args[i], true);
	}
	message[text.length] = '\0';
	fail("%s", message);
}

static value error_assert(const struct primitive *self, int count, value *args)
{
	(void)count;
	if (!is_true(args[0]))
		fail("%s: does not hold", self->name);
	return UNSPECIFIED;
}

/*
 * (try thunk handler): the value of the call of thunk; or when there is an error, of
 * handler, which gets the message. The C functions between are left without a word:
 * they own nothing that the collector does not find.
 */
static value error_try(const struct primitive *self, int count, value *args)
{
	struct catcher catcher = { .outer = lisp.catcher };
	value v;

	(void)self;
	(void)count;
	if (!setjmp(catcher.buffer)) {
		lisp.catcher = &catcher;
		v = apply(args[0], 0, NULL);
		lisp.catcher = catcher.outer;
		return v;
	}
	lisp.catcher = catcher.outer;
	v = string_of(lisp.message);
	return apply(args[1], 1, &v);
}

static value system_exit(const struct primitive *self, int count, value *args)
{
	leave(count ? (int)need_index(self, args[0], 255) : 0);
}

/* ---- calls ------------------------------------------------------------------ */

/* (apply f a ... list): eval() makes the call, in the place of this one. */
static value system_apply(const struct primitive *self, int count, value *args)
{
	value list = args[count - 1];
	int i;

	if (list_length(list) < 0)
		wrong_argument(self, "a list as its last argument", list);
	for (i = count - 2; i > 0; i--)
		list = cons(args[i], list);
	lisp.roots.tail_function = args[0];
	lisp.roots.tail_arguments = list;
	return TAIL_CALL;
}

static value system_eval(const struct primitive *self, int count, value *args)
{
	(void)self;
	(void)count;
	return eval(compile(args[0], NULL), NULL);
}

/* (read-string "text"): the first value in it. */
static value system_read(const struct primitive *self, int count, value *args)
{
	struct string *string = need_string(self, args[0]);
	struct source source = {
		.text = string->bytes, .end = string->bytes + string->length,
	};
	uint32_t line = lisp.line;
	value form;

	(void)count;
	form = read_form(&source);
	lisp.line = line;
	return form == END_OF_FILE ? UNSPECIFIED : form;
}

/* ---- the collector ---------------------------------------------------------- */

static value collector_collect(const struct primitive *self, int count, value *args)
{
	(void)self;
	(void)count;
	(void)args;
	if (gcheap_collect(lisp.thread))
		fail("%s", gcheap_error());
	return UNSPECIFIED;
}

/* An association list. */
static value collector_stats(const struct primitive *self, int count, value *args)
{
	struct gcheap_stats stats = { .size = sizeof(stats) };
	value list = NIL;
	size_t i;

	(void)self;
	(void)count;
	(void)args;
	if (gcheap_stats(lisp.heap, &stats))
		fail("%s", gcheap_error());

	const struct {
		const char *name;
		uint64_t number;
	} figures[] = {
		{ "cycles", stats.cycles },
		{ "allocated-bytes", stats.allocated_bytes },
		{ "allocated-objects", stats.allocated_objects },
		{ "live-bytes", stats.live_bytes },
		{ "live-objects", stats.live_objects },
		{ "resident-bytes", stats.resident_bytes },
		{ "pause-ns-max", stats.pause_ns_max },
		{ "requests", stats.requests },
	};
	for (i = ARRAY_SIZE(figures); i; i--) {
		value number = integer((int64_t)figures[i - 1].number);

		list = cons(cons(symbol(figures[i - 1].name), number), list);
	}
	return list;
}

static struct primitive primitives[] = {
	PRIMITIVE("null?", kind_is, 1, 1, TAG_NIL),
	PRIMITIVE("boolean?", kind_is, 1, 1, TAG_BOOLEAN),
	PRIMITIVE("char?", kind_is, 1, 1, TAG_CHARACTER),
	PRIMITIVE("string?", kind_is, 1, 1, TAG_STRING),
	PRIMITIVE("symbol?", kind_is, 1, 1, TAG_SYMBOL),
	PRIMITIVE("pair?", kind_is, 1, 1, TAG_PAIR),
	PRIMITIVE("vector?", kind_is, 1, 1, TAG_VECTOR),
	PRIMITIVE("procedure?", kind_procedure, 1, 1, 0),
	PRIMITIVE("not", system_not, 1, 1, 0),
	PRIMITIVE("display", output_print, 1, 1, DISPLAY),
	PRIMITIVE("write", output_print, 1, 1, WRITE),
	PRIMITIVE("newline", output_newline, 0, 0, 0),
	PRIMITIVE("error", error_error, 1, -1, 0),
	PRIMITIVE("assert", error_assert, 1, 1, 0),
	PRIMITIVE("try", error_try, 2, 2, 0),
	PRIMITIVE("exit", system_exit, 0, 1, 0),
	PRIMITIVE("apply", system_apply, 2, -1, 0),
	PRIMITIVE("eval", system_eval, 1, 1, 0),
	PRIMITIVE("read-string", system_read, 1, 1, 0),
	PRIMITIVE("gc", collector_collect, 0, 0, 0),
	PRIMITIVE("gc-stats", collector_stats, 0, 0, 0),
};

void system_init(void)
{
	define_primitives(primitives, ARRAY_SIZE(primitives));
}
