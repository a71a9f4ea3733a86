//go:build !race

// Package race says whether the race detector runs, for tests of what costs far more under it or maps memory because of it.
package race

// Detector says whether the race detector runs.
const Detector = false
