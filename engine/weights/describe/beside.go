package describe

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// Beside reads the side files in the folder of a weight file: config.json and preprocessor_config.json, as Hugging Face's
// hub has them. Both may be missing.
func Beside(folder fs.FS) (d Description, err error) {
	for _, side := range []struct {
		name string
		read func([]byte) (Description, error)
	}{
		{ProcessorFile, Processor}, // before config.json: it is about nothing else
		{ConfigFile, Config},
	} {
		data, err := readSide(folder, side.name)
		if err != nil {
			return d, fmt.Errorf("read %s beside the weights: %w", side.name, err)
		}
		if data == nil {
			continue
		}
		found, err := side.read(data)
		if err != nil {
			return d, err
		}
		d.Add(found)
	}
	return d, nil
}

// readSide returns nil for a file that does not exist or is none.
func readSide(folder fs.FS, name string) ([]byte, error) {
	info, err := fs.Stat(folder, name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	f, err := folder.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	return io.ReadAll(io.LimitReader(f, MaxBytes+1))
}
