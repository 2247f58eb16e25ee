package model

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/resnet18cloud/resnet18cloud/engine/weights"
	"github.com/resnet18cloud/resnet18cloud/internal/pause"
)

const (
	// minBytesPerSecond is the least a server must send, measured over each idle timeout. A server that sends a byte now
	// and then would otherwise keep a download alive forever.
	minBytesPerSecond = 1 << 10
	goodProgress      = 1 << 20 // see good
	// maxRestarts is how often a download starts over because the server cannot resume it.
	maxRestarts = 2
	firstPause  = 200 * time.Millisecond // before the second try; it doubles with each
)

// download is a download of one file, in one or several tries.
type download struct {
	client   *http.Client
	url      string
	size     int64         // announced size in bytes; 0 if it is not known
	idle     time.Duration // see PullConfig.IdleTimeout
	tries    int           // see PullConfig.Tries
	pause    time.Duration // before the second try
	progress func(done, total int64)
	notify   func(message string)

	validator string // of the file that the server sent first: If-Range
	restarts  int    // how often the server sent the whole file when asked for the rest
}

// run fetches the URL into the file at path. It resumes an earlier download: after a broken connection within one call,
// and in a later call as long as the file exists. The file is removed if there is nothing worth resuming: after a
// finalError, if the server cannot resume, and if it is small.
func (d *download) run(ctx context.Context, path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	err = d.repeat(ctx, f)
	if err == nil {
		return f.Close()
	}
	at, seekErr := f.Seek(0, io.SeekEnd)
	err = errors.Join(fmt.Errorf("download %s: %w", shown(d.url), err), seekErr, f.Close())
	if isFinal(err) || at < d.good() || d.restarts > 0 {
		return errors.Join(err, os.Remove(path))
	}
	return fmt.Errorf("%w (%.1f MiB are kept: run the command again to resume)", err, float64(at)/(1<<20))
}

// repeat tries until the file is complete, a try fails for good, or too many in a row have brought little.
func (d *download) repeat(ctx context.Context, f *os.File) error {
	best, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	wait := d.pause
	for failures := 0; ; {
		have, err := d.try(ctx, f)
		switch {
		case err == nil || isFinal(err):
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx) // why the connection was closed
		case have >= best+d.good():
			best, failures, wait = have, 0, d.pause
		default:
			failures++
		}
		if failures >= d.tries {
			return fmt.Errorf("gave up after %d tries: %w", failures, err)
		}
		d.notify(fmt.Sprintf("download broke off after %.1f MiB: %v; try %d of %d in %s",
			float64(have)/(1<<20), err, failures+1, d.tries, wait))
		pause.For(ctx, wait)
		wait *= 2
	}
}

// good returns how many bytes a try must add to the file for it not to count: 1 MiB, or a sixteenth of a small file.
func (d *download) good() int64 {
	if d.size == 0 {
		return goodProgress
	}
	return min(goodProgress, max(1, d.size/16))
}

// finalError is an error that further tries would not solve.
type finalError struct{ error }

func (e *finalError) Unwrap() error { return e.error }

func isFinal(err error) bool {
	_, final := errors.AsType[*finalError](err)
	return final
}

// errIdle is the cause if a server sends too little.
var errIdle = errors.New("server sends nothing, or almost nothing")

// try requests the rest of the file and appends it. It returns the size of the file.
func (d *download) try(ctx context.Context, f *os.File) (have int64, err error) {
	if have, err = f.Seek(0, io.SeekEnd); err != nil {
		return 0, &finalError{err}
	}
	if d.size > 0 && have == d.size {
		return have, nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	idle := time.AfterFunc(d.idle, func() { cancel(fmt.Errorf("%w for %s", errIdle, d.idle)) })
	defer idle.Stop()
	have, err = d.request(ctx, f, have, idle)
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, errIdle) {
		err = cause
	}
	return have, err
}

func (d *download) request(ctx context.Context, f *os.File, have int64, idle *time.Timer) (int64, error) {
	response, err := get(ctx, d.client, d.url, have, d.validator)
	if err != nil {
		return have, err
	}
	defer response.Body.Close()
	if have == 0 {
		d.validator = validator(response.Header)
	}
	switch response.StatusCode {
	case http.StatusPartialContent:
		want := fmt.Sprintf("bytes %d-", have)
		if got := response.Header.Get("Content-Range"); !strings.HasPrefix(got, want) {
			return have, &finalError{fmt.Errorf("server sent range %.100q, want %q", got, want)}
		}
	case http.StatusOK: // the whole file
		if have > 0 {
			if d.restarts++; d.restarts > maxRestarts {
				return have, &finalError{fmt.Errorf("server cannot resume, and each download breaks off: started over %d times", maxRestarts)}
			}
			d.notify("server cannot resume: starting over")
		}
		have = 0
	case http.StatusRequestedRangeNotSatisfiable: // the file is complete, or its hash will show that it is wrong
		return have, nil
	default:
		err := errStatus(response.StatusCode)
		if response.StatusCode >= http.StatusInternalServerError || response.StatusCode == http.StatusTooManyRequests {
			return have, err
		}
		return have, &finalError{err}
	}
	total, err := d.total(have, response.ContentLength)
	if err != nil {
		return have, err
	}
	if err := f.Truncate(have); err != nil {
		return have, &finalError{err}
	}
	if _, err := f.Seek(have, io.SeekStart); err != nil {
		return have, &finalError{err}
	}
	return d.copy(f, response.Body, have, total, idle)
}

// total returns the size of the whole file, -1 if it is not known, given that length bytes follow the first have. It
// must be the announced one.
func (d *download) total(have, length int64) (int64, error) {
	total := d.size
	if length >= 0 {
		total = have + length
	}
	switch {
	case d.size > 0 && total != d.size:
		return 0, &finalError{fmt.Errorf("file has %d bytes, want %d", total, d.size)}
	case total > weights.MaxBytes:
		return 0, &finalError{fmt.Errorf("file has %d bytes, the limit is %d", total, weights.MaxBytes)}
	case total == 0 && length < 0:
		return -1, nil
	}
	return total, nil
}

// copy appends the body up to the announced size, or that of the largest weight file. A full disk is final, a broken
// connection is not. It returns the size of the file.
func (d *download) copy(f *os.File, body io.Reader, have, total int64, idle *time.Timer) (int64, error) {
	limit := int64(weights.MaxBytes)
	if d.size > 0 {
		limit = d.size
	}
	enough := max(1, int(d.idle.Seconds()*minBytesPerSecond)) // to be granted the idle timeout again
	received := 0                                             // since it was granted
	buf := make([]byte, 256<<10)
	for {
		n, err := body.Read(buf)
		if received += n; received >= enough {
			idle.Reset(d.idle)
			received = 0
		}
		if have+int64(n) > limit {
			return have, &finalError{fmt.Errorf("file has more than %d bytes", limit)}
		}
		if _, werr := f.Write(buf[:n]); werr != nil {
			return have, &finalError{werr}
		}
		have += int64(n)
		d.progress(have, total)
		if errors.Is(err, io.EOF) {
			return have, nil
		}
		if err != nil {
			return have, err
		}
	}
}

// validator returns what names this version of a file, for If-Range (RFC 9110, section 13.1.5); empty if nothing does.
func validator(h http.Header) string {
	if tag := h.Get("ETag"); tag != "" && !strings.HasPrefix(tag, "W/") {
		return tag
	}
	return h.Get("Last-Modified")
}

// get requests url from byte start on, or from its beginning if ifRange is not empty and names another version of it.
func get(ctx context.Context, client *http.Client, url string, start int64, ifRange string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, &finalError{err}
	}
	request.Header.Set("Accept-Encoding", "identity") // sizes and ranges are those of the file
	if start > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", start))
		if ifRange != "" {
			request.Header.Set("If-Range", ifRange)
		}
	}
	return client.Do(request)
}

// errStatus returns the error for a status that is not expected, without the server's own text for it: that may have
// control characters, which a terminal would obey.
func errStatus(code int) error {
	return fmt.Errorf("server responded %s", strings.TrimSpace(strconv.Itoa(code)+" "+http.StatusText(code)))
}
