package onnx

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// outside is where a tensor's numbers are in another file: entries of TensorProto.external_data.
type outside struct {
	location string
	offset   int64
	length   int64 // 0: as many as the tensor needs
}

// maxFiles bounds how many files beside the model are opened. Exporters write one for all tensors, or one for each.
const maxFiles = 256

func (o *outside) set(entry []byte) error {
	key, value, err := parseEntry(entry)
	if err != nil {
		return err
	}
	number := func(to *int64) {
		if *to, err = strconv.ParseInt(value, 10, 64); err == nil && *to < 0 {
			err = errors.New("is negative")
		}
		if err != nil {
			err = fmt.Errorf("external data: %s %.100q: %w", key, value, err)
		}
	}
	switch key {
	case "location":
		o.location = value
	case "offset":
		number(&o.offset)
	case "length":
		number(&o.length)
	}
	return err
}

// files opens files beside the model, each once.
type files struct {
	open   func(name string) ([]byte, error)
	opened map[string][]byte
}

// read returns want bytes of a file, which must be in the model's folder.
func (f *files) read(o *outside, want int) ([]byte, error) {
	name := strings.TrimPrefix(o.location, "./")
	if name == "" || strings.HasPrefix(name, ".") || strings.ContainsAny(name, "/\\:\x00") {
		return nil, fmt.Errorf("its data is in %.100q, want only the name of a file in the model's folder", o.location)
	}
	data, ok := f.opened[name]
	if !ok {
		if f.open == nil {
			return nil, fmt.Errorf("its data is in %.100q, which cannot be read here", name)
		}
		if len(f.opened) >= maxFiles {
			return nil, fmt.Errorf("its data is in %.100q, want at most %d files beside the model", name, maxFiles)
		}
		var err error
		if data, err = f.open(name); err != nil {
			return nil, fmt.Errorf("its data is in %.100q, which must be in the model's folder: %w", name, err)
		}
		if f.opened == nil {
			f.opened = map[string][]byte{}
		}
		f.opened[name] = data
	}
	length := int64(want)
	if o.length != 0 {
		length = o.length
	}
	if o.offset > int64(len(data)) || length > int64(len(data))-o.offset {
		return nil, fmt.Errorf("its data is %d bytes from byte %d of %.100q, which has %d (is it complete, and of the same export?)",
			length, o.offset, name, len(data))
	}
	return data[o.offset : o.offset+length : o.offset+length], nil
}
