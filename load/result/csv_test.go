package result_test

import (
	"encoding/csv"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/resnet18cloud/resnet18cloud/load/result"
	"github.com/resnet18cloud/resnet18cloud/load/result/resulttest"
)

// TestCSV reads a timeline back as a spreadsheet does.
func TestCSV(t *testing.T) {
	t.Parallel()
	_, records := resulttest.Run(resulttest.Noon, 30)
	records[25].FromCache = true
	s := result.NewSummary()
	for _, r := range records {
		s.Add(r)
	}
	s.Add(result.Record{Intended: 4 * time.Second, Sent: 4 * time.Second, Done: 4 * time.Second, Error: "full"})
	s.Server = []result.Sample{
		{At: 100 * time.Millisecond, HasStatus: true, Queue: 1}, {At: 900 * time.Millisecond, HasStatus: true, Queue: 2, Processing: 3, Replicas: 1},
		{At: 1500 * time.Millisecond}, {At: 2 * time.Second, HasStatus: true, Queue: 7, Replicas: 2}, {At: 9 * time.Second, HasStatus: true},
	}
	path := filepath.Join(t.TempDir(), "a.csv")
	if err := s.WriteCSVFile(path); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := csv.NewReader(strings.NewReader(string(data))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	want := [][]string{
		{"second", "scheduled", "sent", "answered", "from_cache", "failed", "p50_ms", "p95_ms", "p99_ms", "max_ms", "computed_p50_ms", "computed_p99_ms", "waiting", "in_progress", "replicas"},
		{"0", "10", "9", "8", "0", "1", "6.003", "1000.447", "1000.447", "1000.447", "6.003", "1000.447", "2", "3", "1"},
		{"1", "10", "11", "10", "0", "1", "15.007", "19.007", "19.007", "19.007", "15.007", "19.007", "", "", ""},
		{"2", "10", "10", "9", "1", "1", "25.007", "29.007", "29.007", "29.007", "24.015", "29.007", "7", "0", "2"},
		{"3", "0", "0", "0", "0", "0", "", "", "", "", "", "", "", "", ""},
		{"4", "1", "1", "0", "0", "1", "", "", "", "", "", "", "", "", ""},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if err := s.WriteCSVFile(filepath.Join(path, "b")); err == nil || !strings.Contains(err.Error(), "write CSV") {
		t.Errorf("a file in a file: %v", err)
	}
	if err := s.WriteCSV(full{}); !errors.Is(err, errFull) {
		t.Errorf("a full disk: %v", err)
	}
}

var errFull = errors.New("full")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }
