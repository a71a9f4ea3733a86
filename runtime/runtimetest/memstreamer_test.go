package runtimetest_test

import (
	"testing"

	"github.com/wfrt/wfrt/runtime/runtimetest"
)

func TestMemStreamer(t *testing.T) {
	runtimetest.TestStreamer(t, func(*testing.T) runtimetest.StreamerUnderTest {
		m := &runtimetest.MemStreamer{}
		return runtimetest.StreamerUnderTest{Streamer: m, Delivered: m.Delivered}
	})
}
