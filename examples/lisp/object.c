// SPDX-License-Identifier: MIT
/*
 * Objects: their types, and how they are made.
 */
#include "lisp.h"

#include <string.h>

struct object nil_object = { TAG_NIL, 0 };
struct object true_object = { TAG_BOOLEAN, 0 };
struct object false_object = { TAG_BOOLEAN, 0 };
struct object unspecified_object = { TAG_UNSPECIFIED, 0 };
struct object tail_call_object = { TAG_INTERNAL, 0 };
struct object eof_object = { TAG_INTERNAL, 0 };
struct object characters[256];

#define FIRST_BUCKETS	256

/* An array of @words pointers as one object, of a type of its own. */
static int frame_type_register(uint32_t words)
{
	static const char *const name = "struct frame";
	uint8_t mask[FRAME_TYPES / 8 + 1] = { 0 };
	struct gcheap_type_desc desc = {
		.name = name,
		.size = words * sizeof(void *),
		.align = _Alignof(void *),
		.ptr_bytes = words * sizeof(void *),
		.ptr_mask = mask,
	};
	uint32_t i;

	for (i = 0; i < words; i++)
		mask[i / 8] |= (uint8_t)(1u << i % 8);
	return gcheap_type_register(lisp.heap, &desc, &lisp.frame_types[words]);
}

/*
 * Tells the collector where pointers are, and what it starts from. What has no
 * pointers needs no type: it is allocated as leaves.
 */
int objects_init(void)
{
	uint8_t one_pointer = 1;
	struct gcheap_type_desc slot = {
		.name = "value",
		.size = sizeof(value),
		.align = _Alignof(value),
		.ptr_bytes = sizeof(value),
		.ptr_mask = &one_pointer,
	};
	uint32_t i;
	int error;

	lisp.pair_type = GCHEAP_TYPE(lisp.heap, struct pair, car, cdr);
	lisp.string_type = GCHEAP_TYPE(lisp.heap, struct string, bytes);
	lisp.symbol_type = GCHEAP_TYPE(lisp.heap, struct symbol, name, global, next);
	lisp.vector_type = GCHEAP_TYPE(lisp.heap, struct vector, items);
	lisp.closure_type = GCHEAP_TYPE(lisp.heap, struct closure, lambda, env);
	lisp.node_type = GCHEAP_TYPE(lisp.heap, struct node, datum, first, second, third, next);
	if (!lisp.pair_type || !lisp.string_type || !lisp.symbol_type || !lisp.vector_type ||
	    !lisp.closure_type || !lisp.node_type)
		return -1;
	/*
	 * Frames come in many lengths. Arrays of slots would do; but types of their
	 * own let the usual lengths be allocated inline, as any other object.
	 */
	error = gcheap_type_register(lisp.heap, &slot, &lisp.slot_type);
	for (i = 1; i <= FRAME_TYPES && !error; i++)
		error = frame_type_register(i);
	if (!error)
		error = gcheap_root_add(lisp.heap, &lisp.roots,
					sizeof(lisp.roots) / sizeof(void *));
	if (error)
		return error;

	for (i = 0; i < ARRAY_SIZE(characters); i++)
		characters[i].tag = TAG_CHARACTER;
	return 0;
}

void out_of_memory(void)
{
	fail("%s", gcheap_error());
}

/* ---- objects without pointers ----------------------------------------------- */

void *leaf(size_t bytes)
{
	void *memory = gcheap_new_leaf(lisp.thread, bytes);

	if (!memory)
		out_of_memory();
	return memory;
}

value boxed_integer(int64_t number)
{
	struct integer *integer = leaf(sizeof(*integer));

	integer->object.tag = TAG_INTEGER;
	integer->number = number;
	return &integer->object;
}

value real(double number)
{
	struct real *real = leaf(sizeof(*real));

	real->object.tag = TAG_FLOAT;
	real->number = number;
	return &real->object;
}

/* ---- objects with pointers -------------------------------------------------- */

/*
 * Two objects, because a type says of each word whether it is a pointer: text
 * cannot be in an array of pointers. The new leaf is known to this function only
 * while the second allocation runs, and that may collect; but it is on the stack.
 */
value string(const char *bytes, size_t length)
{
	char *copy = leaf(length + 1);
	struct string *string = allocate(lisp.string_type);

	if (length)
		memcpy(copy, bytes, length);
	string->object.tag = TAG_STRING;
	string->length = length;
	store(&string->bytes, copy);
	return &string->object;
}

value string_of(const char *text)
{
	return string(text, strlen(text));
}

/* Not empty. */
value *slot_array(size_t length)
{
	value *items = gcheap_new_array(lisp.thread, lisp.slot_type, length);

	if (!items)
		out_of_memory();
	return items;
}

value vector(size_t length, value fill)
{
	value *items = length ? slot_array(length) : NULL;
	struct vector *vector = allocate(lisp.vector_type);
	size_t i;

	vector->object.tag = TAG_VECTOR;
	vector->length = length;
	store(&vector->items, items);
	for (i = 0; i < length; i++)
		store(&items[i], fill);
	return &vector->object;
}

value closure(struct node *lambda, struct frame *env)
{
	struct closure *closure = allocate(lisp.closure_type);

	closure->object.tag = TAG_CLOSURE;
	store(&closure->lambda, lambda);
	store(&closure->env, env);
	return &closure->object;
}

struct frame *frame(uint32_t slots, struct frame *parent)
{
	uint32_t words = slots + 1;
	struct frame *frame;

	if (words <= FRAME_TYPES)
		frame = allocate(lisp.frame_types[words]);
	else
		frame = (struct frame *)slot_array(words);
	store(&frame->parent, parent);
	return frame;
}

/* ---- symbols ---------------------------------------------------------------- */

static uint64_t hash_of(const char *bytes, size_t length)
{
	uint64_t hash = 14695981039346656037u;	/* FNV-1a */
	size_t i;

	for (i = 0; i < length; i++)
		hash = (hash ^ (unsigned char)bytes[i]) * 1099511628211u;
	return hash;
}

static struct symbol *symbol_new(const char *bytes, size_t length)
{
	value name = string(bytes, length);
	struct symbol *symbol = allocate(lisp.symbol_type);

	symbol->object.tag = TAG_SYMBOL;
	store(&symbol->name, name);
	return symbol;
}

/* Makes the symbol table or doubles it; the old one is garbage. */
static void symbols_grow(void)
{
	size_t old_buckets = lisp.symbol_buckets, i;
	size_t buckets = old_buckets ? old_buckets * 2 : FIRST_BUCKETS;
	struct symbol **old = lisp.roots.symbols;
	struct symbol **new = (struct symbol **)slot_array(buckets);

	for (i = 0; i < old_buckets; i++) {
		struct symbol *symbol = old[i], *next;

		for (; symbol; symbol = next) {
			struct symbol **bucket = &new[symbol->hash % buckets];

			next = symbol->next;
			store(&symbol->next, *bucket);
			store(bucket, symbol);
		}
	}
	/* A root is no object: it is stored to as any variable. */
	lisp.roots.symbols = new;
	lisp.symbol_buckets = buckets;
}

struct symbol *intern(const char *bytes, size_t length)
{
	uint64_t hash = hash_of(bytes, length);
	struct symbol **bucket, *symbol;

	if (lisp.symbol_count == lisp.symbol_buckets)
		symbols_grow();
	bucket = &lisp.roots.symbols[hash % lisp.symbol_buckets];
	for (symbol = *bucket; symbol; symbol = symbol->next) {
		if (symbol->hash == hash && symbol->name->length == length &&
		    !memcmp(symbol->name->bytes, bytes, length))
			return symbol;
	}
	symbol = symbol_new(bytes, length);
	symbol->hash = hash;
	store(&symbol->next, *bucket);
	store(bucket, symbol);
	lisp.symbol_count++;
	return symbol;
}

value symbol(const char *name)
{
	return &intern(name, strlen(name))->object;
}

/* A symbol that is no other one's equal, whatever its name. */
value made_up_symbol(const char *name)
{
	return &symbol_new(name, strlen(name))->object;
}

void define_primitives(struct primitive *primitives, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++) {
		const char *name = primitives[i].name;

		store(&intern(name, strlen(name))->global, &primitives[i].object);
	}
}

void define_syntaxes(struct syntax *syntaxes, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++) {
		const char *name = syntaxes[i].name;

		/* Not a pointer to the collector, which has not been told of it. */
		intern(name, strlen(name))->syntax = &syntaxes[i];
	}
}

/* ---- arguments -------------------------------------------------------------- */

void wrong_argument(const struct primitive *self, const char *wanted, value v)
{
	fail_value(v, "%s: wants %s, not", self->name, wanted);
}

struct pair *need_pair(const struct primitive *self, value v)
{
	if (!is_pair(v))
		wrong_argument(self, "a pair", v);
	return (struct pair *)v;
}

struct string *need_string(const struct primitive *self, value v)
{
	if (!has_tag(v, TAG_STRING))
		wrong_argument(self, "a string", v);
	return (struct string *)v;
}

struct vector *need_vector(const struct primitive *self, value v)
{
	if (!has_tag(v, TAG_VECTOR))
		wrong_argument(self, "a vector", v);
	return (struct vector *)v;
}

int64_t need_integer(const struct primitive *self, value v)
{
	if (!is_integer(v))
		wrong_argument(self, "an integer", v);
	return integer_number(v);
}

/* An integer from 0 to @limit. */
size_t need_index(const struct primitive *self, value v, size_t limit)
{
	int64_t index = need_integer(self, v);

	if (index < 0 || (uint64_t)index > limit)
		fail_value(v, "%s: out of range (0 to %zu)", self->name, limit);
	return (size_t)index;
}
