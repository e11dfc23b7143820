// Package payload makes encoded event arguments from the recorded type of an event: representative ones, ones at the
// edges of what the type admits, random ones; it shrinks one that makes something fail, and describes one without
// its values. Everything is deterministic.
//
// A payload is a guess until the app's own decoder has admitted it: filters and transformations that only code knows
// can't be satisfied on purpose ([Generator.Opaque] lists them). The package runs no code and reads nothing.
package payload
