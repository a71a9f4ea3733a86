//go:build race

package race

// Detector says whether the race detector runs.
const Detector = true
