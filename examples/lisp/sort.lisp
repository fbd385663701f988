; SPDX-License-Identifier: MIT
;
; Merge sort of a list and quicksort of a vector, with the same pseudo-random numbers.

(define size 50000)

; ---- numbers: a linear congruential generator, the same on all machines

(define (next-random x) (modulo (+ (* x 1103515245) 12345) 2147483648))

(define (random-list count)
  (let loop ((count count) (x 42) (numbers '()))
    (if (= count 0)
        numbers
        (loop (- count 1) (next-random x) (cons (quotient x 256) numbers)))))

; ---- merge sort: makes new lists, and leaves the old ones to the collector

; Builds the result back to front, in constant stack, and turns it round.
(define (merge a b)
  (let loop ((a a) (b b) (result '()))
    (cond ((null? a) (append (reverse result) b))
          ((null? b) (append (reverse result) a))
          ((< (car b) (car a)) (loop a (cdr b) (cons (car b) result)))
          (else (loop (cdr a) b (cons (car a) result))))))

; The first count elements of a list, sorted.
(define (sort-first count list)
  (if (= count 1)
      (cons (car list) '())
      (let ((half (quotient count 2)))
        (merge (sort-first half list)
               (sort-first (- count half) (list-tail list half))))))

(define (merge-sort list)
  (if (null? list) '() (sort-first (length list) list)))

; ---- quicksort: in place

(define (swap! v i j)
  (let ((x (vector-ref v i)))
    (vector-set! v i (vector-ref v j))
    (vector-set! v j x)))

; Moves what is less than the middle element to the front; yields its new place.
(define (partition! v low high)
  (swap! v low (quotient (+ low high) 2))
  (let ((pivot (vector-ref v low)))
    (let loop ((i (+ low 1)) (last low))
      (cond ((> i high) (swap! v low last) last)
            ((< (vector-ref v i) pivot)
             (swap! v i (+ last 1))
             (loop (+ i 1) (+ last 1)))
            (else (loop (+ i 1) last))))))

(define (quicksort! v)
  (let sort ((low 0) (high (- (vector-length v) 1)))
    (when (< low high)
      (let ((middle (partition! v low high)))
        (sort low (- middle 1))
        (sort (+ middle 1) high)))))

; ---- both, and checks

(define (sorted? list)
  (or (null? list)
      (null? (cdr list))
      (and (<= (car list) (cadr list)) (sorted? (cdr list)))))

; Depends on the order, and is the same for equal lists.
(define (checksum list)
  (fold-left (lambda (sum x) (modulo (+ (* sum 31) x) 1000000007)) 0 list))

(define numbers (random-list size))
(define by-merging (merge-sort numbers))
(define in-place (list->vector numbers))
(quicksort! in-place)

(define (report what list)
  (display what)
  (display (if (sorted? list) "sorted, " "NOT SORTED, "))
  (display (length list))
  (display " numbers, checksum ")
  (displayln (checksum list)))

(report "merge sort of a list:  " by-merging)
(report "quicksort of a vector: " (vector->list in-place))
(displayln (if (equal? by-merging (vector->list in-place))
               "both are the same"
               "THEY DIFFER"))
