package autoscaler

import (
	"net/http"
	"strconv"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/access"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
)

// routes are the endpoints of an autoscaler and those of its server for operators, which are nil if there is none.
func (a *Autoscaler) routes() (public, admin http.Handler) {
	mux := access.NewMux(a.cfg.Access, a.cfg.Log)
	mux.Add("GET /health", access.Anyone, a.getHealth)
	mux.HandleFunc("GET /{$}", a.getRoot)
	if a.cfg.AdminAddr == "" {
		mux.Add("GET /metrics", access.Read, httpx.Plain(a.metrics.Handler()))
		a.handleAdmin(mux)
		a.metrics.http.Add(mux.Patterns())
		return httpx.JSONErrors(mux.ServeMux), nil
	}
	operators := access.NewMux(a.cfg.Access, a.cfg.Log)
	operators.Add("GET /health", access.Anyone, a.getHealth)
	operators.HandleFunc("GET /{$}", a.getRoot)
	operators.Add("GET /metrics", access.Anyone, httpx.Plain(a.metrics.Handler()))
	a.handleAdmin(operators)
	httpx.HandleProfiles(operators.ServeMux)
	a.metrics.http.Add(append(mux.Patterns(), operators.Patterns()...))
	return httpx.JSONErrors(mux.ServeMux), httpx.JSONErrors(operators.ServeMux)
}

// handleAdmin adds the endpoints that explain decisions.
func (a *Autoscaler) handleAdmin(mux *access.Mux) {
	mux.Add("GET /decisions", access.Admin, a.getDecisions)
	mux.Add("GET /explain", access.Admin, a.getExplain)
	mux.Add("GET /summary", access.Admin, a.getSummary)
}

// getDecisions responds with the latest decisions, the latest first: at most ?n= (100), with ?changes=true only
// those that changed the number of replicas.
func (a *Autoscaler) getDecisions(w http.ResponseWriter, r *http.Request) error {
	if err := httpx.CheckQuery(r, "n", "changes"); err != nil {
		return err
	}
	n, changes := 100, false
	for name, parse := range map[string]func(string) error{
		"n":       func(v string) (err error) { n, err = strconv.Atoi(v); return err },
		"changes": func(v string) (err error) { changes, err = strconv.ParseBool(v); return err },
	} {
		if v := r.URL.Query().Get(name); v != "" {
			if err := parse(v); err != nil {
				return &resnet18cloud.Error{Code: resnet18cloud.CodeInvalid, Message: "Invalid " + name, Hint: "example: ?n=100&changes=true", Err: err}
			}
		}
	}
	httpx.WriteJSON(w, http.StatusOK, a.Decisions(n, changes))
	return nil
}

// getExplain responds with an Explanation.
func (a *Autoscaler) getExplain(w http.ResponseWriter, r *http.Request) error {
	e, err := a.Explain()
	if err != nil {
		return &resnet18cloud.Error{Code: resnet18cloud.CodeUnavailable, Message: "Nothing to explain", Hint: err.Error(), Err: err}
	}
	httpx.WriteJSON(w, http.StatusOK, e)
	return nil
}

// getHealth responds with the state of the loop. An autoscaler with a problem, such as missing metrics, is healthy: a
// restart would not help.
func (a *Autoscaler) getHealth(w http.ResponseWriter, _ *http.Request) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	httpx.WriteJSON(w, http.StatusOK, struct {
		Status  string `json:"status"`
		Policy  string `json:"policy"`
		Leading bool   `json:"leading"`
		DryRun  bool   `json:"dry_run"`
		Problem string `json:"problem,omitempty"`
	}{"healthy", a.policy.Name(), a.leading, a.cfg.DryRun, a.problem})
	return nil
}
