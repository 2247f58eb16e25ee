package autoscaler

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
)

// Summary is an [Explanation] with the last changes, in sentences for people: what a dashboard shows.
type Summary struct {
	Policy   string   `json:"policy"`
	Replicas int      `json:"replicas"` // wanted
	Ready    int      `json:"ready"`
	Starting int      `json:"starting"`
	Leading  bool     `json:"leading"` // this autoscaler may set the number
	DryRun   bool     `json:"dry_run"`
	Problem  string   `json:"problem,omitempty"` // what is wrong now
	Why      []string `json:"why"`               // from the load to the number; the last one decided
	Changes  []string `json:"changes"`           // each would change the decision
	Later    string   `json:"later"`             // what follows if the load stays the same
	Shadow   string   `json:"shadow,omitempty"`  // the account of a shadow, whose numbers these are
	Past     []Past   `json:"past"`              // the last changes of the number, the latest first
}

// Past is a decision that changed the number of replicas.
type Past struct {
	At       time.Time `json:"at"`
	Was      int       `json:"was"`
	Replicas int       `json:"replicas"`
	Why      string    `json:"why"`
	Error    string    `json:"error,omitempty"` // why it was not applied
}

// pastInSummary is the number of past changes in a summary.
const pastInSummary = 20

// Summary says what the autoscaler does, and what would change that.
func (a *Autoscaler) Summary() Summary {
	a.mu.Lock()
	s := Summary{Policy: a.policy.Name(), Leading: a.leading, DryRun: a.cfg.DryRun, Problem: a.problem, Why: []string{}, Changes: []string{}, Past: []Past{}}
	a.mu.Unlock()
	if account, is := a.account(); is {
		s.Shadow = account.String()
	}
	for _, r := range a.Decisions(1, false) {
		s.Replicas, s.Ready, s.Starting = r.Replicas, r.Ready, r.Starting
	}
	for _, r := range a.Decisions(pastInSummary, true) {
		s.Past = append(s.Past, Past{r.At, r.Was, r.Replicas, r.Because().String(), r.Error})
	}
	e, err := a.Explain()
	if err != nil {
		s.Later = err.Error()
		return s
	}
	for _, r := range e.Now.Reasons {
		s.Why = append(s.Why, r.String())
	}
	for _, c := range e.Changes {
		s.Changes = append(s.Changes, c.String())
	}
	s.Later = e.Then.String()
	return s
}

// getSummary responds with a Summary.
func (a *Autoscaler) getSummary(w http.ResponseWriter, _ *http.Request) error {
	httpx.WriteJSON(w, http.StatusOK, a.Summary())
	return nil
}

// getRoot responds with a page that says what is where. It reveals nothing about this system.
func (a *Autoscaler) getRoot(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; base-uri 'none'")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = strings.NewReader(rootPage).WriteTo(w)
}

// rootPage has relative links, so that it works under a prefix.
const rootPage = `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>ResNet18Cloud autoscaler</title><link rel="icon" href="data:,">
<style>:root{color-scheme:light dark}body{background:Canvas;color:CanvasText;font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:2rem auto;padding:0 1rem}a:focus-visible{outline:3px solid;outline-offset:2px}</style>
<main>
<h1>ResNet18Cloud autoscaler</h1>
<p>Its decisions are on the dashboard of the dispatcher, at <code>/dashboard</code>. As JSON, with a key of scope admin where keys are required:</p>
<ul>
<li><a href="summary">summary</a>: what it does, why, and what would change that, in sentences
<li><a href="explain">explain</a>: the same as numbers
<li><a href="decisions?changes=true">decisions</a>: the changes of the last hour
<li><a href="metrics">metrics</a>, <a href="health">health</a>
</ul>
</main>
</html>
`

// String is the change as a sentence.
func (c Change) String() string {
	return fmt.Sprintf("%s were %.0f instead of %.0f -> %s", c.What, c.To, c.From, c.Because)
}

// String is the next change as a sentence. Nil means that there is none.
func (l *Later) String() string {
	if l == nil {
		return "If the load stays the same, nothing changes for at least ten minutes."
	}
	return fmt.Sprintf("If the load stays the same, in %.0f s -> %s", l.Seconds, l.Because)
}
