// Package engine holds an app's evaluated schema in a sandbox VM with a SQLite state database beside it, and asks
// it what LiveStore would: which statements does this event make, does this payload decode, what do the tables
// look like. It runs in the sandbox's child. Statements are executed as LiveStore's SQLite binding does, down to how a
// number is bound. The package does not read logs, keep checkpoints or judge anything.
//
// driver.js is the other side: it is bundled with the app's modules and calls LiveStore's own functions.
package engine
