// Package payments stands for a payment service: it charges and pays back in memory, once for each idempotency key.
package payments

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
)

// maxBody is the longest request, in bytes.
const maxBody = 1 << 20

// Charge is what an order costs.
type Charge struct {
	OrderID     string `json:"order_id"`
	AmountCents int64  `json:"amount_cents"`
}

// Charged is the answer to a Charge.
type Charged struct {
	ChargeID string `json:"charge_id"`
}

// Refund is what is paid back of a charge.
type Refund struct {
	ChargeID    string `json:"charge_id"`
	AmountCents int64  `json:"amount_cents"`
}

// Refunded is the answer to a Refund.
type Refunded struct {
	RefundID string `json:"refund_id"`
}

// Totals are what a Service has done.
type Totals struct {
	Requests     int            `json:"requests"`      // to charge and to pay back, repetitions too
	Charges      int            `json:"charges"`       // made
	ChargedCents int64          `json:"charged_cents"` // in all
	Refunds      int            `json:"refunds"`       // made
	PaidBack     int64          `json:"paid_back_cents"`
	PerOrder     map[string]int `json:"-"` // charges made, by order
}

// Service is the payment service, an http.Handler:
//
//	POST /charges  a Charge  → 201 and Charged
//	POST /refunds  a Refund  → 201 and Refunded
//	GET  /totals             → Totals
//
// Both want an Idempotency-Key: what comes again under the same key is answered as it was, with 200, and another request under it
// with 422.
type Service struct {
	mu     sync.Mutex // guards what follows
	done   map[string]done
	totals Totals
}

// done is a request that was answered.
type done struct{ request, answer []byte }

// New returns a service that has charged nothing.
func New() *Service {
	return &Service{done: map[string]done{}, totals: Totals{PerOrder: map[string]int{}}}
}

// Totals returns what the service has done. PerOrder is the caller's.
func (s *Service) Totals() Totals {
	s.mu.Lock()
	defer s.mu.Unlock()
	totals := s.totals
	totals.PerOrder = map[string]int{}
	for order, n := range s.totals.PerOrder {
		totals.PerOrder[order] = n
	}
	return totals
}

// ServeHTTP implements http.Handler.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method + " " + r.URL.Path {
	case "GET /totals":
		answer, _ := json.Marshal(s.Totals())
		reply(w, http.StatusOK, answer)
	case "POST /charges":
		s.once(w, r, func(request []byte, id string) ([]byte, error) {
			var c Charge
			if err := json.Unmarshal(request, &c); err != nil || c.OrderID == "" || c.AmountCents < 0 {
				return nil, fmt.Errorf("that is no charge: %.200s", request)
			}
			s.totals.Charges++
			s.totals.ChargedCents += c.AmountCents
			s.totals.PerOrder[c.OrderID]++
			return json.Marshal(Charged{ChargeID: "ch_" + id})
		})
	case "POST /refunds":
		s.once(w, r, func(request []byte, id string) ([]byte, error) {
			var f Refund
			if err := json.Unmarshal(request, &f); err != nil || f.ChargeID == "" || f.AmountCents < 0 {
				return nil, fmt.Errorf("that is no refund: %.200s", request)
			}
			s.totals.Refunds++
			s.totals.PaidBack += f.AmountCents
			return json.Marshal(Refunded{RefundID: "re_" + id})
		})
	default:
		http.Error(w, "there is nothing here", http.StatusNotFound)
	}
}

// once does what the request says unless its key has come before.
func (s *Service) once(w http.ResponseWriter, r *http.Request, do func(request []byte, id string) ([]byte, error)) {
	key := r.Header.Get("Idempotency-Key")
	if key == "" {
		http.Error(w, "send an Idempotency-Key", http.StatusBadRequest)
		return
	}
	request, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.totals.Requests++
	if before, again := s.done[r.URL.Path+key]; again {
		if !bytes.Equal(before.request, request) {
			http.Error(w, "another request came under this Idempotency-Key", http.StatusUnprocessableEntity)
			return
		}
		reply(w, http.StatusOK, before.answer)
		return
	}
	sum := sha256.Sum256([]byte(key))
	answer, err := do(request, hex.EncodeToString(sum[:12]))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.done[r.URL.Path+key] = done{request: request, answer: answer}
	reply(w, http.StatusCreated, answer)
}

func reply(w http.ResponseWriter, status int, answer []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(answer, '\n')) // a client that has gone needs no answer
}
