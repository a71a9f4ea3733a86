// Package kafkatest runs Apache Kafka for tests: one node in KRaft mode, from the jars that `make kafka-libs` fetches. A broker can
// be stopped, killed, paused and started again on the same data and port.
//
//	broker.go  one node: its files, its process, its life
//	guarded.go one that asks who comes: TLS, SASL, permissions
//	run/       make kafka-up and kafka-down
package kafkatest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Broker is one node of Kafka. Its methods are called from one goroutine at a time.
type Broker struct {
	Addr string // host:port, the same after each start
	// Listeners are the addresses of Options.Listeners.
	Listeners map[string]string

	dir     string // data, configuration and log
	libs    string
	alone   bool
	process *exec.Cmd
	ended   chan struct{}
}

// Options configures a node.
type Options struct {
	// Detached lets the node live on when this process ends.
	Detached bool
	// Dir is the folder of its data. Required.
	Dir string
	// Listeners are others besides the one in plain text, each with its security protocol: SSL, SASL_PLAINTEXT or SASL_SSL.
	Listeners map[string]string
	// Port to listen on; the next one is the controller's. 0: free ones.
	Port int
	// Properties are lines of server.properties besides ours.
	Properties string
}

// ErrNoLibs says that the jars are missing.
var ErrNoLibs = errors.New("the jars of Kafka are missing: run `make kafka-libs`")

// New makes the files of a node. Start runs it.
func New(ctx context.Context, opt Options) (*Broker, error) {
	libs, err := findLibs()
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(opt.Port, 2+len(opt.Listeners))
	if err != nil {
		return nil, err
	}
	b := &Broker{Addr: "127.0.0.1:" + strconv.Itoa(ports[0]), Listeners: map[string]string{}, dir: opt.Dir, libs: libs, alone: opt.Detached}
	var others, protocols strings.Builder
	for i, name := range slices.Sorted(maps.Keys(opt.Listeners)) {
		b.Listeners[name] = "127.0.0.1:" + strconv.Itoa(ports[2+i])
		fmt.Fprintf(&others, ",%s://%s", name, b.Listeners[name])
		fmt.Fprintf(&protocols, ",%s:%s", name, opt.Listeners[name])
	}
	if _, err := os.Stat(b.properties()); err == nil {
		return b, nil // it was made before
	}
	if err := os.MkdirAll(b.dir, 0o750); err != nil {
		return nil, err
	}
	properties := fmt.Sprintf(`process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:%[2]d
listeners=PLAINTEXT://127.0.0.1:%[1]d,CONTROLLER://127.0.0.1:%[2]d%[5]s
advertised.listeners=PLAINTEXT://127.0.0.1:%[1]d%[5]s
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT%[6]s
log.dirs=%[3]s
num.partitions=3
offsets.topic.num.partitions=3
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=3
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
%[4]s
`, ports[0], ports[1], filepath.Join(b.dir, "logs"), opt.Properties, others.String(), protocols.String())
	if err := os.WriteFile(b.properties(), []byte(properties), 0o600); err != nil {
		return nil, err
	}
	id, err := b.tool(ctx, "random-uuid")
	if err != nil {
		return nil, err
	}
	if _, err := b.tool(ctx, "format", "-t", id, "-c", b.properties()); err != nil {
		return nil, err
	}
	return b, nil
}

func (b *Broker) properties() string { return filepath.Join(b.dir, "server.properties") }

// java is a command of Kafka, with a small heap: it serves a few thousand records.
func (b *Broker) java(ctx context.Context, class string, args ...string) *exec.Cmd {
	args = append([]string{
		"-Xmx512m", "-Xms128m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", filepath.Join(b.libs, "*"), class,
	}, args...)
	return exec.CommandContext(ctx, "java", args...) //nolint:gosec // the arguments are ours
}

// tool runs the storage tool and returns the last line of what it says.
func (b *Broker) tool(ctx context.Context, args ...string) (string, error) {
	cmd := b.java(ctx, "kafka.tools.StorageTool", args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("kafkatest: %s: %w: %s%s", args[0], err, out.Bytes(), errs.Bytes())
	}
	lines := bytes.Split(bytes.TrimSpace(out.Bytes()), []byte("\n"))
	return string(lines[len(lines)-1]), nil
}

// Start runs the node and returns once it answers.
func (b *Broker) Start(ctx context.Context) error {
	if err := b.Begin(); err != nil {
		return err
	}
	return b.Ready(ctx)
}

// Begin runs the node and does not wait.
func (b *Broker) Begin() error {
	log, err := os.OpenFile(filepath.Join(b.dir, "broker.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // the process has its own
	// Not of a context: it is the caller who stops it, by one of several ways.
	cmd := b.java(context.Background(), "kafka.Kafka", b.properties())
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: b.alone}
	if !b.alone {
		cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL // a test that is killed leaves none behind
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("kafkatest: %w", err)
	}
	b.process, b.ended = cmd, make(chan struct{})
	go func(ended chan struct{}) {
		_ = cmd.Wait() // how it ended is told by its log
		close(ended)
	}(b.ended)
	return nil
}

// Ready returns once the node answers, or has ended, or ctx has.
func (b *Broker) Ready(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ended := b.ended
	go func() {
		select {
		case <-ended:
			cancel(fmt.Errorf("kafkatest: the broker ended: see %s", filepath.Join(b.dir, "broker.log")))
		case <-ctx.Done():
		}
	}()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr))
	if err != nil {
		return err
	}
	defer client.Close()
	for {
		err := client.Ping(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("kafkatest: wait for the broker: %w", errors.Join(context.Cause(ctx), err))
		}
	}
}

// Pid is that of the running process.
func (b *Broker) Pid() int { return b.process.Process.Pid }

// Stop ends the node in good order.
func (b *Broker) Stop() error { return b.end(syscall.SIGTERM) }

// Kill ends it at once, as kill -9 does.
func (b *Broker) Kill() error { return b.end(syscall.SIGKILL) }

// Pause stops the process where it stands: its connections stay open, and nothing answers.
func (b *Broker) Pause() error { return b.process.Process.Signal(syscall.SIGSTOP) }

// Resume lets a paused process go on.
func (b *Broker) Resume() error { return b.process.Process.Signal(syscall.SIGCONT) }

// end signals the process and waits until it is gone. One that is not running has ended already.
func (b *Broker) end(signal syscall.Signal) error {
	if b.process == nil {
		return nil
	}
	process := b.process
	b.process = nil
	if err := process.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-b.ended
	return nil
}

// Run returns a node that has started and is killed when the test has ended. A test that has no jars fails.
func Run(t testing.TB, properties string) *Broker {
	t.Helper()
	return run(t, Options{Dir: t.TempDir(), Properties: properties})
}

func run(t testing.TB, opt Options) *Broker {
	t.Helper()
	b, err := New(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Kill(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// findLibs returns the folder of the jars: that of KAFKA_LIBS, or .kafka/libs at the top of the repository.
func findLibs() (string, error) {
	dir := os.Getenv("KAFKA_LIBS")
	if dir == "" {
		top, err := os.Getwd()
		if err != nil {
			return "", err
		}
		for {
			if _, err := os.Stat(filepath.Join(top, "go.mod")); err == nil {
				break
			}
			if filepath.Dir(top) == top {
				return "", errors.New("kafkatest: run it inside the repository")
			}
			top = filepath.Dir(top)
		}
		dir = filepath.Join(top, ".kafka", "libs")
	}
	if jars, err := filepath.Glob(filepath.Join(dir, "kafka_*.jar")); err != nil || len(jars) == 0 {
		return "", fmt.Errorf("kafkatest: %s: %w", dir, ErrNoLibs)
	}
	return dir, nil
}

var portsTaken sync.Mutex // two brokers of one process must not be given the same free port

// freePorts returns n ports to listen on, from first on if that is not 0.
func freePorts(first, n int) ([]int, error) {
	ports := make([]int, n)
	if first != 0 {
		for i := range ports {
			ports[i] = first + i
		}
		return ports, nil
	}
	portsTaken.Lock()
	defer portsTaken.Unlock()
	for i := range ports {
		l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
		if err != nil {
			return ports, err
		}
		defer l.Close() //nolint:errcheck // nothing was written
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}
