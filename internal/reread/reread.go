// Package reread reads small files that may change while a program runs, such as keys and certificates, and tells when to
// read them again. It polls, which works on every file system, and with the symbolic links that Kubernetes replaces when
// a Secret changes.
package reread

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"
)

// Interval is the time between two looks at a file. Kubernetes updates a mounted Secret within about a minute.
const Interval = 2 * time.Second

// maxBytes limits a file: 10,000 keys have 1.3 MB, the certificate authorities of a whole system 200 KiB.
const maxBytes = 4 << 20

// File returns the content of a file, and an error if it has more than 4 MiB.
func File(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	switch {
	case err != nil:
		return nil, err
	case len(data) > maxBytes:
		return nil, fmt.Errorf("%s is larger than %d MiB: is this the right file?", path, maxBytes>>20)
	}
	return data, nil
}

// Check returns an error if one of the paths cannot be read again because it is neither a file nor a folder. A pipe can
// be read at the start, but not again: opening it would wait until somebody writes, possibly forever. Empty paths are
// ignored.
func Check(paths ...string) error {
	for _, path := range paths {
		if path == "" {
			continue
		}
		info, err := os.Stat(path)
		switch {
		case err != nil:
			return err
		case !info.Mode().IsRegular() && !info.IsDir():
			return fmt.Errorf("%s is not a regular file: its changes cannot be followed", path)
		}
	}
	return nil
}

// Every calls look with the time, once per Interval, until ctx ends.
func Every(ctx context.Context, look func(now time.Time)) {
	ticker := time.NewTicker(Interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			look(now)
		}
	}
}
