package lend

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/iotest"
)

func TestBodyIsItsParts(t *testing.T) {
	t.Parallel()
	request := httptest.NewRequest(http.MethodPost, "/", http.NoBody)
	loan := New([]byte("head "), nil, []byte("and "), []byte("tail"))
	loan.Attach(request)
	const want = "head and tail"
	if request.ContentLength != int64(len(want)) {
		t.Errorf("length %d, want %d", request.ContentLength, len(want))
	}
	if err := iotest.TestReader(request.Body, []byte(want)); err != nil {
		t.Error(err)
	}
	again, err := request.GetBody()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(again); string(got) != want || err != nil {
		t.Errorf("the second time %q, %v", got, err)
	}
}

func TestNothingIsReadAfterReturn(t *testing.T) {
	t.Parallel()
	request := httptest.NewRequest(http.MethodPost, "/", http.NoBody)
	loan := New([]byte("head and tail"))
	loan.Attach(request)
	p := make([]byte, 4)
	if n, err := request.Body.Read(p); n != 4 || err != nil {
		t.Fatal(n, err)
	}
	loan.Return()
	if n, err := request.Body.Read(p); n != 0 || !errors.Is(err, ErrOver) {
		t.Errorf("Read after Return = %d, %v; want ErrOver", n, err)
	}
	loan.Return() // returning twice is allowed
}
