package runtime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Connector says how the messages of an outside stream become triggers and callbacks.
type Connector struct {
	// Name is unique; receipts are kept by it. A connector that is given another name takes effect anew.
	Name string
	// Topics are what the source reads, for people.
	Topics []string
	// Open makes the source.
	Open OpenSource
	// Mapping says what becomes of a message, unless a plugin does.
	Mapping Mapping
	// Plugin is the workflow whose function Function says what becomes of a message. Empty: Mapping does.
	Plugin   string
	Function string
	// Busy says what becomes of a trigger whose foreign ID has an active run. Defaults to BusySkip.
	Busy Busy
	// Patience is how long a message that is refused is tried again before it is parked. Defaults to 1 minute.
	Patience time.Duration
	// Parallelism is how many messages are worked on at a time. Defaults to 64.
	Parallelism int
	// Window is how many messages of a partition may be under way, from the first that is not done on. Defaults to 1,024.
	Window int
}

// Busy says what becomes of a trigger whose foreign ID has an active run.
type Busy string

// What becomes of it.
const (
	BusySkip  Busy = "skip"  // the message is done: nothing begins
	BusyRetry Busy = "retry" // it is tried again, and parked when the connector's patience ends
	BusyPark  Busy = "park"  // it is parked at once
)

func (c *Connector) ensureDefaults() {
	c.Busy = cmp.Or(c.Busy, BusySkip)
	c.Patience = cmp.Or(c.Patience, time.Minute)
	c.Parallelism = cmp.Or(c.Parallelism, 64)
	c.Window = cmp.Or(c.Window, 1024)
}

func (c *Connector) validate() error {
	var faults []error
	fault := func(bad bool, text string) {
		if bad {
			faults = append(faults, fmt.Errorf("runtime: options: connector %.80q: %s", c.Name, text))
		}
	}
	fault(c.Name == "" || len(c.Name) > MaxName, "its name must have 1 to 64 bytes")
	fault(c.Open == nil, "Open is required")
	fault(c.Patience < 0 || c.Parallelism < 0 || c.Window < 0, "Patience, Parallelism and Window must not be negative")
	fault(!slices.Contains([]Busy{BusySkip, BusyRetry, BusyPark}, c.Busy), "Busy must be skip, retry or park")
	if c.Plugin == "" {
		m := &c.Mapping
		fault(m.Kind != ActionTrigger && m.Kind != ActionCallback, "its mapping must trigger or call back")
		fault(m.Workflow == "" || m.ForeignID.IsZero(), "its mapping must name a workflow and a foreign ID")
		fault(m.Kind == ActionCallback && m.Status == "" && m.StatusFrom.IsZero(), "its mapping must name the status that takes the callback")
	}
	return errors.Join(faults...)
}

// ConnectorStatus is a moment of a connector.
type ConnectorStatus struct {
	Name       string
	Topics     []string
	Fault      string // why nothing comes: what the source said last; "" when it is well
	Partitions []PartitionStatus
	Counts     ConnectorCounts
}

// PartitionStatus is a moment of a partition that a connector reads.
type PartitionStatus struct {
	Topic     string
	Partition int32
	Next      int64 // everything before it is done
	Committed int64 // what the group has been told
	UnderWay  int   // messages from Next on that have been received
	Lag       int64 // messages from Next on that the partition holds, as last asked; −1: unknown
}

// ConnectorCounts is what a connector has done since the engine started.
type ConnectorCounts struct {
	Received  uint64 // messages
	Triggered uint64
	Called    uint64 // callbacks that were taken in
	Nothing   uint64 // messages that the plugin made nothing of
	Skipped   uint64 // triggers that found an active run
	Repeated  uint64 // messages that had taken effect before
	Retried   uint64 // attempts that were put off
	Parked    uint64
}

// ErrUnknownConnector says that there is no connector of that name.
var ErrUnknownConnector = errors.New("there is no such connector; connectors are defined in the configuration")

// ErrNotParked says that no message is parked at that place.
var ErrNotParked = fmt.Errorf("no such message is parked: %w", ErrNotFound)

// MappingError says that nothing could be made of a message.
type MappingError struct {
	Place string // of the message: "northwind.orders, partition 2, offset 17"
	Cause error
}

func (e *MappingError) Error() string { return e.Place + ": " + e.Cause.Error() }

// Unwrap returns the cause.
func (e *MappingError) Unwrap() error { return e.Cause }

// Connectors returns the state of each connector, by name.
func (e *Engine) Connectors() []ConnectorStatus {
	all := make([]ConnectorStatus, len(e.connectors))
	for i, c := range e.connectors {
		all[i] = c.status()
	}
	slices.SortFunc(all, func(a, b ConnectorStatus) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

func (e *Engine) connector(name string) *connector {
	for _, c := range e.connectors {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// Parked returns parked messages of a connector, "" for every connector, after an origin, at most limit.
func (e *Engine) Parked(ctx context.Context, connector string, after Origin, limit int) ([]Parked, error) {
	found, err := e.store.Parked(connector, after, limit)
	if err != nil {
		err = fmt.Errorf("runtime: parked messages: %w", err)
	}
	if derr := e.observedAll(ctx); derr != nil {
		return nil, derr
	}
	return found, err
}

// Redrive tries a parked message again, once. When it returns nil the message has taken effect and is no longer parked. It returns
// ErrNotParked, ErrUnknownConnector, a *MappingError, a *DiskError at the high mark, or the errors of Trigger and Callback; then the message stays parked.
func (e *Engine) Redrive(ctx context.Context, o Origin) error {
	if err := errors.Join(e.accepting(), e.DiskLow(DiskHigh)); err != nil {
		return err
	}
	// One at a time: between the effect, which leaves a receipt in its shard, and the removal of receipt and message no other may come.
	e.redriving.Lock()
	defer e.redriving.Unlock()
	parked, err := e.parkedMessage(ctx, o)
	if err != nil {
		return err
	}
	c := e.connector(o.Connector)
	if c == nil {
		return ErrUnknownConnector
	}
	m := parked.message()
	action, err := c.mapped(ctx, &m, 1)
	if err != nil {
		return &MappingError{Place: m.place(), Cause: err}
	}
	receipt := o
	receipt.Redriven = true
	s, _, err := e.take(&effect{origin: receipt, by: c.by(&m), action: &action, busy: BusyRetry})
	if err != nil {
		return fmt.Errorf("runtime: redrive %s: %w", m.place(), err)
	}
	if s != nil {
		if err := e.observed(ctx, s); err != nil {
			return err
		}
	}
	if err := e.unpark(ctx, o); err != nil || s == nil {
		return err
	}
	return s.put(&Batch{DropReceipt: &receipt})
}

// DropParked removes a parked message that nobody wants any more. It returns ErrNotParked.
func (e *Engine) DropParked(ctx context.Context, o Origin) error {
	if err := e.accepting(); err != nil {
		return err
	}
	e.redriving.Lock()
	defer e.redriving.Unlock()
	return e.dropParked(ctx, o)
}

// dropParked removes a parked message.
// REQUIRES: e.redriving
func (e *Engine) dropParked(ctx context.Context, o Origin) error {
	if _, err := e.parkedMessage(ctx, o); err != nil {
		return err
	}
	receipt := o
	receipt.Redriven = true
	for _, s := range e.shards { // a redrive that a crash interrupted may have left its receipt
		found, err := e.store.Receipt(s.id, receipt)
		if err == nil && found {
			err = s.put(&Batch{DropReceipt: &receipt})
		}
		if err != nil {
			return fmt.Errorf("runtime: drop a parked message: %w", err)
		}
	}
	return e.unpark(ctx, o)
}

// dropParkedOf removes the parked messages that were for a run whose data is to be erased: those for its foreign ID, up to the
// erase and to the next run of the foreign ID.
func (e *Engine) dropParkedOf(ctx context.Context, rec *Record) error {
	e.redriving.Lock()
	defer e.redriving.Unlock()
	until := rec.UpdatedAt
	next, err := e.store.List(ctx, &Query{Workflows: []string{rec.Workflow}, ForeignIDs: []string{rec.ForeignID}, After: rec.RunID, Limit: 1})
	if err != nil {
		return err
	}
	if len(next) > 0 && next[0].CreatedAt.Before(until) {
		until = next[0].CreatedAt
	}
	var after Origin
	for {
		page, err := e.store.Parked("", after, parkedPage)
		if err != nil {
			return err
		}
		for i := range page {
			p := &page[i]
			if p.Workflow != rec.Workflow || p.ForeignID != rec.ForeignID || p.ParkedAt.After(until) {
				continue
			}
			if err := e.dropParked(ctx, p.Origin); err != nil {
				return err
			}
		}
		if len(page) < parkedPage {
			return nil
		}
		after = page[len(page)-1].Origin
	}
}

// parkedPage is how many parked messages are looked at a time.
const parkedPage = 100

func (e *Engine) parkedMessage(ctx context.Context, o Origin) (Parked, error) {
	parked, err := e.store.ParkedMessage(o)
	if errors.Is(err, ErrNotFound) {
		err = ErrNotParked
	}
	if err != nil {
		err = e.afterObserved(ctx, e.shards[o.Home(len(e.shards))], err)
	}
	return parked, err
}

// unpark removes a parked message, durably.
func (e *Engine) unpark(ctx context.Context, o Origin) error {
	home := e.shards[o.Home(len(e.shards))]
	if err := home.put(&Batch{Unpark: &o}); err != nil {
		return err
	}
	return e.observed(ctx, home)
}

func (p *Parked) message() Message {
	return Message{
		Topic: p.Topic, TopicID: p.TopicID, Partition: p.Partition, Offset: p.Offset, Key: p.Key, Value: p.Value, Headers: p.Headers,
		Time: p.Time,
	}
}
