// SPDX-License-Identifier: MIT

// The workloads of bench/programs and the graphs of bench/mark_graph in Go, whose collector is a
// peer. Runs as a process of theirs, in turns with other systems.
//
//	go-peer trees | trees-2 | trees-8 | gcbench | list DEPTH NODES
//
// writes a struct result: the sum, 8 bytes, and nanoseconds, a double.
//
//	go-peer graph SHAPE OBJECTS MARKERS
//
// builds a graph as bench/mark_graph.c does, writes how many objects it has, and then, for each
// 8 bytes that it reads, marks it once and writes for how many nanoseconds, a double.
package main

import (
	"encoding/binary"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"time"
)

type tree struct {
	left, right *tree
}

type node struct {
	left, right *node
	i, j        int32
}

// ---- binary-trees

func treeMake(depth int) *tree {
	t := &tree{}
	if depth > 0 {
		t.left = treeMake(depth - 1)
		t.right = treeMake(depth - 1)
	}
	return t
}

func treeCount(t *tree) uint64 {
	if t.left == nil {
		return 1
	}
	return 1 + treeCount(t.left) + treeCount(t.right)
}

func treesAll(depth int) uint64 {
	sum := treeCount(treeMake(depth + 1))
	longLived := treeMake(depth)
	for d := 4; d <= depth; d += 2 {
		n := 1 << (depth - d + 4)
		for i := 0; i < n; i++ {
			sum += treeCount(treeMake(d))
		}
	}
	return sum + treeCount(longLived)
}

func trees(depth, threads int) uint64 {
	sums := make([]uint64, threads)
	var parts sync.WaitGroup
	for i := range sums {
		parts.Add(1)
		go func() {
			sums[i] = treesAll(depth)
			parts.Done()
		}()
	}
	parts.Wait()
	var sum uint64
	for _, s := range sums {
		sum += s
	}
	return sum
}

// ---- GCBench

const (
	stretchDepth = 18
	longDepth    = 16
	arrayNumbers = 500000
)

func nodeMake(depth int) *node {
	if depth == 0 {
		return &node{}
	}
	left := nodeMake(depth - 1)
	right := nodeMake(depth - 1)
	return &node{left: left, right: right}
}

func nodePopulate(depth int, n *node) {
	if depth == 0 {
		return
	}
	n.left = &node{}
	n.right = &node{}
	nodePopulate(depth-1, n.left)
	nodePopulate(depth-1, n.right)
}

func nodeCount(n *node) uint64 {
	if n == nil {
		return 0
	}
	return 1 + nodeCount(n.left) + nodeCount(n.right)
}

func treeSize(depth int) int {
	return 1<<(depth+1) - 1
}

var sink *node

func gcbench() uint64 {
	var sum uint64
	sink = nodeMake(stretchDepth)
	sink = nil
	longLived := &node{}
	nodePopulate(longDepth, longLived)
	array := make([]float64, arrayNumbers)
	for i := 0; i < arrayNumbers/2; i++ {
		array[i] = 1 / float64(i+1)
	}
	for depth := 4; depth <= 16; depth += 2 {
		n := 2 * treeSize(stretchDepth) / treeSize(depth)
		for i := 0; i < n; i++ {
			made := &node{}
			nodePopulate(depth, made)
			if made.left != nil {
				sum++
			}
		}
		for i := 0; i < n; i++ {
			if nodeMake(depth).left != nil {
				sum++
			}
		}
	}
	sum += nodeCount(longLived)
	if array[1000] != 1.0/1001 {
		panic("the array has changed")
	}
	return sum
}

// ---- a long list

var head, garbage *tree

func list(nodes int) uint64 {
	for i := 0; i < nodes; i++ {
		head = &tree{left: head}
		if i%2 == 1 {
			garbage = &tree{left: head}
		}
	}
	garbage = nil
	var sum uint64
	for t := head; t != nil; t = t.left {
		sum++
	}
	return sum
}

// ---- graphs

type node64 struct {
	to   [4]*node64
	rest [4]uint64
}

type nodeKib struct {
	to   [16]*nodeKib
	rest [112]uint64
}

type node24 struct {
	left, right *node24
	rest        uint64
}

type cell struct {
	next *cell
	rest uint64
}

type leaf [2]uint64

var root any

// The generator of bench.h, with the seed of mark_graph.c.
type random uint64

func (r *random) next() uint64 {
	x := uint64(*r)
	x ^= x >> 12
	x ^= x << 25
	x ^= x >> 27
	*r = random(x)
	return x * 0x2545f4914f6cdd1d
}

func tree24(depth int) *node24 {
	n := &node24{}
	if depth > 0 {
		n.left = tree24(depth - 1)
		n.right = tree24(depth - 1)
	}
	return n
}

// Returns how many objects were made; in a random graph a few of them cannot be reached.
func graph(shape string, n int) int {
	seed := random(0x9e3779b97f4a7c15)
	switch shape {
	case "random", "order":
		all := make([]*node64, n)
		for i := range all {
			all[i] = &node64{}
		}
		for i := range all {
			for e := range all[i].to {
				if shape == "random" {
					all[i].to[e] = all[uint32(seed.next()%uint64(n))]
				} else if child := i*4 + 1 + e; child < n {
					all[i].to[e] = all[child]
				}
			}
		}
		root = all[0]
	case "kib":
		all := make([]*nodeKib, n)
		for i := range all {
			all[i] = &nodeKib{}
		}
		for i := range all {
			for e := range all[i].to {
				all[i].to[e] = all[uint32(seed.next()%uint64(n))]
			}
		}
		root = all[0]
	case "tree":
		depth := 0
		for 4<<depth <= n+1 {
			depth++
		}
		root = tree24(depth)
		return 2<<depth - 1
	case "list":
		var first *cell
		for i := 0; i < n; i++ {
			first = &cell{next: first}
		}
		root = first
	case "array":
		all := make([]*leaf, n)
		for i := range all {
			all[i] = &leaf{}
		}
		root = all
		return n + 1
	default:
		panic("no such shape")
	}
	return n
}

// LastGC is when marking ended; the sweep comes after.
func mark() float64 {
	var stats runtime.MemStats
	begin := time.Now().UnixNano()
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return float64(int64(stats.LastGC) - begin)
}

func write(words ...uint64) {
	var bytes []byte
	for _, word := range words {
		bytes = binary.NativeEndian.AppendUint64(bytes, word)
	}
	if _, err := os.Stdout.Write(bytes); err != nil {
		os.Exit(1)
	}
}

func serve(shape string, n, markers int) {
	request := make([]byte, 8)
	runtime.GOMAXPROCS(markers)
	count := graph(shape, n)
	debug.SetGCPercent(-1)
	// What the graph was made with is garbage.
	runtime.GC()
	write(uint64(count))
	for {
		if n, _ := os.Stdin.Read(request); n != len(request) {
			return
		}
		write(math.Float64bits(mark()))
	}
}

func number(word string) int {
	n, err := strconv.Atoi(word)
	if err != nil {
		panic(err)
	}
	return n
}

func main() {
	if os.Args[1] == "graph" {
		serve(os.Args[2], number(os.Args[3]), number(os.Args[4]))
		return
	}
	depth, nodes := number(os.Args[2]), number(os.Args[3])
	begin := time.Now()
	var sum uint64
	switch os.Args[1] {
	case "trees":
		sum = trees(depth, 1)
	case "trees-2":
		sum = trees(depth, 2)
	case "trees-8":
		sum = trees(depth-2, 8)
	case "gcbench":
		sum = gcbench()
	case "list":
		sum = list(nodes)
	default:
		panic("no such program")
	}
	write(sum, math.Float64bits(float64(time.Since(begin).Nanoseconds())))
}
