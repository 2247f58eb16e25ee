package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/resnet"
	"github.com/resnet18cloud/resnet18cloud/engine/weights"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// openInference is a server of the Open Inference Protocol v2, written after the protocol's text ("Predict Protocol
// - Version 2", HTTP/REST, and its binary tensor data extension) and not after the client: it shares no type with
// load, refuses what the text does not allow, and has a real network behind it. Its input is normalised floats;
// since it knows the normalisation from torchvision's documentation too, tensors that are off by half a grey level
// anywhere are refused.
type openInference struct {
	name  string // of the model
	shape []int  // of its input, with -1 for the batch
	mu    sync.Mutex
	run   *resnet.Runner // guarded by mu
}

func (s *openInference) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	model := "/v2/models/" + s.name
	switch r.Method + " " + r.URL.Path {
	case "GET /v2/health/live", "GET /v2/health/ready", "GET " + model + "/ready":
	case "GET " + model:
		s.write(w, map[string]any{"name": s.name, "versions": []string{"1"}, "platform": "onnx_onnxv1",
			"inputs":  []any{map[string]any{"name": "input.1", "datatype": "FP32", "shape": s.shape}},
			"outputs": []any{map[string]any{"name": "191", "datatype": "FP32", "shape": []int{-1, 1000}}}})
	case "POST " + model + "/infer":
		logits, err := s.infer(r)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			s.write(w, map[string]any{"error": err.Error()})
			return
		}
		s.write(w, map[string]any{"model_name": s.name, "model_version": "1",
			"outputs": []any{map[string]any{"name": "191", "datatype": "FP32", "shape": []int{1, 1000}, "data": logits}}})
	default:
		w.WriteHeader(http.StatusNotFound)
		s.write(w, map[string]any{"error": "Request for unknown model: '" + r.URL.Path + "'"})
	}
}

func (s *openInference) write(w http.ResponseWriter, answer any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

func (s *openInference) infer(r *http.Request) (*[1000]float32, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	tail := []byte(nil)
	if length := r.Header.Get("Inference-Header-Content-Length"); length != "" {
		n, err := strconv.Atoi(length)
		if err != nil || n > len(body) {
			return nil, fmt.Errorf("Inference-Header-Content-Length is %q of %d", length, len(body))
		}
		body, tail = body[:n], body[n:]
	} else if kind := r.Header.Get("Content-Type"); kind != "application/json" {
		return nil, fmt.Errorf("Content-Type is %q", kind)
	}
	var request map[string]any
	if err := json.Unmarshal(body, &request); err != nil {
		return nil, err
	}
	inputs, _ := request["inputs"].([]any)
	if len(inputs) != 1 {
		return nil, fmt.Errorf("expected 1 input but got %d", len(inputs))
	}
	input, _ := inputs[0].(map[string]any)
	if input["name"] != "input.1" || input["datatype"] != "FP32" || !s.fits(input["shape"]) {
		return nil, fmt.Errorf("input %v of %v and shape %v", input["name"], input["datatype"], input["shape"])
	}
	values, err := tensorValues(input, tail)
	if err != nil {
		return nil, err
	}
	return s.forward(values)
}

// fits holds a request's shape against the model's.
func (s *openInference) fits(shape any) bool {
	sizes, _ := shape.([]any)
	if len(sizes) != len(s.shape) {
		return false
	}
	for i, size := range sizes {
		if n, ok := size.(float64); !ok || int(n) != max(1, s.shape[i]) && !(s.shape[i] == -1 && i > 0 && n == 224) {
			return false
		}
	}
	return true
}

func tensorValues(input map[string]any, tail []byte) ([]float64, error) {
	const n = 3 * 224 * 224
	values := make([]float64, 0, n)
	parameters, _ := input["parameters"].(map[string]any)
	if size, ok := parameters["binary_data_size"].(float64); ok {
		if int(size) != len(tail) || len(tail) != 4*n || input["data"] != nil {
			return nil, fmt.Errorf("binary_data_size is %v, %d bytes follow", size, len(tail))
		}
		for ; len(tail) > 0; tail = tail[4:] {
			values = append(values, float64(math.Float32frombits(binary.LittleEndian.Uint32(tail))))
		}
		return values, nil
	}
	data, _ := input["data"].([]any)
	for _, v := range data {
		values = append(values, v.(float64))
	}
	if len(values) != n || len(tail) > 0 {
		return nil, fmt.Errorf("%d values, want %d", len(values), n)
	}
	return values, nil
}

// forward undoes the normalisation, which must give whole grey levels, and runs the network.
func (s *openInference) forward(values []float64) (*[1000]float32, error) {
	mean, deviation := [3]float64{0.485, 0.456, 0.406}, [3]float64{0.229, 0.224, 0.225}
	var rgb [3 * 224 * 224]byte
	for i, v := range values {
		colour, pixel := i/(224*224), i%(224*224)
		if s.shape[len(s.shape)-1] == 3 {
			colour, pixel = i%3, i/3
		}
		level := 255 * (v*deviation[colour] + mean[colour])
		if math.Abs(level-math.Round(level)) > 0.01 || level < -0.01 || level > 255.01 {
			return nil, fmt.Errorf("value %v at %d is grey level %v", v, i, level)
		}
		rgb[3*pixel+colour] = byte(math.Round(level))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var logits [1000]float32
	s.run.Forward(logits[:], rgb[:])
	return &logits, nil
}

// TestLoadtestOfOpenInference sends real pictures to a server that knows nothing of the load tester, and has all
// their labels checked against torchvision's.
func TestLoadtestOfOpenInference(t *testing.T) {
	t.Parallel()
	path := testutil.Shared(t, "models", "resnet18-ktb.pth")
	expected := testutil.Shared(t, "reference", "torchvision.jsonl")
	images := someOf(t, testutil.Shared(t, "images", "imagenet-sample"), expected, 3)
	set, err := weights.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	params, err := resnet.Fold(set)
	if err != nil {
		t.Fatal(err)
	}
	network, err := resnet.New(params, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		shape []int
		args  []string
	}{
		"JSON, colours first":           {[]int{-1, 3, 224, 224}, nil},
		"binary, colours last":          {[]int{-1, 224, 224, 3}, []string{"--oip-binary"}},
		"binary, any size, no batch":    {[]int{3, -1, -1}, []string{"--oip-binary"}},
		"JSON, batch of one, all fixed": {[]int{1, 3, 224, 224}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(&openInference{name: "resnet18", shape: c.shape, run: network.NewRunner(1)})
			defer server.Close()
			out, log, err := loadtest(t, append([]string{"--url", server.URL, "--api", "oip", "--images", images,
				"--schedule", "3,3", "--expect", expected}, c.args...)...)
			if err != nil || !strings.Contains(out, "6 answered") || !strings.Contains(out, "6 labels checked") {
				t.Errorf("%v\n%s\n%s", err, out, log)
			}
		})
	}
}

// someOf makes a folder of the first n images that the reference has, as links.
func someOf(t *testing.T, dir, reference string, n int) string {
	t.Helper()
	f, err := os.Open(reference)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	to := t.TempDir()
	for lines := bufio.NewScanner(f); n > 0 && lines.Scan(); n-- {
		var line struct {
			File string `json:"file"`
		}
		if err := json.NewDecoder(bytes.NewReader(lines.Bytes())).Decode(&line); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join(dir, line.File), filepath.Join(to, line.File)); err != nil {
			t.Fatal(err)
		}
	}
	return to
}
