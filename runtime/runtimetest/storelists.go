package runtimetest

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wfrt/wfrt/runtime"
)

// fill makes n runs over several workflows, statuses and states, and returns them in creation order.
func (s *storeTest) fill(n int) []*runtime.Record {
	s.Helper()
	states := []runtime.RunState{runtime.Initiated, runtime.Running, runtime.Paused, runtime.Cancelled, runtime.Completed}
	var runs []*runtime.Record
	for i := range n {
		r := s.newRun([]string{"orders", "order", "refunds"}[i%3], strconv.Itoa(i%97), []string{"created", "paid"}[i/3%2])
		r.State = states[i/7%len(states)]
		s.apply(s.shard(r), &runtime.Batch{Next: r})
		runs = append(runs, r)
	}
	return runs
}

// pages lists everything that q asks for, page by page.
func (s *storeTest) pages(q runtime.Query, limit int, between func()) []runtime.RunID {
	s.Helper()
	q.Limit = limit
	var ids []runtime.RunID
	for {
		page, err := s.List(s.Context(), &q)
		s.must(err)
		if len(page) > limit {
			s.Fatalf("a page of %d, limit %d", len(page), limit)
		}
		for i := range page {
			if !Matches(&q, &page[i]) {
				s.Fatalf("%+v does not match %+v", page[i], q)
			}
		}
		ids = append(ids, runIDs(page)...)
		if len(page) < limit {
			return ids
		}
		q.After = ids[len(ids)-1]
		if between != nil {
			between()
		}
	}
}

// expect returns the IDs of the runs that match, in the order of the query.
func expect(runs []*runtime.Record, q runtime.Query) []runtime.RunID {
	var ids []runtime.RunID
	for _, r := range runs {
		if Matches(&q, r) {
			ids = append(ids, r.RunID)
		}
	}
	if q.Descending {
		slices.Reverse(ids)
	}
	return ids
}

func testPages(s *storeTest) {
	runs := s.fill(1000)
	for _, limit := range []int{53, 100, 847, 50} {
		for _, descending := range []bool{false, true} {
			for _, q := range []runtime.Query{{}, {Workflows: []string{"orders", "order", "refunds"}}} {
				q.Descending = descending
				wantEqual(s, fmt.Sprintf("%+v in pages of %d", q, limit), s.pages(q, limit, nil), expect(runs, q))
			}
		}
	}
}

func testFilters(s *storeTest) {
	runs := s.fill(500)
	at := func(i int) time.Time { return runs[i].RunID.Time() }
	queries := []runtime.Query{
		{Workflows: []string{"orders"}},
		{Workflows: []string{"refunds", "order", "refunds"}},
		{Workflows: []string{"none", strings.Repeat("n", 300)}},
		{States: []runtime.RunState{runtime.Paused}},
		{States: []runtime.RunState{runtime.Completed, runtime.Initiated}},
		{States: []runtime.RunState{runtime.DataDeleted}},
		{Statuses: []string{"paid"}},
		{Statuses: []string{"paid", "created"}},
		{Statuses: []string{"pai"}},
		{ForeignIDs: []string{"7"}},
		{ForeignIDs: []string{"7", "11", "7", ""}},
		{ForeignIDs: []string{"7"}, Workflows: []string{"orders"}},
		{ForeignIDs: []string{"7", "8", "9", "10"}, States: []runtime.RunState{runtime.Running}, Statuses: []string{"paid"}},
		{CreatedAfter: at(100)},
		{CreatedBefore: at(100)},
		{CreatedAfter: at(100), CreatedBefore: at(101)},
		{CreatedAfter: at(200), CreatedBefore: at(100)},
		{CreatedAfter: time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC), CreatedBefore: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)},
		{CreatedBefore: time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)},
		{
			Workflows: []string{"orders", "order"}, States: []runtime.RunState{runtime.Running, runtime.Paused},
			Statuses: []string{"created"}, CreatedAfter: at(50), CreatedBefore: at(400),
		},
	}
	for _, q := range queries {
		for _, q.Descending = range []bool{false, true} {
			for _, limit := range []int{3, 1000} {
				wantEqual(s, fmt.Sprintf("%+v in pages of %d", q, limit), s.pages(q, limit, nil), expect(runs, q))
			}
		}
	}
}

func testStablePages(s *storeTest) {
	orders := []string{"orders"}
	for _, q := range []runtime.Query{{}, {Descending: true}, {Workflows: orders}, {Workflows: orders, Descending: true}} {
		runs := s.fill(200)
		q.CreatedAfter = runs[0].RunID.Time()
		q.CreatedBefore = runs[len(runs)-1].RunID.Time().Add(time.Millisecond)
		// Between pages every run moves to another status and state, and new runs come.
		got := s.pages(q, 13, func() {
			for i, r := range runs {
				runs[i] = s.change(r, func(r *runtime.Record) {
					r.State, r.Status = runtime.Running, fmt.Sprint("s", s.random.IntN(5))
				})
			}
			s.create("orders", "new", "created")
		})
		wantEqual(s, fmt.Sprintf("%+v", q), got, expect(runs, q))
	}
}

func testListRefusals(s *storeTest) {
	s.fill(10)
	if _, err := s.List(s.Context(), &runtime.Query{}); err == nil {
		s.Fatal("a list without a limit was answered")
	}
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	_, err := s.List(ctx, &runtime.Query{Limit: 10})
	s.wantError(err, context.Canceled)
}
