// Package ledger records the IDs of accepted requests in two small files, so that a dispatcher whose store was
// damaged knows which requests it must end. The store's own files cannot provide this: one wrong byte in them hides
// everything after it. Each entry is written three times, each copy with a checksum, and is valid if one of the
// copies is.
package ledger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Entry is one accepted request.
type Entry struct {
	ID string    // a UUID
	At time.Time // when it was accepted, to the second
}

// The layout of an entry, in bytes: three copies of the ID, the time in seconds since 1970, and a CRC-32 of both.
const (
	copyBytes  = 16 + 4 + 4
	entryBytes = 3 * copyBytes
)

// Ledger is an append-only list of entries. It keeps at least the last size entries, and at most twice as many.
// Methods are safe for concurrent use.
type Ledger struct {
	dir  string
	size int

	mu      sync.Mutex
	current *os.File // guarded by mu: names[which], open for appending
	which   int      // guarded by mu
	entries int      // guarded by mu: number of entries in current
}

// names are the two files: one is being written, the other has the previous entries.
var names = [2]string{"accepted-0", "accepted-1"}

// Open opens the ledger in dir, which must exist, and creates its files if they are missing.
func Open(dir string, size int) (*Ledger, error) {
	l := &Ledger{dir: dir, size: size}
	// The newer file is the current one.
	var newest time.Time
	for i, name := range names {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.Size() > 0 && !info.ModTime().Before(newest) {
			l.which, newest = i, info.ModTime()
		}
	}
	if err := l.open(os.O_APPEND); err != nil {
		return nil, err
	}
	return l, nil
}

// open opens the current file. The caller holds mu or has exclusive access.
func (l *Ledger) open(flag int) error {
	f, err := os.OpenFile(filepath.Join(l.dir, names[l.which]), os.O_CREATE|os.O_RDWR|flag, 0o600)
	if err != nil {
		return fmt.Errorf("open ledger: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return fmt.Errorf("open ledger: %w", err)
	}
	l.current, l.entries = f, int(info.Size()/entryBytes)
	// A process that died while writing may have left a partial entry, and entries are found by position.
	if rest := info.Size() % entryBytes; rest != 0 {
		if _, err := f.Write(make([]byte, entryBytes-rest)); err != nil {
			_ = f.Close()
			return fmt.Errorf("repair ledger: %w", err)
		}
		l.entries++
	}
	return nil
}

// Add appends an entry in one write. The ID must be a UUID.
func (l *Ledger) Add(e Entry) error {
	id, err := uuid.Parse(e.ID)
	if err != nil {
		return fmt.Errorf("add ledger entry: %w", err)
	}
	var buf [entryBytes]byte
	copy(buf[:], id[:])
	binary.LittleEndian.PutUint32(buf[16:], uint32(e.At.Unix()))
	binary.LittleEndian.PutUint32(buf[20:], crc32.ChecksumIEEE(buf[:20]))
	copy(buf[copyBytes:], buf[:copyBytes])
	copy(buf[2*copyBytes:], buf[:copyBytes])
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.entries >= l.size {
		if err := l.rotate(); err != nil {
			return err
		}
	}
	if _, err := l.current.Write(buf[:]); err != nil {
		return fmt.Errorf("add ledger entry: %w", err)
	}
	l.entries++
	return nil
}

// rotate starts writing to the other file, and drops its contents. The caller holds mu.
func (l *Ledger) rotate() error {
	full := l.current
	l.which = 1 - l.which
	if err := l.open(os.O_APPEND | os.O_TRUNC); err != nil {
		l.current, l.which = full, 1-l.which
		return err
	}
	_ = full.Close() // every entry was written through
	return nil
}

// Entries returns the entries after since, oldest first as far as the files tell. It skips damaged entries.
func (l *Ledger) Entries(since time.Time) ([]Entry, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []Entry
	older, err := os.ReadFile(filepath.Join(l.dir, names[1-l.which]))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read ledger: %w", err)
	}
	newer, err := l.contents()
	if err != nil {
		return nil, err
	}
	for _, data := range [][]byte{older, newer} {
		for ; len(data) >= entryBytes; data = data[entryBytes:] {
			if e, ok := decode(data[:entryBytes]); ok && e.At.After(since) {
				list = append(list, e)
			}
		}
	}
	return list, nil
}

// contents reads the current file, even if it has been deleted. The caller holds mu.
func (l *Ledger) contents() ([]byte, error) {
	data, err := io.ReadAll(io.NewSectionReader(l.current, 0, 1<<40))
	if err != nil {
		return nil, fmt.Errorf("read ledger: %w", err)
	}
	return data, nil
}

// decode reads an entry from the first valid copy.
func decode(data []byte) (Entry, bool) {
	for c := range 3 {
		part := data[c*copyBytes : (c+1)*copyBytes]
		if binary.LittleEndian.Uint32(part[20:]) == crc32.ChecksumIEEE(part[:20]) && !bytes.Equal(part[:16], make([]byte, 16)) {
			id := uuid.UUID(part[:16])
			return Entry{ID: id.String(), At: time.Unix(int64(binary.LittleEndian.Uint32(part[16:])), 0)}, true
		}
	}
	return Entry{}, false
}

// Restore rewrites the current file if it was deleted.
func (l *Ledger) Restore() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := os.Stat(filepath.Join(l.dir, names[l.which])); err == nil {
		return nil
	}
	data, err := l.contents()
	if err != nil {
		return err
	}
	removed := l.current
	if err := l.open(os.O_APPEND | os.O_TRUNC); err != nil {
		l.current = removed
		return err
	}
	_ = removed.Close()
	if _, err := l.current.Write(data); err != nil {
		return fmt.Errorf("restore ledger: %w", err)
	}
	l.entries = len(data) / entryBytes
	return nil
}

// Close closes the files. The ledger must not be used afterwards.
func (l *Ledger) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.current.Close(); err != nil {
		return fmt.Errorf("close ledger: %w", err)
	}
	return nil
}
