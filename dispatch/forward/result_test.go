package forward

import (
	"fmt"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud"
)

// TestResultsAreBounded checks what a replica may not return.
func TestResultsAreBounded(t *testing.T) {
	t.Parallel()
	long, whole := strings.Repeat("x", 513), strings.Repeat("x", 512)
	list := func(n int, item string) string { return strings.TrimSuffix(strings.Repeat(item+",", n), ",") }
	for name, test := range map[string]struct{ body, problem string }{
		"usual":                  {`{"predictions":["junco"],"inference_time":0.02,"timing":{"decode":0.01}}`, ""},
		"at the limits":          {fmt.Sprintf(`{"predictions":[%s],"filename":%q,"inference_time":3600,"timing":{"replica":3600}}`, list(100, `"a"`), whole), ""},
		"many labels":            {`{"predictions":[` + list(101, `"a"`) + `]}`, "101 predictions, want at most 100"},
		"many scores":            {`{"predictions":["a"],"scores":[` + list(101, `{}`) + `]}`, "101 predictions, want at most 100"},
		"long label":             {`{"predictions":["a","` + long + `"]}`, "a text of 513 bytes"},
		"long label of a score":  {`{"predictions":["a"],"scores":[{"label":"` + long + `"}]}`, "a text of 513 bytes"},
		"long file name":         {`{"predictions":["a"],"filename":"` + long + `"}`, "a text of 513 bytes"},
		"long model":             {`{"predictions":["a"],"model":"` + long + `"}`, "a text of 513 bytes"},
		"long precision":         {`{"predictions":["a"],"precision":"` + long + `"}`, "a text of 513 bytes"},
		"long warning":           {`{"predictions":["a"],"warning":"` + long + `"}`, "a text of 513 bytes"},
		"negative time":          {`{"predictions":["a"],"inference_time":-1}`, "inference time of -1 s"},
		"long time":              {`{"predictions":["a"],"inference_time":3601}`, "inference time of 3601 s"},
		"long stage":             {`{"predictions":["a"],"timing":{"decode":3601}}`, "in stage decode"},
		"negative stage":         {`{"predictions":["a"],"timing":{"inference":-1e-6}}`, "in stage inference"},
		"time beyond a duration": {`{"predictions":["a"],"timing":{"replica":1e300}}`, "in stage replica"},
		"large":                  {`{"predictions":["a"],"other":"` + strings.Repeat("x", 64<<10) + `"}`, "more than 65536 bytes"},
		"nested":                 {`{"predictions":["a"],"other":` + strings.Repeat("[", 30_000) + strings.Repeat("]", 30_000) + `}`, "exceeded max depth"},
		"number of 60 KB":        {`{"predictions":["a"],"inference_time":` + strings.Repeat("9", 60_000) + `}`, "cannot unmarshal"},
	} {
		result, err := readResult([]byte(test.body), resnet18cloud.Want{})
		switch {
		case test.problem == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case test.problem != "" && (err == nil || !strings.Contains(err.Error(), test.problem) || len(result.Predictions) != 0):
			t.Errorf("%s: %.100v %v, want %q", name, result, err, test.problem)
		}
	}
}
