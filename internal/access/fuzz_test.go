package access_test

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/internal/access"
)

// FuzzParse checks that a keys file is either refused or gives keys that can be written and read again, and that an
// error does not repeat a token.
func FuzzParse(f *testing.F) {
	const token = "r18_secretsecretsecretsecretsecretsecretsecrets"
	f.Add([]byte("# a\nshop predict " + hash("a") + " rate=2 in-flight=3\nops read,admin " + hash("b") + "\n"))
	f.Add([]byte("shop " + token + "\n" + token + " read " + hash("a")))
	f.Add([]byte("shop predict " + token + " rate=1e6\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := access.Parse("f", data)
		if err != nil {
			if keys != nil {
				t.Errorf("%d keys and the error %v", len(keys), err)
			}
			if strings.Contains(err.Error(), token[4:]) {
				t.Errorf("the error repeats a token: %v", err)
			}
			return
		}
		var lines strings.Builder
		for _, k := range keys {
			if err := access.CheckName(k.Name); err != nil || k.Scopes == 0 || k.Rate < 0 || k.InFlight < 0 {
				t.Errorf("key %+v, %v", k, err)
			}
			lines.WriteString(k.String() + "\n")
		}
		again, err := access.Parse("f", []byte(lines.String()))
		if err != nil || len(again) != len(keys) {
			t.Fatalf("%d keys, written and read again: %d, %v", len(keys), len(again), err)
		}
		for i := range keys {
			if keys[i] != again[i] {
				t.Errorf("key %+v, written and read again: %+v", keys[i], again[i])
			}
		}
	})
}

// FuzzRequire checks that no header is admitted but one with the token.
func FuzzRequire(f *testing.F) {
	path := f.TempDir() + "/keys"
	token := access.NewToken()
	keys := []byte("shop predict " + hash(token))
	if err := os.WriteFile(path, keys, 0o600); err != nil {
		f.Fatal(err)
	}
	g, err := access.Open(path, nil)
	if err != nil {
		f.Fatal(err)
	}
	for _, header := range []string{"", "Bearer", "Bearer ", "Bearer x", "Basic eA==", "Bearer  x ", "bearer\tx", "\x00"} {
		f.Add(header, "")
	}
	f.Add("Bearer x", "Bearer y")
	f.Fuzz(func(t *testing.T, first, second string) {
		headers := []string{first}
		if second != "" {
			headers = append(headers, second)
		}
		if status, client, _ := request(g, access.Predict, headers...); status != http.StatusUnauthorized || client != "" {
			t.Errorf("%q: %d for %q", headers, status, client)
		}
	})
}
