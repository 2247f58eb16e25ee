package replica_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/replica"
)

// asked is a classifier that answers with what it was asked; it has two classes.
type asked struct{ labels []string }

func (a asked) Labels(context.Context) (resnet18cloud.Labels, error) {
	return resnet18cloud.Labels{Model: "m@1", Classes: 2, Labels: a.labels, Activation: "softmax"}, nil
}

func (asked) Classify(_ context.Context, image resnet18cloud.Image) (resnet18cloud.Result, error) {
	r := resnet18cloud.Result{Filename: image.Name, ModelInfo: &resnet18cloud.ModelInfo{Name: "m", Classes: 2}}
	if image.Want.Embedding {
		r.Embedding = []float32{0.5}
	} else {
		r.Predictions = []string{image.Want.String()}
	}
	return r, nil
}

// TestWants checks that the classifier is asked what the client asks, and what is refused before the image is read.
func TestWants(t *testing.T) {
	t.Parallel()
	r := start(t, replica.Config{Concurrency: 1}, asked{})
	for target, want := range map[string]struct {
		status int
		body   string // part of it
	}{
		"/predict":                   {http.StatusOK, `"predictions":["/predict"],"timing":`},
		"/predict?top_k=2000":        {http.StatusOK, `"predictions":["/predict?top_k=2000"]`},
		"/embed":                     {http.StatusOK, `"inference_time":0,"embedding":[0.5]`},
		"/embed?normalize=true":      {http.StatusOK, `"embedding":[0.5]`},
		"/predict?top_k=0":           {http.StatusBadRequest, `"code":"invalid"`},
		"/predict?top_k=2001":        {http.StatusBadRequest, `"hint":"use a number from 1 to 2000"`},
		"/embed?normalize=2":         {http.StatusBadRequest, `"hint":"use true or false"`},
		"/embed?top_k=1":             {http.StatusBadRequest, `"code":"invalid"`},
		"/embed_async":               {http.StatusNotFound, `"code":"not_found"`},
		"/predict?top_k=1&top_k=1":   {http.StatusBadRequest, `more than once`},
		"/predict?normalize=true":    {http.StatusBadRequest, `/embed`},
		"/embed?filename=a.jpg&_=17": {http.StatusOK, `"filename":"a.jpg"`},
		"/embed?filename=a.jpg&x=17": {http.StatusBadRequest, `There is no parameter \"x\"`},
		"/predict?modl=m":            {http.StatusBadRequest, `did you mean model?`},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+target, strings.NewReader("picture"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "image/jpeg")
		if got, err := do(req, nil); err != nil || got.status != want.status || !strings.Contains(got.body, want.body) {
			t.Errorf("POST %s = %d %s, %v; want %d with %s", target, got.status, got.body, err, want.status, want.body)
		}
	}
	if log := r.log.String(); !strings.Contains(log, "Embedding completed") {
		t.Errorf("the log has no embedding:\n%s", log)
	}
}

// TestLabels checks GET /labels, also of a model without names and of a classifier that does not know its classes.
func TestLabels(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		classifier resnet18cloud.Classifier
		status     int
		want       string
	}{
		"labels":  {asked{[]string{"ant", "bee"}}, http.StatusOK, `{"model":"m@1","classes":2,"labels":["ant","bee"],"activation":"softmax"}`},
		"numbers": {asked{}, http.StatusOK, `{"model":"m@1","classes":2,"labels":null,"activation":"softmax"}`},
		"unknown": {newGate(), http.StatusNotFound, `{"error":"The classes are not known","code":"not_found"}`},
	} {
		r := start(t, replica.Config{Concurrency: 1}, test.classifier)
		if got := get(t, r.url+"/labels"); got.status != test.status || strings.TrimSpace(got.body) != test.want {
			t.Errorf("%s: %d %s, want %d %s", name, got.status, got.body, test.status, test.want)
		}
	}
}

// TestInfoHasTheModel checks that /info describes an own model, and that a model without classes has 0 of them.
func TestInfoHasTheModel(t *testing.T) {
	t.Parallel()
	info := resnet18cloud.ModelInfo{Name: "m", Version: "1", Precision: "fp32", Preprocessing: "p", Activation: "none"}
	r := start(t, replica.Config{Concurrency: 1, Model: func() replica.Model {
		return replica.Model{Notes: []string{"ReLU is assumed"}, InputSize: 160, Info: info}
	}}, asked{})
	var got replica.Info
	if err := json.NewDecoder(bytes.NewReader([]byte(get(t, r.url+"/info").body))).Decode(&got); err != nil {
		t.Fatal(err)
	}
	if got.InputSize != "160x160" || got.Classes != 0 || !cmp.Equal(got.ModelInfo, &info) || len(got.Notes) != 1 || got.Warning != "" {
		t.Errorf("GET /info = %+v", got)
	}
}
