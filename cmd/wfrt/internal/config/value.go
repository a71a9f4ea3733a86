package config

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// setting is one key and the field that holds it.
type setting struct {
	key    string        // "server.listen"
	field  reflect.Value // addressable
	atOnce bool          // a server takes a new value over while it serves
}

// settings returns the settings of c in the order of its fields. Setting a field changes c.
func (c *Config) settings() []setting {
	return appendSettings(nil, "", reflect.ValueOf(c).Elem())
}

func appendSettings(dst []setting, prefix string, group reflect.Value) []setting {
	for i := range group.NumField() {
		key := prefix + group.Type().Field(i).Tag.Get("mapstructure")
		switch field := group.Field(i); field.Kind() {
		case reflect.Struct:
			if group.Type().Field(i).Anonymous {
				key = strings.TrimSuffix(prefix, ".")
			}
			dst = appendSettings(dst, key+".", field)
		case reflect.Map: // of names that are not known beforehand: workflows.go, overrides.go
		default:
			dst = append(dst, setting{key: key, field: field, atOnce: group.Type().Field(i).Tag.Get("reload") == "at once"})
		}
	}
	return dst
}

// Keys returns every key, as "server.listen".
func Keys() []string {
	var c Config
	var keys []string
	for _, s := range c.settings() {
		keys = append(keys, s.key)
	}
	return keys
}

// EnvName returns the environment variable of a key: WFRT_SERVER_LISTEN for server.listen.
func EnvName(key string) string {
	return envPrefix + "_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

var (
	errText     = errors.New("is not text; put it in quotes")
	errBool     = errors.New("is neither true nor false")
	errWhole    = errors.New("is not a whole number")
	errNatural  = errors.New("is not a whole number from 0 on")
	errNumber   = errors.New("is not a number")
	errList     = errors.New("is not a list; write it as [a, b]")
	errDuration = errors.New(`is not a duration; write it with its unit, as in "1.5s", "5m" or "1h30m"`)
)

// set gives the field a value that came from YAML (a typed scalar) or from the environment or a flag (a text). Its error
// continues the sentence "<key> <value> …".
func (s setting) set(raw any) error {
	text, isText := raw.(string)
	switch field := s.field.Addr().Interface().(type) {
	case *string:
		if !isText {
			return errText
		}
		*field = text
	case **string:
		if !isText {
			return errText
		}
		*field = &text
	case *bool:
		on, err := strconv.ParseBool(fmt.Sprint(raw))
		if err != nil {
			return errBool
		}
		*field = on
	case *int:
		n, err := strconv.Atoi(fmt.Sprint(raw))
		if err != nil {
			return errWhole
		}
		*field = n
	case *uint64:
		n, err := strconv.ParseUint(fmt.Sprint(raw), 10, 64)
		if err != nil {
			return errNatural
		}
		*field = n
	case *float64:
		n, err := strconv.ParseFloat(fmt.Sprint(raw), 64)
		if err != nil {
			return errNumber
		}
		*field = n
	case *time.Duration:
		d, err := time.ParseDuration(fmt.Sprint(raw))
		if err != nil {
			return errDuration
		}
		*field = d
	case **time.Duration:
		d, err := time.ParseDuration(fmt.Sprint(raw))
		if err != nil {
			return errDuration
		}
		*field = &d
	case *[]string:
		list, ok := raw.([]string)
		if !ok {
			return errList
		}
		*field = list
	case *Size:
		size, err := ParseSize(fmt.Sprint(raw))
		if err != nil {
			return err
		}
		*field = size
	case *TrustedKeys:
		if !isText {
			return errText
		}
		keys, err := ParseTrustedKeys(text)
		if err != nil {
			return err
		}
		*field = keys
	default:
		return fmt.Errorf("has a type that the configuration cannot hold: %s", s.field.Type())
	}
	return nil
}

// shown returns a value as a fault may show it.
func (s setting) shown(raw any) string {
	if s.key == "server.token" || s.key == "kafka.sasl.password" || s.key == "tracing.headers" {
		return "(not shown)"
	}
	return fmt.Sprintf("%.80q", fmt.Sprint(raw))
}

// String returns the field's value as config.yaml writes it.
func (s setting) String() string {
	if d, ok := s.field.Interface().(time.Duration); ok {
		return shortDuration(d)
	}
	return fmt.Sprint(s.field.Interface())
}

// shortDuration writes 1h instead of time.Duration's 1h0m0s.
func shortDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
