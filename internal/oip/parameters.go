package oip

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/resnet18cloud/resnet18cloud/internal/logs"
)

// place is the part of a request that a parameter or a field belongs to.
type place string

const (
	ofRequest place = "the request"
	ofInput   place = "an input"
	ofOutput  place = "an output"

	ofInstance place = "an instance" // of KServe's version 1, which has no parameters
)

// placesOf has the parameters of the protocol's extensions that are read or may be ignored, and where they belong. All others are
// refused: a client that misspells one would get the answer to another question.
//
// The clients of Triton send priority and those about sequences on request; without priority levels and sequences in the model,
// as here, Triton ignores them too. KServe's client sends those about binary data in gRPC, where they mean nothing. content_type
// is MLServer's: ours, base64, is in the metadata.
var placesOf = map[string][]place{
	"timeout": {ofRequest}, "priority": {ofRequest}, "sequence_id": {ofRequest}, "sequence_start": {ofRequest}, "sequence_end": {ofRequest},
	"binary_data_output": {ofRequest}, "binary_data_size": {ofInput}, "binary_data": {ofOutput}, "classification": {ofOutput},
	"content_type": {ofRequest, ofInput, ofOutput},
}

// known returns the error for a field that is not among names. Parameters may be taken for fields.
func known(at place, field string, names ...string) error {
	if slices.Contains(names, field) {
		return nil
	}
	hint := "the fields of " + string(at) + " are " + strings.Join(names, ", ")
	if _, ok := placesOf[field]; ok {
		hint = hintPlace(field)
	}
	return invalid(fmt.Sprintf("There is no field %q of %s", logs.Clip(field), at), hint, nil)
}

// misplaced returns the error for a parameter that does not belong where it is.
func misplaced(at place, name string) error {
	places, ok := placesOf[name]
	switch {
	case slices.Contains(places, at):
		return nil
	case strings.HasPrefix(name, "shared_memory_"):
		return invalid("There is no shared memory with the server", "send the data in the request", nil)
	case ok:
		return invalid(fmt.Sprintf("There is no parameter %q of %s", name, at), hintPlace(name), nil)
	}
	var all []string
	for other, places := range placesOf {
		if slices.Contains(places, at) {
			all = append(all, other)
		}
	}
	slices.Sort(all)
	return invalid(fmt.Sprintf("There is no parameter %q of %s", logs.Clip(name), at), "the parameters of "+string(at)+" are "+strings.Join(all, ", "), nil)
}

// hintPlace says where a parameter belongs.
func hintPlace(name string) string {
	switch placesOf[name][0] {
	case ofInput:
		return fmt.Sprintf(`it belongs to an input: {"inputs":[{"name":"image","parameters":{%q:...},...}]}`, name)
	case ofOutput:
		return fmt.Sprintf(`it belongs to an output: {"outputs":[{"name":"scores","parameters":{%q:...}}]}`, name)
	}
	return fmt.Sprintf(`it belongs to the request: {"parameters":{%q:...},"inputs":[...]}`, name)
}

// parameters are those of a request, an input or an output.
type parameters struct {
	classification int64
	binary         bool // of an output
	binaryOutput   bool // of all outputs
	binarySize     *int
	timeout        time.Duration
}

// readJSON reads an object of parameters.
func (p *parameters) readJSON(at place, object []byte) error {
	return members(object, func(name string, value []byte) error {
		if err := misplaced(at, name); err != nil {
			return err
		}
		var into any
		var timeout int64
		switch name {
		case "classification":
			into = &p.classification
		case "binary_data":
			into = &p.binary
		case "binary_data_output":
			into = &p.binaryOutput
		case "binary_data_size":
			into = &p.binarySize
		case "timeout":
			into = &timeout
		default:
			return nil
		}
		if err := json.Unmarshal(value, into); err != nil {
			return invalid(fmt.Sprintf("The parameter %q of %s is malformed", name, at), "", err)
		}
		if name == "timeout" {
			return p.setTimeout(timeout)
		}
		return nil
	})
}

// readProto reads an entry of the map parameters of a message in gRPC: a name, and an InferParameter.
func (p *parameters) readProto(at place, entry []byte) error {
	var name string
	var value uint64
	err := fields(entry, func(n protowire.Number, _ uint64, data []byte) error {
		if n == 1 {
			name = string(data)
			return nil
		}
		return fields(data, func(_ protowire.Number, v uint64, _ []byte) error { value = v; return nil })
	})
	if err == nil {
		err = misplaced(at, name)
	}
	switch {
	case err != nil:
		return err
	case name == "classification":
		p.classification = int64(min(value, math.MaxInt32)) //nolint:gosec // in range
	case name == "timeout":
		return p.setTimeout(int64(value)) //nolint:gosec // as protobuf encodes negative numbers
	}
	return nil
}

// setTimeout sets the time for the request. Zero means that there is no limit, as for Triton.
func (p *parameters) setTimeout(microseconds int64) error {
	if microseconds < 0 {
		return invalid("The parameter \"timeout\" is negative", "it is a number of microseconds", nil)
	}
	p.timeout = time.Duration(min(microseconds, math.MaxInt64/1000)) * time.Microsecond
	return nil
}
