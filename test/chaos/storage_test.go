//go:build chaos

package chaos

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/pause"
	"github.com/resnet18cloud/resnet18cloud/test/internal/harness"
)

// makeDataDir puts the data on a tmpfs of CHAOS_DISK_MB, or on the machine's disk without root.
func (s *system) makeDataDir() {
	s.t.Helper()
	dir := s.t.TempDir()
	s.dataDir = filepath.Join(dir, "queue")
	if os.Geteuid() != 0 {
		s.t.Log("not root: the data is on no disk of its own, and the fault of a full disk is left out")
		return
	}
	disk := filepath.Join(dir, "disk")
	if err := os.Mkdir(disk, 0o700); err != nil {
		s.t.Fatal(err)
	}
	if err := mount(disk, harness.Setting(s.t, "CHAOS_DISK_MB", 256)); err != nil {
		s.t.Logf("no tmpfs, and the fault of a full disk is left out: %v", err)
		return
	}
	s.t.Cleanup(func() {
		if err := unmount(disk); err != nil {
			s.t.Error(err)
		}
	})
	s.disk, s.dataDir = disk, filepath.Join(disk, "queue")
}

// fillDisk fills the disk for some seconds. Readiness must report this and the folder; the delay is judged with lies.
func fillDisk(ctx context.Context, s *system) {
	filler := filepath.Join(s.disk, "filler")
	if err := fill(filler); !errors.Is(err, syscall.ENOSPC) {
		s.t.Errorf("fill the disk: %v", err)
	}
	full := time.Now()
	pause.For(ctx, time.Duration(4000+s.rng.IntN(2000))*time.Millisecond)
	s.judgeFullDisk(full)
	if err := os.Remove(filler); err != nil {
		s.t.Error(err)
	}
}

func fill(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	piece := make([]byte, 1<<20)
	for len(piece) > 0 {
		if _, err = f.Write(piece); err != nil {
			piece = piece[:len(piece)/2]
		}
	}
	return err
}

// judgeFullDisk checks the dispatcher's readiness reports since the disk was full.
func (s *system) judgeFullDisk(full time.Time) {
	for _, sample := range s.ready[0].Samples() {
		if sample.At.Before(full) || sample.HTTPStatus != http.StatusServiceUnavailable {
			continue
		}
		if !strings.Contains(sample.Body, s.dataDir) && !strings.Contains(sample.Body, s.disk) {
			s.t.Errorf("readiness does not name the folder on the full disk: %s", sample.Body)
		}
		s.t.Logf("readiness shows the full disk after %.1fs: %s", sample.At.Sub(full).Seconds(), strings.TrimSpace(sample.Body))
		return
	}
	s.t.Error("readiness does not show the full disk")
}

// backlog makes images wait: it kills the replicas for a time. The returned function starts them again.
func (s *system) backlog(ctx context.Context) (work func()) {
	for _, r := range s.replicas {
		_ = r.Down(syscall.SIGKILL) // its exit status reports the kill
	}
	pause.For(ctx, 1500*time.Millisecond)
	return func() {
		for i, r := range s.replicas {
			s.up(r)
			if err := harness.AwaitListener(ctx, 10*time.Second, s.addrs[i]); err != nil {
				s.t.Error(err)
			}
		}
	}
}

// removeData deletes the data of a running dispatcher while images wait.
func removeData(ctx context.Context, s *system) {
	work := s.backlog(ctx)
	at := time.Now()
	if err := os.RemoveAll(s.dataDir); err != nil && !errors.Is(err, syscall.ENOTEMPTY) { // it writes meanwhile
		s.t.Error(err)
	}
	work()
	// A dispatcher needs a moment to detect that its files are unlinked.
	s.damages = append(s.damages, damage{name: "data folder removed", from: at, till: at.Add(backLimit), whole: time.Now()})
}

// ways are the ways to damage data; spoil implements them.
var ways = []string{"flip", "zero", "cut"}

// damageData stops the dispatcher while images wait, damages the files with the given name suffix in a way chosen by
// rng, and starts it again.
func damageData(ending string) func(context.Context, *system) {
	return func(ctx context.Context, s *system) {
		work := s.backlog(ctx)
		s.endBefore(ending)
		way := ways[s.rng.IntN(len(ways))]
		at := time.Now()
		s.damageFiles(ending, way)
		work()
		s.up(s.dispatchers[0])
		s.damages = append(s.damages, damage{name: way + " " + ending, from: at, till: at, whole: time.Now()})
	}
}

// endBefore stops the dispatcher such that there are files with that suffix to damage: indexes are written only on a
// clean exit.
func (s *system) endBefore(ending string) {
	sig := syscall.SIGKILL
	if ending == ".db" {
		sig = syscall.SIGTERM
	}
	if err := s.dispatchers[0].Down(sig); err != nil && sig == syscall.SIGTERM {
		s.t.Error(err)
	}
}

// damageFiles damages every file of the data with the name suffix, and fails the test if there is none.
func (s *system) damageFiles(ending, way string) {
	s.t.Helper()
	damaged := 0
	err := filepath.WalkDir(s.dataDir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(path, ending) {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil || len(data) == 0 {
			return err
		}
		was := bytes.Clone(data)
		data = spoil(data, way, s.rng)
		if !bytes.Equal(was, data) {
			damaged++
		}
		return os.WriteFile(path, data, 0o600)
	})
	if err != nil || damaged == 0 {
		s.t.Errorf("%s %s: %d files damaged, %v", way, ending, damaged, err)
	}
}

// spoil returns the data with five bytes flipped, 2000 zeroed, or without its last third.
func spoil(data []byte, way string, rng *rand.Rand) []byte {
	switch way {
	case "flip":
		for range 5 {
			data[rng.IntN(len(data))] ^= byte(1 + rng.IntN(255))
		}
	case "zero":
		from := len(data) / 3
		clear(data[from:min(len(data), from+2000)])
	case "cut":
		data = data[:len(data)*2/3]
	}
	return data
}
