// Package corrective measures what a bad release did to a store, from its event log.
//
// A [Selection] says which events are the bad ones, and [Assess] reads the log once: how many there are, who wrote them
// and how surely, what they are about, and which later events are about the same. [Measure] makes the state twice, as the
// log is and as it should have been, and compares the rows. [Receive] says what the releases that are alive do with the bad
// events: an event that a release does not decode ends the sync of its clients, and the boot of those that rebuild.
//
// [Decide] asks what would happen under the release that one would go back to, and ranks the remedies with their reasons.
//
// It changes nothing, and opens no log and no database of its own.
package corrective
