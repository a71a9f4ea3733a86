// Command benchtable runs the benchmarks of this repository and prints what they measured as a table, followed by each budget
// with the figure that is held to it: ratios come from one run on one machine.
//
// Usage, from the top of the repository: go run ./bench/cmd/benchtable [-bench REGEXP] [-benchtime 1s]
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"text/tabwriter"
)

func main() {
	bench := flag.String("bench", ".", "run only the benchmarks that match")
	benchtime := flag.String("benchtime", "1s", "how long each one runs")
	flag.Parse()
	if err := run(*bench, *benchtime); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(bench, benchtime string) error {
	test := exec.Command("go", "test", "-run", "^$", "-p", "1", "-bench", bench, "-benchtime", benchtime, "-benchmem", "./...")
	test.Stderr = os.Stderr
	out, err := test.StdoutPipe()
	if err != nil {
		return err
	}
	if err := test.Start(); err != nil {
		return err
	}
	results, failed, err := parse(out)
	if err != nil {
		return err
	}
	if err := test.Wait(); err != nil {
		return fmt.Errorf("go test -bench: %w\n%s", err, failed)
	}
	printResults(os.Stdout, results)
	printBudgets(os.Stdout, results)
	return nil
}

// result is one line of `go test -bench`: a benchmark and its figures by unit.
type result struct {
	pkg    string
	name   string // without "Benchmark" and the number of processors
	values map[string]float64
}

var resultLine = regexp.MustCompile(`^Benchmark(\S+?)(-\d+)?\s+\d+\s+(.+)$`)

// parse reads the results, telling on standard error how far it is, and returns all other lines too.
func parse(r io.Reader) (results []result, other string, err error) {
	var rest strings.Builder
	pkg := ""
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		if p, ok := strings.CutPrefix(line, "pkg: github.com/wfrt/wfrt/"); ok {
			pkg = p
		}
		m := resultLine.FindStringSubmatch(line)
		if m == nil {
			rest.WriteString(line + "\n")
			continue
		}
		fmt.Fprintln(os.Stderr, pkg, line)
		fields := strings.Fields(m[3])
		values := map[string]float64{}
		for i := 0; i+1 < len(fields); i += 2 {
			v, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return nil, "", fmt.Errorf("read %q: %w", line, err)
			}
			values[fields[i+1]] = v
		}
		results = append(results, result{pkg: pkg, name: m[1], values: values})
	}
	return results, rest.String(), lines.Err()
}

func printResults(w io.Writer, results []result) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "PACKAGE\tBENCHMARK\tNS/OP\tB/OP\tALLOCS/OP\tMORE")
	for _, r := range results {
		var more []string
		for unit, v := range r.values {
			switch unit {
			case "ns/op", "B/op", "allocs/op":
			default:
				more = append(more, fmt.Sprintf("%s %s", figure(v), unit))
			}
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", r.pkg, r.name, figure(r.values["ns/op"]), figure(r.values["B/op"]),
			figure(r.values["allocs/op"]), strings.Join(more, ", "))
	}
	_ = table.Flush()
}

// budget is a figure that a benchmark is held to.
type budget struct {
	what  string
	value func(find finder) (float64, bool)
	limit float64
	least bool // the limit is the least allowed, not the most
	unit  string
}

// finder returns a figure of a benchmark.
type finder func(name, unit string) (float64, bool)

func budgets() []budget {
	return []budget{
		{"one run of 5 steps, durable, WASM, p50", of("Workflow/5", "p50-ms"), 0.5, false, "ms"},
		{"one run of 10 steps, durable, WASM, p50", of("Workflow/10", "p50-ms"), 0.6, false, "ms"},
		{"one run of 100 steps, durable, WASM, p50", of("Workflow/100", "p50-ms"), 2, false, "ms"},
		{"throughput, 1,000 runs at a time, durable, WASM", of("Throughput/wasm", "steps/s"), 50_000, true, "steps/s"},
		{"the same, of a bare loop of (wazero call + Pebble batch)", ratio("Throughput/wasm", "ThroughputBare", "steps/s"), 0.5, true, "×"},
		{"the same with the relay on, of that without", ratio("Throughput/wasm-relay", "Throughput/wasm", "steps/s"), 0.8, true, "×"},
		{"the same with Kafka away, of that with it", of("Outage", "ratio"), 0.9, true, "×"},
		{"memory while events wait for Kafka and are drained", of("Backlog", "peak-MB"), 512, false, "MB"},
		{"relay, CPU of an event to a null sink", of("Relay", "CPU-µs/event"), 10, false, "µs"},
		{"200,000 runs on timers: restart to ready", of("WaitingRuns/200000", "s-to-ready"), 2, false, "s"},
		{"the same, all due at once: timeouts fired a second", of("WaitingRuns/200000", "fired/s"), 20_000, true, "/s"},
		{"1,000,000 runs on timers: restart to ready", of("WaitingRuns/1000000", "s-to-ready"), 3, false, "s"},
		{"the same: memory while they wait", of("WaitingRuns/1000000", "MB-waiting"), 512, false, "MB"},
		{"the same, all due at once: timeouts fired a second", of("WaitingRuns/1000000", "fired/s"), 20_000, true, "/s"},
		{"a timeout's lateness at 200,000 waiting, steps beside, p99", of("TimerLateness/8-clients-beside", "p99-ms-late"), 10, false, "ms"},
		{"host overhead of one invocation beyond the bare wazero call", of("Invoke", "ns/overhead"), 3000, false, "ns"},
		{"fuel metering of a JSON step, median of pairs", of("Fuel/json", "metered-ratio"), 1.15, false, "×"},
		{"fuel metering of a tight loop, median of pairs", of("Fuel/loop", "metered-ratio"), 1.5, false, "×"},
		{"pauses for garbage collection beside two endless guests, p99", of("Collection/beside-endless", "pause-p99-ms"), 5, false, "ms"},
		{"a fresh invocation of a lean Go guest", of("Isolation/fresh", "ns/op"), 30_000, false, "ns"},
		{"a new instance, in fresh invocations", ratio("Isolation/new-instance", "Isolation/fresh", "ns/op"), 100, true, "×"},
		{"p99 of a good workflow beside hostile guests, of that alone", of("BesideHostile", "p99-ratio"), 2, false, "×"},
	}
}

func of(name, unit string) func(finder) (float64, bool) {
	return func(find finder) (float64, bool) { return find(name, unit) }
}

func ratio(name, to, unit string) func(finder) (float64, bool) {
	return func(find finder) (float64, bool) {
		a, okA := find(name, unit)
		b, okB := find(to, unit)
		return a / b, okA && okB
	}
}

func printBudgets(w io.Writer, results []result) {
	find := func(name, unit string) (float64, bool) {
		for _, r := range results {
			if r.name == name {
				v, ok := r.values[unit]
				return v, ok
			}
		}
		return 0, false
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\nBUDGET\tMEASURED\tALLOWED\t")
	for _, b := range budgets() {
		v, ok := b.value(find)
		if !ok {
			continue
		}
		sign, kept := "≤", v <= b.limit
		if b.least {
			sign, kept = "≥", v >= b.limit
		}
		verdict := "kept"
		if !kept {
			verdict = "MISSED"
		}
		fmt.Fprintf(table, "%s\t%s %s\t%s %s %s\t%s\n", b.what, figure(v), b.unit, sign, figure(b.limit), b.unit, verdict)
	}
	_ = table.Flush()
}

// figure prints three significant digits, or a whole number.
func figure(v float64) string {
	if v >= 100 || v == float64(int64(v)) {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}
