package search

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzReadFile: what is read can be written, and planned with.
func FuzzReadFile(f *testing.F) {
	result := `{"format":"resnet18cloud/loadtest/1","sent":3,"ok":3,"elapsed":2,"timeline":[{"second":1,"answered":3}]}`
	f.Add([]byte(`{"format":"` + format + `","slo":["p99<1s"],"rate":2,"trials":[{"rate":2,"holds":true,"result":` + result + `}]}`))
	f.Add([]byte(`{"format":"` + format + `","trials":[{}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "search.json")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		found, err := ReadFile(path)
		if err != nil {
			return
		}
		found.Best()
		found.Limit()
		found.ReplicaCost()
		if err := found.WriteFile(path); err != nil {
			t.Errorf("read, but cannot be written: %v", err)
		}
	})
}
