// Package runtimetest holds what tests of the runtime's seams share: the conformance suites that every adapter passes, the
// in-memory fakes that pass them too, and native steps.
package runtimetest

import "strconv"

func chainStatus(i int) string { return "s" + strconv.Itoa(i) }
