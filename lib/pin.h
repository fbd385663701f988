/* SPDX-License-Identifier: MIT */
/*
 * Objects that are roots themselves: those that were pinned, and those that were allocated so
 * (pin.c).
 */
#ifndef GCHEAP_LIB_PIN_H
#define GCHEAP_LIB_PIN_H

#include <stdbool.h>
#include <stdint.h>

struct gcheap;

/* Makes an object a root until it is freed: 0; -ENOMEM, with gcheap_error() set. */
int pin_uncollectable(struct gcheap *heap, void *obj);

/* Mark them all. The lock of the specials is held. Return: how many bytes it went through. */
uint64_t pins_mark(struct gcheap *heap);

#endif /* GCHEAP_LIB_PIN_H */
