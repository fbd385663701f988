// SPDX-License-Identifier: MIT
/*
 * Prints data as text.
 */
#include "lisp.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- text ------------------------------------------------------------------- */

/* The old bytes are garbage; the collector finds them when it gets there. */
static void text_grow(struct text *text, size_t length)
{
	size_t capacity = text->capacity ? text->capacity : 64;
	char *bytes;

	while (capacity < length)
		capacity *= 2;
	bytes = leaf(capacity);
	if (text->length)
		memcpy(bytes, text->bytes, text->length);
	text->bytes = bytes;
	text->capacity = capacity;
}

void text_put(struct text *text, const char *bytes, size_t length)
{
	if (text->file) {
		fwrite(bytes, 1, length, text->file);
		return;
	}
	if (length > text->capacity - text->length) {
		if (text->fixed)
			length = text->capacity - text->length;
		else
			text_grow(text, text->length + length);
	}
	if (length)
		memcpy(text->bytes + text->length, bytes, length);
	text->length += length;
}

void text_char(struct text *text, char c)
{
	text_put(text, &c, 1);
}

static void text_string(struct text *text, const char *string)
{
	text_put(text, string, strlen(string));
}

/* Whatever comes now will be cut off. */
static bool text_full(const struct text *text)
{
	return text->fixed && text->length == text->capacity;
}

/* ---- printing --------------------------------------------------------------- */

static void print_real(struct text *text, double number)
{
	char digits[40];
	int precision = 15;

	if (isnan(number)) {
		text_string(text, "+nan.0");
		return;
	}
	if (isinf(number)) {
		text_string(text, number > 0 ? "+inf.0" : "-inf.0");
		return;
	}
	/* As short as can be without being another number. */
	do {
		snprintf(digits, sizeof(digits), "%.*g", precision, number);
	} while (strtod(digits, NULL) != number && precision++ < 17);
	text_string(text, digits);
	if (!strpbrk(digits, ".e"))
		text_string(text, ".0");
}

static void print_quoted(struct text *text, const struct string *string)
{
	size_t i;

	text_char(text, '"');
	for (i = 0; i < string->length; i++) {
		char c = string->bytes[i];

		if (c == '"' || c == '\\') {
			text_char(text, '\\');
			text_char(text, c);
		} else if (c == '\n') {
			text_string(text, "\\n");
		} else if (c == '\t') {
			text_string(text, "\\t");
		} else {
			text_char(text, c);
		}
	}
	text_char(text, '"');
}

static void print_character(struct text *text, value v, bool quote)
{
	char c = (char)(v - characters);

	if (!quote)
		text_char(text, c);
	else if (c == ' ')
		text_string(text, "#\\space");
	else if (c == '\n')
		text_string(text, "#\\newline");
	else if (c == '\t')
		text_string(text, "#\\tab");
	else {
		text_string(text, "#\\");
		text_char(text, c);
	}
}

static void print_list(struct text *text, value list, bool quote)
{
	text_char(text, '(');
	for (;;) {
		print(text, car(list), quote);
		list = cdr(list);
		if (!is_pair(list) || text_full(text))
			break;
		text_char(text, ' ');
	}
	if (list != NIL) {
		text_string(text, " . ");
		print(text, list, quote);
	}
	text_char(text, ')');
}

static void print_vector(struct text *text, const struct vector *vector, bool quote)
{
	size_t i;

	text_string(text, "#(");
	for (i = 0; i < vector->length && !text_full(text); i++) {
		if (i)
			text_char(text, ' ');
		print(text, vector->items[i], quote);
	}
	text_char(text, ')');
}

static void print_procedure(struct text *text, const char *what, const char *name)
{
	text_string(text, "#<");
	text_string(text, what);
	if (name) {
		text_char(text, ' ');
		text_string(text, name);
	}
	text_char(text, '>');
}

/* @quote: as it would be read: strings with quotes, and so on. */
void print(struct text *text, value v, bool quote)
{
	char digits[24];

	if (text_full(text))
		return;
	check_stack();
	if (is_integer(v)) {
		snprintf(digits, sizeof(digits), "%" PRId64, integer_number(v));
		text_string(text, digits);
		return;
	}
	switch (v->tag) {
	case TAG_NIL:
		text_string(text, "()");
		break;
	case TAG_BOOLEAN:
		text_string(text, v == TRUE ? "#t" : "#f");
		break;
	case TAG_CHARACTER:
		print_character(text, v, quote);
		break;
	case TAG_FLOAT:
		print_real(text, ((struct real *)v)->number);
		break;
	case TAG_STRING: {
		const struct string *string = (struct string *)v;

		if (quote)
			print_quoted(text, string);
		else
			text_put(text, string->bytes, string->length);
		break;
	}
	case TAG_SYMBOL: {
		const struct string *name = ((struct symbol *)v)->name;

		text_put(text, name->bytes, name->length);
		break;
	}
	case TAG_PAIR:
		print_list(text, v, quote);
		break;
	case TAG_VECTOR:
		print_vector(text, (struct vector *)v, quote);
		break;
	case TAG_CLOSURE: {
		value name = ((struct closure *)v)->lambda->datum;

		print_procedure(text, "procedure",
				name ? ((struct symbol *)name)->name->bytes : NULL);
		break;
	}
	case TAG_PRIMITIVE:
		print_procedure(text, "procedure", ((struct primitive *)v)->name);
		break;
	case TAG_SYNTAX:
		print_procedure(text, "syntax", ((struct syntax *)v)->name);
		break;
	default:
		print_procedure(text, "unspecified", NULL);
		break;
	}
}
