package pth

import (
	"fmt"
	"strconv"
)

// Values on the machine's stack are nil (None), bool, int64, float64, string, text, blob, huge, tuple, *list, *dict, *object,
// *storage, *view, global and mark.
type (
	tuple  []any
	list   struct{ items []any } // also sets
	global string                // "module name" of a class or function: only a name, never what it stands for
	mark   struct{}
	huge   struct{} // an integer of more than 64 bits
	text   []byte   // UTF-8 of more than maxString bytes; shares the program's memory
	blob   []byte   // bytes; shares the program's memory
	dict   struct {
		entries []dictEntry
		state   any // attributes, as state_dict's _metadata
	}
)

type dictEntry struct{ key, value any }

// object is what a pickle says of a call or of an instance of a class that means nothing here. It is inert: the arguments and
// the state are kept to be looked at.
type object struct {
	class   global // what is called; empty if that is not a name
	args    tuple
	state   any         // of BUILD: usually the attributes
	items   []any       // appended, by subclasses of list
	entries []dictEntry // set by key, by subclasses of dict

	array *view // what array returned before, once known
	known bool
}

// get returns the value of the last entry with a string key, as a later assignment wins; nil if none has it.
func get(entries []dictEntry, key string) any {
	for i := len(entries) - 1; i >= 0; i-- {
		if k, ok := entries[i].key.(string); ok && k == key {
			return entries[i].value
		}
	}
	return nil
}

// entriesOf returns what a value holds by name: the items of a dictionary, also of a subclass, the attributes of an object, the
// items of a list by their index. Nil for everything else.
func entriesOf(v any) []dictEntry {
	switch v := v.(type) {
	case *dict:
		return v.entries
	case *object:
		if len(v.entries) > 0 {
			return v.entries
		}
		return attributes(v.state)
	case *list:
		return byIndex(v.items)
	case tuple:
		return byIndex(v)
	}
	return nil
}

// attributes reads an object's state: a dictionary, or a tuple that begins with one if the class has slots.
func attributes(state any) []dictEntry {
	if t, ok := state.(tuple); ok && len(t) > 0 {
		state = t[0]
	}
	if d, ok := state.(*dict); ok {
		return d.entries
	}
	return nil
}

func byIndex(items []any) []dictEntry {
	entries := make([]dictEntry, len(items))
	for i, v := range items {
		entries[i] = dictEntry{strconv.Itoa(i), v}
	}
	return entries
}

// kind names a value's type for error messages.
func kind(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case *view:
		return "tensor"
	case *dict:
		return "dictionary"
	case *list:
		return "list"
	case tuple:
		return "tuple"
	case *storage:
		return "storage"
	case *object:
		return "object of " + v.class.dotted()
	case global:
		return v.dotted()
	case int64, huge:
		return "number"
	case text:
		return "string"
	case blob:
		return "bytes"
	}
	return fmt.Sprintf("%T", v)
}
