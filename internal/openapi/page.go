package openapi

import (
	"bytes"
	_ "embed" // for the page's files
	"fmt"
	"html/template"
	"slices"
	"strings"

	"go.yaml.in/yaml/v2"
)

var (
	//go:embed page.html
	pageHTML string
	//go:embed page.css
	pageCSS []byte
	//go:embed icon.svg
	iconSVG []byte

	pageTemplate = template.Must(template.New("page").Parse(pageHTML))
)

// page is the description as people read it: references are followed, and operations are grouped.
type page struct {
	Title, Version, Description string
	Groups                      []group
	Schemas                     []shownSchema
}

type group struct {
	Name, ID, Description string
	Operations            []shownOperation
}

type shownOperation struct {
	ID, Method, Path, Summary, Description string
	Keyless                                bool // no key is needed
	Parameters                             []field
	Body                                   *shownMessage
	Responses                              []shownMessage
}

// shownMessage is the body of a request, or a response.
type shownMessage struct {
	Status      string
	Description string
	Headers     []field
	Contents    []content
}

type content struct {
	MediaType string
	Type      kind
	Fields    []field // of forms
}

type shownSchema struct {
	Name, Description string
	Type              kind // of schemas without fields
	Fields            []field
}

// field is a parameter, a header or a field of JSON.
type field struct {
	Name, Where, Description string
	Type                     kind
	Required                 bool
}

// kind is a type in words, with the schema that it contains, if any: "array of Score".
type kind struct{ Text, Schema string }

// render returns the page of a description.
func render(description []byte) ([]byte, error) {
	var d document
	if err := yaml.Unmarshal(description, &d); err != nil {
		return nil, fmt.Errorf("read the description: %w", err)
	}
	p, err := d.page()
	if err != nil {
		return nil, fmt.Errorf("read the description: %w", err)
	}
	var out bytes.Buffer
	if err := pageTemplate.Execute(&out, p); err != nil {
		return nil, fmt.Errorf("write the page of the description: %w", err)
	}
	return out.Bytes(), nil
}

func (d *document) page() (page, error) {
	p := page{Title: d.Info.Title, Version: d.Info.Version, Description: d.Info.Description}
	for _, t := range d.Tags {
		g := group{Name: t.Name, ID: strings.ReplaceAll(strings.ToLower(t.Name), " ", "-"), Description: t.Description}
		for _, path := range d.Paths {
			for _, m := range []struct {
				method string
				*operation
			}{{"GET", path.Value.Get}, {"POST", path.Value.Post}, {"PUT", path.Value.Put}, {"DELETE", path.Value.Delete}} {
				if m.operation == nil || !slices.Contains(m.Tags, t.Name) {
					continue
				}
				o, err := d.operation(m.method, path.Name, path.Value.Parameters, m.operation)
				if err != nil {
					return p, fmt.Errorf("%s %s: %w", m.method, path.Name, err)
				}
				g.Operations = append(g.Operations, o)
			}
		}
		p.Groups = append(p.Groups, g)
	}
	for _, s := range d.Components.Schemas {
		shown := shownSchema{Name: s.Name, Description: s.Value.Description, Fields: fieldsOf(s.Value, "")}
		if len(shown.Fields) == 0 {
			shown.Type = kindOf(s.Value)
		}
		p.Schemas = append(p.Schemas, shown)
	}
	return p, nil
}

func (d *document) operation(method, path string, common []*parameter, o *operation) (shown shownOperation, err error) {
	shown = shownOperation{ID: o.OperationID, Method: method, Path: path, Summary: o.Summary, Description: o.Description,
		Keyless: o.Security != nil && len(*o.Security) == 0}
	for _, p := range slices.Concat(common, o.Parameters) {
		if p, err = d.Components.Parameters.find(p.Ref, p); err != nil {
			return shown, err
		}
		shown.Parameters = append(shown.Parameters, field{p.Name, p.In, p.Description, kindOf(p.Schema), p.Required})
	}
	if b := o.RequestBody; b != nil {
		if b, err = d.Components.RequestBodies.find(b.Ref, b); err != nil {
			return shown, err
		}
		shown.Body = &shownMessage{Description: b.Description, Contents: contentsOf(b.Content)}
	}
	for _, e := range o.Responses {
		r, err := d.Components.Responses.find(e.Value.Ref, e.Value)
		if err != nil {
			return shown, err
		}
		m := shownMessage{Status: e.Name, Description: r.Description, Contents: contentsOf(r.Content)}
		if e.Name == "default" {
			m.Status = "4xx, 5xx"
		}
		for _, h := range r.Headers {
			m.Headers = append(m.Headers, field{Name: h.Name, Description: h.Value.Description, Type: kindOf(h.Value.Schema)})
		}
		shown.Responses = append(shown.Responses, m)
	}
	return shown, nil
}

func contentsOf(all ordered[mediaType]) (shown []content) {
	for _, m := range all {
		c := content{MediaType: m.Name, Type: kindOf(m.Value.Schema)}
		if s := m.Value.Schema; s != nil && s.Ref == "" {
			c.Fields = fieldsOf(s, "")
		}
		shown = append(shown, c)
	}
	return shown
}

// fieldsOf lists the fields of an object, and of objects inside it that have no name of their own, as "queue.size".
func fieldsOf(s *schema, prefix string) (all []field) {
	for _, p := range s.Properties {
		name := prefix + p.Name
		all = append(all, field{Name: name, Description: p.Value.Description, Type: kindOf(p.Value), Required: slices.Contains(s.Required, p.Name)})
		inner := p.Value
		if inner.Items != nil {
			name, inner = name+"[]", inner.Items
		}
		all = append(all, fieldsOf(inner, name+".")...)
	}
	return all
}

// kindOf describes the type of a schema in words.
func kindOf(s *schema) kind {
	switch {
	case s == nil:
		return kind{Text: "any"}
	case s.Ref != "":
		return kind{Schema: nameOf(s.Ref)}
	case len(s.OneOf) > 0:
		k := kindOf(s.OneOf[len(s.OneOf)-1])
		for _, other := range s.OneOf[:len(s.OneOf)-1] {
			inner := kindOf(other)
			k.Text = inner.Text + inner.Schema + " or " + k.Text
		}
		return k
	}
	var words []string
	switch t := s.Type.(type) {
	case string:
		words = append(words, t)
	case []any:
		for _, one := range t {
			words = append(words, fmt.Sprint(one))
		}
	default:
		words = append(words, "any")
	}
	k := kind{Text: strings.Join(words, " or ")}
	if s.Items != nil {
		inner := kindOf(s.Items)
		k.Text, k.Schema = strings.Replace(k.Text, "array", "array of "+inner.Text, 1), inner.Schema
	}
	if s.Format != "" {
		k.Text += " (" + s.Format + ")"
	}
	if s.Const != nil {
		k.Text += fmt.Sprintf(": %v", s.Const)
	}
	for i, value := range s.Enum {
		separator := ", "
		if i == 0 {
			separator = ": "
		}
		k.Text += fmt.Sprint(separator, value)
	}
	if s.Minimum != nil {
		k.Text += fmt.Sprintf(", at least %v", s.Minimum)
	}
	if s.Maximum != nil {
		k.Text += fmt.Sprintf(", at most %v", s.Maximum)
	}
	if s.Default != nil {
		k.Text += fmt.Sprintf(", default %v", s.Default)
	}
	return k
}
