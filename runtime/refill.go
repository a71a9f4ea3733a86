package runtime

import "errors"

// How runs come back from the store into the window of a queue.

// position is a place in a pass over the ready runs of all shards.
type position struct {
	shard int
	after RunID
}

// refill starts fetching runs of the queue from the store if there may be some and there is room.
// REQUIRES: d.mu
func (d *dispatcher) refill(q *queue) {
	if !q.more || q.refilling || !q.served || d.stopping || q.runs.len() > d.engine.opt.Window/2 {
		return
	}
	q.refilling = true
	d.engine.owned.Go(func() { d.fetch(q) })
}

// fetch goes on with the pass over the shards until the window is full or a pass has left nothing out.
func (d *dispatcher) fetch(q *queue) {
	ids := make([]RunID, 0, d.engine.opt.Window)
	for {
		at, room := d.nextFetch(q)
		if room == 0 {
			return
		}
		s := d.engine.shards[at.shard]
		ids, err := d.engine.store.Ready(s.id, q.Queue, at.after, room, ids[:0])
		if err != nil {
			d.engine.fail(err)
			return
		}
		for _, id := range ids {
			if err := s.fetch(d, q, id); err != nil {
				d.engine.fail(err)
				return
			}
		}
		d.fetched(q, at, ids, room)
	}
}

// nextFetch returns where the pass is and how many runs may be fetched; zero ends the refill.
func (d *dispatcher) nextFetch(q *queue) (position, int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	room := d.engine.opt.Window - q.runs.len()
	if room <= 0 || !q.more || !q.served || d.stopping {
		q.refilling = false
		return position{}, 0
	}
	if q.at == (position{}) {
		q.missed = false
	}
	return q.at, room
}

// fetched moves the pass on. A push that found no room while the pass was under way (missed) may have left a run behind it:
// only a pass in which that did not happen has seen them all.
func (d *dispatcher) fetched(q *queue, at position, ids []RunID, room int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case len(ids) == room:
		q.at.after = ids[len(ids)-1]
	case at.shard+1 < len(d.engine.shards):
		q.at = position{shard: at.shard + 1}
	default:
		q.at = position{}
		q.more = q.missed
	}
}

// fetch brings one ready run into memory, unless it is there already or no longer ready.
func (s *shard) fetch(d *dispatcher, q *queue, id RunID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.runs[id] != nil {
		return nil
	}
	r, err := s.load(id)
	if errors.Is(err, ErrNotFound) {
		return nil // it has ended since, and was removed
	}
	if err != nil {
		return err
	}
	if !r.rec.Ready() || r.rec.Status != q.Status {
		r.release()
		return nil
	}
	s.runs[id] = r
	d.mu.Lock()
	defer d.mu.Unlock()
	d.add(q, r)
	r.queued = q.behind // it has waited since the queue is behind, or since it was changed: when it became ready is not known
	if r.rec.UpdatedAt.After(r.queued) {
		r.queued = r.rec.UpdatedAt
	}
	return nil
}
