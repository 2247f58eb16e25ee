package httpx

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/resnet18cloud/resnet18cloud"
)

// problemType is the media type of problem details (RFC 9457).
const problemType = "application/problem+json"

// ProblemBody is the JSON body of an error response to a client whose header Accept asks for problem details (RFC 9457).
// The members after Detail are extensions, with the meaning that they have in [ErrorBody].
type ProblemBody struct {
	Type       string             `json:"type"`   // URI of the code's documentation; stays the same for a code
	Title      string             `json:"title"`  // of the code
	Status     int                `json:"status"` // as of the response
	Detail     string             `json:"detail"` // ErrorBody.Error
	Hint       string             `json:"hint,omitempty"`
	Code       resnet18cloud.Code `json:"code"`
	RetryAfter float64            `json:"retry_after,omitempty"` // seconds
}

// problemBase is what precedes a code in ProblemBody.Type. Clients compare it, so it does not change.
const problemBase = "https://github.com/resnet18cloud/resnet18cloud/blob/main/docs/api.md#"

// titleOf has ProblemBody.Title for each code.
var titleOf = map[resnet18cloud.Code]string{
	resnet18cloud.CodeInvalid:      "Request is malformed",
	resnet18cloud.CodeUnauthorized: "Valid key required",
	resnet18cloud.CodeForbidden:    "Not permitted",
	resnet18cloud.CodeNotFound:     "Not found",
	resnet18cloud.CodeSlow:         "Upload is too slow",
	resnet18cloud.CodeConflict:     "Conflict with the current state",
	resnet18cloud.CodeTooLarge:     "Too large",
	resnet18cloud.CodeUnsupported:  "Format not supported",
	resnet18cloud.CodeUndecodable:  "Image is broken",
	resnet18cloud.CodeUnsuited:     "Model cannot answer this",
	resnet18cloud.CodeRateLimited:  "Too many requests",
	resnet18cloud.CodeCancelled:    "Request was cancelled",
	resnet18cloud.CodeInternal:     "Server error",
	resnet18cloud.CodeFull:         "No capacity",
	resnet18cloud.CodeUnavailable:  "Temporarily unavailable",
	resnet18cloud.CodeLost:         "Accepted image was lost",
	resnet18cloud.CodeDeadline:     "Deadline has passed",
}

// writeErrorBody writes an error as an [ErrorBody], or as a [ProblemBody] if the client asks for one.
func writeErrorBody(w http.ResponseWriter, r *http.Request, status int, body ErrorBody) {
	noteCode(r, body.Code)
	if !wantsProblem(r.Header) {
		WriteJSON(w, status, body)
		return
	}
	writeJSON(w, status, problemType, ProblemBody{Type: problemBase + string(body.Code), Title: titleOf[body.Code], Status: status,
		Detail: body.Error, Hint: body.Hint, Code: body.Code, RetryAfter: body.RetryAfter})
}

// wantsProblem reports whether a request's header Accept (RFC 9110, section 12.5.1) names problem details, and prefers no
// plain JSON. Ranges such as application/* do not ask for them.
func wantsProblem(h http.Header) bool {
	problem, plain := 0.0, 0.0
	for _, line := range h.Values("Accept") {
		for entry := range strings.SplitSeq(line, ",") {
			name, params, _ := strings.Cut(entry, ";")
			switch name = strings.TrimSpace(name); {
			case strings.EqualFold(name, problemType):
				problem = max(problem, weight(params))
			case strings.EqualFold(name, "application/json"):
				plain = max(plain, weight(params))
			}
		}
	}
	return problem > 0 && problem >= plain
}

// weight returns the parameter q of an entry of a list: 1 without one, and 0 if it is not a number.
func weight(params string) float64 {
	for p := range strings.SplitSeq(params, ";") {
		if name, value, _ := strings.Cut(strings.TrimSpace(p), "="); strings.EqualFold(name, "q") {
			q, _ := strconv.ParseFloat(value, 64)
			return q
		}
	}
	return 1
}
