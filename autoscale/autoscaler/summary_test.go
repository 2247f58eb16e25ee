package autoscaler

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
)

// TestSummary checks that there are sentences before the first decision too, and that the root page leads to them.
func TestSummary(t *testing.T) {
	t.Parallel()
	a := newAutoscaler(t, Config{Scaler: newScaler(1), NewPolicy: wants(1), Dispatchers: []string{"http://127.0.0.1:1"}})
	a.history = []Record{{Decision: autoscale.Decision{Was: 1, Replicas: 2, Reasons: []autoscale.Reason{{Rule: autoscale.RuleMax, Replicas: 2, Value: 9}}}, Ready: 1, Starting: 1}}
	s := a.Summary()
	if s.Replicas != 2 || s.Ready != 1 || s.Starting != 1 || s.Later != errTooEarly.Error() || len(s.Past) != 1 ||
		s.Past[0].Why != "max: 2 replicas, because that is the maximum; the policy wanted 9" {
		t.Errorf("%+v", s)
	}
	public, _ := a.routes()
	for path, want := range map[string]string{"/": `<a href="summary">`, "/summary": `"past":[{`} {
		w := httptest.NewRecorder()
		public.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, http.NoBody))
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), want) {
			t.Errorf("GET %s = %d %s", path, w.Code, w.Body)
		}
	}
}
