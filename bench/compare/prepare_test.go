package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestDivide(t *testing.T) {
	t.Parallel()
	list := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}
	for _, c := range []struct {
		n             int
		taken, others []int
	}{
		{0, nil, list},
		{1, []int{0}, list[1:]},
		{3, []int{0, 3, 6}, []int{1, 2, 4, 5, 7, 8, 9}},
		{10, list, nil},
		{11, list, nil},
	} {
		taken, others := divide(list, c.n)
		if !slices.Equal(taken, c.taken) || !slices.Equal(others, c.others) {
			t.Errorf("divide(list, %d) = %v, %v; want %v, %v", c.n, taken, others, c.taken, c.others)
		}
	}
}

func TestReadReference(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "reference.jsonl")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`{"file": "a.jpg", "class": 9, "top5": [3, 9, 1, 2, 4]}` + "\n" + `{"file": "b.jpg", "top5": [7]}` + "\n")
	got, err := readReference(path)
	if want := []picture{{"a.jpg", 3}, {"b.jpg", 7}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	write(`{"file": "a.jpg"}`)
	if _, err := readReference(path); err == nil || !strings.Contains(err.Error(), `no labels of "a.jpg"`) {
		t.Errorf("without labels: %v", err)
	}
}
