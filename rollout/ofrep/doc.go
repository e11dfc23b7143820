// Package ofrep answers flag evaluations over HTTP as the OpenFeature Remote Evaluation Protocol 0.3.0 has it, for its
// stock clients:
//
//	POST /ofrep/v1/evaluate/flags/{key}   one flag, for the context in the body
//	POST /ofrep/v1/evaluate/flags         all flags, with an ETag and the address of the stream
//	GET  /ofrep/v1/sse                    a stream of server-sent events that says when to ask again
//
// It does not evaluate, and it does not know who asks: it declares [Flags] and [Access] for that, and whoever mounts a
// [Handler] authenticates first and limits how often a caller may ask.
//
// # What the stock clients need
//
// The ETag is a hash of the whole body, never of the definitions alone: a web client that keeps its ETag while its context
// changes would be told 304 and stay on another context's values for good.
//
// A page opens the stream after its first evaluation, and what changes in between would be lost. So the stream's address
// names the revision that was evaluated (since), and the stream begins with an event when there is another one by then.
// Later the browser says in Last-Event-ID where it was. The address is a part of the body, so that a client whose ticket
// has ended gets a new one instead of a 304.
//
// A flag that is disabled has the reason DISABLED and a value all the same. The Go client gives its caller's own default
// then, the web client the value: an evaluator should make it the one that is safe everywhere.
package ofrep
