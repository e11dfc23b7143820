// Package script runs an app's JavaScript where it can do no harm: QuickJS, compiled to Go, in a child process
// that is this same program started again.
//
//	parent                                child (argv[1] == ChildArg)
//	Start ── spawn, no environment ──────▶ Child ── job by name ──▶ JobFunc(session)
//	Proc.Send / Recv ◀── frames on stdin/stdout ──▶ Session.Recv / Send
//	                                        VM: QuickJS + prelude.js: fixed clock, seeded randomness, no I/O
//	kill after Limits.Silence             watchdog: ends the child when one call exceeds Limits.Call
//
// Three limits stand around the app's code. The engine's own timer stops a loop in JavaScript, so that the error names the
// function. It can't stop a native that runs long (Array.prototype.indexOf on a huge length), so a watchdog
// on the wall clock ends the child. Should the child not even manage that, the parent kills it when it has been
// silent for too long. Memory is limited by the engine. A child gets an empty environment and the time zone UTC.
//
// What the engine lacks of a browser stands in prelude.js, web.js and intl.js, compared with Node feature by feature in
// package bundle's tests. Known to differ from V8 and left so:
//   - Math.sin, cos, exp, log, log10, cosh, tanh, asinh, acosh, atanh and ** with a fraction may differ in the last digit, as
//     they do between browsers; so may the digits of a fraction's toString(radix)
//   - texts of other languages than en-US, Intl.Segmenter, RelativeTimeFormat, DisplayNames: they throw in materializers
//   - String.localeCompare orders Latin letters, digits and common signs as ICU does, others by code point
//   - RegExp.$1 and other legacy statics; URL: IPv6 addresses are not shortened; Blob, streams and sockets can't be made
//   - an error's own message (reading a property of undefined); a stack's form
//
// The package knows nothing about LiveStore, bundles or releases: jobs are registered by the program.
package script
