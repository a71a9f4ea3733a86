package serve

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wfrt/wfrt/cmd/wfrt/internal/config"
	"github.com/wfrt/wfrt/host"
	"github.com/wfrt/wfrt/host/signature"
	"github.com/wfrt/wfrt/internal/httpapi"
	"github.com/wfrt/wfrt/internal/telemetry"
	"github.com/wfrt/wfrt/runtime"
)

// tunables is all that a reload gives to the components.
type tunables struct {
	engine   runtime.Options
	plugins  host.Options
	adjusted runtime.Workflow // what plugins.Adjust, which cannot be compared, makes of an empty one
	handler  httpapi.Options
	level    string
}

func tunablesOf(cfg config.Config, metrics *telemetry.Metrics) tunables {
	opt := Options{Config: cfg}
	e, p, h := engineOptions(opt, metrics, nil, nil, nil), hostOptions(&cfg, nil), httpOptions(opt, nil, nil, metrics)
	all := tunables{engine: e.Tunable(), plugins: p.Tunable(), handler: h.Tunable(), level: cfg.Log.Level}
	all.plugins.Adjust(&all.adjusted)
	all.plugins.Adjust = nil
	return all
}

// TestEveryKeyTakesEffectWhenTheDocumentationSays changes each key by itself: what a reload gives to the components differs
// exactly when the key is said to take effect at once.
func TestEveryKeyTakesEffectWhenTheDocumentationSays(t *testing.T) {
	metrics := telemetry.New("", "")
	before := tunablesOf(config.Default(), metrics)
	keys := 0
	var walk func(prefix string, path []int, group reflect.Type)
	walk = func(prefix string, path []int, group reflect.Type) {
		for i := range group.NumField() {
			field := group.Field(i)
			key, at := prefix+field.Tag.Get("mapstructure"), slices.Concat(path, []int{i})
			if field.Type.Kind() == reflect.Struct {
				if field.Anonymous {
					key = strings.TrimSuffix(prefix, ".")
				}
				walk(key+".", at, field.Type)
				continue
			}
			if field.Type.Kind() == reflect.Map {
				continue // names that are not known beforehand: the test of config.TakeOver has them
			}
			keys++
			cfg := config.Default()
			alter(t, reflect.ValueOf(&cfg).Elem().FieldByIndex(at))
			differs := !reflect.DeepEqual(before, tunablesOf(cfg, metrics))
			if atOnce := config.AtOnce(key); differs != atOnce {
				t.Errorf("%s: takes effect at once is %v, but a reload hands it to a component is %v", key, atOnce, differs)
			}
		}
	}
	walk("", nil, reflect.TypeFor[config.Config]())
	if keys != len(config.Keys()) {
		t.Errorf("%d keys were tried of %d", keys, len(config.Keys()))
	}
}

// alter gives a setting another value.
func alter(t *testing.T, field reflect.Value) {
	t.Helper()
	switch v := field.Addr().Interface().(type) {
	case *string:
		*v += "x"
	case *bool:
		*v = !*v
	case *int:
		*v += 7
	case *uint64:
		*v++
	case *float64:
		*v++
	case *time.Duration:
		*v += time.Hour
	case *config.Size:
		*v += config.MiB
	case *config.TrustedKeys:
		*v = append(*v, signature.Key{})
	default:
		t.Fatalf("no other value of a %s is known: add one", field.Type())
	}
}
