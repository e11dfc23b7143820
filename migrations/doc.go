// Package migrations commits events on behalf of old rows: an app's backfill migrations, exactly once in each store.
//
//	Load     files of SQL (lex, parse) and TypeScript (module) -> Definition; CSV files beside them are inputs
//	Lint     a Definition against the recorded releases
//	Job      one Definition on one store: Check, Preview, Commit, Verify
//	Scan     how migrations stand in a log
//	Draft, Compensation   new files to fill in
//
// A Job replays the store's log into a state, asks the queries or the module what they would commit, takes away the keys
// that the log has already, and appends the rest. The log is the truth about what was committed: there is no other
// record that a Job trusts, so that it can be killed at any moment and run twice.
//
// The package knows no fleet, no schedule and no control database; it executes no migration of headgate's own tables.
package migrations
