// Package access decides which client may do what. A keys file has one line per key: the client's name, what it may
// do, and the SHA-256 of its token. A client sends the token with each request, in the header Authorization: Bearer. A
// [Guard] reads the file, follows its changes, and wraps the handlers of a server; they find the [Client] in the
// request's context. A process that is itself a client of another one reads its token with a [TokenFile].
package access
