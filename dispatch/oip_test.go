package dispatch_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/resnet18cloud/resnet18cloud/dispatch"
	"github.com/resnet18cloud/resnet18cloud/internal/oip/oippb"
)

// TestOIP checks that pictures in the Open Inference Protocol pass through the queue, over REST and gRPC.
func TestOIP(t *testing.T) {
	t.Parallel()
	eachWay(t, func() *oracle { return newOracle(3, "ant", "bee", "fly") }, func(t *testing.T, c *client, _ *oracle) {
		conn, err := grpc.NewClient(strings.TrimPrefix(c.url, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		rpc := oippb.NewGRPCInferenceServiceClient(conn)
		ready, err := rpc.ServerReady(t.Context(), &oippb.ServerReadyRequest{})
		if !ready.GetReady() || err != nil {
			t.Errorf("ServerReady: %v, %v", ready, err)
		}
		q := &oippb.ModelInferRequest{ModelName: "oracle", ModelVersion: "0a1b", Id: "x",
			Inputs: []*oippb.ModelInferRequest_InferInputTensor{{Name: "image", Datatype: "BYTES", Shape: []int64{2},
				Contents: &oippb.InferTensorContents{BytesContents: [][]byte{[]byte("a"), []byte("b")}}}},
			Outputs: []*oippb.ModelInferRequest_InferRequestedOutputTensor{{Name: "embedding"}, {Name: "logits"}}}
		for range 2 { // the second time from the cache, and by the same idempotency key
			ctx := metadata.AppendToOutgoingContext(t.Context(), "idempotency-key", "k", "x-priority", "bulk")
			r, err := rpc.ModelInfer(ctx, q)
			if err != nil || len(r.GetOutputs()) != 2 || fmt.Sprint(r.GetOutputs()[0].GetContents().GetFp32Contents()) != "[3 4 3 4]" ||
				fmt.Sprint(r.GetOutputs()[1].GetContents().GetFp32Contents()) != "[0 -1 -2 0 -1 -2]" || r.GetModelVersion() != "0a1b" {
				t.Errorf("ModelInfer: %v, %v", r, err)
			}
		}
		bad := metadata.AppendToOutgoingContext(t.Context(), "x-priority", "first")
		if _, err := rpc.ModelInfer(bad, q); status.Code(err) != codes.InvalidArgument {
			t.Errorf("ModelInfer with a wrong priority: %v", err)
		}
		q.ModelName = "other"
		if _, err := rpc.ModelInfer(t.Context(), q); status.Code(err) != codes.NotFound {
			t.Errorf("ModelInfer of another model: %v", err)
		}
		b64 := base64.StdEncoding.EncodeToString([]byte("a"))
		for path, want := range map[string]string{
			"/v2/models/resnet18/infer":    `"outputs":[{"name":"scores","datatype":"FP32","shape":[1,3],"data":[0,-1,-2]}]`,
			"/v1/models/resnet18:predict":  `"predictions":[{"filename":"instance-0",`,
			"/v2/models/resnet18/versions": "No such endpoint",
		} {
			body := fmt.Sprintf(`{"inputs":[{"name":"image","shape":[1],"datatype":"BYTES","data":[%q]}]}`, b64)
			if strings.HasPrefix(path, "/v1") {
				body = fmt.Sprintf(`{"instances":[{"b64":%q}]}`, b64)
			}
			response, err := http.Post(c.url+path, "application/json", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(response.Body)
			response.Body.Close()
			if err != nil || !strings.Contains(string(text), want) {
				t.Errorf("%s: %s, %v; want %s", path, text, err, want)
			}
		}
	})
}

// TestOIPVersion checks that the server's metadata has the program's version.
func TestOIPVersion(t *testing.T) {
	t.Parallel()
	c := startServing(t, dispatch.Config{Version: "1.2.3"}, 1, opened())
	response, err := http.Get(c.url + "/v2")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || !strings.Contains(string(text), `"version":"1.2.3"`) {
		t.Errorf("GET /v2: %s, %v", text, err)
	}
}

// TestOIPTensors checks that prepared tensors pass through the queue to the model, as what they are, and that the cache tells
// them from pictures with the same bytes.
func TestOIPTensors(t *testing.T) {
	t.Parallel()
	eachWay(t, func() *oracle { return newOracle(3) }, func(t *testing.T, c *client, o *oracle) {
		tensor := `{"inputs":[{"name":"tensor","shape":[1,3,1,1],"datatype":"FP32","data":[0.5,-1,2]}]}`
		picture := fmt.Sprintf(`{"inputs":[{"name":"image","shape":[1],"datatype":"BYTES","data":[%q]}]}`,
			base64.StdEncoding.EncodeToString([]byte("\x00\x00\x00\x3f\x00\x00\x80\xbf\x00\x00\x00\x40")))
		for _, step := range []struct {
			body        string
			tensor, ran bool
		}{{tensor, true, true}, {picture, false, true}, {tensor, true, false}} {
			response, err := http.Post(c.url+"/v2/models/resnet18/infer", "application/json", strings.NewReader(step.body))
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(response.Body)
			response.Body.Close()
			if err != nil || !strings.Contains(string(text), `"shape":[1,3],"data":[0,-1,-2]`) {
				t.Errorf("%s: %s, %v", step.body, text, err)
			}
			select {
			case want := <-o.ran:
				if want.Tensor != step.tensor || !step.ran {
					t.Errorf("%s: the model is asked %+v", step.body, want)
				}
			default:
				if step.ran {
					t.Errorf("%s is answered from the cache", step.body)
				}
			}
		}
	})
}
