package safetensors

import (
	"bytes"
	"maps"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
)

func TestReadMetadata(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	want := map[string]string{"weights": "tiny"}
	if err := Write(&b, &Content{Metadata: want, Tensors: map[string]tensor.Tensor{"a": {Shape: []int{1}, Data: []float32{1}}}}); err != nil {
		t.Fatal(err)
	}
	file := b.Bytes()
	if got, err := ReadMetadata(bytes.NewReader(file)); err != nil || !maps.Equal(got, want) {
		t.Errorf("ReadMetadata = %v, %v, want %v", got, err, want)
	}
	for name, data := range map[string][]byte{
		"empty": nil, "short": file[:7], "cut": file[:20], "large": bytes.Repeat([]byte{0xff}, 16), "no JSON": append([]byte{2, 0, 0, 0, 0, 0, 0, 0}, "no"...),
	} {
		if got, err := ReadMetadata(bytes.NewReader(data)); err == nil {
			t.Errorf("%s: %v and no error", name, got)
		}
	}
}
