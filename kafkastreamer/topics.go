package kafkastreamer

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wfrt/wfrt/runtime"
)

// Layout says how events are spread over topics.
type Layout string

// Layouts.
const (
	// LayoutWorkflow has one topic for each workflow: <prefix><workflow>.
	LayoutWorkflow Layout = "workflow"
	// LayoutStatus has one for each status, <prefix><workflow>-<status>; <prefix><workflow>-run-state-change, which gets the
	// events besides that change the run state; and <prefix><workflow>-delete, which alone gets those of an erasure.
	LayoutStatus Layout = "status"
)

// topics names the topics of each workflow, once.
type topics struct {
	layout Layout
	prefix string
	fixed  fixed

	mu        sync.RWMutex
	workflows map[string]*workflow
}

// workflow is what the events of one workflow have in common. Its fields do not change, but statuses, which grows.
type workflow struct {
	name        string
	fixed       *fixed
	source      []byte // ce_source
	all         *topic // of LayoutWorkflow; nil in the other
	erasure     *topic
	stateChange *topic

	mu       sync.RWMutex
	statuses map[string]*topic
}

// fixed are values of headers that all events have.
type fixed struct{ version, contentType []byte }

// topic is one topic and what is known of it.
type topic struct {
	name     string
	ready    atomic.Bool   // it was there when we looked last
	maxBytes atomic.Int32  // of a batch, as the topic says, or as a refusal taught; 0: not known
	asking   chan struct{} // has one in it while the topic is looked for or asked
	asked    time.Time     // when it was last asked for its limit while it ran; guarded by asking
}

func newTopic(name string) *topic { return &topic{name: name, asking: make(chan struct{}, 1)} }

// ask waits until nobody else looks for the topic or asks it. Who got no error calls answered.
func (t *topic) ask(ctx context.Context) error {
	select {
	case t.asking <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t *topic) answered() { <-t.asking }

func newTopics(layout Layout, prefix string) topics {
	return topics{
		layout: layout, prefix: prefix, workflows: map[string]*workflow{},
		fixed: fixed{version: []byte("1.0"), contentType: []byte("application/json")},
	}
}

// of returns what is common to a workflow's events.
func (t *topics) of(name string) *workflow {
	t.mu.RLock()
	w := t.workflows[name]
	t.mu.RUnlock()
	if w != nil {
		return w
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if w = t.workflows[name]; w != nil {
		return w
	}
	w = &workflow{name: name, fixed: &t.fixed, source: []byte("/wfrt/workflows/" + name), statuses: map[string]*topic{}}
	if t.layout == LayoutStatus {
		w.erasure = newTopic(t.prefix + name + "-delete")
		w.stateChange = newTopic(t.prefix + name + "-run-state-change")
	} else {
		w.all = newTopic(t.prefix + name)
	}
	t.workflows[name] = w
	return w
}

// appendTopics appends the topics that an event goes to.
func (w *workflow) appendTopics(dst []*topic, prefix string, e *runtime.Event) []*topic {
	switch {
	case w.all != nil:
		return append(dst, w.all)
	case e.State == runtime.RequestedDataDeleted, e.State == runtime.DataDeleted:
		return append(dst, w.erasure)
	}
	dst = append(dst, w.status(prefix, e.Status))
	if e.Number == 0 && e.Was != e.State {
		dst = append(dst, w.stateChange)
	}
	return dst
}

func (w *workflow) status(prefix, status string) *topic {
	w.mu.RLock()
	t := w.statuses[status]
	w.mu.RUnlock()
	if t != nil {
		return t
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if t = w.statuses[status]; t == nil {
		t = newTopic(prefix + w.name + "-" + status)
		w.statuses[status] = t
	}
	return t
}

// find returns the topic of that name, or nil.
func (t *topics) find(name string) *topic {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, w := range t.workflows {
		for _, known := range []*topic{w.all, w.erasure, w.stateChange} {
			if known != nil && known.name == name {
				return known
			}
		}
		w.mu.RLock()
		for _, known := range w.statuses {
			if known.name == name {
				w.mu.RUnlock()
				return known
			}
		}
		w.mu.RUnlock()
	}
	return nil
}

// ensure sees to it that the topic is there, and learns how large its batches may be.
func (s *Streamer) ensure(ctx context.Context, client *kgo.Client, t *topic) error {
	if err := t.ask(ctx); err != nil {
		return err
	}
	defer t.answered()
	if t.ready.Load() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	admin := kadm.NewClient(client)
	found, err := admin.ListTopics(ctx, t.name)
	if err == nil {
		err = found[t.name].Err
	}
	switch {
	case err == nil:
	case !errors.Is(err, kerr.UnknownTopicOrPartition):
		return s.reach.explain(fmt.Errorf("%s: %w", s.somewhere(t.name), mayNot(err, toWrite)))
	case s.opt.NoTopicCreation:
		return fmt.Errorf("%s is not there, and kafka.topic_create is false: create it", s.somewhere(t.name))
	default:
		if err := s.create(ctx, admin, t.name); err != nil {
			return err
		}
	}
	if err := mayProduce(ctx, client); err != nil {
		return s.reach.explain(fmt.Errorf("%s: %w", s.somewhere(t.name), err))
	}
	s.limit(ctx, client, t)
	t.ready.Store(true)
	return nil
}

// mayProduce returns why brokers give us no producer ID, as they do to a user who may write to no topic at all. A client that asks by itself
// and is refused asks no more: it would fail every record for as long as it lives.
func mayProduce(ctx context.Context, client *kgo.Client) error {
	answer, err := kmsg.NewPtrInitProducerIDRequest().RequestWith(ctx, client)
	if err != nil {
		return err
	}
	err = kerr.ErrorForCode(answer.ErrorCode)
	if errors.Is(err, kerr.ClusterAuthorizationFailed) {
		return fmt.Errorf("our user may write to no topic; it needs %s on it: %w", toWrite, err)
	}
	return err
}

// create makes a topic. One that has come meanwhile is as good.
func (s *Streamer) create(ctx context.Context, admin *kadm.Client, name string) error {
	made, err := admin.CreateTopic(ctx, int32(s.opt.Partitions), int16(s.opt.Replication), nil, name)
	if err == nil {
		err = made.Err
	}
	switch {
	case err == nil:
		s.opt.Connection.Logger.Info("made a topic", "topic", name, "partitions", made.NumPartitions, "replication", made.ReplicationFactor)
		return nil
	case errors.Is(err, kerr.TopicAlreadyExists):
		return nil
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
		return fmt.Errorf("%s is not there and may not be made: create it, or allow our user Create: %w", s.somewhere(name), err)
	default:
		text := ""
		if made.ErrMessage != "" {
			text = " (" + made.ErrMessage + ")"
		}
		return s.reach.explain(fmt.Errorf("%s is not there and cannot be made with %s partitions and replication %s: %w%s",
			s.somewhere(name), orDefault(s.opt.Partitions), orDefault(s.opt.Replication), err, text))
	}
}

func orDefault(n int) string {
	if n < 0 {
		return "the broker's default"
	}
	return strconv.Itoa(n)
}
