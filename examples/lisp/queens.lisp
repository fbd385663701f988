; SPDX-License-Identifier: MIT
;
; All ways to put n queens on an n by n board so that none attacks another.
;
; Written without a single assignment: each row makes a new list of all boards so
; far with one more queen. Boards share their tails, so only a few megabytes stay
; alive; but every board makes lists of what it attacks, so that hundreds of
; megabytes are allocated on the way. That is what a collector is for.

(define n 11)
(define columns (iota n))

; A board is a list of columns, the last row's first. These are the columns of the
; next row that its queens attack: straight on, and along both diagonals.
(define (attacked board)
  (let ((distances (cdr (iota (+ (length board) 1)))))
    (append (map - board distances) board (map + board distances))))

(define (free-columns board)
  (let ((taken (attacked board)))
    (filter (lambda (column) (not (memv column taken))) columns)))

; All boards of one row more than these.
(define (add-row boards)
  (append-map
   (lambda (board) (map (lambda (column) (cons column board)) (free-columns board)))
   boards))

(define (queens row boards)
  (if (= row n)
      boards
      (queens (+ row 1) (add-row boards))))

(define (print-board board)
  (for-each
   (lambda (queen)
     (for-each (lambda (column) (display (if (= column queen) " Q" " ."))) columns)
     (newline))
   board))

(define solutions (queens 0 '(())))

(display n)
(displayln " queens, the first of all solutions:")
(print-board (car solutions))
(display (length solutions))
(displayln " solutions")
