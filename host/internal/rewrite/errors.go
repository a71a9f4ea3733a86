package rewrite

import (
	"errors"
	"fmt"
)

// clause is what is wrong with a part of a module, without the name of the part. Other errors are whole sentences.
type clause string

func (c clause) Error() string { return string(c) }

// clausef makes a clause.
func clausef(format string, args ...any) clause { return clause(fmt.Sprintf(format, args...)) }

// errMalformed is the error of bytes that are not what they should be, or are missing.
const errMalformed = clause("is malformed or cut off")

// unsupported says that a module has something that the package does not read, and what it belongs to, if that is known.
func unsupported(what, feature string) clause {
	if feature == "" {
		return clause(what + ", which is not of WebAssembly 2.0")
	}
	return clausef("%s (%s), which this server does not run", what, feature)
}

// sentence completes a clause with the name of the part.
func sentence(part string, err error) error {
	if c := clause(""); errors.As(err, &c) {
		return fmt.Errorf("%s %w", part, err)
	}
	return err
}
