package pebblestore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/wfrt/wfrt/runtime"
)

// What connectors leave: receipts of the messages that took effect, and the messages that are parked.

// redriven is the bit of a receipt's partition that says that it is of a redrive.
const redriven = 1 << 31

// appendPartition appends the prefix that the rows of one partition share, of a kind of receipts or parked messages.
func appendPartition(dst []byte, number runtime.Shard, kind string, o *runtime.Origin) []byte {
	dst = appendName(appendPrefix(dst, number, kind), o.Connector)
	dst = append(dst, o.TopicID[:]...)
	partition := uint32(o.Partition)
	if o.Redriven {
		partition |= redriven
	}
	return binary.BigEndian.AppendUint32(dst, partition)
}

// appendOriginKey appends the key of a message's row. Offsets and partitions are never negative.
func appendOriginKey(dst []byte, number runtime.Shard, kind string, o *runtime.Origin) []byte {
	return binary.BigEndian.AppendUint64(appendPartition(dst, number, kind, o), uint64(o.Offset))
}

// parseOriginKey takes a key apart; whole says that it has an offset.
func parseOriginKey(key []byte) (o runtime.Origin, whole, ok bool) {
	const partition = len(o.TopicID) + 4
	name, rest, ok := cutName(key[min(prefixLen, len(key)):])
	if !ok || len(rest) != partition && len(rest) != partition+8 {
		return o, false, false
	}
	o.Connector, o.TopicID = string(name), runtime.TopicID(rest[:len(o.TopicID)])
	bits := binary.BigEndian.Uint32(rest[len(o.TopicID):])
	o.Partition, o.Redriven = int32(bits&^redriven), bits&redriven != 0
	if len(rest) > partition {
		o.Offset, whole = int64(binary.BigEndian.Uint64(rest[partition:])), true
	}
	return o, whole, o.Offset >= 0
}

// writeReceipts puts what b says of an outside stream's messages into the shard's batch.
func (s *Store) writeReceipts(sh *shard, b *runtime.Batch) error {
	w := &sh.rows
	if b.TrimReceipts != nil {
		if err := s.trimReceipts(sh, b.TrimReceipts); err != nil {
			return err
		}
	}
	if b.DropReceipt != nil {
		w.key = appendOriginKey(w.key[:0], sh.number, kindReceipt, b.DropReceipt)
		if err := w.batch.Delete(w.key, nil); err != nil {
			return err
		}
	}
	if b.Receipt != nil {
		w.key = appendOriginKey(w.key[:0], sh.number, kindReceipt, b.Receipt)
		if err := w.batch.Set(w.key, nil, nil); err != nil {
			return err
		}
	}
	if b.Unpark != nil {
		w.key = appendOriginKey(w.key[:0], sh.number, kindParked, b.Unpark)
		if err := w.batch.Delete(w.key, nil); err != nil {
			return err
		}
	}
	if b.Park != nil {
		w.key = appendOriginKey(w.key[:0], sh.number, kindParked, &b.Park.Origin)
		w.value = appendParked(w.value[:0], b.Park)
		return w.batch.Set(w.key, w.value, nil)
	}
	return nil
}

// trimReceipts removes the receipts of a partition before an offset. Range deletes follow each other without overlap, each from
// where the one before ended, which the row without an offset says.
func (s *Store) trimReceipts(sh *shard, upTo *runtime.Origin) error {
	w := &sh.rows
	w.old = appendPartition(w.old[:0], sh.number, kindReceipt, upTo)
	trimmed, err := s.position(w.old)
	if err != nil || trimmed >= uint64(upTo.Offset) {
		return err
	}
	from := *upTo
	from.Offset = int64(trimmed)
	w.key = appendOriginKey(w.key[:0], sh.number, kindReceipt, &from)
	if err := w.batch.DeleteRange(w.key, appendOriginKey(nil, sh.number, kindReceipt, upTo), nil); err != nil {
		return err
	}
	w.value = appendPosition(w.value[:0], uint64(upTo.Offset))
	return w.batch.Set(w.old, w.value, nil)
}

func (s *Store) checkReceipts(number runtime.Shard, b *runtime.Batch) error {
	for _, o := range [...]*runtime.Origin{b.Receipt, b.DropReceipt, b.TrimReceipts, b.Unpark} {
		if o != nil {
			if err := checkOrigin(o); err != nil {
				return err
			}
		}
	}
	parked := b.Unpark
	if b.Park != nil {
		parked = &b.Park.Origin
		if err := checkOrigin(parked); err != nil {
			return err
		}
	}
	if parked != nil && parked.Home(len(s.shards)) != number {
		return fmt.Errorf("the parked message %s is not of this shard", parked)
	}
	return nil
}

func checkOrigin(o *runtime.Origin) error {
	if o.Partition < 0 || o.Offset < 0 {
		return fmt.Errorf("message %.120s: want a partition and an offset of 0 or more", o)
	}
	return nil
}

// Receipt implements runtime.ReceiptReader.
func (s *Store) Receipt(number runtime.Shard, o runtime.Origin) (bool, error) {
	if _, err := s.shard(number); err != nil {
		return false, err
	}
	found, err := has(s.db, appendOriginKey(nil, number, kindReceipt, &o))
	if err != nil {
		err = fmt.Errorf("pebblestore: receipt of %s: %w", o, err)
	}
	return found, err
}

// Receipts implements runtime.ReceiptReader.
func (s *Store) Receipts(partition runtime.Origin, dst []int64) (trimmed int64, offsets []int64, err error) {
	for i := range s.shards {
		prefix := appendPartition(nil, runtime.Shard(i), kindReceipt, &partition)
		err := s.scan(prefix, func(key, value []byte) error {
			o, whole, ok := parseOriginKey(key)
			switch {
			case !ok:
				return fmt.Errorf("%w: key %x", errMalformed, key)
			case whole:
				dst = append(dst, o.Offset)
				return nil
			}
			upTo, err := decodePosition(value)
			trimmed = max(trimmed, int64(upTo))
			return err
		})
		if err != nil {
			return 0, dst, fmt.Errorf("pebblestore: receipts of partition %d of connector %s: %w", partition.Partition, partition.Connector, err)
		}
	}
	return trimmed, dst, nil
}

// Parked implements runtime.ReceiptReader. The order of the keys is that of Origin.Compare; each shard gives as many as may be wanted.
func (s *Store) Parked(connector string, after runtime.Origin, limit int) ([]runtime.Parked, error) {
	var all []runtime.Parked
	for i := range s.shards {
		found, err := s.parkedIn(runtime.Shard(i), connector, after, limit)
		if err != nil {
			return nil, fmt.Errorf("pebblestore: parked messages of shard %d: %w", i, err)
		}
		all = append(all, found...)
	}
	slices.SortFunc(all, func(a, b runtime.Parked) int { return a.Compare(b.Origin) })
	return all[:min(limit, len(all))], nil
}

// parkedIn returns those of one shard.
func (s *Store) parkedIn(number runtime.Shard, connector string, after runtime.Origin, limit int) ([]runtime.Parked, error) {
	prefix := appendPrefix(nil, number, kindParked)
	if connector != "" {
		prefix = appendName(prefix, connector)
	}
	it, err := s.iterate(prefix)
	if err != nil {
		return nil, err
	}
	from := prefix
	if after != (runtime.Origin{}) {
		from = append(appendOriginKey(nil, number, kindParked, &after), 0) // what follows it
	}
	var found []runtime.Parked
	for valid := it.SeekGE(from); valid && len(found) < limit; valid = it.Next() {
		o, _, ok := parseOriginKey(it.Key())
		if !ok {
			return nil, errors.Join(fmt.Errorf("%w: key %x", errMalformed, it.Key()), it.Close())
		}
		p := runtime.Parked{Origin: o}
		value, err := it.ValueAndErr()
		if err == nil {
			err = decodeParked(value, &p)
		}
		if err != nil {
			return nil, errors.Join(err, it.Close())
		}
		found = append(found, p)
	}
	return found, it.Close()
}

// ParkedMessage implements runtime.ReceiptReader.
func (s *Store) ParkedMessage(o runtime.Origin) (runtime.Parked, error) {
	p := runtime.Parked{Origin: o}
	if checkOrigin(&o) != nil {
		return p, fmt.Errorf("pebblestore: parked message %s: %w", o, runtime.ErrNotFound)
	}
	value, closer, err := s.db.Get(appendOriginKey(nil, o.Home(len(s.shards)), kindParked, &o))
	if errors.Is(err, pebble.ErrNotFound) {
		err = runtime.ErrNotFound
	} else if err == nil {
		err = errors.Join(decodeParked(value, &p), closer.Close())
	}
	if err != nil {
		return p, fmt.Errorf("pebblestore: parked message %s: %w", o, err)
	}
	return p, nil
}

func appendParked(dst []byte, p *runtime.Parked) []byte {
	dst = appendString(dst, 1, p.Topic)
	dst = appendString(dst, 2, p.Cause)
	dst = appendUint(dst, 3, uint64(p.Attempts))
	dst = appendTime(dst, 4, p.ParkedAt)
	dst = appendTime(dst, 5, p.Time)
	for i := range p.Headers {
		dst = protowire.AppendTag(dst, 6, protowire.BytesType)
		at := len(dst)
		dst = appendString(dst, 1, p.Headers[i].Name)
		dst = closeMessage(appendBytes(dst, 2, p.Headers[i].Value), at, 0)
	}
	dst = appendBytes(dst, 7, p.Key)
	dst = appendString(dst, 8, p.Workflow)
	dst = appendString(dst, 9, p.ForeignID)
	return appendBytes(dst, 15, p.Value)
}

// appendBytes appends bytes, also if there are none; nothing for nil.
func appendBytes(dst []byte, num protowire.Number, v []byte) []byte {
	if v == nil {
		return dst
	}
	return append(appendObjectHead(dst, num, v), v...)
}

func decodeParked(b []byte, p *runtime.Parked) error {
	d := decoder{rest: b}
	for d.next() {
		switch d.num {
		case 1:
			p.Topic = string(d.bytes())
		case 2:
			p.Cause = string(d.bytes())
		case 3:
			p.Attempts = uint32(d.uint(32))
		case 4:
			p.ParkedAt = d.time()
		case 5:
			p.Time = d.time()
		case 6:
			var h runtime.Header
			d.take(decodeHeader(d.bytes(), &h))
			p.Headers = append(p.Headers, h)
		case 7:
			p.Key = append([]byte{}, d.bytes()...)
		case 8:
			p.Workflow = string(d.bytes())
		case 9:
			p.ForeignID = string(d.bytes())
		case 15:
			p.Value = append([]byte{}, d.bytes()...)
		}
	}
	return d.err
}

func decodeHeader(b []byte, h *runtime.Header) error {
	d := decoder{rest: b}
	for d.next() {
		switch d.num {
		case 1:
			h.Name = string(d.bytes())
		case 2:
			h.Value = append([]byte{}, d.bytes()...)
		}
	}
	return d.err
}

func (c *checker) checkReceipt(key, value []byte) error {
	_, whole, ok := parseOriginKey(key)
	_, err := decodePosition(value)
	if !ok || err != nil || whole && len(value) > 0 {
		c.problem(key, "a receipt that cannot be read", nil)
	}
	return nil
}

func (c *checker) checkParked(key, value []byte) error {
	o, whole, ok := parseOriginKey(key)
	p := runtime.Parked{Origin: o}
	if !ok || !whole || decodeParked(value, &p) != nil || o.Home(len(c.store.shards)) != c.number {
		c.problem(key, "a parked message that cannot be read, or is of another shard", nil)
	}
	return nil
}
