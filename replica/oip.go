package replica

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/access"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
)

// This file has the endpoints of the Open Inference Protocol v2 (https://github.com/kserve/open-inference-protocol), for clients
// that speak it. The input is an image file in Base64; the outputs are the scores of all classes and the features.

// The names of the tensors.
const (
	oipImage     = "image"
	oipScores    = "scores"
	oipEmbedding = "embedding"
)

// oipTensor is a tensor in metadata, requests and responses. The first dimension is the number of images, 1 in requests.
type oipTensor struct {
	Name       string         `json:"name"`
	Datatype   string         `json:"datatype"`
	Shape      []int          `json:"shape"`
	Parameters map[string]any `json:"parameters,omitempty"`
	Data       []float32      `json:"data,omitempty"`
}

// oipModel is the response to GET /v2/models/{model}.
type oipModel struct {
	Name     string      `json:"name"`
	Versions []string    `json:"versions"`
	Platform string      `json:"platform"`
	Inputs   []oipTensor `json:"inputs"`
	Outputs  []oipTensor `json:"outputs"`
}

// oipRequest is the body of POST /v2/models/{model}/infer.
type oipRequest struct {
	ID     string `json:"id"`
	Inputs []struct {
		Name     string   `json:"name"`
		Datatype string   `json:"datatype"`
		Shape    []int    `json:"shape"`
		Data     [][]byte `json:"data"` // Base64
	} `json:"inputs"`
	Outputs []struct {
		Name string `json:"name"`
	} `json:"outputs"` // none means scores, or the features of a model without classes
}

// oipResponse is the response to it.
type oipResponse struct {
	Model   string      `json:"model_name"`
	Version string      `json:"model_version"`
	ID      string      `json:"id,omitempty"`
	Outputs []oipTensor `json:"outputs"`
}

// handleOIP adds the protocol's endpoints.
func (s *Server) handleOIP(mux *access.Mux) {
	mux.Add("GET /v2", access.Anyone, s.oipServer)
	mux.Add("GET /v2/health/live", access.Anyone, s.health)
	mux.Add("GET /v2/health/ready", access.Anyone, s.healthReady)
	for _, model := range []string{"/v2/models/{model}", "/v2/models/{model}/versions/{version}"} {
		mux.Add("GET "+model, access.Predict, s.oipMetadata)
		mux.Add("GET "+model+"/ready", access.Predict, s.oipReady)
		mux.Add("POST "+model+"/infer", access.Predict, s.metrics.counted(s.oipInfer))
	}
}

// oipServer describes the server.
func (s *Server) oipServer(w http.ResponseWriter, _ *http.Request) error {
	httpx.WriteJSON(w, http.StatusOK, map[string]any{"name": "resnet18cloud", "version": s.cfg.Model().Version, "extensions": []string{}})
	return nil
}

// oipTarget is the model of a request. It stays the same for all outputs.
type oipTarget struct {
	resnet18cloud.Classifier
	labels  resnet18cloud.Labels
	version string
	release func()
}

// oipTarget returns the model that the path names, to be released. The name resnet18 stands for the default model if no other
// has it; that of its weights does too if there is only one.
func (s *Server) oipTarget(r *http.Request) (t oipTarget, err error) {
	t = oipTarget{Classifier: s.classifier, release: func() {}}
	name, version := r.PathValue("model"), r.PathValue("version")
	switch m := s.cfg.Model(); {
	case s.cfg.Models != nil:
		if t, err = s.oipHold(name, version); err != nil {
			return t, err
		}
	case name != m.Info.Name && name != modelName:
		return t, &resnet18cloud.Error{Code: resnet18cloud.CodeNotFound, Message: fmt.Sprintf("There is no model %.80q", name),
			Hint: "use the name " + modelName}
	default:
		t.version = oipVersion(m)
		if version != "" && version != t.version {
			return t, &resnet18cloud.Error{Code: resnet18cloud.CodeNotFound, Message: fmt.Sprintf("There is no version %.80q", version),
				Hint: "use the version " + t.version}
		}
	}
	known, ok := t.Classifier.(resnet18cloud.Labeler)
	if ok {
		t.labels, err = known.Labels(r.Context())
	} else {
		err = &resnet18cloud.Error{Code: resnet18cloud.CodeNotFound, Message: "The classes are not known"}
	}
	if err != nil {
		t.release()
	}
	return t, err
}

// oipHold finds a model among several.
func (s *Server) oipHold(name, version string) (t oipTarget, err error) {
	named := name
	if version != "" {
		named += "@" + version
	}
	var status resnet18cloud.ModelStatus
	t.Classifier, status, t.release, err = s.cfg.Models.Hold(named)
	if err != nil && name == modelName && version == "" {
		t.Classifier, status, t.release, err = s.cfg.Models.Hold("")
	}
	t.version = status.Version
	return t, err
}

// oipVersion returns the version in an identity such as head-mlp@b77ebe4c.
func oipVersion(m Model) string { return m.Info.Version[:min(8, len(m.Info.Version))] }

// oipMetadata describes a model: GET /v2/models/{model}. The labels are a parameter of the scores.
func (s *Server) oipMetadata(w http.ResponseWriter, r *http.Request) error {
	t, err := s.oipTarget(r)
	if err != nil {
		return err
	}
	defer t.release()
	l := t.labels
	body := oipModel{Name: r.PathValue("model"), Versions: []string{t.version}, Platform: "resnet18cloud",
		Inputs: []oipTensor{{Name: oipImage, Datatype: "BYTES", Shape: []int{1}, Parameters: map[string]any{"content_type": "base64"}}}}
	if l.Classes > 0 {
		body.Outputs = append(body.Outputs, oipTensor{Name: oipScores, Datatype: "FP32", Shape: []int{1, l.Classes},
			Parameters: map[string]any{"labels": l.Labels, "activation": l.Activation}})
	}
	body.Outputs = append(body.Outputs, oipTensor{Name: oipEmbedding, Datatype: "FP32", Shape: []int{1, features}})
	httpx.WriteJSON(w, http.StatusOK, body)
	return nil
}

// oipReady reports whether a model answers: GET /v2/models/{model}/ready.
func (s *Server) oipReady(w http.ResponseWriter, r *http.Request) error {
	t, err := s.oipTarget(r)
	if err != nil {
		return err
	}
	t.release()
	return s.healthReady(w, r)
}

// oipInfer answers POST /v2/models/{model}/infer. The body counts as an upload, with the limits of an image; it is decoded
// while that is reserved, which takes three quarters of it again.
func (s *Server) oipInfer(w http.ResponseWriter, r *http.Request) error {
	t, err := s.oipTarget(r)
	if err != nil {
		return err
	}
	defer t.release()
	l := t.labels
	if err := s.admission.check(); err != nil {
		return err
	}
	raw := r.Clone(r.Context())
	raw.Header.Set("Content-Type", "application/octet-stream")
	response := oipResponse{Model: r.PathValue("model"), Version: t.version}
	err = s.uploads.Image(w, raw, func(body resnet18cloud.Image) error {
		image, wants, id, err := readOIP(body.Bytes, l.Classes)
		if err != nil {
			return err
		}
		response.ID = id
		for _, image.Want = range wants {
			result, err := s.classify(r.Context(), t.Classifier, image)
			if err != nil {
				return err
			}
			s.metrics.observe(result.Timing)
			response.Outputs = append(response.Outputs, oipOutput(result, image.Want, l.Classes))
		}
		return nil
	})
	if err != nil {
		return err
	}
	httpx.WriteJSON(w, http.StatusOK, response)
	return nil
}

// readOIP reads a request for a model with so many classes: the image, and what to ask about it, one thing after the other.
func readOIP(body []byte, classes int) (image resnet18cloud.Image, wants []resnet18cloud.Want, id string, err error) {
	var request oipRequest
	if err := json.Unmarshal(body, &request); err != nil {
		return image, nil, "", &resnet18cloud.Error{Code: resnet18cloud.CodeInvalid, Message: "The body is not a request of the Open Inference Protocol",
			Hint: `send JSON with the image in Base64: {"inputs":[{"name":"image","shape":[1],"datatype":"BYTES","data":["..."]}]}`, Err: err}
	}
	in := request.Inputs
	if len(in) != 1 || in[0].Name != oipImage || in[0].Datatype != "BYTES" || !slices.Equal(in[0].Shape, []int{1}) || len(in[0].Data) != 1 {
		return image, nil, "", &resnet18cloud.Error{Code: resnet18cloud.CodeInvalid, Message: "The inputs are not one image",
			Hint: "send one input with the name image, datatype BYTES, shape [1] and one element of data"}
	}
	all, features := resnet18cloud.Want{TopK: classes}, resnet18cloud.Want{Embedding: true}
	if len(request.Outputs) > 2 {
		return image, nil, "", &resnet18cloud.Error{Code: resnet18cloud.CodeInvalid, Message: "A request may have at most 2 outputs"}
	}
	for _, out := range request.Outputs {
		switch {
		case out.Name == oipScores && classes > 0:
			wants = append(wants, all)
		case out.Name == oipEmbedding:
			wants = append(wants, features)
		default:
			return image, nil, "", &resnet18cloud.Error{Code: resnet18cloud.CodeInvalid, Message: fmt.Sprintf("There is no output %.40q", out.Name),
				Hint: "the model's metadata has the outputs"}
		}
	}
	switch {
	case len(wants) == 0 && classes > 0:
		wants = append(wants, all)
	case len(wants) == 0:
		wants = append(wants, features)
	}
	return resnet18cloud.Image{Name: oipImage, Bytes: in[0].Data[0]}, wants, request.ID, nil
}

// oipOutput returns a result as a tensor: features, or the probabilities of all classes by index, or, if there are none, their
// logits.
func oipOutput(r resnet18cloud.Result, want resnet18cloud.Want, classes int) oipTensor {
	if want.Embedding {
		return oipTensor{Name: oipEmbedding, Datatype: "FP32", Shape: []int{1, len(r.Embedding)}, Data: r.Embedding}
	}
	out := oipTensor{Name: oipScores, Datatype: "FP32", Shape: []int{1, classes}, Data: make([]float32, classes)}
	for _, s := range r.Scores {
		switch {
		case s.Index < 0 || s.Index >= classes:
		case s.Probability != nil:
			out.Data[s.Index] = *s.Probability
		default:
			out.Data[s.Index] = s.Logit
		}
	}
	return out
}
