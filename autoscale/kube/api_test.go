package kube

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// api answers the requests that a Deployment makes as an API server does, over real connections. The real server is used in
// test/kubernetes; this one can be told to fail in the middle.
type api struct {
	t      *testing.T
	server *httptest.Server
	d      *Deployment

	mu       sync.Mutex
	replicas int              // guarded by mu; of the Deployment app
	version  int              // guarded by mu; its resourceVersion
	selector string           // guarded by mu
	pods     []map[string]any // guarded by mu
	hpas     []map[string]any // guarded by mu
	events   []map[string]any // guarded by mu
	lease    map[string]any   // guarded by mu; nil when there is none
	requests []string         // guarded by mu; "PATCH pods/a", without those that only read
	answer   func(request string) (code int, reason string)
}

func newAPI(t *testing.T, replicas int) *api {
	t.Helper()
	return newAPIFor(t, replicas, Config{})
}

func newAPIFor(t *testing.T, replicas int, cfg Config) *api {
	t.Helper()
	cfg.Name, cfg.Namespace, cfg.Identity = "app", "ns", "me"
	a := &api{t: t, replicas: replicas, version: 7, selector: "app=x", answer: func(string) (int, string) { return 0, "" }}
	a.server = httptest.NewServer(a)
	client, err := dynamic.NewForConfig(&rest.Config{Host: a.server.URL})
	if err != nil {
		t.Fatal(err)
	}
	if a.d, err = newDeployment(cfg, client); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.server.Close)
	return a
}

// lead gives the lease to the Deployment's autoscaler.
func (a *api) lead() { a.d.lease.set(a.t.Context(), time.Now().Add(time.Minute), a.d.identity) }

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, path, _ := strings.Cut(r.URL.Path, "/namespaces/ns/")
	request := r.Method + " " + path
	if code, reason := a.answer(request); code != 0 {
		fail(w, code, reason)
		return
	}
	if r.Method != http.MethodGet {
		a.requests = append(a.requests, request)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		a.t.Error(err)
	}
	var sent map[string]any
	if len(body) > 0 {
		if err := json.Unmarshal(body, &sent); err != nil {
			a.t.Error(err)
		}
	}
	switch {
	case request == "GET deployments/app/scale":
		reply(w, a.scale())
	case request == "PUT deployments/app/scale":
		if sent["metadata"].(map[string]any)["resourceVersion"] != strconv.Itoa(a.version) {
			fail(w, http.StatusConflict, "Conflict")
			return
		}
		a.replicas = int(sent["spec"].(map[string]any)["replicas"].(float64))
		a.version++
		reply(w, a.scale())
	case request == "GET pods":
		if got := r.URL.Query().Get("labelSelector"); got != a.selector {
			a.t.Errorf("pods are listed by %q, want %q", got, a.selector)
		}
		reply(w, list("v1", "PodList", a.pods))
	case request == "GET horizontalpodautoscalers":
		reply(w, list("autoscaling/v2", "HorizontalPodAutoscalerList", a.hpas))
	case request == "POST events":
		a.events = append(a.events, sent)
		reply(w, sent)
	case request == "GET leases/app-autoscaler" && a.lease != nil, request == "PUT leases/app-autoscaler", request == "POST leases":
		if sent != nil {
			a.lease = sent
		}
		reply(w, a.lease)
	case strings.HasPrefix(request, "PATCH pods/"):
		i := slices.IndexFunc(a.pods, func(p map[string]any) bool { return "PATCH pods/"+nameOf(p) == request })
		if i < 0 {
			fail(w, http.StatusNotFound, "NotFound")
			return
		}
		cost := sent["metadata"].(map[string]any)["annotations"].(map[string]any)[deletionCost]
		a.pods[i]["metadata"].(map[string]any)["annotations"] = map[string]any{deletionCost: cost}
		reply(w, a.pods[i])
	default:
		fail(w, http.StatusNotFound, "NotFound")
	}
}

func (a *api) scale() map[string]any {
	spec := map[string]any{}
	if a.replicas > 0 {
		spec["replicas"] = a.replicas
	}
	return map[string]any{"apiVersion": "autoscaling/v1", "kind": "Scale", "spec": spec, "status": map[string]any{"selector": a.selector},
		"metadata": map[string]any{"name": "app", "namespace": "ns", "uid": "u-1", "resourceVersion": strconv.Itoa(a.version)}}
}

func list(version, kind string, items []map[string]any) map[string]any {
	if items == nil {
		items = []map[string]any{}
	}
	return map[string]any{"apiVersion": version, "kind": kind, "metadata": map[string]any{}, "items": items}
}

func reply(w http.ResponseWriter, object map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(object)
}

func fail(w http.ResponseWriter, code int, reason string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	fmt.Fprintf(w, `{"apiVersion":"v1","kind":"Status","status":"Failure","code":%d,"reason":%q,"message":"told to say %s"}`, code, reason, reason)
}

func nameOf(object map[string]any) string {
	return object["metadata"].(map[string]any)["name"].(string)
}

// add adds a pod; ready ones serve.
func (a *api) add(name string, ready bool, cost string) {
	status := "False"
	if ready {
		status = "True"
	}
	metadata := map[string]any{"name": name, "creationTimestamp": "2026-01-02T03:04:05Z"}
	if cost != "" {
		metadata["annotations"] = map[string]any{deletionCost: cost}
	}
	a.pods = append(a.pods, map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": metadata,
		"status": map[string]any{"phase": "Running", "conditions": []map[string]any{{"type": "Ready", "status": status, "lastTransitionTime": "2026-01-02T03:04:07Z"}}}})
}

// fails makes a request fail.
func (a *api) fails(request string, code int, reason string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answer = func(got string) (int, string) {
		if got == request {
			return code, reason
		}
		return 0, ""
	}
}

// wrote returns the writes since the last call.
func (a *api) wrote() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	requests := a.requests
	a.requests = nil
	return requests
}

// logTo makes the Deployment log to a buffer.
func (a *api) logTo(w io.Writer) { a.d.cfg.Log = slog.New(slog.NewTextHandler(w, nil)) }
