package httpapi

import (
	"errors"
	"net/http"
	"testing"

	"github.com/wfrt/wfrt/runtime"
)

func TestProblemsOfTheDisk(t *testing.T) {
	p := problemOf(errors.Join(nil, &runtime.DiskError{Free: 90 << 20, Mark: 512 << 20}))
	if p.Status != http.StatusServiceUnavailable || p.header.Get("Retry-After") == "" ||
		p.Detail != "the server's disk has 90 MiB free, and below 512 MiB nothing new is taken" {
		t.Errorf("%+v", p)
	}
}
