package jpeg_test

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/jpeg"
)

// TestDecisions decodes the test sequence of the standard (T.81, K.4.1): 256 decisions about one question.
func TestDecisions(t *testing.T) {
	t.Parallel()
	coded, err := hex.DecodeString("655B5144F7969D517855BFFF00FC5184C7CEF93900287D46708ECBC0F6FFD900")
	if err != nil {
		t.Fatal(err)
	}
	want, err := hex.DecodeString("00020051000000C00352872AAAAAAAAA82C02000FCD79EF674EAABF7697EE74C")
	if err != nil {
		t.Fatal(err)
	}
	if got := jpeg.Decisions(coded, 8*len(want)); !bytes.Equal(got, want) {
		t.Errorf("decisions %X, want %X", got, want)
	}
}
