package resnet18cloud_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/resnet18cloud/resnet18cloud"
)

func TestTimingJSON(t *testing.T) {
	t.Parallel()
	in := resnet18cloud.Timing{Queue: 1500 * time.Millisecond, Decode: 1234567 * time.Nanosecond}
	data, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(data), `{"queue":1.5,"decode":0.001234567}`; got != want {
		t.Errorf("Marshal = %s, want %s", got, want)
	}
	var out resnet18cloud.Timing
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(in, out); diff != "" {
		t.Errorf("Unmarshal(Marshal) differs (-want +got):\n%s", diff)
	}
}

func TestServerTiming(t *testing.T) {
	t.Parallel()
	tests := []struct {
		timing resnet18cloud.Timing
		want   string
	}{
		{resnet18cloud.Timing{}, ""},
		{resnet18cloud.Timing{Inference: 17 * time.Millisecond, Queue: 2500 * time.Microsecond},
			"queue;dur=2.500, inference;dur=17.000"},
	}
	for _, tt := range tests {
		if got := tt.timing.ServerTiming(); got != tt.want {
			t.Errorf("%+v.ServerTiming() = %q, want %q", tt.timing, got, tt.want)
		}
	}
}

// TestResultJSON checks the names and types of the three fields shared with the prototype.
func TestResultJSON(t *testing.T) {
	t.Parallel()
	data, err := json.Marshal(resnet18cloud.Result{Filename: "a.JPEG", InferenceTime: 0.25, Predictions: []string{"goldfinch"}})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"filename":"a.JPEG","inference_time":0.25,"predictions":["goldfinch"]}`
	if string(data) != want {
		t.Errorf("Marshal = %s, want %s", data, want)
	}
}

func TestAsError(t *testing.T) {
	t.Parallel()
	known := &resnet18cloud.Error{Code: resnet18cloud.CodeFull, Message: "Queue is full"}
	tests := []struct {
		name string
		err  error
		want resnet18cloud.Code
	}{
		{"wrapped", fmt.Errorf("submit: %w", known), resnet18cloud.CodeFull},
		{"cancelled", fmt.Errorf("forward: %w", context.Canceled), resnet18cloud.CodeCancelled},
		{"deadline", context.DeadlineExceeded, resnet18cloud.CodeDeadline},
		{"foreign", errors.New("secret path"), resnet18cloud.CodeInternal},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := resnet18cloud.AsError(tt.err)
			if got.Code != tt.want {
				t.Errorf("AsError(%v).Code = %s, want %s", tt.err, got.Code, tt.want)
			}
			if got.Code == resnet18cloud.CodeInternal && got.Message != "Internal error" {
				t.Errorf("AsError(%v).Message = %q reveals the cause", tt.err, got.Message)
			}
		})
	}
	if got := resnet18cloud.AsError(nil); got != nil {
		t.Errorf("AsError(nil) = %v, want nil", got)
	}
}
