package model

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/resnet18cloud/resnet18cloud/engine/weights"
)

// maxStalls is the number of consecutive attempts without a byte after which a download fails. There is no pause
// between attempts: a broken connection is resumed, and a dead server refuses immediately.
const maxStalls = 3

// download fetches url into the file at path. It resumes an earlier download: after a broken connection within one
// call, and in a later call as long as the file exists. progress is called with the bytes received and their total,
// -1 if it is not known.
func download(ctx context.Context, client *http.Client, url, path string, progress func(done, total int64)) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	for stalls := 0; ; {
		var n int64
		n, err = fetch(ctx, client, url, f, progress)
		var final *finalError
		if err == nil || errors.As(err, &final) {
			break
		}
		if ctx.Err() != nil {
			err = context.Cause(ctx) // why the connection was closed
			break
		}
		if stalls++; n > 0 {
			stalls = 0
		}
		if stalls == maxStalls {
			break
		}
	}
	if err != nil {
		err = fmt.Errorf("download %s: %w", url, err)
	}
	return errors.Join(err, f.Close())
}

// finalError is an error that further attempts would not solve.
type finalError struct{ error }

func (e *finalError) Unwrap() error { return e.error }

// fetch requests the rest of the file and appends it. It returns the number of bytes received.
func fetch(ctx context.Context, client *http.Client, url string, f *os.File, progress func(done, total int64)) (int64, error) {
	have, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, &finalError{err}
	}
	response, err := get(ctx, client, url, have)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusPartialContent:
		want := fmt.Sprintf("bytes %d-", have)
		if got := response.Header.Get("Content-Range"); !strings.HasPrefix(got, want) {
			return 0, &finalError{fmt.Errorf("server sent range %q, want %q", got, want)}
		}
	case http.StatusOK: // the whole file, from a server without ranges
		have = 0
	case http.StatusRequestedRangeNotSatisfiable: // the file is complete, or its hash will show that it is wrong
		return 0, nil
	default:
		err := fmt.Errorf("server responded %s", response.Status)
		if response.StatusCode >= 500 {
			return 0, err
		}
		return 0, &finalError{err}
	}
	if err := f.Truncate(have); err != nil {
		return 0, &finalError{err}
	}
	if _, err := f.Seek(have, io.SeekStart); err != nil {
		return 0, &finalError{err}
	}
	total := int64(-1)
	if response.ContentLength >= 0 {
		total = have + response.ContentLength
	}
	if total > weights.MaxBytes {
		return 0, &finalError{fmt.Errorf("file has %d bytes, the limit is %d", total, weights.MaxBytes)}
	}
	return appendBody(f, response.Body, have, total, progress)
}

// appendBody copies up to the maximum size of a weight file. A full disk is final, a broken connection is not.
func appendBody(f *os.File, body io.Reader, have, total int64, progress func(done, total int64)) (int64, error) {
	start := have
	buf := make([]byte, 256<<10)
	for {
		n, err := body.Read(buf)
		if have += int64(n); have > weights.MaxBytes {
			return have - start, &finalError{fmt.Errorf("file has more than %d bytes", weights.MaxBytes)}
		}
		if _, werr := f.Write(buf[:n]); werr != nil {
			return have - start, &finalError{werr}
		}
		progress(have, total)
		if errors.Is(err, io.EOF) {
			return have - start, nil
		}
		if err != nil {
			return have - start, err
		}
	}
}

// get requests url from byte start on.
func get(ctx context.Context, client *http.Client, url string, start int64) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, &finalError{err}
	}
	if start > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", start))
	}
	return client.Do(request)
}
