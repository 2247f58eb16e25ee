package httpx

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/logs"
)

// This file refuses parameters that mean nothing here: a client that misspells one would get the answer to another question.
// See docs/decisions/0132-unknown-parameters-are-refused.md.

// paramFilename is the parameter with the name of an image that is sent as a raw body.
const paramFilename = "filename"

// headerOf has the headers that clients may look for among the parameters, by the names they might use.
var headerOf = map[string]string{
	"timeout": "X-Request-Timeout", "deadline": "X-Request-Timeout", "request_timeout": "X-Request-Timeout",
	"priority": "X-Priority", "webhook": "X-Webhook", "batch_webhook": "X-Batch-Webhook", "idempotency_key": "Idempotency-Key", "prefer": "Prefer", "request_id": "X-Request-Id",
}

// CheckQuery returns an error if the query of a request is malformed, or has a parameter that is not among known. Names that
// begin with an underscore are not the server's: libraries add them to get past caches.
func CheckQuery(r *http.Request, known ...string) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return &resnet18cloud.Error{Code: resnet18cloud.CodeInvalid, Message: "The query of the URL is malformed",
			Hint: "separate parameters by &, and escape other characters than letters and digits, as in ?model=a&filename=my%20photo.jpg", Err: err}
	}
	var unknown []string
	for name := range query {
		if !slices.Contains(known, name) && !strings.HasPrefix(name, "_") {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	slices.Sort(unknown)
	name := unknown[0]
	hint := "this endpoint has no parameters"
	if len(known) > 0 {
		hint = "the parameters are " + strings.Join(known, ", ")
	}
	if near := nearest(name, known); near != "" {
		hint = "did you mean " + near + "? " + hint
	} else if header, ok := headerOf[plain(name)]; ok {
		hint = "send the header " + header
	}
	return &resnet18cloud.Error{Code: resnet18cloud.CodeInvalid, Message: fmt.Sprintf("There is no parameter %q", logs.Clip(name)), Hint: hint}
}

// Want reads what a request with images wants from its URL, with [resnet18cloud.ParseWant]. It returns an error for parameters
// that such endpoints do not have.
func Want(r *http.Request) (resnet18cloud.Want, error) {
	if err := CheckQuery(r, imageParameters()...); err != nil {
		return resnet18cloud.Want{}, err
	}
	return resnet18cloud.ParseWant(r.URL.Path, r.URL.Query())
}

// imageParameters returns the parameters of endpoints that take images.
func imageParameters() []string {
	return append([]string{paramFilename}, resnet18cloud.WantParameters()...)
}

// unknownField returns the error for a form field that is no image, and nil for one that is not meant for the server.
func unknownField(name, value string) error {
	if ofBrowser(name) {
		return nil
	}
	known := imageParameters()
	hint := "leave it out: a form has images only, in fields named image; parameters are in the URL: " + strings.Join(known, ", ")
	if near := nearest(name, known); near != "" {
		hint = fmt.Sprintf("parameters are not read from the form: add ?%s to the URL", url.Values{near: {value}}.Encode())
	} else if header, ok := headerOf[plain(name)]; ok {
		hint = fmt.Sprintf("options are not read from the form: send the header %s", header)
	} else if nearest(name, []string{imageField, imageField + "s"}) != "" {
		hint = "send the image in the field image: curl -F image=@picture.jpg"
	}
	return &resnet18cloud.Error{Code: resnet18cloud.CodeInvalid, Message: fmt.Sprintf("There is no form field %q", logs.Clip(name)), Hint: hint, Err: errField}
}

// errField is the cause of an error that is not about an image of the form, but about the form.
var errField = errors.New("unknown form field")

// ofBrowser reports whether a form field is one that browsers and web frameworks add to any form: a submit button, the limit
// of PHP, a token against forged requests, and names with an underscore in front, such as _method and _charset_.
func ofBrowser(name string) bool {
	lower := strings.ToLower(name)
	return strings.HasPrefix(name, "_") || strings.Contains(lower, "csrf") || strings.Contains(lower, "xsrf") ||
		slices.Contains([]string{"", "submit", "max_file_size", "authenticity_token"}, lower)
}

// plain returns a name in the way that parameters are written.
func plain(name string) string { return strings.ReplaceAll(strings.ToLower(name), "-", "_") }

// nearest returns the name that was meant, or "" if none is near: of equal letters, or with one typing mistake, or two in
// names of five letters or more.
func nearest(name string, known []string) string {
	name = plain(name)
	if len(name) > 64 {
		return ""
	}
	best, least := "", 3
	for _, k := range known {
		d := distance(strings.ReplaceAll(name, "_", ""), strings.ReplaceAll(k, "_", ""))
		if d < least && (d < 2 || len(k) >= 5) {
			best, least = k, d
		}
	}
	return best
}

// distance returns how many letters must be inserted, removed or replaced to make b of a (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
