// SPDX-License-Identifier: MIT
/*
 * The program: options, the heap, and what happens when something goes wrong.
 *
 *	lisp [--stats] [FILE]
 */
#include "lisp.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "../figures.h"

#define STACK_BYTES_MAX	(64u << 20)

struct lisp lisp;

/* ---- errors ----------------------------------------------------------------- */

/* Fills lisp.message; what is too long is cut off. */
static __attribute__((format(printf, 1, 0))) void set_message(const char *format, va_list args)
{
	vsnprintf(lisp.message, sizeof(lisp.message), format, args);
}

void fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	set_message(format, args);
	va_end(args);
	longjmp(lisp.catcher->buffer, 1);
}

void fail_value(value v, const char *format, ...)
{
	struct text text = { .bytes = lisp.message, .fixed = true };
	va_list args;

	va_start(args, format);
	set_message(format, args);
	va_end(args);
	text.length = strlen(lisp.message);
	text.capacity = sizeof(lisp.message) - 1;
	/*
	 * Printing fails where recursion is too deep already, or the value is. Then
	 * that is the message.
	 */
	text_put(&text, ": ", 2);
	print(&text, v, true);
	lisp.message[text.length] = '\0';
	longjmp(lisp.catcher->buffer, 1);
}

/* (exit): to main(), past everything that would catch an error. */
void leave(int status)
{
	struct catcher *catcher = lisp.catcher;

	while (catcher->outer)
		catcher = catcher->outer;
	lisp.exiting = true;
	lisp.exit_status = status;
	longjmp(catcher->buffer, 1);
}

/* In one line, whatever it says. */
static void report(void)
{
	char *c;

	fflush(stdout);
	for (c = lisp.message; *c; c++) {
		if ((unsigned char)*c < ' ')
			*c = ' ';
	}
	fprintf(stderr, "lisp: %s:", lisp.file);
	if (lisp.line)
		fprintf(stderr, "%u:", lisp.line);
	fprintf(stderr, " %s\n", lisp.message);
}

/*
 * Recursion in Lisp is recursion in C, so the C stack is the limit. A quarter stays
 * free: for the collector, for errors, and for the arguments of this program, which
 * are at the stack's other end and may take that much.
 */
static void find_stack_end(void)
{
	struct rlimit limit;
	size_t bytes = STACK_BYTES_MAX;

	if (!getrlimit(RLIMIT_STACK, &limit) && limit.rlim_cur < bytes)
		bytes = limit.rlim_cur;
	lisp.stack_end = (uintptr_t)__builtin_frame_address(0) - bytes / 4 * 3;
}

/* ---- running ---------------------------------------------------------------- */

/* Form by form, so that one may use what the one before has defined. */
static void run(struct source *source, bool interactive)
{
	struct text out = { .file = stdout };

	for (;;) {
		value form, v;

		if (interactive) {
			printf("> ");
			fflush(stdout);
		}
		form = read_form(source);
		if (form == END_OF_FILE) {
			if (source->file && ferror(source->file))
				fail("cannot be read");
			return;
		}
		lisp.line = source->line;
		v = eval(compile(form, NULL), NULL);
		if (interactive && v != UNSPECIFIED) {
			print(&out, v, true);
			putchar('\n');
		}
	}
}

/* What a program finds when it starts. */
static void prepare(void)
{
	struct source source = { .text = prelude, .end = prelude + strlen(prelude) };

	lisp.file = "prelude";
	compile_init();
	numbers_init();
	lists_init();
	strings_init();
	system_init();
	syntax_init();
	run(&source, false);
}

/* Returns the exit status. */
static int run_program(struct source *source, const char *name, bool interactive)
{
	struct catcher catcher = { .outer = NULL };

	/* All errors arrive here, but those that the program catches. */
	while (setjmp(catcher.buffer)) {
		int c;

		if (lisp.exiting)
			return lisp.exit_status;
		report();
		if (!interactive || !lisp.ready)
			return 1;
		/* What is left of the line would only be the next error. */
		do {
			c = getc(source->file);
		} while (c != '\n' && c != EOF);
		source->line++;
	}
	lisp.catcher = &catcher;
	if (!lisp.ready)
		prepare();
	lisp.ready = true;
	lisp.file = name;
	run(source, interactive);
	if (interactive)
		putchar('\n');
	return 0;
}

/* Opens the heap, runs the program, closes the heap. */
static int run_in_heap(struct source *source, const char *name, bool stats)
{
	double start = figures_seconds();
	int status;

	/* The default configuration has conservative stacks: see lisp.h. */
	if (gcheap_open(NULL, &lisp.heap) || gcheap_thread_attach(lisp.heap, &lisp.thread) ||
	    objects_init()) {
		fprintf(stderr, "lisp: %s\n", gcheap_error());
		status = 1;
	} else {
		status = run_program(source, name, source->file == stdin && isatty(0));
		if (fflush(stdout)) {
			fprintf(stderr, "lisp: cannot write the output: %s\n", strerror(errno));
			status = 1;
		}
		if (stats)
			figures_print(stderr, lisp.heap, start);
	}
	/* Both do nothing for NULL. */
	gcheap_thread_detach(lisp.thread);
	gcheap_close(lisp.heap);
	return status;
}

static int usage(FILE *file, int status)
{
	fputs("usage: lisp [--stats] [FILE]\n"
	      "Runs the Lisp program in FILE, or on standard input.\n"
	      "  --stats  when it ends, print what the collector did to standard error\n",
	      file);
	return status;
}

int main(int argc, char **argv)
{
	struct source source = { .file = stdin, .line = 1 };
	const char *name = "standard input";
	bool stats = false;
	int i = 1, status;

	if (argc > 1 && !strcmp(argv[1], "--help"))
		return usage(stdout, 0);
	if (argc > 1 && !strcmp(argv[1], "--stats")) {
		stats = true;
		i++;
	}
	if (argc > i + 1 || (argc == i + 1 && argv[i][0] == '-'))
		return usage(stderr, 2);
	if (argc == i + 1) {
		name = argv[i];
		source.file = fopen(name, "r");
		if (!source.file) {
			fprintf(stderr, "lisp: %s: %s\n", name, strerror(errno));
			return 1;
		}
	}
	find_stack_end();
	status = run_in_heap(&source, name, stats);
	if (source.file != stdin)
		fclose(source.file);
	return status;
}
