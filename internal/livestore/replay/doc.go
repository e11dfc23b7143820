// Package replay runs an event log through a release's materializers, as LiveStore does when a client rebuilds its
// state, and leaves the SQLite database that such a client would hold: all tables and indexes but LiveStore's own.
//
//	parent                                         sandbox's child
//	eventlog.Reader ─ batches (count, bytes) ────▶ engine: VM + SQLite in a file of a temporary name
//	skips, poison, progress ◀──── one answer each ─┘
//	digest, checkpoint, rename over Options.Out
//
// The order is LiveStore's: hook init, tables, hook pre, events by (global, client), hook post, on one connection with
// foreign_keys=ON and pages of 8192 bytes. Transactions are headgate's own, unless the app's hooks open one. An event
// that a rebuild would fail on ends the replay with a [Poison] in the result and no file. Where the outcome can't be
// proven to be a client's (a hook that failed here, a clock in the SQL, another strategy than auto) the result says
// so in Unverifiable; a table that the log can't yield is in NotDerivable.
//
// # Checkpoints
//
// A [Checkpoints] directory keeps, per store and release, the state at the last confirmed event:
//
//	DIR/<schema>/<store>/<release>.db    as large as the state itself, readable for this user only
//	DIR/<schema>/<store>/<release>.json  head, digests, skipped events
//
// The next replay goes on from there if the events up to that head are still the same, byte for byte: their hash
// chain is compared, so a log that was rebased, reset or replaced is replayed from its start. Pending events are
// never part of one, and a release whose hooks do more than begin and commit has none. One that nobody used for
// [CheckpointMaxAge] is removed, and the oldest go while all of them are larger than [CheckpointMaxBytes].
//
// The package does not read releases or logs by itself, and does not compare states: package state does.
package replay
