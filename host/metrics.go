package host

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/tetratelabs/wazero/api"

	"github.com/wfrt/wfrt/sdk/abi"
)

// Measurement is one measurement of a plugin's own.
type Measurement struct {
	Kind   int32 // abi.MeasureCount, abi.MeasureSet or abi.MeasureObserve
	Name   string
	Labels []string // names and values in turn, in the order of the names
	Value  float64  // finite; of a count not negative
}

const (
	maxMetricName = 64
	maxLabels     = 4
	maxLabelValue = 64
	maxLabelBytes = 1 << 10
)

// measure is measure(kind, name_ptr, name_len, labels_ptr, labels_len, value) → 0, or abi.Absent.
func measure(i *instance, guest api.Module, stack []uint64) {
	if i.call.phase != phaseInvoke {
		fail("measure: only a handler may measure")
	}
	if size := uint32(stack[2]); size > maxMetricName {
		fail("measure: the name has %d bytes, more than the limit of %d", size, maxMetricName)
	}
	if size := uint32(stack[4]); size > maxLabelBytes {
		fail("measure: the labels have %d bytes, more than the limit of %d", size, maxLabelBytes)
	}
	m := Measurement{
		Kind: int32(uint32(stack[0])), Name: string(i.view(guest, "measure", uint32(stack[1]), uint32(stack[2]))),
		Value: math.Float64frombits(stack[5]),
	}
	labels := string(i.view(guest, "measure", uint32(stack[3]), uint32(stack[4])))
	if err := m.check(labels); err != nil {
		fail("measure: %v", err)
	}
	err := i.module.caps.Load().mayMeasure()
	if err == nil {
		err = i.module.meter.Measured(m)
	}
	if err == nil {
		stack[0] = 0
		return
	}
	i.call.reply = reply{failure: cutText(err.Error(), maxReason)}
	if i.module.unmeasured.CompareAndSwap(false, true) {
		i.module.host.options.Logger.Warn("a plugin's measurements are not taken", "file", i.module.file, "error", err)
	}
	absent := abi.Absent
	stack[0] = uint64(uint32(absent))
}

// mayMeasure returns why the plugin may not measure, or nil.
func (c *capabilities) mayMeasure() error {
	switch {
	case !c.asks.Metrics:
		return errors.New("the plugin does not ask to measure: ask with sdk.AskMetrics()")
	case !c.grants.Metrics:
		return fmt.Errorf("the operator does not let the plugin measure: set %s", c.key("metrics"))
	default:
		return nil
	}
}

// check completes the measurement with its labels, or says what is wrong with it.
func (m *Measurement) check(labels string) error {
	if m.Kind < abi.MeasureCount || m.Kind > abi.MeasureObserve {
		return fmt.Errorf("there is no kind %d of measurements", m.Kind)
	}
	if !isMetricName(m.Name) {
		return fmt.Errorf("the name %.80q is not made of lower-case letters, digits and '_', with a letter first", m.Name)
	}
	if math.IsNaN(m.Value) || math.IsInf(m.Value, 0) || m.Kind == abi.MeasureCount && m.Value < 0 {
		return fmt.Errorf("%s: %v is not a number that it can be", m.Name, m.Value)
	}
	last := ""
	for line := range strings.Lines(labels) {
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		switch {
		case !ok || !isMetricName(name) || name == "plugin" || name == "le" || name == "quantile":
			return fmt.Errorf("%s: the label %.80q is not name=value with a name of its own", m.Name, line)
		case name <= last:
			return fmt.Errorf("%s: the label %s comes after %s; labels are in the order of their names, each once", m.Name, name, last)
		case len(value) > maxLabelValue || strings.ToValidUTF8(value, "") != value:
			return fmt.Errorf("%s: the value of the label %s is not UTF-8 of at most %d bytes", m.Name, name, maxLabelValue)
		case len(m.Labels) == 2*maxLabels:
			return fmt.Errorf("%s: it has more than %d labels", m.Name, maxLabels)
		}
		last = name
		m.Labels = append(m.Labels, name, value)
	}
	return nil
}

func isMetricName(s string) bool {
	return s != "" && s[0] >= 'a' && s[0] <= 'z' && len(s) <= maxMetricName &&
		strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}
