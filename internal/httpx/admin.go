package httpx

import (
	"net/http"
	"net/http/pprof"
)

// AdminConnections limits the connections of a server for operators. It shares its file descriptors with the public one.
const AdminConnections = 64

// HandleProfiles adds the endpoints of net/http/pprof, for `go tool pprof`. They cost CPU time and show the names of
// functions, so they belong on an address that only operators reach.
func HandleProfiles(mux *http.ServeMux) {
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
}
