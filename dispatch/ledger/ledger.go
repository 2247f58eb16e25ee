// Package ledger notes the ids of accepted requests in two small files of its own, so that a dispatcher
// whose store was damaged knows which requests it owes an end. The store's own files cannot tell: one wrong
// byte in them hides everything behind it. The one thing to know: an entry is written three times, each with
// a checksum, and read if one of the three is whole.
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

// The layout of an entry, in bytes: three times the id, the time in seconds since 1970, and a CRC-32 of both.
const (
	copyBytes  = 16 + 4 + 4
	entryBytes = 3 * copyBytes
)

// Ledger is an append-only list of entries. It keeps the last size of them, and up to as many older ones.
// Methods are safe for concurrent use.
type Ledger struct {
	dir  string
	size int

	mu      sync.Mutex
	current *os.File // guarded by mu: of names[which], open for appending
	which   int      // guarded by mu
	entries int      // guarded by mu: in current
}

// names are the two files: one is written, the other has what was written before.
var names = [2]string{"accepted-0", "accepted-1"}

// Open opens the ledger in dir, which exists, and makes its files if they are missing.
func Open(dir string, size int) (*Ledger, error) {
	l := &Ledger{dir: dir, size: size}
	// The younger file is the one that was written last.
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

// open opens the current file. The caller holds mu or is alone.
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
	// A process that died while it wrote may have left a part of an entry, and entries are found by place.
	if rest := info.Size() % entryBytes; rest != 0 {
		if _, err := f.Write(make([]byte, entryBytes-rest)); err != nil {
			_ = f.Close()
			return fmt.Errorf("repair ledger: %w", err)
		}
		l.entries++
	}
	return nil
}

// Add appends an entry with one write. The id is a UUID.
func (l *Ledger) Add(e Entry) error {
	id, err := uuid.Parse(e.ID)
	if err != nil {
		return fmt.Errorf("note accepted request: %w", err)
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
		if err := l.turn(); err != nil {
			return err
		}
	}
	if _, err := l.current.Write(buf[:]); err != nil {
		return fmt.Errorf("note accepted request: %w", err)
	}
	l.entries++
	return nil
}

// turn starts to write the other file, and drops what that had. The caller holds mu.
func (l *Ledger) turn() error {
	full := l.current
	l.which = 1 - l.which
	if err := l.open(os.O_APPEND | os.O_TRUNC); err != nil {
		l.current, l.which = full, 1-l.which
		return err
	}
	_ = full.Close() // every entry was written through
	return nil
}

// Entries returns those accepted after since, the oldest first as far as files tell. Damaged ones are left
// out.
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

// contents reads the current file, even when its name has gone. The caller holds mu.
func (l *Ledger) contents() ([]byte, error) {
	data, err := io.ReadAll(io.NewSectionReader(l.current, 0, 1<<40))
	if err != nil {
		return nil, fmt.Errorf("read ledger: %w", err)
	}
	return data, nil
}

// decode reads an entry from the first of its copies that is whole.
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

// Restore writes the current file again if somebody has removed it.
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

// Close closes the files. The ledger is not used after that.
func (l *Ledger) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.current.Close(); err != nil {
		return fmt.Errorf("close ledger: %w", err)
	}
	return nil
}
