// Package pth reads the checkpoints that PyTorch writes: whole models, state dicts and what training scripts save around them,
// in all containers since 2017. Their objects are described by a pickle, a program for Python's object stack machine that may
// call anything. The machine here calls nothing: the few functions that make tensors and containers are known, and everything
// else becomes an inert note of what would be called with what. Then the tensors are looked up in what the machine left, and
// read only when somebody asks for their numbers. Package weights is its caller.
//
// Sources of the formats: torch/serialization.py, torch/_utils.py; Lib/pickletools.py of Python.
package pth

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// Detect returns the container that data begins like, "" if it is none of a checkpoint.
func Detect(data []byte) Kind {
	switch {
	case bytes.HasPrefix(data, []byte("PK\x03\x04")):
		return Zip
	case afterMagic(data) != nil:
		return Legacy
	case isTar(data):
		return Tar
	case len(data) > 2 && data[0] == 0x80 && 2 <= data[1] && data[1] <= 5:
		return Pickle
	}
	for _, begin := range []string{"(dp", "(lp", "}q", "ccollections\nOrderedDict\n"} { // protocols 0 and 1
		if bytes.HasPrefix(data, []byte(begin)) {
			return Pickle
		}
	}
	return ""
}

// isTar reports whether data is a tar file with the entries of a checkpoint.
func isTar(data []byte) bool {
	if len(data) < 512 {
		return false
	}
	header, err := tar.NewReader(bytes.NewReader(data[:512])).Next()
	return err == nil && slices.Contains([]string{"sys_info", "pickle", "tensors", "storages"}, header.Name)
}

// Parse reads a checkpoint of any container. The tensors share data's memory where they can; strings do not.
func Parse(data []byte) (*Content, error) {
	c := &Content{Kind: Detect(data)}
	steps := maxSteps
	var root any
	var from *source
	var err error
	switch c.Kind {
	case Zip:
		root, from, err = readZip(data, &steps)
	case Legacy:
		root, from, err = readLegacy(data, &steps)
	case Pickle:
		root, from, err = readPickle(data, &steps)
	case Tar:
		err = errors.New("checkpoint is in the tar format of PyTorch before 0.1.10: load it with torch.load and save it again with torch.save")
	default:
		err = errors.New("not a PyTorch checkpoint")
	}
	if err != nil {
		return nil, err
	}
	w := walker{source: from}
	if c.Candidates, err = w.candidates(root); err != nil {
		return nil, err
	}
	c.Facts, c.Keys = facts(root), keys(root)
	return c, nil
}

// readPickle reads a pickle that stands alone; the numbers of its arrays are in it.
func readPickle(data []byte, steps *int) (any, *source, error) {
	root, _, err := newMachine(steps).run(data)
	if err != nil {
		return nil, nil, err
	}
	return root, &source{fetch: func(s *storage) ([]byte, error) {
		return nil, fmt.Errorf("storage %q is not in the file", s.key)
	}}, nil
}
