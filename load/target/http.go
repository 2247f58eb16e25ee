package target

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/lend"
)

// HTTP sends images to any endpoint that takes one as the body of a POST and returns the result. It measures servers
// other than ours.
type HTTP struct {
	Client *http.Client
	URL    string
	// Header is sent with each request. Content-Type defaults to image/jpeg.
	Header http.Header
	// Ready is the URL that Check requests with GET; its status must be below 300. If it is empty, Check requests
	// URL and accepts any answer, such as 405.
	Ready string
	// Label finds the best class in an answer. If it is nil, labels are not known.
	Label func(answer []byte) (string, error)
}

var _ Target = HTTP{}

// String implements Target.
func (h HTTP) String() string { return "POST " + address(h.URL) }

// Check implements Target.
func (h HTTP) Check(ctx context.Context) error {
	url := cmp.Or(h.Ready, h.URL)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	maps.Copy(request.Header, h.Header)
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

// Send implements Target.
func (h HTTP) Send(ctx context.Context, image resnet18cloud.Image, _ func()) (Answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, http.NoBody)
	if err != nil {
		return Answer{}, err
	}
	loan := lend.New(image.Bytes)
	defer loan.Return()
	loan.Attach(request)
	request.Header.Set("Content-Type", "image/jpeg")
	maps.Copy(request.Header, h.Header)
	response, err := h.Client.Do(request)
	if err != nil {
		return Answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	// Many caches in front of servers say so, as dispatchers do: "HIT", "Hit from cloudfront".
	hit, _, _ := strings.Cut(response.Header.Get("X-Cache"), " ")
	answer := Answer{Accepted: time.Now(), FromCache: strings.EqualFold(hit, "hit")}
	if err != nil {
		return answer, fmt.Errorf("read the answer: %w", err)
	}
	if response.StatusCode >= 300 {
		return answer, &StatusError{response.StatusCode, strings.TrimSpace(string(body[:min(len(body), 200)]))}
	}
	if h.Label == nil {
		return answer, nil
	}
	if answer.Label, err = h.Label(body); err != nil {
		return answer, &InvalidAnswerError{err}
	}
	return answer, nil
}
