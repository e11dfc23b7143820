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
// The package knows nothing about LiveStore, bundles or releases: jobs are registered by the program.
package script
