package oip

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/access"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
	"github.com/resnet18cloud/resnet18cloud/internal/oip/oippb"
)

// features is the number of features of every model.
const features = 512

// Backend answers requests. It is safe for concurrent use.
type Backend interface {
	// Find returns a model to be released, or an *Error with CodeNotFound. An empty version means that the server chooses.
	Find(r *http.Request, name, version string) (Model, error)
	// Names lists the models.
	Names() []string
	// Ready returns an error while there is nothing to answer with.
	Ready() error
}

// Model is a model that answers. It stays the same until Release is called.
type Model struct {
	Version string
	Labels  resnet18cloud.Labels
	// Parallel is how many pictures of a request are classified at a time, at least 1.
	Parallel int
	// Classify classifies picture i of a request. The bytes must not be used afterwards. ErrChanged means that the model does
	// not answer any more.
	Classify func(ctx context.Context, i int, image resnet18cloud.Image) (resnet18cloud.Result, error)
	Release  func()
}

// ErrChanged is the error of Model.Classify if the model does not answer any more. The request is then answered anew.
var ErrChanged = &resnet18cloud.Error{Code: resnet18cloud.CodeUnavailable, Message: "The model changes all the time", Hint: "send the request again",
	RetryAfter: time.Second}

// UnknownModel returns the error for a model that a server of one model does not have. Its names are several, with one version,
// which may not be known.
func UnknownModel(name, version, served string, names ...string) error {
	what := fmt.Sprintf("model %.80q", name)
	if version != "" {
		what += fmt.Sprintf(" of version %.80q", version)
	}
	names = slices.DeleteFunc(names, func(n string) bool { return n == "" })
	hint := "use one of: " + strings.Join(slices.Compact(names), ", ")
	switch {
	case version != "" && served != "":
		hint += "; the version is " + served
	case version != "":
		hint += "; without a version"
	}
	return &resnet18cloud.Error{Code: resnet18cloud.CodeNotFound, Message: "There is no " + what, Hint: hint}
}

// Service has the endpoints. Backend, Uploads and Log must be set.
type Service struct {
	Backend Backend
	Version string // of the program; empty means "dev"
	Uploads *httpx.Uploads
	Access  *access.Guard
	Log     *slog.Logger
	// Counted wraps the handlers of inference; nil means that nothing does.
	Counted func(httpx.HandlerFunc) httpx.HandlerFunc
}

// Add adds the endpoints, except those below /v2/health.
func (s *Service) Add(mux *access.Mux) {
	counted := s.Counted
	if counted == nil {
		counted = func(h httpx.HandlerFunc) httpx.HandlerFunc { return h }
	}
	add := func(pattern string, need access.Scopes, h httpx.HandlerFunc) { mux.Add(pattern, need, withoutQuery(h)) }
	add("GET /v2", access.Anyone, s.server)
	for _, model := range []string{"/v2/models/{model}", "/v2/models/{model}/versions/{version}"} {
		add("GET "+model, access.Predict, s.metadata)
		add("GET "+model+"/ready", access.Predict, s.modelReady)
		add("POST "+model+"/infer", access.Predict, counted(s.infer))
	}
	add("GET /v1/models", access.Predict, s.modelsV1)
	add("GET /v1/models/{model}", access.Predict, s.modelV1)
	add("POST /v1/models/{model}", access.Predict, counted(s.predictV1))
	const service = "POST /inference.GRPCInferenceService/"
	method := func(name string, need access.Scopes, h httpx.HandlerFunc) {
		mux.Handle(service+name, httpx.GRPC(s.Log, s.Access.Require(need, withoutQuery(h))))
	}
	method("ServerLive", access.Anyone, s.serverLiveGRPC)
	method("ServerReady", access.Anyone, s.serverReadyGRPC)
	method("ServerMetadata", access.Anyone, s.serverGRPC)
	method("ModelReady", access.Predict, s.modelReadyGRPC)
	method("ModelMetadata", access.Predict, s.metadataGRPC)
	method("ModelInfer", access.Predict, counted(s.inferGRPC))
	method("{method}", access.Anyone, func(_ http.ResponseWriter, r *http.Request) error {
		return &resnet18cloud.Error{Code: resnet18cloud.CodeUnsupported, Message: fmt.Sprintf("There is no method %.40q", r.PathValue("method"))}
	})
}

// withoutQuery refuses parameters of the URL, which the protocol does not have.
func withoutQuery(h httpx.HandlerFunc) httpx.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		if e := resnet18cloud.AsError(httpx.CheckQuery(r)); e != nil {
			e.Hint = "this protocol has none: name the model in the path, as GET /v1/models lists it, and outputs in the body, or use /predict"
			return e
		}
		return h(w, r)
	}
}

// extensions are those of Triton that REST has.
func extensions() []string { return []string{"classification", "binary_tensor_data"} }

func (s *Service) server(w http.ResponseWriter, _ *http.Request) error {
	httpx.WriteJSON(w, http.StatusOK, map[string]any{"name": "resnet18cloud", "version": cmp.Or(s.Version, "dev"), "extensions": extensions()})
	return nil
}

// tensor is a tensor in JSON.
type tensor struct {
	Name       string         `json:"name"`
	Datatype   string         `json:"datatype"`
	Shape      []int64        `json:"shape"`
	Parameters map[string]any `json:"parameters,omitempty"`
	Data       any            `json:"data,omitempty"` // []float32 or []string
}

// outputs describes the outputs of a model.
func (m Model) outputs() (all []tensor) {
	if classes := int64(m.Labels.Classes); classes > 0 {
		all = []tensor{{Name: tensorScores, Datatype: "FP32", Shape: []int64{-1, classes}, Parameters: map[string]any{"labels": m.Labels.Labels, "activation": m.Labels.Activation}},
			{Name: tensorLogits, Datatype: "FP32", Shape: []int64{-1, classes}}}
	}
	return append(all, tensor{Name: tensorEmbedding, Datatype: "FP32", Shape: []int64{-1, features}})
}

// preparedShape is the shape of a prepared tensor, of any number of pictures and of the size of the model's input.
func preparedShape() []int64 { return []int64{-1, 3, -1, -1} }

func (s *Service) metadata(w http.ResponseWriter, r *http.Request) error {
	m, err := s.Backend.Find(r, r.PathValue("model"), r.PathValue("version"))
	if err != nil {
		return err
	}
	defer m.Release()
	httpx.WriteJSON(w, http.StatusOK, struct {
		Name     string   `json:"name"`
		Versions []string `json:"versions"`
		Platform string   `json:"platform"`
		Inputs   []tensor `json:"inputs"`
		Outputs  []tensor `json:"outputs"`
	}{r.PathValue("model"), []string{m.Version}, "resnet18cloud",
		[]tensor{{Name: tensorImage, Datatype: "BYTES", Shape: []int64{-1}, Parameters: map[string]any{"content_type": "base64"}},
			{Name: tensorPrepared, Datatype: "FP32", Shape: preparedShape(), Parameters: map[string]any{"instead_of": tensorImage}}}, m.outputs()})
	return nil
}

// ready returns the readiness of a model.
func (s *Service) ready(r *http.Request, name, version string) error {
	m, err := s.Backend.Find(r, name, version)
	if err != nil {
		return err
	}
	m.Release()
	return s.Backend.Ready()
}

func (s *Service) modelReady(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("model")
	if err := s.ready(r, name, r.PathValue("version")); err != nil {
		return err
	}
	httpx.WriteJSON(w, http.StatusOK, map[string]any{"name": name, "ready": true})
	return nil
}

// headerJSON has the length of the JSON before the binary data of a body.
const headerJSON = "Inference-Header-Content-Length"

// exists returns the error for a model that there is not, before its client sends pictures. It does not hold the model: a slow
// client must not keep one in memory that has been replaced.
func (s *Service) exists(r *http.Request, name, version string) error {
	m, err := s.Backend.Find(r, name, version)
	if err == nil {
		m.Release()
	}
	return err
}

// changes is how many times a model may change while a request is answered.
const changes = 3

// answer calls f with a model while it is held, and again if the model has changed before all pictures were classified: a
// response is of one model.
func (s *Service) answer(r *http.Request, name, version string, f func(Model) error) error {
	err := error(ErrChanged)
	for i := 0; i <= changes && errors.Is(err, ErrChanged); i++ {
		var m Model
		if m, err = s.Backend.Find(r, name, version); err != nil {
			return err
		}
		err = f(m)
		m.Release()
	}
	return err
}

// infer answers POST /v2/models/{model}/infer. The body counts as an upload, with the limits of an image, and so
// does the memory for reading JSON.
func (s *Service) infer(w http.ResponseWriter, r *http.Request) error {
	name, version := r.PathValue("model"), r.PathValue("version")
	if err := s.exists(r, name, version); err != nil {
		return err
	}
	var q request
	var outs []output
	err := s.Uploads.Body(w, r, func(body []byte, hold func(int64) error) error {
		data := []byte{}
		if text := r.Header.Get(headerJSON); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil || n < 0 || n > len(body) {
				return invalid(fmt.Sprintf("%s %.20q is not the length of a part of the body", headerJSON, text), "", err)
			}
			body, data = body[:n], body[n:]
		}
		err := reading(body, hold, func() (kept int, err error) {
			q, err = readJSON(body, data)
			return len(q.values), err
		})
		if err != nil {
			return err
		}
		return s.answer(r, name, version, func(m Model) error {
			version = m.Version
			outs, err = m.infer(r.Context(), &q)
			return err
		})
	})
	if err != nil {
		return err
	}
	writeJSON(w, name, version, q.id, outs)
	return nil
}

// reading calls read while the memory for reading JSON is held. What remains is held too: pictures of at most the size of body, or
// as many bytes as read says that it keeps.
func reading(body []byte, hold func(int64) error, read func() (kept int, err error)) error {
	size := int64(len(body))
	if err := hold(jsonMemory * size); err != nil {
		return err
	}
	kept, err := read()
	if err != nil {
		return err
	}
	return hold(max(size, int64(kept)))
}

// writeJSON writes a response, with binary outputs after the JSON.
func writeJSON(w http.ResponseWriter, model, version, id string, outs []output) {
	body := struct {
		Model   string   `json:"model_name"`
		Version string   `json:"model_version"`
		ID      string   `json:"id,omitempty"`
		Outputs []tensor `json:"outputs"`
	}{model, version, id, nil}
	var data []byte
	for _, o := range outs {
		t := tensor{Name: o.name, Datatype: o.datatype(), Shape: o.shape}
		switch {
		case o.binary:
			raw := o.raw()
			data = append(data, raw...)
			t.Parameters = map[string]any{"binary_data_size": len(raw)}
		case o.texts != nil:
			t.Data = o.texts
		default:
			t.Data = o.floats
		}
		body.Outputs = append(body.Outputs, t)
	}
	if len(data) == 0 {
		httpx.WriteJSON(w, http.StatusOK, body)
		return
	}
	head, err := json.Marshal(body)
	if err != nil { // body has one of our own types, so this is a programming error
		panic(err)
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set(headerJSON, strconv.Itoa(len(head)))
	w.Header().Set("Content-Length", strconv.Itoa(len(head)+len(data)))
	_, _ = w.Write(append(head, data...)) // errors are the client's concern
}

// output is a tensor of a response: floats, or texts of a classification.
type output struct {
	name   string
	shape  []int64
	floats []float32
	texts  []string
	binary bool
}

func (o output) datatype() string {
	if o.texts != nil {
		return "BYTES"
	}
	return "FP32"
}

// raw returns the elements in binary form.
func (o output) raw() (b []byte) {
	for _, x := range o.floats {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	for _, t := range o.texts {
		b = append(binary.LittleEndian.AppendUint32(b, uint32(len(t))), t...) // labels are short
	}
	return b
}

// plan returns the outputs of a request, and what to ask about each picture for them.
func (m Model) plan(q *request) (outs []wanted, wants []resnet18cloud.Want, err error) {
	classes := int64(m.Labels.Classes)
	outs = q.outputs
	if len(outs) == 0 || len(outs) == 1 && outs[0].name == "" {
		all := wanted{name: tensorScores, binary: len(outs) == 1}
		if classes == 0 {
			all.name = tensorEmbedding
		}
		outs = []wanted{all}
	}
	top, embedding := int64(0), false
	for _, o := range outs {
		switch {
		case o.name == tensorEmbedding && o.classes == 0:
			embedding = true
		case o.name == tensorEmbedding:
			return nil, nil, invalid("The embedding has no classification", "", nil)
		case o.name != tensorScores && o.name != tensorLogits || classes == 0:
			return nil, nil, invalid(fmt.Sprintf("There is no output %.40q", o.name), "the model's metadata has the outputs", nil)
		case o.classes < 0:
			return nil, nil, invalid("classification is not a number of classes", "", nil)
		case o.classes == 0:
			top = classes
		default:
			top = max(top, min(o.classes, classes))
		}
	}
	if top > 0 {
		want := resnet18cloud.Want{TopK: int(top), Tensor: q.prepared()}
		if want.TopK == resnet18cloud.TopK { // equal wants must be equal values
			want.TopK = 0
		}
		wants = append(wants, want)
	}
	if embedding {
		wants = append(wants, resnet18cloud.Want{Embedding: true, Tensor: q.prepared()})
	}
	return outs, wants, nil
}

// infer classifies the pictures. The first error ends the request: the protocol has one outcome for all.
func (m Model) infer(ctx context.Context, q *request) ([]output, error) {
	outs, wants, err := m.plan(q)
	if err != nil {
		return nil, err
	}
	if q.timeout > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, q.timeout, errTimeout(q.timeout))
		defer stop()
	}
	results, err := m.classify(ctx, q, wants)
	if e, late := errors.AsType[*resnet18cloud.Error](context.Cause(ctx)); err != nil && late && e.Code == resnet18cloud.CodeDeadline {
		return nil, e
	}
	if err != nil {
		return nil, err
	}
	var all []output
	for _, o := range outs {
		t := output{name: o.name, binary: o.binary}
		for i := range q.pictures {
			r := results[i*len(wants)]
			if o.name == tensorEmbedding {
				r = results[i*len(wants)+len(wants)-1]
			}
			t.add(r, o, m.Labels.Classes)
		}
		n := int64(len(q.pictures))
		t.shape = []int64{n, int64(len(t.floats)+len(t.texts)) / n}
		all = append(all, t)
	}
	return all, nil
}

// errTimeout ends a request that has taken longer than its parameter timeout.
func errTimeout(after time.Duration) error {
	return &resnet18cloud.Error{Code: resnet18cloud.CodeDeadline, Message: fmt.Sprintf("There was no result within %s, the timeout of the request", after),
		Hint: "the parameter timeout is in microseconds"}
}

// classify asks for all wants about each picture.
func (m Model) classify(ctx context.Context, q *request, wants []resnet18cloud.Want) ([]resnet18cloud.Result, error) {
	results := make([]resnet18cloud.Result, len(q.pictures)*len(wants))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, m.Parallel))
	for i := range results {
		g.Go(func() (err error) {
			name := fmt.Sprintf("%s-%d", q.name, i/len(wants))
			results[i], err = m.Classify(ctx, i, resnet18cloud.Image{Name: name, Bytes: q.pictures[i/len(wants)], Want: wants[i%len(wants)]})
			return err
		})
	}
	return results, g.Wait()
}

// add adds the elements of a picture.
func (o *output) add(r resnet18cloud.Result, w wanted, classes int) {
	score := func(p resnet18cloud.Prediction) float32 {
		if o.name == tensorScores && p.Probability != nil {
			return *p.Probability
		}
		return p.Logit
	}
	switch {
	case o.name == tensorEmbedding:
		o.floats = append(o.floats, r.Embedding...)
	case w.classes > 0:
		for _, p := range r.Scores[:min(len(r.Scores), int(min(w.classes, int64(classes))))] {
			o.texts = append(o.texts, fmt.Sprintf("%f:%d:%s", score(p), p.Index, p.Label))
		}
	default:
		values := make([]float32, classes)
		for _, p := range r.Scores {
			if p.Index >= 0 && p.Index < classes {
				values[p.Index] = score(p)
			}
		}
		o.floats = append(o.floats, values...)
	}
}

// The methods of gRPC.

// reply answers a call.
func reply(w http.ResponseWriter, m proto.Message) error {
	b, err := proto.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode the response: %w", err)
	}
	httpx.WriteMessage(w, b)
	return nil
}

func (s *Service) serverLiveGRPC(w http.ResponseWriter, r *http.Request) error {
	if err := s.Uploads.Message(w, r, func([]byte) error { return nil }); err != nil {
		return err
	}
	return reply(w, &oippb.ServerLiveResponse{Live: true})
}

func (s *Service) serverReadyGRPC(w http.ResponseWriter, r *http.Request) error {
	if err := s.Uploads.Message(w, r, func([]byte) error { return nil }); err != nil {
		return err
	}
	return reply(w, &oippb.ServerReadyResponse{Ready: s.Backend.Ready() == nil})
}

func (s *Service) serverGRPC(w http.ResponseWriter, r *http.Request) error {
	if err := s.Uploads.Message(w, r, func([]byte) error { return nil }); err != nil {
		return err
	}
	return reply(w, &oippb.ServerMetadataResponse{Name: "resnet18cloud", Version: cmp.Or(s.Version, "dev"), Extensions: []string{"classification"}})
}

// named reads the name and version of a message that has nothing else.
func (s *Service) named(w http.ResponseWriter, r *http.Request) (q request, err error) {
	err = s.Uploads.Message(w, r, func(b []byte) error {
		var m oippb.ModelReadyRequest // ModelMetadataRequest has the same fields
		if err := proto.Unmarshal(b, &m); err != nil {
			return invalid("The message has no name and version", "", err)
		}
		q.model, q.version = m.GetName(), m.GetVersion()
		return nil
	})
	return q, err
}

func (s *Service) modelReadyGRPC(w http.ResponseWriter, r *http.Request) error {
	q, err := s.named(w, r)
	if err == nil {
		err = s.ready(r, q.model, q.version)
	}
	if e := resnet18cloud.AsError(err); e != nil && e.Code != resnet18cloud.CodeUnavailable {
		return err
	}
	return reply(w, &oippb.ModelReadyResponse{Ready: err == nil})
}

func (s *Service) metadataGRPC(w http.ResponseWriter, r *http.Request) error {
	q, err := s.named(w, r)
	if err != nil {
		return err
	}
	m, err := s.Backend.Find(r, q.model, q.version)
	if err != nil {
		return err
	}
	defer m.Release()
	response := &oippb.ModelMetadataResponse{Name: q.model, Versions: []string{m.Version}, Platform: "resnet18cloud",
		Inputs: []*oippb.ModelMetadataResponse_TensorMetadata{{Name: tensorImage, Datatype: "BYTES", Shape: []int64{-1}},
			{Name: tensorPrepared, Datatype: "FP32", Shape: preparedShape()}}}
	for _, o := range m.outputs() {
		response.Outputs = append(response.Outputs, &oippb.ModelMetadataResponse_TensorMetadata{Name: o.Name, Datatype: o.Datatype, Shape: o.Shape})
	}
	return reply(w, response)
}

func (s *Service) inferGRPC(w http.ResponseWriter, r *http.Request) error {
	response := &oippb.ModelInferResponse{}
	err := s.Uploads.Message(w, r, func(b []byte) error {
		q, err := readProto(b)
		if err != nil {
			return err
		}
		var outs []output
		err = s.answer(r, q.model, q.version, func(m Model) error {
			response.ModelVersion = m.Version
			outs, err = m.infer(r.Context(), &q)
			return err
		})
		if err != nil {
			return err
		}
		response.ModelName, response.Id = q.model, q.id
		for _, o := range outs {
			t := &oippb.ModelInferResponse_InferOutputTensor{Name: o.name, Datatype: o.datatype(), Shape: o.shape}
			if q.raw {
				response.RawOutputContents = append(response.RawOutputContents, o.raw())
			} else {
				t.Contents = &oippb.InferTensorContents{Fp32Contents: o.floats}
				for _, text := range o.texts {
					t.Contents.BytesContents = append(t.Contents.BytesContents, []byte(text))
				}
			}
			response.Outputs = append(response.Outputs, t)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return reply(w, response)
}

// Version 1 of KServe's protocol.

func (s *Service) modelsV1(w http.ResponseWriter, _ *http.Request) error {
	httpx.WriteJSON(w, http.StatusOK, map[string]any{"models": s.Backend.Names()})
	return nil
}

func (s *Service) modelV1(w http.ResponseWriter, r *http.Request) error { return s.modelReady(w, r) }

// predictV1 answers POST /v1/models/{model}:predict. A prediction is a result as POST /predict returns it.
func (s *Service) predictV1(w http.ResponseWriter, r *http.Request) error {
	name, verb, _ := strings.Cut(r.PathValue("model"), ":")
	if verb != "predict" {
		return &resnet18cloud.Error{Code: resnet18cloud.CodeNotFound, Message: "No such endpoint: " + r.URL.Path, Hint: "use /v1/models/NAME:predict"}
	}
	if err := s.exists(r, name, ""); err != nil {
		return err
	}
	var results []resnet18cloud.Result
	err := s.Uploads.Body(w, r, func(body []byte, hold func(int64) error) error {
		var pictures [][]byte
		err := reading(body, hold, func() (kept int, err error) {
			pictures, err = readV1(body)
			return 0, err
		})
		if err != nil {
			return err
		}
		return s.answer(r, name, "", func(m Model) (err error) {
			results, err = m.predict(r.Context(), pictures)
			return err
		})
	})
	if err != nil {
		return err
	}
	httpx.WriteJSON(w, http.StatusOK, map[string]any{"predictions": results})
	return nil
}

// predict classifies pictures.
func (m Model) predict(ctx context.Context, pictures [][]byte) ([]resnet18cloud.Result, error) {
	results := make([]resnet18cloud.Result, len(pictures))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, m.Parallel))
	for i, picture := range pictures {
		g.Go(func() (err error) {
			results[i], err = m.Classify(ctx, i, resnet18cloud.Image{Name: fmt.Sprintf("instance-%d", i), Bytes: picture,
				Want: resnet18cloud.Want{Embedding: m.Labels.Classes == 0}})
			return err
		})
	}
	return results, g.Wait()
}

// readV1 reads the pictures of a request, in up to [jsonMemory] times the memory of body: {"instances":[{"image_bytes":{"b64":"..."}}]}, or {"b64":"..."} as an instance.
// Clients of TensorFlow Serving send signature_name, and examples of KServe have a key in each instance: they mean nothing.
func readV1(body []byte) (pictures [][]byte, err error) {
	const hint = `send {"instances":[{"image_bytes":{"b64":"..."}}]} with pictures in Base64`
	var whole struct {
		Instances json.RawMessage `json:"instances"`
	}
	if err := json.Unmarshal(body, &whole); err != nil {
		return nil, invalid("The body is not a request of KServe's protocol", hint, err)
	}
	err = members(body, func(name string, _ []byte) error { return known(ofRequest, name, "instances", "signature_name") })
	if err != nil {
		return nil, err
	}
	err = elements(whole.Instances, func(element []byte) error {
		if len(pictures) == MaxBatch {
			return errMany()
		}
		picture, err := readInstance(element)
		pictures = append(pictures, picture)
		return err
	})
	if e, ok := errors.AsType[*resnet18cloud.Error](err); ok {
		return nil, e
	}
	if err == nil && len(pictures) == 0 {
		err = errors.New("no instances")
	}
	if err != nil {
		return nil, invalid("The instances are not pictures", hint, err)
	}
	return pictures, nil
}

// readInstance reads the picture of an instance.
func readInstance(element []byte) ([]byte, error) {
	type content struct {
		B64 string `json:"b64"`
	}
	var instance struct {
		content
		Image json.RawMessage `json:"image_bytes"`
	}
	if err := object(ofInstance, element, &instance, "image_bytes", "b64", "key"); err != nil {
		return nil, err
	}
	var image content
	if len(instance.Image) > 0 {
		if err := object(ofInstance, instance.Image, &image, "b64"); err != nil {
			return nil, err
		}
	}
	picture, err := base64.StdEncoding.DecodeString(image.B64 + instance.B64)
	if err == nil && len(picture) == 0 {
		err = errors.New("an instance without a picture")
	}
	return picture, err
}
