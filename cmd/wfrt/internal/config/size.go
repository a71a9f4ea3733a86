package config

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// Size is a number of bytes.
type Size int64

// Units of a Size.
const (
	KiB Size = 1 << 10
	MiB Size = 1 << 20
	GiB Size = 1 << 30
	TiB Size = 1 << 40
)

// units in the order in which String tries them. Each has one spelling: KB would be 1,000 to some and 1,024 to others.
func units() []struct {
	suffix string
	size   Size
} {
	return []struct {
		suffix string
		size   Size
	}{{"TiB", TiB}, {"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB}}
}

var (
	errSize     = errors.New(`is not a size; write bytes, or a number with KiB, MiB, GiB or TiB, as in "64MiB"`)
	errSizeHuge = errors.New("is larger than any machine's memory; check the unit")
)

// ParseSize reads a number of bytes, "65536", or one with a unit, "64KiB". Fractions and negative numbers are refused.
func ParseSize(text string) (Size, error) {
	number, unit := strings.TrimSpace(text), Size(1)
	for _, u := range units() {
		if rest, ok := strings.CutSuffix(number, u.suffix); ok {
			number, unit = strings.TrimSpace(rest), u.size
			break
		}
	}
	n, err := strconv.ParseUint(number, 10, 63)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return 0, errSizeHuge
	case err != nil:
		return 0, errSize
	case n > uint64(math.MaxInt64/int64(unit)):
		return 0, errSizeHuge
	}
	return Size(n) * unit, nil
}

// String writes the size as ParseSize reads it, in the largest unit that divides it.
func (s Size) String() string {
	for _, u := range units() {
		if s != 0 && s%u.size == 0 {
			return strconv.FormatInt(int64(s/u.size), 10) + u.suffix
		}
	}
	return strconv.FormatInt(int64(s), 10)
}
