// Package probe finds out what an app's own code does, by running it in the sandbox on generated and real payloads:
//
//	Observe      the statements of each materializer, and the tables they write    (part of describing a release)
//	Determinism  does a materializer depend on clock, randomness, time zone, I/O or earlier calls?           MT101
//	EdgeCases    does it survive every payload that its event's schema admits?                                MT103
//	Mixed        do old and new versions of an event family get along in one log, in any order?               MT104
//	Compare      do two releases' materializers make the same rows of the same payloads?                       ST102
//	QueryPlans   does a declared query read a whole table for its condition?                                   ST110
//	Decode       does a release's decoder read the events of a log?                             evidence for findings
//
// It reports what happened and judges nothing: codes and severities belong to package planner, which does not import
// this one. Generated payloads may be shown; real ones never are, only their shape. Every run is bounded, and says how
// far it came. Nothing here reads an app's source or keeps anything.
package probe
