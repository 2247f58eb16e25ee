//go:build cluster

package cluster

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/resnet18cloud/resnet18cloud/test/internal/harness"
)

var table struct {
	mu   sync.Mutex
	rows []string // guarded by mu
}

// addRow adds what clients saw in a scenario.
func addRow(s *system, name string, back time.Duration) {
	answers, polls := map[int]int{}, map[int]int{}
	var longest time.Duration
	for _, sub := range s.load.Submissions() {
		answers[sub.Answer.HTTPStatus]++
		longest = max(longest, sub.Done.Sub(sub.Sent))
	}
	for _, p := range s.load.Polls() {
		polls[p.HTTPStatus]++
	}
	sent := s.load.Sent()
	other := sent - answers[202] - answers[200] - answers[503]
	backText := "-"
	if len(s.faults) > 0 {
		backText = fmt.Sprintf("%.1f", back.Seconds())
	}
	var changes []string
	for _, r := range s.ready {
		changes = append(changes, harness.Describe(harness.Changes(r.Samples()), s.origin()))
	}
	table.mu.Lock()
	defer table.mu.Unlock()
	table.rows = append(table.rows, fmt.Sprintf("%s\t%d\t%d\t%d\t%d\t%d\t%.2f\t%d / %d / %d / %d\t%s\t%s", name, sent, answers[202], answers[200],
		answers[503], other, longest.Seconds(), polls[200], polls[503], polls[404], len(s.load.Polls())-polls[200]-polls[503]-polls[404],
		strings.Join(changes, "  |  "), backText))
}

// printTable writes the rows of all scenarios that ran.
func printTable(w io.Writer) {
	table.mu.Lock()
	defer table.mu.Unlock()
	if len(table.rows) == 0 {
		return
	}
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "scenario\trequests\t202\t200\t503\tother\tlongest s\tpolls 200 / 503 / 404 / other\treadiness of each dispatcher, from the first fault\tback after s")
	for _, row := range table.rows {
		fmt.Fprintln(out, row)
	}
	_ = out.Flush() // standard output
}
