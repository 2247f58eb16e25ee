package resnet18cloud_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud"
)

func TestParseWant(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]struct {
		want    resnet18cloud.Want
		problem string
	}{
		"/predict":                         {},
		"/predict?filename=a.jpg":          {},
		"/predict?top_k=5":                 {}, // the same question as without
		"/predict?top_k=1":                 {want: resnet18cloud.Want{TopK: 1}},
		"/predict_batch?top_k=2000":        {want: resnet18cloud.Want{TopK: 2000}},
		"/predict?top_k=2001":              {problem: "use a number from 1 to 2000"},
		"/predict?top_k=0":                 {problem: "1 to 2000"},
		"/predict?top_k=-1":                {problem: "1 to 2000"},
		"/predict?top_k=":                  {problem: "1 to 2000"},
		"/predict?top_k=3.0":               {problem: "1 to 2000"},
		"/predict?top_k=1&top_k=2":         {problem: "more than once"},
		"/predict?normalize=true":          {problem: "/embed"},
		"/predict?model=trash":             {want: resnet18cloud.Want{Model: "trash"}},
		"/embed?model=trash@1.2":           {want: resnet18cloud.Want{Model: "trash@1.2", Embedding: true}},
		"/predict?model=":                  {problem: "NAME@VERSION"},
		"/predict?model=a@":                {problem: "NAME@VERSION"},
		"/predict?model=a/b":               {problem: "NAME@VERSION"},
		"/predict?model=a%0A":              {problem: "NAME@VERSION"},
		"/embed":                           {want: resnet18cloud.Want{Embedding: true}},
		"/embed?normalize=false":           {want: resnet18cloud.Want{Embedding: true}},
		"/embed_async?normalize=true":      {want: resnet18cloud.Want{Embedding: true, Normalize: true}},
		"/predict?tensor=true":             {want: resnet18cloud.Want{Tensor: true}},
		"/embed?tensor=true":               {want: resnet18cloud.Want{Embedding: true, Tensor: true}},
		"/predict?tensor=false":            {},
		"/predict?tensor=1":                {problem: "true or false"},
		"/embed?normalize=yes":             {problem: "true or false"},
		"/embed?normalize":                 {problem: "true or false"},
		"/embed?top_k=3":                   {problem: "/predict"},
		"/predict?top_k=99999999999999999": {problem: "1 to 2000"},
	} {
		u, err := url.Parse(target)
		if err != nil {
			t.Fatal(err)
		}
		got, err := resnet18cloud.ParseWant(u.Path, u.Query())
		if want.problem == "" {
			if err != nil || got != want.want {
				t.Errorf("%s: %+v, %v; want %+v", target, got, err, want.want)
			}
			continue
		}
		e := resnet18cloud.AsError(err)
		if e == nil || e.Code != resnet18cloud.CodeInvalid || !strings.Contains(e.Message+" "+e.Hint, want.problem) || got != (resnet18cloud.Want{}) {
			t.Errorf("%s: %+v, %v; want an error with %q", target, got, err, want.problem)
		}
	}
}

// FuzzWant checks that what a request wants survives being written down, as in a queue.
func FuzzWant(f *testing.F) {
	for _, text := range []string{"/predict", "/predict?top_k=7", "/embed?normalize=true", "/embed", "/predict?top_k=5", "/x", "/%zz", "/embed?top_k=1", "/predict?model=a@2&top_k=3"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		w, err := resnet18cloud.WantFrom(text)
		if err != nil {
			if resnet18cloud.AsError(err).Code != resnet18cloud.CodeInvalid || w != (resnet18cloud.Want{}) {
				t.Errorf("WantFrom(%q) = %+v, %v", text, w, err)
			}
			return
		}
		if n := w.Classes(); n < 1 || n > resnet18cloud.MaxTopK {
			t.Errorf("WantFrom(%q) wants %d classes", text, n)
		}
		if again, err := resnet18cloud.WantFrom(w.String()); err != nil || again != w {
			t.Errorf("WantFrom(%q) = %+v, %v; want %+v", w.String(), again, err, w)
		}
	})
}
