package oip_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/access"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
	"github.com/resnet18cloud/resnet18cloud/internal/oip"
	"github.com/resnet18cloud/resnet18cloud/internal/oip/oippb"
)

// backend has a model m of three classes. The best class of a picture is the number of its bytes.
type backend struct{}

func (backend) Names() []string { return []string{"m"} }
func (backend) Ready() error    { return nil }

func (backend) Find(_ *http.Request, name, version string) (oip.Model, error) {
	if name != "m" || version != "" && version != "1" {
		return oip.Model{}, &resnet18cloud.Error{Code: resnet18cloud.CodeNotFound, Message: "There is no model 100% " + name}
	}
	return oip.Model{Version: "1", Labels: resnet18cloud.Labels{Classes: 3, Labels: []string{"ant", "bee", "fly"}}, Parallel: 2,
		Classify: classify, Release: func() {}}, nil
}

func classify(ctx context.Context, _ int, image resnet18cloud.Image) (r resnet18cloud.Result, err error) {
	switch {
	case image.Want.Tensor: // the best class is the first value, and the embedding has the size
		first := int(math.Float32frombits(binary.LittleEndian.Uint32(image.Bytes)))
		if image.Want.Embedding {
			r.Embedding = []float32{float32(first), float32(len(image.Bytes))}
		}
		for i := range min(3, image.Want.Classes()) {
			r.Scores = append(r.Scores, resnet18cloud.Prediction{Index: (first + i) % 3, Label: image.Name, Logit: float32(2 - i)})
		}
		return r, nil
	case string(image.Bytes) == "slow":
		<-ctx.Done()
		return r, ctx.Err()
	case len(image.Bytes) > 2:
		return r, &resnet18cloud.Error{Code: resnet18cloud.CodeUndecodable, Message: "Not a decodable image", Hint: "send another"}
	case image.Want.Embedding:
		r.Embedding = []float32{float32(len(image.Bytes)), 7}
		return r, nil
	}
	best := len(image.Bytes)
	for i := range min(3, image.Want.Classes()) {
		k := (best + i) % 3
		p := 0.5 / float32(i+1)
		r.Scores = append(r.Scores, resnet18cloud.Prediction{Index: k, Label: []string{"ant", "bee", "fly"}[k], Logit: float32(2 - i), Probability: &p})
	}
	return r, nil
}

// serve starts a server. A nil guard admits everyone.
func serve(t *testing.T, guard *access.Guard) string {
	t.Helper()
	mux := access.NewMux(guard, slog.New(slog.DiscardHandler))
	(&oip.Service{Backend: backend{}, Uploads: httpx.NewUploads(httpx.UploadLimits{ImageBytes: 4000}), Access: guard, Log: slog.New(slog.DiscardHandler)}).Add(mux)
	s := &httpx.Server{Addr: "127.0.0.1:0", Handler: mux}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s.URL()
}

// client connects with the client generated from the protocol's messages.
func client(t *testing.T, url string) oippb.GRPCInferenceServiceClient {
	t.Helper()
	conn, err := grpc.NewClient(strings.TrimPrefix(url, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return oippb.NewGRPCInferenceServiceClient(conn)
}

// pictures returns a request with pictures as contents.
func pictures(all ...string) *oippb.ModelInferRequest {
	in := &oippb.ModelInferRequest_InferInputTensor{Name: "image", Datatype: "BYTES", Shape: []int64{int64(len(all))}, Contents: &oippb.InferTensorContents{}}
	for _, p := range all {
		in.Contents.BytesContents = append(in.Contents.BytesContents, []byte(p))
	}
	return &oippb.ModelInferRequest{ModelName: "m", Id: "7", Inputs: []*oippb.ModelInferRequest_InferInputTensor{in}}
}

// raw moves the pictures of a request to its raw contents.
func raw(q *oippb.ModelInferRequest) *oippb.ModelInferRequest {
	var b []byte
	for _, p := range q.GetInputs()[0].GetContents().GetBytesContents() {
		b = append(binary.LittleEndian.AppendUint32(b, uint32(len(p))), p...)
	}
	q.Inputs[0].Contents, q.RawInputContents = nil, [][]byte{b}
	return q
}

// with adds outputs to a request; classes is the parameter classification unless it is 0.
func with(q *oippb.ModelInferRequest, classes int64, names ...string) *oippb.ModelInferRequest {
	for _, name := range names {
		out := &oippb.ModelInferRequest_InferRequestedOutputTensor{Name: name}
		if classes != 0 {
			out.Parameters = map[string]*oippb.InferParameter{"classification": {ParameterChoice: &oippb.InferParameter_Int64Param{Int64Param: classes}}}
		}
		q.Outputs = append(q.Outputs, out)
	}
	return q
}

func TestGRPC(t *testing.T) {
	t.Parallel()
	c, ctx := client(t, serve(t, nil)), t.Context()
	live, err1 := c.ServerLive(ctx, &oippb.ServerLiveRequest{})
	ready, err2 := c.ServerReady(ctx, &oippb.ServerReadyRequest{})
	server, err3 := c.ServerMetadata(ctx, &oippb.ServerMetadataRequest{})
	model, err4 := c.ModelReady(ctx, &oippb.ModelReadyRequest{Name: "m", Version: "1"})
	described, err5 := c.ModelMetadata(ctx, &oippb.ModelMetadataRequest{Name: "m"})
	if !live.GetLive() || !ready.GetReady() || server.GetName() != "resnet18cloud" || !model.GetReady() || len(described.GetOutputs()) != 3 ||
		described.GetOutputs()[0].GetShape()[1] != 3 || described.GetVersions()[0] != "1" {
		t.Errorf("live %v %v, ready %v %v, server %v %v, model %v %v, %v %v", live, err1, ready, err2, server, err3, model, err4, described, err5)
	}
	answer := func(q *oippb.ModelInferRequest) (string, error) {
		r, err := c.ModelInfer(ctx, q)
		text := fmt.Sprintf("%s %s %s", r.GetModelName(), r.GetModelVersion(), r.GetId())
		for _, o := range r.GetOutputs() {
			text += fmt.Sprintf(" %s %s %v %v %s", o.GetName(), o.GetDatatype(), o.GetShape(), o.GetContents().GetFp32Contents(), o.GetContents().GetBytesContents())
		}
		for _, b := range r.GetRawOutputContents() {
			text += fmt.Sprintf(" %x", b)
		}
		return text, err
	}
	column := pictures("a", "bb")
	column.Inputs[0].Shape = []int64{2, 1}
	for name, test := range map[string]struct {
		q    *oippb.ModelInferRequest
		want string
	}{
		"scores":         {pictures("a", "bb"), "m 1 7 scores FP32 [2 3] [0.16666667 0.5 0.25 0.25 0.16666667 0.5] []"},
		"column":         {column, "m 1 7 scores FP32 [2 3] [0.16666667 0.5 0.25 0.25 0.16666667 0.5] []"},
		"logits":         {with(pictures("a"), 0, "logits"), "m 1 7 logits FP32 [1 3] [0 2 1] []"},
		"both":           {with(pictures("a", "bb"), 0, "embedding", "logits"), "m 1 7 embedding FP32 [2 2] [1 7 2 7] [] logits FP32 [2 3] [0 2 1 1 0 2] []"},
		"classification": {with(pictures("a", "bb"), 2, "scores"), "m 1 7 scores BYTES [2 2] [] [0.500000:1:bee 0.250000:2:fly 0.500000:2:fly 0.250000:0:ant]"},
		"more than all":  {with(pictures("a"), 9, "logits"), "m 1 7 logits BYTES [1 3] [] [2.000000:1:bee 1.000000:2:fly 0.000000:0:ant]"},
		"raw":            {raw(with(pictures("a"), 0, "embedding")), "m 1 7 embedding FP32 [1 2] [] [] 0000803f0000e040"},
		"raw texts":      {raw(with(pictures("a"), 1, "scores")), "m 1 7 scores BYTES [1 1] [] [] 0e000000302e3530303030303a313a626565"},
	} {
		if got, err := answer(test.q); got != test.want || err != nil {
			t.Errorf("%s: %s, %v; want %s", name, got, err, test.want)
		}
	}
	shape, datatype, cut, two := pictures("a"), pictures("a"), raw(pictures("a")), pictures("a")
	shape.Inputs[0].Shape = []int64{1, 2}
	datatype.Inputs[0].Datatype = "FP32"
	cut.RawInputContents[0] = cut.RawInputContents[0][:4]
	two.Inputs = append(two.Inputs, two.Inputs[0])
	other := pictures("a")
	other.ModelName = "käfer"
	for name, test := range map[string]struct {
		q    *oippb.ModelInferRequest
		code codes.Code
		want string
	}{
		"broken picture": {pictures("a", "bbb"), codes.InvalidArgument, "Not a decodable image: send another"},
		"no picture":     {pictures(), codes.InvalidArgument, "shape"},
		"empty picture":  {pictures("a", ""), codes.InvalidArgument, "empty"},
		"many":           {pictures(strings.Split(strings.Repeat("a ", oip.MaxBatch+1), " ")...), codes.InvalidArgument, "at most 64"},
		"shape":          {shape, codes.InvalidArgument, "shape"},
		"datatype":       {datatype, codes.InvalidArgument, `"FP32" is not supported`},
		"cut":            {cut, codes.InvalidArgument, "is cut"},
		"two inputs":     {two, codes.InvalidArgument, "one input"},
		"no model":       {other, codes.NotFound, "There is no model 100% käfer"},
		"no output":      {with(pictures("a"), 0, "x"), codes.InvalidArgument, `no output "x"`},
		"too large":      {pictures(strings.Repeat("x", 5000)), codes.InvalidArgument, "larger than"},
	} {
		if _, err := answer(test.q); status.Code(err) != test.code || !strings.Contains(status.Convert(err).Message(), test.want) {
			t.Errorf("%s: %v; want %v with %q", name, err, test.code, test.want)
		}
	}
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if _, err := c.ModelInfer(short, pictures("slow")); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("with a timeout: %v", err)
	}
}

// TestGRPCKeys checks that calls need a key, in the metadata authorization.
func TestGRPCKeys(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys")
	key := access.Key{Client: access.Client{Name: "ops", Scopes: access.Admin}, Hash: access.HashOf(access.NewToken())}
	if err := os.WriteFile(path, []byte(key.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	guard, err := access.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := client(t, serve(t, guard))
	if _, err := c.ServerLive(t.Context(), &oippb.ServerLiveRequest{}); err != nil {
		t.Errorf("live: %v", err)
	}
	if _, err := c.ModelInfer(t.Context(), pictures("a")); status.Code(err) != codes.Unauthenticated {
		t.Errorf("without a key: %v", err)
	}
	for scope, want := range map[access.Scopes]codes.Code{access.Predict: codes.OK, access.Read: codes.PermissionDenied} {
		token := guard.Issue(access.Client{Name: "shop", Scopes: scope})
		ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token)
		if _, err := c.ModelInfer(ctx, pictures("a")); status.Code(err) != want {
			t.Errorf("with scope %s: %v, want %v", scope, err, want)
		}
	}
}

// TestREST checks requests of the specification and of Triton's client, whose tensors are binary.
func TestREST(t *testing.T) {
	t.Parallel()
	url := serve(t, nil)
	post := func(path, body string, headers ...string) (int, http.Header, string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, response.Header, string(text)
	}
	b64 := func(s string) string { return `"` + base64.StdEncoding.EncodeToString([]byte(s)) + `"` }
	in := func(shape, data string) string {
		return fmt.Sprintf(`{"id":"7","inputs":[{"name":"image","shape":%s,"datatype":"BYTES","data":[%s]}]}`, shape, data)
	}
	const scores = `{"model_name":"m","model_version":"1","id":"7","outputs":[{"name":"scores","datatype":"FP32","shape":[2,3],"data":[0.16666667,0.5,0.25,0.25,0.16666667,0.5]}]}`
	for name, test := range map[string]struct {
		body   string
		status int
		want   string
	}{
		"list":       {in("[2]", b64("a")+","+b64("bb")), 200, scores},
		"spaces":     {in("[ 2 ]", " "+b64("a")+" ,\n"+b64("bb")+"\t"), 200, scores},
		"escapes":    {in("[2]", `"\/w==","YW\u0045="`), 200, scores},
		"brackets":   {`{"id":"7","inputs":[{"name":"image","parameters":{"content_type":{"y":["]","\\\"[",{}]}},"shape":[2],"datatype":"BYTES","data":["YQ==","YmI="]}],"outputs":[]}`, 200, scores},
		"column":     {in("[2,1]", "["+b64("a")+"],["+b64("bb")+"]"), 200, scores},
		"shape":      {in("[3]", b64("a")), 400, "The shape of 1 pictures is not [3]"},
		"number":     {in("[1]", "1"), 400, "not a request"},
		"deep":       {in("[1]", "[["+b64("a")+"]]"), 400, "not a request"},
		"many":       {in("[65]", strings.Repeat(b64("a")+",", 64)+b64("a")), 413, "at most 64"},
		"dimensions": {in("[1,1,1,1,1,1,1,1,1]", b64("a")), 400, "too many dimensions"},
		"no array":   {`{"inputs":{}}`, 400, "not a request"},
		"two inputs": {`{"inputs":[{"name":"image","datatype":"BYTES"},{}]}`, 400, "one input"},
		"not JSON":   {"image", 400, "not a request"},
	} {
		code, _, got := post("/v2/models/m/versions/1/infer", test.body)
		if code != test.status || !strings.Contains(got, test.want) {
			t.Errorf("%s: %d %s; want %d %s", name, code, got, test.status, test.want)
		}
	}
	for _, path := range []string{"/v2/models/m/infer?model=n", "/v1/models/m:predict?model=n"} {
		if code, _, got := post(path, in("[1]", b64("a"))); code != 400 || !strings.Contains(got, `no parameter \"model\"`) {
			t.Errorf("%s: %d %s", path, code, got)
		}
	}
	head := `{"inputs":[{"name":"image","shape":[2,1],"datatype":"BYTES","parameters":{"binary_data_size":11}}],` +
		`"outputs":[{"name":"scores","parameters":{"binary_data":true,"classification":1}},{"name":"embedding","parameters":{"binary_data":false}}]}`
	body := head + "\x01\x00\x00\x00a\x02\x00\x00\x00bb"
	code, header, got := post("/v2/models/m/infer", body, "Inference-Header-Content-Length", strconv.Itoa(len(head)))
	n, _ := strconv.Atoi(header.Get("Inference-Header-Content-Length"))
	const want = `{"model_name":"m","model_version":"1","outputs":[{"name":"scores","datatype":"BYTES","shape":[2,1],"parameters":{"binary_data_size":36}},` +
		`{"name":"embedding","datatype":"FP32","shape":[2,2],"data":[1,7,2,7]}]}`
	if code != 200 || n > len(got) || got[:n] != want || got[n:] != "\x0e\x00\x00\x000.500000:1:bee\x0e\x00\x00\x000.500000:2:fly" {
		t.Errorf("binary: %d %q", code, got)
	}
	for _, length := range []string{"-1", "x", "1000"} {
		if code, _, got := post("/v2/models/m/infer", body, "Inference-Header-Content-Length", length); code != 400 {
			t.Errorf("header of length %s: %d %s", length, code, got)
		}
	}
	if code, _, got := post("/inference.GRPCInferenceService/ModelInfer", "{}"); code != 200 || got != "" {
		t.Errorf("a method of gRPC over HTTP/1: %d %s", code, got)
	}
}

// watched is a backend that says when models are taken and released.
type watched struct {
	backend
	events chan string
}

func (b watched) Find(r *http.Request, name, version string) (oip.Model, error) {
	m, err := b.backend.Find(r, name, version)
	b.events <- "taken"
	m.Release = func() { b.events <- "released" }
	return m, err
}

// TestUploadsHoldNoModel checks that a model is not held while its client sends: it could not be unloaded meanwhile.
func TestUploadsHoldNoModel(t *testing.T) {
	t.Parallel()
	picture := base64.StdEncoding.EncodeToString([]byte("a"))
	for target, body := range map[string]string{
		"/v2/models/m/infer":   `{"inputs":[{"name":"image","shape":[1],"datatype":"BYTES","data":["` + picture + `"]}]}`,
		"/v1/models/m:predict": `{"instances":[{"b64":"` + picture + `"}]}`,
	} {
		b := watched{events: make(chan string, 10)}
		mux := access.NewMux(nil, slog.New(slog.DiscardHandler))
		(&oip.Service{Backend: b, Uploads: httpx.NewUploads(httpx.UploadLimits{}), Log: slog.New(slog.DiscardHandler)}).Add(mux)
		read, write := io.Pipe()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, target, read)
		w := httptest.NewRecorder()
		done := make(chan struct{})
		go func() {
			defer close(done)
			mux.ServeHTTP(w, r)
		}()
		if _, err := io.WriteString(write, body[:10]); err != nil { // returns when the server reads
			t.Fatal(err)
		}
		for _, want := range []string{"taken", "released"} {
			select {
			case got := <-b.events:
				if got != want {
					t.Errorf("%s: a model is %s, want %s", target, got, want)
				}
			default:
				t.Errorf("%s: while the client sends no model has been %s", target, want)
			}
		}
		if _, err := io.WriteString(write, body[10:]); err != nil {
			t.Error(err)
		}
		write.Close()
		<-done
		if w.Code != http.StatusOK || len(b.events) != 2 {
			t.Errorf("%s: %d %s, %d more events; want an answer of a model that was taken and released", target, w.Code, w.Body, len(b.events))
		}
	}
}

// changing is a backend whose model changes so many times.
type changing struct {
	backend
	times, found *atomic.Int32
}

func (b changing) Find(r *http.Request, name, version string) (oip.Model, error) {
	m, err := b.backend.Find(r, name, version)
	m.Version = fmt.Sprint("v", b.found.Add(1))
	m.Classify = func(ctx context.Context, i int, image resnet18cloud.Image) (resnet18cloud.Result, error) {
		if i == 0 && b.times.Add(-1) >= 0 {
			return resnet18cloud.Result{}, oip.ErrChanged
		}
		return classify(ctx, i, image)
	}
	return m, err
}

// TestChangedModels checks that a request begins again with the model that has taken the other's place, but not forever.
func TestChangedModels(t *testing.T) {
	t.Parallel()
	for times, want := range map[int32]string{0: `"model_version":"v2"`, 1: `"model_version":"v3"`, 3: `"model_version":"v5"`, 4: `"code":"unavailable"`} {
		b := changing{times: new(atomic.Int32), found: new(atomic.Int32)}
		b.times.Store(times)
		mux := access.NewMux(nil, slog.New(slog.DiscardHandler))
		(&oip.Service{Backend: b, Uploads: httpx.NewUploads(httpx.UploadLimits{}), Log: slog.New(slog.DiscardHandler)}).Add(mux)
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v2/models/m/infer",
			strings.NewReader(`{"inputs":[{"name":"image","shape":[2],"datatype":"BYTES","data":["YQ==","YQ=="]}]}`)))
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("a model that changes %d times: %d %s, want %s", times, w.Code, w.Body, want)
		}
	}
}

// FuzzInfer checks that no request makes the service panic, and that its errors are the client's.
func FuzzInfer(f *testing.F) {
	mux := access.NewMux(nil, slog.New(slog.DiscardHandler))
	(&oip.Service{Backend: backend{}, Uploads: httpx.NewUploads(httpx.UploadLimits{ImageBytes: 4000}), Log: slog.New(slog.DiscardHandler)}).Add(mux)
	f.Add([]byte(`{"inputs":[{"name":"image","shape":[1],"datatype":"BYTES","data":["YQ=="]}]}`), "", false)
	f.Add([]byte(`{"instances":[{"b64":"YQ=="}]}`), "3", false)
	f.Add([]byte(`{"parameters":{"timeout":1,"x":[]},"inputs":[{"name":"image","shape":[1],"datatype":"BYTES","data":["YQ=="]}],"outputs":[{"name":"scores","parameters":{"classification":1}}]}`), "", false)
	f.Add([]byte("\x0a\x01m\x2a\x16\x0a\x05image\x12\x05BYTES\x1a\x01\x01\x2a\x03\x42\x01a"), "", true)
	f.Add([]byte("\x0a\x01m\x1a\x01\xff\x2a\x16\x0a\x05image\x12\x05BYTES\x1a\x01\x01\x2a\x03\x42\x01a"), "", true) // an id that is no text
	f.Add([]byte(`{"inputs":[{"name":"tensor","shape":[1,3,1,1],"datatype":"FP32","data":[[[[1]],[[2e-1]],[[-3]]]]}]}`), "", false)
	f.Add([]byte("\x0a\x01m\x2a\x22\x0a\x06tensor\x12\x04FP32\x1a\x04\x01\x03\x01\x01\x2a\x0c\x32\x0c\x00\x00\x80\x3f\x00\x00\x00\x00\x00\x00\x00\x00"), "", true)
	f.Add([]byte("\x0a\x01m\x2a\x12\x0a\x06tensor\x12\x04FP32\x1a\x04\x01\x03\x01\x01\x3a\x0c\x00\x00\x80\x3f\x00\x00\x00\x00\x00\x00\x00\x00"), "", true)
	f.Fuzz(func(t *testing.T, body []byte, length string, grpc bool) {
		for _, path := range []string{"/v2/models/m/infer", "/v1/models/m:predict", "/inference.GRPCInferenceService/ModelInfer"} {
			if grpc != strings.HasPrefix(path, "/inference") {
				continue
			}
			r := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body))
			if length != "" {
				r.Header["Inference-Header-Content-Length"] = []string{length}
			}
			if grpc {
				framed := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(body))), body...)
				r = httptest.NewRequest(http.MethodPost, path, bytes.NewReader(framed))
				r.ProtoMajor = 2
				r.Header.Set("Content-Type", "application/grpc")
			}
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, r)
			if code := w.Code; !slices.Contains([]int{200, 400, 413, 422}, code) || w.Header().Get("Grpc-Status") == "13" {
				t.Errorf("%s: %d %s %s", path, code, w.Header().Get("Grpc-Message"), w.Body)
			}
		}
	})
}
