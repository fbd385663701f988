// SPDX-License-Identifier: MIT
/*
 * Procedures that are as well written in Lisp. They run before the program.
 */
#include "lisp.h"

const char prelude[] =
"(define (list-copy list) (append list '()))"
"(define (fold-left f start list)"
"  (if (null? list) start (fold-left f (f start (car list)) (cdr list))))"
"(define (fold-right f end list)"
"  (fold-left (lambda (result element) (f element result)) end (reverse list)))"
"(define (reduce f default list)"
"  (if (null? list) default (fold-left f (car list) (cdr list))))"
"(define (append-map f list) (apply append (map f list)))"
"(define (string-join strings separator)"
"  (if (null? strings)"
"      \"\""
"      (apply string-append (car strings)"
"             (append-map (lambda (s) (list separator s)) (cdr strings)))))"
"(define (string . characters) (list->string characters))"
"(define (vector-map f v) (list->vector (map f (vector->list v))))"
"(define (vector-for-each f v)"
"  (do ((i 0 (+ i 1))) ((= i (vector-length v))) (f (vector-ref v i))))"
"(define (displayln x) (display x) (newline))";
