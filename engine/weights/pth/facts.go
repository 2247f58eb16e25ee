package pth

import (
	"strings"
	"unicode/utf8"
)

const (
	maxFacts     = 4096
	maxFactDepth = 8
	maxFactText  = 64 << 10 // bytes of one text: mmpretrain's meta.cfg has some 10 KB
	maxFactBytes = 8 << 20  // of all facts together
)

// factWalker gathers plain values.
type factWalker struct {
	facts  map[string]any
	bytes  int
	visits int
	onPath map[any]bool
}

// facts returns the plain values of a checkpoint.
func facts(root any) map[string]any {
	w := factWalker{facts: map[string]any{}, onPath: map[any]bool{}}
	if o, ok := root.(*object); ok {
		w.set("class", o.class.className())
	}
	w.visit(root, "", 0)
	return w.facts
}

// set notes one fact while there is room.
func (w *factWalker) set(path string, v any) {
	n := 64 + len(path)
	switch v := v.(type) {
	case string:
		n += len(v)
	case []string:
		for _, s := range v {
			n += 16 + len(s)
		}
	case []float64:
		n += 8 * len(v)
	case map[string]string:
		for k, s := range v {
			n += 64 + len(k) + len(s)
		}
	case map[string]int64:
		for k := range v {
			n += 64 + len(k)
		}
	case map[int64]string:
		for _, s := range v {
			n += 64 + len(s)
		}
	}
	if path == "" || len(w.facts) >= maxFacts || w.bytes+n > maxFactBytes {
		return
	}
	w.bytes += n
	w.facts[strings.Clone(path)] = v
}

// plain returns a value that is a fact by itself, nil if it is none.
func plain(v any) any {
	switch v := v.(type) {
	case string:
		return clean(v)
	case text:
		if len(v) <= maxFactText {
			return clean(string(v))
		}
	case bool, int64, float64:
		return v
	}
	return nil
}

// clean makes a Python 2 string, whose encoding is unknown, valid: latin-1 if it is not UTF-8.
func clean(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	runes := make([]rune, 0, len(s))
	for i := range len(s) {
		runes = append(runes, rune(s[i]))
	}
	return string(runes)
}

// visit notes v, or the facts below it, under path.
func (w *factWalker) visit(v any, path string, depth int) {
	if w.visits += cost(v); w.visits > maxVisits || depth > maxFactDepth {
		return
	}
	if p := plain(v); p != nil {
		w.set(path, p)
		return
	}
	switch x := v.(type) {
	case *list:
		w.list(x.items, path)
		if path != "" {
			return
		}
	case tuple:
		w.list(x, path)
		if path != "" {
			return
		}
	case *dict:
		w.dict(x.entries, path)
	case *object:
		if len(x.items) > 0 {
			w.list(x.items, path)
		}
		if tensorOf(x) != nil || depth > 1 && isModule(x) {
			return
		}
		w.dict(entriesOf(x), path)
	default:
		return
	}
	if _, isTuple := v.(tuple); !isTuple {
		if w.onPath[v] {
			return
		}
		w.onPath[v] = true
		defer delete(w.onPath, v)
	}
	w.below(entriesOf(v), path, depth, isModule(v))
}

// below visits what has a name: of a module only its plain attributes that are its author's.
func (w *factWalker) below(entries []dictEntry, path string, depth int, module bool) {
	for _, e := range entries {
		key, ok := e.key.(string)
		if !ok || isBeside(key) || module && (strings.HasPrefix(key, "_") || isModule(e.value)) {
			continue
		}
		if path != "" {
			key = path + "." + key
		}
		if len(key) <= maxName {
			w.visit(e.value, clean(key), depth+1)
		}
	}
}

// list notes a list of strings or of numbers.
func (w *factWalker) list(items []any, path string) {
	if len(items) == 0 {
		return
	}
	if w.visits += len(items); w.visits > maxVisits {
		return
	}
	if tooLong(items) {
		return
	}
	if strs, ok := all[string](items); ok {
		w.set(path, strs)
		return
	}
	numbers := make([]float64, len(items))
	for i, v := range items {
		switch v := v.(type) {
		case int64:
			numbers[i] = float64(v)
		case float64:
			numbers[i] = v
		default:
			return
		}
	}
	w.set(path, numbers)
}

// tooLong reports whether the strings among values are more than all facts may have. The same string may stand there many times, and
// cleaning copies it.
func tooLong(values []any) bool {
	n := 0
	for _, v := range values {
		if s, ok := v.(string); ok {
			if n += len(s); n > maxFactBytes {
				return true
			}
		}
	}
	return false
}

// all returns the values if each is a T; strings are cleaned.
func all[T any](items []any) ([]T, bool) {
	out := make([]T, len(items))
	for i, v := range items {
		if s, ok := v.(string); ok {
			v = clean(s)
		}
		t, ok := v.(T)
		if !ok {
			return nil, false
		}
		out[i] = t
	}
	return out, true
}

// dict notes a dictionary of strings by string or number, or of numbers by string.
func (w *factWalker) dict(entries []dictEntry, path string) {
	if len(entries) == 0 {
		return
	}
	if w.visits += len(entries); w.visits > maxVisits {
		return
	}
	keys, values := make([]any, len(entries)), make([]any, len(entries))
	for i, e := range entries {
		keys[i], values[i] = e.key, e.value
	}
	if tooLong(keys) || tooLong(values) {
		return
	}
	names, named := all[string](keys)
	numbers, numbered := all[int64](keys)
	strs, ofStrings := all[string](values)
	ints, ofInts := all[int64](values)
	switch {
	case named && ofStrings:
		w.set(path, zip2(names, strs))
	case named && ofInts:
		w.set(path, zip2(names, ints))
	case numbered && ofStrings:
		w.set(path, zip2(numbers, strs))
	}
}

func zip2[K comparable, V any](keys []K, values []V) map[K]V {
	m := make(map[K]V, len(keys))
	for i, k := range keys {
		m[k] = values[i]
	}
	return m
}
