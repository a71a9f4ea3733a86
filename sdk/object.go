package sdk

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/wfrt/wfrt/sdk/internal/guest"
)

// Raw is an object that is left as it is: one JSON value in UTF-8. A workflow over Raw does not use encoding/json.
//
// A step may change the bytes that it is given in place, or assign others. They are overwritten by the next invocation:
// copy what is to be kept beyond the step. A nil or empty Raw is written as null.
type Raw []byte

// codec turns objects into values of O and back.
type codec[O any] interface {
	// decode fills o, which is zero, from an object. o does not refer to the object's bytes.
	decode(c *guest.Call, object []byte, o *O) error
	// encode returns the object of o, valid until the next encode.
	encode(c *guest.Call, o *O) ([]byte, error)
}

// codecOf returns the codec of O.
func codecOf[O any]() codec[O] {
	if c, ok := any(rawCodec{}).(codec[O]); ok {
		return c
	}
	return jsonCodec[O]{}
}

// rawCodec is the codec of Raw. It copies: a step that changes its object in place has changed it.
type rawCodec struct{}

//nolint:unparam // no error: a codec's
func (rawCodec) decode(c *guest.Call, object []byte, o *Raw) error {
	c.Copy = append(c.Copy[:0], object...)
	*o = c.Copy
	return nil
}

func (rawCodec) encode(_ *guest.Call, o *Raw) ([]byte, error) {
	if len(*o) == 0 {
		return []byte("null"), nil
	}
	return *o, nil
}

// jsonCodec is the codec of any other type.
type jsonCodec[O any] struct{}

func (jsonCodec[O]) decode(_ *guest.Call, object []byte, o *O) error {
	err := json.Unmarshal(object, o)
	if err == nil {
		return nil
	}
	var wrong *json.UnmarshalTypeError
	var malformed *json.SyntaxError
	switch {
	case errors.As(err, &wrong) && wrong.Field != "":
		return fmt.Errorf("sdk: the object does not fit %T: field %q before byte %d is a JSON %s, and %s is wanted",
			*o, wrong.Field, wrong.Offset, wrong.Value, wrong.Type)
	case errors.As(err, &wrong):
		return fmt.Errorf("sdk: the object does not fit %T: it is a JSON %s", *o, wrong.Value)
	case errors.As(err, &malformed):
		return fmt.Errorf("sdk: the object is not JSON: byte %d: %w", malformed.Offset, err)
	default:
		return fmt.Errorf("sdk: decode the object into %T: %w", *o, err)
	}
}

func (jsonCodec[O]) encode(c *guest.Call, o *O) ([]byte, error) {
	c.Encoded.Reset()
	e := json.NewEncoder(&c.Encoded)
	// What came in as "<" goes out as "<", so that an object that no one changed is equal to its input.
	e.SetEscapeHTML(false)
	if err := e.Encode(o); err != nil {
		return nil, fmt.Errorf("sdk: encode the object of %T: %w", *o, err)
	}
	return bytes.TrimSuffix(c.Encoded.Bytes(), []byte("\n")), nil
}
