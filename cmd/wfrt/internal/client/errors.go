package client

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/wfrt/wfrt/internal/httpapi"
)

// UnreachableError says that the server gave no answer.
type UnreachableError struct {
	Server string
	Cause  error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("no answer from the server at %s: %v", e.Server, rootCause(e.Cause))
}

func (e *UnreachableError) Unwrap() error { return e.Cause }

// rootCause drops what wraps the cause: the address is told already.
func rootCause(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// AddressError says that an address is not that of a server.
type AddressError struct{ Address string }

func (e *AddressError) Error() string {
	return fmt.Sprintf("%q is not the address of a server", e.Address)
}

// passing reports whether the same request may succeed soon, because the server is away or busy.
func passing(err error) bool {
	var unreachable *UnreachableError
	if errors.As(err, &unreachable) {
		return true
	}
	var problem *httpapi.Problem
	if !errors.As(err, &problem) {
		return false
	}
	switch problem.Status {
	case http.StatusServiceUnavailable, http.StatusTooManyRequests, http.StatusBadGateway, http.StatusGatewayTimeout:
		return true
	}
	return false
}
