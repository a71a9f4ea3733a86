package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
)

// decodeBody reads exactly one JSON object into a struct that is what, "a trigger", with nothing else in it. hint says what to
// send.
func decodeBody[T any](body []byte, what, hint string) (T, error) {
	var in T
	if !utf8.Valid(body) {
		return in, invalid("the body", "is not UTF-8", "encode it in UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	err := dec.Decode(&in)
	if err == nil {
		if _, err = dec.Token(); errors.Is(err, io.EOF) {
			return in, nil
		}
		return in, invalid("the body", "goes on after its JSON value", hint)
	}
	var (
		syntax *json.SyntaxError
		kind   *json.UnmarshalTypeError
	)
	switch {
	case errors.As(err, &syntax):
		return in, invalid("the body", fmt.Sprintf("is not JSON: %s at byte %d", syntax.Error(), syntax.Offset), hint)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return in, invalid("the body", "is not JSON: it ends too early", hint)
	case errors.As(err, &kind) && kind.Field == "":
		return in, invalid("the body", "is a JSON "+kind.Value+", not an object", hint)
	case errors.As(err, &kind):
		return in, invalid(kind.Field, "is a JSON "+kind.Value+", not a "+kind.Type.String(), hint)
	}
	if p := unknownMember(body, reflect.TypeFor[T](), what); p != nil {
		return in, p
	}
	return in, invalid("the body", "cannot be read: "+err.Error(), hint)
}

// unknownMember finds the member of a JSON object that a struct has no field for, also in the objects in it; nil: there is none.
func unknownMember(object []byte, into reflect.Type, what string) *Problem {
	var all map[string]json.RawMessage
	if json.Unmarshal(object, &all) != nil {
		return nil
	}
	known := membersOf(into)
	for name, value := range all {
		at := slices.IndexFunc(known, func(k string) bool { return strings.EqualFold(k, name) })
		if at < 0 {
			p := invalid(fmt.Sprintf("%.80q", name), "is not a member of "+what, knownHint("members", name, known), known...)
			p.Field = name
			return p
		}
		if field := into.Field(at); field.Type.Kind() == reflect.Struct {
			if p := unknownMember(value, field.Type, "the "+known[at]); p != nil {
				return p
			}
		}
	}
	return nil
}

// membersOf returns the names of a struct's fields in JSON, in their order.
func membersOf(t reflect.Type) []string {
	var names []string
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}

// bodyOf documents the JSON body of an operation that takes it raw. When it is optional, the operation takes no body too. Call
// it after the operation is registered.
func bodyOf[T any](api huma.API, op *huma.Operation, optional bool) {
	op.RequestBody.Required = !optional
	op.RequestBody.Content["application/json"].Schema = api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[T](), true, "")
}
