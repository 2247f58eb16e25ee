package load_test

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/resnet18cloud/resnet18cloud/load"
	"github.com/resnet18cloud/resnet18cloud/load/result"
	"github.com/resnet18cloud/resnet18cloud/load/target"
	"github.com/resnet18cloud/resnet18cloud/schedule"
)

// TestMaxOutstanding: a server that never answers gets no more requests than the limit; the others fail immediately.
func TestMaxOutstanding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		api := serve(t, func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/predict" {
				asked.Add(1)
				_, _ = io.Copy(io.Discard, r.Body)
				<-r.Context().Done()
			}
		})
		summary, err := load.Run(t.Context(), load.Config{
			Target: target.Sync{Client: api}, Schedule: schedule.Constant(10, 2*time.Second), Images: picture(t, "a.jpg"),
			MaxOutstanding: 5, Timeout: 10 * time.Second,
		})
		if err != nil {
			t.Fatal(err)
		}
		if asked.Load() != 5 || summary.Sent != 20 || summary.Errors["timeout"] != 5 || summary.Errors["not sent"] != 15 {
			t.Errorf("server was asked %d times; %v", asked.Load(), summary.Errors)
		}
		if !strings.Contains(summary.Examples["not sent"], "--max-outstanding") {
			t.Errorf("explained as %q", summary.Examples["not sent"])
		}
	})
}

func TestHTTP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int32
		api := serve(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			switch {
			case r.Method == http.MethodGet:
				w.WriteHeader(http.StatusMethodNotAllowed)
			case string(body) != "pixels" || r.Header.Get("Content-Type") != "image/png":
				w.WriteHeader(http.StatusBadRequest)
			case n.Add(1)%2 == 0:
				http.Error(w, "resting", http.StatusTooManyRequests)
			default:
				_, _ = w.Write([]byte(`"goldfinch"`))
			}
		})
		target := target.HTTP{Client: api.HTTP, URL: api.BaseURL + "/x", Header: http.Header{"Content-Type": {"image/png"}},
			Label: func(answer []byte) (label string, err error) { return label, json.Unmarshal(answer, &label) }}
		summary, err := load.Run(t.Context(), load.Config{
			Target: target, Schedule: schedule.Constant(10, time.Second), Images: picture(t, "a.png"),
			Expect: load.Expectation{"a.png": "goldfinch"},
		})
		if err != nil {
			t.Fatal(err)
		}
		if summary.OK != 5 || summary.Errors["status 429"] != 5 || summary.Examples["status 429"] != "429 Too Many Requests: resting" {
			t.Errorf("%d answered, %v, %v", summary.OK, summary.Errors, summary.Examples)
		}
		target.Ready = api.BaseURL + "/health"
		if err := target.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "405") {
			t.Errorf("Check with an answer that says no: %v", err)
		}
	})
}

// oipServer answers with the class whose number is the first value of the tensor.
func oipServer(t *testing.T, shape string) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v2/models/resnet":
			_, _ = w.Write([]byte(`{"name":"resnet","inputs":[{"name":"mask","datatype":"BOOL","shape":[1]},{"name":"data","datatype":"FP32","shape":` + shape + `}]}`))
		case "/v2/models/resnet/ready":
		case "/v2/models/resnet/infer":
			body, _ := io.ReadAll(r.Body)
			data := body
			if n, err := strconv.Atoi(r.Header.Get("Inference-Header-Content-Length")); err == nil {
				body, data = body[:n], body[n:]
			}
			var request struct {
				Inputs []struct {
					Name, Datatype string
					Shape          []int
					Data           []float32
				}
			}
			if err := json.Unmarshal(body, &request); err != nil || len(request.Inputs) != 1 || request.Inputs[0].Name != "data" {
				http.Error(w, "bad request", http.StatusBadRequest)
				return
			}
			in := request.Inputs[0]
			if in.Data == nil && len(data) == 4*3*224*224 {
				in.Data = make([]float32, 3*224*224)
				for i := range in.Data {
					in.Data[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
				}
			}
			if len(in.Data) != 3*224*224 || in.Datatype != "FP32" {
				http.Error(w, "not a picture", http.StatusBadRequest)
				return
			}
			scores := make([]float32, 1000)
			scores[int(in.Data[0])] = 1.5
			_ = json.NewEncoder(w).Encode(map[string]any{"outputs": []any{map[string]any{"name": "out", "datatype": "FP32", "data": scores}}})
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return server
}

func TestOIP(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		binary bool
		shape  string
		want   target.Tensor
	}{
		"JSON":          {false, "[-1,3,224,224]", target.Tensor{Name: "data", Shape: []int{1, 3, 224, 224}}},
		"binary":        {true, "[3,224,224]", target.Tensor{Name: "data", Shape: []int{3, 224, 224}}},
		"channels last": {false, "[1,224,224,3]", target.Tensor{Name: "data", Shape: []int{1, 224, 224, 3}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := oipServer(t, c.shape)
			oip := target.OIP{Client: server.Client(), URL: server.URL, Model: "resnet", Binary: c.binary,
				Labels: func(class int) string { return "class " + strconv.Itoa(class) }}
			tensor, err := oip.Describe(t.Context())
			if err != nil || !cmp.Equal(tensor, c.want) {
				t.Fatalf("Describe = %+v, %v; want %+v", tensor, err, c.want)
			}
			if tensor.ChannelsLast() != (name == "channels last") {
				t.Errorf("ChannelsLast = %v", tensor.ChannelsLast())
			}
			files, open, err := load.Prepare(t.Context(), picture(t, "a.jpg"), func(image []byte) ([]byte, error) {
				if string(image) != "pixels" {
					t.Errorf("image is %q", image)
				}
				values := make([]float32, 3*224*224)
				values[0] = 11
				return oip.Encode(tensor, values)
			}, 1)
			if err != nil {
				t.Fatal(err)
			}
			summary, err := load.Run(t.Context(), load.Config{
				Target: oip.Target(), Schedule: schedule.Schedule{Rates: []float64{300}, Step: 10 * time.Millisecond},
				Images: files, Open: open, Expect: load.Expectation{"a.jpg": "class 11"},
			})
			if err != nil || summary.OK != 3 || summary.Sent != 3 {
				t.Errorf("%v, %+v", err, summary)
			}
		})
	}
}

func TestOIPOfOtherModels(t *testing.T) {
	t.Parallel()
	server := oipServer(t, "[1,3,299,299]")
	oip := target.OIP{Client: server.Client(), URL: server.URL, Model: "resnet"}
	if _, err := oip.Describe(t.Context()); err == nil || !strings.Contains(err.Error(), "no input is FP32 of 3x224x224") {
		t.Errorf("a model of larger pictures: %v", err)
	}
	oip.Model = "inception"
	if _, err := oip.Describe(t.Context()); err == nil || !strings.Contains(err.Error(), "check the model's name") {
		t.Errorf("no such model: %v", err)
	}
	server.Close()
	if _, err := oip.Describe(t.Context()); !errors.Is(err, target.ErrUnreachable) {
		t.Errorf("no server: %v", err)
	}
}

// TestServerIsWatched: the probe looks once a second, also at a server without one of the two.
func TestServerIsWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		api := serve(t, func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/predict":
				_, _ = w.Write([]byte(goldfinch))
			case "/status":
				_, _ = fmt.Fprintf(w, `{"queue_size":%d,"endpoints":[{"healthy":true}]}`, int(time.Since(start).Seconds()))
			case "/metrics":
				http.NotFound(w, r)
			}
		})
		summary, err := load.Run(t.Context(), load.Config{
			Target: target.Sync{Client: api}, Schedule: schedule.Constant(10, 3*time.Second), Images: picture(t, "a.jpg"),
			Probe: load.Probe{Client: api.HTTP, Status: api.BaseURL + "/status", Metrics: api.BaseURL + "/metrics"},
		})
		if err != nil {
			t.Fatal(err)
		}
		want := []result.Sample{{HasStatus: true, Replicas: 1}, {HasStatus: true, At: time.Second, Queue: 1, Replicas: 1}, {HasStatus: true, At: 2 * time.Second, Queue: 2, Replicas: 1}}
		if got := summary.Server; len(got) < 3 || !cmp.Equal(got[:3], want) {
			t.Errorf("samples %+v, want %+v", got, want)
		}
	})
}
