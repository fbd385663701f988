// SPDX-License-Identifier: MIT
/*
 * Strings, characters and symbols. A character is a byte: text in UTF-8 passes
 * through as it is, but its letters may be several characters long.
 */
#include "lisp.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static unsigned char need_character(const struct primitive *self, value v)
{
	if (!has_tag(v, TAG_CHARACTER))
		wrong_argument(self, "a character", v);
	return (unsigned char)(v - characters);
}

static struct symbol *need_symbol(const struct primitive *self, value v)
{
	if (!is_symbol(v))
		wrong_argument(self, "a symbol", v);
	return (struct symbol *)v;
}

/* ---- strings ---------------------------------------------------------------- */

static value string_length(const struct primitive *self, int count, value *args)
{
	(void)count;
	return integer((int64_t)need_string(self, args[0])->length);
}

static value string_ref(const struct primitive *self, int count, value *args)
{
	struct string *string = need_string(self, args[0]);

	(void)count;
	if (!string->length)
		fail("%s: the string is empty", self->name);
	return &characters[(unsigned char)string->bytes[need_index(self, args[1],
								   string->length - 1)]];
}

static value string_append(const struct primitive *self, int count, value *args)
{
	struct text text = { .file = NULL };
	int i;

	for (i = 0; i < count; i++) {
		struct string *part = need_string(self, args[i]);

		text_put(&text, part->bytes, part->length);
	}
	return string(text.bytes, text.length);
}

static value string_substring(const struct primitive *self, int count, value *args)
{
	struct string *whole = need_string(self, args[0]);
	size_t end = count > 2 ? need_index(self, args[2], whole->length) : whole->length;
	size_t start = need_index(self, args[1], end);

	return string(whole->bytes + start, end - start);
}

enum { EQUAL, LESS };

static value string_compare(const struct primitive *self, int count, value *args)
{
	struct string *a = need_string(self, args[0]), *b = need_string(self, args[1]);
	int order = memcmp(a->bytes, b->bytes, a->length < b->length ? a->length : b->length);

	(void)count;
	if (self->variant == EQUAL)
		return boolean(a->length == b->length && !order);
	return boolean(order < 0 || (!order && a->length < b->length));
}

enum { UP, DOWN };

static value string_case(const struct primitive *self, int count, value *args)
{
	struct string *old = need_string(self, args[0]);
	value new = string(old->bytes, old->length);
	char *bytes = ((struct string *)new)->bytes;
	size_t i;

	(void)count;
	for (i = 0; i < old->length; i++) {
		unsigned char c = (unsigned char)bytes[i];

		bytes[i] = (char)(self->variant == UP ? toupper(c) : tolower(c));
	}
	return new;
}

/* The first place of one string in another, or #f. */
static value string_search(const struct primitive *self, int count, value *args)
{
	struct string *wanted = need_string(self, args[0]), *text = need_string(self, args[1]);
	size_t i;

	(void)count;
	for (i = 0; i + wanted->length <= text->length; i++) {
		if (!memcmp(text->bytes + i, wanted->bytes, wanted->length))
			return integer((int64_t)i);
	}
	return FALSE;
}

/* ---- from one kind to another ----------------------------------------------- */

static value string_list(const struct primitive *self, int count, value *args)
{
	struct string *string = need_string(self, args[0]);
	value list = NIL;
	size_t i;

	(void)count;
	for (i = string->length; i; i--)
		list = cons(&characters[(unsigned char)string->bytes[i - 1]], list);
	return list;
}

static value list_string(const struct primitive *self, int count, value *args)
{
	struct text text = { .file = NULL };
	value list = args[0];

	(void)count;
	if (list_length(list) < 0)
		wrong_argument(self, "a list of characters", list);
	for (; is_pair(list); list = cdr(list))
		text_char(&text, (char)need_character(self, car(list)));
	return string(text.bytes, text.length);
}

static value string_symbol(const struct primitive *self, int count, value *args)
{
	struct string *string = need_string(self, args[0]);

	(void)count;
	return &intern(string->bytes, string->length)->object;
}

static value symbol_string(const struct primitive *self, int count, value *args)
{
	(void)count;
	return &need_symbol(self, args[0])->name->object;
}

static value symbol_made_up(const struct primitive *self, int count, value *args)
{
	(void)self;
	(void)count;
	(void)args;
	return made_up_symbol("g");
}

static value string_number(const struct primitive *self, int count, value *args)
{
	struct string *string = need_string(self, args[0]);
	value number = strlen(string->bytes) == string->length ? parse_number(string->bytes) : NULL;

	(void)count;
	return number ? number : FALSE;
}

static value number_string(const struct primitive *self, int count, value *args)
{
	struct text text = { .file = NULL };

	(void)count;
	if (!is_integer(args[0]) && !has_tag(args[0], TAG_FLOAT))
		wrong_argument(self, "a number", args[0]);
	print(&text, args[0], false);
	return string(text.bytes, text.length);
}

/* ---- characters ------------------------------------------------------------- */

static value character_integer(const struct primitive *self, int count, value *args)
{
	(void)count;
	return integer(need_character(self, args[0]));
}

static value integer_character(const struct primitive *self, int count, value *args)
{
	(void)count;
	return &characters[need_index(self, args[0], ARRAY_SIZE(characters) - 1)];
}

static value character_compare(const struct primitive *self, int count, value *args)
{
	unsigned char a = need_character(self, args[0]), b = need_character(self, args[1]);

	(void)count;
	return boolean(self->variant == EQUAL ? a == b : a < b);
}

static value character_case(const struct primitive *self, int count, value *args)
{
	unsigned char c = need_character(self, args[0]);

	(void)count;
	return &characters[self->variant == UP ? toupper(c) : tolower(c)];
}

enum { ALPHABETIC, NUMERIC, BLANK };

static value character_class(const struct primitive *self, int count, value *args)
{
	unsigned char c = need_character(self, args[0]);

	(void)count;
	return boolean(self->variant == ALPHABETIC ? isalpha(c) :
		       self->variant == NUMERIC ? isdigit(c) : isspace(c));
}

static struct primitive primitives[] = {
	PRIMITIVE("string-length", string_length, 1, 1, 0),
	PRIMITIVE("string-ref", string_ref, 2, 2, 0),
	PRIMITIVE("string-append", string_append, 0, -1, 0),
	PRIMITIVE("substring", string_substring, 2, 3, 0),
	PRIMITIVE("string=?", string_compare, 2, 2, EQUAL),
	PRIMITIVE("string<?", string_compare, 2, 2, LESS),
	PRIMITIVE("string-upcase", string_case, 1, 1, UP),
	PRIMITIVE("string-downcase", string_case, 1, 1, DOWN),
	PRIMITIVE("string-search", string_search, 2, 2, 0),
	PRIMITIVE("string->list", string_list, 1, 1, 0),
	PRIMITIVE("list->string", list_string, 1, 1, 0),
	PRIMITIVE("string->symbol", string_symbol, 1, 1, 0),
	PRIMITIVE("symbol->string", symbol_string, 1, 1, 0),
	PRIMITIVE("gensym", symbol_made_up, 0, 0, 0),
	PRIMITIVE("string->number", string_number, 1, 1, 0),
	PRIMITIVE("number->string", number_string, 1, 1, 0),
	PRIMITIVE("char->integer", character_integer, 1, 1, 0),
	PRIMITIVE("integer->char", integer_character, 1, 1, 0),
	PRIMITIVE("char=?", character_compare, 2, 2, EQUAL),
	PRIMITIVE("char<?", character_compare, 2, 2, LESS),
	PRIMITIVE("char-upcase", character_case, 1, 1, UP),
	PRIMITIVE("char-downcase", character_case, 1, 1, DOWN),
	PRIMITIVE("char-alphabetic?", character_class, 1, 1, ALPHABETIC),
	PRIMITIVE("char-numeric?", character_class, 1, 1, NUMERIC),
	PRIMITIVE("char-whitespace?", character_class, 1, 1, BLANK),
};

void strings_init(void)
{
	define_primitives(primitives, ARRAY_SIZE(primitives));
}
