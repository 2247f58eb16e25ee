package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/internal/chart"
)

// two rounds of two contestants in fp32 and three in int8, of which one is fast and wrong.
func example() []*measured {
	fp32, int8 := setting{"fp32", 2}, setting{"int8", 1}
	return []*measured{
		{setting: fp32, Name: "ours", Rounds: [][]float64{{0.010, 0.012, 0.500}, {0.020}}, Labels: 200, Equal: 200},
		{setting: fp32, Name: "other", Rounds: [][]float64{{0.024}, {0.030}}, Labels: 200, Equal: 199},
		{setting: int8, Name: "ours", Rounds: [][]float64{{0.008}}},
		{setting: int8, Name: "fast", Rounds: [][]float64{{0.004}}},
		{setting: int8, Name: "other", Rounds: [][]float64{{0.016}}},
		{setting: setting{"int8", 2}, Name: "ours", Rounds: [][]float64{{0.004}}, Labels: 200, Equal: 197},
		{setting: setting{"int8", 2}, Name: "fast", Rounds: [][]float64{{0.002}}, Labels: 200, Equal: 170},
		{setting: setting{"int8", 2}, Name: "other", Rounds: [][]float64{{0.008}}, Labels: 200, Equal: 190},
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	printTable(&b, example())
	var rows []string
	for line := range strings.Lines(b.String()) {
		rows = append(rows, strings.Join(strings.Fields(line), " "))
	}
	for _, want := range []string{
		"| fp32 | 2 | ours | 16.00 | 1.00 | 1.00 to 1.00 | 100.0 % |",
		"| fp32 | 2 | other | 27.00 | 1.75 | 1.62 to 1.88 | 99.5 % |", // ratios of rounds: 24/12 and 30/20
		"| int8 | 1 | fast | 4.00 | 0.50 | 0.50 to 0.50 | 85.0 % |",   // labelled with 2 threads
		"| int8 | 2 | other | 8.00 | 2.00 | 2.00 to 2.00 | 95.0 % |",
	} {
		if !slices.Contains(rows, want) {
			t.Errorf("no row %s in\n%s", want, b.String())
		}
	}
}

func TestSeries(t *testing.T) {
	t.Parallel()
	var c chart.Chart
	all := example()
	for _, m := range all {
		seriesOf(&c, all, m)
	}
	got := map[string]chart.Color{}
	for _, s := range c.Series {
		got[s.Name] = s.Color
	}
	want := map[string]chart.Color{"ours (int8: 98.5 %)": chart.Green, "other (int8: 95.0 %)": chart.Blue,
		"fast, int8: 15.0 % of labels wrong": chart.Grey}
	for name, color := range want {
		if c, ok := got[name]; !ok || c != color {
			t.Errorf("series %q has color %v, %t; want %v", name, c, ok, color)
		}
	}
	if len(got) != len(want) {
		t.Errorf("series %v, want %d", got, len(want))
	}
	path := filepath.Join(t.TempDir(), "x.png")
	if err := draw(path, all); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() == 0 {
		t.Errorf("no picture: %v", err)
	}
}
