package resnet18cloud

import (
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// MaxTopK is the largest number of classes that a client may ask for: the most that a model has.
const MaxTopK = 2000

// Want is what a client wants to know about an image. The zero value asks for the [TopK] best classes. Values are
// comparable: requests with equal images and equal wants have equal results.
type Want struct {
	// Model is the model that answers, as "name" or "name@version", of a server that has several; empty means its default.
	Model     string `json:"model,omitempty"`
	TopK      int    `json:"top_k,omitempty"`     // number of classes, of a model with fewer all; 0 means TopK
	Embedding bool   `json:"embedding,omitempty"` // features instead of classes
	Normalize bool   `json:"normalize,omitempty"` // with Embedding: features of Euclidean length 1
	// Tensor means that the bytes are no file but the model's input, as the client has prepared it: float32 in little endian,
	// three planes (red, green, blue) of rows from top to bottom, of the size and normalized as the model's preprocessing says.
	Tensor bool `json:"tensor,omitempty"`
}

// The endpoints of servers, and the parameters of their queries.
const (
	pathClasses    = "/predict"
	pathEmbedding  = "/embed"
	paramModel     = "model"
	paramTopK      = "top_k"
	paramNormalize = "normalize"
	paramTensor    = "tensor"
)

// WantParameters returns the names of all parameters that [ParseWant] reads, sorted.
func WantParameters() []string { return []string{paramModel, paramNormalize, paramTensor, paramTopK} }

// validModel is what Want.Model may be: a name and maybe a version, of up to 64 letters, digits, dots, underscores and
// hyphens each.
var validModel = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}(@[A-Za-z0-9][A-Za-z0-9._-]{0,63})?$`)

// Classes returns the number of classes that are wanted.
func (w Want) Classes() int {
	if w.TopK == 0 {
		return TopK
	}
	return w.TopK
}

// ParseWant reads what a request wants: the path is that of the endpoint, which begins with /embed for features, and the
// query has its options. The error is an *Error with CodeInvalid.
func ParseWant(path string, query url.Values) (Want, error) {
	w := Want{Embedding: strings.HasPrefix(path, pathEmbedding)}
	for _, p := range []struct {
		name, hint string
		applies    bool
		read       func(text string) bool
	}{
		{paramModel, "use NAME or NAME@VERSION, as GET /models lists them", true, func(text string) bool {
			w.Model = text
			return validModel.MatchString(text)
		}},
		{paramTopK, fmt.Sprintf("use a number from 1 to %d", MaxTopK), !w.Embedding, func(text string) (ok bool) {
			n, err := strconv.Atoi(text)
			if n != TopK { // equal wants must be equal values
				w.TopK = n
			}
			return err == nil && n >= 1 && n <= MaxTopK
		}},
		{paramNormalize, "use true or false", w.Embedding, func(text string) bool {
			w.Normalize = text == "true"
			return text == "true" || text == "false"
		}},
		{paramTensor, "use true or false", true, func(text string) bool {
			w.Tensor = text == "true"
			return text == "true" || text == "false"
		}},
	} {
		values, given := query[p.name]
		switch {
		case !given:
		case !p.applies && w.Embedding:
			return Want{}, &Error{Code: CodeInvalid, Message: "Embeddings have no " + p.name, Hint: "send the image to " + pathClasses}
		case !p.applies:
			return Want{}, &Error{Code: CodeInvalid, Message: "Classes have no " + p.name, Hint: "send the image to " + pathEmbedding}
		case len(values) > 1:
			return Want{}, &Error{Code: CodeInvalid, Message: p.name + " is given more than once", Hint: p.hint}
		case !p.read(values[0]):
			return Want{}, &Error{Code: CodeInvalid, Message: fmt.Sprintf("%s %.40q is not valid", p.name, values[0]), Hint: p.hint}
		}
	}
	return w, nil
}

// Path returns the path of the endpoint for w, such as "/predict".
func (w Want) Path() string {
	if w.Embedding {
		return pathEmbedding
	}
	return pathClasses
}

// Query returns the options of w as the query of its endpoint. Only options that are not the default are in it.
func (w Want) Query() url.Values {
	q := url.Values{}
	if w.Model != "" {
		q.Set(paramModel, w.Model)
	}
	if w.TopK != 0 && !w.Embedding {
		q.Set(paramTopK, strconv.Itoa(w.TopK))
	}
	if w.Normalize && w.Embedding {
		q.Set(paramNormalize, "true")
	}
	if w.Tensor {
		q.Set(paramTensor, "true")
	}
	return q
}

// String returns path and query: "/predict?top_k=3".
func (w Want) String() string {
	u := url.URL{Path: w.Path(), RawQuery: w.Query().Encode()}
	return u.String()
}

// WantFrom reads the text that String returns.
func WantFrom(text string) (Want, error) {
	u, err := url.Parse(text)
	if err != nil || u.Path != pathClasses && u.Path != pathEmbedding {
		return Want{}, &Error{Code: CodeInvalid, Message: fmt.Sprintf("%.40q is not a path with options", text)}
	}
	return ParseWant(u.Path, u.Query())
}
