package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// envPrefix begins the environment variables of the server and its clients.
const envPrefix = "WFRT"

// Sources says where the configuration comes from, besides the defaults and the environment.
type Sources struct {
	// File is the path of the configuration file. Defaults to none.
	File string
	// FileOptional says that File need not exist.
	FileOptional bool
	// Flags maps keys to flags of the command line. Only flags that were given count.
	Flags map[string]*pflag.Flag
}

// Load brings the sources together: a flag wins over the environment, that over the file, that over the default. It returns
// Faults with everything that is wrong with any of them, and then the configuration must not be used.
func Load(from Sources) (Config, error) {
	c := Default()
	settings := c.settings()
	f, err := readFile(from)
	if err != nil {
		return Config{}, err
	}
	faults := slices.Concat(f.faults, unknownEnv(os.Environ()))

	v := viper.New()
	v.SetEnvPrefix(envPrefix)
	v.SetEnvKeyReplacer(strings.NewReplacer(".", "_"))
	for key, value := range f.values {
		v.SetDefault(key, value) // a default of viper's: beneath the environment and flags, and typed as the file has it
	}
	for _, s := range settings {
		if err := v.BindEnv(s.key); err != nil {
			return Config{}, fmt.Errorf("config: %w", err)
		}
	}
	for key, flag := range from.Flags {
		if !flag.Changed {
			continue
		}
		if err := v.BindPFlag(key, flag); err != nil {
			return Config{}, fmt.Errorf("config: %w", err)
		}
	}
	where := origin{flags: from.Flags, file: f}
	for _, s := range settings {
		raw := v.Get(s.key)
		if raw != nil {
			faults = append(faults, s.load(raw, where)...)
		}
	}
	faults = append(faults, c.loadWorkflows(f, where)...)
	faults = append(faults, c.loadOverrides(f, where)...)
	faults = append(faults, c.loadConnectors(f, where)...)
	if faults = append(faults, c.validate(where, faults)...); len(faults) > 0 {
		return Config{}, faults
	}
	return c, nil
}

// load gives the field a value, or returns what is wrong with it.
func (s setting) load(raw any, where origin) Faults {
	err := s.set(raw)
	if err == nil {
		return nil
	}
	what, hint, _ := strings.Cut(err.Error(), "; ")
	return Faults{{Where: where.of(s.key), What: s.key + " " + s.shown(raw) + " " + what, Hint: hint}}
}

// readFile reads the configuration file, if there is one.
func readFile(from Sources) (*file, error) {
	if from.File == "" {
		return parseFile("", nil), nil
	}
	content, err := os.ReadFile(from.File)
	switch {
	case errors.Is(err, fs.ErrNotExist) && from.FileOptional:
		return parseFile(from.File, nil), nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, Faults{{Where: from.File, What: "there is no such file", Hint: "check --config, or leave it out to use the defaults"}}
	case err != nil:
		return nil, Faults{{Where: from.File, What: "cannot be read: " + err.Error()}}
	}
	return parseFile(from.File, content), nil
}

// unknownEnv reports variables with our prefix that mean nothing, as a misspelt one would be ignored otherwise.
func unknownEnv(environ []string) Faults {
	known := []string{"WFRT_SERVER", "WFRT_TOKEN"} // of the client
	for _, key := range Keys() {
		known = append(known, EnvName(key))
	}
	var faults Faults
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if value == "" {
			continue // as good as not set, as for the settings that there are
		}
		if strings.HasPrefix(name, envPrefix+"_") && !slices.Contains(known, name) {
			faults = append(faults, Fault{Where: name, What: "there is no such setting", Hint: didYouMean(name, known)})
		}
	}
	slices.SortFunc(faults, func(a, b Fault) int { return strings.Compare(a.Where, b.Where) })
	return faults
}

// origin tells where a key's value came from.
type origin struct {
	flags map[string]*pflag.Flag
	file  *file
}

// of returns the flag, the variable or the file and line that set a key; "" for a default.
func (o origin) of(key string) string {
	if flag := o.flags[key]; flag != nil && flag.Changed {
		return "--" + flag.Name
	}
	if os.Getenv(EnvName(key)) != "" {
		return EnvName(key)
	}
	if line := o.file.lines[key]; line > 0 {
		return fmt.Sprintf("%s:%d", o.file.name, line)
	}
	return ""
}

// nearest is of for a key that may be missing: where the group stands that it is missing in.
func (o origin) nearest(key string) string {
	for ; key != ""; key = key[:max(strings.LastIndexByte(key, '.'), 0)] {
		if where := o.of(key); where != "" {
			return where
		}
	}
	return ""
}
