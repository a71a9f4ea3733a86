//go:build race

package serve

// raceDetector says that the race detector runs, which maps memory of its own as the heap grows.
const raceDetector = true
