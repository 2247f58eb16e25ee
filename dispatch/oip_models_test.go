package dispatch_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/resnet18cloud/resnet18cloud/catalog"
	"github.com/resnet18cloud/resnet18cloud/internal/oip/oippb"
)

// inferBody is a request in the Open Inference Protocol with n different pictures, of which no other request has any, that
// asks for the best label of each.
func inferBody(n int) string {
	var data []string
	for i := range n {
		data = append(data, `"`+base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%d of %d", i, pictures.Add(1)))+`"`)
	}
	return fmt.Sprintf(`{"inputs":[{"name":"image","shape":[%d],"datatype":"BYTES","data":[%s]}],"outputs":[{"name":"scores","parameters":{"classification":1}}]}`,
		n, strings.Join(data, ","))
}

var pictures atomic.Int64

// infer sends such a request, and returns the labels and the version.
func (c *client) infer(ctx context.Context, target string, n int) (labels []string, version string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+target, strings.NewReader(inferBody(n)))
	if err != nil {
		return nil, "", err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	var body struct {
		Version string `json:"model_version"`
		Outputs []struct{ Data []string }
		Error   string
	}
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil || resp.StatusCode != http.StatusOK || len(body.Outputs) != 1 {
		return nil, "", fmt.Errorf("status %d, %+v, %w", resp.StatusCode, body, err)
	}
	for _, text := range body.Outputs[0].Data {
		labels = append(labels, text[strings.LastIndex(text, ":")+1:])
	}
	return labels, body.Version, nil
}

// TestOIPModels checks that every model has a name and its versions in the Open Inference Protocol.
func TestOIPModels(t *testing.T) {
	t.Parallel()
	eachModels(t, catalog.Rules{}, []string{"trash@1.pth=T1", "trash@2.pth=T2", "ants.pth=A"}, func(t *testing.T, c *client, _ folder) {
		for _, test := range []struct {
			path   string
			status int
			part   string
		}{
			{"/v1/models", 200, `{"models":["ants","trash"]}`},
			{"/v1/models/ants", 200, `{"name":"ants","ready":true}`},
			{"/v2/models/ants", 200, `"name":"ants","versions":["41000000"]`},
			{"/v2/models/ants", 200, `"labels":["A"]`},
			{"/v2/models/trash", 200, `"versions":["2"]`},
			{"/v2/models/trash/versions/1", 200, `"labels":["T1"]`},
			{"/v2/models/trash/versions/1/ready", 200, `"ready":true`},
			{"/v2/models/trash/versions/54310000", 200, `"labels":["T1"]`},
			{"/v2/models/resnet18", 200, `"labels":["T2"]`},
			{"/v2/models/resnet18/versions/2", 200, `"labels":["T2"]`},
			{"/v2/models/resnet18/versions/1", 404, "use one of: ants, trash"},
			{"/v2/models/bees", 404, "use one of: ants, trash"},
			{"/v2/models/bees/ready", 404, "use one of: ants, trash"},
			{"/v2/models/trash/versions/3", 404, "use one of: 1, 2"},
		} {
			c.check("GET", test.path, "", test.status, test.part)
		}
		for target, want := range map[string]string{
			"/v2/models/ants/infer": "A 41000000", "/v2/models/trash/infer": "T2 2", "/v2/models/trash/versions/1/infer": "T1 1",
			"/v2/models/resnet18/infer": "T2 2", "/v2/models/ants/versions/41000000/infer": "A 41000000",
		} {
			labels, version, err := c.infer(t.Context(), target, 2)
			if err != nil || fmt.Sprintf("%s %s", labels[0], version) != want || labels[1] != labels[0] {
				t.Errorf("%s: %q, %s, %v, want %s", target, labels, version, err, want)
			}
		}
		for target, want := range map[string]string{"/v1/models/ants:predict": `"predictions":["A"]`, "/v1/models/trash:predict": `"predictions":["T2"]`, "/v1/models/bees:predict": "use one of"} {
			if a := c.do(http.NewRequest(http.MethodPost, c.url+target, strings.NewReader(`{"instances":[{"b64":"YQ=="}]}`))); !strings.Contains(a.body, want) {
				t.Errorf("%s: %d %s, want %s", target, a.status, a.body, want)
			}
		}
		conn, err := grpc.NewClient(strings.TrimPrefix(c.url, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		rpc := oippb.NewGRPCInferenceServiceClient(conn)
		m, err := rpc.ModelMetadata(t.Context(), &oippb.ModelMetadataRequest{Name: "trash", Version: "1"})
		if err != nil || fmt.Sprint(m.GetVersions()) != "[1]" {
			t.Errorf("ModelMetadata: %v, %v", m, err)
		}
		r, err := rpc.ModelInfer(t.Context(), &oippb.ModelInferRequest{ModelName: "ants", Inputs: []*oippb.ModelInferRequest_InferInputTensor{{Name: "image", Datatype: "BYTES",
			Shape: []int64{1}, Contents: &oippb.InferTensorContents{BytesContents: [][]byte{[]byte("a")}}}}})
		if err != nil || r.GetModelVersion() != "41000000" || fmt.Sprint(r.GetOutputs()[0].GetContents().GetFp32Contents()) != "[65]" {
			t.Errorf("ModelInfer: %v, %v", r, err)
		}
	})
}

// TestOIPKeyAfterChange sends a request with an idempotency key again after its model has changed: the new one answers it.
func TestOIPKeyAfterChange(t *testing.T) {
	t.Parallel()
	eachModels(t, catalog.Rules{}, []string{"trash.pth=T1"}, func(t *testing.T, c *client, f folder) {
		body := inferBody(2)
		send := func() answer {
			req, err := http.NewRequest(http.MethodPost, c.url+"/v2/models/trash/infer", strings.NewReader(body))
			if err == nil {
				req.Header.Set("Idempotency-Key", "k")
			}
			return c.do(req, err)
		}
		for range 2 {
			if a := send(); a.status != http.StatusOK || !strings.Contains(a.body, ":T1") {
				t.Fatalf("%d %s, want T1", a.status, a.body)
			}
		}
		f.put(t, "trash.pth", "T2")
		if err := f.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.eventually("the answer of the new model", func() bool {
			a := send()
			if a.status != http.StatusOK {
				t.Fatalf("%d %s, want an answer", a.status, a.body)
			}
			return strings.Contains(a.body, ":T2")
		})
	})
}

// TestOIPOfOneModel checks that responses are of one model, and none fails, while replicas differ and while their models are
// replaced.
func TestOIPOfOneModel(t *testing.T) {
	t.Parallel()
	first, second := newFolder(t, catalog.Rules{}, "trash.pth=T0"), newFolder(t, catalog.Rules{}, "trash.pth=U0")
	c := startModels(t, first, second)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var n atomic.Int64
	var clients sync.WaitGroup
	for i := range 3 {
		clients.Go(func() {
			for ctx.Err() == nil {
				target := []string{"/v2/models/trash/infer", "/v2/models/resnet18/infer"}[i%2]
				labels, version, err := c.infer(t.Context(), target, 6)
				if err != nil || len(labels) != 6 {
					t.Errorf("%s: %q, %v", target, labels, err)
					cancel()
					return
				}
				for _, l := range labels {
					if l != labels[0] || version != fmt.Sprintf("%x00000000", l)[:8] {
						t.Errorf("%s: labels %q of version %s", target, labels, version)
						cancel()
						return
					}
				}
				n.Add(1)
			}
		})
	}
	for i := range 8 {
		before := n.Load()
		c.eventually("10 answers", func() bool { return n.Load() >= before+10 || ctx.Err() != nil })
		f, name := first, "T"
		if i%2 == 1 {
			f, name = second, "U"
		}
		f.put(t, "trash.pth", fmt.Sprint(name, i+1))
		if err := f.Reload(t.Context()); err != nil {
			t.Error(err)
		}
	}
	cancel()
	clients.Wait()
}
