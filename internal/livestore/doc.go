// Package livestore holds the words that headgate shares with LiveStore. Its subpackages are the only place
// that knows how LiveStore works; this package has no behaviour beyond naming and ordering.
//
//   - Store: one event log, named by a StoreID, synced through a backend. An app may have several store kinds,
//     each with a schema of its own.
//   - Client: an installation (clientId), with one or more sessions (tabs; sessionId).
//   - Event: a name and arguments, encoded by the event's Effect Schema, with a sequence number and its parent's.
//     A synced event reaches every replica; a clientOnly event stays on its client.
//   - Head: the number of the last event that the backend confirmed. Events after it are pending and may be
//     renumbered (rebased).
//   - Materializer: the function that turns an event into SQL writes.
//   - State: the SQLite tables that the materializers filled. State hash: LiveStore's hash of the table
//     definitions; a client rebuilds its state from the log only when this hash changes.
//   - Release: a version of the app's schema, as `headgate release add` recorded it.
//   - Rebuild (LiveStore: rematerialization): running the whole log through the materializers into an empty state.
//   - Poison event: an event whose arguments a release can't decode, or on which its materializer throws.
package livestore
