//go:build wasip1

// Command guest is a plugin for the tests of package host, written against docs/abi.md with nothing but the standard library. What
// its one step does, the object says: {"do":"panic"}.
package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log"
	mathrand "math/rand/v2"
	"os"
	"time"
	"unsafe"
)

//go:wasmimport wfrt_v1 field_read
func fieldRead(field int32, buf unsafe.Pointer, limit uint32) int32

//go:wasmimport wfrt_v1 field_write
func fieldWrite(field int32, ptr unsafe.Pointer, size uint32)

//go:wasmimport wfrt_v1 log
func logLine(level int32, ptr unsafe.Pointer, size uint32)

const manifest = `{"abi":1,"version":"7","workflows":[{"name":"mood","handlers":[` +
	`{"id":3,"kind":"step","name":"ask","status":"asked","to":["done"]}],"terminal":["done"]}]}`

func write(field int32, value string) {
	fieldWrite(field, unsafe.Pointer(unsafe.StringData(value)), uint32(len(value)))
}

//go:wasmexport wfrt_manifest
func writeManifest() { write(68, manifest) }

var buf [64 << 10]byte

//go:wasmexport wfrt_invoke
func invoke(int32) int32 {
	n := fieldRead(1, unsafe.Pointer(&buf), uint32(len(buf)))
	var object struct {
		Do string `json:"do"`
	}
	if err := json.Unmarshal(buf[:n], &object); err != nil {
		write(66, err.Error())
		return 7
	}
	result := "done"
	switch object.Do {
	case "panic":
		panic("the cat is out")
	case "nil":
		var p *int
		*p++
	case "exit0":
		os.Exit(0)
	case "exit3":
		os.Exit(3)
	case "recurse":
		fmt.Println(recurse(1))
	case "bomb":
		var kept [][]byte
		for {
			kept = append(kept, make([]byte, 1<<20))
		}
	case "print":
		fmt.Println("to stdout")
		log.SetFlags(0)
		log.Print("to stderr")
		line := `{"msg":"to the host","n":1,"run_id":"forged"}`
		logLine(4, unsafe.Pointer(unsafe.StringData(line)), uint32(len(line)))
	case "sleep":
		time.Sleep(50 * time.Hour)
	case "nap":
		began := time.Now()
		time.Sleep(3 * time.Second)
		result = time.Since(began).String()
	case "random":
		var b [4]byte
		rand.Read(b[:])
		result = fmt.Sprintf("%x", b)
	case "remember":
		remembered++
		result = fmt.Sprint(remembered)
	case "shuffle":
		result = fmt.Sprint(mathrand.Int64())
	case "world":
		_, err := os.ReadFile("/etc/passwd")
		result = fmt.Sprint(len(os.Args), len(os.Environ()), err != nil)
	}
	object.Do = result
	out, _ := json.Marshal(object)
	write(64, string(out))
	write(65, "done")
	return 1
}

var remembered int

func recurse(n int) int {
	var frame [1024]byte
	frame[n%1024] = byte(n)
	return recurse(n+1) + int(frame[(n+1)%1024])
}

func main() {}
