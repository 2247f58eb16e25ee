package replica

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud"
)

// oipClassifier has the given number of classes, whose scores are their numbers: as probabilities, or as logits.
type oipClassifier struct {
	classes       int
	probabilities bool
}

func (c oipClassifier) Labels(context.Context) (resnet18cloud.Labels, error) {
	return resnet18cloud.Labels{Model: "m@12345678", Classes: c.classes, Labels: []string{"ant", "bee", "fly"}[:c.classes], Activation: "softmax"}, nil
}

func (c oipClassifier) Classify(_ context.Context, image resnet18cloud.Image) (resnet18cloud.Result, error) {
	var r resnet18cloud.Result
	if string(image.Bytes) != "picture" {
		return r, &resnet18cloud.Error{Code: resnet18cloud.CodeUndecodable, Message: "Not a decodable image"}
	}
	if image.Want.Embedding {
		r.Embedding = []float32{0.5, 0.25}
		return r, nil
	}
	for i := min(c.classes, image.Want.Classes()) - 1; i >= 0; i-- {
		p := resnet18cloud.Prediction{Index: i, Label: fmt.Sprint(i), Logit: float32(i)}
		if score := float32(i) / 4; c.probabilities {
			p.Probability = &score
		}
		r.Scores = append(r.Scores, p)
	}
	return r, nil
}

// TestOIP checks the endpoints of the Open Inference Protocol.
func TestOIP(t *testing.T) {
	t.Parallel()
	body := func(content, outputs string) string {
		return fmt.Sprintf(`{"id":"7","inputs":[{"name":"image","shape":[1],"datatype":"BYTES","data":[%q]}]%s}`,
			base64.StdEncoding.EncodeToString([]byte(content)), outputs)
	}
	type exchange struct {
		target, body string // no body means GET
		status       int
		want         string // part of the response
	}
	for name, test := range map[string]struct {
		classifier oipClassifier
		exchanges  []exchange
	}{
		"probabilities": {oipClassifier{3, true}, []exchange{
			{"/v2", "", 200, `"name":"resnet18cloud"`},
			{"/v2/health/live", "", 200, "healthy"},
			{"/v2/health/ready", "", 503, "starting"},
			{"/v2/models/m/ready", "", 503, "starting"},
			{"/v2/models/other/ready", "", 404, "no model"},
			{"/v2/models/m", "", 200, `{"name":"m","versions":["12345678"],"platform":"resnet18cloud",` +
				`"inputs":[{"name":"image","datatype":"BYTES","shape":[-1],"parameters":{"content_type":"base64"}},{"name":"tensor","datatype":"FP32","shape":[-1,3,-1,-1],"parameters":{"instead_of":"image"}}],` +
				`"outputs":[{"name":"scores","datatype":"FP32","shape":[-1,3],"parameters":{"activation":"softmax","labels":["ant","bee","fly"]}},` +
				`{"name":"logits","datatype":"FP32","shape":[-1,3]},{"name":"embedding","datatype":"FP32","shape":[-1,512]}]}`},
			{"/v2/models/resnet18/infer", body("picture", ""), 200, `{"model_name":"resnet18","model_version":"12345678","id":"7",` +
				`"outputs":[{"name":"scores","datatype":"FP32","shape":[1,3],"data":[0,0.25,0.5]}]}`},
			{"/v2/models/m/infer", body("picture", `,"outputs":[{"name":"embedding"},{"name":"scores"}]`), 200,
				`"outputs":[{"name":"embedding","datatype":"FP32","shape":[1,2],"data":[0.5,0.25]},{"name":"scores","datatype":"FP32","shape":[1,3],"data":[0,0.25,0.5]}]`},
			{"/v2/models/m/infer", body("broken", ""), 422, "undecodable"},
			{"/v2/models/m/infer", body("picture", `,"outputs":[{"name":"other"}]`), 400, "no output"},
			{"/v2/models/m/infer", body("picture", `,"outputs":[{"name":"logits"}]`), 200, `"data":[0,1,2]`},
			{"/v2/models/m/infer", body("picture", `,"outputs":[{"name":"scores","parameters":{"classification":2}}]`), 200,
				`"datatype":"BYTES","shape":[1,2],"data":["0.250000:1:1","0.000000:0:0"]`},
			{"/v1/models", "", 200, `{"models":["resnet18"]}`},
			{"/v1/models/m", "", 503, "starting"},
			{"/v1/models/m:predict", `{"instances":[{"image_bytes":{"b64":"cGljdHVyZQ=="}},{"b64":"cGljdHVyZQ=="}]}`, 200, `{"predictions":[{"filename":"",`},
			{"/v1/models/m:predict", `{"instances":[]}`, 400, "image_bytes"},
			{"/v1/models/m:explain", `{"instances":[]}`, 404, ":predict"},
			{"/v2/models/m/infer", body("picture", `,"outputs":[`+strings.Repeat(`{"name":"scores"},`, 8)+`{"name":"scores"}]`), 400, "at most 8"},
			{"/v2/models/m/infer", "{", 400, "Base64"},
			{"/v2/models/m/infer", `{"inputs":[]}`, 400, "one input"},
			{"/v2/models/m/infer", strings.Replace(body("picture", ""), "BYTES", "FP32", 1), 400, "BYTES"},
			{"/v2/models/m/infer", strings.Replace(body("picture", ""), `data":["`, `data":["!`, 1), 400, "Base64"},
			{"/v2/models/other/infer", body("picture", ""), 404, `There is no model \"other\"","hint":"use one of: resnet18, m"`},
			{"/v2/models/m/versions/7/infer", body("picture", ""), 404, `of version \"7\"","hint":"use one of: resnet18, m; the version is 12345678"`},
		}},
		"logits": {oipClassifier{3, false}, []exchange{{"/v2/models/m/infer", body("picture", ""), 200, `"data":[0,1,2]`}}},
		"no classes": {oipClassifier{}, []exchange{
			{"/v2/models/m", "", 200, `"outputs":[{"name":"embedding","datatype":"FP32","shape":[-1,512]}]`},
			{"/v2/models/m/infer", body("picture", ""), 200, `"outputs":[{"name":"embedding"`},
			{"/v2/models/m/infer", body("picture", `,"outputs":[{"name":"scores"}]`), 400, "no output"},
		}},
	} {
		s, err := New(Config{Concurrency: 1, MaxImageBytes: 1000, Model: func() Model {
			return Model{Info: resnet18cloud.ModelInfo{Name: "m", Version: "1234567890"}}
		}}, test.classifier)
		if err != nil {
			t.Fatal(err)
		}
		public, _ := s.routes()
		exchanges := append(slices.Clone(test.exchanges), exchange{"/v2/models/m/infer", body(strings.Repeat("x", 900), ""), 413, "too_large"})
		for _, x := range exchanges {
			method := http.MethodGet
			if x.body != "" {
				method = http.MethodPost
			}
			w := httptest.NewRecorder()
			r := httptest.NewRequest(method, x.target, strings.NewReader(x.body))
			r.Header.Set("Content-Type", "application/json")
			public.ServeHTTP(w, r)
			if w.Code != x.status || !strings.Contains(w.Body.String(), x.want) {
				t.Errorf("%s: %s %.60s = %d %s; want %d with %s", name, x.target, x.body, w.Code, w.Body, x.status, x.want)
			}
		}
	}
}
