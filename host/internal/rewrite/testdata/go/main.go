//go:build wasip1

// Command go is a guest that does what guests do: JSON, maps, sorting, strings, recursion, floats, channels and panics.
package main

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"sort"
	"strings"
)

func main() {}

type order struct {
	ID    int            `json:"id"`
	Lines []line         `json:"lines"`
	Notes map[string]any `json:"notes"`
}

type line struct {
	Product string  `json:"product"`
	Price   float64 `json:"price"`
	Count   int     `json:"count"`
}

const document = `{"id":10248,"lines":[{"product":"Queso Cabrales","price":14,"count":12},{"product":"Singaporean Hokkien Fried Mee",` +
	`"price":9.8,"count":10},{"product":"Mozzarella di Giovanni","price":34.8,"count":5}],"notes":{"to":"Reims","weight":32.38,"tags":["a","b"]}}`

// decode decodes and encodes an order a number of times, and answers a hash of the last.
//
//go:wasmexport json
func decode(times int32) int64 {
	var out []byte
	for n := range times {
		var o order
		if err := json.Unmarshal([]byte(document), &o); err != nil {
			panic(err)
		}
		o.ID += int(n)
		var err error
		if out, err = json.Marshal(&o); err != nil {
			panic(err)
		}
	}
	return sum(out)
}

func sum(b []byte) int64 {
	h := fnv.New64a()
	_, _ = h.Write(b)
	return int64(h.Sum64())
}

// spin adds up in a tight loop.
//
//go:wasmexport spin
func spin(times int32) int64 {
	var x uint64 = 1
	for i := range uint64(times) {
		x = x*6364136223846793005 + i
	}
	return int64(x)
}

// words counts and sorts words.
//
//go:wasmexport words
func words(n int32) int64 {
	counts := make(map[string]int)
	for i := range int(n) {
		counts[strings.Repeat("word", i%7)+fmt.Sprint(i%53)]++
	}
	var list []string
	for w, c := range counts {
		list = append(list, fmt.Sprintf("%s=%d", w, c))
	}
	sort.Strings(list)
	return sum([]byte(strings.Join(list, ",")))
}

// fib recurses.
//
//go:wasmexport fib
func fib(n int32) int64 {
	if n < 2 {
		return int64(n)
	}
	return fib(n-1) + fib(n-2)
}

// floats integrates a function.
//
//go:wasmexport floats
func floats(n int32) int64 {
	area := 0.0
	for i := range int(n) {
		x := float64(i) / float64(n)
		area += math.Sin(x) * math.Sqrt(x) / float64(n)
	}
	return int64(math.Float64bits(area))
}

// channels passes numbers through goroutines, and recovers from a panic in one.
//
//go:wasmexport channels
func channels(n int32) int64 {
	in, out := make(chan int64), make(chan int64, 3)
	go func() {
		defer close(out)
		for v := range in {
			func() {
				defer func() {
					if recover() != nil {
						out <- -v
					}
				}()
				if v%5 == 0 {
					panic(v)
				}
				out <- v
			}()
		}
	}()
	go func() {
		for i := range int64(n) {
			in <- i
		}
		close(in)
	}()
	var all []int64
	for v := range out {
		all = append(all, v*v-v)
	}
	slices.Sort(all)
	h := int64(0)
	for _, v := range all {
		h = h*31 + v
	}
	return h
}

// deep recurses to a depth.
//
//go:wasmexport deep
func deep(n int32) int64 {
	if n == 0 {
		return 0
	}
	return deep(n-1) + 1
}

// bytes moves memory about.
//
//go:wasmexport bytes
func bytes(n int32) int64 {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * i)
	}
	for range 10 {
		b = append(b[len(b)/3:], b[:len(b)/3]...)
		clear(b[:len(b)/100])
	}
	return sum(b)
}
