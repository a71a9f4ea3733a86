package runtimetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/wfrt/wfrt/runtime"
)

// The part of the conformance suite about what connectors leave: receipts and parked messages.

func (s *storeTest) wantReceipts(partition runtime.Origin, trimmed int64, want ...int64) {
	s.Helper()
	upTo, got, err := s.Receipts(partition, nil)
	s.must(err)
	slices.Sort(got)
	if upTo != trimmed || !slices.Equal(got, want) {
		s.Fatalf("receipts of partition %d: %v from %d on; want %v from %d on", partition.Partition, got, upTo, want, trimmed)
	}
}

func (s *storeTest) refused(shard runtime.Shard, b *runtime.Batch) {
	s.Helper()
	if _, err := s.Apply(shard, s.epochs[shard], b); err == nil {
		s.Fatalf("a batch was written that no key can carry or no reader would find: %+v", b)
	}
}

func testReceipts(s *storeTest) {
	at := func(connector string, topic byte, partition int32, offset int64) runtime.Origin {
		return runtime.Origin{Connector: connector, TopicID: runtime.TopicID{topic}, Partition: partition, Offset: offset}
	}
	here, there := runtime.Shard(0), runtime.Shard(s.Shards()-1)
	receive := func(shard runtime.Shard, o runtime.Origin) { s.apply(shard, &runtime.Batch{Receipt: &o}) }
	r := s.newRun("orders", "1", "created") // an effect and its receipt are one batch
	of := at("orders", 1, 0, 7)
	s.apply(s.shard(r), &runtime.Batch{Next: r, Receipt: &of})
	if found, err := s.Receipt(s.shard(r), of); err != nil || !found {
		s.Fatalf("the receipt of an effect: %t, %v", found, err)
	}
	for _, other := range []runtime.Origin{at("order", 1, 0, 7), at("orders", 2, 0, 7), at("orders", 1, 1, 7), at("orders", 1, 0, 8)} {
		if found, err := s.Receipt(s.shard(r), other); err != nil || found {
			s.Fatalf("a receipt of %s that nobody gave: %t, %v", other, found, err)
		}
	}
	receive(here, at("orders", 1, 0, 3))
	receive(there, at("orders", 1, 0, 5))
	receive(here, at("orders", 1, 0, 3)) // again
	for _, other := range []runtime.Origin{at("order", 1, 0, 1), at("orders", 2, 0, 1), at("orders", 1, 256, 1)} {
		receive(here, other)
	}
	s.wantReceipts(at("orders", 1, 0, 0), 0, 3, 5, 7)

	trim := func(shard runtime.Shard, o runtime.Origin) { s.apply(shard, &runtime.Batch{TrimReceipts: &o}) }
	trim(here, at("orders", 1, 0, 5))
	s.wantReceipts(at("orders", 1, 0, 0), 5, 5, 7)
	trim(here, at("orders", 1, 0, 4)) // less than before: nothing
	trim(there, at("orders", 1, 0, 6))
	trim(s.shard(r), at("orders", 1, 0, 6))
	s.wantReceipts(at("orders", 1, 0, 0), 6, 7)
	s.wantReceipts(at("order", 1, 0, 0), 0, 1)
	s.wantReceipts(at("orders", 2, 0, 0), 0, 1)
	s.wantReceipts(at("orders", 1, 256, 0), 0, 1)

	s.apply(s.shard(r), &runtime.Batch{DropReceipt: &of})
	s.apply(s.shard(r), &runtime.Batch{DropReceipt: &of}) // it is not missed
	s.wantReceipts(at("orders", 1, 0, 0), 6)
	for _, bad := range []runtime.Origin{{}, at("orders", 1, -1, 0), at("orders", 1, 0, -1), at(string(make([]byte, 65)), 1, 0, 0)} {
		s.refused(here, &runtime.Batch{Receipt: &bad})
	}
}

func testParked(s *storeTest) {
	var all []runtime.Parked
	for i, connector := range []string{"zz", "orders", "payments"} { // in the order of Compare
		for partition := range int32(3) {
			for offset := range int64(3) {
				p := runtime.Parked{
					Origin: runtime.Origin{
						Connector: connector, TopicID: runtime.TopicID{byte(i)}, Partition: partition, Offset: 1000 * offset,
					},
					Topic: "northwind.orders", Key: []byte("key"), Value: []byte("not JSON"),
					Headers: []runtime.Header{{Name: "a", Value: []byte("1")}, {Name: "a", Value: []byte{}}, {Name: "b", Value: []byte{0xff}}},
					Time:    s.now.Add(-time.Hour), Cause: "it is not JSON", Attempts: 1 << 31, ParkedAt: s.now,
					Workflow: "orders", ForeignID: "10248",
				}
				if offset == 1 {
					p.Key, p.Value, p.Headers, p.Workflow, p.ForeignID = nil, []byte{}, nil, "", ""
				}
				all = append(all, p)
			}
		}
	}
	shuffled := slices.Clone(all)
	s.random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	for i := range shuffled {
		p := cloneParked(shuffled[i])
		s.apply(p.Home(s.Shards()), &runtime.Batch{Park: &p, Receipt: &p.Origin})
		if len(p.Value) > 0 {
			p.Value[0] = 'X' // the store has its own
		}
	}
	for _, limit := range []int{1, 2, 100} {
		for _, connector := range []string{"", "orders", "order"} {
			want := slices.DeleteFunc(slices.Clone(all), func(p runtime.Parked) bool { return connector != "" && p.Connector != connector })
			var got []runtime.Parked
			var after runtime.Origin
			for {
				page, err := s.Parked(connector, after, limit)
				s.must(err)
				if len(page) > limit {
					s.Fatalf("a page of %d, limit %d", len(page), limit)
				}
				if len(page) == 0 {
					break
				}
				got, after = append(got, page...), page[len(page)-1].Origin
			}
			wantSame(s, fmt.Sprintf("pages of %d, connector %q", limit, connector), got, want)
		}
	}
	one := all[4]
	got, err := s.ParkedMessage(one.Origin)
	s.must(err)
	wantSame(s, "one", []runtime.Parked{got}, []runtime.Parked{one})
	if (got.Key == nil) != (one.Key == nil) || (got.Value == nil) != (one.Value == nil) {
		s.Fatalf("nothing and empty are told apart: got %#v", got)
	}
	s.apply(one.Home(s.Shards()), &runtime.Batch{Unpark: &one.Origin})
	s.apply(one.Home(s.Shards()), &runtime.Batch{Unpark: &one.Origin}) // it is not missed
	_, err = s.ParkedMessage(one.Origin)
	s.wantError(err, runtime.ErrNotFound)
	if s.Shards() > 1 {
		s.refused((one.Home(s.Shards())+1)%runtime.Shard(s.Shards()), &runtime.Batch{Park: &one})
	}
}
