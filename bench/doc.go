// Package bench measures wfrt as a whole, in process: durable runs of sandboxed steps over the real store, beside the bare
// limits that they are held to. `make bench` runs it and prints a table with ratios.
package bench
