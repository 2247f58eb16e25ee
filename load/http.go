package load

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/lend"
)

// HTTP is any endpoint that takes a body by POST and answers at once; with it other servers are measured as
// ours is.
type HTTP struct {
	Client *http.Client
	URL    string
	// Header goes with each request. Content-Type defaults to image/jpeg.
	Header http.Header
	// Ready is asked before a run, by GET, and must answer below 300. When it is empty, any answer of URL will
	// do, such as 405.
	Ready string
	// Label finds the best class in an answer. When it is nil, labels are not known.
	Label func(answer []byte) (string, error)
}

var _ Target = HTTP{}

// String implements Target.
func (h HTTP) String() string { return "POST " + h.URL }

// Check implements Target.
func (h HTTP) Check(ctx context.Context) error {
	url := h.Ready
	if url == "" {
		url = h.URL
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := h.Client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if h.Ready != "" && response.StatusCode >= 300 {
		return fmt.Errorf("GET %s: %s", url, response.Status)
	}
	return nil
}

// maxAnswerBytes bounds what is read of an answer.
const maxAnswerBytes = 4 << 20

// Send implements Target.
func (h HTTP) Send(ctx context.Context, image resnet18cloud.Image, clock func() time.Duration, r *Record) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, http.NoBody)
	if err != nil {
		return err
	}
	body := lend.New(image.Bytes)
	defer body.Return()
	body.Attach(request)
	request.Header.Set("Content-Type", "image/jpeg")
	for name, values := range h.Header {
		request.Header[name] = values
	}
	response, err := h.Client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	r.Accepted = clock()
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if response.StatusCode >= 300 {
		return statusError{response.StatusCode, strings.TrimSpace(string(answer[:min(len(answer), 200)]))}
	}
	if h.Label == nil {
		return nil
	}
	if r.Label, err = h.Label(answer); err != nil {
		return answerError{fmt.Errorf("read the answer: %w", err)}
	}
	return nil
}

// statusError is an answer that says no.
type statusError struct {
	status int
	text   string
}

func (e statusError) Error() string {
	return fmt.Sprintf("%d %s: %s", e.status, http.StatusText(e.status), e.text)
}
