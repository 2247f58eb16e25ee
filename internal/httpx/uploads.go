package httpx

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
)

// Defaults of [UploadLimits].
const (
	MaxImageBytes  = 10 << 20  // 10 MiB
	MaxUploadBytes = 256 << 20 // 256 MiB
	MinUploadRate  = 16 << 10  // 16 KiB/s
)

// longestUpload limits an upload that is just fast enough, such as a batch.
const longestUpload = 10 * time.Minute

// UploadLimits are limits on uploads. The zero value means the defaults.
type UploadLimits struct {
	// ImageBytes is the maximum size of an image. Zero means [MaxImageBytes].
	ImageBytes int64
	// TotalBytes is the maximum memory of all uploads that are being received or processed. Zero means
	// [MaxUploadBytes].
	TotalBytes int64
	// Rate is the minimum upload rate in bytes per second. Zero means [MinUploadRate]; -1 disables the limit.
	Rate int64
}

func (l UploadLimits) withDefaults() UploadLimits {
	l.ImageBytes = cmp.Or(l.ImageBytes, MaxImageBytes)
	l.TotalBytes = cmp.Or(l.TotalBytes, MaxUploadBytes)
	l.Rate = cmp.Or(l.Rate, MinUploadRate)
	if l.Rate == -1 {
		l.Rate = 0
	}
	return l
}

// Validate returns an error if the limits contradict each other.
func (l UploadLimits) Validate() error {
	switch l := l.withDefaults(); {
	case l.ImageBytes < 1:
		return fmt.Errorf("image limit %d bytes, want at least 1", l.ImageBytes)
	case l.TotalBytes < 3*l.ImageBytes: // a growing buffer is briefly held twice, and small buffers leave space unused
		return fmt.Errorf("upload memory %d bytes, want at least three times the image limit, %d", l.TotalBytes, 3*l.ImageBytes)
	case l.Rate < 0:
		return fmt.Errorf("upload rate %d bytes per second, want -1 (no limit) or more", l.Rate)
	}
	return nil
}

// Uploads reads the images that clients send. Memory is allocated as bytes arrive and is limited across all uploads.
// A client slower than the minimum rate gets a 408. When memory runs out, uploads slower than eight times that rate
// get a 503, slowest first, and the others wait briefly. All methods are safe for concurrent use.
type Uploads struct {
	limits UploadLimits
	budget *budget
}

// NewUploads creates an upload reader with valid limits.
func NewUploads(limits UploadLimits) *Uploads {
	limits = limits.withDefaults()
	return &Uploads{limits: limits, budget: newBudget(limits.TotalBytes, limits.Rate)}
}

// Held returns the current memory of all uploads, in bytes.
func (u *Uploads) Held() int64 {
	u.budget.mu.Lock()
	defer u.budget.mu.Unlock()
	return u.budget.held
}

// Limit returns the maximum of Held.
func (u *Uploads) Limit() int64 { return u.limits.TotalBytes }

// Receiving returns the number of uploads of which bytes are still to come.
func (u *Uploads) Receiving() int {
	u.budget.mu.Lock()
	defer u.budget.mu.Unlock()
	return len(u.budget.reading)
}

// upload is one request body being received. It is an io.Reader of that body that enforces the minimum rate.
type upload struct {
	request   *http.Request
	enter     func(activity) // sets the activity of the request
	yield     func()         // cuts the upload for lack of connections
	body      io.Reader
	control   *http.ResponseController
	budget    *budget
	began     time.Time
	memory    *buffer  // of the current image; nil before its first byte
	announced int64    // bytes of the body after decoding; -1 means unknown
	decoder   *decoder // of a compressed body; nil if there is none to end
	reserved  int64    // bytes besides memory: for that decoder, or for what uses the body
	one       [1]byte  // that byte, and each later one that does not fit

	// guarded by budget.mu
	held  int64 // bytes
	pace  pace
	since time.Time // start of the current read; zero if there is none
	cut   error     // set if others need the memory or connection
}

// open starts reading the body of r.
func (u *Uploads) open(w http.ResponseWriter, r *http.Request) *upload {
	up := &upload{request: r, enter: enterFunc(r.Context()), body: r.Body, control: http.NewResponseController(w),
		budget: u.budget, began: time.Now(), pace: newPace(), announced: r.ContentLength}
	up.yield = func() {
		up.budget.mu.Lock()
		defer up.budget.mu.Unlock()
		up.cutOff(errNoConnection())
	}
	u.budget.mu.Lock()
	defer u.budget.mu.Unlock()
	u.budget.reading[up] = struct{}{}
	return up
}

// Read implements io.Reader. For a slow client it returns a [resnet18cloud.Error].
func (u *upload) Read(p []byte) (int, error) {
	grace, err := u.begin(time.Now())
	if err != nil {
		return 0, err
	}
	u.enter(activity{phase: uploading, grace: grace, yield: u.yield})
	n, err := u.body.Read(p)
	u.enter(activity{phase: serving})
	return n, u.end(time.Now(), int64(n), err)
}

// begin sets the deadline by which the client must send something, and returns the grace.
func (u *upload) begin(now time.Time) (time.Duration, error) {
	u.budget.mu.Lock()
	defer u.budget.mu.Unlock()
	if u.cut != nil {
		return 0, u.cut
	}
	u.since = now
	deadline := u.began.Add(longestUpload)
	if u.budget.minRate > 0 {
		if patient := now.Add(u.pace.grace); patient.Before(deadline) {
			deadline = patient
		}
	}
	return u.pace.grace, u.setDeadline(deadline)
}

// end records the result of a read.
func (u *upload) end(now time.Time, n int64, err error) error {
	u.budget.mu.Lock()
	defer u.budget.mu.Unlock()
	u.pace.add(n, now.Sub(u.since), u.budget.minRate)
	u.since = time.Time{}
	if errors.Is(err, io.EOF) {
		delete(u.budget.reading, u) // the body is complete
	}
	switch {
	case u.cut != nil && err != nil && !errors.Is(err, io.EOF):
		return u.cut
	case errors.Is(err, os.ErrDeadlineExceeded):
		return u.errSlow(now, err)
	}
	return err
}

// silence returns how long the client has sent nothing. The caller holds budget.mu.
func (u *upload) silence(now time.Time) time.Duration {
	if u.since.IsZero() {
		return 0 // not waiting for the client
	}
	return now.Sub(u.since)
}

// cutOff aborts the upload with the given reason, unless it is complete. The caller holds budget.mu.
func (u *upload) cutOff(reason error) {
	if _, reading := u.budget.reading[u]; !reading {
		return
	}
	u.cut = reason
	u.budget.announce()                // it may be waiting for memory
	_ = u.setDeadline(time.Unix(1, 0)) // not needed if the connection is closed
}

// setDeadline sets the read deadline of the request. Responses without a connection, in tests, have no deadlines.
func (u *upload) setDeadline(t time.Time) error {
	if err := u.control.SetReadDeadline(t); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return fmt.Errorf("set upload deadline: %w", err)
	}
	return nil
}

// bytes returns what has been received of the current image.
func (u *upload) bytes() []byte {
	if u.memory == nil {
		return nil
	}
	return u.memory.bytes
}

// fill reads once from r into the upload's memory. It returns the number of bytes received of the image; a byte
// beyond limit is counted but not stored.
func (u *upload) fill(r io.Reader, limit int64) (int64, error) {
	if u.memory != nil && len(u.bytes()) == cap(u.bytes()) && u.announcesMore(limit) {
		if err := u.grow(limit); err != nil {
			return int64(len(u.bytes())), err
		}
	}
	have := u.bytes()
	if len(have) < cap(have) {
		n, err := r.Read(have[len(have):cap(have)])
		u.memory.bytes = have[:len(have)+n]
		return int64(len(have) + n), err
	}
	// There is no memory yet, or the announced size is used up. More is allocated when a byte arrives.
	n, err := r.Read(u.one[:])
	if n > 0 && int64(len(have)) < limit {
		if err := u.grow(limit); err != nil {
			return int64(len(have)), err
		}
		u.memory.bytes = append(u.memory.bytes, u.one[0])
	}
	return int64(len(have) + n), err
}

// announcesMore reports whether more of the image is announced, within limit.
func (u *upload) announcesMore(limit int64) bool {
	have := int64(len(u.bytes()))
	return have < u.announced && have < limit
}

// grow allocates memory for more of the image.
func (u *upload) grow(limit int64) error {
	have := u.bytes()
	size := nextSize(int64(cap(have)), u.announced, limit, u.budget.plenty())
	if err := u.budget.take(u.request.Context(), u, size); err != nil {
		return err
	}
	larger := newBuffer(int(size))
	larger.bytes = append(larger.bytes, have...)
	u.drop()
	u.memory = larger
	return nil
}

// drop releases the memory of the current image.
func (u *upload) drop() {
	if u.memory == nil {
		return
	}
	size := int64(cap(u.memory.bytes))
	u.memory.free()
	u.memory = nil
	u.budget.give(u, size)
}

// arrived ends reading. The image's memory stays reserved until close.
func (u *upload) arrived() error {
	u.release()
	u.budget.mu.Lock()
	defer u.budget.mu.Unlock()
	delete(u.budget.reading, u)
	if u.cut != nil {
		return u.cut
	}
	// From here on the server reads only to detect that the client disconnects; a deadline would look like that.
	return u.setDeadline(time.Time{})
}

// close releases everything that the upload holds.
func (u *upload) close() {
	u.budget.mu.Lock()
	delete(u.budget.reading, u)
	u.budget.mu.Unlock()
	u.release()
	u.drop()
}

// errNoConnection rejects an upload whose connection is needed for another client.
func errNoConnection() error {
	return &resnet18cloud.Error{Code: resnet18cloud.CodeFull, Message: "Too many connections",
		Hint: "retry after retry_after seconds", RetryAfter: time.Second, Err: errCut}
}

// errTooManyRequests rejects a request of an HTTP/2 connection.
func errTooManyRequests() *resnet18cloud.Error {
	return &resnet18cloud.Error{Code: resnet18cloud.CodeFull, Message: "Too many concurrent requests",
		Hint: "retry after retry_after seconds", RetryAfter: time.Second}
}

// errSlow rejects a client that sends too slowly.
func (u *upload) errSlow(now time.Time, cause error) error {
	e := &resnet18cloud.Error{Code: resnet18cloud.CodeSlow,
		Message: fmt.Sprintf("Upload is slower than %.4g KiB/s", float64(u.budget.minRate)/(1<<10)),
		Hint:    "use a faster connection, or send a smaller image", Err: cause}
	if now.Sub(u.began) >= longestUpload {
		e.Message = fmt.Sprintf("Upload takes longer than %s", longestUpload)
	}
	return e
}
