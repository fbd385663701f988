// SPDX-License-Identifier: MIT
/*
 * Reads data from text.
 */
#include "lisp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What ends a symbol or number. */
static bool is_delimiter(int c)
{
	return c == EOF || strchr(" \t\n\r\f()\"';`,", c);
}

static int next_char(struct source *source)
{
	int c;

	if (source->file)
		c = getc(source->file);
	else
		c = source->text < source->end ? (unsigned char)*source->text++ : EOF;
	if (c == '\n' && source->line)
		source->line++;
	return c;
}

static void put_back(struct source *source, int c)
{
	if (c == EOF)
		return;
	if (c == '\n' && source->line)
		source->line--;
	if (source->file)
		ungetc(c, source->file);
	else
		source->text--;
}

static int peek_char(struct source *source)
{
	int c = next_char(source);

	put_back(source, c);
	return c;
}

/* The next character that means something. */
static int skip_blanks(struct source *source)
{
	int c;

	do {
		c = next_char(source);
		if (c == ';') {
			do {
				c = next_char(source);
			} while (c != '\n' && c != EOF);
		}
	} while (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f');
	return c;
}

static _Noreturn void bad_text(uint32_t line, const char *what)
{
	lisp.line = line;
	fail("%s", what);
}

/* NULL: @text is no number. */
value parse_number(const char *text)
{
	const char *digits = text + (*text == '+' || *text == '-');
	char *end;
	long long number;
	double real_number;

	/* strtod() would take more: inf, nan, 0x10, 1e5 with blanks before it. */
	if (!strpbrk(digits, "0123456789") || strspn(digits, "0123456789.eE+-") != strlen(digits) ||
	    *digits == 'e' || *digits == 'E' || *digits == '+' || *digits == '-')
		return NULL;
	errno = 0;
	number = strtoll(text, &end, 10);
	if (!*end) {
		if (errno)
			fail("integer does not fit 64 bits: %.60s", text);
		return integer(number);
	}
	real_number = strtod(text, &end);
	return *end ? NULL : real(real_number);
}

static value read_atom(struct source *source, int c)
{
	struct text token = { .file = NULL };
	value number;

	for (;;) {
		text_char(&token, (char)c);
		c = peek_char(source);
		if (is_delimiter(c))
			break;
		next_char(source);
	}
	text_char(&token, '\0');
	lisp.line = source->line;
	number = parse_number(token.bytes);
	return number ? number : &intern(token.bytes, token.length - 1)->object;
}

static value read_string(struct source *source)
{
	struct text text = { .file = NULL };
	uint32_t start = source->line;
	int c;

	for (;;) {
		c = next_char(source);
		if (c == '"')
			return string(text.bytes, text.length);
		if (c == '\\') {
			c = next_char(source);
			if (c == 'n')
				c = '\n';
			else if (c == 't')
				c = '\t';
			else if (c != '"' && c != '\\' && c != EOF)
				bad_text(source->line, "unknown escape in a string: use \\n \\t \\\" \\\\");
		}
		if (c == EOF)
			bad_text(start, "the string that starts here has no end");
		text_char(&text, (char)c);
	}
}

static value read_character(struct source *source)
{
	static const struct {
		const char *name;
		char c;
	} names[] = { { "space", ' ' }, { "newline", '\n' }, { "tab", '\t' } };
	struct text name = { .file = NULL };
	int c = next_char(source);
	size_t i;

	if (c == EOF)
		bad_text(source->line, "#\\ at the end of the program");
	for (;;) {
		text_char(&name, (char)c);
		c = peek_char(source);
		if (is_delimiter(c))
			break;
		next_char(source);
	}
	if (name.length == 1)
		return &characters[(unsigned char)name.bytes[0]];
	text_char(&name, '\0');
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		if (!strcmp(name.bytes, names[i].name))
			return &characters[(unsigned char)names[i].c];
	}
	lisp.line = source->line;
	fail("unknown character: #\\%.60s", name.bytes);
}

static value read_value(struct source *source);

/* The elements up to the closing parenthesis; a loop, so that long lists need no stack. */
static value read_list(struct source *source)
{
	uint32_t start = source->line;
	value first = NIL;
	struct pair *last = NULL;

	for (;;) {
		int c = skip_blanks(source);
		value element, pair;
		uint32_t line = source->line;

		if (c == ')')
			return first;
		if (c == EOF)
			bad_text(start, "the list that starts here has no end");
		if (c == '.' && is_delimiter(peek_char(source))) {
			if (!last)
				bad_text(line, "nothing before the dot of a list");
			store(&last->cdr, read_value(source));
			if (skip_blanks(source) != ')')
				bad_text(source->line, "more than one thing after the dot of a list");
			return first;
		}
		put_back(source, c);
		element = read_value(source);
		pair = cons(element, NIL);
		/* A list is said to be on the line of its parenthesis. */
		pair->line = last ? line : start;
		if (last)
			store(&last->cdr, pair);
		else
			first = pair;
		last = (struct pair *)pair;
	}
}

static value read_vector(struct source *source)
{
	value list = read_list(source);

	if (list_length(list) < 0)
		bad_text(source->line, "a vector has no dot");
	return list_to_vector(list);
}

/* 'x is (quote x), and so on. */
static value read_quoted(struct source *source, const char *name)
{
	uint32_t line = source->line;
	value form = cons(symbol(name), cons(read_value(source), NIL));

	form->line = line;
	return form;
}

static value read_hash(struct source *source)
{
	int c = next_char(source);

	if (c == '(')
		return read_vector(source);
	if (c == '\\')
		return read_character(source);
	if ((c == 't' || c == 'f') && is_delimiter(peek_char(source)))
		return boolean(c == 't');
	bad_text(source->line, "unknown: only #t, #f, #( and #\\ may follow #");
}

/* A value after which there is another character, or the end. */
static value read_value(struct source *source)
{
	int c = skip_blanks(source);

	check_stack();
	switch (c) {
	case EOF:
		bad_text(source->line, "the program ends in the middle");
	case '(':
		return read_list(source);
	case '\0':
		bad_text(source->line, "a zero byte: this is no text");
	case ')':
		bad_text(source->line, "a closing parenthesis too many");
	case '\'':
		return read_quoted(source, "quote");
	case '`':
		return read_quoted(source, "quasiquote");
	case ',':
		c = next_char(source);
		if (c == '@')
			return read_quoted(source, "unquote-splicing");
		put_back(source, c);
		return read_quoted(source, "unquote");
	case '"':
		return read_string(source);
	case '#':
		return read_hash(source);
	default:
		return read_atom(source, c);
	}
}

value read_form(struct source *source)
{
	int c = skip_blanks(source);

	if (c == EOF)
		return END_OF_FILE;
	put_back(source, c);
	return read_value(source);
}
