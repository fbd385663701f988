; SPDX-License-Identifier: MIT
;
; A tour of this Lisp. What it prints is in tour.expected, so it is a test as well.

(define (title text)
  (newline)
  (display "---- ")
  (displayln text))

; Prints what it is given, as it would be read.
(define (show . values)
  (let loop ((values values))
    (write (car values))
    (if (null? (cdr values))
        (newline)
        (begin (display "  ") (loop (cdr values))))))

; ------------------------------------------------------------------------------
(title "numbers")

(show 42 -7 3.25 -0.5 1e3 1e100)
(show (+ 1 2) (+) (*) (- 5) (- 10 1 2) (* 2 3 4))
(show (/ 6 3) (/ 1 4) (/ 2.0 3))
(show (quotient 17 5) (remainder -17 5) (modulo -17 5) (modulo 17 -5))
(show (expt 2 62) (expt 2.0 0.5) (sqrt 49) (sqrt 2))
(show (max 3 9 2) (min 3 9 2) (max 1 2.5) (abs -5) (gcd 12 18))
(show (floor 2.7) (round 2.5) (round 3.5) (truncate -2.7) (exact (ceiling 2.1)))
(show (= 1 1.0) (< 1 2 3) (< 1 3 2) (>= 3 3 1) (even? 10) (odd? 10) (zero? 0.0))

; Integers have 64 bits; those that do not fit a tagged word live in the heap.
(show 9223372036854775807 -9223372036854775808)
(show (+ 4611686018427387903 1) (- -4611686018427387904 1) (* 3037000499 3037000499))
(show (eqv? (expt 2 62) (expt 2 62)) (- (expt 2 62) (expt 2 62)))

; ------------------------------------------------------------------------------
(title "booleans, characters, strings, symbols")

(show #t #f (not 3) (not #f))
(show #\a #\space #\newline (char->integer #\A) (integer->char 122) (char-upcase #\q))
(show "say \"hi\"\n" (string-length "hello") (string-ref "hello" 1))
(show (string-append "con" "cat" "enate") (substring "hello" 1 3) (string-upcase "shout"))
(show (string=? "a" "a") (string<? "apple" "banana") (string-search "na" "banana"))
(show (string->list "abc") (list->string (list #\x #\y)) (string #\o #\k))
(show (string->number "12.5") (string->number "twelve") (number->string 255))
(show 'symbol (string->symbol "made") (symbol->string 'name) (eq? 'a 'a))
(show (eq? (gensym) (gensym)) (string-join (list "a" "b" "c") ", ") (string-join '() "-"))

; ------------------------------------------------------------------------------
(title "pairs and lists")

(define squares (map (lambda (x) (* x x)) (iota 10)))
(show squares)
(show (car squares) (cadr squares) (cddr '(1 2 3)) (length squares) (reverse '(1 2 3)))
(show (append '(1 2) '(3) '() '(4 5)) (list-tail squares 7) (list-ref squares 3))
(show (cons 1 2) '(1 . (2 . (3 . ()))) '(1 2 . 3))
(show (memq 'c '(a b c d)) (member "b" '("a" "b")) (memv 9 '(1 2)))
(show (assq 'b '((a 1) (b 2))) (assoc "x" '(("x" . 10))) (assv 5 '()))
(show (map + '(1 2 3) '(10 20 30)) (filter odd? (iota 8)) (fold-left + 0 (iota 101)))
(show (fold-left cons '() '(1 2)) (fold-right cons '() '(1 2)) (reduce max 0 '(3 8 5)))
(show (apply + 1 2 '(3 4)) (apply max squares) (list? squares) (list? '(1 . 2)))
(show (equal? '(1 (2 #(3))) '(1 (2 #(3)))) (eqv? "a" "a") (equal? 1 1.0))
(for-each (lambda (name age) (show name age)) '(ada grace) '(36 85))

(define cell (cons 'old 'tail))
(set-car! cell 'new)
(set-cdr! cell '())
(show cell)

; ------------------------------------------------------------------------------
(title "vectors")

(define v (make-vector 5 'empty))
(vector-set! v 0 'first)
(vector-set! v 4 'last)
(show v (vector-ref v 4) (vector-length v))
(show #(1 2 3) (vector 1 "two" #\3) (vector->list #(a b)) (list->vector '(x y)))
(show (vector-map (lambda (x) (* 2 x)) #(1 2 3)) (vector-copy #(0 1 2 3 4) 1 3) (make-vector 0))

; ------------------------------------------------------------------------------
(title "conditions")

(define (sign x)
  (cond ((< x 0) 'negative)
        ((> x 0) 'positive)
        (else 'zero)))
(show (sign -2) (sign 0) (sign 2))
(show (cond ((assv 'b '((a 1) (b 2))) => cadr) (else 'none)) (cond (#f 1)) (cond (7)))

(define (kind x)
  (case x
    ((0) 'zero)
    ((1 3 5 7 9) 'odd)
    ((2 4 6 8) 'even)
    ((a b) 'letter)
    (else 'other)))
(show (map kind '(0 7 4 b 10)))
(show (and) (and 1 2) (and #f (error "not reached")) (or) (or #f 3) (or 1 (error "nor here")))
(show (when (> 1 0) 'yes 'of-course) (unless (> 1 0) 'no))
(show (if #f #f))

; ------------------------------------------------------------------------------
(title "variables and scopes")

(define x 'global)
(define (get-x) x)
(show (let ((x 'local)) (list x (get-x))))
(show (let* ((a 1) (b (+ a 1)) (c (* b 10))) (list a b c)))
(show (letrec ((even? (lambda (n) (or (= n 0) (odd? (- n 1)))))
               (odd? (lambda (n) (and (not (= n 0)) (even? (- n 1))))))
        (list (even? 100) (odd? 100))))
(set! x 'changed)
(show (get-x))

; Definitions in a body belong to it, and may use each other.
(define (area-and-rim radius)
  (define pi 3.14159)
  (define (area) (* pi square))
  (define square (* radius radius))
  (list (area) (* 2 pi radius)))
(show (area-and-rim 3))

; A variable may hide syntax, and syntax does not care about variables.
(show (let ((if list)) (if 1 2 3)))
(show (let ((list vector) (memv #f)) (case 1 ((1) `(still ,x)) (else 'no))))

; ------------------------------------------------------------------------------
(title "procedures")

(define (make-counter)
  (let ((count 0))
    (lambda () (set! count (+ count 1)) count)))
(define one (make-counter))
(define two (make-counter))
(one)
(one)
(show (one) (two))

(define (compose . functions)
  (if (null? functions)
      (lambda (x) x)
      (lambda (x) ((car functions) ((apply compose (cdr functions)) x)))))
(show ((compose sqrt abs -) 16) ((lambda all all) 1 2 3) ((lambda (a . more) more) 1 2 3))
(define (optional a . rest) (if (null? rest) a (car rest)))
(show (optional 1) (optional 1 2) (procedure? optional) (procedure? 'optional))
(show car optional (lambda () 1))
(show (map (lambda (f) (f 16)) (list sqrt number->string list)))
(show ((lambda (a b c d e f g h i j k l m n o p q r) (list a r)) 1 2 3 4 5 6 7 8 9 10 11 12 13
       14 15 16 17 18))
(show (list 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20))

; ------------------------------------------------------------------------------
(title "loops")

(show (let loop ((i 0) (sum 0)) (if (= i 1000000) sum (loop (+ i 1) (+ sum i)))))
(show (do ((i 0 (+ i 1)) (powers '() (cons (expt 2 i) powers))) ((= i 10) powers)))
(define (ping n) (if (= n 0) 'done (pong (- n 1))))
(define (pong n) (cond ((= n 0) 'done) (else (and #t (or #f (apply ping (list (- n 1))))))))
(show (ping 300000))

; Each round of a loop has its own variables.
(show (map (lambda (f) (f))
           (let loop ((i 0)) (if (= i 3) '() (cons (lambda () i) (loop (+ i 1)))))))

; ------------------------------------------------------------------------------
(title "quasiquote")

(define n 3)
(define some '(a b))
(show `(n is ,n) `(,@some and ,@(map list some)) `(1 . ,n) `#(vector ,n ,@some))
(show `(nested `(stays ,(as it ,(+ n 1)))) `(,@'() . end) '`(x ,y ,@z))

; ------------------------------------------------------------------------------
(title "programs are data")

(define program '(let ((x 20)) (+ x 1)))
(show program (eval program) (eval (list '* 2 (list 'quote 21))))
(show (read-string "(a \"b\" #(1 2) . c) ; and a comment"))
(eval '(define (made-by-eval x) (* x 100)))
(show (made-by-eval 3))

; ------------------------------------------------------------------------------
(title "errors")

(define (attempt thunk) (try thunk (lambda (message) message)))
(define (attempt-eval text) (attempt (lambda () (eval (read-string text)))))

(show (attempt (lambda () 'fine)))
(show (attempt (lambda () (error "my own:" 'symbol "string" '(1 2)))))
(show (try (lambda () (attempt (lambda () (car 1))) (error "outer")) string-upcase))
(for-each
 (lambda (text) (displayln (attempt-eval text)))
 '("(car 5)" "(vector-ref (vector 1 2) 2)" "(+ 1 \"2\")" "(undefined-variable)" "(set! nowhere 1)"
   "(5 5)" "((lambda (x) x))" "(car 1 2)" "(/ 1 0)" "(* 4611686018427387904 2)"
   "(letrec ((a b) (b 1)) a)" "(assert (= 1 2))" "(string->symbol 'a)" "(length '(1 . 2))"
   "(list-tail '(1 2) 3)" "(hash #f)" "(exact 1.5)" "(make-vector -1)" "(apply car '(1 2))"))
(for-each
 (lambda (text) (displayln (attempt-eval text)))
 '("(if)" "(let ((x)) x)" "(lambda (x x) x)" "(define 5 1)" "(cond (else))" "(quote)" "(if . 1)"
   "(lambda (x))" "(let ((x 1) . y) x)" "(+ 1 (define z 2))" "(lambda () (if 1 (define z 2)))"
   "if" "()" "(unquote x)" "(1 2" "\"abc" ")" "#x10" "(1 . 2 3)" "123456789012345678901"))

; Endless recursion ends with an error, and the program goes on.
(define (endless n) (+ 1 (endless n)))
(show (attempt (lambda () (endless 1))))
(define deep (let loop ((i 0) (list '())) (if (= i 1000000) list (loop (+ i 1) (cons list '())))))
(show (attempt (lambda () (equal? deep (list deep)))))

; A list without end is no list.
(define circle (list 1 2 3))
(set-cdr! (cddr circle) circle)
(show (list? circle) (attempt (lambda () (length '(1 2 . 3)))))

; ------------------------------------------------------------------------------
(title "the collector")

; A list of a million numbers is garbage as soon as its sum is known.
(define (figure name) (cdr (assq name (gc-stats))))
(define (sum-of-many) (fold-left + 0 (iota 1000000)))
(define cycles-before (figure 'cycles))
(show (sum-of-many))
(gc)
(show (> (figure 'cycles) cycles-before))
(show (< (figure 'live-bytes) (quotient (figure 'allocated-bytes) 2)))

; What can be reached survives as it was.
(define tree
  (let build ((depth 10))
    (if (= depth 0) '() (list (build (- depth 1)) (number->string depth) (build (- depth 1))))))
(define (count-nodes tree)
  (if (null? tree) 0 (+ 1 (count-nodes (car tree)) (count-nodes (caddr tree)))))
(do ((i 0 (+ i 1))) ((= i 3)) (iota 100000) (gc))
(show (count-nodes tree) (cadr tree) (one) squares)
(displayln "that was the tour")
