package describe

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
)

// MaxBytes bounds a file of labels and other side files. ImageNet's config.json has 70 KB.
const MaxBytes = 4 << 20

// maxLabel bounds a label in bytes.
const maxLabel = 512

// Labels reads the names of classes, in the order of their outputs. It takes what people have:
//
//	cardboard                           one name on each line; blank lines do not count
//	n02119789 kit fox, Vulpes macrotis  WordNet's synsets: the first name is taken
//	/c/cardboard 0                      Places365: name and index, in any order
//	0 cardboard                         index and name
//	["cardboard", "glass"]              JSON: a list
//	{"0": "cardboard", "1": "glass"}    by index; also {"0": ["n02119789", "kit_fox"]}
//	{"cardboard": 0, "glass": 1}        by name, as ImageFolder's class_to_idx
//	{"id2label": {...}}                 one of these inside an object, such as a config.json
//
// Indices must be 0, 1, 2 and so on without gaps. Errors say what is wrong and where.
func Labels(data []byte) ([]string, error) {
	if len(data) > MaxBytes {
		return nil, fmt.Errorf("labels have %d bytes, want at most %d", len(data), MaxBytes)
	}
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return nil, errors.New("labels are UTF-16; save the file as UTF-8")
	}
	data = bytes.TrimSpace(bytes.TrimPrefix(data, []byte("\ufeff")))
	if !utf8.Valid(data) {
		return nil, errors.New("labels are not UTF-8; save the file as UTF-8")
	}
	var labels []string
	var err error
	switch {
	case len(data) == 0:
		err = errors.New("no labels: the file is empty")
	case data[0] == '{' || data[0] == '[':
		labels, err = fromJSON(data, true)
	default:
		labels, err = fromLines(strings.Split(string(data), "\n"))
	}
	if err != nil {
		return nil, err
	}
	return clean(labels)
}

// clean checks the labels, which are printed and sent, and trims space around them.
func clean(labels []string) ([]string, error) {
	if len(labels) == 0 {
		return nil, errors.New("no labels: the list is empty")
	}
	if len(labels) > spec.MaxClasses {
		return nil, fmt.Errorf("%d labels, want at most %d", len(labels), spec.MaxClasses)
	}
	for i, label := range labels {
		label = strings.TrimSpace(label)
		switch {
		case label == "":
			return nil, fmt.Errorf("label %d is empty", i)
		case len(label) > maxLabel:
			return nil, fmt.Errorf("label %d has %d bytes, want at most %d", i, len(label), maxLabel)
		case !utf8.ValidString(label) || strings.ContainsFunc(label, unicode.IsControl):
			return nil, fmt.Errorf("label %d, %.40q, has control characters", i, label)
		}
		labels[i] = label
	}
	return labels, nil
}

var (
	synsetLine = regexp.MustCompile(`^n\d{8}\s+([^,]+)`)
	placesLine = regexp.MustCompile(`^/[a-z]/(.+?)\s+(\d+)$`)
	indexFirst = regexp.MustCompile(`^(\d+)(?:\s*[:,]\s*|\s+)(.+)$`)
	indexLast  = regexp.MustCompile(`^(.+?)\s+(\d+)$`)
)

// fromLines reads one label from each line that is not blank.
func fromLines(lines []string) ([]string, error) {
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	lines = slices.DeleteFunc(lines, func(line string) bool { return line == "" })
	if found := matchAll(synsetLine, lines); found != nil {
		labels := make([]string, len(found))
		for i, m := range found {
			labels[i] = m[1]
		}
		return labels, nil
	}
	if found := matchAll(placesLine, lines); found != nil {
		return byIndex(found, 2, 1)
	}
	// Names may have numbers themselves: "class 1", "3 of hearts". They are indices where they are each of 0, 1, 2, ...
	if found := matchAll(indexFirst, lines); found != nil {
		if labels, err := byIndex(found, 1, 2); err == nil {
			return labels, nil
		}
	}
	if found := matchAll(indexLast, lines); found != nil {
		if labels, err := byIndex(found, 2, 1); err == nil && distinct(labels) {
			return labels, nil
		}
	}
	return lines, nil
}

// matchAll returns the matches of all lines, nil if one does not match.
func matchAll(form *regexp.Regexp, lines []string) [][]string {
	var found [][]string
	for _, line := range lines {
		m := form.FindStringSubmatch(line)
		if m == nil {
			return nil
		}
		found = append(found, m)
	}
	return found
}

func distinct(labels []string) bool {
	sorted := slices.Sorted(slices.Values(labels))
	return len(slices.Compact(sorted)) == len(labels)
}

// byIndex orders the labels of lines, which are at the given places of the matches.
func byIndex(found [][]string, index, name int) ([]string, error) {
	var p pairs
	for _, m := range found {
		p.add(m[index], m[name])
	}
	return p.ordered()
}

// pairs are labels with their indices.
type pairs struct {
	labels map[int]string
	err    error // of the first pair that is wrong
}

func (p *pairs) add(index, label string) {
	i, err := strconv.Atoi(index)
	if p.labels == nil {
		p.labels = map[int]string{}
	}
	_, twice := p.labels[i]
	switch {
	case p.err != nil:
	case err != nil || i < 0:
		p.err = fmt.Errorf("index %.40q of label %.40q, want a number from 0 on", index, label)
	case twice:
		p.err = fmt.Errorf("index %d has two labels, %.40q and %.40q", i, p.labels[i], label)
	default:
		p.labels[i] = label
	}
}

// ordered returns the labels in the order of their indices, which must be 0, 1, 2 and so on.
func (p *pairs) ordered() ([]string, error) {
	if p.err != nil {
		return nil, p.err
	}
	labels := make([]string, len(p.labels))
	for i := range labels {
		label, ok := p.labels[i]
		if !ok {
			return nil, fmt.Errorf("%d labels, and none has index %d; want indices 0 to %d", len(labels), i, len(labels)-1)
		}
		labels[i] = label
	}
	return labels, nil
}

// labelKeys are the names that objects have labels under, the ones for people first.
var labelKeys = []string{"label_names", "labels", "id2label", "label2id", "classes", "class_names", "idx_to_class", "class_to_idx", "names"}

// fromJSON reads a list or an object. The labels may be inside an object, but no deeper.
func fromJSON(data []byte, outside bool) ([]string, error) {
	if data[0] == '[' {
		var list []json.RawMessage
		if err := json.Unmarshal(data, &list); err != nil {
			return nil, fmt.Errorf("labels: %w", err)
		}
		labels := make([]string, len(list))
		for i, entry := range list {
			label, ok := text(entry)
			if !ok {
				return nil, fmt.Errorf("label %d is %.40q, want a text", i, entry)
			}
			labels[i] = label
		}
		return labels, nil
	}
	entries, err := object(data)
	if err != nil {
		return nil, err
	}
	if inner := inside(entries); outside && inner != nil {
		return fromJSON(inner, false)
	}
	var p pairs
	for _, e := range entries {
		if label, ok := text(e.value); ok {
			p.add(e.key, label)
		} else {
			p.add(string(e.value), e.key) // by name
		}
	}
	return p.ordered()
}

// inside returns the value of the first of labelKeys that holds a list or an object; nil if there is none.
func inside(entries []entry) []byte {
	for _, key := range labelKeys {
		for _, e := range entries {
			if e.key == key && (e.value[0] == '{' || e.value[0] == '[' && !isPair(e.value)) {
				return e.value
			}
		}
	}
	return nil
}

// text returns a JSON string, or the second of a list of two: WordNet's id and the name.
func text(value json.RawMessage) (string, bool) {
	var s string
	if json.Unmarshal(value, &s) == nil && !bytes.Equal(value, []byte("null")) {
		return s, true
	}
	if isPair(value) {
		var pair [2]string
		_ = json.Unmarshal(value, &pair) // isPair did it before
		return pair[1], true
	}
	return "", false
}

var synset = regexp.MustCompile(`^n\d{8}$`)

// isPair reports whether value is a list of WordNet's id and a name.
func isPair(value json.RawMessage) bool {
	var list []string
	return json.Unmarshal(value, &list) == nil && len(list) == 2 && synset.MatchString(list[0])
}

// entry is a key of a JSON object with its value.
type entry struct {
	key   string
	value json.RawMessage
}

// object returns the entries of a JSON object in their order. Unlike a map it shows keys that stand there twice.
func object(data []byte) ([]entry, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	if _, err := d.Token(); err != nil { // the brace
		return nil, fmt.Errorf("labels: %w", err)
	}
	var entries []entry
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("labels: %w", err)
		}
		e := entry{}
		e.key, _ = key.(string) // the decoder takes no other keys
		if err := d.Decode(&e.value); err != nil {
			return nil, fmt.Errorf("label %.40q: %w", e.key, err)
		}
		entries = append(entries, e)
	}
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf("labels: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("labels: more follows the JSON object")
	}
	return entries, nil
}
