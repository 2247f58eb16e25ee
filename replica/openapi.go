package replica

import _ "embed" // for the description

// openAPI describes the HTTP API for programs. The tests check each response against it.
//
//go:embed openapi.yaml
var openAPI []byte
