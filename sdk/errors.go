package sdk

import "errors"

// Permanent marks an error that another attempt would meet again: the run is paused at once with its text as the reason,
// instead of being retried. errors.Is and errors.As see through it. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err: err}
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

func isPermanent(err error) bool {
	var p *permanentError
	var refused *RefusedError
	return errors.As(err, &p) || errors.As(err, &refused)
}
