package monitoring_test

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/internal/chart"
	"github.com/resnet18cloud/resnet18cloud/monitoring"
)

// TestPicture checks that a picture is XML and has the names of panels and series.
func TestPicture(t *testing.T) {
	t.Parallel()
	lines := map[string][]monitoring.Line{"Memory": {{Name: monitoring.LegendOf("{{instance}} & {{x}}", map[string]string{"instance": "a:1"}), Points: []chart.Point{{X: 0, Y: 5e8}, {X: 9, Y: 5e8}}}}}
	svg := monitoring.Picture([]monitoring.Panel{{Title: "Memory", Unit: monitoring.Bytes}, {Title: "Empty", Unit: monitoring.Ratio}, {Title: "Third"}}, lines)
	for _, text := range []string{"Memory, MB", "a:1 &amp; {{x}}", ">500<", "Empty, share", `viewBox="0 0 1136 616"`} {
		if !strings.Contains(svg, text) {
			t.Errorf("the picture lacks %q", text)
		}
	}
	for d := xml.NewDecoder(strings.NewReader(svg)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
