package runtime

import "fmt"

// SetCatalog makes c what new invocations use, whatever becomes of the runs under way. Invocations under way end with the
// handler they began with.
func (e *Engine) SetCatalog(c *Catalog) {
	e.catalog.Store(c)
	e.catalogChanged(c)
}

// Swap makes c what new invocations use, unless runs that have not ended are in one of the queues of leaving: those that c has
// no handlers for, each once; one without a status stands for its whole workflow. Then it returns a *LeftError that counts them, and changes
// nothing. Between the look and the swap no run begins and none moves.
//
// keep is to write down, durably, that c holds from now on. It is called once, at that moment, and not at all when runs are left; when it
// fails Swap returns its error and changes nothing. So a crash finds either the old catalog written down, or c and no run that it
// leaves behind. While something has to be empty no run goes on until keep has returned. nil writes nothing down.
//
// Invocations under way end with the handler they began with. Outcomes of theirs that lead into a status that c lacks are
// discarded, and the handler that c has is asked in the same attempt.
func (e *Engine) Swap(c *Catalog, leaving []Queue, keep func() error) error {
	occupied, err := e.swap(c, leaving, keep)
	if err != nil {
		return err
	}
	if len(occupied) > 0 {
		return e.countLeft(occupied)
	}
	e.catalogChanged(c)
	return nil
}

// swap stores the catalog under the writers of all shards, unless it returns queues that are not empty.
func (e *Engine) swap(c *Catalog, leaving []Queue, keep func() error) (occupied []Queue, err error) {
	if keep == nil {
		keep = func() error { return nil }
	}
	if len(leaving) == 0 { // nothing can come in between
		if err := keep(); err != nil {
			return nil, err
		}
	}
	unlock := e.lockShards()
	defer unlock()
	for _, q := range leaving {
		n, err := e.ActiveRuns(q, 1)
		if err != nil {
			return nil, err
		}
		if n > 0 {
			occupied = append(occupied, q)
		}
	}
	if len(occupied) > 0 {
		return occupied, nil
	}
	if len(leaving) > 0 {
		if err := keep(); err != nil {
			return nil, err
		}
	}
	e.catalog.Store(c)
	return nil, nil
}

// lockShards makes the caller the writer of all shards, until it calls unlock.
func (e *Engine) lockShards() (unlock func()) {
	for _, s := range e.shards {
		s.mu.Lock()
	}
	return func() {
		for _, s := range e.shards {
			s.mu.Unlock()
		}
	}
}

// countLeft returns the *LeftError for queues that were not empty a moment ago.
func (e *Engine) countLeft(occupied []Queue) error {
	left := &LeftError{}
	for _, q := range occupied {
		n, err := e.ActiveRuns(q, MaxLeft)
		if err != nil {
			return err
		}
		left.Left = append(left.Left, Left{Workflow: q.Workflow, Status: q.Status, Runs: max(1, n)})
	}
	return left
}

// catalogChanged has everything take notice of the new catalog.
func (e *Engine) catalogChanged(c *Catalog) {
	e.tasks.catalogChanged(c)
	select {
	case e.resync <- struct{}{}:
	default: // it has not been looked at since the last change
	}
}

// ActiveRuns counts the runs of a queue, or without a status of a whole workflow, that have not ended, up to limit. It counts
// what is applied and perhaps not yet durable.
func (e *Engine) ActiveRuns(q Queue, limit int) (int, error) {
	n, err := e.store.ActiveRuns(q, limit)
	if err != nil {
		return 0, fmt.Errorf("runtime: count runs of workflow %s: %w", q.Workflow, err)
	}
	return n, nil
}

// PinnedRuns counts the runs of a workflow that have not ended and are pinned to a definition, as ActiveRuns does.
func (e *Engine) PinnedRuns(workflow string, d Digest, limit int) (int, error) {
	n, err := e.store.PinnedRuns(workflow, d, limit)
	if err != nil {
		return 0, fmt.Errorf("runtime: count pinned runs of workflow %s: %w", workflow, err)
	}
	return n, nil
}

// ActiveQueues returns the queues with runs that have not ended, each once, in the order of their names, as ActiveRuns counts them.
func (e *Engine) ActiveQueues() ([]Queue, error) {
	queues, err := e.store.ActiveQueues()
	if err != nil {
		return nil, fmt.Errorf("runtime: look for statuses with runs: %w", err)
	}
	return queues, nil
}
