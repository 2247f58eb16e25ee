package openapi

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v2"
)

// document is what the page shows of a description (OpenAPI 3.1, section 4.8). Fields have the names of the specification.
type document struct {
	Info struct {
		Title       string
		Version     string
		Description string
	}
	Tags       []tag
	Paths      ordered[pathItem]
	Components struct {
		Schemas       ordered[*schema]
		Parameters    ordered[*parameter]
		RequestBodies ordered[*body] `yaml:"requestBodies"`
		Responses     ordered[*response]
	}
}

type tag struct{ Name, Description string }

type pathItem struct {
	Parameters             []*parameter
	Get, Post, Put, Delete *operation
}

type operation struct {
	Tags        []string
	OperationID string `yaml:"operationId"`
	Summary     string
	Description string
	Parameters  []*parameter
	RequestBody *body `yaml:"requestBody"`
	Responses   ordered[*response]
	Security    *[]any // nil means that the description's applies; empty means that no key is needed
}

type parameter struct {
	Ref         string `yaml:"$ref"`
	Name, In    string
	Description string
	Required    bool
	Schema      *schema
}

type body struct {
	Ref         string `yaml:"$ref"`
	Description string
	Content     ordered[mediaType]
}

type response struct {
	Ref         string `yaml:"$ref"`
	Description string
	Headers     ordered[*parameter]
	Content     ordered[mediaType]
}

type mediaType struct{ Schema *schema }

type schema struct {
	Ref              string `yaml:"$ref"`
	Type             any    // a name or a list of names
	Format           string
	Description      string
	Properties       ordered[*schema]
	Required         []string
	Items            *schema
	OneOf            []*schema `yaml:"oneOf"`
	Enum             []any
	Const, Default   any
	Minimum, Maximum any
}

// entry is one entry of a mapping.
type entry[T any] struct {
	Name  string
	Value T
}

// ordered is a mapping of YAML in the order of the file.
type ordered[T any] []entry[T]

// UnmarshalYAML implements yaml.Unmarshaler.
func (o *ordered[T]) UnmarshalYAML(unmarshal func(any) error) error {
	var keys yaml.MapSlice
	var values map[string]T
	if err := unmarshal(&keys); err != nil {
		return err
	}
	if err := unmarshal(&values); err != nil {
		return err
	}
	for _, k := range keys {
		name := fmt.Sprint(k.Key)
		*o = append(*o, entry[T]{name, values[name]})
	}
	return nil
}

// find returns the value that a reference such as "#/components/schemas/Result" names, or else the value itself.
func (o ordered[T]) find(ref string, itself T) (T, error) {
	if ref == "" {
		return itself, nil
	}
	for _, e := range o {
		if e.Name == nameOf(ref) {
			return e.Value, nil
		}
	}
	return itself, fmt.Errorf("there is no %s", ref)
}

// nameOf returns the name at the end of a reference.
func nameOf(ref string) string { return ref[strings.LastIndex(ref, "/")+1:] }
