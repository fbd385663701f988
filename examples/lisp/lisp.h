/* SPDX-License-Identifier: MIT */
/*
 * A small Lisp whose every object lives in a gcheap heap.
 *
 * The way of a program through the interpreter:
 *
 *	read.c		text to data: lists, symbols, numbers, strings
 *	syntax.c	derived forms (let*, do, cond, ...) to the few basic ones
 *	compile.c	basic forms to a tree of nodes, variables to positions
 *	eval.c		runs the tree
 *	print.c		data to text
 *
 * object.c makes objects; numbers.c, lists.c, strings.c and system.c hold the
 * procedures that a program finds, with a few more in Lisp in prelude.c; main.c
 * opens the heap.
 *
 * How it uses the collector
 * -------------------------
 *
 * Types.	Each struct below that holds pointers is a type that the collector
 *	knows (objects_init()), so in the heap nothing is guessed: a number in an
 *	object never keeps another object alive. Text, floats and large integers
 *	have no pointers at all ("leaves") and are never read by the marker.
 *
 * Values.	A slot of a precise type holds NULL, the address of an object, or
 *	an address outside the heap, which the marker passes over. Two things
 *	here use the last: constants such as NIL are variables of this program,
 *	and small integers are words with the top bit set, which no address in
 *	user space has.
 *
 * Roots.	struct lisp has a few precise global ones. All else that C code
 *	holds (arguments, half-made lists) is in local variables, and the heap
 *	is opened with conservative stacks: the collector looks at stack and
 *	registers for whatever could be an address of an object. An interpreter
 *	has hundreds of such variables; to declare each as a precise root, with
 *	GCHEAP_FRAME(), costs time at run time, and the one forgotten is a bug
 *	that shows rarely. The price of looking is small: a stale word on the
 *	stack may keep an object longer than needed.
 *
 * Stores.	Pointers are stored in objects through store(), which is
 *	gcheap_store(): a plain store today, and all that a heap needs that marks
 *	beside the program.
 *
 * There is no malloc() and no free() anywhere, and an error may leave any number of
 * functions by longjmp(): what they had allocated is garbage, and that is all.
 */
#ifndef LISP_H
#define LISP_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <gcheap.h>

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

/* ---- values ----------------------------------------------------------------- */

enum tag {
	TAG_NIL,
	TAG_BOOLEAN,
	TAG_UNSPECIFIED,
	TAG_CHARACTER,
	TAG_INTEGER,
	TAG_FLOAT,
	TAG_STRING,
	TAG_SYMBOL,
	TAG_PAIR,
	TAG_VECTOR,
	TAG_CLOSURE,
	TAG_PRIMITIVE,
	TAG_SYNTAX,
	TAG_INTERNAL,
};

/**
 * struct object - what all objects begin with
 * @tag: enum tag. The collector's types say where pointers are; which kind an
 *	object is at run time, a language has to know by itself
 * @line: of a pair that was read: its line in the source; else 0
 */
struct object {
	uint32_t tag;
	uint32_t line;
};
typedef struct object *value;

struct pair {
	struct object object;
	value car, cdr;
};

/* An integer that is too large for a word with a mark. */
struct integer {
	struct object object;
	int64_t number;
};

struct real {
	struct object object;
	double number;
};

/* Bytes, which may be UTF-8, and a zero byte behind them. They do not change. */
struct string {
	struct object object;
	size_t length;
	char *bytes;
};

struct vector {
	struct object object;
	size_t length;
	value *items;
};

/**
 * struct symbol - a name, of which there is one object only, or a made-up variable
 * @name: its text
 * @global: the global variable of this name; NULL: has no value
 * @syntax: the syntax of this name, outside the heap; or NULL
 * @next: in the same bucket of the symbol table
 * @hash: of the name
 */
struct symbol {
	struct object object;
	struct string *name;
	value global;
	const struct syntax *syntax;
	struct symbol *next;
	uint64_t hash;
};

/**
 * struct frame - the variables of a call or a let
 * @parent: the frame around it
 * @slots: the variables; NULL: has no value yet
 */
struct frame {
	struct frame *parent;
	value slots[];
};

enum node_kind {
	NODE_CONSTANT,		/* datum */
	NODE_LOCAL,		/* depth, index; datum: the name */
	NODE_GLOBAL,		/* datum: the symbol */
	NODE_SET_LOCAL,		/* depth, index, first: the value; datum: the name */
	NODE_SET_GLOBAL,	/* datum: the symbol, first */
	NODE_DEFINE,		/* datum: the symbol, first */
	NODE_IF,		/* first, second, third */
	NODE_LAMBDA,		/* first: the body; datum: the name; slots, required, rest */
	NODE_SEQUENCE,		/* first: list of nodes */
	NODE_AND,		/* first: list of nodes */
	NODE_OR,		/* first: list of nodes */
	NODE_LET,		/* first: the body, second: list of values; slots */
	NODE_CALL,		/* first: the procedure, second: list of arguments; count */
};

/**
 * struct node - a piece of compiled program
 * @kind: enum node_kind, which says what the other members are
 * @line: in the source; 0: none
 * @depth: frames between the use of a variable and its own
 * @index: its slot there
 * @slots: of the frame that a lambda or let makes
 * @required: parameters of a lambda, not counting the rest
 * @rest: the lambda takes more arguments, as a list
 * @count: arguments of a call
 * @datum: a constant, or a name
 * @first: operand
 * @second: operand
 * @third: operand
 * @next: in a list of nodes
 */
struct node {
	uint32_t kind;
	uint32_t line;
	union {
		struct {
			uint32_t depth, index;
		};
		struct {
			uint32_t slots;
			uint16_t required;
			bool rest;
		};
		uint32_t count;
	};
	value datum;
	struct node *first, *second, *third;
	struct node *next;
};

struct closure {
	struct object object;
	struct node *lambda;
	struct frame *env;
};

/**
 * struct primitive - a procedure in C
 * @name: its name in Lisp
 * @function: the procedure; it may trust that the number of arguments is right
 * @min: least number of arguments
 * @max: most; -1: any number
 * @variant: for functions that are several procedures
 */
struct primitive {
	struct object object;
	const char *name;
	value (*function)(const struct primitive *self, int count, value *args);
	int min, max;
	int variant;
};
#define PRIMITIVE(...)	{ { TAG_PRIMITIVE, 0 }, __VA_ARGS__ }

struct scope;

/**
 * struct syntax - a form that is no call
 * @name: the symbol that starts it
 * @compile: the basic form to a node; or
 * @rewrite: the derived form to a simpler one
 */
struct syntax {
	struct object object;
	const char *name;
	struct node *(*compile)(value form, struct scope *scope);
	value (*rewrite)(value form);
};

/* Constants: objects outside the heap. */
extern struct object nil_object, true_object, false_object, unspecified_object;
extern struct object tail_call_object, eof_object;
extern struct object characters[256];
#define NIL		(&nil_object)
#define TRUE		(&true_object)
#define FALSE		(&false_object)
#define UNSPECIFIED	(&unspecified_object)
#define TAIL_CALL	(&tail_call_object)	/* from a primitive to eval.c */
#define END_OF_FILE	(&eof_object)		/* from read_form() */

/*
 * Small integers are no objects but words: the top bit is set, the other 63 are the
 * number. Addresses in user space have it clear.
 */
#define SMALL_MARK	(UINT64_C(1) << 63)
#define SMALL_MIN	(-(INT64_C(1) << 62))
#define SMALL_MAX	((INT64_C(1) << 62) - 1)

static inline bool is_small(value v)
{
	return (uint64_t)(uintptr_t)v & SMALL_MARK;
}

static inline int64_t small_number(value v)
{
	return (int64_t)((uint64_t)(uintptr_t)v << 1) >> 1;
}

static inline bool has_tag(value v, enum tag tag)
{
	return !is_small(v) && v->tag == tag;
}

static inline value boolean(bool b)
{
	return b ? TRUE : FALSE;
}

static inline bool is_true(value v)
{
	return v != FALSE;
}

static inline bool is_pair(value v)
{
	return has_tag(v, TAG_PAIR);
}

static inline bool is_symbol(value v)
{
	return has_tag(v, TAG_SYMBOL);
}

/* What is known to be a pair. */
static inline value car(value v)
{
	return ((struct pair *)v)->car;
}

static inline value cdr(value v)
{
	return ((struct pair *)v)->cdr;
}

/* ---- the interpreter -------------------------------------------------------- */

/* Frames of up to so many words, parent included, have a type each. */
#define FRAME_TYPES	16

/* Where an error goes: see error_try() in system.c. */
struct catcher {
	struct catcher *outer;
	jmp_buf buffer;
};

/**
 * struct roots - what the collector starts from, besides the stack
 *
 * All members are pointers: the struct is registered as an array of slots.
 *
 * @symbols: the symbol table: an array of lists of symbols
 * @tail_function: what a primitive wants to be called in its place,
 * @tail_arguments: with this list
 */
struct roots {
	struct symbol **symbols;
	value tail_function;
	value tail_arguments;
};

struct lisp {
	struct gcheap *heap;
	struct gcheap_thread *thread;
	gcheap_type pair_type, string_type, symbol_type, vector_type, closure_type;
	gcheap_type node_type, slot_type;
	gcheap_type frame_types[FRAME_TYPES + 1];

	struct roots roots;
	size_t symbol_count, symbol_buckets;

	/* errors */
	struct catcher *catcher;
	const char *file;	/* for messages */
	uint32_t line;		/* of what runs, or is read or compiled; 0: none */
	bool ready;		/* the prelude has run */
	char message[320];
	uintptr_t stack_end;	/* C code must not go below */
	int exit_status;	/* once exiting */
	bool exiting;
};
extern struct lisp lisp;

/* Store a pointer in an object. */
static inline void store(void *slot, void *pointer)
{
	gcheap_store(lisp.thread, slot, pointer);
}

/* main.c: an error of the program that runs: does not return. One line. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same, followed by ": " and a value. */
_Noreturn void fail_value(value v, const char *format, ...) __attribute__((format(printf, 2, 3)));
_Noreturn void leave(int status);

static inline void check_stack(void)
{
	if ((uintptr_t)__builtin_frame_address(0) < lisp.stack_end)
		fail("recursion too deep");
}

/* ---- object.c --------------------------------------------------------------- */

int objects_init(void);
_Noreturn void out_of_memory(void);

static inline void *allocate(gcheap_type type)
{
	void *object = gcheap_new(lisp.thread, type);

	if (__builtin_expect(!object, 0))
		out_of_memory();
	return object;
}

static inline value cons(value head, value tail)
{
	struct pair *pair = allocate(lisp.pair_type);

	pair->object.tag = TAG_PAIR;
	store(&pair->car, head);
	store(&pair->cdr, tail);
	return &pair->object;
}

value boxed_integer(int64_t number);
static inline value integer(int64_t number)
{
	if (__builtin_expect(number < SMALL_MIN || number > SMALL_MAX, 0))
		return boxed_integer(number);
	return (value)(uintptr_t)((uint64_t)number | SMALL_MARK);
}

value real(double number);
value string(const char *bytes, size_t length);
value string_of(const char *text);
value vector(size_t length, value fill);
value *slot_array(size_t length);
void *leaf(size_t bytes);
value closure(struct node *lambda, struct frame *env);
struct frame *frame(uint32_t slots, struct frame *parent);
struct symbol *intern(const char *bytes, size_t length);
value symbol(const char *name);
value made_up_symbol(const char *name);
void define_primitives(struct primitive *primitives, size_t count);
void define_syntaxes(struct syntax *syntaxes, size_t count);

static inline bool is_integer(value v)
{
	return is_small(v) || v->tag == TAG_INTEGER;
}

static inline int64_t integer_number(value v)
{
	return is_small(v) ? small_number(v) : ((struct integer *)v)->number;
}

/* Arguments of primitives: what they must be, or an error. */
_Noreturn void wrong_argument(const struct primitive *self, const char *wanted, value v);
struct pair *need_pair(const struct primitive *self, value v);
struct string *need_string(const struct primitive *self, value v);
struct vector *need_vector(const struct primitive *self, value v);
int64_t need_integer(const struct primitive *self, value v);
size_t need_index(const struct primitive *self, value v, size_t limit);

/* ---- read.c, print.c -------------------------------------------------------- */

/**
 * struct source - where a program comes from
 * @file: a file; or NULL, and
 * @text: the rest of a text
 * @end: its end
 * @line: the line that was reached, from 1; 0 all the time: lines are not of interest
 */
struct source {
	FILE *file;
	const char *text, *end;
	uint32_t line;
};
value read_form(struct source *source);		/* END_OF_FILE after the last */
value parse_number(const char *text);		/* NULL: it is none */

/**
 * struct text - where text goes: a file, or bytes that grow in the heap
 * @file: a file; or NULL, and
 * @bytes: what was written so far,
 * @length: so much,
 * @capacity: with room for so much
 * @fixed: the bytes are not in the heap and do not grow: the rest is cut off
 */
struct text {
	FILE *file;
	char *bytes;
	size_t length, capacity;
	bool fixed;
};
void text_put(struct text *text, const char *bytes, size_t length);
void text_char(struct text *text, char c);
void print(struct text *text, value v, bool quote);

/* ---- syntax.c, compile.c, eval.c -------------------------------------------- */

void syntax_init(void);
void compile_init(void);
_Noreturn void bad_form(value form, const char *what);
value syntax_object(const char *name);
struct node *compile(value form, struct scope *scope);
value eval(struct node *node, struct frame *env);
value apply(value function, int count, value *args);

/* ---- what programs find ----------------------------------------------------- */

void numbers_init(void);
void lists_init(void);
void strings_init(void);
void system_init(void);
extern const char prelude[];

long list_length(value list);			/* -1: not a list, or one without end */
value reverse(value list);
value append(value list, value tail);
value vector_to_list(value vector);
value list_to_vector(value list);

#endif /* LISP_H */
