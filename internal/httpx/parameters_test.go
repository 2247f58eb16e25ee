package httpx_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
)

// TestCheckQuery checks that parameters that an endpoint does not have are refused with what was meant.
func TestCheckQuery(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		"":                         "",
		"model=a&filename=b":       "",
		"top_k=0":                  "", // its value is another's business
		"_=1732&model=a":           "",
		"modl=a":                   `no parameter "modl": did you mean model? the parameters are filename, model, normalize, tensor, top_k`,
		"Model=a":                  "did you mean model?",
		"topk=3":                   "did you mean top_k?",
		"top-k=3":                  "did you mean top_k?",
		"k=3":                      `no parameter "k": the parameters are`,
		"timeout=2":                "send the header X-Request-Timeout",
		"Idempotency-Key=a":        "send the header Idempotency-Key",
		"model=a;top_k=3":          "malformed",
		"model=%zz":                "malformed",
		"x=1&a=2":                  `no parameter "a"`,
		strings.Repeat("x", 10000): "no parameter",
	} {
		r := httptest.NewRequest(http.MethodPost, "/predict", nil)
		r.URL.RawQuery = query
		err := httpx.CheckQuery(r, append([]string{"filename"}, resnet18cloud.WantParameters()...)...)
		e := resnet18cloud.AsError(err)
		switch {
		case want == "" && err == nil:
		case want == "", e == nil, e.Code != resnet18cloud.CodeInvalid, !strings.Contains(e.Message+": "+e.Hint, want), len(e.Message) > 5000:
			t.Errorf("%.40q: %v; want %q", query, err, want)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/result/1/events?x=1", nil)
	if e := resnet18cloud.AsError(httpx.CheckQuery(r)); e == nil || e.Hint != "this endpoint has no parameters" {
		t.Errorf("without parameters: %v", e)
	}
}

// field is a part of a form.
func field(disposition, content string) string {
	return "--b\r\nContent-Disposition: form-data; " + disposition + "\r\n\r\n" + content + "\r\n"
}

// TestFormFields checks which fields besides the image are refused, before and after it.
func TestFormFields(t *testing.T) {
	t.Parallel()
	image := field(`name="image"; filename="a.jpg"`, "xyz")
	for name, test := range map[string]struct {
		field string
		want  string // part of the error; empty if the field is ignored
	}{
		"model":            {field(`name="model"`, "trash@2"), "add ?model=trash%402 to the URL"},
		"top-k":            {field(`name="top-k"`, "3"), "add ?top_k=3 to the URL"},
		"long value":       {field(`name="model"`, strings.Repeat("x", 500)), "to the URL"},
		"priority":         {field(`name="priority"`, "bulk"), "send the header X-Priority"},
		"other":            {field(`name="x"`, "1"), `There is no form field "x"`},
		"file":             {field(`name="mask"; filename="b.jpg"`, "xyz"), `There is no form field "mask"`},
		"near":             {field(`name="imgae"; filename="b.jpg"`, "xyz"), "in the field image"},
		"submit button":    {field(`name="submit"`, "Send"), ""},
		"token of Django":  {field(`name="csrfmiddlewaretoken"`, "1"), ""},
		"token of Rails":   {field(`name="authenticity_token"`, "1"), ""},
		"token of ASP.NET": {field(`name="__RequestVerificationToken"`, "1"), ""},
		"limit of PHP":     {field(`name="MAX_FILE_SIZE"`, "1"), ""},
		"charset":          {field(`name="_charset_"`, "utf-8"), ""},
		"metadata":         {field(`name="image"`, "{}"), ""},
	} {
		for order, body := range map[string]string{"before": test.field + image, "after": image + test.field} {
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body+"--b--\r\n"))
			r.Header.Set("Content-Type", "multipart/form-data; boundary=b")
			got := 0
			err := httpx.NewUploads(httpx.UploadLimits{ImageBytes: 4000}).Image(httptest.NewRecorder(), r, func(resnet18cloud.Image) error { got++; return nil })
			check(t, name+" "+order, err, test.want)
			if (got == 1) != (test.want == "") {
				t.Errorf("%s %s: %d images", name, order, got)
			}
		}
		for order, parts := range map[string][]string{"before": {test.field, image, image}, "between": {image, test.field, image}, "after": {image, image, test.field}} {
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(strings.Join(parts, "")+"--b--\r\n"))
			r.Header.Set("Content-Type", "multipart/form-data; boundary=b")
			got := 0
			err := httpx.NewUploads(httpx.UploadLimits{ImageBytes: 4000}).Images(httptest.NewRecorder(), r, 9, func(_ resnet18cloud.Image, err error) {
				if err == nil {
					got++
				}
			})
			check(t, name+" "+order+" of a batch", err, test.want)
			if want := slices.Index(parts, test.field); test.want != "" && got != want || test.want == "" && got != 2 {
				t.Errorf("%s %s of a batch: %d images", name, order, got)
			}
		}
	}
}

func check(t *testing.T, name string, err error, want string) {
	t.Helper()
	e := resnet18cloud.AsError(err)
	if want == "" && err != nil || want != "" && (e == nil || e.Code != resnet18cloud.CodeInvalid || !strings.Contains(e.Message+": "+e.Hint, want)) {
		t.Errorf("%s: %v, want %q", name, err, want)
	}
}

// TestSecondImage checks that another image in the form of one is refused, but not a field in which no file was chosen.
func TestSecondImage(t *testing.T) {
	t.Parallel()
	image := field(`name="image"; filename="a.jpg"`, "xyz")
	for body, want := range map[string]string{
		image + image: "more than one image",
		image + field(`name="images"; filename="b.jpg"`, strings.Repeat("x", 3900)): "more than one image",
		image + field(`name="image"`, "\xff\xd8\xff\xe0 a JPEG"):                    "more than one image",
		image + field(`name="image"; filename=""`, ""):                              "",
		image + "--b\r\nContent-Dispo":                                              "",
		image + "--b\r\nContent-Disposition: form-data; name=\"image\"\r\n\r\nab":   "",
	} {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body+"\r\n--b--\r\n"))
		r.Header.Set("Content-Type", "multipart/form-data; boundary=b")
		err := httpx.NewUploads(httpx.UploadLimits{ImageBytes: 4000}).Image(httptest.NewRecorder(), r, func(resnet18cloud.Image) error { return nil })
		check(t, body, err, want)
	}
}
